"""The bytes of a reply: status line, headers, chunks; and the exchange that a handler answers through."""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import Protocol

import msgspec

from beastmode.servers.http.exchange import EVENTS, JSON, Exchange, Headers

PREFIXES_MAX = 256
JOIN_MAX_BYTES = 64 << 10
LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BODILESS = frozenset({204, 304})
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    415: "invalid_request_error",
}
_prefixes: dict[tuple[int, str], bytes] = {}


def default_refusal(path: str, status: int, message: str, tips: Sequence[str]) -> bytes:
    """The body of a refusal.

    Args:
        path: Of the request, empty where it is not known.
        status: Of the reply.
        message: What is wrong.
        tips: What to do about it.
    """
    text = " ".join([message, *(f"Tip: {tip}." for tip in tips)])
    kind = _TYPES.get(status) or ("server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else _TYPES[400])
    return msgspec.json.encode({"error": {"message": text, "type": kind, "code": status}})


def date_line(at_s: float) -> bytes:
    """The header that says when a reply was made.

    Args:
        at_s: Wall clock.
    """
    return f"date: {formatdate(at_s, usegmt=True)}\r\n".encode()


def whole(status: int, body: bytes, headers: Headers, content_type: str, date: bytes, ending: bytes) -> list[bytes]:
    """The head of a reply whose length is known, in parts.

    Args:
        status: Its status.
        body: Its body, which the head tells the length of.
        headers: Besides.
        content_type: Of the body.
        date: The line of the date.
        ending: The line that says whether the connection goes on, or nothing.
    """
    parts = [_prefix(status, content_type), date]
    if status not in _BODILESS:
        parts.append(b"content-length: %d\r\n" % len(body))
    parts += (ending, _lines(headers), b"\r\n") if headers else (ending, b"\r\n")
    return parts


def _prefix(status: int, content_type: str) -> bytes:
    """Status line and content type: there are few, so they are kept."""
    prefix = _prefixes.get((status, content_type))
    if prefix is None:
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:
            phrase = "Unknown"
        prefix = f"HTTP/1.1 {status} {phrase}\r\n".encode()
        if status not in _BODILESS:
            prefix += b"content-type: %b\r\n" % content_type.encode("latin-1", "replace")
        if len(_prefixes) >= PREFIXES_MAX:
            _prefixes.clear()
        _prefixes[status, content_type] = prefix
    return prefix


def _lines(headers: Headers) -> bytes:
    """Header lines; one that would smuggle in another is left out."""
    text = "".join([f"{name}: {value}\r\n" for name, value in headers])
    count = len(headers)
    if text.count("\n") != count or text.count("\r") != count or "\0" in text:
        clean = [(name, value) for name, value in headers if not any(mark in name + value for mark in "\r\n\0")]
        text = "".join([f"{name}: {value}\r\n" for name, value in clean])
    return text.encode("latin-1", "replace")


class Outlet(Protocol):
    """The connection, as far as a reply needs it."""

    @property
    def date(self) -> bytes:
        """The line of the date."""

    @property
    def retiring(self) -> bool:
        """This connection takes no further request."""

    def send(self, data: bytes) -> None:
        """Sends what belongs to a whole reply, or does nothing where the client has gone."""

    def pour(self, data: bytes) -> None:
        """Sends a piece of a stream; cuts off who reads too slowly."""

    @property
    def behind(self) -> bool:
        """Bytes wait that the client has not made room for."""

    def keep_short(self) -> None:
        """Lets little wait on the way to a slow client."""

    def soon(self, exchange: HttpExchange) -> None:
        """Calls `flush` of this exchange in the next turn of the loop."""

    def finished(self, exchange: HttpExchange) -> None:
        """Takes note that a reply has ended."""

    def cut_off(self, exchange: HttpExchange) -> None:
        """Closes in the middle of a reply."""


class HttpExchange(Exchange):
    """One request of a connection and its reply. After the reply has ended nothing is sent any more.

    Args:
        outlet: The connection.

    Attributes:
        keep_alive: The connection goes on after this reply.
        old: The client speaks HTTP/1.0.
        ended: The reply has ended.
    """

    __slots__ = ("_head", "_outlet", "_silent", "ended", "keep_alive", "old")

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._head = b""
        self._silent = False
        self.body = b""
        self.started = self.ended = False
        self.keep_alive = True
        self.old = False

    def reply(self, status: int, body: bytes, headers: Headers = (), content_type: str = JSON) -> None:
        """Sends a whole reply in one write; a reply to HEAD leaves without its body."""
        if self.started:
            return
        self.started = self.ended = True
        outlet = self._outlet
        parts = whole(status, body, headers, content_type, outlet.date, self._ending())
        if self.method != "HEAD" and status not in _BODILESS:
            if len(body) > JOIN_MAX_BYTES:
                outlet.send(b"".join(parts))
                parts = [body]
            else:
                parts.append(body)
        outlet.send(b"".join(parts) if len(parts) > 1 else parts[0])
        outlet.finished(self)

    def begin(self, status: int, headers: Headers = (), content_type: str = EVENTS) -> None:
        """Begins a reply whose length is not known; its head leaves with the first piece, or in the next turn."""
        if self.started:
            return
        self.started = True
        if self.old:  # the end of the connection is the end of the body
            self.keep_alive = False
        framing = b"" if self.old else b"transfer-encoding: chunked\r\n"
        prefix = _prefix(status, content_type)
        self._head = b"".join((prefix, self._outlet.date, framing, self._ending(), _lines(headers), b"\r\n"))
        self._silent = self.method == "HEAD"
        self._outlet.soon(self)

    def flush(self) -> None:
        """Sends the head, where no piece has taken it along."""
        head, self._head = self._head, b""
        if head:
            self._outlet.pour(head)

    def write(self, data: bytes) -> None:
        """Sends the next piece of it, at once; never waits. A client that lets too much lie unread is cut off."""
        if self._silent or self.ended or not self.started or not data:  # an empty chunk would be the end
            return
        head, self._head = self._head, b""
        self._outlet.pour(head + data if self.old else b"%b%x\r\n%b\r\n" % (head, len(data), data))

    @property
    def behind(self) -> bool:
        """Bytes wait here that the client has not made room for."""
        return self._outlet.behind

    def keep_short(self) -> None:
        """Lets little wait on the way to a slow client: of this stream only the newest piece counts."""
        self._outlet.keep_short()

    def end(self) -> None:
        """Ends it."""
        if self.ended or not self.started:
            return
        self.ended = True
        head, self._head = self._head, b""
        last = b"" if self._silent or self.old else LAST_CHUNK
        if head or last:
            self._outlet.send(head + last)
        self._outlet.finished(self)

    def cut(self) -> None:
        """Closes the connection in the middle of a reply, so that nobody takes it for whole."""
        if not self.ended:
            self.flush()
            self.ended = True
            self._outlet.cut_off(self)

    def _ending(self) -> bytes:
        if not self.keep_alive or self._outlet.retiring:
            self.keep_alive = False
            return b"connection: close\r\n"
        return b"connection: keep-alive\r\n" if self.old else b""
