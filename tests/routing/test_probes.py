"""A test of an endpoint says exactly what failed; a search of this machine finds model servers and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import msgspec
import pytest
from aiohttp import web

from beastmode.core.addresses import make_http_session
from beastmode.core.deployments import Deployment
from beastmode.core.errors import (
    AuthenticationError,
    BadRequestError,
    BeastError,
    ContextTooLongError,
    EndpointNotFoundError,
    MalformedReplyError,
    RateLimitedError,
    RefusedConnectionError,
    UpstreamTimeoutError,
)
from beastmode.core.types import Completion
from beastmode.routing import probes
from beastmode.routing.probes import USUAL_PORTS, Found, ProbeResult, discover, probe
from support.routing_parts import StillClock, ToldProvider, deployment, raising

A = deployment("custom:a")
FAR = deployment("custom:a", "https://gateway.example/v1")
Probe = Callable[..., ProbeResult]


def steps(found: ProbeResult) -> str:
    return " ".join(f"{'+' if one.ok else '-'}{one.name}" for one in found.steps)


def list_failing(error: Exception) -> Callable[[str | None], list[str]]:
    def fail(_: str | None) -> list[str]:
        raise error

    return fail


def only_with(key: str, *names: str) -> Callable[[str | None], list[str]]:
    def listed(given: str | None) -> list[str]:
        if given != key:
            raise AuthenticationError("wrong key", status=401, tips=["enter it again"])
        return list(names)

    return listed


@pytest.fixture
def provider() -> ToldProvider:
    return ToldProvider()


async def check(provider: ToldProvider, one: Deployment = A, key: str | None = None) -> ProbeResult:
    return await probe(one, key, provider, 1.0, clock=StillClock())


async def test_a_list_with_the_model_and_a_key_that_matters_is_proof_without_a_token(provider: ToldProvider) -> None:
    provider.on_list = only_with("sk-1", "a", "b")
    found = await check(provider, key="sk-1")
    assert found.ok
    assert steps(found) == "+reachable +key +model"
    assert found.models == ["a", "b"]
    assert found.latency_ms == 0.0
    assert (found.kind, found.tips) == (None, [])
    assert provider.calls == []


async def test_nearby_endpoints_without_keys_are_proved_by_their_list_too(provider: ToldProvider) -> None:
    provider.on_list = lambda key: ["a:latest"]
    found = await check(provider)
    assert found.ok
    assert "none was sent" in found.steps[1].detail
    assert provider.calls == []


@pytest.mark.parametrize(("one", "key"), [(A, "sk-1"), (FAR, None), (FAR, "sk-1")])
async def test_a_list_that_anyone_may_see_proves_no_key_so_one_token_does(
    provider: ToldProvider, one: Deployment, key: str | None
) -> None:
    provider.on_list = lambda key: ["a"]
    found = await check(provider, one, key)
    assert found.ok
    assert steps(found) == "+reachable +key +model +reply"
    [call] = provider.calls
    assert (call.request.params, call.request.origin, call.key) == ({"max_tokens": 1}, "probe", key)
    provider.on_call = raising(AuthenticationError("wrong key", status=401))
    assert steps(await check(provider, one, key)) == "+reachable -key"


@pytest.mark.parametrize(
    "error", [EndpointNotFoundError("no list", status=404), MalformedReplyError("no JSON"), BadRequestError("no")]
)
async def test_without_a_list_one_token_is_the_test(provider: ToldProvider, error: BeastError) -> None:
    provider.on_list = list_failing(error)
    found = await check(provider)
    assert found.ok
    assert steps(found) == "+reachable +key +model +reply"
    assert found.models == []


@pytest.mark.parametrize(
    "error",
    [RefusedConnectionError("nobody listens on 127.0.0.1:1", tips=["start it"]), UpstreamTimeoutError("silence")],
)
async def test_an_endpoint_that_is_not_there_fails_at_once(provider: ToldProvider, error: BeastError) -> None:
    provider.on_list = list_failing(error)
    found = await check(provider)
    assert not found.ok
    assert steps(found) == "-reachable"
    assert (found.kind, found.tips, found.latency_ms) == (error.kind, error.tips, None)
    assert found.steps[0].detail == error.message
    assert provider.calls == []


async def test_a_wrong_key_fails_at_the_key(provider: ToldProvider) -> None:
    provider.on_list = only_with("sk-1", "a")
    found = await check(provider, key="sk-2")
    assert steps(found) == "+reachable -key"
    assert (found.kind, found.tips) == ("authentication", ["enter it again"])


async def test_a_name_that_is_not_listed_and_does_not_answer_gets_the_nearest_ones(provider: ToldProvider) -> None:
    provider.on_list = lambda key: ["gpt-4o", "gpt-4o-mini", "whisper"]
    provider.on_call = raising(EndpointNotFoundError("no such model", status=404, tips=["look at its list"]))
    found = await check(provider, msgspec.structs.replace(A, upstream_model="gtp-4o"))
    assert steps(found) == "+reachable +key -model"
    assert found.tips[0].startswith("did you mean --upstream-model gpt-4o")
    assert found.tips[-1] == "look at its list"
    found = await check(provider, msgspec.structs.replace(A, upstream_model="zzzzzz"))
    assert found.tips[0] == "the endpoint offers: gpt-4o, gpt-4o-mini, whisper"
    for error, where in (
        (BadRequestError("no such model", status=400), "-model"),
        (MalformedReplyError("?"), "-reply"),
    ):
        provider.on_call = raising(error)
        found = await check(provider, msgspec.structs.replace(A, upstream_model="gtp-4o"))
        assert steps(found).endswith(where)
        assert found.tips[0].startswith("did you mean")


async def test_an_alias_that_is_not_listed_and_answers_is_fine(provider: ToldProvider) -> None:
    provider.on_list = lambda key: ["claude-3-20240229"]
    found = await check(provider, msgspec.structs.replace(A, upstream_model="claude-latest"))
    assert found.ok
    assert "not in the endpoint's own list" in found.steps[2].detail


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (RefusedConnectionError("gone"), "-reachable"),
        (EndpointNotFoundError("no such model", status=404), "+reachable +key -model"),
        (MalformedReplyError("no JSON"), "+reachable +key +model -reply"),
        (UpstreamTimeoutError("silence"), "+reachable +key +model -reply"),
        (RateLimitedError("slow down"), "+reachable +key +model -reply"),
        (ContextTooLongError("too long"), "+reachable +key +model -reply"),
    ],
)
async def test_a_reply_that_fails_says_where(provider: ToldProvider, error: BeastError, where: str) -> None:
    provider.on_call = raising(error)
    for key in (None, "sk-1"):
        found = await check(provider, key=key)
        assert not found.ok
        assert steps(found) == where
        assert found.kind == error.kind


async def test_a_plugin_that_raises_is_named(provider: ToldProvider) -> None:
    provider.on_call = raising(ValueError("sk-secret"))
    found = await check(provider)
    assert steps(found) == "+reachable +key +model -reply"
    assert "ValueError" in found.steps[-1].detail
    provider.on_list = list_failing(TypeError("sk-secret"))
    found = await check(provider)
    assert steps(found) == "-reachable"
    assert "sk-secret" not in str(msgspec.structs.asdict(found))


async def test_a_keyless_list_that_fails_is_no_proof(provider: ToldProvider) -> None:
    provider.on_list = lambda key: ["a"] if key else list_failing(UpstreamTimeoutError("silence"))(key)
    assert steps(await check(provider, key="sk-1")) == "+reachable +key +model +reply"


async def test_the_latency_is_that_of_the_last_answer() -> None:
    clock, provider = StillClock(), ToldProvider()

    def slow(_: object) -> Completion:
        clock.now_s += 0.25
        return Completion(text="x")

    provider.on_call = slow
    assert (await probe(A, None, provider, 1.0, clock=clock)).latency_ms == pytest.approx(250)


# --- the servers of this machine


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with make_http_session() as session:
        yield session


@asynccontextmanager
async def serving(answer: Callable[[web.Request], web.StreamResponse]) -> AsyncIterator[int]:
    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == "/v1/models":
            return answer(request)
        raise web.HTTPNotFound

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_a_model_server_is_found_with_its_kind_and_its_models(http: aiohttp.ClientSession) -> None:
    body = {
        "object": "list",
        "data": [{"id": "qwen2.5:7b", "object": "model", "owned_by": "library"}, {"id": "smollm2"}],
    }
    async with (
        serving(lambda request: web.json_response(body)) as port,
        serving(lambda request: web.json_response({"object": "list", "data": []})) as empty,
    ):
        found = await discover(http, ports={port: "Something", empty: "Jan"}, timeout_s=5.0)
    assert sorted(found, key=lambda one: one.kind) == [
        Found(f"http://127.0.0.1:{empty}/v1", "Jan", []),
        Found(f"http://127.0.0.1:{port}/v1", "Ollama", ["qwen2.5:7b", "smollm2"]),
    ]


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: web.Response(text="<html>a web page</html>", content_type="text/html"),
        lambda request: web.json_response({"data": []}),
        lambda request: web.json_response({"data": [{"name": "no id"}]}),
        lambda request: web.json_response(["a"]),
        lambda request: web.Response(text="[" * 100_000),
        lambda request: web.Response(body=b"\xff\xfe"),
        lambda request: web.json_response({"object": "list", "data": []}, status=401),
        lambda request: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
    ],
)
async def test_what_is_no_model_list_is_no_model_server(
    http: aiohttp.ClientSession, answer: Callable[[web.Request], web.StreamResponse]
) -> None:
    async with serving(answer) as port:
        assert await discover(http, ports={port: "Ollama"}, timeout_s=5.0) == []


async def test_a_list_without_end_is_given_up(http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "LIST_MAX_BYTES", 1000)
    async with serving(lambda request: web.Response(text=" " * 5000)) as port:
        assert await discover(http, ports={port: "Ollama"}, timeout_s=5.0) == []


async def test_ports_that_are_closed_silent_or_speak_something_else_are_passed_over(
    http: aiohttp.ClientSession,
) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n")
        writer.close()

    silent, other = await asyncio.start_server(hang, "127.0.0.1", 0), await asyncio.start_server(babble, "127.0.0.1", 0)
    closed = await asyncio.start_server(babble, "127.0.0.1", 0)
    ports = [one.sockets[0].getsockname()[1] for one in (silent, other, closed)]
    closed.close()
    async with silent, other:
        assert await discover(http, ports=dict.fromkeys(ports, "Ollama"), timeout_s=0.1) == []


def test_the_usual_servers_are_looked_for() -> None:
    assert {11434, 1234, 8000, 8080, 1337, 5000, 5001} == set(USUAL_PORTS)


class TestLimits:
    """A test of an endpoint is over in time, and costs no token where a list is enough."""

    async def test_a_test_as_a_whole_has_a_limit(self) -> None:
        class Slow(ToldProvider):
            async def models(self, deployment: Deployment, key: str | None, timeout_s: float) -> list[str]:
                await asyncio.sleep(60)
                return []

        found = await probe(A, None, Slow(), 1.0, clock=StillClock(), limit_s=0.05)
        assert (found.ok, steps(found), found.kind) == (False, "-reachable", "timeout")
        assert "within 0.05 s" in found.steps[0].detail
        assert found.tips

    async def test_what_was_found_before_the_limit_is_kept(self) -> None:
        class Slow(ToldProvider):
            async def call(self, call: object, on_delta: object) -> Completion:
                await asyncio.sleep(60)
                return Completion(text="")

        found = await probe(A, None, Slow(), 1.0, clock=StillClock(), limit_s=0.05)
        assert steps(found) == "+reachable -reply"

    async def test_a_quick_test_is_content_with_a_list(self, provider: ToldProvider) -> None:
        provider.on_list = lambda key: ["a"]
        found = await probe(FAR, "sk-1", provider, 1.0, clock=StillClock(), thorough=False)
        assert found.ok
        assert (len(provider.lists), provider.calls) == (1, [])

    async def test_a_quick_test_asks_for_a_token_where_there_is_no_list(self, provider: ToldProvider) -> None:
        found = await probe(FAR, "sk-1", provider, 1.0, clock=StillClock(), thorough=False)
        assert found.ok
        assert [call.request.params for call in provider.calls] == [{"max_tokens": 1}]
