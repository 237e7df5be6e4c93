"""The providers `openai` and `custom`, beyond the contract."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from beastmode.core import errors
from beastmode.core.clock import Clock
from beastmode.core.deltas import Begun, Delta, Relayed
from beastmode.core.deployments import Deployment
from beastmode.core.native import Native
from beastmode.core.plugins import Call, Context, Provider
from beastmode.core.types import Message, Request
from beastmode.wire.dialect import Dialect
from beastmode.wire.openai_chat_door import OpenAIChat
from beastmode.wire.openai_completions_door import OpenAICompletions
from beastmode.wire.openai_embeddings import OpenAIEmbeddings
from beastmode_plugins.openai_compatible import OpenAI, OpenAICompatible
from support.provider_server import ProviderServer

CHAT, COMPLETIONS, EMBEDDINGS = OpenAIChat(), OpenAICompletions(), OpenAIEmbeddings()


@pytest.fixture(scope="module")
def running() -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        yield server


@pytest.fixture
def server(running: ProviderServer) -> ProviderServer:
    running.reset()
    return running


@pytest.fixture
async def custom(tmp_path: Path) -> AsyncIterator[Provider]:
    async with aiohttp.ClientSession() as http:
        provider = OpenAICompatible()
        await provider.start(Context(http=http, data=tmp_path, run=tmp_path, clock=Clock()))
        yield provider


@pytest.fixture
async def openai(tmp_path: Path) -> AsyncIterator[Provider]:
    async with aiohttp.ClientSession() as http:
        provider = OpenAI()
        await provider.start(Context(http=http, data=tmp_path, run=tmp_path, clock=Clock()))
        yield provider


def call(base_url: str, behaviour: str = "ok", key: str | None = None, **params: Any) -> Call:
    deployment = Deployment(id="d", model="custom:m", provider="custom", base_url=base_url, upstream_model=behaviour)
    request = Request(model="custom:m", messages=[Message(role="user", content="hi")], params=params)
    return Call(request=request, deployment=deployment, key=key, timeout_s=10)


def text_of(deltas: list[Delta]) -> str:
    return "".join(delta for delta in deltas if isinstance(delta, str))


@pytest.mark.parametrize("prefix", ["", "/", "/v1", "/v1/", "/openai/deep/path"])
async def test_a_base_url_is_a_prefix_with_or_without_v1(custom: Provider, server: ProviderServer, prefix: str) -> None:
    await custom.call(call(server.url + prefix), None)
    assert server.requests[-1].path == f"{prefix.rstrip('/')}/chat/completions"
    await custom.models(call(server.url + prefix).deployment, None, 10)
    assert server.requests[-1].path == f"{prefix.rstrip('/')}/models"


async def test_without_a_key_no_authorization_is_sent(custom: Provider, server: ProviderServer) -> None:
    await custom.call(call(server.url), None)
    assert "authorization" not in server.requests[-1].headers


async def test_a_key_is_sent_as_a_bearer_token(custom: Provider, server: ProviderServer) -> None:
    await custom.call(call(server.url, key="sk-1"), None)
    assert server.requests[-1].headers["authorization"] == "Bearer sk-1"


async def test_an_endpoint_without_a_list_of_models_has_an_empty_one(custom: Provider, server: ProviderServer) -> None:
    assert await custom.models(call(f"{server.url}/no-list/404").deployment, None, 10) == []
    assert await custom.models(call(f"{server.url}/no-list/405").deployment, None, 10) == []
    with pytest.raises(errors.BadRequestError):
        await custom.models(call(f"{server.url}/no-list/422").deployment, None, 10)


async def test_a_list_that_is_none_is_malformed(custom: Provider, server: ProviderServer) -> None:
    with pytest.raises(errors.MalformedReplyError) as caught:
        await custom.models(call(f"{server.url}/no-list/200").deployment, None, 10)
    assert caught.value.tips


async def test_a_server_that_knows_no_stream_options_is_asked_again_without_and_remembered(
    custom: Provider, server: ProviderServer
) -> None:
    deltas: list[Delta] = []
    completion = await custom.call(call(server.url, "no-stream-options"), deltas.append)
    assert completion.text == text_of(deltas) == "You said: hi"
    assert server.stats()["requests"] == 2
    await custom.call(call(server.url, "no-stream-options"), deltas.append)
    assert server.stats()["requests"] == 3


async def test_another_bad_request_is_not_asked_again(custom: Provider, server: ProviderServer) -> None:
    with pytest.raises(errors.BadRequestError):
        await custom.call(call(server.url, "e400"), lambda text: None)
    assert server.stats()["requests"] == 1


async def test_openai_gets_the_bound_of_the_answer_under_its_new_name(
    openai: Provider, custom: Provider, server: ProviderServer
) -> None:
    asked = call(server.url, max_tokens=5)
    await openai.call(asked, None)
    assert server.requests[-1].body["max_completion_tokens"] == 5
    assert "max_tokens" not in server.requests[-1].body
    assert asked.request.params == {"max_tokens": 5}
    await openai.call(call(server.url, max_tokens=5, max_completion_tokens=7), None)
    assert server.requests[-1].body["max_completion_tokens"] == 7
    await custom.call(asked, None)
    assert server.requests[-1].body["max_tokens"] == 5
    await openai.call(call(server.url), None)
    assert "max_completion_tokens" not in server.requests[-1].body


async def test_a_base_url_that_is_none_is_refused(custom: Provider) -> None:
    with pytest.raises(errors.RefusedEndpointError):
        await custom.call(call("nonsense"), None)


def relayed_call(base_url: str, body: dict[str, Any], behaviour: str = "ok", dialect: Dialect = CHAT) -> Call:
    """A call as it comes through the HTTP door, with blanks that only a relay keeps."""
    deployment = Deployment(id="d", model="custom:m", provider="custom", base_url=base_url, upstream_model=behaviour)
    request = dialect.read(json.dumps(body).encode(), {"openai-beta": "x=1"})
    return Call(request=request, deployment=deployment, key="sk-ours", timeout_s=10)


def bytes_of(deltas: list[Delta], usage: bool = True) -> bytes:
    return b"".join(d.data for d in deltas if isinstance(d, Relayed) and (usage or not d.usage_only))


ASK = {"messages": [{"role": "user", "content": "hi", "x": 1.50}], "model": "mine", "top_k": 5, "temperature": 1.0}


class TestRelay:
    async def test_only_the_model_and_the_key_change(self, custom: Provider, server: ProviderServer) -> None:
        asked = relayed_call(server.url, ASK)
        completion = await custom.call(asked, None)
        seen = server.requests[-1]
        assert seen.raw == json.dumps({**ASK, "model": "ok"}).encode()
        assert seen.headers["authorization"] == "Bearer sk-ours"
        assert seen.headers["openai-beta"] == "x=1"
        assert completion.text == "You said: hi"
        assert completion.reply is not None
        assert completion.reply.protocol == "openai_chat"
        assert json.loads(completion.reply.body)["x_unknown"] == {"z": 1.5}
        assert completion.reply.headers == {
            "x-request-id": "req_mock",
            "x-ratelimit-remaining-requests": "99",
            "x-ratelimit-reset-tokens": "6ms",
            "openai-processing-ms": "12",
        }

    async def test_a_stream_is_asked_for_its_usage_which_leaves_marked(
        self, custom: Provider, server: ProviderServer
    ) -> None:
        deltas: list[Delta] = []
        asked = relayed_call(server.url, {**ASK, "stream": True, "stream_options": {"include_obfuscation": False}})
        completion = await custom.call(asked, deltas.append)
        assert server.requests[-1].body["stream_options"] == {"include_obfuscation": False, "include_usage": True}
        assert deltas[0].protocol == "openai_chat"
        assert deltas[0].headers["x-request-id"] == "req_mock"
        assert text_of(deltas) == completion.text == "You said: hi"
        assert completion.usage.completion_tokens == 3
        events = bytes_of(deltas).split(b"\n\n")
        assert b'"usage"' in events[-3]
        assert events[-2:] == [b"data: [DONE]", b""]
        assert b'"usage"' not in bytes_of(deltas, usage=False)
        assert bytes_of(deltas).count(b"x_unknown") == len(events) - 2

    async def test_a_caller_who_asks_for_the_usage_has_its_options_left_alone(
        self, custom: Provider, server: ProviderServer
    ) -> None:
        options = {"include_usage": True, "x": 1}
        await custom.call(relayed_call(server.url, {**ASK, "stream": True, "stream_options": options}), lambda d: None)
        assert b'"stream_options": {"include_usage": true, "x": 1}' in server.requests[-1].raw

    async def test_an_endpoint_that_refuses_the_question_is_asked_without_it(
        self, custom: Provider, server: ProviderServer
    ) -> None:
        deltas: list[Delta] = []
        asked = relayed_call(server.url, {**ASK, "stream": True}, "no-stream-options")
        assert (await custom.call(asked, deltas.append)).text == "You said: hi"
        assert "stream_options" not in server.requests[-1].body
        assert [type(delta) for delta in deltas].count(Begun) == 1

    async def test_a_call_without_a_stream_asks_for_none(self, custom: Provider, server: ProviderServer) -> None:
        body = {**ASK, "stream": True, "stream_options": {"include_usage": True}}
        assert (await custom.call(relayed_call(server.url, body), None)).text == "You said: hi"
        assert not server.requests[-1].body.keys() & {"stream", "stream_options"}

    @pytest.mark.parametrize("behaviour", ["cut", "error-mid", "bad-sse"])
    async def test_a_stream_that_breaks_is_an_error_whose_bytes_were_none_of_it(
        self, custom: Provider, server: ProviderServer, behaviour: str
    ) -> None:
        deltas: list[Delta] = []
        with pytest.raises(errors.ProviderError):
            await custom.call(relayed_call(server.url, {**ASK, "stream": True}, behaviour), deltas.append)
        assert b"[DONE]" not in bytes_of(deltas)
        assert b"overloaded" not in bytes_of(deltas)
        assert b"not json" not in bytes_of(deltas)

    async def test_an_error_keeps_what_the_upstream_said(self, custom: Provider, server: ProviderServer) -> None:
        with pytest.raises(errors.RateLimitedError) as caught:
            await custom.call(relayed_call(server.url, {**ASK, "stream": True}, "e429"), lambda delta: None)
        assert caught.value.status == 429
        assert caught.value.details["upstream_type"] == "rate_limit_error"
        assert caught.value.details["upstream_headers"]["retry-after"] == "1"
        assert caught.value.details["upstream_headers"]["x-ratelimit-remaining-requests"] == "99"

    async def test_several_choices_and_their_logprobs(self, custom: Provider, server: ProviderServer) -> None:
        body = {**ASK, "n": 2, "logprobs": True}
        plain = await custom.call(relayed_call(server.url, body), None)
        streamed = await custom.call(relayed_call(server.url, {**body, "stream": True}), lambda delta: None)
        assert [one.text for one in (plain, *plain.choices)] == ["You said: hi"] * 2
        assert plain.logprobs == plain.choices[0].logprobs
        assert [token["token"] for token in plain.logprobs["content"]] == ["You", " said:", " hi"]
        assert msgspec.structs.replace(plain, reply=None) == streamed

    async def test_a_request_of_another_protocol_is_translated(self, custom: Provider, server: ProviderServer) -> None:
        asked = call(server.url, top_p=0.5, top_k=5, thinking={"type": "enabled"}, metadata={"user_id": "u"})
        asked.request.native = Native("anthropic_messages", b"{}", {"anthropic-beta": "b"})
        deltas: list[Delta] = []
        await custom.call(asked, deltas.append)
        sent = server.requests[-1]
        assert sent.body == {
            "model": "ok",
            "messages": [{"role": "user", "content": "hi"}],
            "top_p": 0.5,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        assert "anthropic-beta" not in sent.headers
        assert deltas[0].protocol == ""
        assert bytes_of(deltas) == b""


class TestCompletions:
    async def test_a_gap_is_filled_at_the_endpoint_for_completions(
        self, custom: Provider, server: ProviderServer
    ) -> None:
        body = {"model": "mine", "prompt": "def f(", "suffix": "): pass", "max_tokens": 9, "x": 1.50}
        completion = await custom.call(relayed_call(server.url, body, dialect=COMPLETIONS), None)
        assert server.requests[-1].path == "/completions"
        assert server.requests[-1].raw == json.dumps({**body, "model": "ok"}).encode()
        assert completion.text == " after def f( before ): pass"
        assert completion.reply is not None
        assert completion.reply.protocol == "openai_completions"

    async def test_it_streams_in_its_own_bytes(self, custom: Provider, server: ProviderServer) -> None:
        deltas: list[Delta] = []
        body = {"prompt": "a b", "stream": True, "logprobs": 1}
        completion = await custom.call(relayed_call(server.url, body, dialect=COMPLETIONS), deltas.append)
        assert text_of(deltas) == completion.text == " after a b"
        assert completion.logprobs["tokens"] == [" after", " a", " b"]
        assert bytes_of(deltas, usage=False).count(b"text_completion") == 4
        assert bytes_of(deltas).endswith(b"data: [DONE]\n\n")

    async def test_one_that_came_otherwise_is_written_anew(self, custom: Provider, server: ProviderServer) -> None:
        asked = call(server.url, suffix="z")
        asked.request.kind = "completion"
        assert (await custom.call(asked, None)).text == " after hi before z"
        assert server.requests[-1].body == {"model": "ok", "prompt": "hi", "suffix": "z"}

    async def test_an_endpoint_without_completions_is_asked_in_a_chat_and_remembered(
        self, custom: Provider, server: ProviderServer
    ) -> None:
        body = {"prompt": "def f(", "suffix": "): pass", "max_tokens": 9, "logprobs": 2, "best_of": 1}
        for streamed in (False, True):
            deltas: list[Delta] = []
            asked = relayed_call(server.url, {**body, "stream": streamed}, "no-completions", COMPLETIONS)
            completion = await custom.call(asked, deltas.append if streamed else None)
            assert "): pass" in completion.text
            assert completion.reply is None or completion.reply.body == b""
            assert bytes_of(deltas) == b""
        paths = [seen.path for seen in server.requests]
        assert paths == ["/completions", "/chat/completions", "/chat/completions"]
        assert server.requests[1].body.keys() == {"model", "messages", "max_tokens"}

    async def test_several_prompts_need_an_endpoint_of_their_own(
        self, custom: Provider, server: ProviderServer
    ) -> None:
        asked = relayed_call(server.url, {"prompt": ["a", "b"]}, dialect=COMPLETIONS)
        completion = await custom.call(asked, None)
        assert [completion.text, completion.choices[0].text] == [" after a", " after a"]
        with pytest.raises(errors.BadInputError, match="prompt"):
            await custom.call(relayed_call(server.url, {"prompt": ["a", "b"]}, "no-completions", COMPLETIONS), None)


class TestEmbeddings:
    async def test_vectors_stay_in_their_bytes(self, custom: Provider, server: ProviderServer) -> None:
        body = {"model": "mine", "input": ["a", "bcd"], "dimensions": 3, "x": 1.50}
        completion = await custom.call(relayed_call(server.url, body, dialect=EMBEDDINGS), None)
        assert server.requests[-1].path == "/embeddings"
        assert server.requests[-1].raw == json.dumps({**body, "model": "ok"}).encode()
        assert completion.text == ""
        assert completion.usage.prompt_tokens == 2
        assert completion.usage.completion_tokens == 0
        assert completion.reply is not None
        assert json.loads(completion.reply.body)["data"][1]["embedding"] == [3, 1, 0.5]

    async def test_one_that_came_otherwise_has_its_reply_too(self, custom: Provider, server: ProviderServer) -> None:
        asked = call(server.url)
        asked.request.kind = "embedding"
        completion = await custom.call(asked, lambda delta: None)
        assert server.requests[-1].body == {"input": "hi", "model": "ok"}
        assert completion.reply is not None
        assert completion.reply.protocol == "openai_embeddings"

    async def test_an_error_says_where(self, custom: Provider, server: ProviderServer) -> None:
        with pytest.raises(errors.UpstreamError, match="503"):
            await custom.call(relayed_call(server.url, {"input": "a"}, "e503", EMBEDDINGS), None)
