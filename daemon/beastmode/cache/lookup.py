"""Looking an answer up, tier by tier: memory first, then disk, the exact key always before anything dearer."""

from __future__ import annotations

import logging
from typing import Any, Protocol

import msgspec

from beastmode.cache.key import Key
from beastmode.core.clock import Clock
from beastmode.core.types import Entry, Tier

log = logging.getLogger(__name__)


class Found(msgspec.Struct, frozen=True):
    """A stored answer and the tier that had it."""

    entry: Entry
    tier: Tier


class Memory(Protocol):
    """What a tier in memory does, at once and on the event loop."""

    def get(self, key: bytes, now_s: float) -> Entry | None:
        """The entry, unless it is absent or too old."""

    def put(self, entry: Entry, now_s: float) -> None:
        """Stores an entry."""

    def clear(self) -> None:
        """Forgets everything."""

    def stats(self) -> Any:
        """Counts entries, bytes, hits and misses."""


class Disk(Protocol):
    """What a tier on disk does, off the event loop."""

    def maybe(self, key: bytes) -> bool:
        """False when the key is certainly absent; costs nothing."""

    async def get(self, key: bytes, now_s: float) -> Entry | None:
        """The entry, unless it is absent, damaged or too old."""

    def put(self, entry: Entry) -> None:
        """Stores an entry; it is with the kernel when this returns."""

    def clear(self) -> None:
        """Forgets everything."""

    def stats(self) -> Any:
        """Counts entries, bytes, hits and misses."""


class Lookup:
    """All tiers as one.

    Args:
        memory: L1; None when it is switched off.
        disk: L2; None when it is switched off.
        clock: Wall clock for ages.
    """

    def __init__(self, memory: Memory | None, disk: Disk | None, clock: Clock) -> None:
        self.memory = memory
        self.disk = disk
        self._clock = clock

    def recall(self, key: Key) -> Found | None:
        """Asks memory alone, without waiting."""
        if self.memory is None:
            return None
        entry = self.memory.get(key.exact, self._clock.wall_s())
        return Found(entry, "L1") if entry is not None else None

    async def find(self, key: Key) -> Found | None:
        """Asks every tier; what a lower one has is promoted. A tier that fails is a miss."""
        found = self.recall(key)
        if found is not None or self.disk is None or not self.disk.maybe(key.exact):
            return found
        try:
            entry = await self.disk.get(key.exact, self._clock.wall_s())
        except Exception:
            log.warning("disk tier failed, counted as a miss", exc_info=True)
            return None
        if entry is None:
            return None
        if self.memory is not None:
            self.memory.put(entry, self._clock.wall_s())
        return Found(entry, "L2")

    def store(self, entry: Entry) -> None:
        """Writes an answer to every tier. When this returns it can be found, and a kill -9 does not lose it."""
        if self.memory is not None:
            self.memory.put(entry, self._clock.wall_s())
        if self.disk is not None:
            self.disk.put(entry)

    def clear(self) -> None:
        """Forgets every answer of every tier."""
        for tier in (self.memory, self.disk):
            if tier is not None:
                tier.clear()

    def stats(self) -> dict[str, Any]:
        """Counts of each tier that is switched on, by its name."""
        tiers = {"l1": self.memory, "l2": self.disk}
        return {name: tier.stats() for name, tier in tiers.items() if tier is not None}
