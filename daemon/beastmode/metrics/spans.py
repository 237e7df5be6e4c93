"""Which roll-ups make up a span of time: long ones inside, shorter ones towards its ends, rows at the ragged ends.

Roll-ups of a level are kept from `since` on and complete until `until`; after the last `until` there are only minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

MINUTE_S = 60
DAY_S = 86_400
LEVELS_S = (MINUTE_S, 900, 7_200, 28_800, DAY_S)
"""Each divides the next. All but the shortest and the longest are also the steps of a series."""

US = 1_000_000
FOREVER_S = 1 << 40


class Level(NamedTuple):
    """How far the roll-ups of one level go.

    Attributes:
        seconds: Their length.
        since: Earlier ones were deleted; seconds since the epoch, a multiple of the next level's length.
        until: Later ones are not made yet; seconds since the epoch, a multiple of `seconds`.
    """

    seconds: int
    since: int
    until: int


class Cover(NamedTuple):
    """A span, taken apart.

    Attributes:
        pieces: (level, from, before) of roll-ups; seconds since the epoch.
        ragged: (from, before) of single rows; microseconds since the epoch.
        inner: (from, before) of what the pieces cover; microseconds since the epoch.
    """

    pieces: list[tuple[int, int, int]]
    ragged: list[tuple[int, int]]
    inner: tuple[int, int]


def cover(from_us: int, before_us: int, levels: Sequence[Level], pruned_us: int = 0) -> Cover:
    """Takes a span apart.

    An end within a roll-up is counted by its rows. Where these were deleted (they are older than `pruned_us`), that
    roll-up counts whole if its middle is in the span, else not at all.

    Args:
        from_us: Its begin, microseconds since the epoch.
        before_us: Its end, which is not in it.
        levels: From the shortest to the longest; with fewer of them the pieces are shorter; none: there are only rows.
        pruned_us: Rows before this time may be gone.
    """
    if before_us <= from_us:
        return Cover([], [], (0, 0))
    if not levels:
        return Cover([], [(from_us, before_us)], (0, 0))
    first_s = _edge(from_us, levels, pruned_us, up=True)
    last_s = _edge(before_us, levels, pruned_us, up=False)
    if first_s >= last_s:
        return Cover([], [(from_us, before_us)], (0, 0))
    ends = [(from_us, first_s * US), (last_s * US, before_us)]
    pieces = _split(first_s, last_s, levels)
    return Cover(pieces, [(low, high) for low, high in ends if low < high], (first_s * US, last_s * US))


def _edge(at_us: int, levels: Sequence[Level], pruned_us: int, *, up: bool) -> int:
    """The nearest bound of a roll-up on the inner side, of the shortest level that reaches there."""
    size_s = next((level.seconds for level in levels if level.since * US <= at_us), levels[-1].seconds)
    start_s = at_us // (size_s * US) * size_s
    if start_s * US == at_us:
        return start_s
    if start_s * US < pruned_us:
        return start_s if at_us - start_s * US <= size_s * US // 2 else start_s + size_s
    return start_s + size_s if up else start_s


def _split(first_s: int, last_s: int, levels: Sequence[Level]) -> list[tuple[int, int, int]]:
    if first_s >= last_s:
        return []
    level, finer = levels[-1], levels[:-1]
    if not finer:
        return [(level.seconds, first_s, last_s)]
    low_s = -(-first_s // level.seconds) * level.seconds
    high_s = min(last_s // level.seconds * level.seconds, level.until)
    if low_s >= high_s:
        return _split(first_s, last_s, finer)
    return [*_split(first_s, low_s, finer), (level.seconds, low_s, high_s), *_split(high_s, last_s, finer)]


def floor(at_s: int, size_s: int) -> int:
    """When the roll-up that has a second began.

    Args:
        at_s: Seconds since the epoch.
        size_s: Its length.
    """
    return at_s // size_s * size_s
