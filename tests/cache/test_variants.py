"""An entry with several answers, each made from other pieces of a workspace: bounded, in order, in every tier."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode.cache import variants as module
from beastmode.cache.disk import DiskTier
from beastmode.cache.keeper import Keeper
from beastmode.cache.key import Key
from beastmode.cache.lookup import Found, Lookup
from beastmode.cache.memory import MemoryTier, entry_bytes
from beastmode.cache.record import expires_s, pack, unpack
from beastmode.cache.variants import Variants, answers_of, fronts, joined, made_of, with_answers
from beastmode.core.types import Completion, Digest, Entry, Message, Piece, Request
from support.answers import HeldClock, answer, key_of

MB = 1 << 20


def made_from(*states: object, name: str = "a", text: str = "", **fields: Any) -> Entry:
    """An entry whose one answer was made from files in these states."""
    pieces = [Piece(f"f{number}.py", f"{state}") for number, state in enumerate(states)]
    said = " ".join(map(str, states))
    completion = Completion(text=f"{said}{text}", finish_reason="stop")
    entry = answer(name, completion=completion, pieces=pieces, request_id=f"req {said}", workspace="/w")
    return msgspec.structs.replace(entry, **fields)


def texts(entry: Entry) -> list[str]:
    return [one.completion.text for one in answers_of(entry)]


class Files:
    """The truth: each file has one state."""

    def __init__(self, *states: object) -> None:
        self.states = states
        self.asked: list[tuple[str, ...]] = []

    async def hold(self, root: str, pieces: Sequence[Piece], opened: Mapping[str, str] = {}) -> list[Piece] | None:
        self.asked.append(tuple(piece.sha256 for piece in pieces))
        now = [Piece(f"f{number}.py", f"{state}") for number, state in enumerate(self.states)]
        return list(pieces) if all(piece in now for piece in pieces) else None


REQUEST = Request(model="m", messages=[Message("user", "q")], workspace="/w")


def kept(*states: object) -> Entry:
    """An entry that got answers in these states of one file, one after another."""
    entry = made_from(states[0])
    for state in states[1:]:
        entry = joined(made_from(state), entry)
    return entry


class TestJoining:
    def test_the_newest_is_in_front_and_the_others_follow_by_their_last_use(self) -> None:
        assert texts(kept(1, 2, 3)) == ["3", "2", "1"]
        assert texts(kept(1, 2, 3, 1)) == ["1", "3", "2"]

    def test_what_was_made_from_the_same_pieces_is_replaced(self) -> None:
        entry = joined(made_from(2, text=" anew"), kept(1, 2, 3))
        assert texts(entry) == ["2 anew", "3", "1"]

    def test_the_order_and_the_lines_of_pieces_tell_nothing_apart(self) -> None:
        one, other = made_from(1, 2), made_from(1, 2)
        moved = [msgspec.structs.replace(piece, first_line=9, symbol="f") for piece in reversed(other.pieces)]
        assert made_of(moved) == made_of(one.pieces)
        assert texts(joined(msgspec.structs.replace(other, pieces=moved), one)) == ["1 2"]

    def test_what_is_too_much_is_let_go_the_oldest_first(self) -> None:
        assert texts(kept(*range(12))) == ["11", "10", "9", "8", "7", "6", "5", "4", "3"]

    def test_together_they_are_no_larger_than_they_may_be(self) -> None:
        entry = made_from(0)
        for number in range(1, 5):
            entry = joined(made_from(number, text="x" * 100_000), entry)
        assert [text[0] for text in texts(entry)] == ["4", "3", "2"]
        assert entry_bytes(entry) < 100_000 + module.VARIANTS_MAX_BYTES + 5000

    def test_an_answer_without_pieces_is_no_variant(self) -> None:
        before = answer("a", completion=Completion(text="plain"))
        assert texts(joined(made_from(1), before)) == ["1"]

    def test_the_vector_of_the_question_stays(self) -> None:
        before = made_from(1, vector=b"v", embedder="e")
        after = joined(made_from(2), before)
        assert (after.vector, after.embedder) == (b"v", "e")
        other = joined(made_from(2, text="", vector=b"w", embedder="e"), before)
        assert other.vector == b"w"

    @given(st.lists(st.integers(0, 8), min_size=1, max_size=30))
    def test_it_is_the_last_used_of_each_whatever_comes(self, states: list[int]) -> None:
        newest = list(dict.fromkeys(str(state) for state in reversed(states)))
        assert texts(kept(*states)) == newest[: module.VARIANTS_MAX + 1]

    @given(st.integers(1, 5))
    def test_each_can_be_put_in_front_and_nothing_is_lost(self, count: int) -> None:
        entry = kept(*range(count))
        seen = list(fronts(entry))
        assert [one.completion.text for one in seen] == texts(entry)
        for one in seen:
            assert sorted(texts(one)) == sorted(texts(entry))
            assert (one.key, one.scope, one.workspace) == (entry.key, entry.scope, entry.workspace)
            assert one.request_id == f"req {one.completion.text}"
        assert with_answers(entry, answers_of(entry)) == entry


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
def lookup(clock: HeldClock) -> Lookup:
    return Lookup(MemoryTier(MB, 3600.0), None, clock)


def found_in(lookup: Lookup) -> Found:
    found = lookup.recall(Key(key_of("a"), b"s" * 16, "q"))
    assert found is not None
    return found


class TestChoosing:
    async def test_the_one_that_holds_is_served_and_comes_to_the_front(self, lookup: Lookup) -> None:
        lookup.store(kept(1, 2, 3))
        files = Files(1)
        held = await Variants(lookup, files).fitting(REQUEST, found_in(lookup))
        assert held is not None
        assert (held.found.entry.completion.text, held.found.tier) == ("1", "L1")
        assert files.asked == [("3",), ("2",), ("1",)]
        assert texts(found_in(lookup).entry) == ["1", "3", "2"]

    async def test_where_none_holds_nothing_changes(self, lookup: Lookup) -> None:
        lookup.store(kept(1, 2, 3))
        assert await Variants(lookup, Files(4)).fitting(REQUEST, found_in(lookup)) is None
        assert texts(found_in(lookup).entry) == ["3", "2", "1"]

    async def test_coming_to_the_front_loses_nothing_that_was_stored_meanwhile(self, lookup: Lookup) -> None:
        lookup.store(kept(1, 2))
        found = found_in(lookup)
        lookup.store(kept(1, 2, 3))
        await Variants(lookup, Files(1)).fitting(REQUEST, found)
        assert texts(found_in(lookup).entry) == ["1", "3", "2"]

    async def test_what_was_taken_out_meanwhile_stays_out(self, lookup: Lookup) -> None:
        lookup.store(kept(1, 2))
        found = found_in(lookup)
        lookup.store(made_from(2))
        await Variants(lookup, Files(1)).fitting(REQUEST, found)
        assert texts(found_in(lookup).entry) == ["2"]
        lookup.remove([key_of("a")])
        await Variants(lookup, Files(1)).fitting(REQUEST, found)
        assert lookup.recall(Key(key_of("a"), b"s" * 16, "q")) is None

    async def test_who_is_told_hears_what_was_used(self, lookup: Lookup) -> None:
        used: list[str] = []
        variants = Variants(lookup, Files(1))
        variants.used = lambda request, entry: used.append(entry.completion.text)
        await variants.keep(REQUEST, made_from(1), lookup.store)
        await variants.fitting(REQUEST, found_in(lookup))
        variants.truth = Files(2)
        await variants.fitting(REQUEST, found_in(lookup))
        assert used == ["1", "1"]


class TestKeeping:
    async def test_answers_that_come_together_are_all_kept(self, tmp_path: Path, clock: HeldClock) -> None:
        disk = DiskTier(tmp_path, 64 * MB, 3600.0, clock)
        await disk.start()
        lookup = Lookup(None, disk, clock)
        variants = Variants(lookup)
        await asyncio.gather(*(variants.keep(REQUEST, made_from(number), lookup.store) for number in range(4)))
        entry = await lookup.peek(key_of("a"))
        await disk.close()
        assert entry is not None
        assert sorted(texts(entry)) == ["0", "1", "2", "3"]

    @pytest.mark.parametrize("pieces", [[], [Piece("f.py", str(number)) for number in range(module.PIECES_MAX + 1)]])
    async def test_what_nobody_could_check_is_not_stored(self, lookup: Lookup, pieces: list[Piece]) -> None:
        entry = msgspec.structs.replace(made_from(1), pieces=pieces)
        await Variants(lookup).keep(REQUEST, entry, lookup.store)
        assert await lookup.peek(entry.key) is None

    async def test_dropping_takes_out_what_is_meant(self, lookup: Lookup) -> None:
        lookup.store(kept(1, 2, 3))
        variants = Variants(lookup)
        assert await variants.drop(key_of("a"), lambda one: one.completion.text == "3") == (1, False)
        assert texts(found_in(lookup).entry) == ["2", "1"]
        assert await variants.drop(key_of("a"), lambda one: one.completion.text == "9") == (0, False)
        assert await variants.drop(key_of("a"), lambda one: True) == (2, True)
        assert await variants.drop(key_of("b"), lambda one: True) == (0, False)


class Embedding:
    """A semantic step whose vectors come late."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.added: list[Entry] = []

    def may_learn(self, text: str) -> bool:
        return True

    def with_vector(self, entry: Entry) -> Entry:
        return entry

    async def vectorise(self, entry: Entry) -> Entry:
        await self.ready.wait()
        return msgspec.structs.replace(entry, vector=b"v", embedder="e")

    async def add(self, entry: Entry) -> None:
        self.added.append(entry)


class TestVectors:
    async def test_a_vector_that_comes_late_takes_no_variant_away(self, lookup: Lookup) -> None:
        semantic: Any = Embedding()
        keeper, variants = Keeper(lookup, semantic), Variants(lookup)
        for state in (1, 2):
            await variants.keep(REQUEST, made_from(state), lambda entry: keeper.keep(entry, by_meaning=True))
        semantic.ready.set()
        while len(semantic.added) < 2:
            await asyncio.sleep(0)
        entry = found_in(lookup).entry
        assert (texts(entry), entry.vector) == (["2", "1"], b"v")

    async def test_what_was_removed_before_its_vector_came_stays_removed(self, lookup: Lookup) -> None:
        semantic: Any = Embedding()
        Keeper(lookup, semantic).keep(made_from(1), by_meaning=True)
        lookup.remove([key_of("a")])
        semantic.ready.set()
        while not semantic.added:
            await asyncio.sleep(0)
        assert await lookup.peek(key_of("a")) is None


class TestTiers:
    def test_memory_counts_pieces_and_variants(self) -> None:
        plain = entry_bytes(made_from(1))
        many = [Piece("x" * 1000, "0" * 64)]
        assert entry_bytes(made_from(1, pieces=many)) > plain + 900
        two = entry_bytes(kept(1, 2))
        assert two > plain + 500
        long = joined(made_from(2), made_from(1, text="x" * 1000))
        assert entry_bytes(long) >= two + 1000

    def test_they_have_no_age(self) -> None:
        assert made_from(1).pinned
        assert answer("a", digests=[Digest("x", "0")]).pinned
        assert not answer("a").pinned
        tier = MemoryTier(MB, 60.0)
        tier.put(made_from(1), 1e9)
        assert tier.get(key_of("a"), 2e9) is not None
        assert expires_s(pack(made_from(1)), 10.0) == float("inf")

    async def test_disk_keeps_them_whatever_their_age(self, tmp_path: Path, clock: HeldClock) -> None:
        for _ in range(2):
            disk = DiskTier(tmp_path, 64 * MB, 60.0, clock)
            await disk.start()
            if await disk.peek(key_of("a")) is None:
                disk.put(kept(1, 2, 3))
                await disk.wait_stored()
            assert await disk.get(key_of("a"), 1e12) == kept(1, 2, 3)
            await disk.close()

    def test_a_record_is_read_as_it_was_written(self) -> None:
        entry = kept(1, 2, 3)
        assert unpack(entry.key, pack(entry)) == entry

    def test_a_record_from_before_there_were_variants_is_read(self) -> None:
        entry = answer("a", digests=[Digest("x", "00")], tags=["t"], workspace="/w", vector=b"v", embedder="e")
        fields = {name: getattr(entry, name) for name in entry.__struct_fields__ if name not in ("pieces", "variants")}
        body = msgspec.msgpack.encode(fields)
        head = struct.pack(">BBd", 1, 1, entry.stored_at_s)
        checksum = blake2b(entry.key + head + body, digest_size=8).digest()
        assert unpack(entry.key, head + checksum + body) == entry
