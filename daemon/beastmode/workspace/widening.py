"""What an action is shown beside its file: definitions of the names that the selection uses, its tests, its callers."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable, Sequence

import msgspec

from beastmode.core.types import Gathered, Message
from beastmode.workspace.actions import Kind, Task
from beastmode.workspace.chunks import cut
from beastmode.workspace.context import Found, Looking, Now, found_of, shown, within
from beastmode.workspace.index.reading import Reader
from beastmode.workspace.index.schema import PieceRow
from beastmode.workspace.languages import language_of
from beastmode.workspace.prompting import with_lf
from beastmode.workspace.testing import is_test

log = logging.getLogger(__name__)

_NAME = re.compile(r"[^\W\d]\w+")
_HEAD = "Other parts of the project, to read and not to change:"
NAMES_MAX = 60
LOOKED_UP = 80
AMBIGUOUS = 4
"""Definitions of one name above which nobody can tell which of them is meant."""
EXACT = 0.8
"""Least score of a piece that defines the very name."""
_WANTED: dict[Kind, tuple[tuple[str, int], ...]] = {
    "explain": (("uses", 6), ("caller", 4), ("tests", 1)),
    "ask": (("uses", 6), ("caller", 4), ("tests", 1)),
    "fix": (("uses", 8), ("tests", 2), ("caller", 2)),
    "refactor": (("uses", 6), ("caller", 4), ("tests", 2)),
    "docstring": (("uses", 4), ("caller", 2)),
    "tests": (("uses", 6), ("tests", 2), ("caller", 2)),
    "generate": (("uses", 8), ("tests", 1)),
}
"""What each kind is shown, in this order, and how many pieces of it at most."""


async def widened(looking: Looking, task: Task) -> Gathered:
    """Puts into the prompt of an action what of its project it is about; what can not be searched adds nothing.

    Args:
        looking: Into which workspace.
        task: The action.
    """
    path = looking.near or task.subject.path
    try:
        found = await _found(looking, task, path) if looking.budget_tokens > 0 else []
        pieces = [one.piece() for one in found or await asyncio.to_thread(_own, task, path)]
    except Exception:
        log.exception("the workspace could not be searched", extra={"fields": {"workspace": looking.root}})
        found, pieces = [], []
    return Gathered(_with(task.messages, found), pieces)


async def _found(looking: Looking, task: Task, path: str) -> list[Found]:
    rows = await asyncio.to_thread(_rows, looking.retriever.reader, task, path)
    now, told = Now(looking), with_lf(str(task.messages[0].content))
    found = []
    for why, row in rows:
        one = await now.of(row, [why])
        if one is not None and with_lf(one.text).strip() not in told:
            found.append(one)
    return await asyncio.to_thread(within, found, looking.budget_tokens)


def _own(task: Task, path: str) -> list[Found]:
    """The piece that is selected: it is shown anyway, and the answer holds as long as it is there."""
    subject, row = task.subject, task.selection.first_line + 1
    chunks = cut(subject.path, subject.text)
    around = [one for one in chunks if one.first_line <= row <= one.last_line] or chunks
    return [found_of(path, one, ["named"]) for one in around[:1]]


def _with(messages: Sequence[Message], found: list[Found]) -> list[Message]:
    """The prompt with the pieces at the end of what is shown; what is asked stays the last message."""
    system, *rest = messages
    if not found:
        return list(messages)
    return [msgspec.structs.replace(system, content=f"{system.content}\n\n{shown(found, _HEAD)}"), *rest]


def _rows(reader: Reader, task: Task, path: str) -> list[tuple[str, PieceRow]]:
    """All that may be shown, in the order of its worth."""
    selected = task.lines.text[task.selection.start : task.selection.end]
    asked = str(task.messages[-1].content)
    own = _defined(task)
    names = [name for name in dict.fromkeys(_NAME.findall(f"{asked}\n{selected}")) if name not in own][:NAMES_MAX]
    using = _using(reader, own, path)
    by_why = {
        "uses": _defining(reader, names, path),
        "caller": [row for row in using if not is_test(row.path, language_of(row.path))],
        "tests": [row for row in using if is_test(row.path, language_of(row.path))],
    }
    return [(why, row) for why, most in _WANTED[task.kind] for row in by_why[why][:most]]


def _defined(task: Task) -> list[str]:
    """The names that the selection defines."""
    first, last = task.selection.first_line + 1, task.selection.last_line + 1
    chunks = cut(task.subject.path, task.subject.text)
    inside = [one for one in chunks if one.first_line <= last and first <= one.last_line]
    return list(dict.fromkeys(name for one in inside for name in one.names))


def _defining(reader: Reader, names: Sequence[str], path: str) -> list[PieceRow]:
    """Where names are defined: those used first come first; nearer files before others."""
    exact = [row for row in reader.search_symbols(names, LOOKED_UP) if row.score >= EXACT] if names else []
    found: dict[int, PieceRow] = {}
    for name in names:
        rows = [row for row in exact if name in row.names]
        if len(rows) <= AMBIGUOUS or any(row.path == path for row in rows):
            nearest = sorted(rows, key=lambda row: -_shared(row.path, path))[:1]
            found.update((row.id, row) for row in nearest)
    return list(found.values())


def _using(reader: Reader, names: Iterable[str], path: str) -> list[PieceRow]:
    """Pieces of other files in which a name stands, those that call it first."""
    found: dict[int, tuple[bool, PieceRow]] = {}
    for name in names:
        if len(name) < 3 or name.startswith("__"):
            continue
        word, call = re.compile(rf"\b{re.escape(name)}\b"), re.compile(rf"\b{re.escape(name)}\s*\(")
        for row in reader.search_words([name.strip("_").lower()], LOOKED_UP // 2):
            if row.path != path and name not in row.names and word.search(row.text):
                found.setdefault(row.id, (call.search(row.text) is None, row))
    return [row for _, row in sorted(found.values(), key=lambda one: (one[0], -_shared(one[1].path, path)))]


def _shared(one: str, other: str) -> int:
    """How many folders two paths share from the root down."""
    shared = 0
    for mine, theirs in zip(one.split("/")[:-1], other.split("/")[:-1], strict=False):
        if mine != theirs:
            break
        shared += 1
    return shared
