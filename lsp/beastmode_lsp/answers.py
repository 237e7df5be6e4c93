"""Errors as an editor gets them: one sentence, what to do next, and the daemon's own data."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from lsprotocol.types import ErrorCodes, LSPErrorCodes
from pygls.exceptions import JsonRpcException

from beastmode.core.errors import BeastError

log = logging.getLogger(__name__)


class ContentModifiedError(Exception):
    """The document is no longer what the answer was made for.

    Args:
        message: One sentence.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def answer_error(error: BaseException) -> dict[str, Any]:
    """The error of a response.

    Args:
        error: What a handler raised.

    Returns:
        Its code, message and data; nothing of a fault of our own but its kind, since a document may be in its words.
    """
    if isinstance(error, asyncio.CancelledError):
        return {"code": LSPErrorCodes.RequestCancelled.value, "message": "The request was cancelled."}
    if isinstance(error, JsonRpcException):
        found = {"code": int(error.code), "message": error.message}
        return found if error.data is None else {**found, "data": error.data}
    if isinstance(error, ContentModifiedError):
        return {"code": LSPErrorCodes.ContentModified.value, "message": error.message}
    if isinstance(error, BeastError):
        cancelled = error.kind == "cancelled"
        code = LSPErrorCodes.RequestCancelled if cancelled else LSPErrorCodes.RequestFailed
        tip = f" Try: {error.tips[0]}" if error.tips else ""
        return {"code": code.value, "message": f"{error.message}{tip}", "data": error.data()}
    log.error("a request failed", exc_info=error)
    return {
        "code": ErrorCodes.InternalError.value,
        "message": f"The server for editors failed ({type(error).__name__}). Try: read state/logs/beast.log",
    }
