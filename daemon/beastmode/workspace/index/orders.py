"""What the daemon and the process that reads workspaces say to each other: one line of JSON each."""

from __future__ import annotations

from typing import Literal

import msgspec

PATHS_IN_A_WORD = 1000
"""Paths in one word at most: the daemon's event loop never reads megabytes of JSON at once."""


class Order(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What the daemon wants.

    Attributes:
        op: `open`: read a workspace and follow what becomes of it; `close`: stop that.
        root: The workspace, a real path.
        catalogue: File that what is found is written to.
        max_file_bytes: Size above which a file is not read.
        max_files: Files that are read at most.
        ignore: Patterns of files that are left out, as in `.gitignore`.
        poll_s: Pause between two looks at what can not be watched.
        outside: Folders that are left out wherever they lie: those of the daemon.
        poison: Paths inside the workspace that the process died of.
        careful: Say which file is being cut before that is done.
    """

    op: Literal["open", "close"]
    root: str
    catalogue: str = ""
    max_file_bytes: int = 1_000_000
    max_files: int = 200_000
    ignore: list[str] = []
    poll_s: float = 2.0
    outside: list[str] = []
    poison: list[str] = []
    careful: bool = False


class LeftOut(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Files and folders that were not read, by reason.

    Attributes:
        ignored: By `.gitignore`, `.beastignore`, settings or the short list of folders that nobody writes by hand.
        secret: They look like secrets, by name or by content.
        binary: They are no text.
        large: They are larger than the limit.
        link: Links.
        special: Neither file nor folder: pipes, sockets, devices.
        name: Their names are no UTF-8, or hold control characters.
        unreadable: They can not be opened.
        deep: Folders that lie too deep.
        many: They are more than `workspace.max_files`.
        poison: The reader died of them.
    """

    ignored: int = 0
    secret: int = 0
    binary: int = 0
    large: int = 0
    link: int = 0
    special: int = 0
    name: int = 0
    unreadable: int = 0
    deep: int = 0
    many: int = 0
    poison: int = 0


class Word(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What the process says of a workspace.

    Attributes:
        event: `progress`: it reads; `ready`: all is read; `changed`: files changed, which the catalogue knows already;
            `away`: the folder can not be read; `cutting`: a file is about to be cut.
        root: The workspace.
        files: Files in the catalogue.
        chunks: Pieces in it.
        seen: Files that this scan has looked at.
        expected: Files that the last scan saw, or 0.
        paths: What changed, or is being cut; inside the workspace.
        more: Further words belong to the same change.
        batch: It is one change of many files, as a switch of branches.
        watching: How changes are seen.
        problem: What is wrong.
        tip: What to do about it.
        left_out: What is not read.
    """

    event: Literal["progress", "ready", "changed", "away", "cutting"]
    root: str
    files: int = 0
    chunks: int = 0
    seen: int = 0
    expected: int = 0
    paths: list[str] = []
    more: bool = False
    batch: bool = False
    watching: Literal["events", "polling"] = "events"
    problem: str = ""
    tip: str = ""
    left_out: LeftOut | None = None
