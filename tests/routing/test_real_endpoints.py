"""Routing with real providers against a real port that misbehaves on demand."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from beastmode.core.addresses import make_http_session
from beastmode.core.breaker import Breakers
from beastmode.core.clock import Clock
from beastmode.core.deployments import Deployment
from beastmode.core.errors import (
    AuthenticationError,
    BadRequestError,
    BeastError,
    NoHealthyModelError,
    RateLimitedError,
    RefusedConnectionError,
    RefusedEndpointError,
    UpstreamError,
    UpstreamTimeoutError,
)
from beastmode.core.plugins import Call, Context
from beastmode.core.settings import Settings, UpstreamSettings
from beastmode.core.types import Completion, Message, Request
from beastmode.routing.endpoints import describe
from beastmode.routing.fallback import Served, Trail, run
from beastmode.routing.models import Registry
from beastmode.routing.probes import probe
from beastmode.routing.selector import rank
from beastmode.routing.vault import Vault
from beastmode_plugins.openai_compatible import OpenAICompatible
from support.provider_server import ProviderServer

BUDGET = UpstreamSettings(max_attempts=3, retry_wait_s=0.1, timeout_s=0.3, breaker_failures=3)
REQUEST = Request(model="auto", messages=[Message(role="user", content="hi")])


@pytest.fixture
def server() -> Iterator[ProviderServer]:
    with ProviderServer() as running:
        yield running


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[OpenAICompatible]:
    async with make_http_session() as http:
        found = OpenAICompatible()
        await found.start(Context(http=http, data=tmp_path, run=tmp_path, clock=Clock()))
        yield found
        await found.close()


def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


Describe = Callable[..., Deployment]


@pytest.fixture
def at(server: ProviderServer, provider: OpenAICompatible) -> Describe:
    def make(behaviour: str, base_url: str | None = None) -> Deployment:
        return describe(f"custom:{behaviour}", {"custom": provider}, base_url=base_url or f"{server.url}/v1")

    return make


@pytest.mark.parametrize(
    ("behaviour", "end"),
    [
        ("ok", "+reachable +key +model"),
        ("e401", "+reachable -key"),
        ("echo-key", "+reachable -key"),
        ("e404", "-model"),
        ("e500", "-reply"),
        ("e429", "-reply"),
        ("garbage", "-reply"),
        ("cut", "-reply"),
        ("hang", "-reply"),
    ],
)
async def test_a_probe_says_what_a_real_endpoint_did(
    provider: OpenAICompatible, at: Describe, behaviour: str, end: str
) -> None:
    found = await probe(at(behaviour), "sk-probe-0123456789", provider, 0.3, clock=Clock())
    assert end in " ".join(f"{'+' if one.ok else '-'}{one.name}" for one in found.steps)
    assert found.ok == (behaviour == "ok")
    assert found.ok or found.tips
    assert "sk-probe" not in str(found.steps) + str(found.tips)


async def test_a_closed_port_fails_at_once_with_host_and_port(provider: OpenAICompatible, at: Describe) -> None:
    port = closed_port()
    found = await probe(at("ok", f"http://127.0.0.1:{port}/v1"), None, provider, 5.0, clock=Clock())
    assert (found.kind, found.ok) == ("connection_refused", False)
    assert f"127.0.0.1:{port}" in found.steps[0].detail


class Calls:
    """Registers deployments, ranks and runs, as the gateway does."""

    def __init__(self, folder: Path, provider: OpenAICompatible) -> None:
        self.clock = Clock()
        self.registry = Registry(folder / "models.json", self.clock)
        self.vault = Vault(folder, "file")
        self.breakers = Breakers(self.clock, BUDGET.breaker_failures, BUDGET.cooldown_s)
        self.provider = provider
        self.trail = Trail()

    async def ask(self, model: str) -> Served[Completion]:
        self.trail = Trail()
        ranked = rank(REQUEST, model, self.registry, self.breakers, self.vault, {"custom": self.provider}, Settings())

        async def attempt(one: Deployment, number: int) -> Completion:
            call = Call(request=REQUEST, deployment=one, key=self.vault.key_for(one), timeout_s=BUDGET.timeout_s)
            return await self.provider.call(call, None)

        return await run(
            ranked,
            attempt,
            budget=BUDGET,
            clock=self.clock,
            started=lambda: False,
            breakers=self.breakers,
            trail=self.trail,
        )


@pytest.fixture
async def calls(tmp_path: Path, provider: OpenAICompatible) -> Calls:
    return Calls(tmp_path, provider)


@pytest.mark.parametrize(
    "behaviour", ["e401", "e404", "e429", "e500", "e503", "too-long", "garbage", "cut", "drop", "hang"]
)
async def test_a_listed_stand_in_answers_where_the_named_model_can_not(
    calls: Calls, at: Describe, behaviour: str
) -> None:
    await calls.registry.add(at("ok"))
    await calls.registry.add(at(behaviour), fallback=["custom:ok"])
    served = await calls.ask(f"custom:{behaviour}")
    assert served.deployment.model == "custom:ok"
    assert (served.attempts, served.fell_back) == (2, True)


@pytest.mark.parametrize("behaviour", ["e400", "e422"])
async def test_a_bad_request_goes_nowhere_else(calls: Calls, at: Describe, behaviour: str) -> None:
    await calls.registry.add(at("ok"))
    await calls.registry.add(at(behaviour), fallback=["custom:ok"])
    with pytest.raises(BadRequestError):
        await calls.ask(f"custom:{behaviour}")
    assert calls.trail.attempts == 1


@pytest.mark.parametrize(
    ("behaviour", "kind", "attempts"),
    [
        ("e401", AuthenticationError, 1),
        ("e429", RateLimitedError, 1),
        ("e503", UpstreamError, 2),
        ("hang", UpstreamTimeoutError, 2),
    ],
)
async def test_alone_a_model_is_called_as_often_as_it_makes_sense(
    calls: Calls, at: Describe, server: ProviderServer, behaviour: str, kind: type[BeastError], attempts: int
) -> None:
    await calls.registry.add(at(behaviour))
    with pytest.raises(kind):
        await calls.ask(f"custom:{behaviour}")
    assert calls.trail.attempts == attempts


async def test_a_hiccup_is_tried_once_more(calls: Calls, at: Describe) -> None:
    await calls.registry.add(at("flaky-1"))
    served = await calls.ask("custom:flaky-1")
    assert (served.attempts, served.fell_back) == (2, False)


async def test_after_failures_in_a_row_a_model_rests_and_the_error_keeps_the_cause(calls: Calls, at: Describe) -> None:
    port = closed_port()
    await calls.registry.add(at("ok", f"http://127.0.0.1:{port}/v1"))
    for _ in range(3):
        with pytest.raises(RefusedConnectionError):
            await calls.ask("custom:ok")
    with pytest.raises(NoHealthyModelError, match=str(port)) as caught:
        await calls.ask("custom:ok")
    assert caught.value.details == {"cause": "connection_refused"}


async def test_a_name_that_turns_to_a_metadata_address_is_refused_and_falls_back(
    calls: Calls, at: Describe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rebound(*args: Any, **more: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))]

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    await calls.registry.add(at("ok"))
    await calls.registry.add(at("evil", "http://rebind.example/v1"), fallback=["custom:ok"])
    assert (await calls.ask("custom:evil")).deployment.model == "custom:ok"
    await calls.registry.remove("custom:ok")
    with pytest.raises(RefusedEndpointError, match=r"169\.254\.169\.254"):
        await calls.ask("custom:evil")


async def test_a_cancelled_request_closes_its_connection(calls: Calls, at: Describe, server: ProviderServer) -> None:
    await calls.registry.add(at("hang"))
    task = asyncio.create_task(calls.ask("custom:hang"))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls.breakers.get(calls.registry.get("custom:hang").deployments[0].id).state == "closed"
