"""Upstreams that answer otherwise than they were asked: what their callers get, through a real port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from support.daemon import Daemon
from support.http_caller import Door, chat, message, response
from support.raw_upstream import Server, serving

CHOICE = {"index": 0, "message": {"role": "assistant", "content": "in one piece"}, "finish_reason": "stop"}
WHOLE = json.dumps({"id": "c", "object": "chat.completion", "model": "m", "choices": [CHOICE]}).encode()
BEGUN = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nx-request-id: first\r\nContent-Length: 99\r\n\r\n"
ENDS = {"chat": b"data: [DONE]\n\n", "messages": b"message_stop", "responses": b"response.completed"}
ASK = {
    "chat": ("/v1/chat/completions", chat),
    "messages": ("/v1/messages", message),
    "responses": ("/v1/responses", response),
}


def json_reply(body: bytes, *lines: bytes) -> bytes:
    head = b"".join(line + b"\r\n" for line in (b"Content-Type: application/json", *lines))
    return b"HTTP/1.1 200 OK\r\n" + head + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with Daemon("[upstream]\nmax_attempts = 2\nretry_wait_s = 0.0\n") as one:
        yield one


async def asked(
    daemon: Daemon, upstream: Server, protocol: str, provider: str = "custom", *, known: bool = False, **more: Any
) -> tuple[int, dict[str, str], bytes]:
    """Registers the upstream under a name of its own unless it is known, asks it, and gives what came back."""
    name = f"{provider}:p{upstream.port}"
    if not known:
        daemon.add(name, f"http://127.0.0.1:{upstream.port}/v1", upstream_model="m", key="sk-theirs")
    door, (path, body) = Door.of(daemon), ASK[protocol]
    async with (
        aiohttp.ClientSession(headers=door.all_headers()) as session,
        session.post(door.url + path, json=body("asked", name, **more)) as reply,
    ):
        return reply.status, {key.lower(): value for key, value in reply.headers.items()}, await reply.read()


@pytest.mark.parametrize("protocol", list(ASK))
class TestOnePieceForAStream:
    async def test_it_is_told_as_a_stream_and_keeps_its_headers(self, daemon: Daemon, protocol: str) -> None:
        async with serving(json_reply(WHOLE, b"x-request-id: theirs")) as upstream:
            status, headers, body = await asked(daemon, upstream, protocol, stream=True)
        assert status == 200
        assert headers["content-type"].startswith("text/event-stream")
        assert headers["x-request-id"] == "theirs"
        assert b"in one piece" in body
        assert ENDS[protocol] in body

    async def test_after_a_stream_that_broke_before_its_first_event_it_is_told_too(
        self, daemon: Daemon, protocol: str
    ) -> None:
        async with serving(BEGUN, json_reply(WHOLE)) as upstream:
            status, headers, body = await asked(daemon, upstream, protocol, stream=True)
        assert status == 200, body
        assert len(upstream.requests) == 2
        assert "x-request-id" not in headers
        assert b"in one piece" in body
        assert ENDS[protocol] in body


EVENTS = b'data: {"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize("protocol", list(ASK))
async def test_a_stream_begins_with_all_that_is_known_of_it(daemon: Daemon, protocol: str) -> None:
    reply = json_reply(EVENTS).replace(b"application/json", b"text/event-stream")
    async with serving(reply) as upstream:
        _, headers, _ = await asked(daemon, upstream, protocol, stream=True)
    assert headers["x-beast-request-id"].startswith("req_")
    assert headers["x-beast-model"] == f"custom:p{upstream.port}"
    assert headers["x-beast-provider"] == "custom"
    assert headers["x-beast-route"]
    assert headers["x-beast-cache"] in ("miss", "bypass")
    assert float(headers["x-beast-saved-usd"]) == 0
    assert 0 <= float(headers["x-beast-overhead-ms"]) < 10_000
    assert "x-beast-cost-usd" not in headers  # nobody knows it yet


THEIR_EVENTS = (
    b'data: {"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"as "}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"content":"events"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}\n\n'
    b"data: [DONE]\n\n"
)
MESSAGE_EVENTS = (
    b'event: message_start\ndata: {"type":"message_start","message":{"model":"m","usage":{"input_tokens":7}}}\n\n'
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
    b'"content_block":{"type":"text","text":""}}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
    b'"text":"as events"}}\n\nevent: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    b'"usage":{"output_tokens":2}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n'
)
SAID_PLAINLY = {
    "chat": lambda reply: reply["choices"][0]["message"]["content"],
    "messages": lambda reply: reply["content"][0]["text"],
    "responses": lambda reply: reply["output"][0]["content"][0]["text"],
}


def event_reply(events: bytes, kind: bytes = b"text/event-stream") -> bytes:
    return json_reply(events, b"x-request-id: theirs").replace(b"application/json", kind)


@pytest.mark.parametrize("protocol", list(ASK))
class TestEventsForAPlainRequest:
    @pytest.mark.parametrize("kind", [b"text/event-stream", b"text/plain", b"application/json"])
    async def test_they_become_the_plain_answer(self, daemon: Daemon, protocol: str, kind: bytes) -> None:
        async with serving(event_reply(THEIR_EVENTS, kind)) as upstream:
            status, headers, body = await asked(daemon, upstream, protocol)
        assert status == 200, body
        assert headers["content-type"] == "application/json"
        assert headers["x-request-id"] == "theirs"
        reply = json.loads(body)
        assert SAID_PLAINLY[protocol](reply) == "as events"
        assert (reply["usage"].get("prompt_tokens") or reply["usage"].get("input_tokens")) == 7

    async def test_anthropics_too(self, daemon: Daemon, protocol: str) -> None:
        async with serving(event_reply(MESSAGE_EVENTS)) as upstream:
            status, _, body = await asked(daemon, upstream, protocol, provider="anthropic")
        assert status == 200, body
        assert SAID_PLAINLY[protocol](json.loads(body)) == "as events"

    async def test_an_error_among_them_is_an_error(self, daemon: Daemon, protocol: str) -> None:
        events = b'data: {"error": {"message": "no more room", "type": "rate_limit_error"}}\n\n'
        async with serving(event_reply(events)) as upstream:
            status, _, body = await asked(daemon, upstream, protocol)
        assert status == 429
        assert b"no more room" in body

    async def test_those_that_are_cut_off_are_no_answer(self, daemon: Daemon, protocol: str) -> None:
        async with serving(event_reply(THEIR_EVENTS.partition(b'data: {"choices')[0])) as upstream:
            status, _, body = await asked(daemon, upstream, protocol)
        assert status == 502
        assert b"cut off" in body


@pytest.mark.parametrize("protocol", list(ASK))
@pytest.mark.parametrize("kind", [b"text/event-stream", b"text/plain"])
async def test_a_plain_answer_to_a_stream_that_says_it_is_something_else(
    daemon: Daemon, protocol: str, kind: bytes
) -> None:
    async with serving(event_reply(WHOLE, kind)) as upstream:
        status, headers, body = await asked(daemon, upstream, protocol, stream=True)
    assert status == 200, body
    assert headers["content-type"].startswith("text/event-stream")
    assert b"in one piece" in body
    assert ENDS[protocol] in body


@pytest.mark.parametrize("protocol", list(ASK))
async def test_while_a_rate_limit_rests_its_headers_are_told_on_and_the_wait_counts_down(
    daemon: Daemon, protocol: str
) -> None:
    limits = b"x-ratelimit-remaining-requests: 0\r\nanthropic-ratelimit-tokens-limit: 9\r\nx-request-id: theirs"
    refusal = b"HTTP/1.1 429 Slow\r\nretry-after: 30\r\n" + limits + b"\r\nContent-Length: 0\r\n\r\n"
    async with serving(refusal) as upstream:
        first = await asked(daemon, upstream, protocol)
        await asyncio.sleep(1.1)
        second = await asked(daemon, upstream, protocol, known=True)
        assert len(upstream.requests) == 1
    for status, headers, _ in (first, second):
        assert status == 429
        assert headers["x-ratelimit-remaining-requests"] == "0"
        assert headers["anthropic-ratelimit-tokens-limit"] == "9"
    assert int(first[1]["retry-after"]) == 30
    assert 1 <= int(second[1]["retry-after"]) < 30
    assert "x-request-id" in first[1]
    assert "x-request-id" not in second[1]  # it names another request


async def test_a_relayed_stream_of_responses_that_breaks_goes_on_counting(daemon: Daemon) -> None:
    begun = (
        b'event: response.created\ndata: {"type":"response.created","sequence_number":0,"response":{"model":"m"}}\n\n'
    )
    more = b'data: {"type":"response.output_text.delta","sequence_number":1,"output_index":0,"delta":"one"}\n\n'
    async with serving(event_reply(begun + more)) as upstream:
        status, _, body = await asked(daemon, upstream, "responses", "openai", stream=True)
    assert status == 200
    assert body.startswith(begun + more)
    told = [json.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: ")]
    assert [event["sequence_number"] for event in told] == [0, 1, 2, 3]
    assert [event["type"] for event in told[2:]] == ["error", "response.failed"]
