"""A unified diff against one version of a document -> the smallest edits, and those edits in a later version.

An edit moves with what was typed elsewhere only where that is proven: no known change touches its lines, and its lines
stand, unchanged, where the changes have moved them to. In every other case there is no edit.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from beastmode_lsp.documents import Change, Snapshot
from beastmode_lsp.positions import Point, Span
from beastmode_lsp.positions import replace as replace_in

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_NO_END = "\\"


class DiffError(Exception):
    """A diff that can not be read, or does not fit the text.

    Args:
        sentence: What is wrong.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(slots=True, frozen=True)
class Edit:
    """One replacement.

    Attributes:
        span: What is replaced.
        text: What stands there afterwards.
    """

    span: Span
    text: str


@dataclass(slots=True)
class Hunk:
    """Lines of a diff that belong together.

    Attributes:
        start: The number of its first old line, from 0.
        runs: Stretches of lines that stay (`old` is `new`) and that change.
    """

    start: int
    runs: list[tuple[list[str], list[str]]]


def edits_of(diff: str, lines: Sequence[str]) -> list[Edit]:
    """The edits that a diff means.

    Args:
        diff: A unified diff; its lines end at LF, as those of git.
        lines: Of the text that it is against, as `split_lines` gives them.

    Returns:
        Edits in the order of the text, none touching another, with nothing in them that stays as it is.

    Raises:
        DiffError: It can not be read, or does not fit the text.
    """
    text = "".join(lines)
    rows = text.split("\n")
    rows = [row + "\n" for row in rows[:-1]] + ([rows[-1]] if rows[-1] else [])
    starts = list(itertools.accumulate(map(len, rows), initial=0))
    found: list[tuple[int, int, str]] = []
    for hunk in hunks_of(diff):
        at = hunk.start
        for old, new in hunk.runs:
            if rows[at : at + len(old)] != old:
                raise DiffError(f"The diff does not fit the text at line {at + 1}.")
            if old is not new:
                found += _smallest(old, new, starts[at])
            at += len(old)
    return _placed(found, lines)


def hunks_of(diff: str) -> list[Hunk]:
    """Reads a unified diff of one file.

    Args:
        diff: The diff.

    Raises:
        DiffError: It is none.
    """
    rows = diff.split("\n")
    hunks: list[Hunk] = []
    at = 0
    while at < len(rows):
        found = _HUNK.match(rows[at])
        at += 1
        if found is None:
            continue
        counts = [1 if count is None else int(count) for count in (found[2], found[4])]
        start = int(found[1]) - 1 if counts[0] else int(found[1])  # lines that only come are behind the one named
        hunk, at = _hunk(rows, at, start, counts)
        hunks.append(hunk)
    if not hunks and diff.strip():
        raise DiffError("The diff has no hunk.")
    return hunks


def _hunk(rows: list[str], at: int, start: int, left: list[int]) -> tuple[Hunk, int]:
    """Reads as many lines as the head of the hunk counts."""
    marked: list[tuple[str, str]] = []
    while any(left) or (at < len(rows) and rows[at].startswith(_NO_END)):
        if at >= len(rows):
            raise DiffError("The diff ends in the middle of a hunk.")
        sign, line = rows[at][:1] or " ", rows[at][1:]
        at += 1
        if sign == _NO_END:
            if not marked:
                raise DiffError("The diff has no line before the end of the file.")
            marked[-1] = (marked[-1][0], marked[-1][1].removesuffix("\n"))
            continue
        if sign not in " +-":
            raise DiffError(f"A line of the diff begins with {sign!r}.")
        left[0] -= sign != "+"
        left[1] -= sign != "-"
        if min(left) < 0:
            raise DiffError("A hunk of the diff has more lines than its head says.")
        marked.append((sign, line + "\n"))
    return Hunk(max(0, start), _runs(marked)), at


def _runs(marked: Iterable[tuple[str, str]]) -> list[tuple[list[str], list[str]]]:
    runs: list[tuple[list[str], list[str]]] = []
    for stays, group in itertools.groupby(marked, key=lambda one: one[0] == " "):
        lines = list(group)
        old = [line for sign, line in lines if sign != "+"]
        runs.append((old, old) if stays else (old, [line for sign, line in lines if sign == "+"]))
    return runs


def _smallest(old: list[str], new: list[str], start: int) -> list[tuple[int, int, str]]:
    """Replacements by offset: one a line where as many come as go, else one for all."""
    pairs = list(zip(old, new, strict=True)) if len(old) == len(new) else [("".join(old), "".join(new))]
    found = []
    for before, after in pairs:
        if before != after:
            head, tail = _common(before, after)
            found.append((start + head, start + len(before) - tail, after[head : len(after) - tail]))
        start += len(before)
    return found


def _common(before: str, after: str) -> tuple[int, int]:
    """How many characters two texts share at their start and at their end; a CR LF is never cut in two."""
    most = min(len(before), len(after))
    head = next((i for i in range(most) if before[i] != after[i]), most)
    if head and before[head - 1] == "\r":
        head -= 1
    tail = next((i for i in range(most - head) if before[-1 - i] != after[-1 - i]), most - head)
    if tail and before[-tail] == "\n" and "\r" in (before[-tail - 1 : -tail], after[-tail - 1 : -tail]):
        tail -= 1
    return head, tail


def _placed(found: list[tuple[int, int, str]], lines: Sequence[str]) -> list[Edit]:
    """Offsets as places in lines."""
    starts = list(itertools.accumulate(map(len, lines), initial=0))[:-1]
    edits = []
    number = 0
    for start, end, text in sorted(found):
        while number + 1 < len(starts) and starts[number + 1] <= start:
            number += 1
        last = number
        while last + 1 < len(starts) and starts[last + 1] <= end:
            last += 1
        edits.append(Edit(Span(Point(number, start - starts[number]), Point(last, end - starts[last])), text))
    return edits


def apply(lines: Sequence[str], edits: Sequence[Edit]) -> list[str]:
    """The text with edits applied.

    Args:
        lines: Of the text.
        edits: Against that text, in its order.
    """
    found = list(lines)
    for edit in reversed(edits):
        replace_in(found, edit.span, edit.text)
    return found


def rebase(
    edits: Sequence[Edit], snapshot: Snapshot, lines: Sequence[str], changes: Sequence[Change] | None
) -> list[Edit] | None:
    """Edits against a snapshot as edits of the text as it is now.

    Args:
        edits: Against the snapshot.
        snapshot: What they were made for.
        lines: Of the text now.
        changes: All changes since the snapshot; None: they are not known.

    Returns:
        The edits; None where one can not be placed for sure.
    """
    if lines == snapshot.lines:
        return list(edits)
    if changes is None:
        return None
    moved = [_follow(edit, changes) for edit in edits]
    for before, after in zip(edits, moved, strict=True):
        if after is None or _old(before, snapshot.lines) != _old(after, lines):
            return None
    return [edit for edit in moved if edit is not None]


def _follow(edit: Edit, changes: Iterable[Change]) -> Edit | None:
    for change in changes:
        shift = _shift(edit, change)
        if shift is None:
            return None
        start, end = edit.span
        edit = replace(edit, span=Span(Point(start.line + shift, start.column), Point(end.line + shift, end.column)))
    return edit


def _reach(edit: Edit) -> tuple[int, int]:
    """The lines that an edit is about: from the first to the one behind the last; none where whole lines only come."""
    start, end = edit.span
    if start == end and not start.column and edit.text.endswith(("\n", "\r")):
        return start.line, start.line
    return start.line, end.line + (end.column > 0 or start == end)


def _old(edit: Edit, lines: Sequence[str]) -> Sequence[str]:
    first, behind = _reach(edit)
    return lines[first:behind]


def _shift(edit: Edit, change: Change) -> int | None:
    """By how many lines a change moves an edit; None where it touches its lines, or the gap between two."""
    first, behind = _reach(edit)
    start, end = change.span
    gap = first == behind
    whole_lines = change.text.endswith(("\n", "\r")) if change.text else start.column == 0
    if end.line < first:
        split = gap and end.line == first - 1 and ("\n" in change.text or "\r" in change.text)
        return None if split else change.shift
    if end == (first, 0) and whole_lines and not gap:
        return change.shift
    if start.line >= behind and not (gap and start == (first, 0)):
        return 0
    return None


def is_missing(
    edits: Sequence[Edit], snapshot: Snapshot, lines: Sequence[str], changes: Sequence[Change] | None
) -> bool:
    """Whether none of the edits was applied, for sure: what they replace is there, and what they bring is not.

    Args:
        edits: Against the snapshot.
        snapshot: The text they were sent for.
        lines: Of the text now.
        changes: All changes since.
    """
    moved = rebase(edits, snapshot, lines, changes)
    if moved is None:
        return False
    return not any(_stands(edit, lines, snapshot.lines) for edit in zip(edits, moved, strict=True))


def _stands(edit: tuple[Edit, Edit], lines: Sequence[str], before: Sequence[str]) -> bool:
    """Whether what an edit brings stands at its place, or right before it."""
    sent, moved = edit
    (first, _), ((start, column), (last, end)) = _reach(moved), sent.span
    block = sent.text if first == _reach(moved)[1] else before[start][:column] + sent.text + before[last][end:]
    length = block.count("\n") + block.count("\r") + 1
    return "".join(lines[first : first + length]).startswith(block) or "".join(
        lines[max(0, first - length) : first]
    ).endswith(block)
