"""The LMDB file of L2: opening, reading, transactions, and a map that grows within bounds. Blocks; used in threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import lmdb

from beastmode.cache.disk_check import Fingerprint, fingerprint
from beastmode.cache.disk_tables import Tables

LOCK = "lock.mdb"
MAP_MIN_BYTES = 1 << 20
SPARE_BYTES = 8 << 20
BATCH_SHARE = 16
ROOM_ATTEMPTS = 6

Work = Callable[["lmdb.Transaction[bytes]"], int]
"""What happens inside a transaction; returns how many entries were evicted."""


class AwayError(Exception):
    """The store is not open, or is not the file it was: nothing was read or written."""


class Store:
    """One LMDB environment. One thread reads, one writes, any may open and close. It is never open across a fork.

    Args:
        folder: Where its files are.
        max_bytes: Size the file may reach; a batch that finds no room may exceed it by an eighth, or 8 MB.
        wall_s: The wall clock.

    Attributes:
        watch: Whether a change of the file by someone else is looked for.
        entries: How many there are.
        bytes: Size of the pages in use.
        evictions: Entries that made room for others.
    """

    def __init__(self, folder: Path, max_bytes: int, wall_s: Callable[[], float]) -> None:
        self.folder = folder
        self.watch = True
        self.entries = 0
        self.bytes = 0
        self.evictions = 0
        self._wall_s = wall_s
        self._map_bytes = _whole_pages(max(max_bytes, MAP_MIN_BYTES))
        self._map_max_bytes = _whole_pages(self._map_bytes + max(self._map_bytes // 8, SPARE_BYTES))
        self._keep_bytes = (
            self._map_bytes - self._map_bytes // 8
        )  # pages that a commit frees are free two commits later
        self._batch_bytes = self._map_bytes // BATCH_SHARE
        self._env: lmdb.Environment | None = None
        self._writing = threading.Lock()
        self._mapping = threading.Lock()  # held while the map is read, and while it is moved or taken away
        self._left: Fingerprint | None = None
        self._lock_bytes = 0

    def open(self) -> None:
        """Opens the files, or makes them.

        Raises:
            NewerSchemaError: A newer version wrote them.
            lmdb.Error: They are no store, or the system refuses.
            OSError: The folder can not be made.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._writing, self._mapping:
            env = lmdb.open(
                str(self.folder), map_size=self._map_bytes, max_dbs=8, mode=0o600, readahead=False, lib_version=0
            )
            try:
                env.reader_check()
                with env.begin(write=True) as txn:
                    self._tables = Tables(env, txn)
                    self._tables.upgrade(txn, self.folder)
                    self.entries, self.bytes = self._tables.count(txn), self._tables.size_bytes(txn)
                self._lock_bytes = (self.folder / LOCK).stat().st_size
            except BaseException:
                env.close()
                raise
            self._env = env
            self._left = fingerprint(self.folder)

    def close(self) -> Fingerprint | None:
        """Closes the files; harmless when they are closed.

        Returns:
            How the data file was left; None where it is not as this process wrote it.
        """
        with self._writing, self._mapping:
            env, self._env = self._env, None
            if env is None:
                return None
            self._mend_lock()
            env.close()
            found = fingerprint(self.folder)
            return found if found == self._left else None

    def get(self, key: bytes) -> bytes | None:
        """Reads a record.

        Args:
            key: The exact key.

        Raises:
            AwayError: The store is closed, or its file was changed by somebody else.
            lmdb.Error: The store is damaged.
        """
        with self._reading() as txn:
            return txn.get(key, db=self._tables.entries)

    def keys(self, after: bytes, limit: int) -> list[tuple[bytes, float]]:
        """Lists keys in order, with the wall clock at which each was stored (infinite: it has no age).

        Args:
            after: The last key of the piece before; empty at the beginning.
            limit: Most keys to list.

        Raises:
            AwayError: As `get`.
            lmdb.Error: As `get`.
        """
        with self._reading() as txn:
            return self._tables.keys(txn, after, limit)

    def records(self, after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Reads records in the order of their keys.

        Args:
            after: The last key of the piece before; empty at the beginning.
            limit: Most records to read.

        Raises:
            AwayError: As `get`.
            lmdb.Error: As `get`.
        """
        with self._reading() as txn:
            return self._tables.records(txn, after, limit)

    def apply(self, operations: Iterable[bytes]) -> None:
        """Does operations in order, durably, and evicts what no longer fits.

        Args:
            operations: As `disk_tables` makes them.

        Raises:
            AwayError: As `get`.
            lmdb.Error: The disk or the map is full, or the store is damaged.
        """
        with self._writing:
            for batch in _batches(operations, self._batch_bytes):
                self._transact(partial(self._apply, batch=batch))

    def _apply(self, txn: lmdb.Transaction[bytes], batch: list[bytes]) -> int:
        now_s = self._wall_s()
        for operation in batch:
            self._tables.apply(txn, operation, now_s)
        return self._tables.evict(txn, self._keep_bytes)

    def _transact(self, work: Work) -> None:
        """Runs one durable transaction, and makes room for it where the map is full."""
        for attempt in range(ROOM_ATTEMPTS):
            try:
                self._commit(work)
                return
            except lmdb.MapFullError:
                if attempt == ROOM_ATTEMPTS - 1:
                    raise
                self._make_room(grow=attempt % 2 == 1)
            except lmdb.MapResizedError:
                self._remap(0)

    def _commit(self, work: Work) -> None:
        env = self._untouched()
        self._left = None
        try:
            with env.begin(write=True) as txn:
                evicted = work(txn)
                entries, size_bytes = self._tables.count(txn), self._tables.size_bytes(txn)
        finally:
            self._left = fingerprint(self.folder)
        self.entries, self.bytes = entries, size_bytes
        self.evictions += evicted

    def _make_room(self, grow: bool) -> None:
        if not grow:
            try:
                self._commit(lambda txn: self._tables.evict(txn, self.bytes - self._batch_bytes))
                return
            except lmdb.MapFullError:  # even taking away needs a page or two
                pass
        larger_bytes = min(self._map_bytes + self._batch_bytes + MAP_MIN_BYTES, self._map_max_bytes)
        if larger_bytes > self._map_bytes:
            self._remap(larger_bytes)

    def _remap(self, map_bytes: int) -> None:
        assert self._env is not None
        with self._mapping:
            self._env.set_mapsize(map_bytes)
            self._map_bytes = self._env.info()["map_size"]

    @contextmanager
    def _reading(self) -> Iterator[lmdb.Transaction[bytes]]:
        with self._mapping, self._untouched().begin() as txn:
            yield txn

    def _untouched(self) -> lmdb.Environment:
        """The environment, where its file is the one that this process wrote last."""
        env, left = self._env, self._left
        if env is None:
            raise AwayError("the store is closed")
        if self.watch and left is not None and fingerprint(self.folder) != left and self._left is left:
            raise AwayError("somebody else changed the store's file")
        return env

    def _mend_lock(self) -> None:
        """Gives the lock file its size back: closing reads all of it."""
        path = self.folder / LOCK
        if path.exists() and path.stat().st_size < self._lock_bytes:
            os.truncate(path, self._lock_bytes)


def _batches(operations: Iterable[bytes], max_bytes: int) -> Iterator[list[bytes]]:
    """Cuts operations into transactions that are small beside the map."""
    batch: list[bytes] = []
    size = 0
    for operation in operations:
        if batch and size + len(operation) > max_bytes:
            yield batch
            batch, size = [], 0
        batch.append(operation)
        size += len(operation)
    if batch:
        yield batch


def _whole_pages(size: int) -> int:
    return -(-size // 65536) * 65536
