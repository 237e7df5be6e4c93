"""Keeps the store of L2 open and sound: checks it before it is trusted, moves a damaged one aside, starts a new one."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable

import lmdb

from beastmode.cache import disk_tables
from beastmode.cache.disk_check import Mark, UncheckedError, check_in_child, fingerprint
from beastmode.cache.disk_store import Store
from beastmode.cache.disk_tables import NewerSchemaError, refuse_newer
from beastmode.core.clock import Clock

log = logging.getLogger(__name__)

CHECK_MAX_S = 60.0
RETRY_S = 5.0
NOTE_S = 600.0
FALSE_ALARMS_MAX = 3
PASSING = frozenset(
    {
        errno.EAGAIN,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOSPC,
        errno.EROFS,
    }
)
"""Troubles of the machine, which say nothing about the store."""


def is_passing(error: Exception) -> bool:
    """Whether an error is the machine's and not the store's: no space, no descriptor, a full map."""
    code = error.errno if isinstance(error, OSError) else getattr(error, "code", None)
    return isinstance(error, lmdb.MapFullError) or code in PASSING


class Keeper:
    """Opens the store at once after a clean stop, after a check in a child process otherwise.

    Args:
        store: The store; the mark of a clean stop is kept beside its folder.
        clock: Time.
        on_ready: Called whenever the store is open again, on any thread.

    Attributes:
        ready: The store is open.
        away_since_s: Monotonic clock of when it was not, last.
    """

    def __init__(self, store: Store, clock: Clock, on_ready: Callable[[], None]) -> None:
        self.ready = False
        self.away_since_s = 0.0
        self._store = store
        self._clock = clock
        self._on_ready = on_ready
        self._mark = Mark(store.folder.with_name(store.folder.name + ".json"))
        self._guard = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._notes: list[tuple[float, str]] = []
        self._trouble: str | None = None
        self._false_alarms = 0

    @property
    def problem(self) -> str | None:
        """What is wrong, and for ten minutes what was, in sentences; None where all is well."""
        now_s = self._clock.mono_s()
        said = [note for until_s, note in self._notes if until_s > now_s]
        return " ".join([self._trouble, *said] if self._trouble else said) or None

    def note(self, sentence: str) -> None:
        """Keeps a sentence in `problem` for ten minutes."""
        log.warning(sentence)
        self._notes.append((self._clock.mono_s() + NOTE_S, sentence))

    def start(self) -> None:
        """Opens the store where that is safe, else begins to check it. Blocks for milliseconds.

        Raises:
            NewerSchemaError: A newer version wrote it.
        """
        self.away_since_s = self._clock.mono_s()
        said = self._mark.read()
        schema = said.get("schema") if said else None
        refuse_newer(schema if isinstance(schema, int) else 0, self._store.folder)
        found = fingerprint(self._store.folder)
        if found is None or not found[1]:
            if said is not None:
                self.note(f"The cache file in {self._store.folder} was gone or empty; a new one is in use.")
            self._try(self._open)
        elif self._mark.vouches_for(found) and not self._store.oversized:
            self._try(self._open)
        if not self.ready:
            self._begin_check()

    def suspect(self) -> None:
        """Closes the store and checks it; for any thread that met something odd. Returns at once."""
        with self._guard:
            if not self.ready or self._stop.is_set():
                return
            self.ready = False
        self.away_since_s = self._clock.mono_s()
        self._begin_check()

    def wait(self, timeout_s: float) -> None:
        """Waits for a check that runs. Blocks.

        Args:
            timeout_s: Longest wait.
        """
        if self._thread is not None and not self.ready:
            self._thread.join(timeout_s)

    def close(self) -> None:
        """Ends a check, closes the store and leaves the mark of a clean stop. Blocks."""
        with self._guard:
            self._stop.set()
            was_ready, self.ready = self.ready, False
        if self._thread is not None:
            self._thread.join()
        left = self._store.close()
        if was_ready and left is not None:
            self._mark.write(disk_tables.SCHEMA, left)

    def _begin_check(self) -> None:
        self._thread = threading.Thread(target=self._run, name="cache-check", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._store.close()
        while not self._try(self._check_and_open):
            if self._stop.wait(RETRY_S):
                return

    def _try(self, step: Callable[[], None]) -> bool:
        """Takes a step; what goes wrong is a problem that may pass.

        Returns:
            False where it makes sense to try again.
        """
        try:
            step()
        except UncheckedError as error:
            self._trouble = f"The cache in {self._store.folder} could not be checked: {error}."
        except NewerSchemaError as error:
            if step == self._open:
                raise
            self._trouble = error.message
            return True
        except (lmdb.Error, OSError) as error:
            self._trouble = f"The cache in {self._store.folder} could not be opened: {error}."
        else:
            self._trouble = None
            return True
        return False

    def _check_and_open(self) -> None:
        wrong = None
        if fingerprint(self._store.folder) is not None:
            wrong = check_in_child(self._store.folder, self._stop, CHECK_MAX_S)
        if wrong is None:
            try:
                self._open(checked=True)
                return
            except (lmdb.Error, OSError) as error:
                if is_passing(error):
                    raise
                wrong = str(error)
        self._move_aside(wrong)
        self._open()

    def _open(self, checked: bool = False) -> None:
        self._store.open()
        self._mark.write(disk_tables.SCHEMA, None)
        with self._guard:
            if self._stop.is_set():
                return
            self.ready = True
        if checked:
            self._false_alarms += 1
            self._store.map.watch = self._false_alarms <= FALSE_ALARMS_MAX
        self._on_ready()

    def _move_aside(self, wrong: str) -> None:
        folder = self._store.folder
        if not folder.exists():
            return
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock.wall_s()))
        aside = folder.with_name(f"{folder.name}.damaged-{stamp}")
        number = 1
        while aside.exists():
            number += 1
            aside = folder.with_name(f"{folder.name}.damaged-{stamp}-{number}")
        folder.rename(aside)
        self.note(f"The cache on disk was damaged ({wrong}); it was moved to {aside} and a new one is in use.")
