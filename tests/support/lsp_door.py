"""The server for editors within the test's own process, with the commands that a test gives it."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from beastmode.client import AsyncClient
from beastmode.core.peers import peer_uid
from beastmode_lsp.connections import Connections, PeerReader
from beastmode_lsp.protocol import make_converter
from beastmode_lsp.server import EditorServer
from support.lsp_client import LspClient


class LspDoor:
    """Listens on a socket of its own, in a thread with an event loop of its own; use as a context manager.

    Args:
        register: Gives each server its features.
        rpc: The daemon's socket.
        read_peer: Tells a peer's user id.
        path: Its socket; by default a new one.
    """

    def __init__(
        self,
        register: Callable[[EditorServer], None] = lambda server: None,
        rpc: Path | str = "/nowhere",
        read_peer: PeerReader = peer_uid,
        path: Path | None = None,
    ) -> None:
        self._register, self._rpc, self._read_peer = register, rpc, read_peer
        self._folder = tempfile.TemporaryDirectory(prefix="bl-")
        self.path = path or Path(self._folder.name) / "lsp.sock"
        self.servers: list[EditorServer] = []
        self.faults: list[dict[str, Any]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> LspDoor:
        self._thread.start()
        self._loop.call_soon_threadsafe(self._loop.set_exception_handler, lambda _, fault: self.faults.append(fault))
        self.run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self.path.unlink()
        self.run(self.connections.stop())
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._folder.cleanup()
        assert not self.faults, self.faults

    async def _open(self) -> None:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(self.path))
        converter = make_converter()

        def make(hang_up: Callable[[], None]) -> EditorServer:
            server = EditorServer(AsyncClient(self._rpc), "1.2.3", converter, hang_up=hang_up)
            self._register(server)
            self.servers.append(server)
            return server

        self.connections = Connections(make, self._read_peer, os.getuid())
        await self.connections.start(listening)

    def run(self, work: Any) -> Any:
        """Runs a coroutine in the door's loop."""
        future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(20)

    def connect(self) -> LspClient:
        """An editor."""
        return LspClient.connect(self.path)
