"""What the test provider server answers: a reply as bytes, for each way of behaving and each protocol."""

from __future__ import annotations

import email.utils
import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.provider_server import ProviderServer, Seen

KEY_HEADERS = ("authorization", "x-api-key", "api-key")
MODELS = ["ok", "stream-slow", "hang", "tools"]
WEATHER = [("get_weather", {"city": "Bern"}), ("get_weather", {"city": "Genève"})]
ERROR_TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error"}
ERROR_TYPES |= {404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error", 529: "overloaded_error"}


@dataclass
class Reply:
    """Bytes to send, and how.

    Attributes:
        pieces: Written one after the other.
        pause_s: Wait after each piece; None: no wait at all.
        latency_s: Wait before the first.
        close: Close the connection after the last.
        hang: Keep it open and send nothing more.
    """

    pieces: list[bytes] = field(default_factory=list)
    pause_s: float | None = None
    latency_s: float = 0.0
    close: bool = False
    hang: bool = False


def reply_for(seen: Seen, server: ProviderServer) -> Reply:
    """Chooses the reply to a request."""
    path = seen.path.partition("?")[0]
    if path == "/stats":
        return Reply([http(server.stats())])
    if path == "/reset":
        server.reset()
        return Reply([http({})])
    refusal = re.fullmatch(r"/no-list/(\d+)/models", path)
    if refusal:
        return Reply([http({"detail": "no list here"}, int(refusal[1]))])
    if any("wrong" in seen.headers.get(name, "") for name in KEY_HEADERS):
        return Reply([http({"error": {"message": "Invalid API key"}}, 401)])
    if path.endswith("/models"):
        return Reply([http({"object": "list", "data": [{"id": name} for name in MODELS]})])
    if path.endswith("/chat/completions"):
        return behave(seen, server, Chat(seen.body or {}))
    if path.endswith("/messages"):
        return behave(seen, server, Messages(seen.body or {}))
    return Reply([http({"error": {"message": f"no route {path}"}}, 404)])


def behave(seen: Seen, server: ProviderServer, talk: Chat | Messages) -> Reply:
    """Behaves as the model's name says."""
    name, number = re.fullmatch(r"(.*?)(?:-(\d+))?", talk.model).groups()
    status = re.fullmatch(r"e(\d{3})(-date)?", talk.model)
    if status:
        return _status(talk, int(status[1]), bool(status[2]))
    if name == "flaky" and server.counts.by_model[talk.model] <= int(number or 1):
        return _status(talk, 503)
    special = SPECIAL.get(name)
    if special is not None:
        return special(seen, server, talk, int(number) if number else None)
    return Reply([*talk.answer()], latency_s=int(number or 0) / 1000 if name == "latency" else 0.0)


def _status(talk: Chat | Messages, status: int, date: bool = False) -> Reply:
    headers = {}
    if status == 429:
        headers["Retry-After"] = email.utils.formatdate(time.time() + 3, usegmt=True) if date else "1"
    return Reply(
        [http(talk.error(f"this is a test error {status}", ERROR_TYPES.get(status, "api_error")), status, headers)]
    )


def _echo_key(seen: Seen, server: ProviderServer, talk: Chat | Messages, number: int | None) -> Reply:
    keys = {name: value for name, value in seen.headers.items() if name in KEY_HEADERS}
    message = f"Incorrect API key provided: {' '.join(keys.values())}. " * 3
    return Reply([http({"error": {"message": message, "type": "authentication_error"}, "headers": keys}, 401)])


def _echo_prompt(seen: Seen, server: ProviderServer, talk: Chat | Messages, number: int | None) -> Reply:
    text = last_user_text(talk.body.get("messages", []))
    return Reply([http(talk.error(f"Rejected by the policy: {text!r} is not wanted", "invalid_request_error"), 400)])


def _cut(seen: Seen, server: ProviderServer, talk: Chat | Messages, number: int | None) -> Reply:
    raw = b"".join(talk.answer())
    return Reply([raw[: len(raw) * 2 // 3]], close=True)


def _hang_mid(seen: Seen, server: ProviderServer, talk: Chat | Messages, number: int | None) -> Reply:
    raw = b"".join(talk.answer())
    return Reply([raw[: len(raw) * 2 // 3]], hang=True)


def _drip(seen: Seen, server: ProviderServer, talk: Chat | Messages, number: int | None) -> Reply:
    raw = b"".join(talk.answer())
    return Reply([raw[i : i + 1] for i in range(len(raw))], pause_s=(number or 1) / 1000)


def _no_stream_options(seen: Seen, server: ProviderServer, talk: Chat | Messages, number: int | None) -> Reply:
    if "stream_options" in talk.body:
        return Reply([http(talk.error("unknown field: stream_options", "invalid_request_error"), 400)])
    return Reply([*talk.answer()])


def _redirect(seen: Seen, server: ProviderServer, talk: Chat | Messages, number: int | None) -> Reply:
    place = f"http://127.0.0.1:{server.other_port}{seen.path}"
    return Reply([http({}, 307, {"Location": place})])


def _huge(seen: Seen, server: ProviderServer, talk: Chat | Messages, number: int | None) -> Reply:
    block = b"x" * (1 << 20)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (64 * len(block))
    return Reply([head, *([block] * 64)], pause_s=0)


SPECIAL = {
    "hang": lambda seen, server, talk, number: Reply(hang=True),
    "drop": lambda seen, server, talk, number: Reply(close=True),
    "hang-mid": _hang_mid,
    "drip": _drip,
    "cut": _cut,
    "echo-key": _echo_key,
    "echo-prompt": _echo_prompt,
    "redirect": _redirect,
    "huge": _huge,
    "no-stream-options": _no_stream_options,
    "garbage": lambda seen, server, talk, number: Reply([http(b"<html>It works!</html>")]),
    "bad-sse": lambda seen, server, talk, number: Reply([stream([b"data: {not json\n\n"])]),
    "error-mid": lambda seen, server, talk, number: Reply([stream([*talk.events()[:2], talk.error_event()])]),
    "stream-slow": lambda seen, server, talk, number: Reply([*talk.answer()], pause_s=(number or 5) / 1000),
    "too-long": lambda seen, server, talk, number: Reply([http(talk.too_long(), 400)]),
}


def http(body: object, status: int = 200, headers: dict[str, str] | None = None) -> bytes:
    """A whole reply with a length."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    extra = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    kind = "text/html" if isinstance(body, bytes) else "application/json"
    return f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(raw)}\r\n{extra}\r\n".encode() + raw


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunked(piece: bytes) -> bytes:
    """One chunk of a stream; an empty one ends it."""
    return b"%x\r\n%s\r\n" % (len(piece), piece)


def stream(events: list[bytes]) -> bytes:
    """A whole stream in one write."""
    return STREAM_HEAD + b"".join(chunked(event) for event in [*events, b""])


def last_user_text(messages: list[dict]) -> str:
    """The last text a user said, whichever shape the content has."""
    for message in reversed(messages):
        content = message.get("content")
        if message.get("role") == "user":
            if isinstance(content, str):
                return content
            return "".join(part.get("text", "") for part in content or [])
    return ""


class Talk:
    """A request, and the answer to it, in the words of one protocol."""

    def __init__(self, body: dict) -> None:
        self.body = body
        self.model = body.get("model", "")
        self.text = f"You said: {last_user_text(body.get('messages', []))}"
        self.calls = {"tools": WEATHER[:1], "parallel-tools": WEATHER}.get(self.model, [])
        self.prompt_tokens = len(json.dumps(body.get("messages", []), ensure_ascii=False)) // 4 + 1
        self.completion_tokens = len(self.text.split())

    def answer(self) -> list[bytes]:
        """The good reply, as pieces: one event each when it is a stream."""
        if not self.body.get("stream"):
            return [http(self.whole())]
        return [STREAM_HEAD, *(chunked(event) for event in self.events()), chunked(b"")]

    def words(self) -> list[str]:
        return re.findall(r"\s*\S+|\s+$", self.text)

    def whole(self) -> dict:
        raise NotImplementedError

    def events(self) -> list[bytes]:
        raise NotImplementedError

    def error(self, message: str, kind: str) -> dict:
        raise NotImplementedError

    def error_event(self) -> bytes:
        return b"event: error\ndata: " + json.dumps(self.error("overloaded", "overloaded_error")).encode() + b"\n\n"


class Chat(Talk):
    """Chat Completions."""

    def finish(self) -> str:
        return "length" if self.model == "length" else "tool_calls" if self.calls else "stop"

    def usage(self) -> dict:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }

    def tool_calls(self) -> list[dict]:
        return [
            {"id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
            for i, (name, given) in enumerate(self.calls)
        ]

    def whole(self) -> dict:
        message = {"role": "assistant", "content": None if self.calls else self.text}
        if self.calls:
            message["tool_calls"] = self.tool_calls()
        reply = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1700000000,
            "model": self.model,
            "choices": [{"index": 0, "message": message, "finish_reason": self.finish(), "logprobs": None}],
        }
        return reply if self.model == "no-usage" else reply | {"usage": self.usage()}

    def events(self) -> list[bytes]:
        deltas = [{"role": "assistant", "content": ""}]
        deltas += [] if self.calls else [{"content": word} for word in self.words()]
        for i, call in enumerate(self.tool_calls()):
            text = call["function"]["arguments"]
            deltas.append({"tool_calls": [{"index": i, **call, "function": {**call["function"], "arguments": ""}}]})
            deltas += [{"tool_calls": [{"index": i, "function": {"arguments": part}}]} for part in (text[:5], text[5:])]
        events = [self._event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}) for delta in deltas]
        events.append(self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": self.finish()}]}))
        if (self.body.get("stream_options") or {}).get("include_usage") and self.model != "no-usage":
            events.append(self._event({"choices": [], "usage": self.usage()}))
        return [*events, b"data: [DONE]\n\n"]

    def _event(self, fields: dict) -> bytes:
        head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": self.model}
        return b"data: " + json.dumps(head | fields).encode() + b"\n\n"

    def error(self, message: str, kind: str) -> dict:
        return {"error": {"message": message, "type": kind, "param": None, "code": None}}

    def too_long(self) -> dict:
        message = "This model's maximum context length is 8192 tokens."
        return {"error": {"message": message, "type": "invalid_request_error", "code": "context_length_exceeded"}}


class Messages(Talk):
    """Anthropic's Messages."""

    def stop_reason(self) -> str:
        return "max_tokens" if self.model == "length" else "tool_use" if self.calls else "end_turn"

    def tool_uses(self) -> list[dict]:
        return [
            {"type": "tool_use", "id": f"toolu_{i}", "name": name, "input": given}
            for i, (name, given) in enumerate(self.calls)
        ]

    def whole(self) -> dict:
        reply = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": self.tool_uses() or [{"type": "text", "text": self.text}],
            "stop_reason": self.stop_reason(),
            "stop_sequence": None,
        }
        return reply if self.model == "no-usage" else reply | {"usage": self.usage(self.completion_tokens)}

    def usage(self, output_tokens: int) -> dict:
        """A third of the prompt was read from the prompt cache: `input_tokens` leaves it out."""
        read = self.prompt_tokens // 3
        return {
            "input_tokens": self.prompt_tokens - read,
            "cache_read_input_tokens": read,
            "cache_creation_input_tokens": 0,
            "output_tokens": output_tokens,
        }

    def events(self) -> list[bytes]:
        start = {"id": "msg_1", "type": "message", "role": "assistant", "model": self.model, "content": []}
        end = {"type": "message_delta", "delta": {"stop_reason": self.stop_reason(), "stop_sequence": None}}
        if self.model != "no-usage":
            start["usage"] = self.usage(1)
            end["usage"] = {"output_tokens": self.completion_tokens}
        events = [{"type": "message_start", "message": start}, {"type": "ping"}]
        if not self.calls:
            events.append({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
            events += [self._delta(0, {"type": "text_delta", "text": word}) for word in self.words()]
            events.append({"type": "content_block_stop", "index": 0})
        for i, use in enumerate(self.tool_uses()):
            given = json.dumps(use["input"])
            events.append({"type": "content_block_start", "index": i, "content_block": {**use, "input": {}}})
            events += [self._delta(i, {"type": "input_json_delta", "partial_json": p}) for p in (given[:5], given[5:])]
            events.append({"type": "content_block_stop", "index": i})
        return [self._event(event) for event in [*events, end, {"type": "message_stop"}]]

    def _delta(self, index: int, delta: dict) -> dict:
        return {"type": "content_block_delta", "index": index, "delta": delta}

    def _event(self, event: dict) -> bytes:
        return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()

    def error(self, message: str, kind: str) -> dict:
        return {"type": "error", "error": {"type": kind, "message": message}}

    def too_long(self) -> dict:
        return self.error("prompt is too long: 210000 tokens > 200000 maximum", "invalid_request_error")
