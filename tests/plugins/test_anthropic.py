"""The provider `anthropic`, beyond the contract."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from beastmode.core import errors
from beastmode.core.clock import Clock
from beastmode.core.deltas import Begun, Delta, Relayed
from beastmode.core.deployments import Deployment
from beastmode.core.native import Native, Reply
from beastmode.core.plugins import Call, Context, Provider
from beastmode.core.types import Message, Request
from beastmode.wire.anthropic_door import AnthropicMessages
from beastmode_plugins.anthropic import Anthropic
from support.provider_server import ProviderServer


@pytest.fixture(scope="module")
def server() -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        yield server


@pytest.fixture
async def anthropic(tmp_path: Path) -> AsyncIterator[Provider]:
    async with aiohttp.ClientSession() as http:
        provider = Anthropic()
        await provider.start(Context(http=http, data=tmp_path, run=tmp_path, clock=Clock()))
        yield provider


def call(base_url: str, key: str | None = "sk-ant-1") -> Call:
    deployment = Deployment(id="d", model="anthropic:m", provider="anthropic", base_url=base_url, upstream_model="ok")
    messages = [Message(role="system", content="Be brief."), Message(role="user", content="hi")]
    return Call(request=Request(model="m", messages=messages), deployment=deployment, key=key, timeout_s=10)


@pytest.mark.parametrize("prefix", ["", "/", "/v1", "/v1/", "/proxy"])
async def test_a_base_url_may_end_in_v1_or_not(anthropic: Provider, server: ProviderServer, prefix: str) -> None:
    await anthropic.call(call(server.url + prefix), None)
    root = prefix.rstrip("/").removesuffix("/v1")
    assert server.requests[-1].path == f"{root}/v1/messages"
    await anthropic.models(call(server.url + prefix).deployment, "sk-ant-1", 10)
    assert server.requests[-1].path == f"{root}/v1/models?limit=1000"


async def test_the_key_and_the_version_are_headers(anthropic: Provider, server: ProviderServer) -> None:
    await anthropic.call(call(server.url), None)
    headers = server.requests[-1].headers
    assert headers["x-api-key"] == "sk-ant-1"
    assert headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in headers
    await anthropic.call(call(server.url, key=None), None)
    assert "x-api-key" not in server.requests[-1].headers


async def test_the_system_prompt_is_lifted_out(anthropic: Provider, server: ProviderServer) -> None:
    await anthropic.call(call(server.url), None)
    assert server.requests[-1].body["system"] == "Be brief."
    assert server.requests[-1].body["messages"] == [{"role": "user", "content": "hi"}]


async def test_cached_tokens_are_part_of_the_prompt(anthropic: Provider, server: ProviderServer) -> None:
    for on_delta in (None, lambda text: None):
        usage = (await anthropic.call(call(server.url), on_delta)).usage
        assert usage.prompt_tokens and usage.cached_tokens
        assert usage.prompt_tokens > usage.cached_tokens
        assert usage.cache_write_tokens == 0


MESSAGE = b'{"type":"message", "content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","of_the_future":1.50}'
STREAM = b"".join(
    b"event: %b\r\ndata: %b\r\n\r\n" % (json.loads(data)["type"].encode(), data)
    for data in (
        b'{"type":"message_start", "message":{"model":"theirs","usage":{"input_tokens":3,"output_tokens":1}}}',
        b'{"type":"ping"}',
        b'{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"sig"}}',
        b'{"type":"content_block_stop","index":0}',
        b'{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Gr\xc3\xbc\xc3\x9fe"}}',
        b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}',
        b'{"type":"message_stop"}',
    )
)
HEADERS = {
    "request-id": "req_1",
    "anthropic-ratelimit-requests-remaining": "41",
    "retry-after": "3",
    "set-cookie": "a=b",
    "server": "s",
}
BODY = (
    b'{ "max_tokens":5, "model":"mine","messages":[ {"role":"user","content":"\\u0068i"}],"future":1.50,'
    b'"metadata":{"user_id":"u"},"thinking":{"type":"adaptive"} }'
)


class Endpoint:
    """Answers as Anthropic, byte for byte, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.counts = True
        self.samples = True
        self.why = "`temperature` is deprecated for this model."

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.asked.append((request.path_qs, {k.lower(): v for k, v in request.headers.items()}, body))
        if request.path.endswith("/count_tokens"):
            return web.json_response({"input_tokens": 42}) if self.counts else web.Response(status=404)
        if not self.samples and "temperature" in json.loads(body):
            said = {"type": "invalid_request_error", "message": self.why}
            return web.json_response({"type": "error", "error": said}, status=400)
        if json.loads(body).get("stream"):
            return web.Response(body=STREAM, headers={**HEADERS, "content-type": "text/event-stream; charset=utf-8"})
        return web.Response(body=MESSAGE, headers={**HEADERS, "content-type": "application/json"})


@pytest.fixture
async def endpoint() -> AsyncIterator[tuple[Endpoint, str]]:
    endpoint = Endpoint()
    app = web.Application()
    app.router.add_post("/v1/messages", endpoint.answer)
    app.router.add_post("/v1/messages/count_tokens", endpoint.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield endpoint, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def relayed(base_url: str, body: bytes = BODY, **headers: str) -> Call:
    sent_with = {
        "anthropic-version": "2023-01-01",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    request = AnthropicMessages().read(body, sent_with)
    return msgspec.structs.replace(call(base_url), request=request)


def asking(base_url: str, **fields: Any) -> Call:
    """A call for a request that came in Chat Completions."""
    native = Native("openai_chat", b"{}", {"openai-beta": "x"})
    request = Request(model="m", messages=[Message("user", "hi")], native=native)
    return msgspec.structs.replace(call(base_url), request=msgspec.structs.replace(request, **fields))


class TestRelaying:
    async def test_only_the_model_changes_on_the_way_there(self, anthropic: Provider, endpoint: Any) -> None:
        there, url = endpoint
        await anthropic.call(relayed(url), None)
        path, headers, body = there.asked[-1]
        assert body == BODY.replace(b'"mine"', b'"ok"')
        assert path == "/v1/messages"
        assert headers["anthropic-version"] == "2023-01-01"
        assert headers["x-api-key"] == "sk-ant-1"
        assert "anthropic-beta" not in headers

    async def test_betas_are_passed_on_as_their_clients_do(self, anthropic: Provider, endpoint: Any) -> None:
        there, url = endpoint
        for betas in ("", "a-1,b-2", ""):
            await anthropic.call(relayed(url, **({"anthropic_beta": betas} if betas else {})), None)
            assert there.asked[-1][0] == ("/v1/messages?beta=true" if betas else "/v1/messages")
            assert there.asked[-1][1].get("anthropic-beta", "") == betas

    async def test_a_plain_reply_comes_back_in_its_bytes(self, anthropic: Provider, endpoint: Any) -> None:
        completion = await anthropic.call(relayed(endpoint[1]), None)
        kept = {name: HEADERS[name] for name in ("request-id", "anthropic-ratelimit-requests-remaining", "retry-after")}
        assert completion.reply == Reply("anthropic_messages", MESSAGE, kept)
        assert completion.text == "Hi"

    async def test_a_stream_comes_back_in_its_bytes_beside_its_pieces(self, anthropic: Provider, endpoint: Any) -> None:
        deltas: list[Delta] = []
        body = BODY.replace(b'"future"', b'"stream":true,"future"')
        completion = await anthropic.call(relayed(endpoint[1], body), deltas.append)
        begun = deltas.pop(0)
        assert isinstance(begun, Begun)
        assert begun.protocol == "anthropic_messages"
        assert begun.headers["request-id"] == "req_1"
        assert b"".join(delta.data for delta in deltas if isinstance(delta, Relayed)) == STREAM
        assert "".join(delta for delta in deltas if isinstance(delta, str)) == completion.text == "Grüße"
        assert completion.blocks[0] == {"type": "thinking", "thinking": "", "signature": "sig"}
        assert b'"stream":true,"future":1.50' in endpoint[0].asked[-1][2]

    async def test_a_stream_is_asked_for_as_the_daemon_reads_it(self, anthropic: Provider, endpoint: Any) -> None:
        there, url = endpoint
        deltas: list[Delta] = []
        await anthropic.call(relayed(url), deltas.append)
        assert json.loads(there.asked[-1][2])["stream"] is True
        await anthropic.call(relayed(url, BODY.replace(b"{ ", b'{"stream":true, ', 1)), None)
        assert "stream" not in json.loads(there.asked[-1][2])

    async def test_an_error_keeps_their_words(self, anthropic: Provider, server: ProviderServer) -> None:
        asked = relayed(server.url)
        busy = msgspec.structs.replace(asked.deployment, upstream_model="e529")
        with pytest.raises(errors.UpstreamError) as caught:
            await anthropic.call(msgspec.structs.replace(asked, deployment=busy), None)
        told = json.loads(AnthropicMessages().error(caught.value, 529))
        assert told["error"]["type"] == "overloaded_error"
        assert "this is a test error 529" in told["error"]["message"]


class TestTranslating:
    async def test_another_protocol_is_translated_and_gets_pieces_alone(
        self, anthropic: Provider, endpoint: Any
    ) -> None:
        there, url = endpoint
        deltas: list[Delta] = []
        completion = await anthropic.call(asking(url, params={"seed": 1, "max_tokens": 7}), deltas.append)
        path, headers, body = there.asked[-1]
        assert json.loads(body) == {
            "model": "ok",
            "max_tokens": 7,
            "messages": [{"role": "user", "content": "hi"}],
            "stream": True,
        }
        assert path == "/v1/messages"
        assert "openai-beta" not in headers
        assert completion.reply is None
        assert not [delta for delta in deltas if isinstance(delta, Relayed)]
        assert [delta.protocol for delta in deltas if isinstance(delta, Begun)] == [""]
        plain = (await anthropic.call(asking(url), None)).reply
        assert plain is None or plain.body == b""  # nothing but headers

    async def test_a_text_is_continued_in_a_chat(self, anthropic: Provider, endpoint: Any) -> None:
        there, url = endpoint
        asked = asking(url, kind="completion", messages=[Message("user", "def add(")], params={"suffix": "return c"})
        await anthropic.call(asked, None)
        body = json.loads(there.asked[-1][2])
        assert "def add(" in body["messages"][0]["content"]
        assert "return c" in body["messages"][0]["content"]
        assert body["system"]

    async def test_a_model_that_refuses_a_temperature_is_asked_without_from_then_on(
        self, anthropic: Provider, endpoint: Any
    ) -> None:
        there, url = endpoint
        there.samples = False
        for calls in (2, 3):
            assert (await anthropic.call(asking(url, params={"temperature": 0.5, "top_p": 0.9}), None)).text == "Hi"
            assert len(there.asked) == calls
            assert not {"temperature", "top_p"} & json.loads(there.asked[-1][2]).keys()

    async def test_a_temperature_that_is_merely_wrong_is_the_callers_to_correct(
        self, anthropic: Provider, endpoint: Any
    ) -> None:
        there, url = endpoint
        there.samples, there.why = False, "temperature: Input should be greater than or equal to 0"
        with pytest.raises(errors.BadRequestError, match="temperature"):
            await anthropic.call(asking(url, params={"temperature": -1}), None)
        assert len(there.asked) == 1

    async def test_a_request_that_is_relayed_is_refused_as_it_is(self, anthropic: Provider, endpoint: Any) -> None:
        there, url = endpoint
        there.samples = False
        with pytest.raises(errors.BadRequestError, match="temperature"):
            await anthropic.call(relayed(url, BODY.replace(b"{ ", b'{"temperature":0.5, ', 1)), None)
        assert len(there.asked) == 1

    async def test_it_embeds_nothing(self, anthropic: Provider, endpoint: Any) -> None:
        with pytest.raises(errors.BadInputError) as caught:
            await anthropic.call(asking(endpoint[1], kind="embedding", messages=[], params={"input": "x"}), None)
        assert caught.value.tips
        assert not endpoint[0].asked

    async def test_several_answers_are_refused(self, anthropic: Provider, endpoint: Any) -> None:
        with pytest.raises(errors.BadInputError, match="n:"):
            await anthropic.call(asking(endpoint[1], params={"n": 2}), None)
        assert not endpoint[0].asked


class TestCounting:
    async def test_a_prompt_is_counted_in_its_own_bytes(self, anthropic: Provider, endpoint: Any) -> None:
        there, url = endpoint
        body = b'{"model":"mine", "messages":[ {"role":"user","content":"hi"}]}'
        assert await anthropic.count_tokens(relayed(url, body, anthropic_beta="a")) == 42  # type: ignore[attr-defined]
        assert there.asked[-1][0] == "/v1/messages/count_tokens?beta=true"
        assert there.asked[-1][2] == body.replace(b'"mine"', b'"ok"')

    async def test_one_of_another_protocol_is_translated(self, anthropic: Provider, endpoint: Any) -> None:
        there, url = endpoint
        asked = asking(url, params={"max_tokens": 5, "temperature": 0.5})
        assert await anthropic.count_tokens(asked) == 42  # type: ignore[attr-defined]
        assert json.loads(there.asked[-1][2]) == {"model": "ok", "messages": [{"role": "user", "content": "hi"}]}

    async def test_an_endpoint_that_does_not_count_says_so(self, anthropic: Provider, endpoint: Any) -> None:
        endpoint[0].counts = False
        with pytest.raises(errors.EndpointNotFoundError):
            await anthropic.count_tokens(asking(endpoint[1]))  # type: ignore[attr-defined]
