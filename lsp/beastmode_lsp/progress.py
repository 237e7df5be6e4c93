"""What the editor shows while a model works: that it does, how much has come, and a way to stop it."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING, Self

from lsprotocol import types
from pygls.exceptions import JsonRpcException

if TYPE_CHECKING:
    from types import TracebackType

    from beastmode_lsp.server import EditorServer

REPORT_EVERY_S = 0.25
STAGE_CHARS = 200
_numbers = itertools.count(1)
_Value = types.WorkDoneProgressBegin | types.WorkDoneProgressReport | types.WorkDoneProgressEnd


class Cancellers:
    """Which task the editor means when it stops a progress: one for each connection."""

    def __init__(self) -> None:
        self._tasks: dict[types.ProgressToken, asyncio.Task[object]] = {}

    def put(self, token: types.ProgressToken) -> None:
        """The task that runs now is the one of this token."""
        task = asyncio.current_task()
        if task is not None:
            self._tasks[token] = task

    def drop(self, token: types.ProgressToken) -> None:
        """It is over."""
        self._tasks.pop(token, None)

    def cancel(self, token: types.ProgressToken) -> None:
        """The editor stops it; nothing, where it is over."""
        if token in self._tasks:
            self._tasks[token].cancel()


class Progress:
    """One piece of work, shown while the block runs; what was begun is ended, however the block is left.

    Args:
        server: Of the editor's connection.
        cancellers: Of the same.
        title: What it is.
        token: The `workDoneToken` that came with the request; None: one is made, where the editor takes one.
        shows: Whether the editor takes one.
    """

    def __init__(
        self, server: EditorServer, cancellers: Cancellers, title: str, token: types.ProgressToken | None, shows: bool
    ) -> None:
        self._server = server
        self._cancellers = cancellers
        self._title = title
        self._token = token
        self._shows = shows
        self._reported_s = 0.0
        self._words = 0
        self._asked: str | None = None
        self._creating: asyncio.Task[None] | None = None
        self._ended: str | None = None

    async def __aenter__(self) -> Self:
        if self._token is None and self._shows:
            self._asked = f"beast-{next(_numbers)}"
            self._cancellers.put(self._asked)
            self._creating = self._server.background(self._create(self._asked))
        elif self._token is not None:
            self._cancellers.put(self._token)
            self._begin(self._token)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        for token in (self._asked, self._token):
            if token is not None:
                self._cancellers.drop(token)
        ended = "done" if kind is None else "stopped" if issubclass(kind, asyncio.CancelledError) else "failed"
        if self._creating is not None and not self._creating.done():
            self._ended = ended  # what the editor was asked for is ended once it is there: Helix would turn for ever
            return
        self._tell(types.WorkDoneProgressEnd(message=ended))
        self._token = None

    def came(self, text: str) -> None:
        """Counts a piece of the answer, and tells the editor a few times a second.

        Args:
            text: The piece.
        """
        self._words += len(text.split())
        now_s = time.monotonic()
        if self._token is not None and now_s - self._reported_s >= REPORT_EVERY_S:
            self._reported_s = now_s
            self._tell(types.WorkDoneProgressReport(message=f"{self._words} words", cancellable=True))

    def stage(self, message: str, stage: object, file: object) -> None:
        """Tells the editor at once how far a longer piece of work is.

        Args:
            message: What is done.
            stage: Its name, such as `plan`.
            file: What it is about.
        """
        parts = [str(one) for one in (stage, file) if one]
        self._words, self._reported_s = 0, time.monotonic()
        said = f"{' '.join(parts)}: {message}" if parts else message
        self._tell(types.WorkDoneProgressReport(message=said[:STAGE_CHARS], cancellable=True))

    async def _create(self, token: types.ProgressToken) -> None:
        """Asks the editor for a place to show it; meanwhile the model works already.

        It may answer late, such as Helix, which does nothing else while it waits for an edit.
        """
        try:
            await self._server.window_work_done_progress_create_async(types.WorkDoneProgressCreateParams(token))
        except JsonRpcException:
            return  # it is not shown, and goes on
        self._token = token
        self._begin(token)
        if self._ended is not None:
            self._tell(types.WorkDoneProgressEnd(message=self._ended))

    def _begin(self, token: types.ProgressToken) -> None:
        self._reported_s = time.monotonic()
        self._tell(types.WorkDoneProgressBegin(title=self._title, cancellable=True))

    def _tell(self, value: _Value) -> None:
        if self._token is not None:
            self._server.progress(types.ProgressParams(token=self._token, value=value))
