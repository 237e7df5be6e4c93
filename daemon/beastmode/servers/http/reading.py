"""From bytes to requests: what is malformed, too large or refused at the gate ends here, and is never handed on."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol
from urllib.parse import parse_qsl, unquote

import httptools
import msgspec

from beastmode.servers.http.gate import Gate, Refusal
from beastmode.servers.http.reply import HttpExchange

log = logging.getLogger(__name__)

NAMES_MAX = 1024
FRAMING_MAX_BYTES = 128 << 10
FRAMING_FACTOR = 16
_SINGLE = (
    "host",
    "authorization",
    "x-api-key",
    "content-type",
    "content-length",
    "transfer-encoding",
    "origin",
    "expect",
    "sec-fetch-site",
    "x-beast-cache",
    "x-beast-max-cost-usd",
    "x-beast-project",
    "x-beast-session-id",
    "x-beast-user",
)
_ONCE = frozenset(_SINGLE)
_SERVED = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY")
_METHODS = {name.encode(): name for name in _SERVED}
_names: dict[bytes, str] = {}
_paths: dict[bytes, str] = {}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may cost."""

    head_bytes: int = 64 << 10
    headers: int = 100
    url_bytes: int = 8 << 10
    body_bytes: int = 32 << 20
    unfinished_bytes: int = 256 << 20
    unread_bytes: int = 16 << 20
    connections: int = 1024
    connect_s: float = 30.0
    head_s: float = 10.0
    body_silence_s: float = 10.0
    body_s: float = 120.0
    idle_s: float = 75.0
    linger_s: float = 2.0
    sweep_s: float = 0.5


class Load(Protocol):
    """What all connections together hold."""

    unfinished_bytes: int


OFFERED = "h2c"
"""The protocol that programs of the JDK offer with each request; nobody is bound to take it."""

_OFFERS = frozenset({"upgrade", "http2-settings", "connection"})


class _StopError(Exception):
    """Ends the parser; why is in `Reader.refusal`."""


class Reader:
    """Takes the bytes of one connection; it is the target of the parser's callbacks.

    Args:
        gate: Looks at each head.
        limits: How much of everything.
        load: Counts unfinished bodies of all connections.
        make: Makes the exchange of a request.

    Attributes:
        done: Whole requests, the oldest first.
        refusal: Why no more are read; it comes after what is done.
        refused: The exchange whose head was refused; None where not even that could be read.
        in_head: A head has begun and is not whole.
        in_body: A body is awaited.
        expects: The client waits for leave to send its body.
    """

    def __init__(self, gate: Gate, limits: Limits, load: Load, make: Callable[[], HttpExchange]) -> None:
        self._check = gate.check
        self._limits = limits
        self._load = load
        self._make = make
        self.done: deque[HttpExchange] = deque()
        self.refusal: Refusal | None = None
        self.refused: HttpExchange | None = None
        self.in_head = self.in_body = self.expects = False
        self._url = b""
        self._headers: dict[str, str] = {}
        self._exchange: HttpExchange | None = None
        self._pieces: list[bytes] = []
        self._header_count = self._head_bytes = self._body_bytes = self._framing_bytes = 0
        self._chunked = False
        self._offering = b""
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes | memoryview) -> None:
        """Reads on; never raises."""
        known = self.in_head
        try:
            self._parse(data)
        except httptools.HttpParserInvalidMethodError:
            self._give_up(Refusal(501, "There is no such method.", ("use GET, HEAD or POST",)))
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self.refusal is None and isinstance(error, httptools.HttpParserCallbackError):
                log.error("request could not be read", exc_info=error.__context__)
            self._give_up(Refusal(400, f"This is no proper HTTP/1.1 request: {error}.", ("look at what sent it",)))
        if self.in_head and known:
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.head_bytes:
                self._give_up(self._too_large_head())
        elif self._chunked and self.in_body:
            self._framing_bytes += len(data)
            if self._framing_bytes > FRAMING_MAX_BYTES + FRAMING_FACTOR * self._body_bytes:
                self._give_up(Refusal(400, "There is far more around the chunks than in them.", ("send larger ones",)))

    def _parse(self, data: bytes | memoryview) -> None:
        """Feeds the parser; a request that offers another protocol is read again without its offer.

        The parser takes what follows such a head for the other protocol, its body too.
        """
        while data:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                if not self._offering:
                    raise
                self._parser = httptools.HttpRequestParser(self)
                data = self._offering + data[offer.args[0] :]
                self._offering = b""
            else:
                return

    def _without_offer(self) -> bytes:
        """The head of a request, without the headers by which it offers another protocol."""
        kept = [f"{name}: {value}" for name, value in self._headers.items() if name not in _OFFERS]
        line = b"%b %b HTTP/%b" % (self._parser.get_method(), self._url, self._parser.get_http_version().encode())
        return b"\r\n".join([line, *(one.encode("latin-1") for one in kept), b"", b""])

    def forget(self) -> None:
        """Lets go of what is unfinished."""
        self._load.unfinished_bytes -= self._body_bytes
        self._body_bytes = 0
        self._pieces = []
        self.done.clear()

    def close(self) -> None:
        """Reads no more; what holds the connection, and is held by it, is let go of."""
        self.forget()
        del self._parser, self._make

    def _give_up(self, refusal: Refusal) -> None:
        if self.refusal is None:
            self.refusal = refusal
            self.refused = self._exchange
        self.in_head = self.in_body = self.expects = False

    def _stop(self, status: int, message: str, *tips: str) -> None:
        self._give_up(Refusal(status, message, tips))
        raise _StopError

    # -- what the parser calls ------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request line begins."""
        self.in_head = True
        self._exchange = None
        self._url = b""
        self._headers = {}
        self._header_count = self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        self._url = self._url + url if self._url else url
        if len(self._url) > self._limits.url_bytes:
            self._stop(414, f"The URL has over {self._limits.url_bytes} bytes.", "send what is long in the body")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which nobody asked for."""
        self._header_count += 1
        if self._header_count > self._limits.headers:
            self._stop(431, f"There are over {self._limits.headers} headers.", "send fewer")
        if not self.in_head:
            return
        key = _names.get(name) or _name(name)
        text = value.decode("latin-1").rstrip(" \t")
        headers = self._headers
        if key in headers:
            if key in _ONCE:
                self._stop(400, f"The header {key} came twice.", "send it once")
            text = f"{headers[key]}, {text}"
        headers[key] = text

    def on_headers_complete(self) -> None:
        """The head is whole: now the request comes in, or it does not."""
        if self._headers.get("upgrade", "").lower() == OFFERED and self._parser.should_upgrade():
            self._offering = self._without_offer()
            return
        exchange = self._exchange = self._make()
        headers = exchange.headers = self._headers
        exchange.method = _METHODS.get(self._parser.get_method(), "")
        exchange.path, exchange.query = "", {}
        version = self._parser.get_http_version()
        if not exchange.method:
            status = 400 if self._parser.get_method() == b"CONNECT" else 501
            self._stop(status, f"The method {self._parser.get_method().decode()} is not served.", "use GET or POST")
        if version != "1.1":
            exchange.old = True
            if version != "1.0":
                self._stop(505, f"HTTP/{version} is not spoken here.", "speak HTTP/1.1")
        if self._head_bytes and self._exact_head_bytes() > self._limits.head_bytes:
            self._give_up(self._too_large_head())
            raise _StopError
        exchange.keep_alive = self._parser.should_keep_alive()
        self._read_target(exchange)
        refusal = self._check(exchange.method, exchange.path, headers)
        if refusal is not None:
            self._give_up(refusal)
            raise _StopError
        self.in_head = False
        self.in_body = True
        self._expect_body(exchange)

    def on_body(self, piece: bytes) -> None:
        """A piece of the body."""
        count = len(piece)
        self._body_bytes += count
        self._load.unfinished_bytes += count
        self._pieces.append(piece)
        if self._body_bytes > self._limits.body_bytes:
            self._too_large_body()
        if self._load.unfinished_bytes > self._limits.unfinished_bytes:
            self._give_up(Refusal(503, "Too much is being sent at once.", ("try again",), (("retry-after", "1"),)))
            raise _StopError

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._offering:
            return
        exchange, pieces = self._exchange, self._pieces
        assert exchange is not None
        if pieces:
            exchange.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self._load.unfinished_bytes -= self._body_bytes
            self._body_bytes = 0
            self._pieces = []
        self.in_body = self.expects = self._chunked = False
        self._exchange = None
        self.done.append(exchange)

    # -- parts of a head ------------------------------------------------------------------------------------------

    def _read_target(self, exchange: HttpExchange) -> None:
        url = self._url
        if b"#" in url:
            self._stop(400, "The URL has a fragment, which is the client's own business.", "leave out what follows #")
        if "host" not in exchange.headers:
            self._stop(400, "There is no Host header.", "send one")
        if not url.startswith(b"/") and url != b"*":
            url = self._own_target(url, exchange.headers["host"])
        raw, mark, query = url.partition(b"?")
        path = _paths.get(raw)
        exchange.path = _path(raw) if path is None else path
        if not exchange.path:
            self._stop(400, "The path holds what no path can hold.", "percent-encode UTF-8")
        if mark:
            exchange.query = dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True))

    def _own_target(self, url: bytes, host: str) -> bytes:
        """The path of a whole URL, such as proxies are sent; we are none."""
        scheme, _, rest = url.decode("latin-1").partition("://")
        named, slash, path = rest.partition("/")
        if scheme.lower() != "http" or named.lower() != host.lower():
            self._stop(400, "The URL names another host than the Host header.", "this is no proxy; send the path alone")
        return (slash + path).encode("latin-1") or b"/"

    def _expect_body(self, exchange: HttpExchange) -> None:
        headers = exchange.headers
        self._framing_bytes = 0
        if "transfer-encoding" in headers:
            if exchange.old or headers["transfer-encoding"].lower() != "chunked":
                self._stop(400, "Only the transfer encoding `chunked` of HTTP/1.1 is read.", "send a Content-Length")
            self._chunked = True
        if "upgrade" in headers and self._parser.should_upgrade():
            self._stop(400, "This connection can not become another.", "switch WebSockets off: HTTP/1.1")
        if headers.get("content-encoding", "identity").lower() != "identity":
            self._stop(415, "A compressed body is not read here.", "switch compression off in the program that sent it")
        if int(headers.get("content-length", "0")) > self._limits.body_bytes:
            self._too_large_body()
        if "expect" in headers:
            if headers["expect"].lower() != "100-continue":
                self._stop(417, "Nothing but `100-continue` can be expected.", "leave the header Expect out")
            self.expects = not exchange.old and (self._chunked or headers.get("content-length", "0") != "0")

    def _exact_head_bytes(self) -> int:
        return len(self._url) + sum(len(name) + len(value) + 4 for name, value in self._headers.items())

    def _too_large_head(self) -> Refusal:
        return Refusal(431, f"The headers have over {self._limits.head_bytes} bytes.", ("send fewer or shorter ones",))

    def _too_large_body(self) -> None:
        self._stop(413, f"The body has over {self._limits.body_bytes} bytes.", "send less at once")


def _name(raw: bytes) -> str:
    """The lower-case name of a header; there are few, so they are kept."""
    name = raw.decode("latin-1").lower()
    if len(_names) >= NAMES_MAX:
        _names.clear()
    _names[raw] = name
    return name


def _path(raw: bytes) -> str:
    """The decoded path; nothing where it can not be decoded."""
    try:
        path = unquote(raw.decode("ascii"), errors="strict")
    except ValueError:
        return ""
    if not path.isprintable():
        return ""
    if len(_paths) >= NAMES_MAX:
        _paths.clear()
    _paths[raw] = path
    return path
