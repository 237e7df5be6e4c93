"""Edits as `action` gives them: a unified diff put to the text that it was made for, exactly or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterator

from beastmode.core.errors import BadInputError

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@")


def apply_diff(text: str, diff: str) -> str:
    """Puts a diff of one file to its text. Lines end at LF; a CR before it belongs to the line.

    Args:
        text: The text that the diff was made for; empty for a new file.
        diff: With or without its two lines of head.

    Raises:
        BadInputError: It is not the text that the diff was made for.
    """
    old = _lines(text)
    new: list[str] = []
    at = 0
    for start, removed, added in _hunks(diff):
        if start < at or old[start : start + len(removed)] != removed:
            raise BadInputError(
                f"The text has changed since the edit was made: line {start + 1} is another one.",
                tips=["ask again, for the text as it is now"],
            )
        new += old[at:start] + added
        at = start + len(removed)
    return "".join(new + old[at:])


def _hunks(diff: str) -> Iterator[tuple[int, list[str], list[str]]]:
    """Where each hunk begins, the lines that it expects there, and those that it leaves."""
    lines = _lines(diff)
    at = 0
    while at < len(lines):
        head = _HUNK.match(lines[at])
        at += 1
        if head is None:
            continue
        removed: list[str] = []
        added: list[str] = []
        while at < len(lines) and lines[at][0] in " -+\\":
            _take(lines[at], removed, added, lines[at - 1][0])
            at += 1
        yield int(head[1]) - (1 if removed else 0), removed, added


def _take(line: str, removed: list[str], added: list[str], before: str) -> None:
    mark, row = line[0], line[1:]
    if mark == "\\":  # the line before it has no end
        for side, marks in ((removed, " -"), (added, " +")):
            if before in marks:
                side[-1] = side[-1].removesuffix("\n")
        return
    if mark in " -":
        removed.append(row)
    if mark in " +":
        added.append(row)


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    last = lines.pop()
    return [f"{line}\n" for line in lines] + ([last] if last else [])
