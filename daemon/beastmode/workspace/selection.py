"""What of a file is meant: whole lines, a part of a line or a cursor; the same in whichever editor it is selected."""

from __future__ import annotations

import msgspec

from beastmode.core.errors import BadInputError
from beastmode.workspace.blocks import block_at
from beastmode.workspace.languages import Language
from beastmode.workspace.positions import Lines, Range

MENDED_MAX_LINES = 150
NEAR_LINES = 15


class Selection(msgspec.Struct, frozen=True):
    """A part of a text, by offsets.

    Attributes:
        start: Its first character.
        end: The character after it.
        first_line: The line of its start, from 0.
        last_line: The line of its last character.
        whole_lines: It holds its lines from their start to their end (without the end of the last).
    """

    start: int
    end: int
    first_line: int
    last_line: int
    whole_lines: bool

    @property
    def empty(self) -> bool:
        """It is a cursor."""
        return self.start == self.end


def select(lines: Lines, range: Range | None, language: Language, *, widen: bool = True) -> Selection:
    """Reads a range as a person means it.

    Editors differ in what they send for the same lines: blank space around, the line's end or the start of the next
    one. So blank space at both ends is left out, and what is left is its whole lines where only blank space is left
    of those. A cursor means the block around it.

    Args:
        lines: The text.
        range: As the editor sends it; None: the whole text.
        language: Tells blocks.
        widen: A cursor means a block; False: the place itself.

    Raises:
        BadInputError: It ends before it starts.
    """
    text = lines.text
    if range is None:
        start, end = 0, len(text)
    else:
        start, end = lines.offset(range.start), lines.offset(range.end)
        if range.end < range.start:
            raise BadInputError("`range` ends before it starts.", tips=["send `start` before `end`"])
    inner = text[start:end]
    left, right = start + len(inner) - len(inner.lstrip()), end - (len(inner) - len(inner.rstrip()))
    if left < right:
        return _in_lines(lines, left, right)
    if not widen:
        at = start if range is not None else len(text)
        return Selection(at, at, lines.line_of(at), lines.line_of(at), False)
    return of_lines(lines, *block_at(lines, lines.line_of(start), language))


def of_lines(lines: Lines, first: int, last: int) -> Selection:
    """Whole lines.

    Args:
        lines: The text.
        first: From 0.
        last: The last of them.
    """
    return Selection(lines.start_of(first), lines.end_of(last), first, last, True)


def _in_lines(lines: Lines, start: int, end: int) -> Selection:
    first, last = lines.line_of(start), lines.line_of(end)
    before = lines.text[lines.start_of(first) : start]
    after = lines.text[end : lines.end_of(last)]
    if before.strip() or after.strip():
        return Selection(start, end, first, last, False)
    return of_lines(lines, first, last)


def select_problem(lines: Lines, range: Range | None, places: list[Range], language: Language) -> Selection:
    """What is to be mended: the lines that were selected, else the block around the problem.

    Args:
        lines: The text.
        range: As the editor sends it; within one line it is no more than the place of a problem.
        places: Where the problems are.
        language: Tells blocks.
    """
    found = select(lines, range, language) if range is not None or not places else None
    if found is not None and (not places or found.last_line > found.first_line):
        return of_lines(lines, found.first_line, found.last_line)
    rows = [line for one in places for line in (one.start.line, one.end.line)]
    if found is not None:
        rows.append(found.first_line)
    first, last = min(rows), min(max(rows), max(0, len(lines) - 1))
    blocks = [block_at(lines, row, language) for row in (min(first, last), last)]
    first, last = min(block[0] for block in blocks), max(block[1] for block in blocks)
    if last - first >= MENDED_MAX_LINES:
        return of_lines(lines, max(first, min(rows) - NEAR_LINES), min(last, max(rows) + NEAR_LINES))
    return of_lines(lines, first, last)
