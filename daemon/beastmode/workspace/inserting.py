"""Code put where a cursor stands: on lines of its own, or within the line where that is what is missing."""

from __future__ import annotations

import re

from beastmode.workspace.positions import Lines, content, line_end
from beastmode.workspace.prompting import with_lf
from beastmode.workspace.replacing import in_style_of, indent_text, moved, unit_of
from beastmode.workspace.selection import Selection
from beastmode.workspace.surroundings import margin, trimmed, without_context

_GOES_ON = re.compile(r"(?:[-=(\[{,+*/<>|&.%!?:]|\b(?:return|in|is|not|and|or|await|yield|import|from|new|typeof))\s*$")
_OPENS = re.compile(r"[:{(\[]\s*$")


def inserted(lines: Lines, selection: Selection, code: str) -> str:
    """The new text of a file.

    Args:
        lines: Its text.
        selection: The cursor.
        code: What is put there, as the model wrote it.
    """
    rows = in_style_of(trimmed(with_lf(code).split("\n")), lines)
    at = selection.start
    before = lines.text[lines.start_of(selection.first_line) : at]
    after = lines.text[at : lines.end_of(selection.first_line)]
    end = line_end(lines.text)
    if not before.strip() and not after.strip():
        return _on_blank_line(lines, selection, rows, before, end)
    if not before.strip():
        new = moved(rows, margin(rows), before or indent_text(after))
        start = lines.start_of(selection.first_line)
        return lines.text[:start] + end.join([*new, ""]) + lines.text[start:]
    if not after.strip() and not (_GOES_ON.search(before) and not _OPENS.search(before)) and not before.endswith(" "):
        indent = indent_text(before) + (_step(lines) if _OPENS.search(before) else "")
        new = moved(rows, margin(rows), indent)
        return lines.text[:at] + end + end.join(new) + lines.text[at:]
    rest = moved(rows[1:], margin(rows[1:]), indent_text(before) + _step(lines)) if rows[1:] else []
    return lines.text[:at] + end.join([rows[0].strip(), *rest] if rows else []) + lines.text[at:]


def _on_blank_line(lines: Lines, selection: Selection, rows: list[str], before: str, end: str) -> str:
    """Fills a blank line, as deep as the cursor stands in it; at its start, as deep as the code was written."""
    line = selection.first_line
    if not lines.text.strip():
        return end.join([*moved(rows, margin(rows), ""), ""])
    rows, shift = without_context(lines, selection, rows)
    if shift is not None:
        new = moved(rows, margin(rows), " " * (margin(rows) + shift))
    else:
        new = moved(rows, margin(rows), before) if before else rows
        new = [*_gap(lines, line, rows), *new] if not before else new
    if line and lines.end_of(line) == len(lines.text):
        new = [*new, ""]  # the file ended with a line end, and so it does
    return lines.text[: lines.start_of(line)] + end.join(new) + lines.text[lines.end_of(line) :]


def _gap(lines: Lines, line: int, rows: list[str]) -> list[str]:
    """The two blank lines that stand before a definition of Python, as far as they are missing."""
    above = [content(row) for row in lines.lines[:line]]
    if not above or not rows or not rows[0].startswith(("def ", "class ", "async def ", "@")):
        return []
    blank = next((count for count, row in enumerate(reversed(above)) if row.strip()), 2)
    return [""] * max(0, 2 - blank)


def _step(lines: Lines) -> str:
    return "\t" if any(row.startswith("\t") for row in lines.lines) else " " * unit_of(lines.lines)
