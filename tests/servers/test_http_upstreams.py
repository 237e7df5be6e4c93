"""Upstreams that answer otherwise than they were asked: what their callers get, through a real port."""

from __future__ import annotations

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


async def asked(daemon: Daemon, upstream: Server, protocol: str, **more: Any) -> tuple[int, dict[str, str], bytes]:
    """Registers the upstream under a name of its own, asks it, and gives what came back."""
    name = f"custom:p{upstream.port}"
    daemon.add(name, f"http://127.0.0.1:{upstream.port}/v1", upstream_model="m")
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
