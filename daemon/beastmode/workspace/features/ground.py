"""What a feature is built on: the files of a folder as they are, with what an editor holds in the place of the disk."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from beastmode.workspace.files import LeftOutError, fit_name, opened_folder, read_inside
from beastmode.workspace.ignoring import ALWAYS, EXCLUDE_FILE, IGNORE_FILES, Ignoring
from beastmode.workspace.secrets import holds_secret, named_like_secret
from beastmode.workspace.subject import BOM, digest

PATTERNS_MAX_BYTES = 1 << 18
_WHY = {
    "secret": "looks like it holds a secret",
    "binary": "is binary",
    "large": "is too large",
    "link": "is a link",
    "special": "is no regular file",
    "name": "is no name of a file",
    "unreadable": "can not be read",
}


class RefusedPathError(Exception):
    """A path that must not be read or written; says why, in a sentence without its subject."""


class Patterns:
    """Which files of a folder are ignored: by `.gitignore`, `.beastignore` and the settings, as they are now.

    Args:
        root: The folder, a real path.
        ignore: Patterns of `workspace.ignore`.
    """

    def __init__(self, root: str, ignore: Sequence[str]) -> None:
        self._root = root
        self._known: dict[str, Ignoring] = {}
        self._first = Ignoring.of(ignore, self._read("", EXCLUDE_FILE))

    def ignored(self, path: str) -> bool:
        """Whether a pattern leaves a file, or a folder above it, out.

        Args:
            path: Inside the folder.
        """
        parts = path.split("/")
        folders = ["/".join(parts[:count]) + "/" for count in range(1, len(parts))]
        above = ""
        for folder in folders:
            if self.of(above).leaves_out(folder):
                return True
            above = folder
        return self.of(above).leaves_out(path)

    def of(self, folder: str) -> Ignoring:
        """The patterns that hold in a folder.

        Args:
            folder: It, as `a/b/`; empty for the root.
        """
        if folder not in self._known:
            above = self.of(_above(folder)) if folder else self._first
            git, beast = (self._read(folder, name) for name in IGNORE_FILES)
            self._known[folder] = above.below(folder, git, beast)
        return self._known[folder]

    def _read(self, folder: str, name: str) -> str:
        try:
            return read_inside(self._root, folder + name, PATTERNS_MAX_BYTES)[0].decode()
        except LeftOutError:
            return ""


def _above(folder: str) -> str:
    """The folder that a folder, as `a/b/`, lies in; empty for the root."""
    name, slash, _ = folder[:-1].rpartition("/")
    return name + slash


class Ground:
    """The texts of one folder, each as it was when it was read first.

    Args:
        root: The folder, a real path.
        documents: Texts that an editor holds, by path; they win over the disk.
        ignore: Patterns of `workspace.ignore`.
        max_file_bytes: Size above which a file is not read.
    """

    def __init__(self, root: str, documents: Mapping[str, str], ignore: Sequence[str], max_file_bytes: int) -> None:
        self.root = root
        self.documents = {path: text.removeprefix(BOM) for path, text in documents.items()}
        self._max_file_bytes = max_file_bytes
        self._base: dict[str, str | None] = {}
        self._patterns = Patterns(root, ignore)

    def text(self, path: str) -> str | None:
        """The text of a file, without a byte order mark; None: it is not there.

        Args:
            path: Inside the folder, with slashes.

        Raises:
            RefusedPathError: It must not be read.
        """
        if path not in self._base:
            self.require(path)
            self._base[path] = self._read(path)
        return self._base[path]

    def sha256(self, path: str) -> str | None:
        """The digest of a file's text; None: it is not there.

        Args:
            path: As `text` takes it.
        """
        text = self.text(path)
        return None if text is None else digest(text)

    def _read(self, path: str) -> str | None:
        held = self.documents.get(path)
        if held is not None:
            if holds_secret(held.encode(errors="surrogatepass")):
                raise RefusedPathError(_WHY["secret"])
            return held
        try:
            return read_inside(self.root, path, self._max_file_bytes)[0].decode().removeprefix(BOM)
        except LeftOutError as error:
            if error.reason == "gone":
                return None
            raise RefusedPathError(_WHY.get(error.reason, _WHY["unreadable"])) from None

    def require(self, path: str) -> None:
        """Makes sure that a path may be read and written.

        Args:
            path: As a model or a person wrote it.

        Raises:
            RefusedPathError: It leads out of the folder, into `.git` or to a secret, or is ignored.
        """
        parts = path.split("/")
        if not path or path.startswith(("/", "~")) or "\\" in path or any(one in ("", ".", "..") for one in parts):
            raise RefusedPathError("is no path inside the workspace")
        if not fit_name(path) or any(len(one.encode()) > 255 for one in parts):
            raise RefusedPathError("is no name of a file")
        if any(one.casefold() in {name.casefold() for name in ALWAYS} for one in parts):
            raise RefusedPathError("belongs to the version control")
        if named_like_secret(path):
            raise RefusedPathError("is named like a secret")
        self._require_own_folders(parts)
        if path not in self.documents and self._patterns.ignored(path):
            raise RefusedPathError("is ignored (.gitignore, .beastignore or `workspace.ignore`)")

    def leave_out_refused(self) -> None:
        """Forgets what an editor holds of files that must not be read, such as one with keys that is open there."""
        for path in list(self.documents):
            try:
                self.text(path)
            except RefusedPathError:
                del self.documents[path]

    def _require_own_folders(self, parts: list[str]) -> None:
        place = self.root
        for index, part in enumerate(parts):
            place = os.path.join(place, part)  # noqa: PTH118  # names are taken as they are
            try:
                mode = os.lstat(place).st_mode
            except (FileNotFoundError, NotADirectoryError):
                return
            except OSError as error:
                raise RefusedPathError(f"can not be read: {error.strerror}") from None
            last = index == len(parts) - 1
            if stat.S_ISLNK(mode):
                raise RefusedPathError("is a link" if last else "leads through a link")
            if not last and not stat.S_ISDIR(mode):
                raise RefusedPathError("leads through a file")
            if last and not stat.S_ISREG(mode):
                raise RefusedPathError("is a folder" if stat.S_ISDIR(mode) else "is no regular file")

    def walk(self, limit: int) -> Iterator[tuple[str, os.stat_result]]:
        """All regular files that are not ignored, folder by folder, in order; no link is followed.

        Args:
            limit: How many folders and files are looked at.
        """
        waiting, seen = [""], 0
        while waiting and seen < limit:
            folder = waiting.pop()
            patterns = self._patterns.of(folder)
            below: list[str] = []
            for name, found in self._entries(folder):
                seen += 1
                path = folder + name + ("/" if stat.S_ISDIR(found.st_mode) else "")
                if not fit_name(name) or patterns.leaves_out(path):
                    continue
                if stat.S_ISDIR(found.st_mode):
                    below.append(path)
                elif stat.S_ISREG(found.st_mode) and seen <= limit:
                    yield path, found
            waiting += reversed(below)

    def _entries(self, folder: str) -> list[tuple[str, os.stat_result]]:
        found: list[tuple[str, os.stat_result]] = []
        try:
            with opened_folder(self.root, folder) as descriptor, os.scandir(descriptor) as entries:
                for one in entries:
                    try:
                        found.append((one.name, one.stat(follow_symlinks=False)))
                    except OSError:
                        continue  # gone meanwhile
        except OSError:
            return []
        return sorted(found, key=lambda one: one[0])


def real_root(workspace: str) -> str | None:
    """The folder without links; None: it is no folder.

    Args:
        workspace: An absolute path.
    """
    root = os.path.realpath(workspace)
    return root if Path(root).is_dir() else None
