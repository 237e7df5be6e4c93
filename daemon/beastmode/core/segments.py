"""Files of framed records: written one frame at a time, read back whatever happened to the bytes.

A frame is `magic | length | crc32(payload, seeded with the length) | payload`.
"""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

MAGIC = b"\xff\xbe\xa5\x01"  # never part of UTF-8 text, so that no prompt or answer can look like a frame
_HEADER = struct.Struct("<4sII")
_pack = _HEADER.pack
PROBE_BYTES = 64 << 10


class Frames(NamedTuple):
    """What a segment holds.

    Attributes:
        payloads: Every frame whose checksum is right, in order.
        damaged: Bytes were changed inside it; a tail that was cut off is no damage.
    """

    payloads: list[bytes]
    damaged: bool


def frame(payload: bytes) -> bytes:
    """Wraps a payload so that a reader can tell whether it is whole.

    Args:
        payload: At least one byte.
    """
    length = len(payload)
    return _pack(MAGIC, length, crc32(payload, length)) + payload


def read_frames(data: bytes) -> Frames:
    """Reads a segment; never raises, whatever the bytes are.

    Args:
        data: The segment's bytes.
    """
    payloads: list[bytes] = []
    at, damaged = 0, False
    while at < len(data):
        payload = _payload_at(data, at)
        if payload is not None:
            payloads.append(payload)
            at += _HEADER.size + len(payload)
            continue
        following = _next_frame(data, at + 1)
        if following is None:
            return Frames(payloads, damaged or not _is_cut_off(data, at))
        at, damaged = following, True
    return Frames(payloads, damaged)


def _payload_at(data: bytes, at: int) -> bytes | None:
    """The payload of a whole frame at this offset, or None."""
    start = at + _HEADER.size
    if start > len(data):
        return None
    magic, length, checksum = _HEADER.unpack_from(data, at)
    if magic != MAGIC or not 0 < length <= len(data) - start:
        return None
    payload = data[start : start + length]
    return payload if crc32(payload, length) == checksum else None


def _next_frame(data: bytes, at: int) -> int | None:
    at = data.find(MAGIC, at)
    while at >= 0:
        if _payload_at(data, at) is not None:
            return at
        at = data.find(MAGIC, at + 1)
    return None


def _is_cut_off(data: bytes, at: int) -> bool:
    """Whether the rest is the beginning of a frame (a write that a crash cut off) or nothing but zeros."""
    rest = data[at:]
    if len(rest) < _HEADER.size:
        return MAGIC.startswith(rest[:4]) or rest.startswith(MAGIC) or not any(rest)
    magic, length, _ = _HEADER.unpack_from(rest)
    return (magic == MAGIC and length > len(rest) - _HEADER.size) or not any(rest)


class Segment:
    """One file of frames that is being written. Only whole frames stay in it.

    Args:
        path: The file; it is made as 0600 where it is missing.

    Raises:
        OSError: It can not be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size_bytes = os.fstat(self._fd).st_size
        self._broken = False

    def write(self, data: bytes) -> None:
        """Appends one frame, or nothing.

        Args:
            data: The frame.

        Raises:
            OSError: The disk is full, a limit is reached, the device is away.
        """
        if self._broken:
            raise OSError(f"{self.path} could not be mended after a failed write")
        done = os.write(self._fd, data)
        if done == len(data):
            self._size_bytes += done
            return
        self._take_back()
        raise OSError(f"only {done} of {len(data)} bytes found room")

    def _take_back(self) -> None:
        """Removes half a frame: left in place it would make a reader doubt the frames after it."""
        try:
            os.ftruncate(self._fd, self._size_bytes)
        except OSError:
            self._broken = True

    def close(self) -> None:
        """Gives the descriptor back."""
        os.close(self._fd)


class SegmentFolder:
    """The numbered segments `NAME-00000001.journal` of one journal.

    Args:
        folder: Where they are; made as 0700 where it is missing.
        name: Letters, digits, `-` and `_`.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self._pattern = re.compile(re.escape(name) + r"-(\d{8,})\.journal(\.damaged)?")
        self._number = 0

    def open(self) -> list[Path]:
        """Makes the folder and lists what an earlier run left behind, oldest first."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._number = max((int(found[1]) for found in self._found()), default=0)
        return self.leftovers()

    def leftovers(self) -> list[Path]:
        """Lists the segments on disk, oldest first, without those set aside."""
        whole = [found for found in self._found() if not found[2]]
        return [self.folder / found[0] for found in sorted(whole, key=lambda found: int(found[1]))]

    def _found(self) -> list[re.Match[str]]:
        return [found for path in self.folder.iterdir() if (found := self._pattern.fullmatch(path.name))]

    def next(self) -> Segment:
        """Starts the next segment.

        Raises:
            OSError: No space, no descriptor, no such folder any more.
        """
        segment = Segment(self.folder / f"{self.name}-{self._number + 1:08d}.journal")
        self._number += 1
        return segment

    def set_aside(self, path: Path) -> Path:
        """Renames a damaged segment, which is never deleted.

        Args:
            path: The segment.

        Returns:
            Its new name.
        """
        return path.rename(path.with_name(path.name + ".damaged"))

    def probe(self) -> None:
        """Finds out whether the disk takes bytes again.

        Raises:
            OSError: It does not.
        """
        path = self.folder / f"{self.name}.probe"
        try:
            path.write_bytes(bytes(PROBE_BYTES))
        finally:
            path.unlink(missing_ok=True)
