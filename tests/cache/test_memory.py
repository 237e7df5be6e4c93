"""L1: answers in memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from beastmode.cache.memory import MemoryTier, entry_bytes
from beastmode.core.native import Reply
from beastmode.core.types import Completion, Digest, Entry

MB = 1 << 20


def stored(key: str, text: str = "answer", at_s: float = 0.0, **fields: Any) -> Entry:
    completion = fields.pop("completion", None) or Completion(text=text)
    return Entry(
        key=key.encode(), scope=b"s" * 16, text="q", completion=completion, model="m", stored_at_s=at_s, **fields
    )


def test_an_answer_is_found_again() -> None:
    tier = MemoryTier(MB, ttl_s=60)
    entry = stored("a")
    tier.put(entry, 0)
    assert tier.get(b"a", 1) is entry
    assert tier.get(b"b", 1) is None


def test_the_last_answer_of_a_key_wins_and_is_counted_once() -> None:
    tier = MemoryTier(MB, ttl_s=60)
    tier.put(stored("a", "old" * 1000), 0)
    tier.put(stored("a", "new"), 0)
    found = tier.get(b"a", 0)
    assert found is not None
    assert found.completion.text == "new"
    assert tier.stats().entries == 1
    assert tier.stats().bytes == entry_bytes(found)


def test_age_counts_from_when_the_answer_was_given() -> None:
    tier = MemoryTier(MB, ttl_s=60)
    tier.put(stored("a", at_s=100), 130)
    assert tier.get(b"a", 159.9) is not None
    assert tier.get(b"a", 160) is None
    assert tier.get(b"a", 130) is None
    assert tier.stats().expired == 1
    assert tier.stats().bytes == 0


def test_an_answer_that_is_too_old_already_is_not_kept() -> None:
    tier = MemoryTier(MB, ttl_s=60)
    tier.put(stored("a", at_s=0), 61)
    assert tier.stats().entries == 0


def test_an_answer_bound_to_digests_has_no_age() -> None:
    tier = MemoryTier(MB, ttl_s=60)
    tier.put(stored("a", digests=[Digest(path="x", sha256="00")]), 1e9)
    assert tier.get(b"a", 2e9) is not None


def test_a_clock_that_was_set_back_does_not_expire_anything() -> None:
    tier = MemoryTier(MB, ttl_s=60)
    tier.put(stored("a", at_s=1000), 1000)
    assert tier.get(b"a", 10) is not None


def test_the_least_recently_used_answer_makes_room() -> None:
    each = entry_bytes(stored("a"))
    tier = MemoryTier(each * 10, ttl_s=60)
    for name in "abcdefghij":
        tier.put(stored(name), 0)
    assert tier.get(b"a", 0) is not None
    tier.put(stored("k"), 0)
    assert tier.get(b"b", 0) is None
    assert tier.get(b"a", 0) is not None
    assert tier.get(b"k", 0) is not None
    assert tier.stats().evictions == 1


def test_an_answer_larger_than_an_eighth_is_not_kept_and_pushes_nothing_out() -> None:
    tier = MemoryTier(80_000, ttl_s=60)
    tier.put(stored("a"), 0)
    tier.put(stored("b", "x" * 10_001), 0)
    assert tier.get(b"a", 0) is not None
    assert tier.get(b"b", 0) is None


def test_a_larger_answer_takes_an_older_one_of_its_key_away_all_the_same() -> None:
    tier = MemoryTier(80_000, ttl_s=60)
    tier.put(stored("a", "old"), 0)
    tier.put(stored("a", "x" * 10_001), 0)
    assert tier.get(b"a", 0) is None


def test_tool_calls_tags_and_digests_are_counted() -> None:
    plain = entry_bytes(stored("a"))
    completion = Completion(text="answer", tool_calls=[{"function": {"arguments": "x" * 1000}}])
    assert entry_bytes(stored("a", completion=completion)) > plain + 1000
    assert entry_bytes(stored("a", tags=["x" * 1000])) > plain + 1000
    assert entry_bytes(stored("a", completion=Completion(text="answer", reasoning="x" * 1000))) > plain + 900


def test_whatever_else_an_answer_holds_is_counted() -> None:
    plain = entry_bytes(stored("a"))
    long = {"content": [{"token": "x" * 1000}]}
    for completion in (
        Completion(text="", reply=Reply("openai_embeddings", b"x" * 1000)),
        Completion(text="", blocks=[{"type": "text", "text": "x" * 1000}]),
        Completion(text="", choices=[Completion(text="x" * 1000)]),
        Completion(text="", logprobs=long),
    ):
        assert entry_bytes(stored("a", completion=completion)) > plain + 900
    assert entry_bytes(stored("a", vector=b"x" * 1000)) == plain + 1000


def test_the_bytes_it_reports_are_about_what_it_takes() -> None:
    tier = MemoryTier(100 * MB, ttl_s=60)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(2000):
        tier.put(stored(f"{number:016d}", f"{number}" * 50), 0)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.5 < tier.stats().bytes / (after - before) < 2


def test_remove_and_clear_forget() -> None:
    tier = MemoryTier(MB, ttl_s=60)
    for name in "abc":
        tier.put(stored(name), 0)
    tier.remove([b"a", b"absent"])
    assert [entry.key for entry in tier.entries()] == [b"b", b"c"]
    tier.clear()
    assert list(tier.entries()) == []
    assert tier.stats().bytes == 0


def test_hits_and_misses_are_counted() -> None:
    tier = MemoryTier(MB, ttl_s=60)
    tier.put(stored("a"), 0)
    tier.get(b"a", 0)
    tier.get(b"a", 0)
    tier.get(b"b", 0)
    assert (tier.stats().hits, tier.stats().misses, tier.stats().max_bytes) == (2, 1, MB)


class AnyUse(RuleBasedStateMachine):
    """Whatever is done to it, it stays within its bounds and never serves a wrong answer."""

    keys = st.sampled_from([bytes([65 + number]) for number in range(12)])

    def __init__(self) -> None:
        super().__init__()
        self.tier = MemoryTier(12_000, ttl_s=10)
        self.newest: dict[bytes, Entry] = {}
        self.now_s = 0.0

    @rule(key=keys, length=st.integers(0, 1200))
    def put(self, key: bytes, length: int) -> None:
        entry = stored(key.decode(), "x" * length, at_s=self.now_s)
        self.tier.put(entry, self.now_s)
        self.newest[key] = entry

    @rule(key=keys)
    def get(self, key: bytes) -> None:
        found = self.tier.get(key, self.now_s)
        if found is not None:
            assert found is self.newest[key]
            assert self.now_s - found.stored_at_s < 10

    @rule(key=keys)
    def remove(self, key: bytes) -> None:
        self.tier.remove([key])
        assert self.tier.get(key, self.now_s) is None

    @rule(seconds=st.floats(0, 6))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @invariant()
    def its_bytes_are_the_sum_and_within_the_bound(self) -> None:
        assert self.tier.stats().bytes == sum(entry_bytes(entry) for entry in self.tier.entries()) <= 12_000


TestAnyUse = AnyUse.TestCase
TestAnyUse.settings = settings(deadline=None, max_examples=40, stateful_step_count=30)
