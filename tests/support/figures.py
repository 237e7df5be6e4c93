"""What figures must say, counted from the rows alone, and a desk that compares."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from beastmode.core.rows import Row
from beastmode.metrics.figures import Filters
from beastmode.metrics.ledger import Ledger
from beastmode.metrics.stats import STEPS_S, WINDOWS_S, Stats
from support.ledger import NOON_S, StillClock, row

DAY_S = 86_400.0


def nano(usd: float | None) -> int:
    return round((usd or 0.0) * 1e9)


def micros(row: Row) -> int:
    return int(row.at_s * 1e6)


def ranked(values: Iterable[float], percent: int) -> float | None:
    known = sorted(values)
    return known[math.ceil(len(known) * percent / 100) - 1] if known else None


def counted(rows: list[Row], from_us: int, before_us: int, origin: str | None, wanted: Filters) -> dict[str, Any]:
    """What a snapshot must say, from the rows alone."""
    inside = [one for one in rows if from_us <= micros(one) < before_us and fits(one, wanted)]
    seen = [one for one in inside if one.origin == (origin or "person")]
    paid = inside if origin is None else seen
    outcomes = Counter(one.outcome for one in seen)
    results = Counter(one.cache.result for one in seen if one.cache)
    latencies = [one.latency_ms for one in seen if one.outcome == "success" and one.latency_ms is not None]
    first = [one.ttft_ms for one in seen if one.outcome == "success" and one.ttft_ms is not None]
    return {
        "total": len(seen),
        "outcomes": [outcomes[name] for name in ("success", "failure", "refused", "cancelled")],
        "by_model": dict(Counter(one.model_served or one.model for one in seen)),
        "hits": (results["hit_exact"], results["hit_semantic"], results["miss"] + results["stale"], results["bypass"]),
        "cost": sum(nano(one.cost_usd) for one in paid),
        "unknown": sum(one.cost_usd is None for one in paid),
        "saved": sum(nano(one.saved_usd) for one in paid),
        "by_origin": dict(Counter(one.origin for one in paid)),
        "by_kind": dict(Counter(one.error_kind or "unknown" for one in seen if one.outcome in ("failure", "refused"))),
        "latency": [ranked(latencies, percent) for percent in (50, 95, 99)],
        "ttft": [ranked(first, percent) for percent in (50, 95, 99)],
        "mean": sum(latencies) / len(latencies) if latencies else None,
    }


def fits(one: Row, wanted: Filters) -> bool:
    return (
        (wanted.model is None or wanted.model in (one.model, one.model_served))
        and (wanted.project is None or wanted.project == one.workspace)
        and (wanted.client is None or wanted.client == one.client)
        and (wanted.user is None or wanted.user == one.user)
    )


def told(found: dict[str, Any]) -> dict[str, Any]:
    """A snapshot in the words of `counted`."""
    requests, cache, costs = found["requests"], found["cache"], found["costs"]
    return {
        "total": requests["total"],
        "outcomes": [requests[name] for name in ("success", "failure", "refused", "cancelled")],
        "by_model": requests["by_model"],
        "hits": tuple(cache[name] for name in ("exact", "semantic", "miss", "bypass")),
        "cost": nano(costs["total_usd"]),
        "unknown": costs["unknown"],
        "saved": nano(costs["saved_usd"]),
        "by_origin": {origin: one["requests"] for origin, one in costs["by_origin"].items()},
        "by_kind": found["errors"]["by_kind"],
        "latency": [close(found["latency_ms"][name]) for name in ("p50", "p95", "p99")],
        "ttft": [close(found["ttft_ms"][name]) for name in ("p50", "p95", "p99")],
        "mean": None if found["latency_ms"]["mean"] is None else pytest.approx(found["latency_ms"]["mean"]),
    }


def close(value: float | None) -> Any:
    return None if value is None else pytest.approx(value, rel=0.0105)


class Desk:
    """A ledger whose roll-ups are made when the test says so."""

    def __init__(self, folder: Path, now_s: float = NOON_S) -> None:
        self.clock = StillClock(now_s)
        self.ledger = Ledger(folder, self.clock)
        self.ledger.start()
        self.stats = Stats(self.ledger, self.clock)
        self.rows: list[Row] = []
        self.names = itertools.count()

    def record(self, **fields: Any) -> None:
        one = row(f"req_{next(self.names)}", **fields)
        self.rows.append(one)
        self.ledger.record(one)

    async def roll(self) -> None:
        await self.ledger.written()
        await asyncio.to_thread(self.ledger.roll_up)

    async def agrees(self, window: str, origin: str | None = None, wanted: Filters | None = None) -> None:
        """Everything that is said of a window and the one before is what the rows say."""
        wanted = wanted or Filters()
        found = await self.stats.snapshot(window, origin, wanted, before=True, series=True)
        now_us, length_us = int(self.clock.now_s * 1e6), WINDOWS_S[window] * 1_000_000
        assert told(found) == counted(self.rows, now_us - length_us, now_us + 1, origin, wanted)
        earlier = counted(self.rows, now_us - 2 * length_us, now_us - length_us, origin, wanted)
        assert told(found["before"]) == earlier
        points = found["series"]["points"]
        for outcome in ("success", "failure", "refused", "cancelled"):
            assert sum(point[outcome] for point in points) == found["requests"][outcome]
        assert sum(nano(point["cost_usd"]) for point in points) == nano(found["costs"]["total_usd"])
        assert found["series"]["step_s"] == STEPS_S[window]


async def rolled(ledger: Ledger) -> dict[int, int]:
    """How many requests the roll-ups of each level have."""
    query = "SELECT json_group_array(json_array(level, n)) FROM (SELECT level, sum(n) AS n FROM {} GROUP BY level)"
    summary = dict(await ledger.ask(query.format("summary"), {}))
    assert dict(await ledger.ask(query.format("rollup"), {})) == summary
    return summary
