"""Warming around a bare gateway: a model that does as told, a ledger on disk, people and a clock that a test moves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from beastmode.background.activity import Activities, Activity, Asked, digest_of
from beastmode.background.predicting import Context, Guess
from beastmode.background.warm_asking import Asking
from beastmode.background.warm_budget import Budget
from beastmode.background.warm_parts import Parts
from beastmode.background.warm_plan import Planner
from beastmode.background.warm_record import Record
from beastmode.background.warm_sources import Sources
from beastmode.background.warming import Warming
from beastmode.core.deployments import Limits, Price
from beastmode.core.settings import Settings, WarmingSettings
from beastmode.core.types import Answer, Message, Request
from beastmode.metrics.ledger import Ledger
from support.bare_gateway import House, question
from support.routing_parts import StillClock, deployment
from support.waiting import until_async

FREE = Price(prompt=0.0, completion=0.0)
DEAR = Price(prompt=1.0, completion=1.0)
ME = "uid:1"


class WarmClock(StillClock):
    """A clock that a test sets to an hour of the day; who sleeps on it waits a moment."""

    def __init__(self, hour: float = 12.0) -> None:
        super().__init__()
        self.hour = hour
        self.days = 0

    def wall_s(self) -> float:
        noon = time.mktime((2026, 11, 20 + self.days, 0, 0, 0, 0, 0, -1))
        return noon + self.hour * 3600 + (self.now_s - 1000.0)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0.001)


class ToldPatterns:
    """Guesses what a test says."""

    def __init__(self) -> None:
        self.told: list[Guess] = []

    def guesses(self, context: Context | None = None, limit: int = 5) -> Sequence[Guess]:
        return self.told[:limit]


class WarmHouse(House):
    """Everything that warming needs.

    Args:
        folder: For its files.
        clock: Moves when told.
        warming: Settings.
        more: Other settings.
    """

    def __init__(self, folder: Path, clock: WarmClock, warming: WarmingSettings, **more: Any) -> None:
        super().__init__(folder, clock, Settings(warming=warming, **more), None)
        self.folder = folder
        self.wall = clock
        self.ledger = Ledger(folder / "ledger", clock)  # type: ignore[assignment]  # a real one: the budget reads it
        self.gateway._ledger = self.gateway._calling._ledger = self.ledger  # type: ignore[assignment]
        self.activity = Activities(folder / "activity", clock, lambda: True)
        self.patterns = ToldPatterns()
        self.stale: list[tuple[Request, float]] = []
        self.open: set[str] = set()
        self.build()

    def build(self) -> None:
        """Builds warming, as a start of the daemon does."""
        gateway, clock = self.gateway, self.wall
        settings = lambda: self.gateway.settings.warming  # noqa: E731
        self.record = Record(self.folder / "warming.json", clock)
        self.budget = Budget(settings, self.ledger, self.record, clock)  # type: ignore[arg-type]
        self.planner = Planner(
            gateway=gateway,
            library=lambda: None,
            activities=self.activity,
            budget=self.budget,
            registry=self.registry,
            breakers=gateway._calling._breakers,
            vault=self.vault,
            providers={"custom": self.provider, "local": self.provider},
            prices=gateway._calling._prices,
            clock=clock,
        )
        self.sources = Sources(
            settings=settings,
            activities=self.activity,
            patterns=self.patterns,  # type: ignore[arg-type]
            stale=lambda: self.stale,
            retrieves=lambda workspace: workspace in self.open,
            lookup=gateway.lookup,
            registry=self.registry,
            record=self.record,
            clock=clock,
            user=ME,
        )
        self.asking = Asking(gateway, self.planner, self.budget, self.record)
        self.warming = Warming(
            Parts(
                settings=settings,
                gateway=gateway,
                sources=self.sources,
                planner=self.planner,
                asking=self.asking,
                budget=self.budget,
                record=self.record,
                clock=clock,
            )
        )

    def configure(self, **warming: Any) -> None:
        """Changes settings of warming."""
        old = self.gateway.settings
        self.gateway.settings = msgspec.structs.replace(old, warming=msgspec.structs.replace(old.warming, **warming))

    async def model(self, name: str, price: Price | None = FREE, **limits: Any) -> None:
        """Registers a model of this machine."""
        one = msgspec.structs.replace(
            deployment(name), price=price, limits=Limits(**({"context_tokens": 1000} | limits))
        )
        await self.registry.add(one)

    def asked_before(self, text: str, *hours_ago: float, **more: Any) -> None:
        """A person asked this, some hours ago, once or several times."""
        asked = Asked("chat", {"model": "custom:a", "messages": [{"role": "user", "content": text}], "params": {}})
        for ago in sorted(hours_ago, reverse=True):
            fields = {"kind": "chat", "question": digest_of(text), "user": ME, "asked": asked, **more}
            self.activity._take(Activity(at_s=self.wall.wall_s() - ago * 3600, **fields))

    async def idle(self, seconds: float = 3600.0) -> None:
        """Time passes and nobody asks anything."""
        self.wall.now_s += seconds

    async def turns(self, number: int = 12) -> None:
        """Warming gets its turns, with time to rest between them."""
        for _ in range(number):
            await self.idle(61.0)
            await self.warming.turn()

    async def person(self, text: str, **fields: Any) -> Answer:
        """A person asks."""
        return await self.ask(text, **fields)

    @property
    def texts(self) -> list[str]:
        """What the model was asked."""
        return [str(call.request.messages[-1].content) for call in self.provider.calls]

    async def rows(self) -> list[dict[str, Any]]:
        """Rows of what was asked ahead, newest first."""
        return await self.ledger.list(origin="warming")  # type: ignore[attr-defined]


@asynccontextmanager
async def warm_house(folder: Path, clock: WarmClock | None = None, **warming: Any) -> AsyncIterator[WarmHouse]:
    """A house with the free model `custom:a`."""
    more = {name: warming.pop(name) for name in ("routing", "cache") if name in warming}
    house = WarmHouse(folder, clock or WarmClock(), WarmingSettings(**warming), **more)
    house.ledger.start()  # type: ignore[attr-defined]
    await house.model("custom:a")
    try:
        yield house
    finally:
        await house.warming.close()
        await house.activity.close()
        await asyncio.to_thread(house.ledger.close)  # type: ignore[attr-defined]


__all__ = ["DEAR", "FREE", "ME", "Message", "WarmClock", "WarmHouse", "question", "until_async", "warm_house"]
