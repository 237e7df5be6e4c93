"""The connections of editors: who may connect, a server object for each, messages in, messages out, the end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from lsprotocol.types import ErrorCodes

from beastmode.core.errors import ShuttingDownError
from beastmode_lsp.frames import BadFrameError, Frames, encode, frame
from beastmode_lsp.server import EditorServer

log = logging.getLogger(__name__)

MAX_UNREAD_BYTES = 64 * 1024 * 1024
FAREWELL_S = 1.0
SWEEP_S = 10.0
GOODBYE = "The daemon restarts or ends, and did not answer any more."

PeerReader = Callable[[socket.socket], int | None]
MakeServer = Callable[[Callable[[], None]], EditorServer]


class Connections:
    """All editors that are connected.

    Args:
        make_server: Makes the server object of a connection, given how to hang up.
        read_peer: Tells a peer's user id.
        own_uid: The only user who may connect.
    """

    def __init__(self, make_server: MakeServer, read_peer: PeerReader, own_uid: int) -> None:
        self.make_server = make_server
        self._read_peer = read_peer
        self._own_uid = own_uid
        self.open: set[Connection] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._ending: set[asyncio.Task[None]] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._server: asyncio.Server | None = None

    async def start(self, listening: socket.socket) -> None:
        """Accepts editors.

        Args:
            listening: A bound socket.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: Connection(self), sock=listening, backlog=128)

    def may_enter(self, connection: socket.socket) -> bool:
        """Whether the user at the other end is ours."""
        return self._read_peer(connection) == self._own_uid

    def enter(self, connection: Connection) -> None:
        """Takes note of a connection."""
        self.open.add(connection)
        self._empty.clear()

    def leave(self, connection: Connection, farewell: Coroutine[Any, Any, None] | None) -> None:
        """Forgets a connection.

        Args:
            connection: It has gone.
            farewell: What is still to be done for it.
        """
        self.open.discard(connection)
        if not self.open:
            self._empty.set()
        if self._sweep is None:  # a server object holds on to itself in circles, and the collector is slow to look
            self._sweep = asyncio.get_running_loop().call_later(SWEEP_S, self._collect)
        if farewell is not None:
            task = asyncio.get_running_loop().create_task(farewell)
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def _collect(self) -> None:
        self._sweep = None
        gc.collect()

    async def stop(self) -> None:
        """Accepts nobody any more, ends all work and closes every connection once what was written is out."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.open):
            connection.say_goodbye()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await self._empty.wait()
        for connection in list(self.open):
            connection.abort()
        if self._ending:
            await asyncio.wait(set(self._ending), timeout=FAREWELL_S)


class Connection(asyncio.Protocol):
    """One editor.

    Args:
        connections: Those it is one of.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._frames = Frames()
        self._server: EditorServer | None = None
        self._closing = False
        self._again: asyncio.Handle | None = None

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Lets the editor in, if its user is ours."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.enter(self)
        if not self._connections.may_enter(transport.get_extra_info("socket")):
            log.warning("a foreign user was turned away")
            self._closing = True
            transport.abort()
            return
        self._server = self._connections.make_server(self.close)
        self._server.protocol.set_writer(self)

    def data_received(self, data: bytes) -> None:
        """Takes what came."""
        if self._closing:
            return
        self._frames.feed(data)
        if self._again is None:
            self._work()
        else:
            self._transport.pause_reading()  # there is enough to do

    def connection_lost(self, exc: Exception | None) -> None:
        """The editor has gone: all its work ends."""
        self._closing = True
        if self._again is not None:
            self._again.cancel()
        self._connections.leave(self, None if self._server is None else self._server.close())

    # -- messages

    def _work(self) -> None:
        """Takes one message; what it asks for begins before the next one is taken, and other editors have their turn.

        A request is about the documents as they were told before it, even where a change follows at once.
        """
        assert self._server is not None
        self._again = None
        if self._server.chew():
            self._again = self._loop.call_soon(self._work)
            return
        try:
            body = self._frames.take()
            if body is None:
                self._transport.resume_reading()
                return
            self._server.protocol.receive(body)
        except BadFrameError as error:
            self._refuse(error.sentence)
            return
        if not self._closing:
            self._again = self._loop.call_soon(self._work)

    def write(self, data: bytes) -> None:
        """Sends a message; an editor that reads nothing for long is cut off."""
        if self._closing:
            return
        self._transport.write(frame(data))
        if self._transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            log.warning("an editor that reads nothing was cut off", extra={"fields": self._who()})
            self.abort()

    def _refuse(self, sentence: str) -> None:
        """What comes can not be understood any more: says so and closes."""
        log.warning("a connection was closed", extra={"fields": {**self._who(), "why": sentence}})
        error = {"code": ErrorCodes.ParseError.value, "message": f"{sentence} The connection is closed."}
        self.write(encode({"jsonrpc": "2.0", "id": None, "error": error}))
        self.close()

    def _who(self) -> dict[str, str]:
        return {"client": self._server.client_name if self._server is not None else ""}

    # -- the end

    def close(self) -> None:
        """Closes once what was written is out, or a second has passed."""
        if self._closing:
            return
        self._closing = True
        if self._server is not None:
            self._server.end_work()
        self._transport.close()
        self._loop.call_later(FAREWELL_S, self._transport.abort)

    def say_goodbye(self) -> None:
        """The worker ends: what runs is answered with an error, then the connection closes."""
        if self._server is not None:
            self._server.protocol.give_up(ShuttingDownError(GOODBYE, tips=["ask again", "beast status"]))
        self.close()

    def abort(self) -> None:
        """Closes now."""
        self._closing = True
        with contextlib.suppress(OSError):
            self._transport.abort()
