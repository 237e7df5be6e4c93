"""How the newest requests went, together and by model: counts of roll-ups, medians of rows while these are few."""

from __future__ import annotations

import sqlite3
import statistics
import time
from collections.abc import Iterable

import msgspec

from beastmode.core.clock import Clock
from beastmode.metrics import histogram
from beastmode.metrics.figures import Question
from beastmode.metrics.health_rules import Recent
from beastmode.metrics.histogram import Bins
from beastmode.metrics.ledger import Ledger
from beastmode.metrics.rollups import state_of

CALLERS_OWN = """(
    'bad_input', 'bad_request', 'conflict', 'context_too_long', 'not_in_cache', 'nothing_registered', 'unknown_model'
)"""
"""Kinds of errors that say something of the caller or of the set-up, and nothing of the health of models and daemon."""

EXACT_ROWS = 5_000
"""Up to so many requests the median is exact; beyond it is off by less than 1%."""

DEAR_S = 0.01
SHARE = 20
KEPT_MOST_S = 1.0
"""A look that cost more than 10 ms of processor time, under a flood, is kept for 20 times that, a second at most."""

_MODEL = "coalesce(k.model_served, k.model)"

# NOT INDEXED: rows beyond the watermark are few, and found by their id; for its GROUP BY, SQLite would rather read the
# whole index of kinds.

_SPAN = """
    WITH piece AS MATERIALIZED (
        SELECT json_extract(value, '$[0]') AS size, json_extract(value, '$[1]') AS low,
            json_extract(value, '$[2]') AS high
        FROM json_each(:pieces)),
    ragged AS MATERIALIZED (
        SELECT json_extract(value, '$[0]') AS low, json_extract(value, '$[1]') AS high FROM json_each(:ragged))"""

# ruff: noqa: S608  # every statement is made of constants

_COUNTS = f"""{_SPAN},
    part AS (
        SELECT r.kind, sum(r.n) AS n
        FROM piece p CROSS JOIN summary r ON r.level = p.size AND r.start >= p.low AND r.start < p.high GROUP BY 1
        UNION ALL
        SELECT r.kind, count(*) FROM ragged g CROSS JOIN request r ON r.at_us >= g.low AND r.at_us < g.high GROUP BY 1
        UNION ALL
        SELECT r.kind, count(*) FROM request r NOT INDEXED
        WHERE r.id > :watermark AND +r.at_us >= :inner_low AND +r.at_us < :inner_high GROUP BY 1)
    SELECT json_group_array(json_array(model, success, failure)) FROM (
        SELECT {_MODEL} AS model, coalesce(sum(n) FILTER (WHERE k.outcome = 'success'), 0) AS success,
            coalesce(sum(n) FILTER (WHERE k.outcome = 'failure'), 0) AS failure
        FROM part CROSS JOIN kind k ON k.id = part.kind
        WHERE k.origin = 'person' AND k.outcome IN ('success', 'failure')
            AND coalesce(k.error_kind, '') NOT IN {CALLERS_OWN} GROUP BY 1)"""

_ROWS = f"""
    SELECT '[' || coalesce(group_concat(one), '') || ']' FROM (
        SELECT '[' || json_quote({_MODEL}) || ',[' || group_concat(coalesce(r.ttft_us, r.latency_us)) || ']]' AS one
        FROM request r CROSS JOIN kind k ON k.id = r.kind
        WHERE r.at_us >= :from_us AND r.at_us < :before_us AND r.latency_us IS NOT NULL
            AND k.origin = 'person' AND k.outcome = 'success'
        GROUP BY {_MODEL})"""

_STORED = f"""{_SPAN}
    SELECT '[' || coalesce(group_concat(one), '') || ']' FROM (
        SELECT '[' || json_quote({_MODEL}) || ',[' || coalesce(group_concat(h.plain), '') || '],['
            || coalesce(group_concat(h.ttft), '') || ']]' AS one
        FROM kind k CROSS JOIN piece p CROSS JOIN histogram h
        ON h.level = p.size AND h.kind = k.id AND h.start >= p.low AND h.start < p.high
        WHERE k.key GLOB 'slice:*' AND k.origin = 'person' GROUP BY {_MODEL})"""

_FRESH = f"""{_SPAN},
    r AS (
        SELECT r.kind, r.latency_us, r.ttft_us
        FROM ragged g CROSS JOIN request r ON r.at_us >= g.low AND r.at_us < g.high
        UNION ALL
        SELECT r.kind, r.latency_us, r.ttft_us FROM request r NOT INDEXED
        WHERE r.id > :watermark AND +r.at_us >= :inner_low AND +r.at_us < :inner_high)
    SELECT '[' || coalesce(group_concat(one), '') || ']' FROM (
        SELECT '[' || json_quote({_MODEL}) || ',['
            || coalesce(group_concat(r.latency_us) FILTER (WHERE r.ttft_us IS NULL), '') || '],['
            || coalesce(group_concat(r.ttft_us), '') || ']]' AS one
        FROM r CROSS JOIN kind k ON k.id = r.kind
        WHERE k.origin = 'person' AND k.outcome = 'success' GROUP BY {_MODEL})"""

_decode_counts = msgspec.json.Decoder(list[tuple[str, int, int]]).decode
_decode_rows = msgspec.json.Decoder(list[tuple[str, list[int]]]).decode
_decode_bins = msgspec.json.Decoder(list[tuple[str, list[int], list[int]]]).decode


class Window(msgspec.Struct, frozen=True):
    """How the newest requests of persons went.

    Attributes:
        every: All of them.
        models: By the model that answered, else the one asked for; a model without a request is not there.
    """

    every: Recent
    models: dict[str, Recent]


class Recently:
    """Looks at the newest requests.

    Args:
        ledger: Where the rows are.
        clock: Time; windows count by the wall clock of a request's start.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._kept: Window | None = None
        self._kept_for: tuple[float, float] = (0.0, 0.0)

    async def look(self, window_s: float) -> Window:
        """Counts a window that ends now.

        Args:
            window_s: Its length.

        Raises:
            InternalError: The ledger can not be read.
        """
        length_s, until_s = self._kept_for
        if self._kept is not None and length_s == window_s and self._clock.mono_s() < until_s:
            return self._kept
        before_us = int(self._clock.wall_s() * 1e6) + 1
        from_us = before_us - 1 - int(window_s * 1e6)
        window, cost_s = await self._ledger.read(lambda connection: _timed(connection, from_us, before_us))
        self._kept = window if cost_s > DEAR_S else None
        self._kept_for = (window_s, self._clock.mono_s() + min(KEPT_MOST_S, SHARE * cost_s))
        return window


def _timed(connection: sqlite3.Connection, from_us: int, before_us: int) -> tuple[Window, float]:
    began_s = time.thread_time()
    window = _look(connection, from_us, before_us)
    return window, time.thread_time() - began_s


def _look(connection: sqlite3.Connection, from_us: int, before_us: int) -> Window:
    asked = Question(state_of(connection), from_us, before_us)
    values = asked.bound(asked.cover)
    counts = {
        model: (success, failure) for model, success, failure in _decode_counts(_ask(connection, _COUNTS, values))
    }
    success = sum(one for one, _ in counts.values())
    failure = sum(one for _, one in counts.values())
    if success <= EXACT_ROWS:
        every, medians = _exact(connection, {"from_us": from_us, "before_us": before_us})
    else:
        every, medians = _near(connection, values)
    models = {model: Recent(*both, medians.get(model)) for model, both in counts.items()}
    return Window(Recent(success, failure, every), models)


def _ask(connection: sqlite3.Connection, query: str, values: dict[str, object]) -> str:
    text: str = connection.execute(query, values).fetchone()[0]
    return text


def _exact(connection: sqlite3.Connection, values: dict[str, object]) -> tuple[float | None, dict[str, float]]:
    waits = _decode_rows(_ask(connection, _ROWS, values))
    every = [wait_us for _, some in waits for wait_us in some]
    medians = {model: statistics.median(some) / 1e6 for model, some in waits}
    return (statistics.median(every) / 1e6 if every else None), medians


def _near(connection: sqlite3.Connection, values: dict[str, object]) -> tuple[float | None, dict[str, float]]:
    found: dict[str, Bins] = {}
    for add, query in ((histogram.add_pairs, _STORED), (histogram.add, _FRESH)):
        for model, plain, ttft in _decode_bins(_ask(connection, query, values)):
            bins = found.setdefault(model, {})
            add(bins, plain)
            add(bins, ttft)
    medians = {model: median for model, bins in found.items() if (median := _median_s([bins])) is not None}
    return _median_s(found.values()), medians


def _median_s(parts: Iterable[Bins]) -> float | None:
    bins: Bins = {}
    for one in parts:
        histogram.merge(bins, one)
    (median_us,) = histogram.percentiles(bins, (50,))
    return None if median_us is None else median_us / 1e6
