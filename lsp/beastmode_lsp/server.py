"""One server object for each editor that is connected: its daemon client, its settings, what it can do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from cattrs import Converter
from pygls.lsp.server import LanguageServer

from beastmode.client import AsyncClient
from beastmode_lsp import features
from beastmode_lsp.protocol import EditorProtocol

END_LIMIT_S = 0.05
MAX_DOCUMENT_BYTES = 8 * 1024 * 1024


class EditorServer(LanguageServer):
    """What one editor talks to.

    Args:
        daemon: A client of the daemon, for this editor alone.
        version: Of the daemon.
        converter: Between JSON and types.
        max_document_bytes: Size of a document above which no model is asked about it.
        hang_up: Closes the connection once what was written is out.

    Attributes:
        daemon: Reaches the daemon.
        settings: The editor's settings; `features` puts them here.
        client_name: What the editor calls itself; empty where it does not.
        max_document_bytes: As given.
        hang_up: As given.
        chew: Does a millisecond of what a message left to be done before the next one of this editor is taken; True
            where there is more. Other editors have their turn in between.
    """

    protocol: EditorProtocol

    def __init__(
        self,
        daemon: AsyncClient,
        version: str,
        converter: Converter,
        *,
        max_document_bytes: int = MAX_DOCUMENT_BYTES,
        hang_up: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__("beast", version, protocol_cls=EditorProtocol, converter_factory=lambda: converter)
        self.daemon = daemon
        self.settings: Any = None
        self.client_name = ""
        self.max_document_bytes = max_document_bytes
        self.hang_up = hang_up
        self.chew: Callable[[], bool] = lambda: False
        self._work: set[asyncio.Task[Any]] = set()

    def background(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs something beside the requests; it ends with the connection.

        Args:
            work: A coroutine.
        """
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return task

    def end_work(self, but: int | str | None = None) -> None:
        """Cancels everything that runs for this editor.

        Args:
            but: The id of a request that goes on.
        """
        self.protocol.cancel_all(but)
        for task in list(self._work):
            task.cancel()

    async def close(self) -> None:
        """The editor has gone: its work ends, in the daemon too."""
        self.protocol.writer = None
        work = {*self.protocol.tasks(), *self._work}
        self.end_work()
        if work:  # each takes its own call back: that is quicker than that the daemon finds the connection closed
            await asyncio.wait(work, timeout=END_LIMIT_S)
        await self.daemon.close()

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Says nothing to the editor: what went wrong is in the log, and may hold the text of a document."""


def make_server(
    daemon: AsyncClient,
    version: str,
    converter: Converter,
    *,
    max_document_bytes: int = MAX_DOCUMENT_BYTES,
    hang_up: Callable[[], None] = lambda: None,
) -> EditorServer:
    """Makes the server of one connection, with all features; arguments as `EditorServer`."""
    server = EditorServer(daemon, version, converter, max_document_bytes=max_document_bytes, hang_up=hang_up)
    features.register(server)
    return server
