"""Files of a workspace: which are opened at all, and reading them so that nothing outside it is ever touched.

Every folder and file is opened by its name in the folder above it, and no link is followed: what is swapped for a link
while this runs is not opened either. Pipes, sockets and devices are told by `lstat` before, and by `fstat` after.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

import msgspec

from beastmode.workspace.secrets import holds_secret, named_like_secret

SNIFF_BYTES = 8192
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Look(msgspec.Struct, frozen=True, array_like=True):
    """What `stat` says that changes whenever a file does.

    Attributes:
        size_bytes: Its size.
        mtime_ns: When it was written.
        ctime_ns: When it, its name or its rights were changed.
        inode: Which file it is.
    """

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> Look:
        """Takes it from `stat`."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


class LeftOutError(Exception):
    """A file that is not read.

    Args:
        reason: A field of `LeftOut`: secret, binary, large, link, special, name, unreadable; or `gone`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def fit_name(name: str) -> bool:
    """Tells whether a name can be stored and shown: UTF-8 without control characters.

    Args:
        name: As the system gave it.
    """
    return name.isprintable() or (not any(ord(one) < 32 or 0x7F <= ord(one) < 0xA0 for one in name) and _is_utf8(name))


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


@contextlib.contextmanager
def opened_folder(root: str, folder: str = "") -> Iterator[int]:
    """Opens a folder, each part of its path by itself.

    Args:
        root: The workspace, a real path.
        folder: Inside it, as `a/b` or `a/b/`; empty for the root.

    Yields:
        Its descriptor.

    Raises:
        OSError: It is gone, no folder, a link, or must not be read.
    """
    descriptor = os.open(root, _FOLDER)
    try:
        for part in folder.split("/"):
            if part == "..":
                raise NotADirectoryError(folder)
            if part in ("", "."):
                continue
            below = os.open(part, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def read_text(folder: int, name: str, max_bytes: int) -> tuple[bytes, Look]:
    """Reads a file that is text and holds no secret.

    Args:
        folder: Descriptor of the folder that it lies in.
        name: Its name there.
        max_bytes: Size above which it is not read.

    Returns:
        All of it, and what it was when it was read: a file that is written meanwhile looks different afterwards.

    Raises:
        LeftOutError: It is not read, or what was read must not be kept.
    """
    try:
        _check(os.stat(name, dir_fd=folder, follow_symlinks=False), max_bytes)
        descriptor = os.open(name, _FILE, dir_fd=folder)
    except FileNotFoundError:
        raise LeftOutError("gone") from None
    except (OSError, ValueError):
        raise LeftOutError("unreadable") from None
    try:
        found = os.fstat(descriptor)
        _check(found, max_bytes)
        raw = _all_of(descriptor, max_bytes)
    except OSError:
        raise LeftOutError("unreadable") from None
    finally:
        os.close(descriptor)
    refuse_content(raw)
    return raw, Look.of(found)


def _check(found: os.stat_result, max_bytes: int) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise LeftOutError("link")
    if not stat.S_ISREG(found.st_mode):
        raise LeftOutError("special")
    if found.st_size > max_bytes:
        raise LeftOutError("large")


def _all_of(descriptor: int, max_bytes: int) -> bytes:
    """Reads to the end; what is seen to be binary after the first block is not read on."""
    pieces: list[bytes] = []
    left = max_bytes + 1
    while left and (piece := os.read(descriptor, left if pieces else min(left, SNIFF_BYTES))):
        if b"\0" in piece:
            raise LeftOutError("binary")
        pieces.append(piece)
        left -= len(piece)
    if not left:
        raise LeftOutError("large")
    return b"".join(pieces)


def refuse_content(raw: bytes) -> None:
    """Turns away what is no text, or holds something like a key.

    Args:
        raw: All of it.

    Raises:
        LeftOutError: It does.
    """
    if b"\0" in raw:
        raise LeftOutError("binary")
    try:
        raw.decode()
    except UnicodeDecodeError:
        raise LeftOutError("binary") from None
    if holds_secret(raw):
        raise LeftOutError("secret")


def read_inside(root: str, path: str, max_bytes: int) -> tuple[bytes, Look]:
    """Reads a text file of a workspace; blocks, so call it in a thread. Patterns that ignore files are not asked.

    Args:
        root: The workspace, a real path.
        path: Inside it, with slashes.
        max_bytes: Size above which it is not read.

    Returns:
        All of it, and what it was when it was read.

    Raises:
        LeftOutError: It is not read, or what was read must not be kept.
    """
    folder, _, name = path.rpartition("/")
    if not name or name in (".", "..") or path.startswith("/"):
        raise LeftOutError("name")
    if named_like_secret(path):
        raise LeftOutError("secret")
    try:
        with opened_folder(root, folder) as descriptor:
            return read_text(descriptor, name, max_bytes)
    except FileNotFoundError:
        raise LeftOutError("gone") from None
    except (OSError, ValueError):
        raise LeftOutError("unreadable") from None
