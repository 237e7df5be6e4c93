"""Histograms whose bins grow by 2%: they merge by addition, and a percentile is off by less than 1%."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import msgspec

BASE = 1.02
_PER_LOG = 1 / math.log(BASE)
_MIDDLE = 2 / (1 + BASE)  # of a bin's upper edge: as far, in percent, from the lower edge as from the upper

Bins = dict[int, int]
"""How many values each bin has; bin 0 is of zero, bin b of `BASE ** (b - 1)` up to `BASE ** b` microseconds."""

_decode = msgspec.json.Decoder(list[int]).decode


def add(bins: Bins, values_us: Iterable[int]) -> None:
    """Counts values.

    Args:
        bins: What is added to.
        values_us: Microseconds; what is below one counts as zero.
    """
    log = math.log
    for value_us in values_us:
        place = 1 + int(log(value_us) * _PER_LOG) if value_us > 0 else 0
        bins[place] = bins.get(place, 0) + 1


def add_pairs(bins: Bins, pairs: list[int]) -> None:
    """Adds what other histograms have.

    Args:
        bins: What is added to.
        pairs: Bin, count, bin, count and so on; a bin may come again.
    """
    numbers = iter(pairs)
    for place, count in zip(numbers, numbers, strict=True):
        bins[place] = bins.get(place, 0) + count


def merge(bins: Bins, other: Bins) -> None:
    """Adds another histogram.

    Args:
        bins: What is added to.
        other: What it has.
    """
    for place, count in other.items():
        bins[place] = bins.get(place, 0) + count


def to_text(bins: Bins) -> str:
    """As it is stored: `bin,count,bin,count`; such texts merge by a comma between them."""
    flat = [number for pair in bins.items() for number in pair]
    return msgspec.json.encode(flat)[1:-1].decode()


def from_text(text: str) -> Bins:
    """A histogram from what `to_text` made, or from several such texts with commas between."""
    bins: Bins = {}
    add_pairs(bins, _decode(f"[{text}]"))
    return bins


def percentiles(bins: Bins, percents: Iterable[int]) -> list[float | None]:
    """Finds values by nearest rank: the p-th percentile of n values is the one at place ceil(p * n).

    Args:
        bins: The values.
        percents: Rising.

    Returns:
        Microseconds, less than 1% off; None where there are no values.
    """
    return [None if place is None else _value_us(place) for place in _at_ranks(bins, percents)]


def exact_percentiles(values_us: Iterable[int], percents: Iterable[int]) -> list[float | None]:
    """As `percentiles`, of the values themselves."""
    return list(_at_ranks(Counter(values_us), percents))


def _at_ranks(counts: dict[int, int], percents: Iterable[int]) -> list[int | None]:
    total = sum(counts.values())
    if not total:
        return [None for _ in percents]
    rising = iter(sorted(counts))
    value = next(rising)
    seen = counts[value]
    found: list[int | None] = []
    for percent in percents:
        while seen < -(-total * percent // 100):
            value = next(rising)
            seen += counts[value]
        found.append(value)
    return found


def _value_us(place: int) -> float:
    return BASE**place * _MIDDLE if place else 0.0
