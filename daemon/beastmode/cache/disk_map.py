"""One LMDB environment that is never used when its file is not as we left it. Blocks; used in threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import lmdb

from beastmode.cache.disk_check import DATA, Fingerprint, fingerprint

T = TypeVar("T")
LOCK = "lock.mdb"


class AwayError(Exception):
    """The store is not open, or is not the file it was: nothing was read or written."""


class Map:
    """An environment of LMDB. One thread reads, one writes, any may open and close. It is never open across a fork.

    Args:
        folder: Where its files are.

    Attributes:
        watch: Whether a change of the file by someone else is looked for.
        size_bytes: Size of the map, which the file can not exceed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.watch = True
        self.size_bytes = 0
        self._env: lmdb.Environment | None = None
        self._moving = threading.Lock()  # held while the map is read, and while it is moved or taken away
        self._left: Fingerprint | None = None
        self._least_bytes = 0
        self._lock_bytes = 0

    @property
    def file_bytes(self) -> int:
        """Size of the data file."""
        found = fingerprint(self.folder)
        return found[1] if found else 0

    def open(self, size_bytes: int, prepare: Callable[[lmdb.Environment, lmdb.Transaction[bytes]], T]) -> T:
        """Opens the files, or makes them.

        Args:
            size_bytes: Size of the map; a larger file has a larger one.
            prepare: The first transaction.

        Returns:
            What it returned.

        Raises:
            lmdb.Error: They are no environment, or the system refuses.
            OSError: The folder can not be made.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._moving:
            env = lmdb.open(
                str(self.folder), map_size=size_bytes, max_dbs=8, mode=0o600, readahead=False, lib_version=0
            )
            try:
                env.reader_check()
                with env.begin(write=True) as txn:
                    prepared = prepare(env, txn)
                self._lock_bytes = (self.folder / LOCK).stat().st_size
            except BaseException:
                env.close()
                raise
            self.size_bytes = env.info()["map_size"]
            self._env = env
            self._least_bytes = 0
            self._leave()
        return prepared

    def close(self) -> Fingerprint | None:
        """Closes the files; harmless when they are closed. Nobody may be writing.

        Returns:
            How the data file was left; None where it is not as this process wrote it.
        """
        with self._moving:
            env, self._env = self._env, None
            if env is None:
                return None
            self._mend_lock()
            env.close()
            found = fingerprint(self.folder)
            return found if found == self._left and found is not None and found[1] >= self._least_bytes else None

    @contextmanager
    def reading(self) -> Iterator[lmdb.Transaction[bytes]]:
        """A transaction that reads.

        Raises:
            AwayError: The map is closed, or its file was changed by somebody else.
        """
        with self._moving, self._untouched().begin() as txn:
            yield txn

    def commit(self, work: Callable[[lmdb.Transaction[bytes]], T]) -> T:
        """Runs one durable transaction.

        Args:
            work: What happens in it.

        Returns:
            What it returned.

        Raises:
            AwayError: As `reading`.
            lmdb.Error: The disk or the map is full, or the file is damaged.
        """
        env = self._untouched()
        self._left = None
        try:
            with env.begin(write=True) as txn:
                return work(txn)
        finally:
            self._leave()

    def resize(self, size_bytes: int) -> None:
        """Makes the map larger, between transactions.

        Args:
            size_bytes: Its new size; 0: the one that another process gave it.
        """
        assert self._env is not None
        with self._moving:
            self._env.set_mapsize(size_bytes)
            self.size_bytes = self._env.info()["map_size"]

    def forget_dead_readers(self) -> None:
        """Takes away what processes that were killed during a read still hold."""
        self._untouched().reader_check()

    def copy_to(self, folder: Path) -> None:
        """Writes a copy without free pages.

        Args:
            folder: An empty folder.

        Raises:
            lmdb.Error: There is no room.
        """
        self._untouched().copy(str(folder), compact=True)
        (folder / DATA).chmod(0o600)

    def _leave(self) -> None:
        """Notes how the file is now; its size also against what somebody else did to it during a commit."""
        self._left = left = fingerprint(self.folder)
        self._least_bytes = max(self._least_bytes, left[1] if left is not None else 0)

    def _untouched(self) -> lmdb.Environment:
        """The environment, where its file is the one that this process wrote last.

        LMDB never makes its file shorter: one that is, is looked for at any time, since to read it ends the process.
        """
        env, left, least_bytes = self._env, self._left, self._least_bytes
        if env is None:
            raise AwayError("the store is closed")
        found = fingerprint(self.folder)
        if found is not None and found[1] < least_bytes:
            raise AwayError("somebody cut the store's file short")
        if self.watch and left is not None and found != left and self._left is left:
            raise AwayError("somebody else changed the store's file")
        return env

    def _mend_lock(self) -> None:
        """Gives the lock file its size back: closing reads all of it."""
        path = self.folder / LOCK
        if path.exists() and path.stat().st_size < self._lock_bytes:
            os.truncate(path, self._lock_bytes)
