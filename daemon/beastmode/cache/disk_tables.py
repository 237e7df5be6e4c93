"""The tables of L2 and the operations on them, inside a transaction that someone else opened.

`meta` holds the schema, `entries` key -> record, `used` key -> stamp of its last use and time of storing, `order`
stamp + key -> nothing: how the least recently used is found. A stamp is the wall clock in microseconds, and always
larger than the one before. An operation is bytes, so that a journal can keep it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import lmdb

from beastmode.cache.record import expires_s
from beastmode.core.errors import InternalError

SCHEMA = 1
MIGRATIONS: tuple[Callable[[Tables, lmdb.Transaction[bytes]], None], ...] = ()
"""`MIGRATIONS[n - 1]` turns tables of schema n into those of schema n + 1."""

KEY_BYTES = 16
PUT, REMOVE, TOUCH, CLEAR = b"p", b"r", b"t", b"c"
_STORED = struct.Struct(">d")
_STAMP = struct.Struct(">Q")
_STAMP_MAX = (1 << 63) - 1
_SCHEMA_KEY = b"schema"
_TURN_KEY = b"turn"


class NewerSchemaError(InternalError):
    """A newer BEAST MODE wrote the store."""


def put_operation(key: bytes, record: bytes) -> bytes:
    """Stores a record under a key of 16 bytes, in place of an older one."""
    return PUT + key + record


def remove_operation(keys: Iterable[bytes]) -> bytes:
    """Forgets keys."""
    return REMOVE + b"".join(keys)


def touch_operation(key: bytes) -> bytes:
    """Notes that a key was used."""
    return TOUCH + key


def keys_of(operation: bytes) -> list[bytes]:
    """The keys whose record an operation changes; for CLEAR it is every key, and none is named.

    Args:
        operation: What one of the functions above gave.

    Raises:
        ValueError: It is none of them.
    """
    kind, size = operation[:1], len(operation)
    if kind == PUT and size > KEY_BYTES:
        return [operation[1 : 1 + KEY_BYTES]]
    if kind == REMOVE and size % KEY_BYTES == 1:
        return [operation[at : at + KEY_BYTES] for at in range(1, size, KEY_BYTES)]
    if operation == CLEAR or (kind == TOUCH and size == 1 + KEY_BYTES):
        return []
    raise ValueError("no operation of this version")


def checked_operation(payload: bytes) -> bytes:
    """Passes an operation of an earlier run on.

    Args:
        payload: What the journal held.

    Raises:
        ValueError: It is none.
    """
    keys_of(payload)
    return payload


class Tables:
    """The four tables of an open environment.

    Args:
        env: The environment.
        txn: A write transaction, in which missing tables are made.

    Raises:
        lmdb.Error: They are not ours.
    """

    def __init__(self, env: lmdb.Environment, txn: lmdb.Transaction[bytes]) -> None:
        self.is_new = txn.stat()["entries"] == 0
        self._page_bytes = env.stat()["psize"]
        self.meta = env.open_db(b"meta", txn=txn)
        self.entries = env.open_db(b"entries", txn=txn)
        self.used = env.open_db(b"used", txn=txn)
        self.order = env.open_db(b"order", txn=txn)
        with txn.cursor(self.order) as cursor:
            self._last_stamp = _STAMP.unpack_from(cursor.key())[0] if cursor.last() else 0

    def upgrade(self, txn: lmdb.Transaction[bytes], where: Path) -> None:
        """Brings the tables to this version's schema.

        Args:
            txn: A write transaction.
            where: The folder, for the error.

        Raises:
            NewerSchemaError: They have a newer one.
            lmdb.Error: They have none.
        """
        said = txn.get(_SCHEMA_KEY, db=self.meta)
        found = SCHEMA if self.is_new else int(said) if said and said.isdigit() else 0
        refuse_newer(found, where)
        if found < 1:
            raise lmdb.CorruptedError("the store names no schema")
        for migrate in MIGRATIONS[found - 1 : SCHEMA - 1]:
            migrate(self, txn)
        if said != b"%d" % SCHEMA:
            txn.put(_SCHEMA_KEY, b"%d" % SCHEMA, db=self.meta)

    def count(self, txn: lmdb.Transaction[Any]) -> int:
        """How many entries there are."""
        return txn.stat(self.entries)["entries"]

    def size_bytes(self, txn: lmdb.Transaction[Any]) -> int:
        """Size of all pages in use."""
        pages = 0
        for table in (self.entries, self.used, self.order):
            found = txn.stat(table)
            pages += found["branch_pages"] + found["leaf_pages"] + found["overflow_pages"]
        return pages * self._page_bytes

    def apply(self, txn: lmdb.Transaction[bytes], operation: bytes, now_s: float) -> None:
        """Does what an operation says; doing it twice is the same as once.

        Args:
            txn: A write transaction.
            operation: What one of the functions above gave.
            now_s: Wall clock.
        """
        kind = operation[:1]
        if kind == PUT:
            self._put(txn, operation[1 : 1 + KEY_BYTES], operation[1 + KEY_BYTES :], now_s)
        elif kind == REMOVE:
            for key in keys_of(operation):
                self._remove(txn, key)
        elif kind == TOUCH:
            self._touch(txn, operation[1:], now_s)
        elif kind == CLEAR:
            for table in (self.entries, self.used, self.order):
                txn.drop(table, delete=False)

    def _put(self, txn: lmdb.Transaction[bytes], key: bytes, record: bytes, now_s: float) -> None:
        self._forget_order(txn, key)
        txn.put(key, record, db=self.entries)
        self._note_use(txn, key, _STORED.pack(expires_s(record, 0.0)), now_s)

    def _remove(self, txn: lmdb.Transaction[bytes], key: bytes) -> None:
        self._forget_order(txn, key)
        txn.delete(key, db=self.used)
        txn.delete(key, db=self.entries)

    def _touch(self, txn: lmdb.Transaction[bytes], key: bytes, now_s: float) -> None:
        found = txn.get(key, db=self.used)
        if found is not None:
            txn.delete(found[: _STAMP.size] + key, db=self.order)
            self._note_use(txn, key, found[_STAMP.size :], now_s)

    def _note_use(self, txn: lmdb.Transaction[bytes], key: bytes, stored: bytes, now_s: float) -> None:
        self._last_stamp = min(max(self._last_stamp + 1, int(now_s * 1e6)), _STAMP_MAX)
        stamp = _STAMP.pack(self._last_stamp)
        txn.put(key, stamp + stored, db=self.used)
        txn.put(stamp + key, b"", db=self.order)

    def _forget_order(self, txn: lmdb.Transaction[bytes], key: bytes) -> None:
        found = txn.get(key, db=self.used)
        if found is not None:
            txn.delete(found[: _STAMP.size] + key, db=self.order)

    def evict(self, txn: lmdb.Transaction[bytes], keep_bytes: int) -> int:
        """Forgets the least recently used entries until the rest fits.

        Args:
            txn: A write transaction.
            keep_bytes: What may stay.

        Returns:
            How many went.
        """
        went = 0
        with txn.cursor(self.order) as cursor:
            while self.size_bytes(txn) > keep_bytes and cursor.first():
                key = cursor.key()[_STAMP.size :]
                cursor.delete()
                txn.delete(key, db=self.used)
                txn.delete(key, db=self.entries)
                went += 1
        return went

    def turn(self, txn: lmdb.Transaction[bytes]) -> None:
        """Changes a few bytes, so that there is something to commit."""
        txn.put(_TURN_KEY, b"%d" % txn.id(), db=self.meta)

    def keys(self, txn: lmdb.Transaction[bytes], after: bytes, limit: int) -> list[tuple[bytes, float]]:
        """Lists keys in order, with the wall clock at which each was stored (infinite: it has no age)."""
        return [
            (key, _STORED.unpack_from(value, _STAMP.size)[0]) for key, value in _piece(txn, self.used, after, limit)
        ]

    def records(self, txn: lmdb.Transaction[bytes], after: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Reads records in the order of their keys."""
        return list(_piece(txn, self.entries, after, limit))


def refuse_newer(schema: int, where: Path) -> None:
    """Stops before a store that this version would spoil.

    Args:
        schema: The schema it has.
        where: Its folder.

    Raises:
        NewerSchemaError: It is newer than this version's.
    """
    if schema > SCHEMA:
        raise NewerSchemaError(
            f"The cache in {where} has schema {schema}, written by a newer BEAST MODE; this one knows {SCHEMA}.",
            tips=[
                "install the newer version again: pip install --upgrade beastmode",
                f"or start with an empty cache: mv {where} {where}.newer",
            ],
        )


def _piece(txn: lmdb.Transaction[bytes], table: Any, after: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
    with txn.cursor(table) as cursor:
        found = cursor.set_range(after + b"\0") if after else cursor.first()
        while found and limit > 0:
            yield cursor.item()
            limit -= 1
            found = cursor.next()
