"""What every provider must do, whoever wrote it: subclass one of these classes and give it a provider.

`ProviderContract` is for any provider. `HttpProviderContract` adds what one that calls an HTTP endpoint must do when
that endpoint misbehaves; it runs against the test provider server, which speaks Chat Completions and Messages.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from beastmode.core import errors
from beastmode.core.addresses import make_http_session
from beastmode.core.clock import Clock
from beastmode.core.deltas import Delta
from beastmode.core.deployments import Deployment
from beastmode.core.plugins import Call, Context, Provider
from beastmode.core.types import Completion, Message, Request, Usage
from support.provider_server import ProviderServer
from support.waiting import until, until_async

KEY = 'sk-test-4f9c"2b7e/1d8a'
"""A key with characters that JSON and URLs write differently."""
PATIENCE_S = 10.0

BOTH_WAYS = pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])


class ProviderContract:
    """Subclasses give `provider` and `deployment`."""

    key: str | None = KEY
    answers_with: str = "{text}"
    """The whole answer to a text, by the deployment for `ok`."""

    def provider(self) -> Provider:
        """A new provider."""
        raise NotImplementedError

    def deployment(self, base_url: str, behaviour: str) -> Deployment:
        """A deployment that behaves as named: `ok`, or `slow` (takes at least a tenth of a second for five words)."""
        raise NotImplementedError

    @pytest.fixture
    def base_url(self) -> str:
        return ""

    @pytest.fixture
    async def started(self, tmp_path: Path) -> AsyncIterator[Provider]:
        async with make_http_session() as http:
            provider = self.provider()
            await provider.start(Context(http=http, data=tmp_path, run=tmp_path, clock=Clock()))
            yield provider
            await provider.close()

    def call(self, deployment: Deployment, text: str = "how are you today?", timeout_s: float = PATIENCE_S) -> Call:
        messages = [Message(role="system", content="Be brief."), Message(role="user", content=text)]
        request = Request(model=deployment.model, messages=messages, params={"temperature": 0.2, "max_tokens": 50})
        return Call(request=request, deployment=deployment, key=self.key, timeout_s=timeout_s)

    async def ask(self, provider: Provider, call: Call, streamed: bool) -> tuple[Completion, list[str]]:
        deltas: list[Delta] = []
        completion = await provider.call(call, deltas.append if streamed else None)
        return completion, [delta for delta in deltas if isinstance(delta, str)]

    def test_it_says_who_it_is(self) -> None:
        provider = self.provider()
        assert re.fullmatch(r"[a-z][a-z0-9_-]*", provider.name)
        assert isinstance(provider.needs_key, bool)
        assert isinstance(provider.costs_money, bool)
        assert provider.default_base_url == "" or provider.default_base_url.startswith("https://")
        assert not provider.default_base_url.endswith("/")

    async def test_it_answers(self, started: Provider, base_url: str) -> None:
        call = self.call(self.deployment(base_url, "ok"), "Grüße, 🦁!\nTwo lines.")
        completion, _ = await self.ask(started, call, streamed=False)
        assert completion.text == self.answers_with.format(text="Grüße, 🦁!\nTwo lines.")
        assert completion.finish_reason == "stop"

    async def test_the_deltas_of_a_stream_are_the_text(self, started: Provider, base_url: str) -> None:
        call = self.call(self.deployment(base_url, "ok"), "Grüße,  🦁!\n\n Two lines. ")
        completion, deltas = await self.ask(started, call, streamed=True)
        assert "".join(deltas) == completion.text
        assert len(deltas) > 1
        assert all(deltas)

    async def test_a_stream_gives_the_answer_of_a_plain_call(self, started: Provider, base_url: str) -> None:
        call = self.call(self.deployment(base_url, "ok"))
        streamed, plain = [(await self.ask(started, call, streamed=one))[0] for one in (True, False)]
        plain.reply = None  # a stream has told its headers at its beginning
        assert streamed == plain

    async def test_it_counts_tokens(self, started: Provider, base_url: str) -> None:
        completion, _ = await self.ask(started, self.call(self.deployment(base_url, "ok")), streamed=False)
        assert completion.usage.prompt_tokens
        assert completion.usage.completion_tokens

    async def test_calls_run_side_by_side(self, started: Provider, base_url: str) -> None:
        deployment = self.deployment(base_url, "slow")
        calls = [self.call(deployment, f"number {i} of many others") for i in range(20)]
        answers = await asyncio.gather(*(self.ask(started, call, streamed=i % 2 == 0) for i, call in enumerate(calls)))
        for i, (completion, _) in enumerate(answers):
            assert f"number {i} of" in completion.text

    @BOTH_WAYS
    async def test_a_cancelled_call_ends(self, started: Provider, base_url: str, streamed: bool) -> None:
        call = self.call(self.deployment(base_url, "slow"), "a long text " * 300)
        task = asyncio.create_task(self.ask(started, call, streamed))
        await asyncio.sleep(0.05)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, PATIENCE_S)

    async def test_it_lists_models(self, started: Provider, base_url: str) -> None:
        names = await started.models(self.deployment(base_url, "ok"), self.key, PATIENCE_S)
        assert names
        assert all(isinstance(name, str) and name for name in names)

    async def test_it_keeps_the_request_as_it_was(self, started: Provider, base_url: str) -> None:
        call = self.call(self.deployment(base_url, "ok"))
        before = repr(call)
        await self.ask(started, call, streamed=True)
        assert repr(call) == before


FAULTS = [
    ("e400", errors.BadRequestError),
    ("e401", errors.AuthenticationError),
    ("e402", errors.BadRequestError),
    ("e403", errors.AuthenticationError),
    ("e404", errors.EndpointNotFoundError),
    ("e405", errors.BadRequestError),
    ("e413", errors.BadRequestError),
    ("e422", errors.BadRequestError),
    ("e429", errors.RateLimitedError),
    ("e500", errors.UpstreamError),
    ("e503", errors.UpstreamError),
    ("e529", errors.UpstreamError),
    ("echo-key", errors.AuthenticationError),
    ("too-long", errors.ContextTooLongError),
    ("redirect", errors.EndpointNotFoundError),
    ("garbage", errors.MalformedReplyError),
    ("cut", errors.MalformedReplyError),
    ("drop", errors.EndpointUnreachableError),
]


class HttpProviderContract(ProviderContract):
    """For providers that call an endpoint; `deployment` names the behaviour as the upstream model."""

    answers_with = "You said: {text}"

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls) -> Iterator[ProviderServer]:
        with ProviderServer() as server:
            yield server

    @pytest.fixture
    def base_url(self, server: ProviderServer) -> Iterator[str]:
        server.reset()
        yield server.url
        until(lambda: server.stats()["active"] == 0)  # no call is left open

    async def fails(self, provider: Provider, call: Call, streamed: bool) -> errors.BeastError:
        """Makes a call that must fail, and checks what holds for every error."""
        with pytest.raises(errors.ProviderError) as caught:
            await self.ask(provider, call, streamed)
        error = caught.value
        url = re.match(r"http://([^/]+)", call.deployment.base_url)
        assert url is not None
        assert error.kind in errors.CODES
        assert url[1] in error.message, "the message names host and port"
        assert error.tips, "there is a tip"
        assert any("beast models" in tip for tip in error.tips), "a tip names a command"
        assert error.model == call.deployment.model
        assert (error.endpoint or "").startswith(call.deployment.base_url)
        assert len(error.message) < 600
        assert error.message.isprintable()
        self.hides_the_key(error)
        return error

    def hides_the_key(self, error: errors.BeastError) -> None:
        """Neither the error nor its traceback shows the key, or eight characters of it in a row."""
        shown = "".join([*traceback.format_exception(error), repr(error), repr(error.data()), *error.tips])
        for start in range(len(KEY) - 7):
            assert KEY[start : start + 8] not in shown

    @BOTH_WAYS
    @pytest.mark.parametrize(("behaviour", "kind"), FAULTS)
    async def test_every_fault_has_its_error_with_tips_and_without_the_key(
        self, started: Provider, base_url: str, behaviour: str, kind: type[errors.BeastError], streamed: bool
    ) -> None:
        error = await self.fails(started, self.call(self.deployment(base_url, behaviour)), streamed)
        assert type(error) is kind
        if re.fullmatch(r"e\d+", behaviour):
            assert error.status == int(behaviour[1:])

    async def test_an_upstream_that_repeats_the_prompt_does_not_bring_it_into_the_error(
        self, started: Provider, base_url: str
    ) -> None:
        prompt = "My patient Wilhelmina Sacher, born in 1952, asks for her results."
        error = await self.fails(started, self.call(self.deployment(base_url, "echo-prompt"), prompt), streamed=False)
        assert "Wilhelmina" not in error.message
        assert "Rejected by the policy" in error.message

    async def test_the_upstreams_own_words_are_shown(self, started: Provider, base_url: str) -> None:
        error = await self.fails(started, self.call(self.deployment(base_url, "e503")), streamed=False)
        assert "this is a test error 503" in error.message

    @pytest.mark.parametrize(("behaviour", "least_s", "most_s"), [("e429", 1.0, 1.0), ("e429-date", 0.5, 3.5)])
    async def test_how_long_to_wait_is_read_in_seconds_and_as_a_date(
        self, started: Provider, base_url: str, behaviour: str, least_s: float, most_s: float
    ) -> None:
        error = await self.fails(started, self.call(self.deployment(base_url, behaviour)), streamed=False)
        assert error.retry_after_s is not None
        assert least_s <= error.retry_after_s <= most_s

    @pytest.mark.parametrize("behaviour", ["bad-sse", "error-mid"])
    async def test_a_broken_stream_is_an_error(self, started: Provider, base_url: str, behaviour: str) -> None:
        error = await self.fails(started, self.call(self.deployment(base_url, behaviour)), streamed=True)
        kind = errors.MalformedReplyError if behaviour == "bad-sse" else errors.UpstreamError
        assert type(error) is kind

    @BOTH_WAYS
    @pytest.mark.parametrize("behaviour", ["hang", "hang-mid"])
    async def test_silence_is_a_timeout(
        self, started: Provider, base_url: str, behaviour: str, streamed: bool, server: ProviderServer
    ) -> None:
        call = self.call(self.deployment(base_url, behaviour), timeout_s=0.2)
        error = await self.fails(started, call, streamed)
        assert type(error) is errors.UpstreamTimeoutError
        assert "0.2 s" in error.message
        await until_async(lambda: server.stats()["active"] == 0)

    @BOTH_WAYS
    async def test_a_slow_reply_is_no_silence(self, started: Provider, base_url: str, streamed: bool) -> None:
        call = self.call(self.deployment(base_url, "drip-8"), "x", timeout_s=1.5)
        began_s = time.monotonic()
        completion, _ = await self.ask(started, call, streamed)
        assert completion.text == "You said: x"
        assert time.monotonic() - began_s > call.timeout_s  # it is no limit for the whole

    @BOTH_WAYS
    async def test_a_refused_connection_names_host_and_port(self, started: Provider, streamed: bool) -> None:
        with socket.socket() as nobody:  # bound and not listening: no one else can take the port meanwhile
            nobody.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
            error = await self.fails(started, self.call(self.deployment(url, "ok")), streamed)
        assert type(error) is errors.RefusedConnectionError

    async def test_a_redirect_is_not_followed_and_names_its_target(
        self, started: Provider, base_url: str, server: ProviderServer
    ) -> None:
        error = await self.fails(started, self.call(self.deployment(base_url, "redirect")), streamed=False)
        assert f"127.0.0.1:{server.other_port}" in error.message
        assert server.stats()["requests"] == 1

    async def test_an_endless_reply_is_given_up(self, started: Provider, base_url: str, server: ProviderServer) -> None:
        error = await self.fails(started, self.call(self.deployment(base_url, "huge")), streamed=False)
        assert type(error) is errors.MalformedReplyError
        await until_async(lambda: server.stats()["active"] == 0)

    @BOTH_WAYS
    async def test_usage_that_was_not_sent_is_unknown(self, started: Provider, base_url: str, streamed: bool) -> None:
        completion, _ = await self.ask(started, self.call(self.deployment(base_url, "no-usage")), streamed)
        assert completion.usage == Usage()

    @BOTH_WAYS
    @pytest.mark.parametrize(("behaviour", "cities"), [("tools", ["Bern"]), ("parallel-tools", ["Bern", "Genève"])])
    async def test_tool_calls_come_whole(
        self, started: Provider, base_url: str, behaviour: str, cities: list[str], streamed: bool
    ) -> None:
        completion, _ = await self.ask(started, self.call(self.deployment(base_url, behaviour)), streamed)
        assert completion.finish_reason == "tool_calls"
        assert [call["function"]["name"] for call in completion.tool_calls] == ["get_weather"] * len(cities)
        assert len({call["id"] for call in completion.tool_calls}) == len(cities)
        given = [json.loads(call["function"]["arguments"]) for call in completion.tool_calls]
        assert given == [{"city": city} for city in cities]

    @BOTH_WAYS
    async def test_an_answer_that_ran_out_of_tokens_says_so(
        self, started: Provider, base_url: str, streamed: bool
    ) -> None:
        completion, _ = await self.ask(started, self.call(self.deployment(base_url, "length")), streamed)
        assert completion.finish_reason == "length"

    @pytest.mark.parametrize("behaviour", ["hang", "stream-slow-50", "drip-5"])
    async def test_a_cancelled_call_reaches_the_upstream(
        self, started: Provider, base_url: str, server: ProviderServer, behaviour: str
    ) -> None:
        task = asyncio.create_task(self.ask(started, self.call(self.deployment(base_url, behaviour)), streamed=True))
        await until_async(lambda: server.stats()["active"] == 1)
        task.cancel()
        await until_async(lambda: server.stats()["active"] == 0)
        assert server.stats()["disconnects"] == 1
        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_connections_are_used_again(self, started: Provider, base_url: str, server: ProviderServer) -> None:
        for streamed in (False, True, False, True):
            await self.ask(started, self.call(self.deployment(base_url, "ok")), streamed)
        assert len(server.connections) == 1

    async def test_a_large_prompt_arrives_whole(self, started: Provider, base_url: str) -> None:
        text = "0123456789abcdef" * (1 << 17)
        completion, _ = await self.ask(started, self.call(self.deployment(base_url, "ok"), text), streamed=False)
        assert completion.text == f"You said: {text}"

    async def test_the_key_travels_in_one_header_and_nowhere_else(
        self, started: Provider, base_url: str, server: ProviderServer
    ) -> None:
        await self.ask(started, self.call(self.deployment(base_url, "ok")), streamed=False)
        seen = server.requests[-1]
        assert sum(KEY in value for value in seen.headers.values()) == 1
        assert KEY not in seen.path
        assert KEY not in str(seen.body)

    @pytest.mark.parametrize("key", ["sk-line\nbreak", "sk-blank space", "sk-schlüssel"])
    async def test_a_key_that_no_header_can_hold_is_an_authentication_error(
        self, started: Provider, base_url: str, key: str
    ) -> None:
        good = self.call(self.deployment(base_url, "ok"))
        bad = Call(request=good.request, deployment=good.deployment, key=key, timeout_s=good.timeout_s)
        with pytest.raises(errors.AuthenticationError) as caught:
            await started.call(bad, None)
        assert key not in str(caught.value.data()) + caught.value.message

    async def test_a_wrong_key_fails_the_test_of_an_endpoint(self, started: Provider, base_url: str) -> None:
        with pytest.raises(errors.AuthenticationError):
            await started.models(self.deployment(base_url, "ok"), "wrong", PATIENCE_S)
