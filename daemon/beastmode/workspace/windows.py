"""The part of a file that a model is shown: all of a small one, else what stands around the selection, cut at lines."""

from __future__ import annotations

import msgspec

from beastmode.workspace.positions import Lines
from beastmode.workspace.selection import Selection

WINDOW_MAX_CHARS = 6_000
"""Of text around the selection: about 2,000 tokens, which the models of this machine have room for."""

SELECTION_MAX_CHARS = 48_000
STEP_LINES = 20
"""A window is cut at every twentieth line only, so that a small change above it seldom changes what is shown."""


class Window(msgspec.Struct, frozen=True):
    """Lines of a file that are shown.

    Attributes:
        first: From 0.
        last: The last of them.
        whole: They are the whole file.
    """

    first: int
    last: int
    whole: bool


def window_around(lines: Lines, selection: Selection, max_chars: int = WINDOW_MAX_CHARS) -> Window:
    """Chooses what is shown around a selection, twice as much before it as after it.

    Args:
        lines: The text.
        selection: What is meant; it is shown whatever its size.
        max_chars: Most characters around it.
    """
    last_line = max(0, len(lines) - 1)
    around = len(lines.text) - (selection.end - selection.start)
    if around <= max_chars:
        return Window(0, last_line, True)
    before = lines.start_of(selection.first_line)
    after = len(lines.text) - lines.end_of(selection.last_line)
    room_after = min(after, max(max_chars // 3, max_chars - before))
    room_before = max_chars - room_after
    first = selection.first_line
    while first > 0 and before - lines.start_of(first - 1) <= room_before:
        first -= 1
    last = selection.last_line
    end = lines.end_of(selection.last_line)
    while last < last_line and lines.end_of(last + 1) - end <= room_after:
        last += 1
    return Window(*_at_steps(first, last, selection, last_line), whole=False)


def _at_steps(first: int, last: int, selection: Selection, last_line: int) -> tuple[int, int]:
    """Moves both ends inwards to a step, but not into the selection."""
    stepped_first = min(-(-first // STEP_LINES) * STEP_LINES, selection.first_line)
    stepped_last = last if last == last_line else max(last // STEP_LINES * STEP_LINES - 1, selection.last_line)
    return stepped_first, stepped_last
