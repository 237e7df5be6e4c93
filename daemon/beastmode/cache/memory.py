"""L1: answers in memory, least recently used out first, bounded in bytes and age. Used on the event loop only."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from math import inf
from sys import getsizeof
from typing import Any

import msgspec

from beastmode.core.types import Completion, Entry, Variant

ENTRY_OVERHEAD_BYTES = 1450
"""The objects around an entry's texts: entry, completion, usage, key, slot and their places in dictionaries.

Measured on a daemon that had answered 100,000 streams.
"""

CHOICE_OVERHEAD_BYTES = 600
"""The objects around the texts of a further answer."""

NESTED_FACTOR = 4
"""Memory of lists and objects, as a multiple of their length in JSON."""

SHARE_MAX = 8
"""An entry larger than one part in this many of the tier would push out too much else."""


class MemoryStats(msgspec.Struct, frozen=True):
    """What L1 holds and what it did since the start.

    Attributes:
        entries: Answers it holds.
        bytes: Memory they take, about.
        max_bytes: Memory they may take.
        hits: Lookups it answered.
        misses: Lookups it did not answer, those of expired entries among them.
        evictions: Entries that made room for others.
        expired: Entries that were found too old.
    """

    entries: int
    bytes: int
    max_bytes: int
    hits: int
    misses: int
    evictions: int
    expired: int


class _Slot:
    """An entry, when it ends, and what it takes."""

    __slots__ = ("entry", "expires_s", "size_bytes")

    def __init__(self, entry: Entry, expires_s: float, size_bytes: int) -> None:
        self.entry = entry
        self.expires_s = expires_s
        self.size_bytes = size_bytes


class MemoryTier:
    """Answers in memory. An entry handed in or out is shared: nobody changes it.

    Args:
        max_bytes: Memory it may take.
        ttl_s: Age at which an answer is no longer served; one that is bound to files has no such age.
    """

    def __init__(self, max_bytes: int, ttl_s: float) -> None:
        self._max_bytes = max_bytes
        self._ttl_s = ttl_s
        self._slots: OrderedDict[bytes, _Slot] = OrderedDict()
        self._bytes = 0
        self._hits = 0
        self._misses = 0
        self._evictions = 0
        self._expired = 0

    def get(self, key: bytes, now_s: float) -> Entry | None:
        """Looks an answer up.

        Args:
            key: The exact key.
            now_s: Wall clock.
        """
        slot = self._slots.get(key)
        if slot is None:
            self._misses += 1
            return None
        if now_s >= slot.expires_s:
            self._drop(key)
            self._expired += 1
            self._misses += 1
            return None
        self._slots.move_to_end(key)
        self._hits += 1
        return slot.entry

    def peek(self, key: bytes) -> Entry | None:
        """Looks at an answer without using it: it is not counted and ages on.

        Args:
            key: The exact key.
        """
        slot = self._slots.get(key)
        return slot.entry if slot is not None else None

    def put(self, entry: Entry, now_s: float) -> None:
        """Keeps an answer, in place of an older one of the same key; not one that is too old or too large.

        Args:
            entry: The answer.
            now_s: Wall clock.
        """
        if entry.key in self._slots:
            self._drop(entry.key)
        expires_s = inf if entry.pinned else entry.stored_at_s + self._ttl_s
        size_bytes = entry_bytes(entry)
        if now_s >= expires_s or size_bytes * SHARE_MAX > self._max_bytes:
            return
        self._slots[entry.key] = _Slot(entry, expires_s, size_bytes)
        self._bytes += size_bytes
        while self._bytes > self._max_bytes:
            _, slot = self._slots.popitem(last=False)
            self._bytes -= slot.size_bytes
            self._evictions += 1

    def remove(self, keys: Iterable[bytes]) -> None:
        """Forgets answers; keys that are not there do not matter."""
        for key in keys:
            self._drop(key)

    def clear(self) -> None:
        """Forgets every answer."""
        self._slots.clear()
        self._bytes = 0

    def entries(self) -> Iterator[Entry]:
        """Every answer it holds now, expired ones among them, least recently used first."""
        return iter([slot.entry for slot in self._slots.values()])

    def stats(self) -> MemoryStats:
        """What it holds and what it did."""
        return MemoryStats(
            entries=len(self._slots),
            bytes=self._bytes,
            max_bytes=self._max_bytes,
            hits=self._hits,
            misses=self._misses,
            evictions=self._evictions,
            expired=self._expired,
        )

    def _drop(self, key: bytes) -> None:
        slot = self._slots.pop(key, None)
        if slot is not None:
            self._bytes -= slot.size_bytes


def entry_bytes(entry: Entry) -> int:
    """The memory an entry takes, about."""
    size = ENTRY_OVERHEAD_BYTES + getsizeof(entry.text) + len(entry.vector)
    size += _completion_bytes(entry.completion)
    if entry.digests or entry.tags:
        size += _nested_bytes(entry.digests, entry.tags)
    if entry.pieces or entry.variants:
        size += _nested_bytes(entry.pieces) + sum(map(variant_bytes, entry.variants))
    return size


def variant_bytes(variant: Variant) -> int:
    """The memory that a variant of an entry takes, about."""
    return CHOICE_OVERHEAD_BYTES + _completion_bytes(variant.completion) + _nested_bytes(variant.pieces)


def _completion_bytes(completion: Completion) -> int:
    size = getsizeof(completion.text) + getsizeof(completion.reasoning)
    if completion.reply is not None:
        size += len(completion.reply.body)
    if completion.tool_calls or completion.blocks or completion.logprobs:
        size += _nested_bytes(completion.tool_calls, completion.blocks, completion.logprobs)
    if not completion.choices:
        return size
    return size + sum(CHOICE_OVERHEAD_BYTES + _completion_bytes(choice) for choice in completion.choices)


def _nested_bytes(*nested: Any) -> int:
    return NESTED_FACTOR * len(msgspec.json.encode(nested)) if any(nested) else 0
