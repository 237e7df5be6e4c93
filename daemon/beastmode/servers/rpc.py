"""The Unix socket: binds it privately, takes over a stale one, keeps an eye on its connections."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from pathlib import Path

from beastmode.core.peers import PeerReader, peer_uid
from beastmode.servers.connection import Connection
from beastmode.servers.listener import Listener
from beastmode.servers.services import Services

HANGUP_POLL_S = 0.05


class RpcServer:
    """Listens on one Unix socket.

    Args:
        services: What the methods work with.
        path: The socket; a stale file there is taken over, since the caller holds the home's lock.
        read_peer: Tells a peer's user id.
    """

    def __init__(self, services: Services, path: Path, read_peer: PeerReader = peer_uid) -> None:
        self.services = services
        self.path = path
        self.read_peer = read_peer
        self.connections: set[Connection] = set()
        self.unfinished_bytes = 0
        self._half_open: set[Connection] = set()
        self._listener: Listener | None = None
        self._look_again: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Binds the socket as 0600 and accepts."""
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        before = os.umask(0o177)
        try:
            listening.bind(str(self.path))
        finally:
            os.umask(before)
        listening.setblocking(False)
        self._listener = Listener(listening, lambda: Connection(self))
        self._listener.start()

    async def stop(self) -> None:
        """Accepts nobody any more, and closes every connection once its last answer is out."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        with contextlib.suppress(OSError):
            self.path.unlink()
        if self._look_again is not None:
            self._look_again.cancel()
        closing = [connection.close() for connection in list(self.connections)]
        if closing:
            await asyncio.wait([asyncio.ensure_future(one) for one in closing], timeout=1.0)

    def watch(self, connection: Connection) -> None:
        """Looks now and then whether a client that only closed its sending half has gone for good."""
        self._half_open.add(connection)
        if self._look_again is None:
            self._look_again = asyncio.get_running_loop().call_later(HANGUP_POLL_S, self._look)

    def forget(self, connection: Connection) -> None:
        """Takes note of a closed connection."""
        self.connections.discard(connection)
        self._half_open.discard(connection)

    def _look(self) -> None:
        self._look_again = None
        for connection in list(self._half_open):
            if connection.ended():
                self._half_open.discard(connection)
        if self._half_open:
            self._look_again = asyncio.get_running_loop().call_later(HANGUP_POLL_S, self._look)
