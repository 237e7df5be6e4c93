"""Looking an answer up, tier by tier: memory, disk, shared; the exact key always before anything dearer."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
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

    def peek(self, key: bytes) -> Entry | None:
        """The entry, without using it."""

    def put(self, entry: Entry, now_s: float) -> None:
        """Stores an entry."""

    def remove(self, keys: Iterable[bytes]) -> None:
        """Forgets entries."""

    def clear(self) -> None:
        """Forgets everything."""

    def stats(self) -> Any:
        """Counts entries, bytes, hits and misses."""

    def entries(self) -> Iterable[Entry]:
        """Every entry, expired ones among them."""


class Disk(Protocol):
    """What a tier on disk does, off the event loop."""

    def maybe(self, key: bytes) -> bool:
        """False when the key is certainly absent; costs nothing."""

    async def get(self, key: bytes, now_s: float) -> Entry | None:
        """The entry, unless it is absent, damaged or too old."""

    async def peek(self, key: bytes) -> Entry | None:
        """The entry, without using it."""

    def put(self, entry: Entry) -> None:
        """Stores an entry; it is with the kernel when this returns."""

    def remove(self, keys: Iterable[bytes]) -> None:
        """Forgets entries."""

    def clear(self) -> None:
        """Forgets everything."""

    def stats(self) -> Any:
        """Counts entries, bytes, hits and misses."""

    def vectors_at(self) -> Path | None:
        """The folder of the store that the vector index is derived from; None while it must not be read."""

    async def page(self, after: bytes, limit: int) -> tuple[list[Entry], bytes | None]:
        """One page of entries in the order of their keys, and where the next one begins."""

    async def wait_stored(self, timeout_s: float = 5.0) -> bool:
        """Waits until everything said so far is in the store."""


class Shared(Protocol):
    """What a tier does that several daemons share; lookups are bounded in time and never fail."""

    async def get(self, key: bytes, now_s: float) -> Entry | None:
        """The entry, unless it is absent or too old, or the tier is away."""

    def put(self, entry: Entry) -> None:
        """Stores an entry, soon."""

    def remove(self, keys: Iterable[bytes]) -> None:
        """Forgets entries, at once for lookups of this daemon."""

    def clear(self) -> None:
        """Forgets everything, at once for lookups of this daemon."""

    def stats(self) -> Any:
        """Counts hits and misses, and what went wrong."""

    async def settle(self, timeout_s: float = 5.0) -> bool:
        """Waits until everything said so far was done; False where it was not in time."""


class Lookup:
    """All tiers as one.

    Args:
        memory: L1; None when it is switched off.
        disk: L2; None when it is switched off.
        clock: Wall clock for ages.
        shared: L3; None when there is none.
    """

    def __init__(self, memory: Memory | None, disk: Disk | None, clock: Clock, shared: Shared | None = None) -> None:
        self.memory = memory
        self.disk = disk
        self.shared = shared
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
        if found is not None or (self.shared is None and (self.disk is None or not self.disk.maybe(key.exact))):
            return found
        found = await self._from_disk(key.exact) or await self._from_shared(key)
        if found is None:
            return self.recall(key)  # an identical request may have been answered meanwhile
        if self.memory is not None:
            self.memory.put(found.entry, self._clock.wall_s())
        if found.tier == "L3" and self.disk is not None:
            self.disk.put(found.entry)
        return found

    async def fetch(self, key: bytes) -> Found | None:
        """Finds an entry of this machine by its exact key; for the semantic step, whose index knows only these."""
        entry = self.memory.get(key, self._clock.wall_s()) if self.memory is not None else None
        return Found(entry, "L1") if entry is not None else await self._from_disk(key)

    async def peek(self, key: bytes) -> Entry | None:
        """Looks at an entry of this machine without using it: nothing is counted, and it ages on.

        Args:
            key: Its exact key.
        """
        entry = self.memory.peek(key) if self.memory is not None else None
        if entry is None and self.disk is not None:
            entry = await self.disk.peek(key)
        return entry

    async def _from_disk(self, key: bytes) -> Found | None:
        if self.disk is None or not self.disk.maybe(key):
            return None
        try:
            entry = await self.disk.get(key, self._clock.wall_s())
        except Exception:
            log.warning("disk tier failed, counted as a miss", exc_info=True)
            return None
        return Found(entry, "L2") if entry is not None else None

    async def _from_shared(self, key: Key) -> Found | None:
        if self.shared is None:
            return None
        entry = await self.shared.get(key.exact, self._clock.wall_s())
        return Found(entry, "L3") if entry is not None else None

    def put_here(self, entry: Entry) -> None:
        """Writes an answer that was stored before, and is put in another order now, to the tiers of this machine."""
        if self.memory is not None:
            self.memory.put(entry, self._clock.wall_s())
        if self.disk is not None:
            self.disk.put(entry)

    def store(self, entry: Entry) -> None:
        """Writes an answer to every tier. When this returns it can be found here, and a kill -9 does not lose it."""
        self.put_here(entry)
        if self.shared is not None:
            self.shared.put(entry)

    async def page(self, after: bytes, limit: int) -> tuple[list[Entry], bytes | None]:
        """One page of the stored answers in the order of their keys; of memory where the tier on disk is off.

        Args:
            after: What the page before gave; empty for the first page.
            limit: Answers of a page, about.

        Returns:
            The answers, and where the next page begins; None after the last.
        """
        if self.disk is not None:
            return await self.disk.page(after, limit)
        if self.memory is None:
            return [], None
        rest = sorted((entry for entry in self.memory.entries() if entry.key > after), key=lambda entry: entry.key)
        return rest[:limit], rest[limit - 1].key if len(rest) > limit else None

    def remove(self, keys: Iterable[bytes]) -> None:
        """Forgets answers in every tier; keys that are not there do not matter."""
        listed = list(keys)
        for tier in (self.memory, self.disk, self.shared):
            if tier is not None:
                tier.remove(listed)

    async def settle(self) -> bool:
        """Waits until what was stored and forgotten so far is so on disk and in the shared tier.

        Returns:
            False where one of them is away or failing.
        """
        on_disk = await self.disk.wait_stored() if self.disk is not None else True
        shared = await self.shared.settle() if self.shared is not None else True
        return on_disk and shared

    def clear(self) -> None:
        """Forgets every answer of every tier."""
        for tier in (self.memory, self.disk, self.shared):
            if tier is not None:
                tier.clear()

    def stats(self) -> dict[str, Any]:
        """Counts of each tier that is switched on, by its name."""
        tiers = {"l1": self.memory, "l2": self.disk, "l3": self.shared}
        return {name: tier.stats() for name, tier in tiers.items() if tier is not None}
