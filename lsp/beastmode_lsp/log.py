"""The worker's log: one JSON object a line on standard error, which the daemon writes into its own log.

No text of a document, no message of the protocol and no words of an unforeseen exception ever get into it.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from types import TracebackType
from typing import Any

from beastmode.core.errors import BeastError

QUIET = ("pygls", "cattrs", "asyncio")


def setup(level: str) -> None:
    """Starts logging to standard error.

    Args:
        level: Least level of our own events.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line())
    logging.getLogger().addHandler(handler)
    logging.getLogger("beastmode_lsp").setLevel(level.upper())
    for name in QUIET[:2]:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # they log whole messages
    sys.excepthook = _last_words


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """An event, its fields, and of an exception its kind and its places."""
        ours = record.name.startswith("beastmode_lsp")
        shown: dict[str, Any] = {"level": record.levelname.lower()}
        shown["event"] = record.getMessage() if ours else f"{record.name} reported a fault"
        fields = getattr(record, "fields", None)
        shown["fields"] = dict(fields) if isinstance(fields, dict) else {}
        if record.exc_info and record.exc_info[1] is not None:
            shown["fields"]["error"] = describe(record.exc_info[1])
        return json.dumps(shown, default=str)


def describe(error: BaseException) -> str:
    """An exception's kind and where it was raised; its words only where they are ours."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    places = " < ".join(f"{one.filename.rsplit('/', 1)[-1]}:{one.lineno} {one.name}" for one in reversed(frames))
    words = f": {error.message}" if isinstance(error, BeastError) else ""
    return f"{type(error).__name__}{words} ({places})"


def _last_words(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
    logging.getLogger("beastmode_lsp").critical("the worker failed", exc_info=error)
