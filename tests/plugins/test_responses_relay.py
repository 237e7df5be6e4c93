"""OpenAI's Responses on both sides: the very bytes pass; an endpoint without them is asked in a chat."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from beastmode.core.clock import Clock
from beastmode.core.deltas import Begun, Delta, Relayed
from beastmode.core.deployments import Deployment
from beastmode.core.errors import EndpointNotFoundError, MalformedReplyError, UpstreamError
from beastmode.core.plugins import Call, Context, Provider
from beastmode.core.types import Completion, Usage
from beastmode.wire.dialect import Told
from beastmode.wire.responses_door import OpenAIResponses
from beastmode_plugins.openai_compatible import OpenAI, OpenAICompatible

DOOR = OpenAIResponses()
BODY = '{"input" : "hi", "model":"openai:gpt",  "stream": true, "new": {"a":1.50}, "store":false}'
FAILED = b'data: {"type":"response.failed","response":{"error":{"code":"server_error","message":"No."}}}\n\n'
ANSWER = Completion(text="Grüße 🦁", finish_reason="stop", usage=Usage(9, 5), model="gpt")
CHAT = {
    "model": "gpt",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "chat"}, "finish_reason": "stop"}],
}


class Endpoint:
    """An endpoint that answers in Responses, or only in chats.

    Attributes:
        seen: Path and body of every request.
        headers: Of the last one.
        responses: It has `/responses`.
        ending: What stands in the place of a stream's second half.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes]] = []
        self.headers: dict[str, str] = {}
        self.responses = True
        self.knows = True
        self.ending: bytes | None = None

    def stream(self) -> bytes:
        """The events of a whole answer."""
        writer = DOOR.writer(Told("u1", "gpt", 1.0), DOOR.read(BODY.encode(), {}))
        return writer.begin() + writer.piece(ANSWER.text) + writer.finish(ANSWER)

    def plain(self) -> bytes:
        """The same, in one piece."""
        return DOOR.plain(Told("u1", "gpt", 1.0), ANSWER)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answers a request."""
        body = await request.read()
        self.seen.append((request.path, body))
        self.headers = {name.lower(): value for name, value in request.headers.items()}
        if not self.knows or (request.path.endswith("/responses") and not self.responses):
            return web.json_response({"error": {"message": "Not found."}}, status=404)
        if request.path.endswith("/chat/completions"):
            return web.json_response(CHAT)
        kept = {"x-request-id": "u-1", "x-other": "x"}
        if not json.loads(body).get("stream"):
            return web.Response(body=self.plain(), content_type="application/json", headers=kept)
        reply = web.StreamResponse(headers={"content-type": "text/event-stream", **kept})
        await reply.prepare(request)
        whole = self.stream()
        sent = whole if self.ending is None else whole[: len(whole) // 2].rpartition(b"\n\n")[0] + b"\n\n" + self.ending
        for start in range(0, len(sent), 100):
            await reply.write(sent[start : start + 100])
        return reply


@pytest.fixture
async def endpoint() -> AsyncIterator[tuple[Endpoint, str]]:
    found = Endpoint()
    app = web.Application()
    app.router.add_post("/{path:.*}", found.answer)
    async with TestServer(app) as server:
        yield found, str(server.make_url("/v1"))


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def started(provider: Provider, http: aiohttp.ClientSession, path: Path) -> Provider:
    await provider.start(Context(http=http, data=path, run=path, clock=Clock()))
    return provider


def call(base_url: str, body: str = BODY) -> Call:
    deployment = Deployment(id="d", model="openai:gpt", provider="openai", base_url=base_url, upstream_model="gpt")
    request = DOOR.read(body.encode(), {"openai-beta": "b1", "authorization": "Bearer ours"})
    return Call(request=request, deployment=deployment, key="sk-1", timeout_s=10)


def relayed(deltas: list[Delta]) -> bytes:
    return b"".join(delta.data for delta in deltas if isinstance(delta, Relayed))


async def test_a_stream_passes_byte_for_byte(
    endpoint: tuple[Endpoint, str], http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    upstream, url = endpoint
    provider = await started(OpenAI(), http, tmp_path)
    deltas: list[Delta] = []
    completion = await provider.call(call(url), deltas.append)
    sent = BODY.replace("openai:gpt", "gpt").encode()
    assert upstream.seen == [("/v1/responses", sent)]
    assert (upstream.headers["authorization"], upstream.headers["openai-beta"]) == ("Bearer sk-1", "b1")
    assert deltas[0] == Begun("openai_responses", {"x-request-id": "u-1"})
    assert relayed(deltas) == upstream.stream()
    assert "".join(delta for delta in deltas if isinstance(delta, str)) == completion.text == ANSWER.text
    assert (completion.usage, completion.finish_reason, completion.whole) == (ANSWER.usage, "stop", True)


async def test_so_does_a_plain_answer(
    endpoint: tuple[Endpoint, str], http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    upstream, url = endpoint
    provider = await started(OpenAI(), http, tmp_path)
    completion = await provider.call(call(url, '{"input":"hi"}'), None)
    assert json.loads(upstream.seen[0][1]) == {"input": "hi", "model": "gpt"}
    assert completion.reply is not None
    assert (completion.reply.protocol, completion.reply.body) == ("openai_responses", upstream.plain())
    assert (completion.text, completion.usage) == (ANSWER.text, ANSWER.usage)


@pytest.mark.parametrize(("ending", "kind"), [(b"", MalformedReplyError), (FAILED, UpstreamError)])
async def test_a_stream_that_breaks_is_an_error_and_its_good_part_has_passed(
    endpoint: tuple[Endpoint, str], http: aiohttp.ClientSession, tmp_path: Path, ending: bytes, kind: Any
) -> None:
    upstream, url = endpoint
    upstream.ending = ending
    provider = await started(OpenAI(), http, tmp_path)
    deltas: list[Delta] = []
    with pytest.raises(kind) as caught:
        await provider.call(call(url), deltas.append)
    assert caught.value.tips
    assert relayed(deltas)
    assert upstream.stream().startswith(relayed(deltas))


async def test_an_endpoint_without_them_is_asked_in_a_chat_and_remembered(
    endpoint: tuple[Endpoint, str], http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    upstream, url = endpoint
    upstream.responses = False
    provider = await started(OpenAI(), http, tmp_path)
    for _ in range(2):
        completion = await provider.call(call(url, '{"input":"hi"}'), None)
        assert (completion.text, completion.reply) == ("chat", None)
    paths = [path for path, _ in upstream.seen]
    assert paths == ["/v1/responses", "/v1/chat/completions", "/v1/chat/completions"]


async def test_a_model_that_nobody_knows_is_asked_for_again_next_time(
    endpoint: tuple[Endpoint, str], http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    upstream, url = endpoint
    upstream.knows = False
    provider = await started(OpenAI(), http, tmp_path)
    with pytest.raises(EndpointNotFoundError):
        await provider.call(call(url, '{"input":"hi"}'), None)
    upstream.knows = True
    assert (await provider.call(call(url, '{"input":"hi"}'), None)).text == ANSWER.text


async def test_any_other_endpoint_is_asked_in_a_chat(
    endpoint: tuple[Endpoint, str], http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    upstream, url = endpoint
    provider = await started(OpenAICompatible(), http, tmp_path)
    await provider.call(call(url, '{"input":"hi","text":{"verbosity":"low"},"new":1,"include":["x"]}'), None)
    path, body = upstream.seen[0]
    assert path == "/v1/chat/completions"
    assert json.loads(body) == {
        "model": "gpt", "messages": [{"role": "user", "content": "hi"}], "verbosity": "low",
    }  # fmt: skip
