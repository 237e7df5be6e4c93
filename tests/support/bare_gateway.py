"""A gateway by itself, without a daemon around it: a provider that does what it is told, and rows in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from beastmode.cache.decision import Decision
from beastmode.cache.lookup import Lookup
from beastmode.cache.memory import MemoryTier
from beastmode.core.breaker import Breakers
from beastmode.core.clock import Clock
from beastmode.core.deployments import Deployment, Price
from beastmode.core.errors import BeastError
from beastmode.core.plugins import Call, OnDelta, Provider
from beastmode.core.rows import Row
from beastmode.core.settings import Settings
from beastmode.core.types import Answer, Completion, Entry, Message, Request, Usage
from beastmode.costs.prices import Prices
from beastmode.gateway import Gateway
from beastmode.routing.models import Registry
from beastmode.routing.vault import Vault
from support.routing_parts import StillClock, deployment

Answering = Callable[[Call, OnDelta | None], Awaitable[Completion]]
DONE = Completion(text="Hello", finish_reason="stop", usage=Usage(prompt_tokens=2, completion_tokens=1))


class Told(Provider):
    """Does what the test says."""

    name = "custom"

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: Answering = self.at_once

    async def at_once(self, call: Call, on_delta: OnDelta | None) -> Completion:
        return DONE

    async def call(self, call: Call, on_delta: OnDelta | None) -> Completion:
        self.calls.append(call)
        return await self.answers(call, on_delta)

    async def models(self, deployment: Deployment, key: str | None, timeout_s: float) -> list[str]:
        return []


class Rows:
    """A ledger in memory."""

    def __init__(self) -> None:
        self.intended: list[Row] = []
        self.rows: list[Row] = []

    def intend(self, row: Row) -> None:
        self.intended.append(msgspec.structs.replace(row))

    def record(self, row: Row) -> None:
        self.rows.append(row)


class Meaning:
    """A semantic step that finds what it is told."""

    def __init__(self) -> None:
        self.refusal: str | None = None
        self.decision = Decision(result="miss", why="nothing near")
        self.hits: list[str] = []
        self.learnt: list[bytes] = []
        self.fails = False
        self.learns = True
        self.vector = b"v"

    def why_not(self, request: Request, key: Any) -> str | None:
        return self.refusal

    async def find(self, key: Any, holds: Any = None) -> Decision:
        if holds is not None and self.decision.found is not None:
            return msgspec.structs.replace(self.decision, found=await holds(self.decision.found))
        return self.decision

    def served(self, request: Request, key: Any, entry: Entry, group: str) -> None:
        self.hits.append(group)

    def may_learn(self, text: str) -> bool:
        return self.learns

    def with_vector(self, entry: Entry) -> Entry:
        return msgspec.structs.replace(entry, vector=self.vector)

    async def vectorise(self, entry: Entry) -> Entry:
        return msgspec.structs.replace(entry, vector=b"later")

    async def add(self, entry: Entry) -> None:
        if self.fails:
            raise ZeroDivisionError
        self.learnt.append(entry.vector)


class House:
    """A gateway with one model `custom:a`, whose clock moves when told."""

    def __init__(
        self, folder: Path, clock: Clock, settings: Settings, semantic: Meaning | None, truth: Any = None
    ) -> None:
        self.clock = clock
        self.provider = Told()
        self.ledger = Rows()
        self.registry = Registry(folder / "models.json", clock)
        self.vault = Vault(folder, "file", clock=clock)
        self.meaning = semantic
        ledger: Any = self.ledger
        meaning: Any = semantic
        self.gateway = Gateway(
            settings=settings,
            clock=clock,
            lookup=Lookup(MemoryTier(1 << 20, 3600.0), None, clock),
            semantic=meaning,
            registry=self.registry,
            breakers=Breakers(clock, 50, 10.0),
            vault=self.vault,
            providers={"custom": self.provider},
            prices=Prices(clock),
            ledger=ledger,
            truth=truth,
        )

    async def add(self, name: str, **more: Any) -> None:
        wanted = msgspec.structs.replace(
            deployment(f"custom:{name}"), price=Price(prompt=1_000_000, completion=2_000_000)
        )
        await self.registry.add(wanted, **more)

    async def ask(self, text: str = "Hi", on_delta: OnDelta | None = None, **fields: Any) -> Answer:
        request = question(text, **fields)
        ticket = self.gateway.admit(request)
        return self.gateway.recall(ticket) or await self.gateway.ask(ticket, on_delta)

    async def fails(self, text: str = "Hi", **fields: Any) -> BeastError:
        with pytest.raises(BeastError) as caught:
            await self.ask(text, **fields)
        return caught.value

    @property
    def row(self) -> Row:
        """The last row."""
        return self.ledger.rows[-1]

    def moves(self, clock: StillClock, seconds: float, *errors: BeastError) -> None:
        """Each call takes so long; the first ones end with an error."""
        left = list(errors)

        async def answers(call: Call, on_delta: OnDelta | None) -> Completion:
            clock.now_s += seconds
            if left:
                raise left.pop(0)
            return DONE

        self.provider.answers = answers


def question(text: str = "Hi", **fields: Any) -> Request:
    return Request(**{"model": "custom:a", "messages": [Message("user", text)], "user": "uid:1", **fields})
