"""`beast/status`: what status bars show, told when it changes; the daemon is asked once for all editors together."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from typing import TYPE_CHECKING, Any

from beastmode.client import AsyncClient
from beastmode.core.errors import BeastError
from beastmode_lsp.insight import standing, with_model

if TYPE_CHECKING:
    from beastmode_lsp.session import Session

EVERY_S = 5.0
UNREACHABLE: dict[str, Any] = {
    "health": "unreachable",
    "why": "The daemon does not answer. Try: beast status",
    "today": {"cost_usd": None, "saved_usd": None, "requests": None, "hit_rate": None},
}


class StatusBoard:
    """Everyone who wants to know, and the one task that asks.

    Args:
        every_s: How often the daemon is asked.
    """

    def __init__(self, every_s: float = EVERY_S) -> None:
        self._every_s = every_s
        self._sessions: dict[Session, dict[str, Any]] = {}
        self._task: asyncio.Task[None] | None = None
        self._found: dict[str, Any] | None = None

    def join(self, session: Session) -> None:
        """From now on this editor is told."""
        if session in self._sessions:
            return
        self._sessions[session] = {}
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._ask(session.daemon.socket_path))
        elif self._found is not None:
            self._tell(session)

    def leave(self, session: Session) -> None:
        """This editor is told no more; nobody is asked once the last has left."""
        self._sessions.pop(session, None)
        if not self._sessions and self._task is not None:
            self._task.cancel()
            self._task = self._found = None

    async def _ask(self, socket_path: str) -> None:
        daemon = AsyncClient(socket_path)
        try:
            while True:
                try:
                    self._found = await standing(daemon)
                except BeastError:
                    self._found = UNREACHABLE
                for session in list(self._sessions):
                    if session.server.protocol.writer is None:  # its editor has gone
                        self._sessions.pop(session)
                    else:
                        self._tell(session)
                if not self._sessions:
                    return
                await asyncio.sleep(self._every_s)
        finally:
            with contextlib.suppress(Exception):
                await daemon.close()

    def _tell(self, session: Session) -> None:
        assert self._found is not None
        told = with_model(self._found, session.chosen_model)
        if self._sessions.get(session) != told:
            self._sessions[session] = told
            session.server.protocol.notify("beast/status", told)


_boards: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, StatusBoard] = weakref.WeakKeyDictionary()


def board() -> StatusBoard:
    """The board of this worker."""
    loop = asyncio.get_running_loop()
    return _boards.setdefault(loop, StatusBoard())
