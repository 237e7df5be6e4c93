"""Calls to upstreams over kept-alive HTTP/1.1 connections; as guarded as the daemon's session, at a third of its cost.

It has what calling a model needs and no more: no redirects, no cookies, no proxies, no passwords from the environment.
Errors are those of aiohttp, so that `wire/faults.py` knows one kind only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp
from yarl import URL

from beastmode import __version__
from beastmode.core.addresses import KEEPALIVE_S, GuardedConnector, open_guarded_socket
from beastmode.wire.client_connection import Connection
from beastmode.wire.client_dialling import Dialler, Place
from beastmode.wire.client_reply import Reply

STALE_S = 1.0
"""A kept connection that the other side had closed breaks within this time; what breaks later was working on it."""
MAX_ROUTES = 1024
MAX_HEADS = 16
MAX_HEAD_BYTES = 2048
_DEFAULTS = {
    "user-agent": f"User-Agent: beastmode/{__version__}\r\n",
    "accept": "Accept: */*\r\n",
    "accept-encoding": "Accept-Encoding: identity\r\n",  # a compressed stream arrives in lumps; text is small
}
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect", "upgrade"})


class _Route:
    """One URL, prepared: its request line, the heads of its last requests, and the connections to its place."""

    __slots__ = ("_heads", "_target", "idle", "place")

    def __init__(self, url: URL, place: Place, idle: list[Connection]) -> None:
        self.place = place
        self.idle = idle
        self._target = f" {url.raw_path_qs or '/'} HTTP/1.1\r\nHost: {url.host_port_subcomponent}\r\n"
        self._heads: dict[tuple[object, ...], bytes] = {}

    def head(self, method: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
        """A request's first lines; but for the length of its body they are mostly those of the one before.

        Raises:
            ValueError: A header holds a line break.
        """
        key = (method, *headers.items())
        begun = self._heads.get(key)
        if begun is None:
            begun = _lines(method, self._target, headers)
            if len(self._heads) >= MAX_HEADS:
                self._heads.clear()
            if len(begun) <= MAX_HEAD_BYTES:
                self._heads[key] = begun
        return begun + b"\r\n" if body is None else b"%bContent-Length: %d\r\n\r\n" % (begun, len(body))


class Client:
    """Calls upstreams and keeps connections for the next call.

    Args:
        dialler: Opens connections.
        keepalive_s: How long a connection is kept without use.
    """

    def __init__(self, dialler: Dialler, keepalive_s: float = KEEPALIVE_S) -> None:
        self._dialler = dialler
        self._keepalive_s = keepalive_s
        self._routes: dict[URL, _Route] = {}
        self._idle: dict[Place, list[Connection]] = {}
        self._all: dict[Connection, list[Connection]] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    @classmethod
    def beside(cls, session: aiohttp.ClientSession) -> Client | None:
        """The client that shares a session's guards and its end; None for a session that was made elsewhere.

        Args:
            session: From `core.addresses.make_http_session`.
        """
        connector = session.connector
        if not isinstance(connector, GuardedConnector):
            return None
        if not isinstance(connector.companion, cls):
            connector.companion = cls(Dialler(connector.resolver, open_guarded_socket))
        return connector.companion

    async def request(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None, silence_s: float
    ) -> Reply:
        """Sends a request and gives the reply once its head has come.

        A kept connection that turns out to be dead, before a byte of the reply came, is replaced by a new one once.

        Args:
            method: GET or POST.
            url: An http or https URL.
            headers: What is sent beside the usual; those that frame the message are ours.
            body: What is sent; None: nothing.
            silence_s: Longest time in which nothing happens.

        Raises:
            TimeoutError: Nothing came for too long.
            ssl.SSLError: TLS failed.
            aiohttp.ClientError: Whatever else went wrong on the way.
            BeastError: The address is never called.
            ValueError: A header holds a line break.
        """
        if self._closed:
            raise RuntimeError("the HTTP client is closed")
        route = self._routes.get(url) or self._route(url)
        head = route.head(method, headers, body)
        while route.idle:
            connection = route.idle.pop()
            loop = asyncio.get_running_loop()
            began_s = loop.time()
            if began_s - connection.idle_since_s > self._keepalive_s:
                connection.abort()
                continue
            connection.heard = False
            try:
                return await connection.exchange(head, body or b"", silence_s)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if connection.heard or loop.time() - began_s > STALE_S:
                    raise
                break
        async with asyncio.timeout(silence_s):
            connection = await self._dialler.dial(route.place, lambda: Connection(self._release, self._forget))
        if not connection.closed.done():
            self._all[connection] = route.idle
        return await connection.exchange(head, body or b"", silence_s)

    async def close(self) -> None:
        """Closes every connection."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        connections = list(self._all)
        for connection in connections:
            connection.abort()
        if connections:
            await asyncio.wait([connection.closed for connection in connections], timeout=1.0)

    def _route(self, url: URL) -> _Route:
        if len(self._routes) >= MAX_ROUTES:
            self._routes.clear()
        place = Place(url)
        route = self._routes[url] = _Route(url, place, self._idle.setdefault(place, []))
        return route

    def _release(self, connection: Connection) -> None:
        idle = self._all.get(connection)
        if idle is None or self._closed:
            connection.abort()
            return
        idle.append(connection)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(self._keepalive_s, self._sweep)

    def _forget(self, connection: Connection) -> None:
        idle = self._all.pop(connection, None)
        if idle is not None and connection in idle:
            idle.remove(connection)

    def _sweep(self) -> None:
        """Closes connections that nobody used for long."""
        loop = asyncio.get_running_loop()
        before_s = loop.time() - self._keepalive_s
        for idle in self._idle.values():
            for connection in idle:
                if connection.idle_since_s <= before_s:
                    connection.abort()
        again = bool(self._all) and not self._closed
        self._sweeper = loop.call_later(self._keepalive_s / 2, self._sweep) if again else None


def _lines(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """A request's first lines, up to the length of its body.

    Raises:
        ValueError: A header holds a line break.
    """
    given = {name.lower(): f"{name}: {value}\r\n" for name, value in headers.items()}
    lines = [line for name, line in given.items() if name not in _OURS]
    own = "".join(lines)
    if not len(lines) == own.count("\n") == own.count("\r") or "\0" in own:
        raise ValueError("a header holds a line break")
    usual = "".join([line for name, line in _DEFAULTS.items() if name not in given])
    return f"{method}{target}{usual}{own}".encode()
