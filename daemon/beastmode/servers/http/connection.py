"""One client of the HTTP door: one request after the other, its patience, its pace, and what happens when it goes."""

from __future__ import annotations

import asyncio
import logging
import math
import select
import socket
import struct
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, cast

from beastmode.servers.http.gate import Refusal
from beastmode.servers.http.reading import Reader
from beastmode.servers.http.reply import CONTINUE, HttpExchange, whole

if TYPE_CHECKING:  # each names the other in a signature
    from beastmode.servers.http.server import HttpServer

log = logging.getLogger(__name__)

SLICE_BYTES = 16 << 10
HELD_MAX_BYTES = 64 << 10
HIGH_WATER_BYTES = 256 << 10
SHORT_BYTES = 64 << 10
_GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL | getattr(select, "POLLRDHUP", 0)
_RESET = struct.pack("ii", 1, 0)
_BROKEN = Refusal(500, "The request failed inside the daemon.", ("see the log: beast config path",))
_TOO_SLOW = Refusal(408, "The request did not come in time.", ("send it without pauses",))


class Connection(asyncio.Protocol):
    """One client.

    Args:
        server: Where it came to.

    Attributes:
        deadline_s: When its patience ends, by the server's coarse clock.
    """

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._limits = server.limits
        self._handle = server.handle
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = Reader(server.gate, server.limits, server, self._make)
        self._current: HttpExchange | None = None
        self._task: asyncio.Task[None] | None = None
        self._held = bytearray()
        self._serving = self._behind = self._paused = False
        self._deaf = False
        self._waits_for = ""
        self._body_end_s = math.inf
        self._unsent_bytes = 0
        self.deadline_s = server.now_s + server.limits.connect_s

    def _make(self) -> HttpExchange:
        return HttpExchange(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes note of the client."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self._server.add(self)
        if self._server.draining:
            self.abort()

    # -- in -------------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Takes bytes; what comes while a request is being answered waits."""
        if self._deaf:
            return
        if self._current is not None or self._behind or self._held:
            self._hold(data)
        else:
            self._feed(data)

    def _feed(self, data: bytes) -> None:
        """Reads requests and answers them; large pieces go in slices, so that a flood of requests ends at one."""
        if len(data) <= SLICE_BYTES:
            self._reader.feed(data)
            self._serve()
        else:
            view = memoryview(data)
            while view:
                self._reader.feed(view[:SLICE_BYTES])
                view = view[SLICE_BYTES:]
                served = bool(self._reader.done)
                self._serve()
                if self._deaf or self._reader.refusal is not None:
                    return
                if view and (served or self._behind):
                    self._hold(view)
                    if self._current is None and not self._behind:  # others have their turn first
                        self._loop.call_soon(self._go_on)
                    return
        if self._current is None:
            self._await_more()

    def _hold(self, data: bytes | memoryview) -> None:
        self._held += data
        if len(self._held) > HELD_MAX_BYTES and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
            self._server.watch(self)  # a loop that does not read does not see who leaves

    def _await_more(self) -> None:
        """Sets the time by which more of a request must be here, and lets a body come that waits for leave."""
        reader, limits, now_s = self._reader, self._limits, self._server.now_s
        if reader.in_head:
            if self._waits_for != "head":
                self._waits_for = "head"
                self.deadline_s = min(now_s + limits.head_s, self.deadline_s)
            return
        if not reader.in_body:
            return
        if self._waits_for != "body":
            self._waits_for = "body"
            self._body_end_s = now_s + limits.body_s
        self.deadline_s = min(now_s + limits.body_silence_s, self._body_end_s)
        if reader.expects and self._current is None and not self._behind:
            reader.expects = False
            self.send(CONTINUE)

    def _go_on(self) -> None:
        """Turns to what had to wait."""
        self._serve()
        if self._held and self._current is None and not self._behind and not self._deaf:
            held = bytes(self._held)
            self._held.clear()
            self._feed(held)
        if self._current is None:
            self._await_more()
        if self._paused and len(self._held) <= HELD_MAX_BYTES and self._transport is not None and not self._deaf:
            self._paused = False
            self._transport.resume_reading()

    # -- requests -------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        """Answers what is whole, one after the other, and at last what is refused."""
        reader = self._reader
        done, transport = reader.done, self._transport
        if transport is None or transport.is_closing():
            return
        self._serving = True
        while done and self._current is None and not self._behind and not self._deaf:
            self._answer(done.popleft())
            if transport.is_closing():
                done.clear()
        self._serving = False
        if reader.refusal is not None and not (done or self._current is not None or self._behind or self._deaf):
            self._dismiss(reader.refusal, reader.refused)

    def _answer(self, exchange: HttpExchange) -> None:
        self._current = exchange
        try:
            work = self._handle(exchange)
        except Exception:
            self._fail(exchange)
            return
        if work is not None:
            self.deadline_s = math.inf
            task = self._loop.create_task(self._finish(exchange, work))
            self._server.tasks.add(task)
            if not exchange.ended:
                self._task = task
        elif not exchange.ended:
            self._give_500(exchange)

    async def _finish(self, exchange: HttpExchange, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            exchange.cut()
        except Exception:
            self._fail(exchange)
        else:
            self._give_500(exchange)
        finally:
            task = asyncio.current_task()
            assert task is not None
            self._server.tasks.discard(task)

    def _fail(self, exchange: HttpExchange) -> None:
        log.exception("request failed", extra={"fields": {"method": exchange.method, "path": exchange.path}})
        self._give_500(exchange)

    def _give_500(self, exchange: HttpExchange) -> None:
        """Ends a reply that its handler did not end."""
        if exchange.ended:
            return
        if exchange.started:
            exchange.cut()
        else:
            exchange.reply(_BROKEN.status, self._server.body_of(_BROKEN, exchange.path))

    # -- out ------------------------------------------------------------------------------------------------------

    @property
    def date(self) -> bytes:
        """The line of the date."""
        return self._server.date

    @property
    def retiring(self) -> bool:
        """This connection takes no further request."""
        return self._server.draining

    def send(self, data: bytes) -> None:
        """Sends what belongs to a whole reply, or does nothing where the client has gone."""
        if self._transport is not None and not self._deaf:
            self._transport.write(data)

    def pour(self, data: bytes) -> None:
        """Sends a piece of a stream; cuts off who reads too slowly."""
        transport = self._transport
        if transport is None or self._deaf or transport.is_closing():
            return
        transport.write(data)
        if transport.get_write_buffer_size() > self._limits.unread_bytes:
            log.info("slow reader cut off")
            self._leave()
            transport.abort()

    @property
    def behind(self) -> bool:
        """Bytes wait that the client has not made room for."""
        return self._transport is not None and self._transport.get_write_buffer_size() > 0

    def keep_short(self) -> None:
        """Lets little wait on the way to a slow client."""
        if self._transport is not None:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SHORT_BYTES)

    def soon(self, exchange: HttpExchange) -> None:
        """Calls `flush` of this exchange in the next turn of the loop."""
        self._loop.call_soon(exchange.flush)

    def finished(self, exchange: HttpExchange) -> None:
        """Takes note that a reply has ended."""
        if self._current is not exchange:
            return
        self._current = self._task = None
        self._waits_for = ""
        if not exchange.keep_alive or self._server.draining:
            self._hang_up()
            return
        self.deadline_s = self._server.now_s + self._limits.idle_s
        if not self._serving and self._has_more():
            self._loop.call_soon(self._go_on)

    def _has_more(self) -> bool:
        """Something came, whole or in part, while a request was being answered."""
        reader = self._reader
        return bool(self._held or reader.done) or reader.in_head or reader.in_body or reader.refusal is not None

    def cut_off(self, exchange: HttpExchange) -> None:
        """Closes in the middle of a reply; where only the end of the connection ends it, by a reset."""
        transport = self._transport
        if self._current is not exchange or transport is None or self._deaf:
            return
        self._current = self._task = None
        if not exchange.old and exchange.started:
            self._close()
            return
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._deaf = True
        transport.abort()

    def _dismiss(self, refusal: Refusal, exchange: HttpExchange | None) -> None:
        """Says why, and closes; for a moment, what the client still sends is thrown away.

        A socket that is closed with unread input is reset, and then its peer may not see the reply.
        """
        path, method = (exchange.path, exchange.method) if exchange is not None else ("", "")
        body = self._server.body_of(refusal, path)
        parts = whole(
            refusal.status, body, refusal.headers, "application/json", self._server.date, b"connection: close\r\n"
        )
        self.send(b"".join(parts if method == "HEAD" else [*parts, body]))
        self._linger()

    def _hang_up(self) -> None:
        if self._held or self._reader.done:
            self._linger()
        else:
            self._close()

    def _linger(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._leave()
        self.deadline_s = self._server.now_s + self._limits.linger_s
        transport.write_eof()
        if self._paused:
            self._paused = False
            transport.resume_reading()

    def _close(self) -> None:
        """Closes once all that was written has left."""
        self._leave()
        self.deadline_s = self._server.now_s + self._limits.linger_s
        if self._transport is not None:
            self._transport.close()

    # -- pace and patience ----------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """The client reads slowly: the stream that it has goes on, another request waits."""
        self._behind = True

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._behind = False
        if not self._deaf:
            self._loop.call_soon(self._go_on)

    def expire(self) -> None:
        """Ends a connection whose patience is over, unless its client still takes in what it was sent."""
        transport = self._transport
        if transport is None:
            return
        unsent_bytes, before_bytes = transport.get_write_buffer_size(), self._unsent_bytes
        self._unsent_bytes = unsent_bytes
        if unsent_bytes and unsent_bytes != before_bytes:
            self.deadline_s = self._server.now_s + self._limits.linger_s
        elif self._deaf or unsent_bytes:
            self._leave()
            transport.abort()
        elif self._waits_for:
            self._dismiss(_TOO_SLOW, None)
        else:
            self._close()

    def retire(self) -> None:
        """Closes, unless a request is on its way or being answered; that ends the connection when it is answered."""
        if self._current is None and not self._reader.in_body and not self._deaf:
            self._hang_up()

    # -- the end --------------------------------------------------------------------------------------------------

    def left(self) -> bool:
        """Whether a client that is not read from has gone; what it had asked for is ended then."""
        transport = self._transport
        if transport is None or not self._paused:
            return True
        poll = select.poll()
        poll.register(transport.get_extra_info("socket").fileno(), _GONE)
        if not any(event & _GONE for _, event in poll.poll(0)):
            return False
        self.abort()
        return True

    def abort(self) -> None:
        """Ends the connection at once."""
        self._leave()
        if self._transport is not None:
            self._transport.abort()

    def eof_received(self) -> bool:
        """The client has gone: no program that waits for an answer closes its half of a connection."""
        self._leave()
        self.deadline_s = self._server.now_s + self._limits.linger_s
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Ends what the client had asked for."""
        self._leave()
        self._reader.close()
        self._transport = None
        self._server.forget(self)

    def _leave(self) -> None:
        """Takes and gives no more."""
        self._deaf = True
        self._held.clear()
        self._reader.forget()
        task, self._task, self._current = self._task, None, None
        if task is not None:
            # One turn of the loop later: a task that is cancelled before its first step would never run its `finally`.
            self._loop.call_soon(task.cancel, "shutting_down" if self._server.draining else "client_gone")
