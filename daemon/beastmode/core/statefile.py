"""Small private files of the state folder: read with a check of their mode, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from beastmode.core.errors import AccessError

MAX_FILE_BYTES = 16 << 20


def read_private(file: Path, *, secret: bool = False) -> bytes | None:
    """Reads a file that only its owner may write; blocks, so call it in a thread.

    Args:
        file: The file.
        secret: Others may not even read it.

    Returns:
        Its bytes; None where there is none.

    Raises:
        AccessError: Others could have written it (or read it), it is not ours, no file, or over 16 MiB.
    """
    try:
        handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AccessError(f"{file} can not be read: {error.strerror}.", tips=[f"chmod 600 {file}"]) from None
    try:
        _check(file, os.fstat(handle), 0o077 if secret else 0o022)
        with os.fdopen(handle, "rb", closefd=False) as stream:
            return stream.read()
    finally:
        os.close(handle)


def _check(file: Path, found: os.stat_result, forbidden: int) -> None:
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISREG(found.st_mode):
        raise AccessError(f"{file} is not a file.", tips=[f"move it away: mv {file} {file}.old"])
    if found.st_uid != os.getuid():
        raise AccessError(
            f"{file} belongs to user {found.st_uid}, not to you (user {os.getuid()}).",
            tips=[f"chown {os.getuid()} {file}"],
        )
    if mode & forbidden:
        verb = "read" if mode & forbidden & 0o044 else "written"
        raise AccessError(f"{file} can be {verb} by other users (mode {mode:04o}).", tips=[f"chmod 600 {file}"])
    if found.st_size > MAX_FILE_BYTES:
        raise AccessError(
            f"{file} has {found.st_size} bytes, far too many.", tips=[f"move it away: mv {file} {file}.old"]
        )


def write_private(file: Path, content: bytes) -> None:
    """Replaces a file by a new one of mode 0600, on disk when this returns; blocks, so call it in a thread.

    Args:
        file: The file.
        content: All of it.

    Raises:
        AccessError: The disk is full, the folder is read-only or the like; the old file is still there.
    """
    fresh = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(file)
        _sync_folder(file.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise AccessError(
            f"{file} can not be written: {error.strerror}.",
            tips=[f"look at free space and permissions: df -h {file.parent}; ls -ld {file.parent}"],
        ) from None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def move_aside(file: Path, at_s: float) -> Path:
    """Moves a damaged file out of the way; it is never deleted.

    Args:
        file: The file.
        at_s: Wall clock, for its new name.

    Returns:
        Where it is now.
    """
    count = 0
    while True:
        place = file.with_name(f"{file.name}.damaged-{int(at_s)}" + (f"-{count}" if count else ""))
        if not place.exists():
            break
        count += 1
    file.rename(place)
    return place
