"""The worker's life: it takes its orders, warms up, says that it is ready, and serves until the daemon has gone."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

from beastmode.client import AsyncClient

from beastmode_lsp import log as logs
from beastmode_lsp.connections import Connections
from beastmode_lsp.peers import peer_uid
from beastmode_lsp.protocol import make_converter
from beastmode_lsp.server import EditorServer, make_server


def run(orders: dict[str, Any]) -> None:
    """Serves editors.

    Args:
        orders: `listen`, the descriptor of the bound socket; `rpc`, the daemon's socket; `version`; `max_document_bytes`;
            `log_level`.
    """
    logs.setup(orders.get("log_level", "info"))
    asyncio.run(_serve(orders))


async def _serve(orders: dict[str, Any]) -> None:
    converter = make_converter()

    def make(hang_up: Callable[[], None]) -> EditorServer:
        return make_server(
            AsyncClient(orders["rpc"]),
            orders["version"],
            converter,
            max_document_bytes=orders["max_document_bytes"],
            hang_up=hang_up,
        )

    connections = Connections(make, peer_uid, os.getuid())
    listening = socket.socket(fileno=orders["listen"])
    listening.setblocking(False)
    gc.collect()
    gc.freeze()
    await connections.start(listening)
    sys.stdout.write('{"ready": true}\n')
    sys.stdout.flush()
    await _end_of_input()
    await connections.stop()


async def _end_of_input() -> None:
    """Waits until the daemon closes standard input, or has gone, which closes it too."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def look() -> None:
        if not os.read(0, 1 << 16):
            loop.remove_reader(0)
            ended.set()

    loop.add_reader(0, look)
    await ended.wait()
