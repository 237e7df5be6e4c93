"""Where the lines that a model wants replaced are: exactly, or so nearly that nothing else can be meant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import SequenceMatcher

import msgspec

from beastmode.workspace.surroundings import trimmed

LEAST_LIKENESS = 0.85
LEAST_LEAD = 0.06
NEAR_MAX_ROWS = 20_000
NEAR_MAX_SOUGHT = 300
SLACK_ROWS = 2


class Place(msgspec.Struct, frozen=True):
    """Lines of a text.

    Attributes:
        first: The first of them, from 0.
        stop: The line after the last.
    """

    first: int
    stop: int


def places_of(rows: list[str], sought: list[str]) -> list[Place]:
    """Finds lines in a text; each way to compare is looser than the one before, and the first that finds them counts.

    Args:
        rows: The text, without line ends.
        sought: What is looked for.

    Returns:
        Where they are; several places: it can not be told which is meant.
    """
    sought = trimmed(sought)
    if not sought:
        return []
    ways: list[Callable[[str], str]] = [str, str.rstrip, str.strip, lambda row: "".join(row.split())]
    for way in ways:
        if found := list(_same(rows, sought, way)):
            return found
    if found := list(_without_blank_rows(rows, sought)):
        return found
    return _nearest(rows, sought)


def _same(rows: list[str], sought: list[str], way: Callable[[str], str]) -> Iterator[Place]:
    wanted = [way(row) for row in sought]
    there = [way(row) for row in rows]
    first = wanted[0]
    for i in range(len(there) - len(wanted) + 1):
        if there[i] == first and there[i : i + len(wanted)] == wanted:
            yield Place(i, i + len(wanted))


def _without_blank_rows(rows: list[str], sought: list[str]) -> Iterator[Place]:
    full = [i for i, row in enumerate(rows) if row.strip()]
    wanted = [row.strip() for row in sought if row.strip()]
    there = [rows[i].strip() for i in full]
    for i in range(len(there) - len(wanted) + 1):
        if there[i : i + len(wanted)] == wanted:
            yield Place(full[i], full[i + len(wanted) - 1] + 1)


def _nearest(rows: list[str], sought: list[str]) -> list[Place]:
    """The lines that are likest, where they are very like and no others are nearly as like."""
    if len(sought) > NEAR_MAX_SOUGHT or len(rows) > NEAR_MAX_ROWS or len("".join(sought)) < 20:
        return []
    wanted = "\n".join(row.strip() for row in sought)
    there = [row.strip() for row in rows]
    words = set(wanted.split())
    rated: list[tuple[float, Place]] = []
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(wanted)
    for place in _windows(there, len(sought)):
        text = "\n".join(there[place.first : place.stop])
        if 2 * len(words.intersection(text.split())) < len(words):
            continue
        matcher.set_seq1(text)
        if matcher.quick_ratio() >= LEAST_LIKENESS and (ratio := matcher.ratio()) >= LEAST_LIKENESS:
            rated.append((ratio, place))
    if not rated:
        return []
    best, at = max(rated, key=lambda one: one[0])
    rivals = [ratio for ratio, one in rated if one.stop <= at.first or one.first >= at.stop]
    return [at] if best - max(rivals, default=0.0) >= LEAST_LEAD else [at, at]


def _windows(rows: list[str], length: int) -> Iterator[Place]:
    slack = min(SLACK_ROWS, length // 3)
    for size in range(max(1, length - slack), length + slack + 1):
        for first in range(len(rows) - size + 1):
            if rows[first] and rows[first + size - 1]:
                yield Place(first, first + size)
