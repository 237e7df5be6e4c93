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
DISTINCT_CHARS = 4
_FROM = re.compile(r"^[ \t]*from[ \t]+(\S+)[ \t]+import[ \t]*(\([^)]*\)|[^\n]*)", re.MULTILINE)
_SCRIPT = re.compile(r"^[ \t]*import\b([^'\"]*?)\bfrom[ \t]*['\"]([^'\"\n]+)['\"]", re.MULTILINE)
_OTHER = re.compile(r"^.*\b(?:import|require|use|using|include)\b.*$", re.MULTILINE)
"""Lines by which a file takes in what others define, by language."""
_NAMING = frozenset(("python", "javascript", "javascriptreact", "typescript", "typescriptreact"))
"""Languages in which a file names what it takes in: what it does not name is no function of another file."""
_DIALECTS = {"javascriptreact": "javascript", "typescript": "javascript", "typescriptreact": "javascript", "c": "cpp"}
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
        "uses": _defining(reader, names, task, path),
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


def _defining(reader: Reader, names: Sequence[str], task: Task, path: str) -> list[PieceRow]:
    """Where names are defined, in the order in which they are used: as far as it is known which definition is meant."""
    exact = reader.defining(names) if names else []
    found: dict[int, PieceRow] = {}
    uses = Uses(task, path)
    for name in names:
        rows = [row for row in exact if _defines(row, name) and _kin(row.path, path)]
        meant = uses.meant(name, rows)
        if meant is not None:
            found[meant.id] = meant
    return list(found.values())


class Uses:
    """How the names of a selection come into its file.

    Args:
        task: The action.
        path: Of its file, inside the workspace.
    """

    def __init__(self, task: Task, path: str) -> None:
        self._path = path
        self._selected = task.lines.text[task.selection.start : task.selection.end]
        self._imports = imports_in(with_lf(task.lines.text))

    def meant(self, name: str, rows: Sequence[PieceRow]) -> PieceRow | None:
        """The definition that is meant by a name; None where nobody can tell.

        Args:
            name: As it is used.
            rows: Definitions of that name.
        """
        own = [row for row in rows if row.path == self._path]
        if own:
            return own[0]
        qualified = re.findall(rf"\b(\w+)\.{re.escape(name)}\b", self._selected)
        sources = {source for names, source in self._imports if name in names}
        sources |= {one for names, source in self._imports for one in qualified if one in (*names, source)}
        named = [row for row in rows if _stem(row.path) in sources]
        if named:
            return max(named, key=lambda row: _shared(row.path, self._path))
        if sources or len(rows) != 1 or len(name) < DISTINCT_CHARS:
            return None
        before = r"\." if language_of(self._path).id in _NAMING else ""
        return rows[0] if re.search(rf"{before}\b{re.escape(name)}\(", self._selected) else None


def imports_in(text: str) -> list[tuple[frozenset[str], str]]:
    """What a file takes in: names, and the file they come from as its line calls it.

    Args:
        text: The file, its lines ended by LF.
    """
    found = [(match[2], match[1].rpartition(".")[2]) for match in _FROM.finditer(text)]
    found += [(match[1], _stem(match[2].split("/", 1)[-1])) for match in _SCRIPT.finditer(text)]
    known = [(frozenset(_NAME.findall(names)), source) for names, source in found]
    rest = _SCRIPT.sub("", _FROM.sub("", text))
    for line in _OTHER.findall(rest):
        words = frozenset(_NAME.findall(line))
        known += [(words, word) for word in sorted(words)]
    return known


def _using(reader: Reader, names: Iterable[str], path: str) -> list[PieceRow]:
    """Pieces of other files that call a name, where only one thing in the project has that name."""
    found: dict[int, PieceRow] = {}
    for name in names:
        if len(name) < DISTINCT_CHARS or name.startswith("__"):
            continue
        if len({row.path for row in reader.defining([name]) if _defines(row, name) and _kin(row.path, path)}) > 1:
            continue
        call = re.compile(rf"\b{re.escape(name)}\s*[(\[.]")
        for row in reader.search_words([name.strip("_").lower()], LOOKED_UP // 2):
            if row.path != path and _kin(row.path, path) and name not in row.names and call.search(row.text):
                found.setdefault(row.id, row)
    return sorted(found.values(), key=lambda row: -_shared(row.path, path))


def _defines(row: PieceRow, name: str) -> bool:
    """A function or class of that name, or a constant: a field is no definition of what it is called."""
    if row.kind in ("function", "method", "class"):
        return row.symbol.rpartition(".")[2] == name
    return name in row.names and (name.isupper() or name[:1].isupper())


def _kin(one: str, other: str) -> bool:
    """Two files are written in the same language, or in dialects of one."""
    first, second = (_DIALECTS.get(name, name) for name in (language_of(one).id, language_of(other).id))
    return first == second and bool(first)


def _stem(path: str) -> str:
    """What a file is imported as: its name, or that of its folder where it stands for that."""
    *folders, name = path.split("/")
    stem = name.partition(".")[0]
    return folders[-1] if folders and stem in ("__init__", "index", "mod", "init") else stem


def _shared(one: str, other: str) -> int:
    """How many folders two paths share from the root down."""
    shared = 0
    for mine, theirs in zip(one.split("/")[:-1], other.split("/")[:-1], strict=False):
        if mine != theirs:
            break
        shared += 1
    return shared
