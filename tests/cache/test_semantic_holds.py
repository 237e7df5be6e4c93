"""The semantic step where answers were made from files: one that is not true any more makes room for the next."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

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
ASKED = Key(b"a" * 16, SCOPE, "Please sort the list in ascending order")
STORED = {
    letter.encode() * 16: Entry(
        key=letter.encode() * 16,
        scope=SCOPE,
        text=text,
        completion=Completion(text=letter, finish_reason="stop"),
        model="m",
    )
    for letter, text in (
        ("x", "Sort the list in ascending order"),
        ("y", "Could you sort the list in ascending order"),
        ("z", "Sort the list in descending order"),
    )
}


class AlwaysTheSame(Embedder):
    """Finds every text alike."""

    id, dim, max_pieces = "same", 4, 256

    def ready(self) -> str | None:
        return None

    def embed(self, text: str) -> Embedding | None:
        return Embedding(vector=np.array([1, 0, 0, 0], np.float32), pieces=text.split())


@pytest.fixture
async def semantic(tmp_path: Path) -> AsyncIterator[Semantic]:
    async def fetch(key: bytes) -> Found | None:
        return Found(STORED[key], "L2") if key in STORED else None

    semantic = Semantic(
        embedder=AlwaysTheSame(),
        index=VectorIndex(tmp_path / "index", 4, "same", Clock(), lambda: tmp_path),
        verifier=Verifier.load(),
        pairs=Pairs(tmp_path / "pairs.jsonl", 0.01),
        fetch=fetch,
        settings=CacheSettings(),
        clock=Clock(),
    )
    await semantic.prepare()
    for key in STORED:
        semantic.index.add(key, SCOPE, np.array([1, 0, 0, 0], np.float32))
    yield semantic
    await semantic.close()


class Truth:
    """Says of which entries the answer is true."""

    def __init__(self, true: str) -> None:
        self.true = true
        self.asked: list[str] = []

    async def holds(self, found: Found) -> Found | None:
        said = found.entry.completion.text
        self.asked.append(said)
        return Found(found.entry, "L1") if said in self.true else None


@pytest.mark.parametrize(("true", "served"), [("xy", 1), ("x", 1), ("y", 1), ("z", 0), ("", 0)])
async def test_the_likeliest_that_is_true_is_served(semantic: Semantic, true: str, served: int) -> None:
    truth = Truth(true)
    decision = await semantic.decide(ASKED, truth.holds)
    assert (decision.result == "hit") is bool(served)
    assert (decision.found is not None) is bool(served)
    if decision.found is not None:
        assert decision.found.entry.completion.text in true
        assert decision.found.tier == "L1", "what the truth gave is what is served"
    assert "z" not in truth.asked, "what a guard objects to is not even looked at"
    assert len(truth.asked) == len(set(truth.asked))


async def test_what_is_not_true_now_is_not_forgotten(semantic: Semantic) -> None:
    assert (await semantic.decide(ASKED, Truth("").holds)).result == "miss"
    assert semantic.index.stats().entries == len(STORED)
    assert (await semantic.decide(ASKED, Truth("x").holds)).result == "hit"


async def test_a_pair_that_a_judge_approved_is_looked_at_too(semantic: Semantic) -> None:
    semantic.pairs.approve(ASKED.exact, b"z" * 16)
    assert (await semantic.decide(ASKED, Truth("z").holds)).result == "hit"
    truth = Truth("x")
    decision = await semantic.decide(ASKED, truth.holds)
    assert truth.asked[0] == "z"
    assert decision.found is not None
    assert decision.found.entry.completion.text == "x"
