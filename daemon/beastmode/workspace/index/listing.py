"""What lies in one folder of a workspace: the files that may be read, the folders, and what is left out and why."""

from __future__ import annotations

import os
import stat

from beastmode.workspace.files import LeftOutError, Look, fit_name, opened_folder, read_text
from beastmode.workspace.ignoring import EXCLUDE_FILE, IGNORE_FILES, Ignoring
from beastmode.workspace.index.orders import LeftOut, Order
from beastmode.workspace.secrets import named_like_secret

DEPTH_MAX = 100
IGNORE_MAX_BYTES = 1 << 20
REASONS = LeftOut.__struct_fields__
"""A reason is kept as its place in this list: one byte."""


def code(reason: str) -> bytes:
    """A reason as it is kept.

    Args:
        reason: A field of `LeftOut`.
    """
    return bytes([REASONS.index(reason)])


class Listing:
    """One folder, listed; nothing in it is opened.

    Args:
        order: The workspace and its limits.
        descriptor: Of the folder.
        folder: Where it is, as `a/b/`.
        ignoring: The patterns that hold in it.

    Attributes:
        files: What `stat` says of each file that may be read.
        folders: The folders that are not left out, as `a/b/c/`.
        left_out: The reasons of what is left out, one byte each.
    """

    def __init__(self, order: Order, descriptor: int, folder: str, ignoring: Ignoring) -> None:
        self._order = order
        self._folder = folder
        self._ignoring = ignoring
        self.files: dict[str, Look] = {}
        self.folders: list[str] = []
        self.left_out = b""
        with os.scandir(descriptor) as entries:
            for entry in entries:
                self._take(entry)

    def _take(self, entry: os.DirEntry[str]) -> None:
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return
        except OSError:
            self.left_out += code("unreadable")
            return
        if reason := self._refuse(entry.name, found):
            self.left_out += code(reason)
        elif stat.S_ISDIR(found.st_mode):
            self.folders.append(f"{self._folder}{entry.name}/")
        else:
            self.files[entry.name] = Look.of(found)

    def _refuse(self, name: str, found: os.stat_result) -> str:
        """Says why something is left out by what it is and how it is called; empty: it is not."""
        is_folder = stat.S_ISDIR(found.st_mode)
        if stat.S_ISLNK(found.st_mode):
            return "link"
        if not is_folder and not stat.S_ISREG(found.st_mode):
            return "special"
        if not fit_name(name):
            return "name"
        path = f"{self._folder}{name}"
        if self._ignoring.leaves_out(f"{path}/" if is_folder else path):
            return "ignored"
        if f"{self._order.root}/{path}" in self._order.outside:
            return "ignored"
        if is_folder:
            return "deep" if self._folder.count("/") >= DEPTH_MAX else ""
        if path in self._order.poison:
            return "poison"
        if named_like_secret(path):
            return "secret"
        return "large" if found.st_size > self._order.max_file_bytes else ""


def patterns_in(descriptor: int) -> list[str]:
    """What the ignore files of a folder say, in the order of their names; empty where there is none.

    Args:
        descriptor: Of the folder.
    """
    return [_patterns(descriptor, name) for name in IGNORE_FILES]


def patterns_of_clone(root: str) -> str:
    """What `.git/info/exclude` says.

    Args:
        root: The workspace.
    """
    folder, _, name = EXCLUDE_FILE.rpartition("/")
    try:
        with opened_folder(root, folder) as descriptor:
            return _patterns(descriptor, name)
    except OSError:
        return ""


def _patterns(descriptor: int, name: str) -> str:
    try:
        return read_text(descriptor, name, IGNORE_MAX_BYTES)[0].decode()
    except LeftOutError:
        return ""


def is_there(root: str, folder: str = "") -> bool:
    """Tells whether a folder is there, whatever it is now and whether it can be read or not.

    Args:
        root: The workspace.
        folder: In it, as `a/b/`; empty: the workspace itself, which must be readable.
    """
    above, _, name = folder[:-1].rpartition("/")
    try:
        with opened_folder(root, above) as descriptor:
            if name:
                os.stat(name, dir_fd=descriptor, follow_symlinks=False)
    except OSError:
        return False
    return True
