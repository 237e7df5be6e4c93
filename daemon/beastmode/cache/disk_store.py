"""The store of L2: operations in durable transactions, records out again, and a size it keeps. Used in threads."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import lmdb

from beastmode.cache.disk_check import DATA, Fingerprint
from beastmode.cache.disk_map import Map
from beastmode.cache.disk_tables import Tables

MAP_MIN_BYTES = 1 << 20
SPARE_BYTES = 8 << 20
FREE_SHARE = 5
BATCH_SHARE = 16
BATCH_MAX_BYTES = 1 << 20
BATCH_MAX = 1000
TURN_BYTES = 256 << 10

Work = Callable[["lmdb.Transaction[bytes]"], int]
"""What happens inside a transaction; returns how many entries were evicted."""


class Store:
    """Records by key. One thread reads, one writes, any may open and close.

    Args:
        folder: Where its files are.
        max_bytes: Size the file may reach; a batch that finds no room may exceed it by an eighth, or 8 MB.
        wall_s: The wall clock.

    Attributes:
        map: Its environment.
        entries: How many there are.
        bytes: Size of the pages in use.
        evictions: Entries that made room for others.
    """

    def __init__(self, folder: Path, max_bytes: int, wall_s: Callable[[], float]) -> None:
        self.folder = folder
        self.map = Map(folder)
        self.entries = 0
        self.bytes = 0
        self.evictions = 0
        self._wall_s = wall_s
        self._size_bytes = _whole_pages(max(max_bytes, MAP_MIN_BYTES))
        self._file_max_bytes = _whole_pages(self._size_bytes + max(self._size_bytes // 8, SPARE_BYTES))
        self._keep_bytes = self._size_bytes - self._size_bytes // FREE_SHARE  # LMDB needs free pages, some in a row
        self._batch_bytes = min(self._size_bytes // BATCH_SHARE, BATCH_MAX_BYTES)
        self._writing = threading.Lock()

    @property
    def oversized(self) -> bool:
        """The file is larger than it may be, because it was allowed more in an earlier run; opening takes a while."""
        return self.map.file_bytes > self._file_max_bytes

    def open(self) -> None:
        """Opens the files, or makes them.

        Raises:
            NewerSchemaError: A newer version wrote them.
            lmdb.Error: They are no store, or the system refuses.
            OSError: The folder can not be made.
        """
        with self._writing:
            self._tables = self.map.open(self._size_bytes, self._prepare)
            try:
                if self.oversized:
                    self._shrink()
            except BaseException:
                self.map.close()
                raise

    def _prepare(self, env: lmdb.Environment, txn: lmdb.Transaction[bytes]) -> Tables:
        tables = Tables(env, txn)
        tables.upgrade(txn, self.folder)
        self.entries, self.bytes = tables.count(txn), tables.size_bytes(txn)
        return tables

    def _shrink(self) -> None:
        """Evicts what no longer fits and gives the room back to the disk, where there is room to do so."""
        self._grow(SPARE_BYTES, self.map.size_bytes + SPARE_BYTES)
        self._evict_down()
        fresh = self.folder.with_name(self.folder.name + ".compact")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        try:
            self.map.copy_to(fresh)
        except lmdb.Error:  # it stays as large as it is
            shutil.rmtree(fresh, ignore_errors=True)
            return
        self.map.close()
        (fresh / DATA).replace(self.folder / DATA)
        fresh.rmdir()
        self._tables = self.map.open(self._size_bytes, self._prepare)

    def close(self) -> Fingerprint | None:
        """Closes the files; harmless when they are closed.

        Returns:
            How the data file was left; None where it is not as this process wrote it.
        """
        with self._writing:
            return self.map.close()

    def get(self, key: bytes) -> bytes | None:
        """Reads a record.

        Args:
            key: The exact key.

        Raises:
            AwayError: The store is closed, or its file was changed by somebody else.
            lmdb.Error: The store is damaged.
        """
        with self.map.reading() as txn:
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
        with self.map.reading() as txn:
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
        with self.map.reading() as txn:
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
                self._apply(batch)
            self._evict_down()

    def _apply(self, batch: list[bytes]) -> None:
        """Does a batch in one transaction, or in several smaller ones where the map is too full for that."""
        try:
            self._commit(partial(self._do, batch=batch))
            return
        except lmdb.MapFullError:
            self._make_room()
        if len(batch) == 1:
            self._commit(partial(self._do, batch=batch))
            return
        self._apply(batch[: len(batch) // 2])
        self._apply(batch[len(batch) // 2 :])

    def _do(self, txn: lmdb.Transaction[bytes], batch: list[bytes]) -> int:
        now_s = self._wall_s()
        for operation in batch:
            self._tables.apply(txn, operation, now_s)
        return self._evict(txn)

    def _evict(self, txn: lmdb.Transaction[bytes]) -> int:
        """Evicts what is too much, but never so much at once that the transaction itself finds no room."""
        return self._tables.evict(txn, max(self._keep_bytes, self.bytes - self._batch_bytes))

    def _evict_down(self) -> None:
        """Evicts all that is too much, which is more than a little only where less is allowed than before."""
        while self.bytes > self._keep_bytes:
            try:
                self._commit(self._evict)
            except lmdb.MapFullError:
                self._make_room()
                self._commit(self._evict)

    def _commit(self, work: Work) -> None:
        def counted(txn: lmdb.Transaction[bytes]) -> tuple[int, int, int]:
            return work(txn), self._tables.count(txn), self._tables.size_bytes(txn)

        try:
            done = self.map.commit(counted)
        except lmdb.MapResizedError:  # another process made the map larger
            self.map.resize(0)
            done = self.map.commit(counted)
        evicted, self.entries, self.bytes = done
        self.evictions += evicted

    def _make_room(self) -> None:
        """Makes pages free: those that a commit freed, or a dead reader held, wait for one more commit."""
        self.map.forget_dead_readers()
        self._grow(MAP_MIN_BYTES, self._file_max_bytes - MAP_MIN_BYTES)
        try:
            self._commit(self._turn)
        except lmdb.MapFullError:
            self._grow(TURN_BYTES, self._file_max_bytes)
            self._commit(self._turn)

    def _turn(self, txn: lmdb.Transaction[bytes]) -> int:
        self._tables.turn(txn)
        return 0

    def _grow(self, more_bytes: int, largest_bytes: int) -> None:
        larger_bytes = min(self.map.size_bytes + more_bytes, largest_bytes)
        if larger_bytes > self.map.size_bytes:
            self.map.resize(larger_bytes)


def _batches(operations: Iterable[bytes], max_bytes: int) -> Iterator[list[bytes]]:
    """Cuts operations into transactions that are small beside the map."""
    batch: list[bytes] = []
    size = 0
    for operation in operations:
        if batch and (size + len(operation) > max_bytes or len(batch) == BATCH_MAX):
            yield batch
            batch, size = [], 0
        batch.append(operation)
        size += len(operation)
    if batch:
        yield batch


def _whole_pages(size: int) -> int:
    return -(-size // 65536) * 65536
