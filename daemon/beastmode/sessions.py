"""Chat histories on disk: one append-only file a session, written before a model is asked."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
from collections.abc import Callable
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any, Literal

import msgspec

from beastmode.core.clock import Clock
from beastmode.core.errors import BadInputError, InternalError, NotFoundError
from beastmode.core.types import Message

SCHEMA = 1
TITLE_MAX_CHARS = 60

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Line(msgspec.Struct, omit_defaults=True):
    """One message of a session, as a line of its file.

    Attributes:
        at_s: Wall clock, seconds since the epoch.
        role: user or assistant.
        content: The text.
        model: The model that answered.
        request_id: The request that brought the answer.
        schema: Version of the file's format.
    """

    at_s: float
    role: Literal["user", "assistant"]
    content: str
    model: str | None = None
    request_id: str | None = None
    schema: int = SCHEMA


class SessionInfo(msgspec.Struct):
    """A session in a list.

    Attributes:
        id: Its name.
        title: The beginning of its first message.
        updated_at_s: When it was last written to, seconds since the epoch.
        messages: How many it holds.
    """

    id: str
    title: str
    updated_at_s: float
    messages: int


_LINE = msgspec.json.Decoder(Line)


class Sessions:
    """All chat histories of this home.

    Args:
        folder: Where the files are.
        clock: For the times in them.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock

    async def begin(self, id: str, text: str) -> list[Message]:
        """Writes what the user typed, and reads what came before it.

        Args:
            id: The session; a new one is made where there is none of that name.
            text: The user's message.

        Returns:
            The conversation so far, without messages that were never answered.

        Raises:
            BadInputError: The name can not be a file's name, or a newer version wrote the file.
            InternalError: The disk refuses.
        """
        path = self._path(id)
        line = Line(at_s=self._clock.wall_s(), role="user", content=text)
        return await asyncio.to_thread(_begin, path, line)

    async def finish(self, id: str, text: str, model: str, request_id: str) -> None:
        """Writes the answer.

        Raises:
            InternalError: The disk refuses.
        """
        line = Line(at_s=self._clock.wall_s(), role="assistant", content=text, model=model, request_id=request_id)
        await asyncio.to_thread(_append, self._path(id), line)

    async def all(self) -> list[SessionInfo]:
        """All sessions, the last used first."""
        found = await asyncio.to_thread(lambda: [_info(path) for path in self._folder.glob("*.jsonl")])
        return sorted(filter(None, found), key=lambda info: info.updated_at_s, reverse=True)

    async def between(self, from_s: float, to_s: float = inf) -> list[str]:
        """Names of the sessions that were last written to in a span of time.

        Args:
            from_s: Its beginning, seconds since the epoch.
            to_s: Its end.
        """
        return [info.id for info in await self.all() if from_s <= info.updated_at_s < to_s]

    async def get(self, id: str) -> list[Line]:
        """All messages of a session, also those that were never answered.

        Raises:
            NotFoundError: There is none of that name.
        """
        lines: list[Line] = await self._existing(id, _read)
        return lines

    async def remove(self, id: str) -> None:
        """Removes a session for good.

        Raises:
            NotFoundError: There is none of that name.
        """
        await self._existing(id, Path.unlink)

    async def _existing(self, id: str, work: Callable[[Path], Any]) -> Any:
        try:
            return await asyncio.to_thread(work, self._path(id))
        except FileNotFoundError:
            raise NotFoundError(f"There is no session `{id}`.", tips=["beast sessions list"]) from None

    def _path(self, id: str) -> Path:
        if not _ID.fullmatch(id):
            raise BadInputError(
                f"`{id[:80]}` can not name a session.",
                tips=["use up to 64 letters, digits, dots, dashes and underscores, a letter or digit first"],
            )
        return self._folder / f"{id}.jsonl"


def _begin(path: Path, line: Line) -> list[Message]:
    before = _read(path) if path.exists() else []
    _append(path, line)
    # A question that was never answered stays in the file, but two of them in a row would confuse a model.
    answered = [line for line, after in pairwise(before) if line.role == "user" and after.role != "user"]
    kept = [line for line in before if line.role == "assistant" or line in answered]
    return [Message(line.role, line.content) for line in kept]


def _append(path: Path, line: Line) -> None:
    data = msgspec.json.encode(line) + b"\n"
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            size_bytes = os.fstat(file).st_size
            # After a line that a crash or a full disk cut short, this one begins anew.
            cut = size_bytes > 0 and os.pread(file, 1, size_bytes - 1) != b"\n"
            written_bytes = os.write(file, b"\n" + data if cut else data)
            if written_bytes < len(data):
                raise OSError(errno.ENOSPC, "half a line found room")
            os.fsync(file)
        finally:
            os.close(file)
    except OSError as error:
        raise InternalError(
            f"The session {path} can not be written: {error.strerror}.", tips=["free disk space, then ask again"]
        ) from error


def _read(path: Path) -> list[Line]:
    """Reads a session's lines; a line that a crash cut short is passed over."""
    lines = []
    for raw in path.read_bytes().splitlines():
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            lines.append(_LINE.decode(raw))
    if any(line.schema > SCHEMA for line in lines):
        raise BadInputError(
            f"{path.name} was written by a newer version of BEAST MODE.", tips=["update this installation"]
        )
    return lines


def _info(path: Path) -> SessionInfo | None:
    """What a list says of a session; None where it has just been removed."""
    try:
        lines, changed_s = _read(path), path.stat().st_mtime
    except FileNotFoundError:
        return None
    except BadInputError:
        return SessionInfo(path.stem, "(written by a newer version)", path.stat().st_mtime, 0)
    first = next((line.content for line in lines if line.role == "user"), "")
    title = " ".join(first.split())
    shown = title if len(title) <= TITLE_MAX_CHARS else title[: TITLE_MAX_CHARS - 1] + "…"
    return SessionInfo(path.stem, shown, lines[-1].at_s if lines else changed_s, len(lines))
