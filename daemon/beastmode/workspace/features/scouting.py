"""What of a workspace belongs to a request for a feature: its files by name, and the pieces that the index finds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence

import msgspec

from beastmode.core.types import Piece
from beastmode.workspace.chunks import cut
from beastmode.workspace.context import Found
from beastmode.workspace.features.ground import Ground, RefusedPathError
from beastmode.workspace.languages import language_of
from beastmode.workspace.prompting import fenced, with_lf
from beastmode.workspace.secrets import named_like_secret

NAMES_MAX = 20_000
LISTED_MAX = 150
READ_MAX_FILES = 300
READ_MAX_BYTES = 1 << 16
OUTLINED_MAX = 12
IMPORT_ROWS = 200
IMPORTED_MAX = 4
_IMPORT = re.compile(r"\s*(?:import|from|use|require|#\s*include|export|const|let|var|using|mod)\b|\s*#\s*include")
_NAME = re.compile(r"[\w./-]{2,}")
_WORD = re.compile(r"[A-Z]?[a-z]{2,}|[A-Z]{2,}|\d+")
_COMMON = re.compile(
    "the|and|for|with|that|this|from|into|add|new|make|files?|should|must|when|which|each|also|not|all|any|one|two"
    "|function|class|method|write|create|change|uses?|using|its|has|have|are|was|will|can"
)


class Scouted(msgspec.Struct, kw_only=True):
    """What was found.

    Attributes:
        names: Files of the workspace.
        ranked: The likeliest of them, best first.
        outlines: What is defined in some of them, one line a file.
        pieces: Path and text, as a model sees it, of what the index found.
        sources: The same, as it is listed with the answer.
    """

    names: list[str] = []
    ranked: list[str] = []
    outlines: list[str] = []
    pieces: list[tuple[str, str]] = []
    sources: list[Piece] = []

    @property
    def listing(self) -> tuple[list[str], int]:
        """The names that are shown, the likeliest among them, and how many are left out."""
        if len(self.names) <= LISTED_MAX:
            return self.names, 0
        first = self.ranked[: LISTED_MAX // 2]
        rest = [name for name in self.names if name not in set(first)][: LISTED_MAX - len(first)]
        return sorted([*first, *rest]), len(self.names) - len(first) - len(rest)

    def shown(self, room_chars: int) -> list[str]:
        """Outlines and pieces, as a model sees them.

        Args:
            room_chars: How much of them.
        """
        outlines = within(self.outlines, room_chars // 2)
        head = "What is defined in some of them:\n\n"
        return [*([head + "\n".join(outlines)] if outlines else []), *self.found(room_chars // 2)]

    def found(self, room_chars: int, besides: Collection[str] = ()) -> list[str]:
        """Pieces that the index found.

        Args:
            room_chars: How much of them.
            besides: Files that are shown anyway.
        """
        return within([text for path, text in self.pieces if path not in besides], room_chars)


def within(texts: Sequence[str], room_chars: int) -> list[str]:
    """The first texts, as long as there is room.

    Args:
        texts: The best first.
        room_chars: How much.
    """
    kept: list[str] = []
    for text in texts:
        room_chars -= len(text)
        if room_chars < 0:
            break
        kept.append(text)
    return kept


def scout(ground: Ground, request: str) -> Scouted:
    """Looks over a folder: which files there are, and which are likeliest; blocks, so call it in a thread.

    Args:
        ground: The folder.
        request: In the person's words.
    """
    sizes = {path: found.st_size for path, found in ground.walk(NAMES_MAX) if not named_like_secret(path)}
    sizes |= {path: len(text) for path, text in ground.documents.items()}
    names = sorted(sizes)
    words = words_of(request)
    by_name = Counter({path: 3 * len(words & words_of(path)) for path in names})
    readable = [path for path in names if sizes[path] <= READ_MAX_BYTES]
    readable.sort(key=lambda path: (-by_name[path], path.count("/"), path))
    texts: dict[str, str] = {}
    for path in readable[:READ_MAX_FILES]:
        try:
            texts[path] = ground.text(path) or ""
        except RefusedPathError:
            continue
        by_name[path] += len(words & words_of(texts[path]))
    ranked = sorted((path for path in texts if texts[path].strip()), key=lambda path: (-by_name[path], path))
    return Scouted(names=names, ranked=ranked, outlines=_outlines(ranked[:OUTLINED_MAX], texts))


def with_found(scouted: Scouted, found: Sequence[Found], indexed: str, root: str) -> Scouted:
    """Adds what the index found: its files come first, and its pieces are shown.

    Args:
        scouted: What was found without it.
        found: Pieces, best first.
        indexed: The open workspace that their paths are in.
        root: The folder that the feature is for: that workspace, or a folder in it.
    """
    prefix = root.removeprefix(indexed).strip("/") + "/" if root != indexed else ""
    inside = [(one.path.removeprefix(prefix), one) for one in found if one.path.startswith(prefix)]
    first = list(dict.fromkeys(path for path, _ in inside))
    return msgspec.structs.replace(
        scouted,
        ranked=[*first, *(path for path in scouted.ranked if path not in set(first))],
        pieces=[(path, _shown_piece(path, one)) for path, one in inside],
        sources=[one.piece() for _, one in inside],
    )


def _shown_piece(path: str, found: Found) -> str:
    what = f", `{found.symbol}`" if found.symbol else ""
    return f"A piece of `{path}`{what}:\n\n{fenced(with_lf(found.text), language_of(path).id)}"


def imported_by(path: str, text: str | None, known: Collection[str]) -> list[str]:
    """Files of the workspace that a file imports: what it works with, in any language that names files or modules.

    Args:
        path: The file.
        text: Its text; None: it is new.
        known: Files of the workspace.
    """
    stems = {one.rpartition(".")[0]: one for one in known if one != path and "." in one}
    found: list[str] = []
    for row in (text or "").split("\n")[:IMPORT_ROWS]:
        if not _IMPORT.match(row):
            continue
        for name in _NAME.findall(row):
            plain = name.strip("./").removesuffix(".js").replace(".", "/") if "/" not in name else name.lstrip("./")
            ends = [one for stem, one in stems.items() if plain and (stem == plain or stem.endswith(f"/{plain}"))]
            found += ends if len(ends) == 1 else []
    return list(dict.fromkeys(found))[:IMPORTED_MAX]


def words_of(text: str) -> frozenset[str]:
    """The words of a text, those inside of names too.

    Args:
        text: Any text.
    """
    return frozenset(word.lower() for word in _WORD.findall(text) if not _COMMON.fullmatch(word.lower()))


def _outlines(paths: Sequence[str], texts: dict[str, str]) -> list[str]:
    found: list[str] = []
    for path in paths:
        symbols = dict.fromkeys(one.symbol for one in cut(path, texts[path]) if one.symbol and one.kind != "section")
        if symbols:
            found.append(f"{path}: {', '.join(list(symbols)[:30])}")
    return found
