"""L3: whatever happens to the server, a lookup is a miss at worst, and the tier comes back by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from beastmode.cache.key import FORMAT
from beastmode.cache.record import VERSION, pack
from beastmode.cache.shared import ASKING_MAX, VALUE_MAX_BYTES, SharedTier, chosen
from beastmode.cache.shared_link import LateError, Pace, within
from beastmode.cache.shared_writes import Writes
from beastmode.core.clock import Clock
from beastmode.core.errors import EndpointUnreachableError, UpstreamError
from beastmode.core.plugins import Context, Tier
from beastmode.core.settings import CacheSettings, RedisSettings
from beastmode.core.types import Digest, Entry
from beastmode_plugins.redis_tier import RedisTier
from support.answers import answer, key_of
from support.redis_server import RedisServer, redis, relayed
from support.waiting import until_async

__all__ = ["redis"]  # a fixture

STRICT = Pace(pause_s=0.05, longest_pause_s=0.2)
PATIENT = Pace(limit_s=2.0, pause_s=0.05, longest_pause_s=0.2)
"""For what must be found, however busy this machine is."""


@asynccontextmanager
async def daemon(url: str, pace: Pace = PATIENT, ttl_s: float = 7200.0) -> AsyncIterator[SharedTier]:
    """The part of a daemon that uses the tier in Redis."""
    tier = RedisTier()
    async with aiohttp.ClientSession() as http:
        cache = CacheSettings(redis=RedisSettings(url=url, ttl_s=ttl_s))
        await tier.start(Context(http=http, data=Path(), run=Path(), clock=Clock(), cache=cache))
        async with using(tier, pace) as shared:
            yield shared
        await tier.close()


@asynccontextmanager
async def using(tier: Tier, pace: Pace = PATIENT) -> AsyncIterator[SharedTier]:
    shared = SharedTier(tier, Clock(), pace)
    await shared.start()
    try:
        yield shared
    finally:
        await shared.close()


def now_s() -> float:
    return Clock().wall_s()


def fresh(name: object, text: str | None = None, **fields: Any) -> Entry:
    return answer(name, text, **{"at_s": now_s(), **fields})


def server_key(name: object) -> str:
    return f"beastmode:{FORMAT}.{VERSION}:{key_of(name).hex()}"


async def found(shared: SharedTier, name: object) -> str | None:
    entry = await shared.get(key_of(name), now_s())
    return entry.completion.text if entry is not None else None


async def until_found(shared: SharedTier, name: object) -> None:
    while await found(shared, name) is None:
        await asyncio.sleep(0.02)


async def comes_back(shared: SharedTier) -> None:
    await until_async(lambda: shared.stats().ready)
    assert shared.problem is None


# -- as it should be --------------------------------------------------------------------------------------------------


async def test_what_one_daemon_stored_another_finds(redis: RedisServer) -> None:
    async with daemon(redis.url) as one, daemon(redis.url) as other:
        entry = fresh("a", digests=[Digest(path="a.py", sha256="0" * 64)], tags=["t"], workspace="/w")
        one.put(entry)
        assert await one.settle()
        assert await other.get(entry.key, now_s()) == entry
        assert await found(other, "b") is None
        stats = other.stats()
        assert (stats.name, stats.ready, stats.hits, stats.misses) == ("redis", True, 1, 1)
        assert (one.stats().stored, one.stats().waiting) == (1, 0)


async def test_a_newer_answer_takes_the_place_of_an_older_one(redis: RedisServer) -> None:
    async with daemon(redis.url) as one, daemon(redis.url) as other:
        one.put(fresh("a", "first"))
        await one.settle()
        one.put(fresh("a", "second"))
        await one.settle()
        assert await found(other, "a") == "second"


async def test_an_answer_that_still_waits_to_be_written_is_found(redis: RedisServer) -> None:
    async with daemon(redis.url) as shared:
        redis.freeze()
        shared.put(fresh("a"))
        assert await found(shared, "a") == "answer to a"
        redis.thaw()
        assert await shared.settle()


async def test_what_waits_is_written_before_the_end(redis: RedisServer) -> None:
    async with daemon(redis.url) as shared:
        for i in range(50):
            shared.put(fresh(i))
    async with daemon(redis.url) as shared:
        assert await found(shared, 49) == "answer to 49"


async def test_an_answer_ends_with_its_age_wherever_it_is(redis: RedisServer) -> None:
    async with daemon(redis.url, ttl_s=100.0) as shared, daemon(redis.url, ttl_s=10.0) as stricter:
        shared.put(fresh("new"))
        shared.put(fresh("half", at_s=now_s() - 50))
        shared.put(fresh("old", at_s=now_s() - 101))
        await shared.settle()
        assert [await found(shared, name) for name in ("new", "half", "old")] == [
            "answer to new",
            "answer to half",
            None,
        ]
        assert [await found(stricter, name) for name in ("new", "half")] == ["answer to new", None]
        assert stricter.stats().expired == 1
        left_ms = await redis.ask("PTTL", server_key("half"))
        assert isinstance(left_ms, int)
        assert 0 < left_ms <= 50_000


async def test_an_answer_that_is_bound_to_files_has_no_such_age(redis: RedisServer) -> None:
    async with daemon(redis.url, ttl_s=100.0) as shared:
        shared.put(fresh("a", at_s=now_s() - 1000, digests=[Digest(path="a.py", sha256="0" * 64)]))
        await shared.settle()
        assert await found(shared, "a") == "answer to a"
        left_ms = await redis.ask("PTTL", server_key("a"))
        assert isinstance(left_ms, int)
        assert left_ms > 1_000_000


async def test_a_clock_that_is_ahead_makes_no_answer_live_longer(redis: RedisServer) -> None:
    async with daemon(redis.url) as shared:
        shared.put(fresh("a", at_s=now_s() + 5000))
        await shared.settle()
        entry = await shared.get(key_of("a"), now_s())
        assert entry is not None
        assert entry.stored_at_s <= now_s()


@pytest.mark.parametrize("text", ["x" * VALUE_MAX_BYTES, "\ud800"], ids=["too large", "a lone surrogate"])
async def test_what_can_not_be_stored_replaces_what_was_there(redis: RedisServer, text: str) -> None:
    async with daemon(redis.url) as one, daemon(redis.url) as other:
        one.put(fresh("a"))
        one.put(fresh("b"))
        await one.settle()
        one.put(fresh("a", text))
        await one.settle()
        assert await found(other, "a") is None
        assert await found(other, "b") == "answer to b"
        assert one.stats().unstorable == 1


async def test_what_is_forgotten_is_forgotten_for_all_daemons(redis: RedisServer) -> None:
    async with daemon(redis.url) as one, daemon(redis.url) as other:
        for name in range(3000):
            one.put(fresh(name)) if name < 900 else None
        await one.settle()
        other.remove(key_of(name) for name in range(3000) if name != 7)
        assert await found(other, 3) is None
        await other.settle()
        assert [await found(one, name) for name in (0, 3, 7, 899)] == [None, None, "answer to 7", None]
        await redis.ask("SET", "theirs", "kept")
        one.clear()
        await one.settle()
        assert await found(other, 7) is None
        assert await redis.ask("DBSIZE") == 1


async def test_what_is_forgotten_while_the_server_is_away_is_not_found_and_goes_later(redis: RedisServer) -> None:
    async with daemon(redis.url, STRICT) as shared, daemon(redis.url) as other:
        for name in "abc":
            shared.put(fresh(name))
        await shared.settle()
        redis.freeze()
        for _ in range(4):
            await found(shared, "nothing")
        shared.remove([key_of("a")])
        assert not await shared.settle(0.05)
        assert shared.stats().waiting == 1
        redis.thaw()
        assert await shared.settle(20.0)
        assert await found(other, "a") is None
        assert await found(other, "b") == "answer to b"
        redis.freeze()
        shared.clear()
        shared.put(fresh("d"))
        assert [await found(shared, name) for name in "bd"] == [None, "answer to d"]
        redis.thaw()
        assert await shared.settle(20.0)
        assert [await found(other, name) for name in "bcd"] == [None, None, "answer to d"]


# -- a server that misbehaves -----------------------------------------------------------------------------------------


async def test_a_frozen_server_costs_a_few_short_waits_and_comes_back(redis: RedisServer) -> None:
    async with daemon(redis.url, STRICT) as shared:
        shared.put(fresh("a"))
        await shared.settle()
        redis.freeze()
        assert [await found(shared, "a") for _ in range(40)] == [None] * 40
        stats = shared.stats()
        assert not stats.ready
        assert stats.switched_off == 1
        assert 3 <= stats.timeouts <= 20, "three, and those during which this loop itself was held up"
        assert stats.skipped == 40 - stats.timeouts
        assert shared.problem == "The shared cache `redis` is off, and tried again now and then: It answers too slowly."
        assert shared.tip
        redis.thaw()
        await comes_back(shared)
        await asyncio.wait_for(until_found(shared, "a"), 10.0)


async def test_a_server_that_was_killed_and_started_again_serves_again(redis: RedisServer) -> None:
    async with daemon(redis.url, STRICT) as shared:
        redis.kill()
        for name in range(20):
            assert await found(shared, name) is None
        assert shared.stats().switched_off == 1
        assert str(redis.socket) in (shared.problem or "")
        assert "cache.redis.url" in shared.tip
        shared.put(fresh("meanwhile"))
        redis.start()
        await comes_back(shared)
        assert await shared.settle()
        assert await redis.ask("EXISTS", server_key("meanwhile")) == 1


async def test_a_restart_between_two_lookups_is_hardly_noticed(redis: RedisServer) -> None:
    async with daemon(redis.url) as shared:
        redis.kill()
        redis.start()
        assert await found(shared, "a") is None
        shared.put(fresh("a"))
        await shared.settle()
        assert await found(shared, "a") == "answer to a"
        assert (shared.stats().errors, shared.stats().switched_off) == (0, 0)


@pytest.mark.parametrize("frozen", [False, True], ids=["away", "frozen"])
async def test_a_server_that_is_not_there_at_the_start_may_come_later(redis: RedisServer, frozen: bool) -> None:
    redis.freeze() if frozen else redis.kill()
    async with daemon(redis.url) as shared:
        assert await found(shared, "a") is None
        assert shared.stats().skipped == 1
        shared.put(fresh("a"))
        redis.thaw() if frozen else redis.start()
        await comes_back(shared)
        assert await shared.settle()
        assert await redis.ask("EXISTS", server_key("a")) == 1


async def test_a_server_that_is_too_slow_is_left_alone_until_it_is_fast_enough(redis: RedisServer) -> None:
    async with relayed(redis) as relay, daemon(relay.url, STRICT) as shared:
        await until_async(lambda: shared.stats().ready)
        relay.delay_s = 0.1
        for name in range(30):
            assert await found(shared, name) is None
        assert shared.stats().switched_off >= 1
        await asyncio.sleep(0.5)
        assert not shared.stats().ready, "a probe that is answered too late switches nothing on"
        relay.delay_s = 0.0
        await comes_back(shared)


@pytest.mark.parametrize(
    "reply",
    [
        b"$7\r\nrubbish\r\n",
        b"+OK\r\n",
        b"*1\r\n$1\r\nx\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b":x\r\n",
        b"-\xff\r\n",
    ],
)
async def test_a_server_that_talks_rubbish_is_switched_off_and_comes_back(redis: RedisServer, reply: bytes) -> None:
    async with relayed(redis) as relay, daemon(relay.url) as shared:
        shared.put(fresh("a"))
        await shared.settle()
        relay.reply = reply
        for _ in range(5):
            assert await found(shared, "a") is None
        for name in range(5):
            assert await found(shared, name) is None
        stats = shared.stats()
        assert stats.rubbish + stats.errors >= 3
        assert stats.switched_off == 1
        await asyncio.sleep(0.3)
        assert not shared.stats().ready
        assert "rubbish" not in (shared.problem or "")
        relay.reply = None
        await comes_back(shared)


async def test_rubbish_under_one_key_is_removed_and_the_rest_works(redis: RedisServer) -> None:
    async with daemon(redis.url) as shared:
        shared.put(fresh("good"))
        await shared.settle()
        foreign = pack(fresh("other"))
        bad = [b"", b"\x01", b"\xff" * 100, foreign, foreign[:-1], pack(fresh(0))[:-1] + b"\0"]
        for name, value in enumerate(bad):
            await redis.ask("SET", server_key(name), value)
            assert await found(shared, name) is None
            assert await found(shared, "good") == "answer to good"
        await redis.ask("LPUSH", server_key("list"), "x")
        assert await found(shared, "list") is None
        assert await shared.settle()
        assert shared.stats().rubbish == len(bad)
        assert await redis.ask("EXISTS", *(server_key(name) for name in range(len(bad)))) == 0
        shared.put(fresh("list"))
        await shared.settle()
        assert await found(shared, "list") == "answer to list"
        assert shared.stats().switched_off == 0


async def test_an_answer_of_another_key_is_no_answer(redis: RedisServer) -> None:
    entry = fresh("a")
    forged = pack(entry)
    entry.key = key_of("b")
    async with daemon(redis.url) as shared:
        await redis.ask("SET", server_key("b"), forged)
        assert await found(shared, "b") is None


async def test_a_full_server_still_answers_and_is_named(redis: RedisServer) -> None:
    async with daemon(redis.url) as shared:
        shared.put(fresh("a"))
        await shared.settle()
        await redis.ask("CONFIG", "SET", "maxmemory", "1", "maxmemory-policy", "noeviction")
        shared.put(fresh("b"))
        await shared.settle()
        assert await found(shared, "a") == "answer to a"
        assert (shared.stats().dropped, shared.stats().switched_off) == (1, 0)
        assert "is full and takes no more" in (shared.problem or "")
        assert "maxmemory" in shared.tip
        await redis.ask("CONFIG", "SET", "maxmemory", "0")
        shared.put(fresh("b"))
        await shared.settle()
        assert await found(shared, "b") == "answer to b"
        assert shared.problem is None


async def test_a_replica_is_read(redis: RedisServer) -> None:
    async with daemon(redis.url) as primary:
        primary.put(fresh("a"))
        await primary.settle()
    await redis.ask("REPLICAOF", "127.0.0.1", "9")
    async with daemon(redis.url) as shared:
        assert shared.stats().ready
        assert await found(shared, "a") == "answer to a"
        assert "replica" in (shared.problem or "")


async def test_a_wrong_password_is_told_and_not_shown(redis: RedisServer) -> None:
    async with daemon(redis.url.replace("unix://", "unix://:hush-hush@")) as shared:
        assert await found(shared, "a") is None
        assert "refuses the user or the password" in (shared.problem or "")
        assert "hush" not in f"{shared.problem} {shared.tip} {shared.stats()}"


# -- a plugin that misbehaves -----------------------------------------------------------------------------------------


class Odd(Tier):
    """A tier that works, until `misbehave` is set: then every call does that instead."""

    name = "odd"

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.misbehave: Callable[[], Any] | None = None
        self.calls = 0

    def configured(self) -> bool:
        return True

    async def _now(self) -> None:
        self.calls += 1
        await asyncio.sleep(0)

    def get(self, key: bytes) -> Any:  # a plugin may forget `async`
        return self.misbehave() if self.misbehave else self._get(key)

    async def _get(self, key: bytes) -> bytes | None:
        await self._now()
        return self.values.get(key)

    async def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        await self._now()
        self.values[key] = value

    async def remove(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            self.values.pop(key, None)

    async def clear(self) -> None:
        self.values.clear()


async def stubborn() -> None:
    for _ in range(40):
        try:
            await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            continue


async def late() -> None:
    await asyncio.sleep(30)


async def cancelled() -> None:
    raise asyncio.CancelledError


def raising(error: Exception) -> Callable[[], Any]:
    async def fail() -> None:
        raise error

    return fail


def at_once() -> None:
    raise ValueError("secret words")


async def gives(value: object) -> object:
    return value


@pytest.mark.parametrize(
    "misbehave",
    [
        late,
        stubborn,
        cancelled,
        at_once,
        raising(ValueError("secret words")),
        raising(RecursionError("secret words")),
        raising(TimeoutError()),
        raising(UpstreamError("It said no.")),
        lambda: None,
        lambda: gives("text"),
        lambda: gives(7),
        lambda: gives([b"x"]),
        lambda: gives(b"rubbish"),
    ],
)
async def test_a_plugin_that_misbehaves_costs_misses_and_comes_back(misbehave: Callable[[], Any]) -> None:
    tier = Odd()
    async with using(tier, STRICT) as shared:
        assert shared.stats().ready
        tier.misbehave = misbehave
        for name in range(10):
            assert await found(shared, name) is None
        assert shared.stats().switched_off == 1
        assert "secret words" not in f"{shared.problem}{shared.tip}"
        tier.misbehave = None
        await comes_back(shared)
        shared.put(fresh("a"))
        await shared.settle()
        assert await found(shared, "a") == "answer to a"


async def test_a_failure_now_and_then_switches_nothing_off() -> None:
    tier = Odd()
    async with using(tier) as shared:
        for name in range(20):
            tier.misbehave = at_once if name % 2 else None
            await found(shared, name)
        assert (shared.stats().switched_off, shared.stats().errors) == (0, 10)


async def test_writes_that_fail_wait_where_they_must_and_are_given_up_where_they_may() -> None:
    tier = Odd()
    works = tier.put, tier.remove, tier.clear

    async def away(*_: object) -> None:
        raise EndpointUnreachableError("It is away.", tips=["wait"])

    async with using(tier, STRICT) as shared:
        shared.put(fresh("a"))
        await shared.settle()
        tier.put, tier.remove, tier.clear = away, away, away  # type: ignore[method-assign]  # the plugin breaks
        shared.put(fresh("b"))
        await until_async(lambda: shared.stats().dropped == 1)
        shared.remove([key_of("a")])
        shared.clear()
        assert not await shared.settle(0.2)
        assert await found(shared, "a") is None
        tier.put, tier.remove, tier.clear = works  # type: ignore[method-assign]  # and is mended
        assert await shared.settle(20.0)
        assert [key for key in tier.values if not key.startswith(b"probe")] == []


async def test_an_answer_that_is_forgotten_while_it_is_looked_up_is_not_found() -> None:
    tier = Odd()
    async with using(tier) as shared:
        shared.put(fresh("a"))
        await shared.settle()
        asked = asyncio.ensure_future(found(shared, "a"))
        await asyncio.sleep(0)
        shared.remove([key_of("a")])
        assert await asked is None


async def test_a_lookup_that_is_cancelled_ends_its_call() -> None:
    tier = Odd()
    ended = asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async with using(tier, Pace(limit_s=30.0)) as shared:
        tier.misbehave = endless
        asked = asyncio.ensure_future(found(shared, "a"))
        await asyncio.sleep(0.01)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await asyncio.wait_for(ended.wait(), 10.0)


async def test_it_is_not_asked_too_much_at_once() -> None:
    tier = Odd()
    async with using(tier, Pace(limit_s=30.0)) as shared:
        release = asyncio.Event()
        tier.misbehave = release.wait
        asked = [asyncio.ensure_future(found(shared, i)) for i in range(3 * ASKING_MAX)]
        await until_async(lambda: shared.stats().skipped == 2 * ASKING_MAX)
        for one in asked:
            one.cancel()
        await asyncio.wait(asked)


async def test_a_loop_that_was_held_up_is_not_held_against_the_tier() -> None:
    import time

    tier = Odd()
    async with using(tier, Pace(limit_s=0.01)) as shared:

        async def held_up() -> None:
            time.sleep(0.05)
            await asyncio.sleep(30)

        tier.misbehave = held_up
        for name in range(10):
            await found(shared, name)
        assert (shared.stats().timeouts, shared.stats().switched_off) == (10, 0)
        for name in range(20):
            await found(shared, name)
        assert shared.stats().switched_off == 1, "a loop that is always late must not wait for ever"


async def test_foreign_code_is_awaited_no_longer_than_told() -> None:
    assert await within(gives(3), 1.0) == 3
    for work in (late, stubborn, cancelled):
        with pytest.raises(LateError):
            await within(work(), 0.01)


class Unsure(Odd):
    def configured(self) -> bool:
        raise ValueError


class Unused(Odd):
    def configured(self) -> bool:
        return False


async def test_the_first_tier_that_is_set_up_is_chosen() -> None:
    first, second = Odd(), Odd()
    assert chosen([Unsure(), Unused(), first, second]) is first
    assert chosen([Unsure(), Unused()]) is None


# -- what waits to be written -----------------------------------------------------------------------------------------


def test_answers_that_wait_are_bounded_and_the_oldest_go_first() -> None:
    writes = Writes(puts_max=3, puts_max_bytes=100)
    for key in (b"a", b"b", b"c", b"d"):
        writes.put(key, b"x" * 10)
    assert writes.find(b"a") == (False, None)
    assert (len(writes), writes.dropped) == (3, 1)
    writes.put(b"e", b"x" * 85)
    assert [writes.find(key)[0] for key in (b"b", b"c", b"d", b"e")] == [False, False, True, True]
    writes.put(b"f", b"x" * 200)
    assert (len(writes), writes.take()) == (0, None)


def test_what_is_to_be_forgotten_is_never_dropped() -> None:
    writes = Writes(puts_max=1)
    writes.remove(b"%d" % i for i in range(5000))
    writes.put(b"a", b"x")
    writes.put(b"7", b"x")
    assert writes.find(b"7") == (True, b"x")
    assert writes.find(b"8") == (True, None)
    assert len(writes.removals(1000)) == 1000
    writes.removed(writes.removals(10_000))
    assert writes.take() == (b"7", b"x")
    assert len(writes) == 0


def test_a_clear_that_came_during_a_clear_is_done_as_well() -> None:
    writes = Writes()
    writes.put(b"a", b"x")
    writes.remove([b"b"])
    writes.clear()
    assert (writes.clears, len(writes), writes.find(b"a")) == (1, 1, (True, None))
    writes.clear()
    writes.cleared(1)
    assert writes.find(b"c") == (True, None)
    writes.cleared(2)
    assert writes.find(b"c") == (False, None)
