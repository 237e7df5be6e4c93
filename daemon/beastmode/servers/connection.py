"""One client of the socket: cuts its bytes into lines, bounds what it can cost, and notices when it is gone."""

from __future__ import annotations

import asyncio
import os
import select
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from beastmode.core.errors import AccessError
from beastmode.servers import jsonrpc
from beastmode.servers.dispatch import Dispatch

if TYPE_CHECKING:  # each names the other in a signature
    from beastmode.servers.rpc import RpcServer

LINE_MAX_BYTES = 16 << 20
UNFINISHED_MAX_BYTES = 256 << 20
UNREAD_MAX_BYTES = 64 << 20
HIGH_WATER_BYTES = 1 << 20
LINES_PER_TURN = 64
LINGER_S = 2.0


class Connection(asyncio.Protocol):
    """One client.

    Args:
        server: The socket it came to.
    """

    def __init__(self, server: RpcServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._dispatch: Dispatch | None = None
        self._buffer = bytearray()
        self._backlog: deque[bytes] = deque()
        self._outgoing: list[bytes] | None = None
        self._caught_up: list[Callable[[], None]] = []
        self._closed = asyncio.get_running_loop().create_future()
        self.behind = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admits the user's own processes only."""
        self._transport = cast(asyncio.Transport, transport)
        uid = self._server.read_peer(transport.get_extra_info("socket"))
        if uid != os.getuid():
            who = "unknown" if uid is None else f"user {uid}"
            refusal = AccessError(
                f"This socket serves user {os.getuid()} only; you are {who}.",
                tips=["run a daemon of your own: beast start"],
            )
            self._dismiss(jsonrpc.encode_beast_error(jsonrpc.NULL_ID, refusal))
            return
        self._transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self._dispatch = Dispatch(self._server.services, f"uid:{uid}", self)
        self._server.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Takes bytes; a flood of lines is worked off a few at a time, so that others are served in between."""
        if self._dispatch is None:
            return
        lines = self._cut(data)
        if self._backlog or len(lines) > LINES_PER_TURN:
            first = not self._backlog
            self._backlog.extend(lines)
            if first:
                self._work_off()
        elif lines:
            self._serve(lines)
        too_much = len(self._buffer) > LINE_MAX_BYTES or self._server.unfinished_bytes > UNFINISHED_MAX_BYTES
        if too_much and self._dispatch is not None:
            self._give_up()

    def _cut(self, data: bytes) -> list[bytes]:
        """Splits off whole lines; what has no newline yet waits in the buffer."""
        buffer = self._buffer
        before = len(buffer)
        if b"\n" not in data:
            buffer += data
            self._server.unfinished_bytes += len(data)
            return []
        if before:
            buffer += data
            data = bytes(buffer)
            buffer.clear()
        lines = data.split(b"\n")
        buffer += lines.pop()
        self._server.unfinished_bytes += len(buffer) - before
        return lines

    def _work_off(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing() or self._dispatch is None:
            self._backlog.clear()
            return
        self._serve([self._backlog.popleft() for _ in range(min(LINES_PER_TURN, len(self._backlog)))])
        if self._backlog:
            transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._work_off)
        elif not self.behind:
            transport.resume_reading()

    def _serve(self, lines: list[bytes]) -> None:
        """Serves whole lines; what is answered at once leaves in one write."""
        assert self._dispatch is not None
        self._outgoing = []
        too_long = False
        for line in lines:
            if too_long := len(line) > LINE_MAX_BYTES:
                break
            self._dispatch.line(line)
        outgoing, self._outgoing = self._outgoing, None
        if outgoing and self._transport is not None:
            self._transport.write(b"\n".join(outgoing) + b"\n")
        if too_long:
            self._give_up()

    def send(self, line: bytes) -> None:
        """Sends a line; a client that lets too much lie unread is cut off."""
        if self._outgoing is not None:
            self._outgoing.append(line)
        elif self._dispatch is not None and self._transport is not None and not self._transport.is_closing():
            self._transport.write(line + b"\n")
            if self._transport.get_write_buffer_size() > UNREAD_MAX_BYTES:
                self._transport.abort()

    def _give_up(self) -> None:
        error = jsonrpc.encode_error(
            jsonrpc.NULL_ID,
            jsonrpc.INVALID_REQUEST,
            f"A line may hold {LINE_MAX_BYTES} bytes; this connection is closed.",
            {"tip": ["send less in one request, and end each with a newline"]},
        )
        self._dismiss(error)

    def _dismiss(self, line: bytes) -> None:
        """Sends a last line and closes; for a moment, what the client still sends is thrown away.

        A socket that is closed with unread input is reset, and then its peer may not see the last line.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._forget_requests()
        transport.write(line + b"\n")
        transport.write_eof()
        transport.resume_reading()
        asyncio.get_running_loop().call_later(LINGER_S, transport.abort)

    def _forget_requests(self) -> None:
        self._server.unfinished_bytes -= len(self._buffer)
        self._buffer.clear()
        self._backlog.clear()
        if self._dispatch is not None:
            self._dispatch.hang_up()
            self._dispatch = None

    # -- flow -----------------------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """The client reads too slowly: nothing more is read from it."""
        self.behind = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.behind = False
        waiting, self._caught_up = self._caught_up, []
        for callback in waiting:
            callback()
        if self._transport is not None and not self._transport.is_closing() and not self._backlog:
            self._transport.resume_reading()

    def when_caught_up(self, callback: Callable[[], None]) -> None:
        """Calls back once a client that is behind has caught up."""
        self._caught_up.append(callback)

    # -- the end --------------------------------------------------------------------------------------------------

    def eof_received(self) -> bool:
        """Keeps answering a client that has only closed its sending half."""
        if self._dispatch is None or not (self._dispatch.busy or self._backlog):
            return False
        self._server.watch(self)
        return True

    def ended(self) -> bool:
        """Closes a half-open connection when its peer has hung up or has all its answers; says whether it did."""
        transport = self._transport
        if transport is None:
            return True
        poll = select.poll()
        poll.register(transport.get_extra_info("socket").fileno(), 0)
        if any(event & (select.POLLHUP | select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0)):
            transport.abort()
        elif self._dispatch is not None and (self._dispatch.busy or self._backlog):
            return False
        else:
            transport.close()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """Ends what the client had asked for."""
        self._server.forget(self)
        self._transport = None
        if not self._closed.done():
            self._closed.set_result(None)
        self._forget_requests()

    async def close(self) -> None:
        """Closes once everything written so far has been sent."""
        if self._transport is not None:
            self._transport.close()
            await self._closed
