"""Statistics over a span of the ledger: counts, hit rate, percentiles, costs; null where nothing is known."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from beastmode.core.clock import Clock, rfc3339
from beastmode.core.errors import BadInputError
from beastmode.metrics import figures, histogram, older
from beastmode.metrics.figures import PERCENTS, By, Filters, Question
from beastmode.metrics.ledger import Ledger
from beastmode.metrics.rollups import State, state_of
from beastmode.metrics.spans import DAY_S, US
from beastmode.metrics.steps import LATENCY, OVERHEAD, TTFT, Medians, Steps, joined, named_ms

WINDOWS_S = {"1h": 3_600, "24h": DAY_S, "7d": 7 * DAY_S, "30d": 30 * DAY_S}
STEPS_S = {"1h": 60, "24h": 900, "7d": 7_200, "30d": 28_800}

EXACT_MAX = 1_000
T = TypeVar("T")


class Stats:
    """Answers questions about spans of time; each answer is of one moment.

    Args:
        ledger: Where the rows are.
        clock: Time; windows count by the wall clock.
        newest: Wait for all that was recorded, as `Ledger.read` says.
    """

    def __init__(self, ledger: Ledger, clock: Clock, *, newest: bool = True) -> None:
        self._newest = newest
        self._steps = Steps()
        self._ledger = ledger
        self._clock = clock

    async def snapshot(
        self,
        window: str = "24h",
        origin: str | None = None,
        filters: Filters = Filters(),  # noqa: B008  # frozen
        *,
        before: bool = False,
        series: bool = False,
    ) -> dict[str, Any]:
        """Counts what happened in a window that ends now.

        Args:
            window: 1h, 24h, 7d or 30d.
            origin: Whose requests; None: those of persons, but the costs of every origin.
            filters: Which requests.
            before: The same figures of the period before, as `before`.
            series: Points over time, as `series: {step_s, points: [{at, success, failure, refused, cancelled, cost_usd,
                saved_usd, hit_rate, p50_ms, p95_ms, ttft_p50_ms, overhead_p50_ms}]}`; the first and the last point
                are of a part of their step.

        Returns:
            The fields of `metrics.get` without `health`: requests (by the model that answered, else the one asked for),
            cache, latency_ms, ttft_ms and overhead_ms (of successes), costs, errors. What is not known is None.

        Raises:
            BadInputError: There is no such window.
        """
        length_us = _length_s(window) * US
        before_us = int(self._clock.wall_s() * 1e6) + 1
        from_us = before_us - 1 - length_us
        whose: dict[str, Any] = {"origin": origin or "person", "all_costs": origin is None, "filters": filters}

        def count(connection: sqlite3.Connection, state: State) -> dict[str, Any]:
            found = _figures(connection, Question(state, from_us, before_us, **whose))
            if before:
                found["before"] = _figures(connection, Question(state, from_us - length_us, from_us, **whose))
            if series:
                found["series"] = self._over_time(connection, state, (from_us, before_us), STEPS_S[window], whose)
            return found

        return {"window": window, **await self._read(count)}

    def _over_time(
        self, connection: sqlite3.Connection, state: State, span: tuple[int, int], step_s: int, whose: dict[str, Any]
    ) -> dict[str, Any]:
        def ask(from_us: int, before_us: int) -> Question:
            return Question(state, from_us, before_us, **whose, step_s=step_s)

        view = (whose["origin"], whose["filters"])
        return _series(connection, ask(*span), self._steps.medians(connection, state, view, ask, span, step_s))

    async def history(self) -> dict[str, Any]:
        """Says how much of an older ledger is added up.

        Returns:
            `{complete, done}`: whether all of it is, and the share that is. Figures are right meanwhile, and slower.
        """
        return await self._ledger.read(older.progress, newest=False)

    async def breakdown(
        self,
        by: By,
        from_s: float,
        before_s: float,
        origin: str | None = None,
        filters: Filters = Filters(),  # noqa: B008  # frozen
    ) -> dict[str, Any]:
        """Counts requests, tokens and money for each value of a dimension.

        Args:
            by: The dimension; days and months are of UTC. A request with several tags counts for each of them.
            from_s: Where the span begins, wall clock.
            before_s: Where it ends; it is not in it.
            origin: Whose requests; None: those of persons, but tokens and costs of every origin.
            filters: Which requests.

        Returns:
            `{from, to, rows: [{key, requests, success, failure, refused, cancelled, hits, tokens: {prompt_tokens, ...},
            cost_usd, unknown, saved_usd, latency_ms}], left_out, total: {the same, by_origin}}`; the dearest first, but
            days and months in their order. `tokens` are those of calls, not of hits; `unknown` are requests of unknown
            cost, which are not in `cost_usd`; `latency_ms` is the mean of successes; `left_out` rows did not fit.
            Of very many sessions, only those since `rows_from` are looked at; `total` is of all.
        """
        return await self._broken_down(by, int(from_s * 1e6), int(before_s * 1e6), origin, filters)

    async def window(
        self,
        by: By,
        window: str = "24h",
        origin: str | None = None,
        filters: Filters = Filters(),  # noqa: B008  # frozen
    ) -> dict[str, Any]:
        """As `breakdown`, for a window that ends now.

        Args:
            by: The dimension.
            window: 1h, 24h, 7d or 30d.
            origin: Whose requests; None: those of persons, but tokens and costs of every origin.
            filters: Which requests.

        Raises:
            BadInputError: There is no such window.
        """
        now_us = int(self._clock.wall_s() * 1e6)
        return await self._broken_down(by, now_us - _length_s(window) * US, now_us + 1, origin, filters)

    async def _broken_down(
        self, by: By, from_us: int, before_us: int, origin: str | None, filters: Filters
    ) -> dict[str, Any]:
        whose: dict[str, Any] = {"origin": origin or "person", "all_costs": origin is None, "filters": filters}

        def count(connection: sqlite3.Connection, state: State) -> dict[str, Any]:
            return figures.breakdown(connection, Question(state, from_us, before_us, **whose), by)

        return {"from": rfc3339(from_us / 1e6), "to": rfc3339(before_us / 1e6), **await self._read(count)}

    async def _read(self, count: Callable[[sqlite3.Connection, State], T]) -> T:
        return await self._ledger.read(lambda connection: count(connection, state_of(connection)), newest=self._newest)


def _length_s(window: str) -> int:
    if window not in WINDOWS_S:
        raise BadInputError(f"There is no window {window!r}.", tips=[f"ask for one of {', '.join(WINDOWS_S)}"])
    return WINDOWS_S[window]


def _figures(connection: sqlite3.Connection, question: Question) -> dict[str, Any]:
    found = figures.figures(connection, question)
    means, costs, errors = found.pop("means"), found.pop("costs"), found.pop("errors")
    spreads = _percentiles(connection, question, found["requests"]["success"], [LATENCY, TTFT, OVERHEAD], PERCENTS)
    for name, spread in zip(("latency_ms", "ttft_ms", "overhead_ms"), spreads, strict=True):
        found[name] = {"mean": means[name], **named_ms(spread)}
    return {**found, "costs": costs, "errors": errors}


def _series(connection: sqlite3.Connection, question: Question, medians: dict[int, Medians]) -> dict[str, Any]:
    step_s, (from_us, before_us) = question.step_s, question.span
    counted = figures.series(connection, question)
    points = []
    for start_s in range(from_us // US // step_s * step_s, -(-before_us // US), step_s):
        spread = medians.get(start_s, _NO_TIMES)
        points.append({"at": rfc3339(start_s), **counted.get(start_s, _NOTHING), **spread})
    return {"step_s": step_s, "points": points}


_NO_TIMES: Medians = dict.fromkeys(("p50_ms", "p95_ms", "ttft_p50_ms", "overhead_p50_ms"))
_NOTHING = {
    **dict.fromkeys(("success", "failure", "refused", "cancelled"), 0),
    "cost_usd": 0.0,
    "saved_usd": 0.0,
    "hit_rate": None,
}


def _percentiles(
    connection: sqlite3.Connection,
    question: Question,
    successes: int,
    spreads: list[tuple[int, ...]],
    percents: tuple[int, ...],
) -> list[list[float | None]]:
    """Percentiles of how long successes took: exact where these are few, else from histograms."""
    if successes <= EXACT_MAX and question.rows_are_kept:
        values = figures.exact_times(connection, question)
        chosen = ([value for number in spread for value in values[number]] for spread in spreads)
        return [histogram.exact_percentiles(some, percents) for some in chosen]
    times = figures.times(connection, question).get(0)
    return [histogram.percentiles(joined(times, spread), percents) for spread in spreads]
