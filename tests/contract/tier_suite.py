"""What every shared cache tier must do, whoever wrote it: subclass `TierContract` and give it a tier and its server."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from beastmode.core.clock import Clock
from beastmode.core.errors import BeastError
from beastmode.core.plugins import Context, Tier
from support.waiting import until_async

PATIENCE_S = 10.0
LONG_S = 600.0
LARGEST_BYTES = 1 << 20
NASTY = [b"", b"\0", b"\r\n$3\r\nabc\r\n", b"None", bytes(range(256)) * 8]


class TierContract:
    """Subclasses give `tier`, `setting_up`, and what becomes of the server."""

    def tier(self) -> Tier:
        """A new tier; all of a test share one server."""
        raise NotImplementedError

    def setting_up(self) -> dict[str, Any]:
        """Fields of the context (`cache`, `options`) that set the tier up."""
        raise NotImplementedError

    async def plant(self) -> None:
        """Puts something into the server that is not ours."""
        raise NotImplementedError

    async def planted(self) -> bool:
        """Says whether what is not ours is still there."""
        raise NotImplementedError

    def take_away(self) -> None:
        """Makes the server go away."""
        raise NotImplementedError

    def bring_back(self) -> None:
        """Brings it back."""
        raise NotImplementedError

    @pytest.fixture
    async def make(self, tmp_path: Path) -> AsyncIterator[Callable[[], Awaitable[Tier]]]:
        made: list[Tier] = []
        async with aiohttp.ClientSession() as http:

            async def make() -> Tier:
                tier = self.tier()
                await tier.start(Context(http=http, data=tmp_path, run=tmp_path, clock=Clock(), **self.setting_up()))
                made.append(tier)
                return tier

            yield make
            for tier in made:
                await tier.close()

    @pytest.fixture
    async def started(self, make: Callable[[], Awaitable[Tier]]) -> Tier:
        return await make()

    async def test_it_says_who_it_is(self, started: Tier) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9_-]*", started.name)
        assert started.ttl_s > 0
        assert started.configured()

    async def test_without_settings_it_is_not_set_up(self, tmp_path: Path) -> None:
        tier = self.tier()
        async with aiohttp.ClientSession() as http:
            await tier.start(Context(http=http, data=tmp_path, run=tmp_path, clock=Clock()))
            assert not tier.configured()
            await tier.close()

    async def test_it_gives_back_what_was_put(self, started: Tier) -> None:
        assert await started.get(b"1.1:unknown") is None
        await started.put(b"1.1:known", b"first", LONG_S)
        assert await started.get(b"1.1:known") == b"first"
        await started.put(b"1.1:known", b"second", LONG_S)
        assert await started.get(b"1.1:known") == b"second"
        assert await started.get(b"1.1:Known") is None

    @pytest.mark.parametrize("value", NASTY, ids=repr)
    async def test_it_changes_no_byte(self, started: Tier, value: bytes) -> None:
        await started.put(b"k", value, LONG_S)
        found = await started.get(b"k")
        assert found == value
        assert isinstance(found, bytes)

    async def test_it_changes_no_byte_of_anything(self, started: Tier) -> None:
        chance = random.Random(7)
        for _ in range(100):
            key = bytes(chance.choices(range(33, 127), k=chance.randint(1, 100)))
            value = chance.randbytes(chance.randint(0, 5000))
            await started.put(key, value, LONG_S)
            assert await started.get(key) == value

    async def test_it_takes_large_values(self, started: Tier) -> None:
        value = bytes(range(256)) * (LARGEST_BYTES // 256)
        await started.put(b"large", value, LONG_S)
        assert await started.get(b"large") == value

    async def test_what_is_too_old_is_gone(self, started: Tier) -> None:
        await started.put(b"short", b"value", 0.05)
        await started.put(b"shortest", b"value", 0.0001)
        await started.put(b"long", b"value", LONG_S)
        deadline_s = asyncio.get_running_loop().time() + PATIENCE_S
        while await started.get(b"short") is not None or await started.get(b"shortest") is not None:
            assert asyncio.get_running_loop().time() < deadline_s
            await asyncio.sleep(0.01)
        assert await started.get(b"long") == b"value"

    async def test_putting_again_starts_the_age_anew(self, started: Tier) -> None:
        await started.put(b"k", b"old", 0.05)
        await started.put(b"k", b"new", LONG_S)
        await asyncio.sleep(0.1)
        assert await started.get(b"k") == b"new"

    async def test_it_forgets_what_it_is_told_to(self, started: Tier) -> None:
        keys = [f"k{i}".encode() for i in range(20)]
        for key in keys:
            await started.put(key, b"value", LONG_S)
        await started.remove([*keys[:10], b"never there"])
        assert [await started.get(key) for key in keys] == [None] * 10 + [b"value"] * 10
        await started.remove([f"k{i}".encode() for i in range(1000)])
        await started.remove([])
        assert [await started.get(key) for key in keys] == [None] * 20

    async def test_it_forgets_everything_of_ours_and_nothing_else(
        self, make: Callable[[], Awaitable[Tier]], started: Tier
    ) -> None:
        await self.plant()
        other = await make()
        keys = [f"k{i}".encode() for i in range(2500)]
        await asyncio.gather(
            *(tier.put(key, b"v", LONG_S) for tier, key in zip([started, other] * 1250, keys, strict=True))
        )
        await started.clear()
        assert {await other.get(key) for key in keys} == {None}
        assert await self.planted()
        await started.clear()
        await started.put(b"k1", b"again", LONG_S)
        assert await other.get(b"k1") == b"again"

    async def test_daemons_share_it(self, make: Callable[[], Awaitable[Tier]]) -> None:
        one, other = await make(), await make()
        await one.put(b"k", b"from one", LONG_S)
        assert await other.get(b"k") == b"from one"
        await other.remove([b"k"])
        assert await one.get(b"k") is None

    async def test_calls_run_side_by_side(self, started: Tier) -> None:
        async def use(number: int) -> bytes | None:
            key = f"k{number}".encode()
            await started.put(key, key * 100, LONG_S)
            return await started.get(key)

        found = await asyncio.gather(*(use(i) for i in range(200)))
        assert found == [f"k{i}".encode() * 100 for i in range(200)]

    async def test_a_cancelled_call_spoils_no_other(self, started: Tier) -> None:
        for i in range(20):
            await started.put(f"k{i}".encode(), f"v{i}".encode(), LONG_S)
        for i in range(40):
            doomed = [asyncio.ensure_future(started.get(f"k{i % 20}".encode())) for _ in range(20)]
            for _ in range(i % 8):
                await asyncio.sleep(0)
            for call in doomed:
                call.cancel()
            await asyncio.wait(doomed, timeout=PATIENCE_S)
            assert await started.get(f"k{19 - i % 20}".encode()) == f"v{19 - i % 20}".encode()

    async def test_where_the_server_is_away_it_says_so_and_it_comes_back(self, started: Tier) -> None:
        await started.put(b"k", b"value", LONG_S)
        self.take_away()
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: started.get(b"k"),
            lambda: started.put(b"k", b"v", LONG_S),
            lambda: started.remove([b"k"]),
            started.clear,
        ]
        for call in calls:
            with pytest.raises(BeastError) as raised:
                await asyncio.wait_for(call(), PATIENCE_S)
            assert raised.value.message
            assert raised.value.tips
        self.bring_back()
        worked: list[bool] = []

        async def works() -> None:
            while not worked:
                try:
                    await started.put(b"k", b"back", LONG_S)
                    worked.append(await started.get(b"k") == b"back")
                except BeastError:
                    await asyncio.sleep(0.02)

        trying = asyncio.ensure_future(works())
        await until_async(lambda: bool(worked), PATIENCE_S)
        await trying
        assert worked == [True]

    async def test_it_can_be_closed_at_any_time(self, make: Callable[[], Awaitable[Tier]]) -> None:
        used, unused = await make(), await make()
        await used.put(b"k", b"v", LONG_S)
        for tier in (used, unused):
            await tier.close()
            await tier.close()
