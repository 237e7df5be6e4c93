"""All tiers as one: asked from the nearest to the farthest, filled and emptied together, each with its own age."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from beastmode.cache.disk import DiskTier
from beastmode.cache.key import Key
from beastmode.cache.lookup import Found, Lookup
from beastmode.cache.memory import MemoryTier
from beastmode.core.types import Entry
from support.answers import HeldClock, answer, key_of

MB = 1 << 20
HOUR_S = 3600.0


class Shelf:
    """A shared tier that never fails, without ages."""

    def __init__(self) -> None:
        self.entries: dict[bytes, Entry] = {}

    async def get(self, key: bytes, now_s: float) -> Entry | None:
        return self.entries.get(key)

    def put(self, entry: Entry) -> None:
        self.entries[entry.key] = entry

    def remove(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            self.entries.pop(key, None)

    def clear(self) -> None:
        self.entries.clear()

    def stats(self) -> dict[str, int]:
        return {"entries": len(self.entries)}


class House:
    """Three tiers and the clock they share."""

    def __init__(self, disk: DiskTier, clock: HeldClock) -> None:
        self.clock = clock
        self.memory = MemoryTier(MB, HOUR_S)
        self.disk = disk
        self.shelf = Shelf()
        self.lookup = Lookup(self.memory, disk, clock, self.shelf)

    async def tier_of(self, name: object, lookup: Lookup | None = None) -> str | None:
        found = await (lookup or self.lookup).find(wanted(name))
        assert found is None or found.entry.completion.text == f"answer to {name}"
        return found.tier if found is not None else None


def wanted(name: object) -> Key:
    return Key(exact=key_of(name), scope=b"s" * 16, text=str(name))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    clock = HeldClock()
    disk = DiskTier(tmp_path / "answers", 64 * MB, 24 * HOUR_S, clock)
    await disk.start()
    yield House(disk, clock)
    await disk.close()


async def test_an_answer_is_written_to_all_tiers_and_found_in_the_nearest(house: House) -> None:
    house.lookup.store(answer("a"))
    assert await house.tier_of("a") == "L1"
    house.memory.clear()
    assert await house.tier_of("a") == "L2"
    house.memory.clear()
    house.disk.clear()
    assert await house.tier_of("a") == "L3"
    assert await house.tier_of("b") is None


async def test_an_answer_that_a_far_tier_has_moves_to_the_nearer_ones(house: House) -> None:
    house.shelf.put(answer("a"))
    assert await house.tier_of("a") == "L3"
    house.shelf.clear()
    assert await house.tier_of("a") == "L1"
    house.memory.clear()
    assert await house.tier_of("a") == "L2"
    assert await house.tier_of("a") == "L1"


async def test_an_answer_keeps_its_age_when_it_moves(house: House) -> None:
    house.shelf.put(answer("a", at_s=house.clock.now_s))
    house.clock.now_s += 1.5 * HOUR_S
    assert [await house.tier_of("a") for _ in range(3)] == ["L3", "L2", "L2"], "it is too old for the tier in memory"
    house.shelf.clear()
    house.clock.now_s += 23 * HOUR_S
    assert await house.tier_of("a") is None


async def test_memory_alone_is_asked_without_waiting(house: House) -> None:
    house.shelf.put(answer("a"))
    assert house.lookup.recall(wanted("a")) is None
    assert await house.tier_of("a") == "L3"
    assert isinstance(house.lookup.recall(wanted("a")), Found)


async def test_what_is_forgotten_is_forgotten_in_every_tier(house: House) -> None:
    for name in "abc":
        house.lookup.store(answer(name))
    house.lookup.remove(iter([key_of("a"), key_of("never there")]))
    assert [await house.tier_of(name) for name in "abc"] == [None, "L1", "L1"]
    house.memory.clear()
    house.lookup.clear()
    assert [await house.tier_of(name) for name in "abc"] == [None] * 3
    assert house.shelf.entries == {}


async def test_each_tier_may_be_missing(house: House) -> None:
    clock = house.clock
    for memory in (None, house.memory):
        for disk in (None, house.disk):
            for shelf in (None, house.shelf):
                lookup = Lookup(memory, disk, clock, shelf)
                lookup.clear()
                lookup.store(answer("a"))
                expected = "L1" if memory else "L2" if disk else "L3" if shelf else None
                assert await house.tier_of("a", lookup) == expected
                lookup.remove([key_of("a")])
                assert await house.tier_of("a", lookup) is None
                assert list(lookup.stats()) == [
                    name for name, tier in (("l1", memory), ("l2", disk), ("l3", shelf)) if tier is not None
                ]
