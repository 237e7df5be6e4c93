"""An entry as bytes on disk: a version, its age, a checksum over everything, and the entry in msgpack."""

from __future__ import annotations

import struct
from collections.abc import Callable
from hashlib import blake2b
from typing import TypeVar

import msgspec

from beastmode.core.types import Entry

T = TypeVar("T")

VERSION = 1
_HEADER = struct.Struct(">BBd8s")
_CHECKED = struct.Struct(">BBd")
_CHECKED_BYTES = _CHECKED.size
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


class Vectored(msgspec.Struct, frozen=True):
    """The part of an entry that the vector index is built from; the fields are those of `Entry`."""

    scope: bytes
    vector: bytes = b""
    embedder: str = ""


_decode_vectored = msgspec.msgpack.Decoder(Vectored).decode


class DamagedRecordError(ValueError):
    """The bytes are not what was written for this key."""


def pack(entry: Entry) -> bytes:
    """Writes an entry.

    Args:
        entry: The entry.

    Raises:
        ValueError: A text in it holds a lone surrogate, which no encoding has.
    """
    body = _encode(entry)
    head = _CHECKED.pack(VERSION, entry.pinned, entry.stored_at_s)
    return head + _checksum(entry.key, head, body) + body


def unpack(key: bytes, record: bytes | memoryview) -> Entry:
    """Reads an entry.

    Args:
        key: The key it was found under.
        record: What `pack` gave.

    Raises:
        DamagedRecordError: Another version, another key, or a bit was changed.
    """
    return _read(key, record, _decode)


def unpack_vector(key: bytes, record: bytes | memoryview) -> Vectored:
    """Reads of an entry only what the vector index is built from.

    Args:
        key: The key it was found under.
        record: What `pack` gave.

    Raises:
        DamagedRecordError: As `unpack`.
    """
    return _read(key, record, _decode_vectored)


def expires_s(record: bytes | memoryview, ttl_s: float) -> float:
    """When a record ends by the wall clock; one that is bound to files never does.

    Args:
        record: What `pack` gave; where it is too short to tell, it has ended.
        ttl_s: Age it may reach.
    """
    if len(record) < _HEADER.size:
        return 0.0
    _, pinned, stored_at_s, _ = _HEADER.unpack_from(record)
    return float("inf") if pinned else stored_at_s + ttl_s


def _read(key: bytes, record: bytes | memoryview, decode: Callable[[bytes | memoryview], T]) -> T:
    head, checksum, body = record[:_CHECKED_BYTES], record[_CHECKED_BYTES : _HEADER.size], record[_HEADER.size :]
    if not head or head[0] != VERSION or _checksum(key, head, body) != checksum:
        raise DamagedRecordError("the checksum does not match")
    try:
        return decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DamagedRecordError("it is no entry of this version") from error


def _checksum(key: bytes, head: bytes | memoryview, body: bytes | memoryview) -> bytes:
    digest = blake2b(key, digest_size=8)
    digest.update(head)
    digest.update(body)
    return digest.digest()
