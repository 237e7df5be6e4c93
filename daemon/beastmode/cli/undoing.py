"""What was written to files, kept so that it can be taken back: one private file under `state/undo/` for each time."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from beastmode.cli.applying import Change, inside, write
from beastmode.core.errors import AccessError, ConflictError, NotFoundError

VERSION = 1
KEPT = 100


class Undo:
    """The undo files of one home.

    Args:
        folder: `state/undo`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def note(self, workspace: Path, what: str, changes: list[Change]) -> str:
        """Keeps what is about to be written over.

        Args:
            workspace: The folder that the paths are in.
            what: What it was for, in the person's words.
            changes: What will be done.

        Returns:
            Its name.

        Raises:
            AccessError: It can not be written; then nothing else should be.
        """
        name = f"{time.time_ns():019d}-{secrets.token_hex(4)}"
        kept = {
            "version": VERSION,
            "id": name,
            "at_s": time.time(),
            "workspace": os.path.realpath(workspace),
            "what": what,
            "changes": [_kept(one) for one in changes],
            "folders": _new_folders(changes),
        }
        file = self._folder / f"{name}.json"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w") as stream:
                json.dump(kept, stream)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise AccessError(
                f"{file} can not be written: {error.strerror}.", tips=[f"df -h {self._folder}", "nothing was changed"]
            ) from None
        self._prune()
        return name

    def forget(self, name: str) -> None:
        """Takes away an undo file, where nothing was written after all.

        Args:
            name: Of `note`.
        """
        with contextlib.suppress(OSError):
            (self._folder / f"{name}.json").unlink()

    def undo(self, workspace: Path, name: str | None) -> dict[str, Any]:
        """Takes back what was written, all of it or nothing.

        Args:
            workspace: The folder; counts where no name is given.
            name: Of `note`; None: what was written last in this workspace.

        Returns:
            Its name, its workspace, what it was for, and the paths that were put back.

        Raises:
            NotFoundError: There is nothing to take back.
            ConflictError: A file was changed since.
            AccessError: A file can not be written.
        """
        kept = self._find(os.path.realpath(workspace), name)
        changes = [change for one in kept["changes"] if (change := _back(Path(kept["workspace"]), one)) is not None]
        write(changes)
        for folder in reversed(kept.get("folders", [])):
            with contextlib.suppress(OSError):  # somebody else put something in
                Path(folder).rmdir()
        self.forget(kept["id"])
        told = {key: kept[key] for key in ("id", "workspace", "what")}
        return {**told, "restored": [one.path for one in changes]}

    def _find(self, root: str, name: str | None) -> dict[str, Any]:
        for kept in self._all():
            if kept["id"] == name or (name is None and kept["workspace"] == root):
                return kept
        what = f"There is nothing called {name!r} to undo." if name else f"There is nothing to undo in {root}."
        raise NotFoundError(what, tips=["beast generate --apply says its name", "git diff shows what differs"])

    def _all(self) -> Iterator[dict[str, Any]]:
        """What is kept, the newest first; a file that is damaged is passed over."""
        for file in sorted(self._folder.glob("*.json"), reverse=True):
            with contextlib.suppress(OSError, ValueError, KeyError):
                kept = json.loads(file.read_bytes())
                if isinstance(kept, dict) and kept["version"] <= VERSION and kept["changes"]:
                    yield kept

    def _prune(self) -> None:
        for file in sorted(self._folder.glob("*.json"))[:-KEPT]:
            with contextlib.suppress(OSError):
                file.unlink()


def _kept(change: Change) -> dict[str, Any]:
    return {
        "path": change.path,
        "before": None if change.before is None else base64.b64encode(change.before).decode(),
        "after_sha256": None if change.after is None else sha256(change.after).hexdigest(),
        "mode": change.mode,
    }


def _back(workspace: Path, kept: dict[str, Any]) -> Change | None:
    """What takes one file back; None where it is what it was, as after a write that was cut off."""
    place = inside(workspace, kept["path"])
    old = None if kept["before"] is None else base64.b64decode(kept["before"])
    try:
        now: bytes | None = place.read_bytes()
    except FileNotFoundError:
        now = None
    except OSError as error:
        raise AccessError(f"{kept['path']} can not be read: {error.strerror}.", tips=[f"ls -l {place}"]) from None
    if now == old:
        return None
    if (None if now is None else sha256(now).hexdigest()) != kept["after_sha256"]:
        raise ConflictError(
            f"{kept['path']} was changed since, so nothing was taken back.",
            tips=["take your own change back first, or use your version control"],
        )
    mode = kept["mode"] if kept["mode"] is not None else place.stat().st_mode & 0o7777
    return Change(kept["path"], place, now, old, mode)


def _new_folders(changes: list[Change]) -> list[str]:
    """Folders that are made for new files, the outer ones first."""
    found = {os.fspath(one) for change in changes for one in change.place.parents if not one.exists()}
    return sorted(found, key=len)
