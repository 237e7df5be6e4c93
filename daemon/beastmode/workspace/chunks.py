"""A text cut along its functions, classes and sections: the pieces that are found, shown to a model and compared.

A piece depends on the text of what it is alone: a function gives the same piece wherever it moves to in its file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence

import msgspec

from beastmode.workspace.grammars import by_grammar
from beastmode.workspace.languages import Language, language_of
from beastmode.workspace.outlines import WHOLE_ROWS, Span, by_headings, by_indentation
from beastmode.workspace.positions import content, split_lines

WHOLE_CHARS = 3000
PIECE_ROWS = 60
PIECE_CHARS = 2000

_SLASHES = ("//", "/*", "*/", "* ", "*\t", "@", "#[")
_ASSIGNED = re.compile(
    r"\s*(?:(?:export|const|let|var|val|static|final|public|private|protected|readonly|pub|local|type|#define)\s+)*"
    r"([A-Za-z_$][\w$]*)\s*(?::[^=]{1,200})?(?:=(?![=>])|:=)"
)
_DEFINED = re.compile(r"\s*#\s*define\s+(\w+)")
_HEADED = frozenset(("md", "markdown", "rst", "txt", "adoc"))


class Chunk(msgspec.Struct, frozen=True):
    """A piece of a text.

    Attributes:
        text: Its lines as they stand, without the end of the last one.
        sha256: Digest of the text in UTF-8, in hex.
        symbol: The function, class or heading it is or belongs to, such as `Cache.get`; empty: none.
        kind: function, method, class, section, module (code outside of them) or text.
        first_line: Where it begins, from 1.
        last_line: Where it ends.
        names: What is defined in it.
    """

    text: str
    sha256: str
    symbol: str
    kind: str
    first_line: int
    last_line: int
    names: list[str]


def digest(text: str) -> str:
    """The digest of a piece's text, in hex.

    Args:
        text: Any text, with lone surrogates too.
    """
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def cut(path: str, text: str) -> list[Chunk]:
    """Cuts a text into pieces that cover all of it that is not blank, in order.

    Args:
        path: Its path, which says what it is written in.
        text: All of it.
    """
    lines = split_lines(text)
    rows = [content(line) for line in lines]
    language = language_of(path)
    spans = _outline(path, rows, language)
    owners = _owners(rows, spans, language)
    plain = "module" if language.comment else "text"
    return [
        chunk
        for first, last in _runs(rows, owners)
        for chunk in _pieces(lines, rows, first, last, owners[first], plain)
    ]


def _outline(path: str, rows: Sequence[str], language: Language) -> list[Span]:
    if not language.comment and path.rpartition(".")[2].lower() in _HEADED:
        return by_headings(rows)
    found = by_grammar(rows, language)
    return by_indentation(rows, language) if found is None else found


def _owners(rows: Sequence[str], spans: Sequence[Span], language: Language) -> list[Span | None]:
    """The innermost span of each row; what stands directly above a definition and comments on it belongs to it."""
    marks = ("#", "@") if language.comment == "#" else (language.comment,) if language.comment == "--" else _SLASHES
    owners: list[Span | None] = [None] * len(rows)
    waiting: list[tuple[Span, int, Span | None]] = [(span, 0, None) for span in reversed(spans)]
    while waiting:
        span, floor, around = waiting.pop()
        first = span.first
        if span.kind != "section":
            while first > floor and owners[first - 1] is around and rows[first - 1].lstrip().startswith(marks):
                first -= 1
        last = min(span.last, len(rows) - 1)
        owners[first : last + 1] = [span] * (last + 1 - first)
        if span.kind == "class" or span.last - span.first >= WHOLE_ROWS:
            waiting += [(inner, span.first + 1, span) for inner in reversed(span.inner)]
    return owners


def _runs(rows: Sequence[str], owners: Sequence[Span | None]) -> Iterator[tuple[int, int]]:
    """Rows in a row that belong to the same, without blank ones at their ends."""
    first = last = -1
    for number, row in enumerate(rows):
        if first >= 0 and owners[number] is not owners[first]:
            yield first, last
            first = -1
        if row.strip():
            first = number if first < 0 else first
            last = number
    if first >= 0:
        yield first, last


def _pieces(
    lines: Sequence[str], rows: Sequence[str], first: int, last: int, owner: Span | None, plain: str
) -> Iterator[Chunk]:
    symbol, kind = (owner.symbol, owner.kind) if owner is not None else ("", plain)
    whole = owner is not None and owner.kind in ("function", "method")
    for begin, end in _split(rows, first, last, whole):
        names = list(owner.names) if owner is not None and begin <= owner.first <= end else []
        if kind in ("module", "class"):
            names += _assigned(rows[begin : end + 1])
        text = "".join([*lines[begin:end], rows[end]])
        if len(text) <= WHOLE_CHARS:
            yield Chunk(text, digest(text), symbol, kind, begin + 1, end + 1, names)
            continue
        for at in range(0, len(text), PIECE_CHARS):  # one line that is too long
            part = text[at : at + PIECE_CHARS]
            if part.strip():
                yield Chunk(part, digest(part), symbol, kind, begin + 1, end + 1, names if at == 0 else [])


def _split(rows: Sequence[str], first: int, last: int, whole: bool) -> Iterator[tuple[int, int]]:
    """Cuts rows into runs of a size that fits, where a paragraph ends or the indentation is least."""
    rows_max, chars_max = (WHOLE_ROWS, WHOLE_CHARS) if whole else (PIECE_ROWS + 10, PIECE_CHARS + 400)
    while first <= last:
        end = _fitting(rows, first, last, rows_max, chars_max)
        if end < last:
            end = _fitting(rows, first, last, PIECE_ROWS, PIECE_CHARS)
            end = _best_cut(rows, first, end)
        after = end + 1
        while end > first and not rows[end].strip():
            end -= 1
        yield first, end
        while after <= last and not rows[after].strip():
            after += 1
        first = after


def _fitting(rows: Sequence[str], first: int, last: int, rows_max: int, chars_max: int) -> int:
    """The last row, of those in question, up to which all fits; at least the first."""
    chars = 0
    for number in range(first, min(last, first + rows_max - 1) + 1):
        chars += len(rows[number]) + 1
        if chars > chars_max and number > first:
            return number - 1
    return min(last, first + rows_max - 1)


def _best_cut(rows: Sequence[str], first: int, end: int) -> int:
    """The row of the second half after which a cut hurts least."""
    best, best_cost = end, 1 << 30
    for number in range(end, first + (end - first) // 2, -1):
        after = rows[number + 1]
        blank = not rows[number].strip() or not after.strip()
        indent = min(len(after) - len(after.lstrip()), 40) if after.strip() else 40
        if after.lstrip().startswith(("}", ")", "]")):
            indent += 4
        cost = 2 * indent + (0 if blank and after.strip() else 3)
        if cost < best_cost:
            best, best_cost = number, cost
    return best


def _assigned(rows: Sequence[str]) -> list[str]:
    """Names that get a value at the least indentation of some rows."""
    found = [(len(row) - len(row.lstrip()), row) for row in rows if row.strip() and len(row) < 500]
    matches = [(indent, _DEFINED.match(row) or _ASSIGNED.match(row)) for indent, row in found]
    least = min((indent for indent, match in matches if match), default=0)
    return list(dict.fromkeys(match[1] for indent, match in matches if match and indent == least))
