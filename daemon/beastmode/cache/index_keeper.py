"""Keeps a sound snapshot of the vector index: loads proved ones, watches their files, has a child build new ones.

A thread of its own does all that, so that no search ever waits for it. Needs numpy.
"""

from __future__ import annotations

import errno
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from beastmode.cache.disk_check import DATA
from beastmode.cache.index_build import Orders, Word
from beastmode.cache.index_format import DamagedSnapshotError, remove_older, remove_others, snapshots
from beastmode.cache.index_snapshot import Graph, Snapshot
from beastmode.core.clock import Clock

log = logging.getLogger(__name__)

WATCH_S = 2.0
SHORTEST_S = 0.02
MEND_S = 0.5
RETRY_MAX_S = 300.0
BUILD_MAX_S = 3600.0


class Taker(Protocol):
    """Who uses snapshots."""

    def take(self, snapshot: Snapshot, generation: int, began_s: float) -> bool:
        """Uses a snapshot from now on, unless everything was cleared since its build began, at `began_s`."""

    def lose(self) -> None:
        """Uses none from now on."""


class Keeper:
    """Loads, watches and builds snapshots.

    Args:
        orders: What a build is told; `store` is filled in.
        source: Folder of the store of L2; None while it must not be read.
        clock: Time.
        taker: Who gets each new snapshot.
        pause_s: Least pause between two builds, and before the first repetition of one that failed.

    Attributes:
        builds: Builds that came to their end.
        build_s: How long the last one took.
        building: One runs.
    """

    def __init__(
        self, orders: Orders, source: Callable[[], Path | None], clock: Clock, taker: Taker, pause_s: float
    ) -> None:
        self.builds = 0
        self.build_s: float | None = None
        self.building = False
        self._orders = orders
        self._folder = Path(orders.folder)
        self._source = source
        self._clock = clock
        self._taker = taker
        self._pause_s = pause_s
        self._not_before_s = 0.0
        self._failures = 0
        self._damage: str | None = None
        self._trouble: str | None = None
        self._guard = threading.Lock()
        self._wake = threading.Event()
        self._wanted = True
        self._purge = False
        self._stop = False
        self._generation = 0
        self._store_file: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._current: Snapshot | None = None
        self._thread = threading.Thread(target=self._run, name="cache-index", daemon=True)

    @property
    def problem(self) -> str | None:
        """What is wrong, in sentences, until it is mended; None where all is well."""
        return " ".join(one for one in (self._damage, self._trouble) if one) or None

    @property
    def idle(self) -> bool:
        """No build runs, and none is due."""
        return not self.building and not self._wanted

    def start(self) -> None:
        """Begins; returns at once."""
        self._thread.start()

    def ask(self, purge: bool = False) -> None:
        """Has the index built anew, as soon as that may be; returns at once.

        Args:
            purge: Nothing of a removed row may stay in any file.
        """
        self._wanted = True
        self._purge |= purge
        self._wake.set()

    def discard(self) -> int:
        """Ends a build and deletes every snapshot; a new one is built when L2 had time to forget as well.

        Returns:
            The generation of the snapshots that will come.
        """
        with self._guard:
            self._generation += 1
            self._current = None
            self._kill()
            remove_others(self._folder, keep=None)
            self._not_before_s = self._clock.mono_s() + self._pause_s
            self._wanted = True
            return self._generation

    def note_damage(self, what: str) -> None:
        """Has a new snapshot built, and gives the one in use up unless all of it is in memory.

        Args:
            what: What is wrong with it.
        """
        with self._guard:
            is_safe = self._current is not None and not self._current.is_mapped
            self._current = None
            if not self._failures:
                self._not_before_s = min(self._not_before_s, self._clock.mono_s() + MEND_S)
        self._damage = f"The vector index in {self._folder} was damaged ({what}); it is being built anew."
        log.warning(self._damage)
        if not is_safe:
            self._taker.lose()
        self.ask()

    def close(self) -> None:
        """Ends everything. Blocks for milliseconds."""
        with self._guard:
            self._stop = True
            self._kill()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def _kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()

    def _run(self) -> None:
        self._load_newest()
        while not self._stop:
            self._wake.clear()
            self._watch()
            if self._wanted and self._clock.mono_s() >= self._not_before_s:
                self._build()
            due_s = self._not_before_s - self._clock.mono_s() if self._wanted else WATCH_S
            self._wake.wait(min(max(due_s, SHORTEST_S), WATCH_S))

    def _load_newest(self) -> None:
        found = snapshots(self._folder)
        if not found:
            if self._folder.exists():
                self.note_damage("it was gone")
            return
        try:
            self._take(found[0], self._generation, self._clock.mono_s())
        except (DamagedSnapshotError, OSError) as error:
            self.note_damage(str(error))

    def _watch(self) -> None:
        current = self._current
        damaged = current.damaged_file() if current is not None else None
        if damaged is not None:
            self.note_damage(f"{damaged}: somebody else changed it")
        store = self._source()
        if self._store_file is not None and store is not None and _file(store) != self._store_file:
            self.ask()  # L2 began anew: what the index holds is gone

    def _build(self) -> None:
        store = self._source()
        if store is None:
            self._not_before_s = self._clock.mono_s() + min(self._pause_s, MEND_S)
            return
        with self._guard:
            if self._stop:
                return
            self.building = True  # before the wish is dropped: nobody may find the index idle between the two
            generation, purge = self._generation, self._purge
            self._wanted = self._purge = False
        self._store_file = _file(store)
        started_s = self._clock.mono_s()
        try:
            self._run_child(msgspec.structs.replace(self._orders, store=str(store), purge=purge), generation, started_s)
        except (OSError, DamagedSnapshotError, ChildError) as error:
            self._failed(error, generation, purge)
        else:
            self._failures = 0
            self._trouble = None
            if self._current is not None:
                self._damage = None
            self.builds += 1
            self.build_s = self._clock.mono_s() - started_s
            self._not_before_s = self._clock.mono_s() + self._pause_s
        finally:
            self.building = False

    def _failed(self, error: Exception, generation: int, purge: bool) -> None:
        if self._stop or generation != self._generation:
            return
        pause_s = min(self._pause_s * 2**self._failures, RETRY_MAX_S)
        self._failures += 1
        self._not_before_s = self._clock.mono_s() + pause_s
        self._trouble = f"The vector index in {self._folder} could not be built: {error}; next try in {pause_s:.0f} s."
        log.warning(self._trouble)
        self.ask(purge)

    def _run_child(self, orders: Orders, generation: int, began_s: float) -> None:
        with self._guard:
            remove_others(self._folder, keep=self._current.folder if self._current else None)
            if self._stop or generation != self._generation:
                return
            child = self._child = _start(orders)
        timer = threading.Timer(BUILD_MAX_S, child.kill)
        timer.start()
        try:
            if not self._listen(child, generation, began_s) and self._current is not None:
                self._taker.take(self._current, generation, began_s)  # there was nothing new, which is news as well
        finally:
            timer.cancel()
            child.kill()
            child.wait()
            for stream in (child.stdin, child.stdout):
                assert stream is not None
                stream.close()

    def _listen(self, child: subprocess.Popen[bytes], generation: int, began_s: float) -> int:
        """Takes every snapshot that the child publishes; returns how many there were."""
        assert child.stdout is not None
        published = 0
        for line in child.stdout:
            word = msgspec.json.decode(line, type=Word)
            if word.error:
                raise ChildError(word.error)
            self._take(self._folder / word.published, generation, began_s)
            published += 1
        code = child.wait()
        if code:
            raise ChildError(f"its process ended with {code}")
        return published

    def _take(self, folder: Path, generation: int, began_s: float) -> None:
        """Proves and loads a snapshot, and hands it over."""
        loaded: dict[str, Graph] = self._current.graphs if self._current else {}
        snapshot = Snapshot(folder, self._orders.embedder, self._orders.dim, loaded)
        if self._taker.take(snapshot, generation, began_s):
            with self._guard:
                if generation == self._generation:
                    self._current = snapshot
                    remove_older(folder)


class ChildError(Exception):
    """The child process could not build the index."""


def _file(store: Path) -> int | None:
    """What tells the data file of a store from another one that took its place."""
    try:
        return (store / DATA).stat().st_ino
    except OSError:
        return None


def _start(orders: Orders) -> subprocess.Popen[bytes]:
    """Starts the child process and gives it its orders; its standard input stays open as long as the daemon lives."""
    command = [sys.executable, "-P", "-m", "beastmode.cache.index_build"]
    child = subprocess.Popen(  # noqa: S603 - our own module, no shell
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    assert child.stdin is not None
    try:
        child.stdin.write(msgspec.json.encode(orders) + b"\n")
        child.stdin.flush()
    except OSError as error:
        if error.errno != errno.EPIPE:  # it was ended already, which its exit code tells
            raise
    return child
