"""Edits written to files: to the very text that they were made for, inside the workspace, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

from beastmode.client.edits import apply_diff
from beastmode.core.errors import AccessError, BadInputError, ConflictError, NotFoundError

BOM = "\ufeff"


def apply(workspace: Path, edits: list[dict[str, Any]]) -> list[str]:
    """Writes edits to files; none where one of them can not be.

    Args:
        workspace: The folder that their paths are in.
        edits: As `action` gives them.

    Returns:
        What was written.

    Raises:
        BadInputError: A path leads out of the workspace, or the edit is of a kind that is not known.
        ConflictError: A file is no longer what the edit was made for.
        AccessError: A file can not be written.
    """
    made = [(_inside(workspace, edit["path"]), edit, _after(workspace, edit)) for edit in edits]
    for place, edit, text in made:
        try:
            _create(place, text) if edit["before_sha256"] is None else _replace(place, text)
        except FileExistsError:
            raise ConflictError(f"{edit['path']} is there already.", tips=["ask again: the edit adds to it"]) from None
        except OSError as error:
            raise AccessError(
                f"{edit['path']} can not be written: {error.strerror}.", tips=[f"ls -l {place}"]
            ) from None
    return [edit["path"] for _, edit, _ in made]


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


def _inside(workspace: Path, path: str) -> Path:
    place = Path(os.path.realpath(workspace / path))
    if not place.is_relative_to(os.path.realpath(workspace)):
        raise BadInputError(f"{path} leads out of {workspace}.", tips=["beast action ... --diff shows the edit"])
    return place


def _after(workspace: Path, edit: dict[str, Any]) -> str:
    """The new text of a file."""
    if edit["kind"] not in ("modify", "create"):
        raise BadInputError(f"An edit of the kind {edit['kind']!r} is not known.", tips=["beast action ... --diff"])
    if edit["before_sha256"] is None:
        return apply_diff("", edit["diff"])
    text = read(_inside(workspace, edit["path"]))
    mark = BOM if text.startswith(BOM) else ""
    text = text.removeprefix(BOM)
    if sha256(text.encode()).hexdigest() != edit["before_sha256"]:
        raise ConflictError(
            f"{edit['path']} has changed since the edit was made.", tips=["ask again, for the file as it is now"]
        )
    return mark + apply_diff(text, edit["diff"])


def _create(place: Path, text: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("x", encoding="utf-8", newline="") as file:
        file.write(text)


def _replace(place: Path, text: str) -> None:
    """Writes beside the file and puts it in its place, so that it is the old one or the new one at any moment."""
    mode = place.stat().st_mode
    handle, beside = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        Path(beside).chmod(mode & 0o7777)
        Path(beside).replace(place)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(beside).unlink()
        raise
