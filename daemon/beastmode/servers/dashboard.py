"""The dashboard on the HTTP port: its page, its files, its stream of changes, and the few methods that it may call."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from typing import Any

import msgspec

from beastmode.core.errors import BeastError
from beastmode.servers.access import SESSION_S
from beastmode.servers.http.exchange import JSON, Exchange
from beastmode.servers.http.gate import DASHBOARD
from beastmode.servers.http.headers import of_error, status_of
from beastmode.servers.inside import Inside
from beastmode.servers.jsonrpc import InvalidRequestError
from beastmode.servers.live import Frame, Viewer
from beastmode.servers.methods.table import METHODS
from beastmode.servers.services import Caller, Services
from beastmode.servers.view import view_of

API = f"{DASHBOARD}/api/"
EVENTS = f"{DASHBOARD}/events"
CALLABLE = frozenset(
    {
        *("requests.get", "requests.list", "requests.explain", "errors.recent", "models.list", "models.test"),
        *("cache.stats", "cache.reject", "cache.top", "metrics.get", "cost.report", "health.get", "prices.list"),
    }
)
BODY_MAX_BYTES = 64 << 10
OPEN_FILES = frozenset({"signed-out.css", "icon.svg"})
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_GUARDS = [
    ("content-security-policy", _POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
]
_NEVER_KEPT = [*_GUARDS, ("cache-control", "no-store")]


class Dashboard:
    """Answers everything below `/dashboard`; the gate has looked at Host and Origin.

    Args:
        services: The daemon's parts.
        inside: What the dashboard works with.
    """

    def __init__(self, services: Services, inside: Inside) -> None:
        self._services = services
        self._access = inside.access
        self._live = inside.live
        self._files = inside.files

    def __call__(self, exchange: Exchange) -> Coroutine[Any, Any, None] | None:
        """Answers a request."""
        path, method = exchange.path, exchange.method
        wanted = "POST" if path.startswith(API) else "GET"
        if method != wanted and (method, wanted) != ("HEAD", "GET"):
            self._refuse(exchange, 405, f"{path[:100]} takes {wanted}.", [("allow", wanted)])
            return None
        if path == DASHBOARD and "ticket" in exchange.query and method == "GET":
            return self._enter(exchange)
        inside = self._access.admits(self._session(exchange))
        if path == DASHBOARD:
            return self._file(exchange, "index.html") if inside else self._turn_away(exchange)
        name = path.removeprefix(f"{DASHBOARD}/")
        if not inside and name not in OPEN_FILES:
            self._refuse(exchange, 401, "The dashboard is not open in this browser: run `beast dashboard`.")
            return None
        if path == EVENTS:
            return self._events(exchange)
        if path.startswith(API):
            return self._call(exchange, path.removeprefix(API))
        return self._file(exchange, name)

    @property
    def _cookie(self) -> str:
        """Named after the port, since browsers send a cookie to every port of a host."""
        url = self._services.http.url if self._services.http is not None else None
        return f"beast_dashboard_{(url or '').rpartition(':')[2]}"

    def _session(self, exchange: Exchange) -> str | None:
        for pair in exchange.headers.get("cookie", "").replace(",", ";").split(";"):
            name, _, value = pair.strip().partition("=")
            if name == self._cookie:
                return value
        return None

    # -- the page -------------------------------------------------------------------------------------------------

    async def _enter(self, exchange: Exchange) -> None:
        """Takes a ticket for a cookie, and goes on without the ticket in the address."""
        session = self._access.redeem(exchange.query["ticket"])
        if session is None and not self._access.admits(self._session(exchange)):
            await self._turn_away(exchange, 403)
            return
        headers = [("location", DASHBOARD), *_NEVER_KEPT]
        if session is not None:
            kept = f"Path={DASHBOARD}; Max-Age={SESSION_S}; HttpOnly; SameSite=Strict"
            headers.append(("set-cookie", f"{self._cookie}={session}; {kept}"))
        exchange.reply(303, b"", headers, "text/plain")

    async def _turn_away(self, exchange: Exchange, status: int = 401) -> None:
        """Says how to get in."""
        await self._files.load()
        file = self._files.get("signed-out.html" if status == 401 else "used-ticket.html")
        assert file is not None
        exchange.reply(status, file.content, _NEVER_KEPT, file.content_type)

    async def _file(self, exchange: Exchange, name: str) -> None:
        await self._files.load()
        file = self._files.get(name)
        if file is None:
            self._refuse(exchange, 404, f"The dashboard has no {name[:100]}.")
            return
        headers = [*_GUARDS, ("etag", file.etag), ("cache-control", "no-cache")]
        if exchange.headers.get("if-none-match") == file.etag:
            exchange.reply(304, b"", headers)
        else:
            exchange.reply(200, file.content, headers, file.content_type)

    # -- the stream -----------------------------------------------------------------------------------------------

    async def _events(self, exchange: Exchange) -> None:
        """Streams what changes in a view until its viewer goes."""
        try:
            view = view_of(exchange.query)
        except BeastError as error:
            self._fail(exchange, error)
            return
        await self._files.load()
        exchange.begin(200, [*_GUARDS, ("cache-control", "no-store")])
        if exchange.method == "HEAD":
            exchange.end()
            return
        exchange.keep_short()
        exchange.write(b"retry: 500\n\n")
        viewer = Browser(exchange)
        self._live.watch(view, viewer)
        try:
            await viewer.left
        finally:
            self._live.forget(view, viewer)
        exchange.end()

    # -- methods --------------------------------------------------------------------------------------------------

    def _call(self, exchange: Exchange, name: str) -> Coroutine[Any, Any, None] | None:
        """Runs one of the daemon's methods; only the page itself may ask."""
        if "origin" not in exchange.headers:  # the gate has looked whether it is ours
            self._refuse(exchange, 403, "Only the dashboard's own page may ask this.")
        elif len(exchange.body) > BODY_MAX_BYTES:
            self._refuse(exchange, 413, "The request is too large.")
        elif name not in CALLABLE or name not in METHODS:
            self._refuse(exchange, 404, f"The dashboard has no method {name[:100]}.")
        else:
            return self._run(exchange, name)
        return None

    async def _run(self, exchange: Exchange, name: str) -> None:
        caller = Caller(f"uid:{os.getuid()}", client="dashboard")
        try:
            method = METHODS[name]
            result = method.run(self._services, caller, method.decode(msgspec.Raw(exchange.body or b"{}")))
            if asyncio.iscoroutine(result):
                result = await result
        except InvalidRequestError as error:
            self._refuse(exchange, 400, str(error))
        except BeastError as error:
            self._fail(exchange, error)
        else:
            exchange.reply(200, msgspec.json.encode(result), _NEVER_KEPT)

    def _fail(self, exchange: Exchange, error: BeastError) -> None:
        body = {"error": {"message": error.message, **error.data()}}
        exchange.reply(status_of(error), msgspec.json.encode(body), [*_NEVER_KEPT, *of_error(error)], JSON)

    @staticmethod
    def _refuse(exchange: Exchange, status: int, message: str, headers: list[tuple[str, str]] | None = None) -> None:
        body = {"error": {"message": message, "tip": ["beast dashboard"]}}
        exchange.reply(status, msgspec.json.encode(body), [*_NEVER_KEPT, *(headers or [])], JSON)


class Browser(Viewer):
    """A page that listens.

    Args:
        exchange: Its stream.

    Attributes:
        left: Done when there is nothing more to send.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.left: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def ready(self) -> bool:
        """Has taken in what was sent."""
        return not self._exchange.behind

    def show(self, frame: Frame) -> None:
        """Sends a frame."""
        self._exchange.write(frame.event)

    def ping(self, at_s: float) -> None:
        """Says that nothing changed."""
        self._exchange.write(b'event: ping\ndata: {"at_s":%.3f}\n\n' % at_s)

    def leave(self) -> None:
        """Ends the stream; the page finds out why when it comes again."""
        if not self.left.done():
            self.left.set_result(None)
