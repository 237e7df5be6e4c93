"""A provider that plays a model by a script, in Chat Completions and in Messages, and notes all that it was asked.

The model's name in the request chooses the script (`support.scripts.SCRIPTS`). It is a proper server on a real port,
in a thread of the test process; `support.provider_server` is the one that misbehaves.
"""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from support.provider_replies import ERROR_TYPES, Chat, Messages
from support.scripts import CONTINUED, Asked, Fail, Say, next_step

Reader = Callable[[dict[str, Any]], Asked]
DIMENSIONS = 4
SIGNATURE = "c2lnbmF0dXJl"


class ScriptedChat(Chat):
    """Chat Completions; no two calls of a conversation share an id, and it may think first."""

    thought = ""

    def tool_calls(self) -> list[dict[str, Any]]:
        turn = len(self.body["messages"])
        return [{**call, "id": f"{call['id']}_{turn}"} for call in super().tool_calls()]

    def whole(self) -> dict[str, Any]:
        reply = super().whole()
        if self.thought:
            reply["choices"][0]["message"]["reasoning_content"] = self.thought
        return reply

    def events(self) -> list[bytes]:
        first, *rest = super().events()
        delta = {"index": 0, "delta": {"reasoning_content": self.thought}, "finish_reason": None}
        return [first, *([self._event({"choices": [delta]})] if self.thought else []), *rest]


class ScriptedMessages(Messages):
    """Messages; nothing of a conversation shares an id (Claude Code takes it for the same), and it may think first."""

    thought = ""

    @property
    def id(self) -> str:
        return f"msg_{len(self.body['messages'])}"

    def tool_uses(self) -> list[dict[str, Any]]:
        turn = len(self.body["messages"])
        return [{**use, "id": f"{use['id']}_{turn}"} for use in super().tool_uses()]

    def whole(self) -> dict[str, Any]:
        reply = super().whole() | {"id": self.id}
        if self.thought:
            reply["content"].insert(0, {"type": "thinking", "thinking": self.thought, "signature": SIGNATURE})
        return reply

    def events(self) -> list[bytes]:
        start, ping, *rest = [json.loads(event.partition(b"\ndata: ")[2]) for event in super().events()]
        start["message"]["id"] = self.id
        if not self.thought:
            return [self._event(event) for event in (start, ping, *rest)]
        block = {"type": "thinking", "thinking": "", "signature": ""}
        deltas = [
            {"type": "thinking_delta", "thinking": self.thought},
            {"type": "signature_delta", "signature": SIGNATURE},
        ]
        events = [start, ping, {"type": "content_block_start", "index": 0, "content_block": block}]
        events += [self._delta(0, delta) for delta in deltas]
        events.append({"type": "content_block_stop", "index": 0})
        events += [{**event, "index": event["index"] + 1} if "index" in event else event for event in rest]
        return [self._event(event) for event in events]


HEADERS = {
    ScriptedChat: {"x-request-id": "req_upstream", "x-ratelimit-remaining-requests": "41"},
    ScriptedMessages: {"request-id": "req_upstream", "anthropic-ratelimit-requests-remaining": "41"},
}


@dataclass
class Call:
    """One request, as it arrived, and how it ended.

    Attributes:
        path: With its query.
        headers: By lower-case name.
        body: Decoded JSON.
        sent: How many events of a stream were sent.
        ended: `whole` once all was sent, `left` when its client went away; empty while it runs.
        ended_s: When, by the monotonic clock.
    """

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    sent: int = 0
    ended: str = ""
    ended_s: float = 0.0

    def end(self, how: str) -> None:
        """Notes the end; the first one counts."""
        if not self.ended:
            self.ended_s, self.ended = time.monotonic(), how


def asked_in_chat(body: dict[str, Any]) -> Asked:
    """Reads a request of Chat Completions."""
    asked = Asked(body["model"])
    for message in body["messages"]:
        if message["role"] == "user":
            asked.prompts.append(text_in(message["content"]))
            asked.results.clear()
        elif message["role"] == "tool":
            asked.results.append(text_in(message["content"]))
    functions = [tool["function"] for tool in body.get("tools") or []]
    asked.tools = {function["name"]: function.get("parameters", {}) for function in functions}
    choice = body.get("tool_choice")
    asked.forced = choice["function"]["name"] if isinstance(choice, dict) else first_if(choice == "required", asked)
    asked.schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema")
    return asked


def asked_in_messages(body: dict[str, Any]) -> Asked:
    """Reads a request of Messages."""
    asked = Asked(body["model"])
    for message in body["messages"]:
        if message["role"] != "user":
            continue
        blocks = message["content"] if isinstance(message["content"], list) else []
        results = [text_in(block.get("content")) for block in blocks if block["type"] == "tool_result"]
        if not results:
            asked.prompts.append(text_in(message["content"]))
            asked.results.clear()
        asked.results += results
    asked.tools = {tool["name"]: tool["input_schema"] for tool in body.get("tools") or [] if "input_schema" in tool}
    choice = body.get("tool_choice") or {}
    asked.forced = choice.get("name") or first_if(choice.get("type") == "any", asked)
    form = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    asked.schema = form.get("schema")
    return asked


def first_if(holds: bool, asked: Asked) -> str | None:
    """The first tool, where one must be called."""
    return next(iter(asked.tools)) if holds else None


def text_in(content: Any) -> str:
    """The text of a content, whichever shape it has."""
    if isinstance(content, list):
        return "\n".join(part.get("text", "") for part in content)
    return content or ""


class ScriptedProvider:
    """The server.

    Attributes:
        url: `http://127.0.0.1:PORT`, without /v1.
        calls: Every request that arrived, oldest first.
    """

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[Call] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True, name="scripted-provider")

    def __enter__(self) -> ScriptedProvider:
        self._thread.start()
        assert self._ready.wait(10), "the scripted provider did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def asked(self, script: str) -> list[Call]:
        """The calls of one script, oldest first."""
        return [call for call in self.calls if call.body.get("model") == script]

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/messages", self._messages)
        app.router.add_post("/v1/messages/count_tokens", self._count)
        app.router.add_post("/v1/completions", self._complete)
        app.router.add_post("/v1/embeddings", self._embed)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _note(self, request: web.Request) -> Call:
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(request.path_qs, headers, await request.json())
        self.calls.append(call)
        return call

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, asked_in_chat, ScriptedChat)

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, asked_in_messages, ScriptedMessages)

    async def _answer(
        self, request: web.Request, read: Reader, protocol: type[ScriptedChat | ScriptedMessages]
    ) -> web.StreamResponse:
        before = len(self.asked((await request.json())["model"]))
        call = await self._note(request)
        asked = read(call.body)
        asked.calls_before = before
        step = next_step(asked)
        try:
            reply = await self._send(request, call, step, protocol(call.body))
        except (asyncio.CancelledError, ConnectionError):
            call.end("left")
            raise
        call.end("whole")
        return reply

    async def _send(
        self, request: web.Request, call: Call, step: Say | Fail, talk: ScriptedChat | ScriptedMessages
    ) -> web.StreamResponse:
        headers = HEADERS[type(talk)]
        if isinstance(step, Fail):
            kind = ERROR_TYPES.get(step.status, "overloaded_error")
            later = {"retry-after": "1"} if step.status == 429 else {}
            return web.json_response(
                talk.error(f"the script says {step.status}", kind), status=step.status, headers=headers | later
            )
        talk.text, talk.calls, talk.thought = step.text, step.calls, step.thought
        talk.completion_tokens = len(talk.words()) or 1
        if not call.body.get("stream"):
            await asyncio.sleep(step.pause_s * len(talk.words()))
            return web.json_response(talk.whole(), headers=headers)
        stream = web.StreamResponse(headers={"content-type": "text/event-stream", **headers})
        await stream.prepare(request)
        events = talk.events()
        for event in events:
            if step.cut and call.sent > len(events) // 2 and request.transport is not None:
                request.transport.abort()
            await stream.write(event)
            call.sent += 1
            await asyncio.sleep(step.pause_s)
        await stream.write_eof()
        return stream

    async def _count(self, request: web.Request) -> web.Response:
        call = await self._note(request)
        call.end("whole")
        return web.json_response({"input_tokens": 4242})

    async def _complete(self, request: web.Request) -> web.Response:
        call = await self._note(request)
        call.end("whole")
        choice = {"index": 0, "text": CONTINUED, "finish_reason": "stop", "logprobs": None}
        reply = {"id": "cmpl-1", "object": "text_completion", "created": 1700000000, "model": call.body["model"]}
        usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
        return web.json_response(reply | {"choices": [choice], "usage": usage})

    async def _embed(self, request: web.Request) -> web.Response:
        call = await self._note(request)
        given = call.body["input"]
        texts = given if isinstance(given, list) else [given]
        vectors: list[Any] = [[float(len(text)), 0.0, 0.5, -1.0] for text in texts]
        if call.body.get("encoding_format") == "base64":
            vectors = [base64.b64encode(struct.pack(f"<{DIMENSIONS}f", *vector)).decode() for vector in vectors]
        data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
        usage = {"prompt_tokens": 3 * len(texts), "total_tokens": 3 * len(texts)}
        call.end("whole")
        return web.json_response({"object": "list", "data": data, "model": call.body["model"], "usage": usage})
