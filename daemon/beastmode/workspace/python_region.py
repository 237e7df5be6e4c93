"""The part of a Python file that is parsed: of a large one a few statements, since parsing holds up every thread."""

from __future__ import annotations

import re

import msgspec

from beastmode.workspace.positions import Lines, content
from beastmode.workspace.python_code import parsed
from beastmode.workspace.selection import Selection

WHOLE_MAX_CHARS = 32_000
HEAD_MAX_LINES = 400
_INNER = re.compile(r"[\s#)\]}'\"]|$|(?:else|elif|except|finally)\b")
_BODY = re.compile(r"(?:def|class|async|@|if __name__)\b|@")


class Region(msgspec.Struct, frozen=True):
    """Whole statements of a file.

    Attributes:
        start: The offset of the first.
        stop: The offset behind the last.
        whole: They are the file.
    """

    start: int
    stop: int
    whole: bool


def region_of(lines: Lines, selection: Selection) -> Region | None:
    """The statements at the top of a file that a selection touches; the whole of a small file.

    Args:
        lines: The file.
        selection: A part of it.

    Returns:
        What can be parsed; None: it is too large, or no Python.
    """
    text = lines.text
    if len(text) <= WHOLE_MAX_CHARS:
        return Region(0, len(text), True) if parsed(text) is not None else None
    first, last = selection.first_line, selection.last_line + 1
    rows = lines.lines
    while first > 0 and (_INNER.match(content(rows[first])) or rows[first - 1].startswith("@")):
        first -= 1
    while last < len(rows) and _INNER.match(content(rows[last])):
        last += 1
    start, stop = lines.start_of(first), lines.start_of(last)
    return Region(start, stop, False) if parsed(text[start:stop]) is not None else None


def part_of(lines: Lines, selection: Selection, region: Region) -> tuple[Lines, Selection]:
    """A region as a text of its own, and the selection in it.

    Args:
        lines: The file.
        selection: A part of it.
        region: The statements that it touches.
    """
    if region.whole:
        return lines, selection
    part = Lines(lines.text[region.start : region.stop])
    start, end = selection.start - region.start, selection.end - region.start
    return part, Selection(start, end, part.line_of(start), part.line_of(end), selection.whole_lines)


def is_right(lines: Lines, region: Region | None, after: str) -> bool:
    """Whether a file is still Python after a change within a region; a file that was none, or is too large, passes.

    Args:
        lines: The file as it was.
        region: What was changed.
        after: The file as it is.
    """
    if region is None:
        return True
    return parsed(after[region.start : len(after) - (len(lines.text) - region.stop)]) is not None


def head_of(text: str) -> str:
    """The part of a file that its imports stand in: all that is above its first definition.

    Args:
        text: Python.
    """
    if len(text) <= WHOLE_MAX_CHARS:
        return text
    rows = Lines(text[: WHOLE_MAX_CHARS * 2]).lines[:HEAD_MAX_LINES]
    end = next((i for i, row in enumerate(rows) if _BODY.match(row)), len(rows))
    return "".join(rows[:end])
