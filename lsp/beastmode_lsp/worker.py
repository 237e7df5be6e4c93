"""The worker's life: it takes its orders, warms up, says that it is ready, and serves until the daemon has gone."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

from cattrs import Converter
from lsprotocol import types

from beastmode.client import AsyncClient
from beastmode.core.peers import peer_uid
from beastmode_lsp import log as logs
from beastmode_lsp.connections import Connections, MakeServer
from beastmode_lsp.frames import encode
from beastmode_lsp.protocol import make_converter
from beastmode_lsp.server import EditorServer, make_server

GC_THRESHOLDS = (10_000, 20, 50)
"""As the daemon has them: collecting more often holds up every editor."""


def run(orders: dict[str, Any]) -> None:
    """Serves editors.

    Args:
        orders: `listen`, the descriptor of the bound socket; `rpc`, the daemon's socket; `version`, of the daemon;
            `max_document_bytes` and `log_level`, from its settings.
    """
    logs.setup(str(orders["log_level"]))
    asyncio.run(_serve(orders))


async def _serve(orders: dict[str, Any]) -> None:
    converter = make_converter()

    def make(hang_up: Callable[[], None]) -> EditorServer:
        return make_server(
            AsyncClient(orders["rpc"]),
            str(orders["version"]),
            converter,
            max_document_bytes=int(orders["max_document_bytes"]),
            hang_up=hang_up,
        )

    _warm_up(make, converter)
    connections = Connections(make, peer_uid, os.getuid())
    listening = socket.socket(fileno=int(orders["listen"]))
    listening.setblocking(False)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    await connections.start(listening)
    sys.stdout.write('{"ready": true}\n')
    sys.stdout.flush()
    await _end_of_input()
    await connections.stop()


def _warm_up(make: MakeServer, converter: Converter) -> None:
    """Makes the code that reads and writes messages: made when a type is met first, it costs the first editor 80 ms."""
    server = make(lambda: None)
    params = types.InitializeParams(capabilities=types.ClientCapabilities())
    message = {"jsonrpc": "2.0", "id": 0, "method": types.INITIALIZE, "params": converter.unstructure(params)}
    server.protocol.receive(encode(message))
    for method in (*server.protocol.fm.features, *server.protocol.fm.builtin_features):
        for kind in types.METHOD_TO_TYPES.get(method, (None,) * 4)[1:3]:
            if kind is not None:
                converter.get_structure_hook(kind)
                converter.get_unstructure_hook(kind)
    server.end_work()


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
