"""What the door leaves alone between a caller and an upstream of one protocol: bytes, their order and their pace."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from support.daemon import Daemon
from support.http_caller import Door
from support.raw_upstream import Server, serving

ODD = (
    b'{ "zeta": 1.50, "model" : "MODEL",\n "max_tokens":64, "messages": [ {"content":"caf\xc3\xa9 \\u00e9", "x":{"b":1,'
    b'"a":-0.0}, "role":"user"} ], "unknown": {"k": [1e2]}'
)
CHAT_REPLY = b'{"odd": [1.0, 1e3], "choices": [{"index":0,"message":{"role":"assistant","content":"hi"},"odd":null}]}'
MESSAGE_REPLY = b'{"odd": 1.0, "type": "message", "content": [{"type":"text","text":"hi"}], "stop_reason":"end_turn"}'
PLAIN = {
    "custom": ("/v1/chat/completions", CHAT_REPLY),
    "anthropic": ("/v1/messages", MESSAGE_REPLY),
}
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\r\n\r\n'
EVENTS = [
    b': a comment\r\n\r\ndata: {"choices":[{"index":0,"delta":{"content":"one"}}], "odd": 1.0}\r\n\r\n',
    b'id: 7\r\nevent: x\r\ndata: {"choices":[{"index":0,"delta":{"content":"two"},"finish_reason":"stop"}]}\r\n\r\n',
    USAGE,
    b"data: [DONE]\r\n\r\n",
]


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with Daemon("[upstream]\nmax_attempts = 1\n") as one:
        yield one


@asynccontextmanager
async def asking(
    daemon: Daemon, upstream: Server, body: bytes, kind: str = "custom"
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Registers the upstream under a name of its own and asks it."""
    name, door = f"{kind}:p{upstream.port}", Door.of(daemon)
    base = f"http://127.0.0.1:{upstream.port}"
    daemon.add(name, f"{base}/v1", upstream_model="theirs", key="sk-theirs")
    async with (
        aiohttp.ClientSession(headers=door.all_headers({"anthropic-beta": "b-1"})) as session,
        session.post(door.url + PLAIN[kind][0], data=body.replace(b"MODEL", name.encode())) as reply,
    ):
        assert reply.status == 200, await reply.read()
        yield reply


@pytest.mark.parametrize("kind", list(PLAIN))
async def test_a_request_and_its_reply_stay_as_they_are_but_for_model_and_key(daemon: Daemon, kind: str) -> None:
    reply = PLAIN[kind][1]
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(reply)
    async with serving(head + reply) as upstream, asking(daemon, upstream, ODD + b" }\n", kind) as got:
        assert await got.read() == reply
    sent, _, body = upstream.requests[0].partition(b"\r\n\r\n")
    assert body == ODD.replace(b"MODEL", b"theirs") + b" }\n"
    assert b"sk-theirs" in sent
    assert daemon.token.encode() not in sent
    assert (b"anthropic-beta: b-1" in sent) is (kind == "anthropic")


@pytest.mark.parametrize(
    ("options", "sent", "told"),
    [
        (b"", b',"stream_options":{"include_usage":true} }', False),
        (b', "stream_options": null', b', "stream_options": {"include_usage":true} }', False),
        (b', "stream_options": {"x": 1}', b', "stream_options": {"x":1,"include_usage":true} }', False),
        (b', "stream_options": {"include_usage": true}', b', "stream_options": {"include_usage": true} }', True),
    ],
)
async def test_a_stream_is_asked_for_its_usage_which_only_those_see_who_asked(
    daemon: Daemon, options: bytes, sent: bytes, told: bool
) -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + b"".join(EVENTS)
    async with (
        serving(reply) as upstream,
        asking(daemon, upstream, ODD + b', "stream": true' + options + b" }") as got,
    ):
        body = await got.read()
    assert body == b"".join(event for event in EVENTS if told or event is not USAGE)
    asked = ODD.replace(b"MODEL", b"theirs") + b', "stream": true' + sent
    assert upstream.requests[0].partition(b"\r\n\r\n")[2] == asked


async def test_each_event_is_there_before_the_next_is_sent(daemon: Daemon) -> None:
    seen = asyncio.Event()

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for event in EVENTS:
            writer.write(event)
            if event is not USAGE:
                await asyncio.wait_for(seen.wait(), 20)
                seen.clear()

    async with serving(answer) as upstream, asking(daemon, upstream, ODD + b', "stream": true }') as got:
        for event in (EVENTS[0], EVENTS[1], EVENTS[3]):
            assert await asyncio.wait_for(got.content.readexactly(len(event)), 20) == event
            seen.set()


async def test_what_one_protocol_streamed_another_gets_in_its_own(daemon: Daemon) -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + b"".join(EVENTS)
    body = b'{"model":"MODEL","max_tokens":9,"messages":[{"role":"user","content":"q"}],"stream":true}'
    async with serving(reply) as upstream, asking(daemon, upstream, body) as got:
        await got.read()
    door = Door.of(daemon)
    asked: dict[str, Any] = {"model": f"custom:p{upstream.port}", "max_tokens": 9, "stream": True}
    hit = door.post("/v1/messages", {**asked, "messages": [{"role": "user", "content": "q"}]})
    assert hit.headers["x-beast-cache"] == "hit_exact"
    assert b"[DONE]" not in hit.body
    start = next(data for name, data in hit.events if name == "message_start")["message"]["usage"]
    assert (start["input_tokens"], start["output_tokens"]) != (0, 0)
    assert json.dumps(hit.events[-1][1]) == '{"type": "message_stop"}'


THINKING = b'"thinking":{"type":"adaptive"}'
START = (
    b'event: message_start\ndata: {"type": "message_start", "odd": 1.0, "message": {"id":"m1", "model" : "theirs-2026",'
    b' "content":[], "usage":{"input_tokens":3}}}\n\n'
)
REST = (
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"thinking",'
    b'"thinking":"the \\"model\\": \\"theirs-2026\\"","signature":"s"}}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    b'"usage":{"output_tokens":1}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n'
)


class TestTheNameOfTheModel:
    """Claude Code sends thoughts back only where the answer bears the very name that it asked by."""

    @pytest.mark.parametrize("thinks", [True, False])
    async def test_a_stream_with_thoughts_bears_the_callers_name_and_no_other_byte_changes(
        self, daemon: Daemon, thinks: bool
    ) -> None:
        reply = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + START + REST
        body = ODD + b', "stream": true' + (b"," + THINKING if thinks else b"") + b" }"
        async with serving(reply) as upstream, asking(daemon, upstream, body, "anthropic") as got:
            name = b"anthropic:p%d" % upstream.port
            start = START.replace(b"theirs-2026", name) if thinks else START
            assert await got.read() == start + REST
            assert got.headers["x-beast-model"] == name.decode()

    @pytest.mark.parametrize("thinks", [True, False])
    async def test_so_does_a_plain_answer(self, daemon: Daemon, thinks: bool) -> None:
        reply = b'{"model" : "theirs-2026", ' + MESSAGE_REPLY[1:]
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(reply)
        body = ODD + (b"," + THINKING if thinks else b"") + b" }"
        async with serving(head + reply) as upstream, asking(daemon, upstream, body, "anthropic") as got:
            name = b"anthropic:p%d" % upstream.port
            assert await got.read() == (reply.replace(b"theirs-2026", name) if thinks else reply)

    async def test_an_alias_is_such_a_name_for_answers_and_hits_but_not_for_another_model(self) -> None:
        reply = b'{"model" : "theirs-2026", ' + MESSAGE_REPLY[1:]
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(reply)
        aliases = '[routing.aliases]\n"claude-*" = "anthropic:m"\n"any" = "auto"\n'
        async with serving(head + reply) as upstream:
            with Daemon(aliases) as daemon:
                daemon.add("anthropic:m", f"http://127.0.0.1:{upstream.port}/v1", upstream_model="theirs", key="k")
                door, asked = Door.of(daemon), {"max_tokens": 9, "thinking": {"type": "adaptive"}}
                asked["messages"] = [{"role": "user", "content": "q"}]

                def named(model: str) -> str:
                    got = door.post("/v1/messages", {**asked, "model": model})
                    assert got.headers["x-beast-model"] == "anthropic:m"
                    return str(got.json["model"])

                told = await asyncio.to_thread(lambda: [named(one) for one in ("claude-x", "claude-y", "m", "any")])
                assert told == ["claude-x", "claude-y", "m", "theirs-2026"]
