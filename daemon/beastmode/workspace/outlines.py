"""What a text is made of: functions, classes and sections as spans of rows, found by indentation or by headings."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from beastmode.workspace.languages import Language

WHOLE_ROWS = 80
"""A function of at most so many rows is not looked into."""

_CLASS_WORDS = "class|struct|enum|trait|impl|interface|module|object|record|namespace|protocol|extension|defmodule"
_FUNCTION_WORDS = "def|defp|function|func|fn|fun|sub|method|proc|macro"
_BEFORE = (
    r"\s*(?:(?:export|default|async|public|private|protected|internal|static|abstract|final|override|local|pub(?:\([^)]*\))?"
    r"|unsafe|inline|extern|const|virtual|suspend|open|data|sealed|case)\s+)*"
)
_DEFINES = re.compile(rf"{_BEFORE}(?:({_CLASS_WORDS})|({_FUNCTION_WORDS}))\s+(?:\([^)]*\)\s*)?([\w.:$]*\w)")
_CLOSERS = ("}", ")", "]", "end")
_HEADING = re.compile(r" {0,3}(#{1,6})\s+(.*?)[\s#]*$")
_RULE = re.compile(r"([=\-~^\"'`*+#<>_:.])\1{2,}\s*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_WIDEST = 400
"""Rows that are longer are no head of anything that a person reads."""


class Span(msgspec.Struct):
    """Rows that belong together.

    Attributes:
        first: Its first row, from 0.
        last: Its last row.
        symbol: Its full name, such as `Cache.get`.
        kind: function, method, class or section.
        names: What it defines, without what its inner spans define.
        inner: Spans inside it, in order.
    """

    first: int
    last: int
    symbol: str
    kind: str
    names: list[str]
    inner: list[Span] = []


def by_indentation(rows: Sequence[str], language: Language) -> list[Span]:
    """Functions and classes of a language that has no grammar here, as its formatter indents them.

    Args:
        rows: The text's lines without their ends.
        language: What it is written in.
    """
    if not (language.indented or language.braces or language.comment):
        return []
    top: list[Span] = []
    open_: list[tuple[int, Span]] = []
    for number, row in enumerate(rows):
        stripped = row.lstrip()
        if not stripped:
            continue
        indent = len(row) - len(stripped)
        _close(open_, indent, stripped, number, language)
        found = _DEFINES.match(row) if len(row) <= _WIDEST else None
        if found is not None and len(open_) < 16:
            _place(top, open_, indent, number, found)
        for _, span in open_:
            span.last = number
    return top


def _close(open_: list[tuple[int, Span]], indent: int, stripped: str, number: int, language: Language) -> None:
    """Ends the spans that a row does not belong to; a closing line belongs to what it closes."""
    closing = stripped.startswith(_CLOSERS) or (stripped.startswith("{") and language.braces)
    while open_ and (indent < open_[-1][0] or (indent == open_[-1][0] and not closing)):
        open_.pop()
    if open_ and indent == open_[-1][0] and stripped.startswith(("}", "end")):
        open_[-1][1].last = number
        for _, span in open_:
            span.last = number
        open_.pop()


def _place(top: list[Span], open_: list[tuple[int, Span]], indent: int, number: int, found: re.Match[str]) -> None:
    name = re.split(r"[.:]+", found[3])[-1]
    around = open_[-1][1] if open_ else None
    inside = around is not None and around.kind == "class"
    kind = "class" if found[1] else "method" if inside else "function"
    symbol = f"{around.symbol}.{name}" if around is not None else name
    span = Span(number, number, symbol, kind, [name])
    (around.inner if around is not None else top).append(span)
    open_.append((indent, span))


def by_headings(rows: Sequence[str]) -> list[Span]:
    """Sections of Markdown or reStructuredText: from one heading to the next.

    Args:
        rows: The text's lines without their ends.
    """
    heads: list[tuple[int, str]] = []
    fence = ""
    for number, row in enumerate(rows):
        if len(row) > _WIDEST:
            continue
        mark = _FENCE.match(row)
        if mark is not None and (not fence or row.strip().startswith(fence)):
            fence = "" if fence else mark[1]
        elif not fence:
            head = _head(rows, number, row)
            if head is not None:
                heads.append(head)
    ends = [first - 1 for first, _ in heads[1:]] + [len(rows) - 1]
    return [Span(first, last, title, "section", [title]) for (first, title), last in zip(heads, ends, strict=False)]


def _head(rows: Sequence[str], number: int, row: str) -> tuple[int, str] | None:
    """Where a section begins and what it is called, if this row heads one or underlines its title."""
    found = _HEADING.match(row)
    if found is not None and found[2]:
        return number, found[2][:120]
    title = rows[number - 1].rstrip() if number else ""
    if not _RULE.match(row) or not title.strip() or len(row.rstrip()) + 1 < len(title) or _RULE.match(title):
        return None
    if number > 1 and rows[number - 2].strip():  # a title stands alone, or below a rule of its own
        return (number - 2, title.strip()[:120]) if _RULE.match(rows[number - 2]) else None
    return number - 1, title.strip()[:120]
