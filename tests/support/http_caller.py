"""A caller of a daemon's HTTP door, as plain as they come: it sends what it is told to and shows what came back."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from support.daemon import Daemon


@dataclass
class Got:
    """A reply.

    Attributes:
        status: HTTP status.
        headers: By lower-case name.
        body: Whole.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def events(self) -> list[tuple[str, Any]]:
        """The events of a stream: name and data, which is decoded where it is JSON."""
        found = []
        for block in self.body.decode().split("\n\n"):
            lines = [line.partition(": ") for line in block.split("\n") if line and not line.startswith(":")]
            if lines:
                fields = {name: value for name, _, value in lines}
                data = fields.get("data", "")
                found.append((fields.get("event", ""), json.loads(data) if data.startswith("{") else data))
        return found


@dataclass
class Door:
    """Callers of one daemon.

    Args:
        url: Where it is.
        token: What it asks for; None: none is shown.
        headers: Sent with every request.
    """

    url: str
    token: str | None
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, daemon: Daemon) -> Door:
        """The door of a daemon that runs."""
        return cls(daemon.url, daemon.token)

    def connect(self) -> http.client.HTTPConnection:
        """A connection of its own."""
        place = urlsplit(self.url)
        return http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)

    def all_headers(self, more: dict[str, str] | None = None) -> dict[str, str]:
        """What a request is sent with."""
        token = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return {"Content-Type": "application/json", **token, **self.headers, **(more or {})}

    def send(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Got:
        """Sends a request and reads its reply to the end."""
        connection = self.connect()
        try:
            data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            connection.request(method, path, data, self.all_headers(headers))
            reply = connection.getresponse()
            names = {name.lower(): value for name, value in reply.getheaders()}
            return Got(reply.status, names, reply.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Got:
        """GET; a header's name is written with `_` for `-`."""
        return self.send("GET", path, None, _named(headers))

    def post(self, path: str, body: Any, **headers: str) -> Got:
        """POST of JSON."""
        return self.send("POST", path, body, _named(headers))


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def chat(text: str, model: str = "custom:ok", **more: Any) -> dict[str, Any]:
    """A request in OpenAI's Chat Completions."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def message(text: str, model: str = "custom:ok", **more: Any) -> dict[str, Any]:
    """A request in Anthropic's Messages."""
    return {"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": text}], **more}


def response(text: str, model: str = "custom:ok", **more: Any) -> dict[str, Any]:
    """A request in OpenAI's Responses."""
    return {"model": model, "input": text, **more}
