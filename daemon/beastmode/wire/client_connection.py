"""One HTTP/1.1 connection to an upstream: a request out, its reply in, bounded; then fit for the next, or closed."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import Callable
from typing import cast

import aiohttp
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from multidict import CIMultiDict

from beastmode.wire.client_reply import NotHTTPError, Reply

MAX_HEAD_BYTES = 64 << 10
"""Of a reply's status and headers; also of anything that is no body between two pieces of it."""
PIECE_BYTES = 64 << 10
AT_ONCE_BYTES = 1 << 20
"""A request's body from this size on is written piece by piece."""
TIMER_SLACK_S = 0.002


class Silence:
    """Notices when nothing happens for too long; one timer outlives many exchanges, since setting one is dear.

    Args:
        broken: Told of it.
    """

    __slots__ = ("_at_s", "_broken", "_last_s", "_limit_s", "_loop", "_timer")

    def __init__(self, broken: Callable[[], None]) -> None:
        self._broken = broken
        self._loop = asyncio.get_running_loop()
        self._limit_s = self._last_s = self._at_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, limit_s: float) -> None:
        """Counts from now on.

        Args:
            limit_s: Longest silence.
        """
        self._limit_s = limit_s
        self.heard()
        if self._timer is None or self._at_s > self._last_s + limit_s:
            self.end()
            self._set()

    def heard(self) -> None:
        """Something happened."""
        self._last_s = self._loop.time()

    def end(self) -> None:
        """Counts no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self) -> None:
        self._at_s = self._last_s + self._limit_s
        self._timer = self._loop.call_at(self._at_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._loop.time() + TIMER_SLACK_S < self._last_s + self._limit_s:
            self._set()
        else:
            self._broken()


class Connection(asyncio.Protocol):
    """One connection; carries one exchange at a time.

    Args:
        released: Told when it is fit for the next exchange.
        lost: Told when it is closed, once.

    Attributes:
        heard: Something of the reply to the last request came.
        idle_since_s: The loop's clock when it was released.
        closed: Done when it is closed.
    """

    def __init__(self, released: Callable[[Connection], None], lost: Callable[[Connection], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._released = released
        self._lost = lost
        self._parser = HttpResponseParser(self)
        # As lenient as other clients: servers that are slightly off exist, and each has a connection of its own.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self._head: asyncio.Future[Reply] | None = None
        self._reply: Reply | None = None
        self._headers: CIMultiDict[str] = CIMultiDict()
        self._other_bytes = 0
        self._keep = self._until_close = self._whole = self._sending = self._surplus = self._forgetting = False
        self._paused = False
        self._full: asyncio.Future[None] | None = None
        self._blocked = False
        self._silence_s = 0.0
        self._silence = Silence(self._silent)
        self._drain_timer: asyncio.TimerHandle | None = None
        self.heard = False
        self.idle_since_s = 0.0
        self.closed: asyncio.Future[None] = self._loop.create_future()

    # -- the caller's side ----------------------------------------------------------------------------------------

    async def exchange(self, head: bytes, body: bytes, silence_s: float) -> Reply:
        """Sends a request and waits for the head of its reply.

        Args:
            head: Request line and headers, with their blank line.
            body: What follows.
            silence_s: Longest time in which nothing comes, or goes.

        Raises:
            TimeoutError: Nothing came for too long.
            aiohttp.ClientError: The connection broke, or what came is no HTTP.
        """
        if self._transport.is_closing():
            raise aiohttp.ServerDisconnectedError
        waiting: asyncio.Future[Reply] = self._loop.create_future()
        self._head = waiting
        self.heard = self._whole = self._surplus = self._forgetting = False
        self._other_bytes = 0
        self._silence_s = silence_s
        self._silence.begin(silence_s)
        try:
            if len(body) < AT_ONCE_BYTES:
                self._transport.write(head + body)
            else:
                await self._send(head, memoryview(body), waiting)
            return await waiting
        except BaseException:
            if not waiting.cancel() and not waiting.cancelled():
                waiting.exception()  # it was seen, whatever else is raised
            self.abort()
            raise

    async def _send(self, head: bytes, body: memoryview, waiting: asyncio.Future[Reply]) -> None:
        """Writes a large body as fast as it goes; one whose reply comes early is not sent to its end."""
        self._sending = True
        self._transport.write(head)
        for at in range(0, len(body), PIECE_BYTES):
            while self._blocked and not waiting.done():
                self._full = self._loop.create_future()
                await self._full
            if waiting.done():
                return
            self._transport.write(body[at : at + PIECE_BYTES])
            self._silence.heard()
        self._sending = False

    def resume(self) -> None:
        """Reads on, after what waited was taken."""
        if self._paused:
            self._paused = False
            self._silence.heard()
            self._transport.resume_reading()

    def drain(self, within_s: float) -> None:
        """Reads a reply that nobody wants to its end, where that comes soon."""
        self._forgetting = True
        if self._reply is not None:
            self._reply.forget()
        self.resume()
        self._drain_timer = self._loop.call_later(within_s, self.abort)

    def abort(self) -> None:
        """Closes the connection at once."""
        self._keep = False
        self._transport.abort()

    # -- the socket's side ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Takes what came; what comes unasked ends the connection."""
        if self._head is None:
            self.abort()
            return
        self.heard = True
        self._silence.heard()
        self._other_bytes += len(data)
        try:
            self._parser.feed_data(data)
            if self._other_bytes > MAX_HEAD_BYTES and not self._whole:
                raise HttpParserError(f"more than {MAX_HEAD_BYTES} bytes are no body")
        except (HttpParserError, HttpParserUpgrade) as error:
            self._surplus = True
            if not self._whole:
                self._fail(NotHTTPError(str(error)))
                return
        if self._whole:
            self._finish()
        elif self._reply is not None:
            self._reply.wake()

    def connection_lost(self, error: Exception | None) -> None:
        """Ends what is under way; a body that lasts until the end is whole now."""
        self._silence.end()
        if self._head is not None:
            if self._reply is not None and self._until_close and error is None:
                self._finish()
            else:
                self._fail(self._broken(error))
        if not self.closed.done():
            self.closed.set_result(None)
        self._lost(self)
        del self._parser, self._silence  # they hold what holds them

    def _broken(self, error: Exception | None) -> BaseException:
        if isinstance(error, ssl.SSLError):
            return error
        if self._reply is not None:
            return aiohttp.ClientPayloadError("the connection was closed in the middle of the reply")
        return aiohttp.ClientOSError(*error.args) if isinstance(error, OSError) else aiohttp.ServerDisconnectedError()

    def pause_writing(self) -> None:
        """The socket takes no more for now."""
        self._blocked = True

    def resume_writing(self) -> None:
        """The socket takes more again."""
        self._blocked = False
        self._unblock()

    def _unblock(self) -> None:
        full, self._full = self._full, None
        if full is not None and not full.done():
            full.set_result(None)

    # -- the parser's side ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A head begins; after the reply's end it is one that nobody asked for."""
        self._surplus = self._whole
        self._headers = CIMultiDict()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Notes a header; those that follow a body are of no interest."""
        if self._reply is None:
            self._headers.add(name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))

    def on_headers_complete(self) -> None:
        """Hands the head over; one that only says that another will follow is skipped."""
        status = self._parser.get_status_code()
        if self._surplus or 100 <= status < 200:
            return
        headers = self._headers
        self._keep = self._parser.should_keep_alive()
        self._until_close = not self._keep and _lasts_until_close(status, headers)
        self._reply = Reply(self, status, headers)
        assert self._head is not None
        if not self._head.done():
            self._head.set_result(self._reply)
        self._unblock()

    def on_body(self, data: bytes) -> None:
        """Takes a piece of the body."""
        if self._surplus or self._reply is None:
            return
        self._other_bytes = 0
        if self._forgetting:
            return
        try:
            room = self._reply.take(data)
        except (zlib.error, ValueError) as error:
            raise HttpParserError(f"the body can not be decompressed: {error}") from None
        if not room and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """The reply is whole."""
        self._whole = self._reply is not None

    # -- its end --------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Hands the end over and releases the connection, where nothing speaks against another exchange."""
        reply = self._end()
        if reply is not None:
            reply.end()
        if not self._keep or self._surplus or self._sending:
            self.abort()
            return
        self.resume()
        self.idle_since_s = self._loop.time()
        self._released(self)

    def _fail(self, error: BaseException) -> None:
        head, reply = self._head, self._end()
        if head is not None and not head.done():
            head.set_exception(error)
        if reply is not None:
            reply.end(error)
        self._unblock()
        self.abort()

    def _end(self) -> Reply | None:
        reply, self._reply, self._head = self._reply, None, None
        if self._drain_timer is not None:
            self._drain_timer.cancel()
            self._drain_timer = None
        return reply

    def _silent(self) -> None:
        if self._paused:  # it is we who do not listen
            self._silence.begin(self._silence_s)
        elif self._head is not None:
            self._fail(TimeoutError("nothing came"))


def _lasts_until_close(status: int, headers: CIMultiDict[str]) -> bool:
    """Whether a body ends where the connection does (RFC 9112, section 6.3)."""
    if status in (204, 304):
        return False
    coding = headers.get("Transfer-Encoding")
    return "Content-Length" not in headers if coding is None else "chunked" not in coding.lower()
