"""The daemon's log: one JSON object a line, written by a thread of its own; what looks like a key is blanked.

Use: `log = logging.getLogger(__name__)` and `log.info("daemon ready", extra={"fields": {"pid": 1}})`. An event is a
short constant phrase; what varies goes into the fields. No prompt, answer or key is ever passed; redaction is a second
line of defence.
"""

from __future__ import annotations

import copy
import logging
import os
import queue
import re
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from typing import Any, TextIO

import msgspec

from beastmode.core.paths import Paths

OWN = ("beastmode", "beastmode_plugins")
QUEUE_EVENTS = 10_000
VALUE_CHARACTERS = 2_000
OLD_FILES = 3
BLANK = "[redacted]"

NAMES_OF_KEYS = (
    r"(?:x-)?api[-_]?key|apikey|authorization|access[-_]token|refresh[-_]token|password|passwd|secret|token|key"
)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"',;]+"), rf"\1 {BLANK}"),
    (re.compile(rf"(?i)\b({NAMES_OF_KEYS})([\"']?\s*[:=]\s*[\"']?)(?!\[redacted)[^\s\"',;&}})]+"), rf"\1\2{BLANK}"),
    (re.compile(r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"), BLANK),
    (
        re.compile(
            r"\b(?:sk|pk|rk|gsk|hf|gh[pousr]|glpat|xox[a-z]|xai|AKIA|AIza|eyJ)[-_A-Za-z0-9]{8,}(?:\.[-_A-Za-z0-9]+)*"
        ),
        BLANK,
    ),
    (re.compile(r"(?<![-\w])(?=(?:[-\w]*?\d){3})(?=[-\w]*?[A-Za-z])[-\w]{32,}"), BLANK),
)
_SECRET_FIELD = re.compile(rf"(?i)(?:{NAMES_OF_KEYS})")


def redact(text: str) -> str:
    """Blanks what looks like a key: known prefixes, `Bearer ...`, `x-api-key: ...`, long runs of letters and digits.

    Args:
        text: Anything that is about to be shown or written.
    """
    for pattern, blank in _PATTERNS:
        text = pattern.sub(blank, text)
    return text


def setup(paths: Paths, level: str, max_bytes: int, stream: TextIO | None = None) -> Callable[[], None]:
    """Starts logging: whatever this process logs goes to `Paths.log_file`, other libraries' from warnings up.

    Call it after the last fork: a thread writes.

    Args:
        paths: Where the log is; its folder is there.
        level: Least level of our own events: debug, info, warning or error.
        max_bytes: Size at which the file is rotated.
        stream: Shows the events to a person as well.

    Returns:
        A function that writes what is still queued and ends logging; calling it again does nothing.
    """
    handlers: list[logging.Handler] = [_PrivateFile(paths, max_bytes)]
    if stream is not None:
        handlers.append(_Quiet(stream))
        handlers[-1].setFormatter(_Human())
    entry = _Entry()
    writer = _Writer(entry.waiting, *handlers)
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in OWN}
    for name in OWN:
        logging.getLogger(name).setLevel(level.upper())
    root.addHandler(entry)
    logging.captureWarnings(True)
    writer.start()
    stopped = False

    def stop() -> None:
        nonlocal stopped
        if stopped:
            return
        stopped = True
        logging.captureWarnings(False)
        root.removeHandler(entry)
        for name, old in levels.items():
            logging.getLogger(name).setLevel(old)
        writer.stop()
        for handler in handlers:
            handler.close()

    return stop


class _Entry(QueueHandler):
    """Hands an event to the writing thread and never waits; what a full queue can not take is counted."""

    def __init__(self) -> None:
        self.waiting: queue.Queue[Any] = queue.Queue(QUEUE_EVENTS)
        self.dropped = 0
        super().__init__(self.waiting)

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        ours = copy.copy(record)
        ours.msg, ours.args, ours.exc_info = record.getMessage(), None, None
        if record.exc_info and record.exc_info[0]:
            ours.exc_text = "".join(traceback.format_exception(*record.exc_info))
        return ours

    def enqueue(self, record: logging.LogRecord) -> None:
        if self.dropped and not self.waiting.full():
            record.dropped, self.dropped = self.dropped, 0
        try:
            self.waiting.put_nowait(record)
        except queue.Full:
            self.dropped += 1


class _Writer(QueueListener):
    """Writes in a thread; a full queue delays the end, and does not prevent it."""

    def __init__(self, waiting: queue.Queue[Any], *handlers: logging.Handler) -> None:
        super().__init__(waiting, *handlers)
        self.waiting = waiting

    def enqueue_sentinel(self) -> None:
        self.waiting.put(None)


class _PrivateFile(RotatingFileHandler):
    """A file that only its owner reads. A disk that is full costs log lines, nothing else."""

    def __init__(self, paths: Paths, max_bytes: int) -> None:
        super().__init__(paths.log_file, maxBytes=max_bytes, backupCount=OLD_FILES, encoding="utf-8", errors="replace")
        self.setFormatter(_Line())

    def _open(self) -> Any:
        return open(self.baseFilename, self.mode, encoding=self.encoding, errors=self.errors, opener=_open_private)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's own name
        """Says nothing: there is no better place to complain than the one that just failed."""


class _Quiet(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's own name
        """Says nothing: the terminal is gone."""


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def event(record: logging.LogRecord) -> dict[str, Any]:
    """Turns a record into what is written: when, how grave, what happened, and its fields, redacted and cut to size.

    Args:
        record: A record whose `fields`, where it has them, are a dict.
    """
    shown: dict[str, Any] = {
        "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "event": _clean(record.getMessage()),
    }
    if not record.name.startswith(OWN):
        shown["logger"] = record.name
    fields = getattr(record, "fields", None)
    for name, value in (fields if isinstance(fields, dict) else {}).items():
        shown.setdefault(str(name), BLANK if _SECRET_FIELD.fullmatch(str(name)) and value else _clean(value))
    if record.exc_text:
        shown["traceback"] = _clean(record.exc_text)
    if getattr(record, "dropped", 0):
        shown["events_dropped_before"] = record.dropped  # type: ignore[attr-defined]  # set by _Entry.enqueue
    return shown


def _clean(value: Any, depth: int = 4) -> Any:
    """Redacts every text in a value; what JSON has no form for becomes text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict) and depth:
        return {
            str(name): BLANK if _SECRET_FIELD.fullmatch(str(name)) else _clean(item, depth - 1)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset) and depth:
        return [_clean(item, depth - 1) for item in value]
    text = redact(str(value)[: 4 * VALUE_CHARACTERS]).encode("utf-8", "replace").decode()
    return text if len(text) <= VALUE_CHARACTERS else text[:VALUE_CHARACTERS] + "..."


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return msgspec.json.encode(event(record)).decode()


class _Human(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        shown = event(record)
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        head = f"{at} {shown.pop('level'):<7} {shown.pop('event')}"
        trace = shown.pop("traceback", None)
        shown.pop("at")
        fields = "".join(f" {name}={value}" for name, value in shown.items())
        return f"{head}{fields}" + (f"\n{trace}" if trace else "")
