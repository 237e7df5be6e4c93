"""The semantic step while L2 is away: what it can not fetch then is not forgotten."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beastmode.cache.key import Key
from beastmode.cache.lookup import Found
from beastmode.cache.pairs import Pairs
from beastmode.cache.semantic import Semantic
from beastmode.cache.vectors import VectorIndex
from beastmode.cache.verifier import Verifier
from beastmode.core.clock import Clock
from beastmode.core.plugins import Embedder, Embedding
from beastmode.core.settings import CacheSettings
from beastmode.core.types import Completion, Entry

SCOPE = b"s" * 16
STORED = Entry(
    key=b"k" * 16,
    scope=SCOPE,
    text="Sort the list in ascending order",
    completion=Completion(text="sorted(xs)", finish_reason="stop"),
    model="m",
    stored_at_s=0.0,
)
ASKED = Key(b"a" * 16, SCOPE, "Please sort the list in ascending order")


class AlwaysTheSame(Embedder):
    """Finds every text alike."""

    id, dim, max_pieces = "same", 4, 256

    async def start(self, context: Any) -> None:
        """It needs nothing."""

    def ready(self) -> str | None:
        return None

    def embed(self, text: str) -> Embedding | None:
        return Embedding(vector=np.array([1, 0, 0, 0], np.float32), pieces=text.split())


class House:
    """A semantic step over a store that may be away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_away = False
        self.holds = True
        self.semantic = Semantic(
            embedder=AlwaysTheSame(),
            index=VectorIndex(folder / "index", 4, "same", Clock(), self.source),
            verifier=Verifier.load(),
            pairs=Pairs(folder / "pairs.jsonl", 0.01),
            fetch=self.fetch,
            settings=CacheSettings(),
            clock=Clock(),
        )

    def source(self) -> Path | None:
        return None if self.is_away else self.folder

    async def fetch(self, key: bytes) -> Found | None:
        return Found(STORED, "L2") if key == STORED.key and self.holds and not self.is_away else None

    async def result(self) -> str:
        return (await self.semantic.decide(ASKED)).result


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    await made.semantic.prepare()
    made.semantic.index.add(STORED.key, SCOPE, np.array([1, 0, 0, 0], np.float32))
    yield made
    await made.semantic.close()


async def test_what_could_not_be_fetched_while_the_store_was_away_is_found_when_it_is_back(house: House) -> None:
    assert await house.result() == "hit"
    house.is_away = True
    assert await house.result() == "miss"
    house.is_away = False
    assert await house.result() == "hit"


async def test_a_store_that_comes_back_during_the_lookup_loses_nothing_either(house: House) -> None:
    house.is_away = True
    away = house.fetch

    async def comes_back(key: bytes) -> Found | None:
        found = await away(key)
        house.is_away = False
        return found

    house.semantic._fetch = comes_back
    assert await house.result() == "miss"
    assert await house.result() == "hit"


async def test_what_the_store_no_longer_has_is_forgotten(house: House) -> None:
    house.holds = False
    assert await house.result() == "miss"
    assert house.semantic.index.stats().entries == 0
