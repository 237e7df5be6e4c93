"""The tier in Redis, and one in memory as the smallest example, keep the contract."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from beastmode.core.errors import EndpointUnreachableError
from beastmode.core.plugins import Tier
from beastmode.core.settings import CacheSettings, RedisSettings
from beastmode_plugins.redis_tier import RedisTier
from contract.tier_suite import TierContract
from support.redis_server import RedisServer, redis

__all__ = ["redis"]  # a fixture


class TestRedis(TierContract):
    @pytest.fixture(autouse=True)
    def server(self, redis: RedisServer) -> None:
        self.redis = redis

    def tier(self) -> Tier:
        return RedisTier()

    def setting_up(self) -> dict[str, Any]:
        return {"cache": CacheSettings(redis=RedisSettings(url=self.redis.url))}

    async def plant(self) -> None:
        await self.redis.ask("SET", "sessions:beastmode:1", "not ours")

    async def planted(self) -> bool:
        return await self.redis.ask("GET", "sessions:beastmode:1") == b"not ours"

    def take_away(self) -> None:
        self.redis.kill()

    def bring_back(self) -> None:
        self.redis.start()


class InMemory(Tier):
    """The whole of a tier, with a dictionary for a server."""

    name = "in-memory"

    def __init__(self, server: dict[bytes, tuple[bytes, float]]) -> None:
        self.server = server

    def configured(self) -> bool:
        return bool(self.context.options.get("on"))

    def _reach(self) -> dict[bytes, tuple[bytes, float]]:
        if b"away" in self.server:
            raise EndpointUnreachableError("The dictionary is away.", tips=["bring it back"])
        return self.server

    async def get(self, key: bytes) -> bytes | None:
        value, ends_s = self._reach().get(b"ours:" + key, (b"", 0.0))
        return value if time.monotonic() < ends_s else None

    async def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        self._reach()[b"ours:" + key] = (value, time.monotonic() + ttl_s)

    async def remove(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            self._reach().pop(b"ours:" + key, None)

    async def clear(self) -> None:
        for key in [key for key in self._reach() if key.startswith(b"ours:")]:
            del self.server[key]


class TestInMemory(TierContract):
    @pytest.fixture(autouse=True)
    def dictionary(self) -> Iterator[None]:
        self.server: dict[bytes, tuple[bytes, float]] = {}
        yield

    def tier(self) -> Tier:
        return InMemory(self.server)

    def setting_up(self) -> dict[str, Any]:
        return {"options": {"on": True}}

    async def plant(self) -> None:
        self.server[b"theirs"] = (b"not ours", 0.0)

    async def planted(self) -> bool:
        return b"theirs" in self.server

    def take_away(self) -> None:
        self.server[b"away"] = (b"", 0.0)

    def bring_back(self) -> None:
        del self.server[b"away"]
