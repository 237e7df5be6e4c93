"""A plugin brings shared tiers: they are started with the user's settings, and left out with a plugin that fails."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import aiohttp
import pytest

from beastmode.core.clock import Clock
from beastmode.core.plugin_loader import load_plugins
from beastmode.core.plugins import Context, Tier, hookimpl
from beastmode.core.settings import CacheSettings, RedisSettings


class Shelf(Tier):
    def __init__(self, name: str = "shelf", fails: bool = False) -> None:
        self.name = name
        self.fails = fails
        self.closed = False

    async def start(self, context: Context) -> None:
        await super().start(context)
        if self.fails:
            raise ValueError("no shelf here")

    def configured(self) -> bool:
        return bool(self.context.cache.redis.url)

    async def get(self, key: bytes) -> bytes | None:
        return None

    async def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        return None

    async def remove(self, keys: Sequence[bytes]) -> None:
        return None

    async def clear(self) -> None:
        return None

    async def close(self) -> None:
        self.closed = True


Point = Callable[[str, object], EntryPoint]


@pytest.fixture
def point() -> Iterator[Point]:
    """Makes an entry point of a plugin whose hook returns what it is given."""
    made: list[str] = []

    def make(name: str, brought: object) -> EntryPoint:
        module = ModuleType(f"plugin_of_a_tier_{name}")
        module.__dict__["beast_tiers"] = hookimpl(lambda: brought, specname="beast_tiers")
        sys.modules[module.__name__] = module
        made.append(module.__name__)
        return EntryPoint(name, module.__name__, "beastmode.plugins")

    yield make
    for name in made:
        del sys.modules[name]


async def test_the_tier_in_redis_comes_through_its_entry_point() -> None:
    plugins = await load_plugins(())
    assert [tier.name for tier in plugins.tiers] == ["redis"]
    [info] = [info for info in plugins.infos if info.name == "redis_tier"]
    assert (info.hooks, info.state) == (["beast_tiers"], "loaded")


async def test_tiers_get_the_settings_of_the_cache_and_are_closed(point: Point) -> None:
    first, second = Shelf("first"), Shelf("second")
    plugins = await load_plugins((), [point("shelves", [first, second])])
    assert plugins.tiers == [first, second]
    async with aiohttp.ClientSession() as http:
        cache = CacheSettings(redis=RedisSettings(url="redis://here"))
        await plugins.start(Context(http=http, data=Path(), run=Path(), clock=Clock(), cache=cache))
    assert first.configured()
    await plugins.close()
    assert (first.closed, second.closed) == (True, True)


async def test_a_tier_that_does_not_start_is_left_out(point: Point) -> None:
    bad, good = Shelf(fails=True), Shelf()
    plugins = await load_plugins((), [point("bad", [bad]), point("good", [good])])
    async with aiohttp.ClientSession() as http:
        await plugins.start(Context(http=http, data=Path(), run=Path(), clock=Clock()))
    assert plugins.tiers == [good]
    assert "no shelf here" in (plugins.infos[0].error or "")
    assert bad.closed


@pytest.mark.parametrize(
    ("brought", "why"),
    [([Shelf("Two Words")], "'Two Words'"), ([Shelf("")], "''"), (["redis"], "not a Tier"), ("redis", "not a list")],
)
async def test_what_is_no_tier_is_left_out(point: Point, brought: object, why: str) -> None:
    plugins = await load_plugins((), [point("bad", brought)])
    assert (plugins.tiers, plugins.infos[0].state) == ([], "failed")
    assert why in (plugins.infos[0].error or "")
