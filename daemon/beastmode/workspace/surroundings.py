"""What an answer repeats of the file around the selection: found, and left out."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from beastmode.workspace.blocks import indent_of
from beastmode.workspace.positions import Lines, content
from beastmode.workspace.selection import Selection

REWRITTEN_MIN_LINES = 4
REWRITTEN_MAX_LINES = 2_000


def selected_rows(lines: Lines, selection: Selection) -> list[str]:
    """The lines that a selection touches.

    Args:
        lines: The text.
        selection: A part of it.
    """
    return lines.lines[selection.first_line : selection.last_line + 1]


def trimmed(rows: list[str]) -> list[str]:
    """Lines without the blank ones at either end.

    Args:
        rows: Lines.
    """
    while rows and not rows[0].strip():
        rows = rows[1:]
    while rows and not rows[-1].strip():
        rows = rows[:-1]
    return rows


def margin(rows: list[str]) -> int:
    """The columns that all lines are indented.

    Args:
        rows: Lines; blank ones do not count.
    """
    return min((indent_of(row) for row in rows if row.strip()), default=0)


def is_whole_file(lines: Lines, selection: Selection, rows: list[str]) -> bool:
    """Whether code is all of the file: every line outside of the selection is in it, in order, and more.

    Args:
        lines: The file.
        selection: What is replaced.
        rows: The code.
    """
    outside = [*lines.lines[: selection.first_line], *lines.lines[selection.last_line + 1 :]]
    wanted = [row.strip() for row in outside if row.strip()]
    given = iter(row.rstrip() for row in rows)
    return len(wanted) > 1 and all(any(content(one).rstrip() == row for row in given) for one in outside if one.strip())


def without_context(lines: Lines, selection: Selection, rows: list[str]) -> tuple[list[str], int | None]:
    """Leaves out what the code repeats of the lines before and after the selection.

    Args:
        lines: The text.
        selection: What is replaced.
        rows: The code.

    Returns:
        What is left, and how much deeper it has to be indented, where what was repeated tells.
    """
    own = [content(row) for row in selected_rows(lines, selection)]
    before = [content(row) for row in lines.lines[: selection.first_line]]
    after = [content(row) for row in lines.lines[selection.last_line + 1 :]]
    first, shift = _repeated(rows, _trimmed_end(before), own)
    last, shift_after = _repeated(rows[::-1], _trimmed_end(after[::-1]), own[::-1])
    if first and last and (shift != shift_after or first + last >= len(rows)):
        last, shift_after = 0, None
    left = trimmed(rows[first : len(rows) - last])
    known = shift if first else shift_after
    if known is not None and left and (not trimmed(own) or margin(left) + known == margin(own)):
        return left, known
    return _rewritten(rows, before, after, own) or (rows, None)


def _trimmed_end(rows: list[str]) -> list[str]:
    while rows and not rows[-1].strip():
        rows = rows[:-1]
    return rows


def _repeated(rows: list[str], before: list[str], own: list[str]) -> tuple[int, int | None]:
    """How many of the first rows are the last ones of what stands before, and how much deeper they stand there."""
    for count in range(min(len(rows) - 1, len(before)), 0, -1):
        if rows[0].strip() != before[-count].strip():
            continue
        pairs = [(a, b) for a, b in zip(rows[:count], before[-count:], strict=True) if a.strip() or b.strip()]
        if any(a.strip() != b.strip() for a, b in pairs) or not any(re.search(r"\w{3}", a) for a, _ in pairs):
            continue
        shifts = {indent_of(b) - indent_of(a) for a, b in pairs}
        if len(shifts) == 1 and [row.strip() for row in own[:count]] != [row.strip() for row in rows[:count]]:
            return count, shifts.pop()
    return 0, None


def _rewritten(rows: list[str], before: list[str], after: list[str], own: list[str]) -> tuple[list[str], int] | None:
    """What stands for the selection in code that is all of a file, changed here and there outside of the selection.

    The lines next to the selection must be there as they were: between them is what is meant.
    """
    file = [row.strip() for row in [*before, *own, *after]]
    outside = [i for i, row in enumerate(file) if row and not len(before) <= i < len(before) + len(own)]
    if len(outside) < REWRITTEN_MIN_LINES or len(rows) > REWRITTEN_MAX_LINES or len(file) > REWRITTEN_MAX_LINES:
        return None
    matcher = SequenceMatcher(None, file, [row.strip() for row in rows], autojunk=False)
    there = {a + i: b + i for a, b, size in matcher.get_matching_blocks() for i in range(size)}
    if 2 * sum(i in there for i in outside) < len(outside):
        return None
    above = max((i for i in outside if i < len(before)), default=None)
    below = min((i for i in outside if i >= len(before)), default=None)
    near = [i for i in (above, below) if i is not None]
    if any(i not in there for i in near):
        return None
    start = there[above] + 1 if above is not None else 0
    stop = there[below] if below is not None else len(rows)
    left, all_rows = trimmed(rows[start:stop]), [*before, *own, *after]
    shift = indent_of(all_rows[near[0]]) - indent_of(rows[there[near[0]]])
    return (left, shift) if left and margin(left) + shift == margin(own) else None
