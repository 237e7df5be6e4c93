"""One request over HTTP and its reply, as the handlers see it; the connection behind it is somebody else's business."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

Headers = Sequence[tuple[str, str]]

JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"


class Exchange(ABC):
    """One request and its reply.

    Attributes:
        method: In capitals.
        path: Percent-decoded, without its query.
        query: Parameters of the query; of several with one name the last.
        headers: By lower-case name; what came more than once is joined by a comma.
        body: Whole.
        started: The reply has begun to leave.
    """

    __slots__ = ("body", "headers", "method", "path", "query", "started")

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    started: bool

    @abstractmethod
    def reply(self, status: int, body: bytes, headers: Headers = (), content_type: str = JSON) -> None:
        """Sends a whole reply in one write; a reply to HEAD leaves without its body."""

    @abstractmethod
    def begin(self, status: int, headers: Headers = (), content_type: str = EVENTS) -> None:
        """Begins a reply whose length is not known."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Sends the next piece of it, at once; never waits. A client that lets too much lie unread is cut off."""

    @property
    @abstractmethod
    def behind(self) -> bool:
        """Bytes wait here that the client has not made room for."""

    @abstractmethod
    def keep_short(self) -> None:
        """Lets little wait on the way to a slow client: of this stream only the newest piece counts."""

    @abstractmethod
    def end(self) -> None:
        """Ends it."""

    @abstractmethod
    def cut(self) -> None:
        """Closes the connection in the middle of a reply, so that nobody takes it for whole."""


Handler = Callable[[Exchange], Coroutine[Any, Any, None] | None]
"""Answers a request, at once or in a coroutine; that is cancelled (`client_gone`) when its client leaves.

It never raises: what goes wrong is answered. One that ends without a reply is answered with 500 by the connection.
"""
