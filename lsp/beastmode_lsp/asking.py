"""A question to the daemon: its progress in the editor, its words as they come, its end whichever it is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from beastmode.core.errors import BeastError
from beastmode_lsp.progress import Progress
from beastmode_lsp.protocol import progress_token

if TYPE_CHECKING:
    from beastmode_lsp.documents import Document
    from beastmode_lsp.session import Session


MESSAGE_BYTES = 15 * 1024 * 1024  # the daemon takes lines of 16 MiB


async def ask(session: Session, method: str, params: dict[str, Any], title: str, id: str | None = None) -> Any:
    """Asks the daemon; cancelling the task that asks ends the daemon's call.

    Args:
        session: Of the editor.
        method: Of the daemon: `action` or `chat`.
        params: Its parameters.
        title: What the editor shows while it works.
        id: By which words are sent as they come, and by which `beast/cancel` ends it; None: neither.

    Raises:
        BeastError: What the daemon answered.
    """
    stream = Stream(session, id)
    with stream, _Noting(session):
        progress = Progress(
            session.server, session.cancellers, title, progress_token(), shows=session.editor.shows_progress
        )
        async with progress:

            def came(value: Any) -> None:
                if isinstance(value, dict) and isinstance(value.get("delta"), str):
                    progress.came(value["delta"])
                    stream.send(value["delta"])
                elif isinstance(value, dict) and isinstance(value.get("message"), str):
                    progress.stage(value["message"], value.get("stage"), value.get("file"))

            answer = await session.daemon.call(method, {**params, "stream": True}, came)
    session.last_request = answer.get("request_id") or session.last_request
    return answer


class _Noting:
    """Notes the request of an answer that did not come, so that it can be explained."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __enter__(self) -> None:
        """Nothing is known yet."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: object) -> None:
        if isinstance(error, BeastError) and error.request_id is not None:
            self._session.last_request = error.request_id


class Stream:
    """The words of one answer: `beast/delta` while the block runs, `beast/done` when it is left, nothing after it.

    Args:
        session: Of the editor.
        id: As the editor named it; None: nothing is sent.
    """

    def __init__(self, session: Session, id: str | None) -> None:
        self._session = session
        self._id = id
        self._sends = id is not None and session.settings.deltas

    def __enter__(self) -> Stream:
        task = asyncio.current_task()
        if self._id is not None and task is not None:
            self._session.running.begin(self._id, task)
        return self

    def send(self, text: str) -> None:
        """Sends a piece."""
        if self._sends:
            self._session.server.protocol.notify("beast/delta", {"id": self._id, "delta": text})

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: object) -> None:
        if self._id is not None:
            self._session.running.end(self._id)
        if not self._sends:
            return
        self._sends = False
        cancelled = isinstance(error, asyncio.CancelledError) or getattr(error, "kind", "") == "cancelled"
        done: dict[str, Any] = {"id": self._id, "cancelled": cancelled}
        if isinstance(error, BeastError) and not cancelled:
            done["error"] = error.message
        self._session.server.protocol.notify("beast/done", done)


def refuse_large(session: Session, document: Document, *, whole: bool = True) -> None:
    """Turns away a document that is too large for a model.

    Args:
        session: Of the editor.
        document: The document.
        whole: Whether all of it would be sent.

    Raises:
        JsonRpcException: It is.
    """
    limit_bytes = session.server.max_document_bytes
    if document.exceeds(limit_bytes):
        raise _too_large(
            f"has over {limit_bytes} bytes", "raise lsp.max_document_bytes in config.toml, then: beast restart"
        )
    if whole and not document.fits(MESSAGE_BYTES):
        raise _too_large(
            f"takes over {MESSAGE_BYTES} bytes on its way to the daemon",
            "move the part that matters into a smaller file",
        )


def _too_large(why: str, tip: str) -> JsonRpcException:
    message = f"This document {why}, so no model is asked about it. Try: {tip}"
    return JsonRpcException(message, code=types.LSPErrorCodes.RequestFailed, data={"kind": "bad_input", "tip": [tip]})
