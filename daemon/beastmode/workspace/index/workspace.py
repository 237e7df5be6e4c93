"""One open workspace, as the daemon knows it: how far it is read, what is left out, what is wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

import msgspec

from beastmode.workspace.index.orders import LeftOut, Order, Word
from beastmode.workspace.index.retrieval import Retriever

State = Literal["scanning", "ready", "away", "closed", "unasked", "declined"]


class Row(msgspec.Struct, kw_only=True):
    """A workspace as it is told.

    Attributes:
        path: Its folder, a real path.
        state: scanning, ready, away (its folder can not be read), closed; unasked or declined: its user did not agree.
        files: Files that are known.
        chunks: Pieces that they are cut into.
        seen: Files that the scan that runs has looked at.
        watching: How changes are seen: `events` of the system, or `polling`.
        left_out: Files and folders that are not read, by reason.
        problem: What is wrong.
        tip: What to do about it.
        missing: What is not installed that would make it sharper, and how to get it.
    """

    path: str
    state: State
    files: int = 0
    chunks: int = 0
    seen: int = 0
    watching: Literal["events", "polling"] = "events"
    left_out: LeftOut = msgspec.field(default_factory=LeftOut)
    problem: str = ""
    tip: str = ""
    missing: list[str] = []


class Active(msgspec.Struct, kw_only=True, frozen=True):
    """What a person works on, as an editor tells.

    Attributes:
        workspace: The open workspace.
        path: The file in it, with slashes.
        event: What became of it.
        first_line: Where the person is in it, from 1; None: not said.
        last_line: Where that ends.
        user: Who it is.
        client: The door that it was told by.
    """

    workspace: str
    path: str
    event: Literal["opened", "edited", "saved", "closed"]
    first_line: int | None = None
    last_line: int | None = None
    user: str = ""
    client: str = ""


class Workspace:
    """An open workspace.

    Args:
        order: It and its limits, as its reader is told.
        retriever: Finds pieces in it.

    Attributes:
        root: Its folder, a real path.
        catalogue: File of what is known of it.
        state: scanning, ready or away.
        files: Files that are known.
        chunks: Pieces that they are cut into.
        problem: What is wrong; empty: nothing.
        tip: What to do about it.
        project: What is wrong with its `.beastmode.toml`, and what to do about that; empty: nothing.
    """

    def __init__(self, order: Order, retriever: Retriever) -> None:
        self.order = order
        self.root = order.root
        self.catalogue = Path(order.catalogue)
        self.retriever = retriever
        self.state: State = "scanning"
        self.files = 0
        self.chunks = 0
        self.seen = 0
        self.expected = 0
        self.watching: Literal["events", "polling"] = "events"
        self.left_out = LeftOut()
        self.problem = ""
        self.tip = ""
        self.project = ("", "")
        self.moved = asyncio.Event()
        self._paths: list[str] = []

    def hear(self, word: Word) -> tuple[list[str], bool] | None:
        """Takes in what the process says that reads it.

        Args:
            word: What it says.

        Returns:
            Paths that changed, and whether they are one of many; None: nothing has, as far as is known by now.
        """
        if word.event == "progress":
            self.seen, self.expected = word.seen, word.expected
            self._move()
            return None
        if word.event == "away":
            self.state, self.problem, self.tip = "away", word.problem, word.tip
            self._move()
            return None
        self._paths += word.paths
        if word.more:
            return None
        self.state, self.files, self.chunks = "ready", word.files, word.chunks
        self.watching, self.problem, self.tip = word.watching, word.problem, word.tip
        self.left_out = word.left_out or self.left_out
        paths, self._paths = self._paths, []
        self._move()
        return (paths, word.batch) if paths else None

    def row(self) -> Row:
        """How it is."""
        problem, tip = (self.problem, self.tip) if self.problem else self.project
        return Row(
            path=self.root,
            state=self.state,
            files=self.files,
            chunks=self.chunks,
            seen=self.seen,
            watching=self.watching,
            left_out=self.left_out,
            problem=problem,
            tip=tip,
        )

    def _move(self) -> None:
        moved, self.moved = self.moved, asyncio.Event()
        moved.set()
