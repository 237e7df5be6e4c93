"""L2: answers on disk."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.cache import disk_tables, presence
from beastmode.cache.disk import DiskTier
from beastmode.cache.disk_store import Store
from beastmode.cache.disk_tables import CLEAR, NewerSchemaError, put_operation, remove_operation, touch_operation
from beastmode.cache.disk_waiting import Waiting
from beastmode.cache.presence import Census, Presence
from beastmode.cache.record import DamagedRecordError, expires_s, pack, unpack
from beastmode.core.types import Completion, Digest, Entry, Usage
from support.answers import HeldClock, answer, key_of
from support.waiting import until_async

MB = 1 << 20
few = settings(deadline=None, max_examples=25)


@asynccontextmanager
async def opened(folder: Path, clock: HeldClock | None = None, **options: Any) -> AsyncIterator[DiskTier]:
    options = {"max_bytes": 64 * MB, "ttl_s": 3600.0, **options}
    tier = DiskTier(folder, options.pop("max_bytes"), options.pop("ttl_s"), clock or HeldClock(), **options)
    await tier.start()
    try:
        yield tier
    finally:
        await tier.close()


async def walked(tier: DiskTier) -> None:
    """Waits until the filter is made."""
    await until_async(lambda: not tier.maybe(key_of("never stored")))


class TestPutAndGet:
    async def test_an_answer_is_found_as_soon_as_put_returns(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as tier:
            tier.put(answer("a"))
            assert tier.maybe(key_of("a"))
            assert await tier.get(key_of("a"), 1001) == answer("a")
            assert await tier.get(key_of("b"), 1001) is None

    async def test_an_answer_is_found_in_the_store_and_after_a_restart(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as tier:
            tier.put(answer("a"))
            assert await tier.wait_stored()
            assert tier.stats().waiting == 0
            assert await tier.get(key_of("a"), 1001) == answer("a")
        async with opened(tmp_path) as tier:
            assert tier.stats().ready
            assert tier.problem is None
            assert await tier.get(key_of("a"), 1001) == answer("a")

    async def test_every_field_is_kept(self, tmp_path: Path) -> None:
        entry = answer(
            "a",
            completion=Completion(
                text="t\0\U0001f600",
                finish_reason=None,
                usage=Usage(prompt_tokens=1, completion_tokens=None, cached_tokens=0),
                model="m",
                tool_calls=[{"id": "c", "function": {"name": "f", "arguments": "{}"}, "index": 0, "x": [1.5, None]}],
                reasoning="r",
            ),
            provider="p",
            cost_usd=None,
            digests=[Digest(path="x", sha256="00")],
            workspace="/w",
            tags=["t"],
            request_id="req_1",
        )
        async with opened(tmp_path) as tier:
            tier.put(entry)
            await tier.wait_stored()
            assert await tier.get(entry.key, 1001) == entry

    async def test_the_last_answer_of_a_key_wins(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as tier:
            for text in ("one", "two"):
                tier.put(answer("a", text))
            assert (await tier.get(key_of("a"), 1001)).completion.text == "two"
            await tier.wait_stored()
            tier.put(answer("a", "three"))
            assert (await tier.get(key_of("a"), 1001)).completion.text == "three"
            await tier.wait_stored()
            assert (await tier.get(key_of("a"), 1001)).completion.text == "three"
            assert tier.stats().entries == 1

    async def test_an_answer_no_encoding_has_is_not_kept_and_takes_the_older_one_away(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as tier:
            tier.put(answer("a", "old"))
            tier.put(answer("a", "\ud800"))
            assert await tier.get(key_of("a"), 1001) is None
            assert tier.stats().unstorable == 1

    async def test_an_answer_larger_than_an_eighth_is_not_kept(self, tmp_path: Path) -> None:
        async with opened(tmp_path, max_bytes=MB) as tier:
            tier.put(answer("a", "x" * (MB // 8)))
            tier.put(answer("b", "x" * (MB // 9)))
            assert await tier.get(key_of("a"), 1001) is None
            assert await tier.get(key_of("b"), 1001) is not None

    async def test_nothing_is_found_and_nothing_breaks_before_the_start_and_after_the_end(self, tmp_path: Path) -> None:
        tier = DiskTier(tmp_path, MB, 60, HeldClock())
        tier.put(answer("a"))
        assert await tier.get(key_of("a"), 1001) is None
        await tier.start()
        tier.put(answer("b"))
        await tier.close()
        tier.put(answer("c"))
        tier.clear()
        assert await tier.get(key_of("b"), 1001) is None
        async with opened(tmp_path) as tier:
            assert [entry.text async for entry in tier.entries()] == ["b"]

    async def test_a_disk_that_hangs_holds_up_no_put_and_no_fresh_answer(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as tier:
            tier.put(answer("old"))
            await tier.wait_stored()
            with tier._store._writing, tier._store.map._moving:
                tier.put(answer("a"))
                assert await tier.get(key_of("a"), 1001) == answer("a")
                slow = asyncio.ensure_future(tier.get(key_of("old"), 1001))
                await asyncio.sleep(0.05)
                assert not slow.done()
            assert await slow == answer("old")


class TestRemoving:
    async def test_what_was_removed_is_gone_at_once_and_for_good(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as tier:
            for name in "abc":
                tier.put(answer(name))
            await tier.wait_stored()
            tier.remove([key_of("a"), key_of("absent")])
            assert await tier.get(key_of("a"), 1001) is None
            assert await tier.get(key_of("b"), 1001) is not None
            await tier.wait_stored()
            assert await tier.get(key_of("a"), 1001) is None
            assert tier.stats().entries == 2
        async with opened(tmp_path) as tier:
            assert await tier.get(key_of("a"), 1001) is None

    async def test_an_answer_put_after_it_was_removed_is_there(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as tier:
            tier.put(answer("a", "one"))
            tier.remove([key_of("a")])
            tier.put(answer("a", "two"))
            assert (await tier.get(key_of("a"), 1001)).completion.text == "two"
            await tier.wait_stored()
            assert (await tier.get(key_of("a"), 1001)).completion.text == "two"

    async def test_clear_forgets_everything_at_once_but_what_comes_after_it(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as tier:
            tier.put(answer("a"))
            await tier.wait_stored()
            tier.put(answer("b"))
            tier.clear()
            tier.put(answer("c"))
            found = [await tier.get(key_of(name), 1001) for name in "abc"]
            assert [one is not None for one in found] == [False, False, True]
            await tier.wait_stored()
            assert [entry.text async for entry in tier.entries()] == ["c"]
            assert tier.stats().entries == 1

    async def test_ten_thousand_keys_can_be_removed_at_once(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as tier:
            tier.put(answer("a"))
            tier.put(answer("b"))
            tier.remove([key_of(number) for number in range(10_000)] + [key_of("a")])
            await tier.wait_stored()
            assert [entry.text async for entry in tier.entries()] == ["b"]


class TestAge:
    async def test_an_answer_ends_with_its_age(self, tmp_path: Path) -> None:
        async with opened(tmp_path, ttl_s=60) as tier:
            tier.put(answer("a", at_s=1000))
            await tier.wait_stored()
            assert await tier.get(key_of("a"), 1059.9) is not None
            assert await tier.get(key_of("a"), 1060) is None
            assert tier.stats().expired == 1
            await tier.wait_stored()
            assert tier.stats().entries == 0

    async def test_an_answer_bound_to_digests_has_no_age(self, tmp_path: Path) -> None:
        async with opened(tmp_path, ttl_s=60) as tier:
            tier.put(answer("a", digests=[Digest(path="x", sha256="00")]))
            await tier.wait_stored()
            assert await tier.get(key_of("a"), 1e9) is not None

    async def test_what_has_expired_is_let_go_without_being_asked_for(self, tmp_path: Path) -> None:
        async with opened(tmp_path, ttl_s=60) as tier:
            tier.put(answer("a", at_s=1000))
            tier.put(answer("b", at_s=2000))
            tier.put(answer("c", at_s=1000, digests=[Digest(path="x", sha256="00")]))
        async with opened(tmp_path, HeldClock(2010), ttl_s=60) as tier:
            await until_async(lambda: tier.stats().entries == 2)
            assert sorted([entry.text async for entry in tier.entries()]) == ["b", "c"]

    async def test_an_expired_answer_does_not_take_a_fresh_one_with_it(self, tmp_path: Path) -> None:
        async with opened(tmp_path, ttl_s=60) as tier:
            tier.put(answer("a", "old", at_s=1000))
            await tier.wait_stored()
            asked = asyncio.ensure_future(tier.get(key_of("a"), 2000))
            await asyncio.sleep(0)
            tier.put(answer("a", "new", at_s=2000))
            await asked
            assert (await tier.get(key_of("a"), 2000)).completion.text == "new"


class TestSize:
    async def test_the_store_stays_within_its_size_and_keeps_what_was_used_last(self, tmp_path: Path) -> None:
        clock = HeldClock()
        async with opened(tmp_path, clock, max_bytes=2 * MB) as tier:
            for number in range(1500):
                clock.now_s += 1
                tier.put(answer(number, os.urandom(1000).hex(), at_s=clock.now_s))
                if number % 100 == 0:
                    await tier.wait_stored()
                    clock.now_s += 61
                    assert await tier.get(key_of(0), clock.now_s) is not None
            await tier.wait_stored()
            stats = tier.stats()
            assert stats.bytes <= 2 * MB
            assert stats.evictions == 1500 - stats.entries > 0
            assert await tier.get(key_of(1499), clock.now_s) is not None
            assert await tier.get(key_of(1), clock.now_s) is None
            assert await tier.get(key_of(0), clock.now_s) is not None
            assert (tmp_path / "store" / "data.mdb").stat().st_size <= 10 * MB

    async def test_a_batch_larger_than_the_store_leaves_its_last_answers(self, tmp_path: Path) -> None:
        async with opened(tmp_path, max_bytes=MB) as tier:
            with tier._store._writing:
                for number in range(3000):
                    tier.put(answer(number, "x" * 1000))
            assert await tier.wait_stored(30)
            assert tier.problem is None
            assert await tier.get(key_of(2999), 1001) is not None
            assert await tier.get(key_of(0), 1001) is None

    @pytest.mark.parametrize("entries", [2_000, 12_000])
    async def test_a_smaller_size_than_before_evicts_and_gives_the_room_back(
        self, tmp_path: Path, entries: int
    ) -> None:
        async with opened(tmp_path) as tier:
            for number in range(entries):
                tier.put(answer(number, "x" * 1000))
        async with opened(tmp_path, max_bytes=MB, wait_s=30) as tier:
            tier.put(answer("last"))
            await until_async(lambda: tier.stats().ready)
            await tier.wait_stored(30)
            assert tier.stats().bytes <= MB
            assert await tier.get(key_of("last"), 1001) is not None
            assert await tier.get(key_of(entries - 1), 1001) is not None
            assert (tmp_path / "store" / "data.mdb").stat().st_size <= 9 * MB
            assert tier.problem is None

    def test_a_full_map_evicts_and_grows_within_its_bound_and_heals(self, tmp_path: Path) -> None:
        store = Store(tmp_path, MB, lambda: 1000.0)
        store.open()
        store.apply([put_operation(key_of("first"), b"x" * 1000)])
        with _holding_a_read(tmp_path) as reader:  # every page it can see must stay
            with pytest.raises(lmdb.MapFullError):
                for number in range(100_000):
                    store.apply([put_operation(key_of(number), b"x" * 1000)])
            assert (tmp_path / "data.mdb").stat().st_size <= MB + 8 * MB
            reader.stdin.close()
            reader.wait()
        for number in range(20):
            store.apply([put_operation(key_of(f"more {number}"), b"x" * 1000)])
        assert store.get(key_of("more 19")) == b"x" * 1000
        store.close()

    @pytest.mark.parametrize("sizes", [[2900], [100, 1000, 3000, 60_000]])
    def test_a_store_at_its_bound_goes_on_taking_large_batches(self, tmp_path: Path, sizes: list[int]) -> None:
        rng = random.Random(1)
        store = Store(tmp_path, MB, lambda: 1000.0)
        store.open()
        for _ in range(30):
            store.apply([put_operation(rng.randbytes(16), b"x" * rng.choice(sizes)) for _ in range(100)])
        assert store.bytes <= MB
        assert (tmp_path / "data.mdb").stat().st_size <= 10 * MB
        store.close()

    def test_a_commit_that_freed_nearly_every_page_is_followed_by_others(self, tmp_path: Path) -> None:
        store = Store(tmp_path, MB, lambda: 1000.0)
        store.open()
        with _holding_a_read(tmp_path), pytest.raises(lmdb.MapFullError):
            for number in range(100_000):
                store.apply([put_operation(key_of(number), b"x" * 1000)])
        store.apply([CLEAR])
        store.apply([put_operation(key_of(number), b"x" * 1000) for number in range(300)])
        assert store.get(key_of(299)) is not None
        store.close()

    def test_a_map_that_someone_else_made_larger_is_followed(self, tmp_path: Path) -> None:
        store = Store(tmp_path, MB, lambda: 1000.0)
        store.map.watch = False
        store.open()
        script = (
            "import lmdb, sys, os; env = lmdb.open(sys.argv[1], map_size=1 << 26, max_dbs=8)\n"
            "with env.begin(write=True) as txn: [txn.put(b'%d' % n, os.urandom(1000)) for n in range(5000)]"
        )
        subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
        store.apply([put_operation(key_of("a"), b"record")])
        assert store.get(key_of("a")) == b"record"
        store.close()


class _holding_a_read:  # noqa: N801 - reads as a sentence
    """Another process with a read transaction that never ends."""

    def __init__(self, folder: Path) -> None:
        script = (
            "import lmdb, sys; env = lmdb.open(sys.argv[1], readonly=True, max_dbs=8)\n"
            "txn = env.begin(); txn.stat(); print('reads', flush=True); sys.stdin.read()"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> subprocess.Popen[bytes]:
        self.process.stdout.readline()
        return self.process

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stdin.close()


class TestFilter:
    async def test_a_certain_miss_needs_no_disk(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as tier:
            tier.put(answer("a"))
        async with opened(tmp_path) as tier:
            await walked(tier)
            assert tier.maybe(key_of("a"))
            before = tier.stats().misses
            assert not tier.maybe(key_of("b"))
            assert tier.stats().misses == before + 1

    def test_few_absent_keys_are_taken_for_present_and_no_present_one_for_absent(self) -> None:
        known = Presence(10_000)
        for number in range(10_000):
            known.add(key_of(number))
        assert all(key_of(number) in known for number in range(10_000))
        assert sum(key_of(-number) in known for number in range(1, 10_001)) < 20

    async def test_a_key_that_comes_during_a_walk_is_in_the_new_filter(self) -> None:
        census = Census()
        stored = sorted(key_of(number) for number in range(2000))

        async def read(after: bytes, limit: int) -> list[tuple[bytes, float]]:
            await asyncio.sleep(0)
            return [(key, 5.0) for key in stored if key > after][:limit]

        walk = asyncio.ensure_future(census.walk(read, [key_of("waits")], 2000, 4.0))
        await asyncio.sleep(0)
        assert census.maybe(key_of("anything, before it is made"))
        census.add(key_of("comes"))
        assert await walk == []
        assert all(census.maybe(key) for key in [*stored, key_of("waits"), key_of("comes")])
        assert not census.maybe(key_of("absent"))
        assert await census.walk(read, [], 2000, 6.0) == stored

    @pytest.fixture
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(presence, "KEYS_MIN", 4096)

    async def test_a_filter_that_became_too_small_asks_for_a_new_one(self, small: None) -> None:
        census = Census()

        async def read(after: bytes, limit: int) -> list[tuple[bytes, float]]:
            return []

        assert not census.add(key_of("before"))
        await census.walk(read, [], 0, 0.0)
        assert any(census.add(key_of(number)) for number in range(20_000))

    async def test_many_puts_make_a_larger_filter(self, tmp_path: Path, small: None) -> None:
        async with opened(tmp_path) as tier:
            await walked(tier)
            first = tier._census._presence
            for number in range(10_000):
                tier.put(answer(number, ""))
            await until_async(lambda: tier._census._presence is not first)
            assert all(tier.maybe(key_of(number)) for number in range(10_000))


class TestSchema:
    async def test_a_newer_schema_refuses_the_start_with_a_tip_and_touches_nothing(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as tier:
            tier.put(answer("a"))
        mark = tmp_path / "store.json"
        mark.write_text(mark.read_text().replace('"schema": 1', '"schema": 7'))
        before = (tmp_path / "store" / "data.mdb").read_bytes()
        tier = DiskTier(tmp_path, MB, 60, HeldClock())
        with pytest.raises(NewerSchemaError) as raised:
            await tier.start()
        await tier.close()
        assert "7" in raised.value.message
        assert str(tmp_path) in raised.value.tips[1]
        assert (tmp_path / "store" / "data.mdb").read_bytes() == before

    @pytest.mark.parametrize("clean", [True, False])
    async def test_a_newer_schema_inside_the_store_is_not_touched(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean: bool
    ) -> None:
        async with opened(tmp_path) as tier:
            tier.put(answer("a"))
        monkeypatch.setattr(disk_tables, "SCHEMA", 0)
        tier = DiskTier(tmp_path, MB, 60, HeldClock())
        if clean:
            mark = tmp_path / "store.json"
            mark.write_text(mark.read_text().replace('"schema": 1', '"schema": 0'))
            with pytest.raises(NewerSchemaError):
                await tier.start()
        else:
            (tmp_path / "store.json").unlink()
            await tier.start()
            await until_async(lambda: tier.problem is not None)
            assert "newer BEAST MODE" in (tier.problem or "")
            assert await tier.get(key_of("a"), 1001) is None
        await tier.close()
        assert [path.name for path in tmp_path.iterdir() if "damaged" in path.name] == []

    async def test_an_older_schema_is_migrated(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async with opened(tmp_path) as tier:
            tier.put(answer("a"))
            tier.put(answer("b"))

        def forget_b(tables: disk_tables.Tables, txn: Any) -> None:
            tables.apply(txn, remove_operation([key_of("b")]), 1000)

        monkeypatch.setattr(disk_tables, "SCHEMA", 2)
        monkeypatch.setattr(disk_tables, "MIGRATIONS", (forget_b,))
        for _ in range(2):
            async with opened(tmp_path) as tier:
                assert [entry.text async for entry in tier.entries()] == ["a"]
                assert tier.problem is None
        monkeypatch.setattr(disk_tables, "SCHEMA", 1)
        tier = DiskTier(tmp_path, MB, 60, HeldClock())
        with pytest.raises(NewerSchemaError):
            await tier.start()
        await tier.close()


class TestUse:
    async def test_it_counts_what_it_did(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as tier:
            tier.put(answer("a"))
            await tier.get(key_of("a"), 1001)
            await tier.get(key_of("b"), 1001)
            await tier.wait_stored()
            stats = tier.stats()
            assert (stats.entries, stats.hits, stats.misses, stats.max_bytes) == (1, 1, 1, 64 * MB)
            assert stats.bytes > 0

    async def test_a_use_is_noted_once_a_minute(self, tmp_path: Path) -> None:
        async with opened(tmp_path) as tier:
            tier.put(answer("a"))
            noted: list[bytes] = []
            tier._journal.append = lambda payload, item: noted.append(item)  # type: ignore[method-assign]  # a listener
            for now_s in (1001, 1002, 1060, 1062, 1063, 900, 901):
                await tier.get(key_of("a"), now_s)
            assert noted == [touch_operation(key_of("a"))] * 3

    async def test_files_and_folders_are_private(self, tmp_path: Path) -> None:
        async with opened(tmp_path / "l2") as tier:
            tier.put(answer("a"))
            await tier.wait_stored()
            modes = {path: path.stat().st_mode & 0o077 for path in (tmp_path / "l2").rglob("*")}
            assert {path for path, mode in modes.items() if mode} <= {tmp_path / "l2" / "store.json"}
            assert (tmp_path / "l2").stat().st_mode & 0o077 == 0

    async def test_a_folder_that_can_not_be_made_switches_the_tier_off(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        async with opened(tmp_path / "file" / "l2") as tier:
            tier.put(answer("a"))
            assert await tier.get(key_of("a"), 1001) is None
            assert str(tmp_path / "file") in (tier.problem or "")


steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 5), st.integers(0, 2000)),
        st.tuples(st.just("remove"), st.integers(0, 5)),
        st.tuples(st.sampled_from(["clear", "store", "restart"])),
    ),
    max_size=12,
)


@few
@given(steps)
def test_whatever_is_done_every_lookup_gives_the_last_answer_or_none(done: list[tuple[Any, ...]]) -> None:
    async def run(folder: Path) -> None:
        expected: dict[int, Entry] = {}
        tier = DiskTier(folder, 64 * MB, 3600, HeldClock())
        await tier.start()
        for count, step in enumerate(done):
            if step[0] == "put":
                expected[step[1]] = answer(step[1], f"{count}" + "x" * step[2])
                tier.put(expected[step[1]])
            elif step[0] == "remove":
                expected.pop(step[1], None)
                tier.remove([key_of(step[1])])
            elif step[0] == "clear":
                expected.clear()
                tier.clear()
            elif step[0] == "store":
                await tier.wait_stored()
            else:
                await tier.close()
                tier = DiskTier(folder, 64 * MB, 3600, HeldClock())
                await tier.start()
            for name in range(6):
                assert await tier.get(key_of(name), 1001) == expected.get(name)
                assert name not in expected or tier.maybe(key_of(name))
        await tier.wait_stored()
        assert {int(entry.text): entry async for entry in tier.entries()} == expected
        await tier.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


class TestRecord:
    @few
    @given(st.binary(max_size=3000), st.integers(0, 20_000), st.integers(0, 7))
    def test_any_bit_that_changes_is_noticed(self, text: bytes, at: int, bit: int) -> None:
        entry = answer("a", text.hex())
        record = bytearray(pack(entry))
        assert unpack(entry.key, bytes(record)) == entry
        record[at % len(record)] ^= 1 << bit
        with pytest.raises(DamagedRecordError):
            unpack(entry.key, bytes(record))

    def test_a_record_under_another_key_or_cut_short_is_none(self) -> None:
        record = pack(answer("a"))
        with pytest.raises(DamagedRecordError):
            unpack(key_of("b"), record)
        for size in (0, 1, 17, 18, len(record) - 1):
            with pytest.raises(DamagedRecordError):
                unpack(key_of("a"), record[:size])

    def test_a_record_of_another_shape_is_none(self) -> None:
        from beastmode.cache import record

        odd = answer("a")
        odd.text = 7  # type: ignore[assignment]  # as another version might have written it
        with pytest.raises(DamagedRecordError):
            unpack(odd.key, record.pack(odd))

    def test_its_end_can_be_told_without_reading_it(self) -> None:
        assert expires_s(pack(answer("a", at_s=5.0)), 10.0) == 15.0
        assert expires_s(pack(answer("a", digests=[Digest(path="x", sha256="0")])), 10.0) == float("inf")
        assert expires_s(b"short", 10.0) == 0.0


class TestWaiting:
    def test_records_beyond_its_memory_are_found_once_they_are_stored(self) -> None:
        waiting = Waiting(max_bytes=2000)
        operations = [put_operation(key_of(name), b"x" * 900) for name in "abc"]
        for operation in operations:
            waiting.note(operation)
        assert [waiting.knows(key_of(name)) for name in "abc"] == [True, True, False]
        waiting.settle(operations)
        assert len(waiting) == 0
        waiting.note(operations[2])
        assert waiting.record(key_of("c")) == b"x" * 900

    def test_storing_an_older_operation_does_not_settle_a_newer_one(self) -> None:
        waiting = Waiting()
        old, new = put_operation(key_of("a"), b"old"), put_operation(key_of("a"), b"new")
        waiting.note(old)
        waiting.note(new)
        waiting.settle([old])
        assert waiting.record(key_of("a")) == b"new"
        waiting.note(CLEAR)
        assert waiting.knows(key_of("anything"))
        assert waiting.record(key_of("a")) is None
        waiting.settle([new, CLEAR, CLEAR])
        assert not waiting.knows(key_of("a"))

    @given(st.binary(max_size=60))
    def test_bytes_that_are_no_operation_are_refused(self, payload: bytes) -> None:
        if payload[:1] not in (b"p", b"r", b"c", b"t"):
            with pytest.raises(ValueError):
                disk_tables.checked_operation(payload)
