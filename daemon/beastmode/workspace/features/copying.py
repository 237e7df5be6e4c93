"""A copy of a workspace with a proposal in it, for a command to judge: all that is not ignored, and no secrets."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from beastmode.core.errors import AccessError, BadInputError
from beastmode.workspace.features.ground import Ground
from beastmode.workspace.files import opened_folder
from beastmode.workspace.secrets import named_like_secret
from beastmode.workspace.subject import BOM

COPY_MAX_BYTES = 512 << 20
COPY_MAX_FILES = 100_000
BLOCK_BYTES = 1 << 20
STALE_S = 24 * 3600.0
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def copy_with(ground: Ground, texts: Mapping[str, str | None], folder: Path) -> Path:
    """Copies a workspace, and puts new texts in; blocks, so call it in a thread.

    Files are copied byte by byte, never linked: what runs in the copy can not reach the workspace through it.

    Args:
        ground: The workspace; what an editor holds is written as it holds it.
        texts: New texts by path; None: the file is to go.
        folder: Where copies are kept.

    Returns:
        The copy, which is the caller's to remove.

    Raises:
        BadInputError: The workspace is too large.
        AccessError: The disk is full, or the like.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_stale(folder)
        copy = Path(tempfile.mkdtemp(dir=folder, prefix="copy-"))
    except OSError as error:
        raise _unwritable(folder, error) from None
    try:
        _fill(ground, copy, folder)
        for path, text in {**ground.documents, **texts}.items():
            _put(ground, copy, path, text)
    except OSError as error:
        remove(copy)
        raise _unwritable(copy, error) from None
    except BaseException:
        remove(copy)
        raise
    return copy


def remove(copy: Path) -> None:
    """Takes a copy away; what can not be removed is left to `remove_stale`.

    Args:
        copy: As `copy_with` gave it.
    """
    shutil.rmtree(copy, ignore_errors=True)


def remove_stale(folder: Path) -> None:
    """Takes away copies that somebody left a day ago.

    Args:
        folder: Where copies are kept.
    """
    for one in folder.glob("copy-*"):
        with contextlib.suppress(OSError):
            if time.time() - one.lstat().st_mtime > STALE_S:
                remove(one)


def _unwritable(place: Path, error: OSError) -> AccessError:
    return AccessError(
        f"The copy {place} can not be written: {error.strerror}.", tips=[f"look at free space: df -h {place}"]
    )


def _fill(ground: Ground, copy: Path, kept: Path) -> None:
    size_bytes = 0
    own = os.path.relpath(os.path.realpath(kept), ground.root) + "/"
    for count, (path, found) in enumerate(ground.walk(2 * COPY_MAX_FILES)):
        if named_like_secret(path) or path.startswith(own):
            continue
        size_bytes += found.st_size
        if size_bytes > COPY_MAX_BYTES or count >= COPY_MAX_FILES:
            raise BadInputError(
                f"{ground.root} is too large to be copied for a check: over {COPY_MAX_BYTES >> 20} MB or "
                f"{COPY_MAX_FILES:,} files.",
                tips=["leave out what the check does not need, in .beastignore", "generate without the check"],
            )
        target = copy / path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _copy(ground.root, path, target, found.st_mode)


def _copy(root: str, path: str, target: Path, mode: int) -> None:
    """Copies one file, opened by its name in its folder; what is gone or can not be read is left out."""
    folder, _, name = path.rpartition("/")
    try:
        with opened_folder(root, folder) as descriptor:
            source = os.open(name, _READ, dir_fd=descriptor)
    except OSError:
        return
    with os.fdopen(source, "rb") as reading, target.open("xb") as writing:
        shutil.copyfileobj(reading, writing, BLOCK_BYTES)
    target.chmod((mode & 0o700) | 0o600)


def _put(ground: Ground, copy: Path, path: str, text: str | None) -> None:
    target = copy / path
    if text is None:
        target.unlink(missing_ok=True)
        return
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    raw = text.encode(errors="surrogatepass")
    if target.exists() and target.read_bytes().startswith(BOM.encode()):
        raw = BOM.encode() + raw
    target.write_bytes(raw)
