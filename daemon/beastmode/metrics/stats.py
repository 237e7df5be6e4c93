"""Statistics over a window of the ledger: counts, hit rate, percentiles, costs; null where nothing is known."""

from __future__ import annotations

from typing import Any

from beastmode.core.clock import Clock
from beastmode.core.errors import BadInputError
from beastmode.metrics.ledger import Ledger

WINDOWS_S = {"1h": 3_600, "24h": 86_400, "7d": 7 * 86_400, "30d": 30 * 86_400}

# Nearest rank: the p-th percentile of n values is the one at place ceil(p * n).
_PERCENTILES = """(
    SELECT json_object(
        'mean', avg(value) / 1e3,
        'p50', max(CASE WHEN place = (n * 50 + 99) / 100 THEN value END) / 1e3,
        'p95', max(CASE WHEN place = (n * 95 + 99) / 100 THEN value END) / 1e3,
        'p99', max(CASE WHEN place = (n * 99 + 99) / 100 THEN value END) / 1e3)
    FROM (
        SELECT {column} AS value, row_number() OVER (ORDER BY {column}) AS place, count(*) OVER () AS n
        FROM seen WHERE outcome = 'success' AND {column} IS NOT NULL))"""

_SNAPSHOT = f"""
    WITH every AS MATERIALIZED (
        SELECT k.origin, k.outcome, k.cache, coalesce(k.model_served, k.model) AS model, k.error_kind, k.attempts,
            k.fell_back, r.cost_nusd, r.saved_nusd, r.latency_us, r.ttft_us
        FROM request r JOIN kind k ON k.id = r.kind
        WHERE r.at_us >= :since_us AND r.at_us < :until_us),
    seen AS (SELECT * FROM every WHERE origin = :origin),
    paid AS (SELECT * FROM every WHERE :all_costs OR origin = :origin)
    SELECT json_object(
        'requests', (SELECT json_object(
            'total', count(*),
            'success', count(*) FILTER (WHERE outcome = 'success'),
            'failure', count(*) FILTER (WHERE outcome = 'failure'),
            'refused', count(*) FILTER (WHERE outcome = 'refused'),
            'cancelled', count(*) FILTER (WHERE outcome = 'cancelled'),
            'by_model', json((SELECT json_group_object(model, n) FROM (
                SELECT model, count(*) AS n FROM seen GROUP BY model ORDER BY n DESC))),
            'fallback_share', 1.0 * sum(fell_back) / nullif(count(*) FILTER (WHERE attempts > 0), 0)) FROM seen),
        'cache', (SELECT json_object(
            'exact', count(*) FILTER (WHERE cache = 'hit_exact'),
            'semantic', count(*) FILTER (WHERE cache = 'hit_semantic'),
            'miss', count(*) FILTER (WHERE cache IN ('miss', 'stale')),
            'bypass', count(*) FILTER (WHERE cache = 'bypass'),
            'hit_rate', 1.0 * count(*) FILTER (WHERE cache IN ('hit_exact', 'hit_semantic'))
                / nullif(count(*) FILTER (WHERE cache <> 'bypass'), 0)) FROM seen),
        'latency_ms', {_PERCENTILES.format(column="latency_us")},
        'ttft_ms', {_PERCENTILES.format(column="ttft_us")},
        'costs', (SELECT json_object(
            'total_usd', CASE WHEN count(*) = count(cost_nusd) OR count(cost_nusd) > 0
                THEN coalesce(sum(cost_nusd), 0) / 1e9 END,
            'unknown', count(*) - count(cost_nusd),
            'saved_usd', CASE WHEN count(*) = count(saved_nusd) OR count(saved_nusd) > 0
                THEN coalesce(sum(saved_nusd), 0) / 1e9 END,
            'saved_percent', 100.0 * sum(saved_nusd) / nullif(sum(saved_nusd) + coalesce(sum(cost_nusd), 0), 0),
            'by_origin', json((SELECT json_group_object(origin, json(one)) FROM (
                SELECT origin, json_object('usd', sum(cost_nusd) / 1e9, 'requests', count(*),
                    'unknown', count(*) - count(cost_nusd)) AS one FROM paid GROUP BY origin)))) FROM paid),
        'errors', (SELECT json_object(
            'total', count(*),
            'by_kind', json((SELECT json_group_object(error_kind, n) FROM (
                SELECT coalesce(error_kind, 'unknown') AS error_kind, count(*) AS n FROM seen
                WHERE outcome IN ('failure', 'refused') GROUP BY 1 ORDER BY n DESC))))
            FROM seen WHERE outcome IN ('failure', 'refused')))"""  # noqa: S608  # made of constants

_RECENT = """
    WITH recent AS (
        SELECT k.outcome, coalesce(r.ttft_us, r.latency_us) AS wait_us
        FROM request r JOIN kind k ON k.id = r.kind
        WHERE r.at_us >= :since_us AND k.origin = 'person' AND k.outcome IN ('success', 'failure'))
    SELECT json_object(
        'success', count(*) FILTER (WHERE outcome = 'success'),
        'failure', count(*) FILTER (WHERE outcome = 'failure'),
        'latency_s', (
            SELECT max(CASE WHEN place = (n + 1) / 2 THEN wait_us END) / 1e6 FROM (
                SELECT wait_us, row_number() OVER (ORDER BY wait_us) AS place, count(*) OVER () AS n
                FROM recent WHERE outcome = 'success' AND wait_us IS NOT NULL)))
    FROM recent"""


class Stats:
    """Answers questions about a window that ends now.

    Args:
        ledger: Where the rows are.
        clock: Time; windows count by the wall clock.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    async def snapshot(self, window: str = "24h", origin: str | None = None) -> dict[str, Any]:
        """Counts what happened in a window.

        Args:
            window: 1h, 24h, 7d or 30d.
            origin: Whose requests; None: those of persons, but the costs of every origin.

        Returns:
            The fields of `metrics.get` without `health`: requests (by the model that answered, else the one asked for),
            cache, latency_ms and ttft_ms (of successes), costs, errors. What is not known is None.

        Raises:
            BadInputError: There is no such window.
        """
        if window not in WINDOWS_S:
            raise BadInputError(f"There is no window {window!r}.", tips=[f"ask for one of {', '.join(WINDOWS_S)}"])
        now_s = self._clock.wall_s()
        values = {
            "since_us": int((now_s - WINDOWS_S[window]) * 1e6),
            "until_us": int((now_s + 1) * 1e6),
            "origin": origin or "person",
            "all_costs": origin is None,
        }
        found: dict[str, Any] = await self._ledger.ask(_SNAPSHOT, values)
        return {"window": window, **found}

    async def recent(self, window_s: float) -> dict[str, Any]:
        """Counts how the newest requests of persons went.

        Args:
            window_s: How far back.

        Returns:
            `{success, failure, latency_s}`; `latency_s` is the median of successes: time to first text where it was
            streamed, else the whole; None where there is none.
        """
        found: dict[str, Any] = await self._ledger.ask(
            _RECENT, {"since_us": int((self._clock.wall_s() - window_s) * 1e6)}
        )
        return found
