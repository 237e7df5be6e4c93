"""Edits written to files: to the very texts that they were made for, inside the workspace, all of them or none.

Every base is checked first, every new text is written beside its file, then all are put in their places. Where that
fails in the middle, what was put there already is put back.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from beastmode.client.edits import apply_diff
from beastmode.core.errors import AccessError, BadInputError, ConflictError, NotFoundError

BOM = "\ufeff"
KINDS = ("modify", "create", "delete")
DEFAULT_MODE = 0o666


class Change(NamedTuple):
    """What becomes of one file.

    Attributes:
        path: Inside the workspace.
        place: Where it lies, without links.
        before: Its bytes; None: it is not there.
        after: Its bytes to be; None: it is to go.
        mode: Its rights; None: those of a new file.
    """

    path: str
    place: Path
    before: bytes | None
    after: bytes | None
    mode: int | None

    @property
    def reversed(self) -> Change:
        """What takes it back."""
        return self._replace(before=self.after, after=self.before)


Noted = Callable[[list[Change]], None]


def apply(workspace: Path, edits: list[dict[str, Any]], before_writing: Noted | None = None) -> list[str]:
    """Writes edits to files; none where one of them can not be.

    Args:
        workspace: The folder that their paths are in.
        edits: As `action` and `generate` give them.
        before_writing: Is told what will be done, once all of it is known to be possible.

    Returns:
        What was written.

    Raises:
        BadInputError: A path leads out of the workspace, or the edit is of a kind that is not known.
        ConflictError: A file is no longer what the edit was made for.
        AccessError: A file can not be written.
    """
    changes = [_change(workspace, edit) for edit in edits]
    if before_writing is not None:
        before_writing(changes)
    write(changes)
    return [one.path for one in changes]


def read(place: Path) -> str:
    """The text of a file, with the line ends that it has.

    Args:
        place: The file.

    Raises:
        NotFoundError: It can not be read.
        BadInputError: It is no text.
    """
    try:
        return place.read_bytes().decode()
    except OSError as error:
        raise NotFoundError(f"{place} can not be read: {error.strerror}.", tips=["name a file that is there"]) from None
    except UnicodeDecodeError:
        raise BadInputError(f"{place} is no UTF-8 text.", tips=["name a text file"]) from None


# -- what is to be done -----------------------------------------------------------------------------------------------


def _change(workspace: Path, edit: dict[str, Any]) -> Change:
    """What an edit comes to, where the file is what it was made for."""
    path = edit["path"]
    place = inside(workspace, path)
    if edit["kind"] not in KINDS:
        raise BadInputError(f"An edit of the kind {edit['kind']!r} is not known.", tips=["--diff shows the edit"])
    if edit["before_sha256"] is None:
        if os.path.lexists(place):
            raise ConflictError(f"{path} is there already.", tips=["ask again: the edit adds to it"])
        return Change(path, place, None, apply_diff("", edit["diff"]).encode(errors="surrogatepass"), None)
    text = read(place)
    mark = BOM if text.startswith(BOM) else ""
    if sha256(text.removeprefix(BOM).encode()).hexdigest() != edit["before_sha256"]:
        raise ConflictError(
            f"{path} has changed since the edit was made.", tips=["ask again, for the file as it is now"]
        )
    new = apply_diff(text.removeprefix(BOM), edit["diff"])
    after = None if edit["kind"] == "delete" else f"{mark}{new}".encode(errors="surrogatepass")
    return Change(path, place, text.encode(), after, place.stat().st_mode & 0o7777)


def inside(workspace: Path, path: str) -> Path:
    """Where a path of a workspace lies, without links.

    Args:
        workspace: The folder.
        path: Inside it.

    Raises:
        BadInputError: It leads out of it.
    """
    root = os.path.realpath(workspace)
    place = Path(os.path.realpath(os.path.join(root, path)))  # noqa: PTH118  # a path with a NUL is no Path
    if not place.is_relative_to(root) or ".git" in place.relative_to(root).parts:
        raise BadInputError(f"{path} leads out of {workspace}.", tips=["--diff shows the edit"])
    return place


# -- doing it ----------------------------------------------------------------------------------------------------------


def write(changes: Sequence[Change]) -> None:
    """Makes all changes, or none.

    Args:
        changes: What becomes of each file.

    Raises:
        ConflictError: A file is not what it was a moment ago.
        AccessError: One of them can not be made; says so where something could not be put back.
    """
    _Writing().run(changes)


class _Writing:
    """One set of changes on its way to the disk."""

    def __init__(self) -> None:
        self._beside: list[tuple[Change, Path | None]] = []
        self._done: list[Change] = []
        self._made_folders: list[Path] = []
        self._path = ""

    def run(self, changes: Sequence[Change]) -> None:
        try:
            for one in changes:
                self._path = one.path
                self._beside.append((one, None if one.after is None else self._write_beside(one)))
            for one, fresh in self._beside:
                self._path = one.path
                _put(one, fresh)
                self._done.append(one)
        except OSError as error:
            left = self._put_back()
            raise _failed(self._path, error, left) from None
        except BaseException:
            self._put_back()
            raise
        finally:
            self._tidy()

    def _write_beside(self, change: Change) -> Path:
        folder = change.place.parent
        missing = [one for one in (folder, *folder.parents) if not one.exists()]
        for one in reversed(missing):
            one.mkdir()
            self._made_folders.append(one)
        handle, name = tempfile.mkstemp(dir=folder, prefix=f".{change.place.name[:100]}.")
        fresh = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(change.after or b"")
                file.flush()
                os.fsync(file.fileno())
            fresh.chmod(change.mode if change.mode is not None else DEFAULT_MODE & ~_umask())
        except BaseException:
            _unlink(fresh)
            raise
        return fresh

    def _put_back(self) -> list[str]:
        """Takes back what was done; gives what could not be."""
        left: list[str] = []
        for one in reversed(self._done):
            try:
                back = one.reversed
                _put(back, None if back.after is None else self._write_beside(back))
            except (OSError, ConflictError):
                left.append(one.path)
        self._done.clear()
        self._tidy()
        for folder in reversed(self._made_folders):
            with contextlib.suppress(OSError):
                folder.rmdir()
        return left

    def _tidy(self) -> None:
        """Takes away what was written beside files and is not needed any more."""
        for _, fresh in self._beside:
            if fresh is not None:
                _unlink(fresh)


def _put(change: Change, fresh: Path | None) -> None:
    """Puts a new text in its place: at any moment the old one or the new one is there; a new file replaces none."""
    if change.before is None:
        assert fresh is not None
        _link(fresh, change)
        return
    if change.place.read_bytes() != change.before:
        raise ConflictError(f"{change.path} was changed meanwhile.", tips=["ask again, for the file as it is now"])
    if fresh is None:
        change.place.unlink()
    else:
        fresh.replace(change.place)


def _link(fresh: Path, change: Change) -> None:
    try:
        os.link(fresh, change.place)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise
        with change.place.open("xb") as file:  # a file system without links: still no file is written over
            file.write(change.after or b"")


def _failed(path: str, error: OSError, left: list[str]) -> AccessError | ConflictError:
    if isinstance(error, FileExistsError):
        return ConflictError(f"{path} is there already.", tips=["ask again: the edit adds to it"])
    told = f" These could not be put back: {', '.join(left)}." if left else " Nothing was changed."
    return AccessError(f"{path} can not be written: {error.strerror}.{told}", tips=[f"ls -l {path}"])


def _unlink(file: Path) -> None:
    with contextlib.suppress(OSError):
        file.unlink()


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
