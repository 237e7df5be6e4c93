"""What the test provider server answers: a reply as bytes, for each way of behaving and each protocol."""

from __future__ import annotations

import email.utils
import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from support.provider_openai import OPENAI, Completions
from support.provider_openai import Chat as Chat
from support.provider_talks import STREAM_HEAD as STREAM_HEAD
from support.provider_talks import Talk, http, last_user_text, stream

if TYPE_CHECKING:
    from support.provider_server import ProviderServer, Seen

KEY_HEADERS = ("authorization", "x-api-key", "api-key")
MODELS = ["ok", "stream-slow", "hang", "tools"]
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
    for end, talk in OPENAI.items():
        if path.endswith(end):
            return behave(seen, server, talk(seen.body or {}))
    if path.endswith("/messages"):
        return behave(seen, server, Messages(seen.body or {}))
    return Reply([http({"error": {"message": f"no route {path}"}}, 404)])


def behave(seen: Seen, server: ProviderServer, talk: Talk) -> Reply:
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


def _status(talk: Talk, status: int, date: bool = False) -> Reply:
    headers = dict(talk.limits)
    if status == 429:
        headers["Retry-After"] = email.utils.formatdate(time.time() + 3, usegmt=True) if date else "1"
    return Reply(
        [http(talk.error(f"this is a test error {status}", ERROR_TYPES.get(status, "api_error")), status, headers)]
    )


def _echo_key(seen: Seen, server: ProviderServer, talk: Talk, number: int | None) -> Reply:
    keys = {name: value for name, value in seen.headers.items() if name in KEY_HEADERS}
    message = f"Incorrect API key provided: {' '.join(keys.values())}. " * 3
    return Reply([http({"error": {"message": message, "type": "authentication_error"}, "headers": keys}, 401)])


def _echo_prompt(seen: Seen, server: ProviderServer, talk: Talk, number: int | None) -> Reply:
    text = last_user_text(talk.body.get("messages", []))
    return Reply([http(talk.error(f"Rejected by the policy: {text!r} is not wanted", "invalid_request_error"), 400)])


def _cut(seen: Seen, server: ProviderServer, talk: Talk, number: int | None) -> Reply:
    raw = b"".join(talk.answer())
    return Reply([raw[: len(raw) * 2 // 3]], close=True)


def _hang_mid(seen: Seen, server: ProviderServer, talk: Talk, number: int | None) -> Reply:
    raw = b"".join(talk.answer())
    return Reply([raw[: len(raw) * 2 // 3]], hang=True)


def _drip(seen: Seen, server: ProviderServer, talk: Talk, number: int | None) -> Reply:
    raw = b"".join(talk.answer())
    return Reply([raw[i : i + 1] for i in range(len(raw))], pause_s=(number or 1) / 1000)


def _no_stream_options(seen: Seen, server: ProviderServer, talk: Talk, number: int | None) -> Reply:
    if "stream_options" in talk.body:
        return Reply([http(talk.error("unknown field: stream_options", "invalid_request_error"), 400)])
    return Reply([*talk.answer()])


def _no_completions(seen: Seen, server: ProviderServer, talk: Talk, number: int | None) -> Reply:
    if isinstance(talk, Completions):
        return Reply([http(talk.error("This is a chat model.", "invalid_request_error"), 404)])
    return Reply([*talk.answer()])


def _redirect(seen: Seen, server: ProviderServer, talk: Talk, number: int | None) -> Reply:
    place = f"http://127.0.0.1:{server.other_port}{seen.path}"
    return Reply([http({}, 307, {"Location": place})])


def _huge(seen: Seen, server: ProviderServer, talk: Talk, number: int | None) -> Reply:
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
    "no-completions": _no_completions,
    "no-stream-options": _no_stream_options,
    "garbage": lambda seen, server, talk, number: Reply([http(b"<html>It works!</html>")]),
    "bad-sse": lambda seen, server, talk, number: Reply([stream([b"data: {not json\n\n"])]),
    "error-mid": lambda seen, server, talk, number: Reply([stream([*talk.events()[:2], talk.error_event()])]),
    "stream-slow": lambda seen, server, talk, number: Reply([*talk.answer()], pause_s=(number or 5) / 1000),
    "too-long": lambda seen, server, talk, number: Reply([http(talk.too_long(), 400)]),
}


class Messages(Talk):
    """Anthropic's Messages."""

    limits = {"anthropic-ratelimit-requests-remaining": "99", "request-id": "req_mock"}

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
