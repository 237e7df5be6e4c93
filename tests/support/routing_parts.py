"""A clock that stands still, a provider that does as told, and models to route between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from beastmode.core.clock import Clock
from beastmode.core.deployments import Deployment, Limits
from beastmode.core.errors import BeastError
from beastmode.core.plugins import Call, OnDelta, Provider
from beastmode.core.types import Completion


class StillClock(Clock):
    """A clock that moves when told or slept on; jitter is the longest."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0
        self.slept_s: list[float] = []

    def wall_s(self) -> float:
        return 1_800_000_000.0 + self.now_s

    def mono_s(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)

    def uniform(self, low: float, high: float) -> float:
        return high


class ToldProvider(Provider):
    """Answers what it is told to."""

    def __init__(self, name: str = "custom", needs_key: bool = False, base_url: str = "") -> None:
        self.name = name
        self.needs_key = needs_key
        self.default_base_url = base_url
        self.calls: list[Call] = []
        self.lists: list[str | None] = []
        self.on_call: Callable[[Call], Completion] = lambda call: Completion(text="ok")
        self.on_list: Callable[[str | None], list[str]] = lambda key: []

    async def call(self, call: Call, on_delta: OnDelta | None) -> Completion:
        self.calls.append(call)
        return self.on_call(call)

    async def models(self, deployment: Deployment, key: str | None, timeout_s: float) -> list[str]:
        self.lists.append(key)
        return self.on_list(key)


def deployment(
    model: str = "custom:a",
    base_url: str = "http://127.0.0.1:1/v1",
    *,
    provider: str | None = None,
    has_key: bool = False,
    limits: Limits | None = None,
) -> Deployment:
    """A deployment as `endpoints.describe` would make it."""
    host = base_url.split("//")[-1].split("/")[0]
    return Deployment(
        id=f"{model}@{host}" if base_url else model,
        model=model,
        provider=provider or model.partition(":")[0],
        base_url=base_url,
        upstream_model=model.partition(":")[2],
        has_key=has_key,
        limits=limits or Limits(),
    )


def raising(error: BeastError | Exception) -> Callable[[object], Completion]:
    """Something to be told to a provider."""

    def fail(_: object) -> Completion:
        raise error

    return fail
