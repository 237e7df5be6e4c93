"""Generations on disk: what a model said is kept after each call, so that one that was cut off goes on where it was."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Collection
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from beastmode.core.errors import BeastError, InternalError, NotFoundError
from beastmode.core.statefile import read_private, write_private
from beastmode.core.types import Answer, Message
from beastmode.workspace.generation import Feedback

VERSION = 1
KEPT = 50
_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")


class Said(msgspec.Struct, kw_only=True):
    """One answer of a model.

    Attributes:
        key: Digest of what was asked.
        answer: What came.
    """

    key: str
    answer: Answer


class Saved(msgspec.Struct, kw_only=True):
    """A generation.

    Attributes:
        id: Its name.
        version: Of this format.
        at_s: Wall clock of its beginning.
        root: The folder that it is for, without links.
        params: What was asked.
        said: Answers of models.
        feedback: What checks of the caller said.
        proposal: The name of what was offered last.
    """

    id: str
    version: int = VERSION
    at_s: float = 0.0
    root: str = ""
    params: dict[str, Any] = {}
    said: list[Said] = []
    feedback: list[Feedback] = []
    proposal: str = ""

    def answer_to(self, key: str) -> Answer | None:
        """What a model said to a question before.

        Args:
            key: Of `key_of`.
        """
        return next((one.answer for one in self.said if one.key == key), None)


def key_of(model: str, messages: list[Message]) -> str:
    """The name of a question.

    Args:
        model: Who is asked.
        messages: What is asked.
    """
    return sha256(msgspec.json.encode([model, messages])).hexdigest()


class Shelf:
    """The generations of one home.

    Args:
        folder: `state/generation`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, saved: Saved) -> None:
        """Writes one; blocks, so call it in a thread.

        Args:
            saved: The generation.

        Raises:
            AccessError: It can not be written.
        """
        fresh = not self._file(saved.id).exists()
        write_private(self._file(saved.id), msgspec.json.encode(saved))
        if fresh:
            self._prune()

    def load(self, id: str) -> Saved:
        """Reads one; blocks, so call it in a thread.

        Args:
            id: Its name.

        Raises:
            NotFoundError: There is none of that name.
            InternalError: It is damaged, or of a newer version.
        """
        raw = read_private(self._file(id), secret=True) if _ID.fullmatch(id) else None
        if raw is None:
            raise NotFoundError(
                f"There is no generation {id[:80]!r}.", tips=["ask anew; the last 50 are kept, in state/generation"]
            )
        try:
            saved = msgspec.json.decode(raw, type=Saved)
        except (msgspec.MsgspecError, RecursionError):
            raise InternalError(f"The generation {id} is damaged.", tips=[f"ask anew; {self._file(id)}"]) from None
        if saved.version > VERSION:
            raise InternalError(f"The generation {id} was made by a newer version.", tips=["ask anew"])
        return saved

    def forget(self, since_s: float | None = None, roots: Collection[str] | None = None) -> int:
        """Takes generations away; blocks, so call it in a thread.

        Args:
            since_s: Only those begun since then, by the wall clock; None: whenever.
            roots: Only those of these workspaces; None: of all.

        Returns:
            How many.
        """
        count = 0
        for file in self._folder.glob("*.json"):
            try:
                saved = self.load(file.stem)
            except (BeastError, OSError):  # nobody can tell what is in it
                saved = Saved(id=file.stem, at_s=math.inf)
            inside = roots is None or not saved.root or saved.root in roots or saved.params.get("workspace") in roots
            if inside and (since_s is None or saved.at_s >= since_s):
                file.unlink(missing_ok=True)
                count += 1
        return count

    def _file(self, id: str) -> Path:
        return self._folder / f"{id}.json"

    def _prune(self) -> None:
        files = sorted(self._folder.glob("*.json"), key=lambda one: one.stat().st_mtime, reverse=True)
        for file in files[KEPT:]:
            with contextlib.suppress(OSError):
                file.unlink()
