"""Pieces of a prompt: fenced text that nothing in it can end, the file around a selection, what is wrong with it."""

from __future__ import annotations

import re

import msgspec

from beastmode.workspace.languages import Language
from beastmode.workspace.positions import Lines, Range
from beastmode.workspace.selection import Selection
from beastmode.workspace.windows import WINDOW_MAX_CHARS, Window

CURSOR = "<CURSOR>"
SELECTED = "<THE SELECTED PART>"
TWICE_MAX_CHARS = 4_000
"""A selection up to this size is shown in its place too, and not by itself alone."""

_TICKS = re.compile(r"^[ \t]*(`{3,})", re.MULTILINE)


class Diagnostic(msgspec.Struct, kw_only=True):
    """A problem that an editor, a compiler or a linter reports.

    Attributes:
        message: What is wrong.
        range: Where.
        severity: 1 error, 2 warning, 3 information, 4 hint; or in words.
        source: Who says so.
        code: Its name there.
    """

    message: str
    range: Range | None = None
    severity: int | str | None = None
    source: str | None = None
    code: int | str | None = None


def fenced(text: str, language: str = "") -> str:
    """A text between fences that are longer than any in it.

    Args:
        text: Any text.
        language: What the opening fence names.
    """
    fence = "`" * max([3, *(len(ticks) + 1 for ticks in _TICKS.findall(text))])
    return f"{fence}{language}\n{text if text.endswith(chr(10)) else text + chr(10)}{fence}"


def with_lf(text: str) -> str:
    """A text whose lines end at LF.

    Args:
        text: Any text.
    """
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def shown_file(path: str, lines: Lines, window: Window, selection: Selection, language: Language) -> str:
    """The file, or the part of it that is shown; a cursor is marked in it.

    Args:
        path: Its name.
        lines: Its text.
        window: What is shown.
        selection: What is meant.
        language: What it is written in.
    """
    kind = f" ({language.name})" if language.name else ""
    mark = CURSOR if selection.empty else "" if selection.end - selection.start <= TWICE_MAX_CHARS else SELECTED
    return shown_part(f"The file `{path}`{kind}", lines, window, selection, language, mark)


def shown_part(
    what: str, lines: Lines, window: Window, selection: Selection, language: Language, mark: str = ""
) -> str:
    """A part of a text under a line that says what it is; an endless line beside the selection is cut.

    Args:
        what: What it is of.
        lines: The text.
        window: What is shown.
        selection: What is meant.
        language: What it is written in.
        mark: Stands in the place of the selection; empty: the selection does.
    """
    before = lines.text[lines.start_of(window.first) : selection.start][-WINDOW_MAX_CHARS:]
    after = lines.text[selection.end : lines.end_of(window.last)][:WINDOW_MAX_CHARS]
    text = f"{before}{mark or lines.text[selection.start : selection.end]}{after}"
    part = "" if window.whole else f", lines {window.first + 1} to {window.last + 1} of {len(lines)}"
    return f"{what}{part}:\n\n{fenced(with_lf(text), language.id)}"


def shown_selection(lines: Lines, selection: Selection, language: Language) -> str:
    """The selected part, named by its lines, and by its columns where it is no whole lines.

    Args:
        lines: The text.
        selection: What is meant.
        language: What it is written in.
    """
    text = with_lf(lines.text[selection.start : selection.end])
    return f"The selected part, {place(lines, selection)}:\n\n{fenced(text, language.id)}"


def place(lines: Lines, selection: Selection) -> str:
    """Where a selection is, in words; the same words for no other one.

    Args:
        lines: The text.
        selection: What is meant.
    """
    first, last = selection.first_line + 1, selection.last_line + 1
    if selection.whole_lines:
        return f"line {first}" if first == last else f"lines {first} to {last}"
    start, end = lines.position(selection.start), lines.position(selection.end)
    if selection.empty:
        return f"line {first}, column {start.character + 1}"
    return f"from line {first}, column {start.character + 1} to before line {last}, column {end.character + 1}"


def problems(diagnostics: list[Diagnostic]) -> str:
    """What is reported, one a line, in the order of the file.

    Args:
        diagnostics: From the editor.
    """
    told = sorted({(one.range.start.line if one.range else -1, _problem(one)) for one in diagnostics})
    return "\n".join(text for _, text in told)


def _problem(one: Diagnostic) -> str:
    where = f"line {one.range.start.line + 1}: " if one.range is not None else ""
    said = " ".join(str(part) for part in (one.source, one.code) if part not in (None, ""))
    return f"- {where}{' '.join(one.message.split())}{f' ({said})' if said else ''}"
