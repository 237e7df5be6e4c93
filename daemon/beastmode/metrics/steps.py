"""Medians over time, step by step: what is over is counted once, and kept until a row comes that belongs there."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Hashable
from typing import Any

from beastmode.metrics import figures, histogram
from beastmode.metrics.figures import PERCENTS, Question, Times
from beastmode.metrics.histogram import Bins
from beastmode.metrics.rollups import State
from beastmode.metrics.spans import US

LATENCY, TTFT, OVERHEAD = (0, 1), (2,), (3,)
"""Which of `spreads.TIMES` make up a time."""

VIEWS_MAX = 16

Medians = dict[str, float | None]
Ask = Callable[[int, int], Question]


class Steps:
    """Medians of a few views, remembered.

    A step is over when the roll-ups of its time are closed; `State.late` says when one of these changed after all.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, dict[int, Medians]] = {}

    def medians(
        self, connection: sqlite3.Connection, state: State, view: Hashable, ask: Ask, span: tuple[int, int], step_s: int
    ) -> dict[int, Medians]:
        """Finds the medians of each step.

        Args:
            connection: In a transaction.
            state: Read in it.
            view: Whose requests; with the same the same is meant.
            ask: Makes the question for a part of the span, from and before, microseconds since the epoch.
            span: From and before, the same.
            step_s: Length of a step.

        Returns:
            By the step's begin, seconds since the epoch; a step without requests is left out.
        """
        from_us, before_us = span
        step_us = step_s * US
        first_s = -(-from_us // step_us) * step_s
        until_s = max(first_s, min(_closed_s(state, step_s), before_us // step_us * step_s))
        known = self._of((view, step_s, state.late, state.pruned_us))
        missing = [start_s for start_s in range(first_s, until_s, step_s) if start_s not in known]
        if missing:
            low_s, high_s = missing[0], missing[-1] + step_s
            counted = _counted(connection, ask(low_s * US, high_s * US))
            known.update({start_s: counted.get(start_s, {}) for start_s in range(low_s, high_s, step_s)})
        found = {start_s: known[start_s] for start_s in range(first_s, until_s, step_s)}
        for low_us, high_us in ((from_us, min(first_s * US, before_us)), (until_s * US, before_us)):
            if low_us < high_us:
                found |= _counted(connection, ask(low_us, high_us))
        return {start_s: medians for start_s, medians in found.items() if medians}

    def _of(self, view: Hashable) -> dict[int, Medians]:
        known = self._known.pop(view, {})
        while len(self._known) >= VIEWS_MAX:
            self._known.pop(next(iter(self._known)), None)
        self._known[view] = known
        return known


def _closed_s(state: State, step_s: int) -> int:
    """Before this time every level up to the step is closed."""
    closed = [level.until for level in state.levels[1:2]]
    closed += [level.until for level in state.levels if level.seconds == step_s]
    return min(closed, default=0)


def _counted(connection: sqlite3.Connection, question: Question) -> dict[int, Medians]:
    timed = figures.times(connection, question, stepped=True)
    return {start_s: _medians(times) for start_s, times in timed.items()}


def _medians(times: Times) -> Medians:
    took, first, ours = (
        named_ms(histogram.percentiles(joined(times, which), PERCENTS)) for which in (LATENCY, TTFT, OVERHEAD)
    )
    return {
        "p50_ms": took["p50"],
        "p95_ms": took["p95"],
        "ttft_p50_ms": first["p50"],
        "overhead_p50_ms": ours["p50"],
    }


def joined(times: Times | None, spread: tuple[int, ...]) -> Bins:
    """One histogram of several.

    Args:
        times: As `figures.times` found them.
        spread: Which of them.
    """
    bins: Bins = {}
    for number in spread:
        histogram.merge(bins, times[number] if times else {})
    return bins


def named_ms(percentiles_us: list[Any]) -> dict[str, float | None]:
    """Percentiles by their names.

    Args:
        percentiles_us: In the order of `PERCENTS`.
    """
    named = zip(PERCENTS, percentiles_us, strict=True)
    return {f"p{percent}": None if value is None else value / 1e3 for percent, value in named}
