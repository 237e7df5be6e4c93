"""The thread that keeps the roll-ups of the ledger up to date, beside the one that writes its rows."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time

from beastmode.core.clock import Clock
from beastmode.metrics.database import BREATH_S, Database
from beastmode.metrics.rollups import roll

PAUSE_S = 2.0
RETRY_S = 10.0
TRIES = 3
HURRY_ROWS = 2_000


class Roller:
    """Rolls up new rows a moment after they were written, or sooner where there are many.

    Args:
        database: The file.
        clock: Time; levels close by the wall clock.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._turn = threading.Lock()
        self._work = threading.Event()
        self._hurry = threading.Event()
        self._stopping = False
        self._fresh = 0
        self._thread: threading.Thread | None = None
        self._failures = 0
        self._problem: str | None = None

    @property
    def problem(self) -> str | None:
        """What is wrong, in a sentence, or None; where the file itself is in trouble, its writer says so sooner."""
        return self._problem if self._failures >= TRIES else None

    def start(self) -> None:
        """Begins with what an earlier run left."""
        self._work.set()
        self._hurry.set()
        self._thread = threading.Thread(target=self._run, name="ledger-roll", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread after the step that it is in; what is left is rolled up at the next start. Blocks."""
        self._stopping = True
        self._hurry.set()
        self._work.set()
        if self._thread is not None:
            self._thread.join()

    def nudge(self, rows: int) -> None:
        """Says that rows were written.

        Args:
            rows: How many.
        """
        self._fresh += rows
        self._work.set()
        if self._fresh >= HURRY_ROWS:
            self._hurry.set()

    def catch_up(self) -> None:
        """Rolls up all that is written. Blocks.

        Raises:
            sqlite3.Error: The disk refuses.
        """
        with self._turn, contextlib.closing(self._database.derived()) as connection:
            while not self._stopping and self._step(connection):
                self._database.settle(connection)
                time.sleep(BREATH_S)

    def _step(self, connection: sqlite3.Connection) -> bool:
        with self._database.writing:
            return roll(connection, self._clock.wall_s())

    def _run(self) -> None:
        while not self._stopping:
            self._work.wait()
            self._hurry.wait(RETRY_S if self._failures else PAUSE_S)
            self._work.clear()
            self._hurry.clear()
            self._fresh = 0
            if self._stopping:
                return
            try:
                self.catch_up()
                self._failures = 0
            except sqlite3.Error as error:
                self._failures += 1
                self._problem = f"Figures are slow: the roll-ups in {self._database.path} can not be written: {error}."
                self._work.set()
