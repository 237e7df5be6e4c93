"""The report on costs of a month or of any other span: every sum of it is of one moment, so that they agree."""

from __future__ import annotations

import sqlite3
from typing import Any

from beastmode.core.clock import Clock, parse_rfc3339, rfc3339
from beastmode.metrics import figures
from beastmode.metrics.figures import By, Filters, Question
from beastmode.metrics.ledger import Ledger
from beastmode.metrics.rollups import State, state_of
from beastmode.metrics.spans import DAY_S, US

DAYS_MAX = 93
"""A longer span is drawn by month."""
OWN = ("custom", "local")
"""Providers whose models are the user's own; all others are somebody's service."""
CACHE_BASELINE = "what the stored answers cost when they were made"


class Reports:
    """Makes reports from the ledger.

    Args:
        ledger: Where the rows are.
        clock: Time.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock

    async def costs(
        self,
        from_s: float,
        before_s: float,
        by: By = "model",
        origin: str | None = None,
        filters: Filters = Filters(),  # noqa: B008  # frozen
    ) -> dict[str, Any]:
        """Adds up what a span of time cost.

        Args:
            from_s: Where the span begins, wall clock.
            before_s: Where it ends; it is not in it.
            by: What the rows are of, beside the models.
            origin: Whose requests; None: those of persons, but tokens and costs of every origin.
            filters: Which requests.

        Returns:
            `{from, to, so_far, by, total, kinds, savings, rows, left_out, models, over_time: {step, points}}`. Lines
            are as `Stats.breakdown` has them; `kinds` are the costs of custom, local and providers' models; a point is
            `{key, cost_usd, unknown, requests, models: {model: cost_usd}}`, one for each day or month with requests.
        """
        span = round(from_s * US), round(before_s * US)
        whose: dict[str, Any] = {"origin": origin or "person", "all_costs": origin is None, "filters": filters}

        def count(connection: sqlite3.Connection) -> dict[str, Any]:
            return _costs(connection, state_of(connection), span, by, whose)

        found = await self._ledger.read(count)
        now_s = self._clock.wall_s()
        return {"from": rfc3339(from_s), "to": rfc3339(before_s), "so_far": before_s > now_s, "by": by, **found}


def _costs(
    connection: sqlite3.Connection, state: State, span: tuple[int, int], by: By, whose: dict[str, Any]
) -> dict[str, Any]:
    def lines(key: By, low_us: int, high_us: int) -> dict[str, Any]:
        return figures.breakdown(connection, Question(state, low_us, high_us, **whose), key)

    models = lines("model", *span)
    chosen = models if by == "model" else lines(by, *span)
    step: By = "day" if span[1] - span[0] <= DAYS_MAX * DAY_S * US else "month"
    points = []
    for one in lines(step, *span)["rows"]:
        low_us, high_us = _bounds_us(one["key"])
        parts = lines("model", max(low_us, span[0]), min(high_us, span[1]))["rows"]
        points.append({**_short(one), "models": {str(part["key"]): part["cost_usd"] for part in parts}})
    total = models["total"]
    return {
        "total": {**total, "saved_percent": _percent(total)},
        "kinds": _kinds(lines("provider", *span)["rows"]),
        "savings": _savings(total),
        "rows": chosen["rows"],
        "left_out": chosen["left_out"],
        "models": models["rows"],
        "over_time": {"step": step, "points": points},
    }


def _savings(total: dict[str, Any]) -> dict[str, Any]:
    """Each saving with what it is measured against; that of routing where a baseline was named."""
    found = {"cache": {"usd": total["saved_usd"], "baseline": CACHE_BASELINE}}
    if total["saved_route_usd"] is not None:
        found["routing"] = {"usd": total["saved_route_usd"], "baseline": total["baseline"]}
    return found


def _short(line: dict[str, Any]) -> dict[str, Any]:
    return {name: line[name] for name in ("key", "cost_usd", "unknown", "saved_usd", "requests")}


def _bounds_us(key: str) -> tuple[int, int]:
    """When a day (2026-11-20) or a month (2026-11) begins and ends."""
    if len(key) == len("2026-11-20"):
        low_s = int(parse_rfc3339(f"{key}T00:00:00Z"))
        return low_s * US, (low_s + DAY_S) * US
    return tuple(int(second) * US for second in month_span(key))  # type: ignore[return-value]  # two of them


def month_span(name: str) -> tuple[float, float]:
    """When a month begins and ends, seconds since the epoch.

    Args:
        name: Such as 2026-11.
    """
    year, month = map(int, name.split("-"))
    following = f"{year + month // 12:04}-{month % 12 + 1:02}"
    return parse_rfc3339(f"{name}-01T00:00:00Z"), parse_rfc3339(f"{following}-01T00:00:00Z")


def _percent(line: dict[str, Any]) -> float | None:
    """What was saved, of what it would have cost without."""
    saved, cost = line["saved_usd"] or 0.0, line["cost_usd"] or 0.0
    return 100.0 * saved / (saved + cost) if saved + cost else None


def _kinds(providers: list[dict[str, Any]]) -> dict[str, Any]:
    """Costs of custom, local and providers' models; requests that reached no provider cost nothing."""
    found: dict[str, Any] = {}
    for name in (*OWN, "provider"):
        lines = [one for one in providers if one["key"] is not None and name == _kind(one["key"])]
        known = [one["cost_usd"] for one in lines if one["cost_usd"] is not None]
        found[name] = {
            "requests": sum(one["requests"] for one in lines),
            "cost_usd": round(sum(known), 9) if known or not lines else None,
            "unknown": sum(one["unknown"] for one in lines),
            "saved_usd": round(sum(one["saved_usd"] or 0.0 for one in lines), 9),
        }
    return found


def _kind(provider: str) -> str:
    return provider if provider in OWN else "provider"
