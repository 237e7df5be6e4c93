"""Code put in the place of a selection: without repeated context, indented, with the file's own line ends."""

from __future__ import annotations

from collections.abc import Callable
from difflib import SequenceMatcher
from itertools import pairwise

from beastmode.workspace.blocks import indent_of
from beastmode.workspace.positions import Lines, content, line_end, split_lines
from beastmode.workspace.prompting import with_lf
from beastmode.workspace.selection import Selection
from beastmode.workspace.surroundings import is_whole_file, margin, selected_rows, trimmed, without_context

TAB_COLUMNS = 8
DEFAULT_UNIT = 4

Accepts = Callable[[str], bool]


def replaced(lines: Lines, selection: Selection, code: str, accepts: Accepts) -> str:
    """The new text of a file.

    Args:
        lines: Its text.
        selection: What is replaced.
        code: What takes its place, as the model wrote it.
        accepts: Says of a new text that it can be right; the first such way to indent the code is taken.
    """
    rows = in_style_of(trimmed(with_lf(code).split("\n")), lines)
    if not selection.whole_lines:
        return _in_line(lines, selection, rows)
    if is_whole_file(lines, selection, rows):
        return _as_whole_file(lines, rows)
    rows, shift = without_context(lines, selection, rows)
    made = [
        lines.text[: selection.start] + with_ends(lines, selection, one) + lines.text[selection.end :]
        for one in _indented(rows, shift, [content(row) for row in selected_rows(lines, selection)], lines)
    ]
    return next((text for text in made if accepts(text)), made[0])


def _as_whole_file(lines: Lines, rows: list[str]) -> str:
    text = lines.text
    start, stop = len(text) - len(text.lstrip("\r\n")), len(text.rstrip("\r\n"))
    whole = Selection(start, stop, lines.line_of(start), lines.line_of(stop), True)
    return text[:start] + with_ends(lines, whole, rows) + text[stop:]


# -- indentation ------------------------------------------------------------------------------------------------------


def in_style_of(rows: list[str], lines: Lines) -> list[str]:
    """Indents code with tabs or blanks as the file does.

    Args:
        rows: The code.
        lines: The file.
    """
    tabs, blanks = _tabs_and_blanks([content(row) for row in lines.lines])
    own_tabs, own_blanks = _tabs_and_blanks(rows)
    if tabs > blanks and own_blanks:
        unit = unit_of(rows)
        return [_tabbed(row, unit) for row in rows]
    if own_tabs and blanks and not tabs:
        unit = unit_of([content(row) for row in lines.lines])
        return [indent_text(row).expandtabs(unit) + row.lstrip() if row.strip() else "" for row in rows]
    return rows


def _tabs_and_blanks(rows: list[str]) -> tuple[int, int]:
    indents = [row[:1] for row in rows if row[:1].isspace() and row.strip()]
    return indents.count("\t"), indents.count(" ")


def unit_of(rows: list[str]) -> int:
    """How many columns one step of indentation has.

    Args:
        rows: Lines of code.
    """
    depths = [indent_of(row) for row in rows if row.strip() and not row.lstrip().startswith("*")]
    steps = [abs(b - a) for a, b in pairwise(depths) if abs(b - a) > 1]
    return min(steps, default=DEFAULT_UNIT)


def _tabbed(row: str, unit: int) -> str:
    columns = len(indent_text(row).expandtabs(unit))
    return "\t" * (columns // unit) + " " * (columns % unit) + row.lstrip() if row.strip() else ""


def indent_text(row: str) -> str:
    """The blank space that a line begins with.

    Args:
        row: One line.
    """
    return row[: len(row) - len(row.lstrip())]


def moved(rows: list[str], columns: int, indent: str) -> list[str]:
    """Lines with so many columns less, and an indentation before each.

    Args:
        rows: Lines; blank ones become empty.
        columns: What is taken from the indentation of each.
        indent: What is put there.
    """
    return [indent + _less(row, columns) if row.strip() else "" for row in rows]


def _less(row: str, columns: int) -> str:
    """A line with some columns of its indentation taken away, tabs cut whole where they can be."""
    indent, taken = indent_text(row), 0
    while indent and taken < columns:
        taken += TAB_COLUMNS if indent[0] == "\t" else 1
        indent = indent[1:]
    return " " * (taken - columns) + indent + row.lstrip() if taken > columns else indent + row.lstrip()


def margin_text(rows: list[str]) -> str:
    """The indentation that all lines share.

    Args:
        rows: Lines; blank ones do not count.
    """
    return min((indent_text(row) for row in rows if row.strip()), key=lambda one: len(one.expandtabs(8)), default="")


def _indented(rows: list[str], shift: int | None, own: list[str], lines: Lines) -> list[list[str]]:
    """Ways to indent code, the likeliest first."""
    goal = margin_text(own)
    shifted = moved(rows, margin(rows), goal)
    if shift is not None or margin(rows) == margin(own):
        first = [rows[0].lstrip(), *rows[1:]] if rows else rows
        return [shifted, *([rows] if margin(rows) == margin(own) else []), first]
    head_only = [indent_text(own[0]) + rows[0].lstrip(), *rows[1:]] if rows and own else rows
    if len(rows) > 1 and indent_of(rows[0]) == 0 < margin(own) <= margin(rows[1:]) and _body_kept(rows, own):
        return [head_only, shifted, rows]
    return [shifted, head_only, rows]


def _body_kept(rows: list[str], own: list[str]) -> bool:
    """Only the first line lost its indentation: those below stand as deep as those of the selection did."""
    return len(own) > 1 and margin(rows[1:]) >= margin(own[1:])


# -- line ends --------------------------------------------------------------------------------------------------------


def with_ends(lines: Lines, selection: Selection, rows: list[str]) -> str:
    """Joins lines with the line ends of the file; a line that stays keeps its own.

    Args:
        lines: The file.
        selection: What is replaced.
        rows: What takes its place.
    """
    usual = line_end(lines.text)
    old = split_lines(lines.text[selection.start : selection.end])
    ends = [usual] * len(rows)
    if any(one not in ("", usual) for one in (row[len(content(row)) :] for row in old)):
        matcher = SequenceMatcher(None, [content(row) for row in old], rows, autojunk=False)
        for block in matcher.get_matching_blocks():
            for i in range(block.size):
                row = old[block.a + i]
                ends[block.b + i] = row[len(content(row)) :] or usual
    return "".join(row + end for row, end in zip(rows, [*ends[:-1], ""], strict=True)) if rows else ""


# -- a part of a line -------------------------------------------------------------------------------------------------


def _in_line(lines: Lines, selection: Selection, rows: list[str]) -> str:
    """Replaces a selection that begins or ends within a line."""
    text = lines.text
    before = text[lines.start_of(selection.first_line) : selection.start]
    after = text[selection.end : lines.end_of(selection.last_line)]
    own = text[selection.start : selection.end]
    rows = [rows[0].strip(), *rows[1:]] if rows else [""]
    lead = before.strip()
    if len(lead) > 1 and rows[0].startswith(lead) and not own.startswith(lead):
        rows[0] = rows[0][len(lead) :].lstrip() if before[-1:].isspace() else rows[0][len(lead) :]
    tail = after.strip()
    if tail and rows[-1].rstrip().endswith(tail) and not own.rstrip().endswith(tail) and _is_more(rows, tail):
        rows[-1] = rows[-1].rstrip()[: -len(tail)]
    if len(rows) > 1:
        rest = moved(rows[1:], margin(rows[1:]), indent_text(before))
        deeper = max(0, margin(rows[1:]) - indent_of(before))
        rows = [rows[0], *([" " * deeper + row if row else "" for row in rest] if deeper else rest)]
    return text[: selection.start] + line_end(text).join(rows) + text[selection.end :]


def _is_more(rows: list[str], tail: str) -> bool:
    """The end of the line was repeated, and is no bracket that closes what the code itself opened."""
    code = "\n".join(rows)
    return len(tail) > 1 or any(code.count(b) > code.count(a) for a, b in ("()", "[]", "{}") if b == tail)
