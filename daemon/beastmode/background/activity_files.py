"""The files of the journal of activity: JSON lines, private, rotated by size, rewritten only to forget."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from beastmode.core.errors import BadInputError
from beastmode.core.statefile import write_private

SCHEMA = 1
FILE_MAX_BYTES = 512 << 10
FILES_MAX = 8

_NAME = re.compile(r"activity-(\d{8})\.jsonl")

T = TypeVar("T", bound=msgspec.Struct)


class _Head(msgspec.Struct):
    schema: int


_HEAD = msgspec.json.Decoder(_Head)


class ActivityFiles(Generic[T]):
    """Files `activity-00000001.jsonl`, ..., each with its schema in the first line.

    Blocks: called in threads, one at a time.

    Args:
        folder: Where they are.
        line: The type of a line.
    """

    def __init__(self, folder: Path, line: type[T]) -> None:
        self.folder = folder
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(line).decode

    def read(self, limit: int) -> list[T]:
        """Reads the newest lines, oldest first; what a crash cut short is passed over.

        Args:
            limit: How many.

        Raises:
            BadInputError: A newer BEAST MODE wrote one of the files.
        """
        newest: deque[T] = deque(maxlen=limit)
        for file in self._all():
            newest.extend(self._lines(file))
        return [*newest]

    def append(self, items: Sequence[T]) -> None:
        """Writes lines to the newest file, or to a fresh one where that is full; the oldest beyond the bound goes.

        Raises:
            OSError: The disk refuses.
        """
        if not items:
            return
        data = b"".join(self._encode(one) + b"\n" for one in items)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = self._all()
        if not files or files[-1].stat().st_size >= FILE_MAX_BYTES:
            number = 1 + (_number(files[-1]) if files else 0)
            files.append(self.folder / f"activity-{number:08d}.jsonl")
        _append(files[-1], data)
        for file in files[:-FILES_MAX]:
            file.unlink(missing_ok=True)

    def forget(self, goes: Callable[[T], bool], *, dry_run: bool = False) -> int:
        """Takes lines out of every file; a file that keeps none is deleted.

        Args:
            goes: Whether a line goes.
            dry_run: Only count.

        Returns:
            How many lines that is.

        Raises:
            AccessError: The disk refuses; the file is as it was.
        """
        count = 0
        for file in self._all():
            lines = self._lines(file)
            kept = [one for one in lines if not goes(one)]
            count += len(lines) - len(kept)
            if dry_run or len(kept) == len(lines):
                continue
            if kept:
                write_private(file, b"".join([_head(), *(self._encode(one) + b"\n" for one in kept)]))
            else:
                file.unlink(missing_ok=True)
        return count

    def _all(self) -> list[Path]:
        """The files, oldest first."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(file for file in self.folder.iterdir() if _NAME.fullmatch(file.name))
        return []

    def _lines(self, file: Path) -> list[T]:
        try:
            head, *rest = file.read_bytes().splitlines() or [b""]
        except FileNotFoundError:
            return []
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            schema = _HEAD.decode(head).schema
            if schema > SCHEMA:
                raise BadInputError(
                    f"{file} was written by a newer BEAST MODE (schema {schema}; this one reads up to {SCHEMA}).",
                    tips=[
                        "install the newer version again: pip install --upgrade beastmode",
                        "or set BEAST_HOME to another folder",
                    ],
                )
        lines = []
        for raw in rest:
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                lines.append(self._decode(raw))
        return lines


def _head() -> bytes:
    return msgspec.json.encode(_Head(SCHEMA)) + b"\n"


def _number(file: Path) -> int:
    found = _NAME.fullmatch(file.name)
    return int(found[1]) if found else 0


def _append(path: Path, data: bytes) -> None:
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    file = os.open(path, flags, 0o600)
    try:
        size_bytes = os.fstat(file).st_size
        if size_bytes == 0:
            data = _head() + data
        elif os.pread(file, 1, size_bytes - 1) != b"\n":  # a line that a crash or a full disk cut short
            data = b"\n" + data
        if os.write(file, data) < len(data):
            os.ftruncate(file, size_bytes)
            raise OSError(errno.ENOSPC, "half of it found room")
    finally:
        os.close(file)
