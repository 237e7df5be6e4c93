"""What the protocols of the test provider server have in common: bytes of HTTP, and a request with its answer."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from typing import ClassVar

WEATHER = [("get_weather", {"city": "Bern"}), ("get_weather", {"city": "Genève"})]


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


class Talk(ABC):
    """A request, and the answer to it, in the words of one protocol.

    Attributes:
        limits: Headers of every reply.
    """

    limits: ClassVar[dict[str, str]] = {}

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
            return [http(self.whole(), 200, self.limits)]
        head = "".join(f"{name}: {value}\r\n" for name, value in self.limits.items()).encode()
        return [
            STREAM_HEAD.removesuffix(b"\r\n") + head + b"\r\n",
            *(chunked(event) for event in self.events()),
            chunked(b""),
        ]

    def words(self) -> list[str]:
        return re.findall(r"\s*\S+|\s+$", self.text)

    @abstractmethod
    def whole(self) -> dict: ...

    @abstractmethod
    def events(self) -> list[bytes]: ...

    @abstractmethod
    def error(self, message: str, kind: str) -> dict: ...

    def error_event(self) -> bytes:
        return b"event: error\ndata: " + json.dumps(self.error("overloaded", "overloaded_error")).encode() + b"\n\n"
