"""The report on costs agrees with the rows, with `metrics.get`, and with itself; the export has every row once."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from beastmode.core.clock import parse_rfc3339
from beastmode.core.errors import BadInputError
from beastmode.core.rows import Row, RowCache
from beastmode.metrics import export
from beastmode.metrics.figures import Filters
from beastmode.metrics.ledger import Ledger
from beastmode.metrics.report import Reports, month_span
from beastmode.metrics.stats import Stats
from support.ledger import NOON_S, StillClock, row

DAY_S = 86_400.0
NOVEMBER = month_span("2026-11")


class Desk:
    """A ledger with what reads it."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger(folder, StillClock())
        self.ledger.start()
        self.reports = Reports(self.ledger, StillClock())
        self.stats = Stats(self.ledger, StillClock())

    def mixed(self, count: int) -> list[Row]:
        """Requests of every outcome and origin, over 40 days, some of unknown cost; the newest is of now."""
        rows = [mixed_row(number, count) for number in range(count)]
        for one in rows:
            self.ledger.record(one)
        return rows

    async def every(self, limit: int = 7, **wanted: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = await export.page(self.ledger, limit, cursor, None, None, wanted)
            found += page.rows
            cursor = page.following
            if cursor is None:
                return found


def mixed_row(number: int, count: int) -> Row:
    model = ("custom:qwen", "openai:gpt-4o", "anthropic:claude", "local:smollm2")[number % 4]
    outcome = ("success", "success", "success", "failure", "refused", "cancelled")[number % 6]
    hit = outcome == "success" and number % 5 == 0
    return row(
        f"req_{number:05}",
        at_s=NOON_S - (count - 1 - number) * 40 * DAY_S / count,
        outcome=outcome,
        origin=("person", "person", "person", "judge", "test")[number % 5],
        model="auto" if number % 3 == 0 else model,
        model_served=model if outcome == "success" else None,
        provider=model.partition(":")[0] if outcome == "success" else None,
        cache=RowCache(result="hit_exact", tier="L1") if hit else RowCache(result="miss"),
        cost_usd=0.0 if hit else None if number % 11 == 0 else number * 0.000_123_457,
        saved_usd=0.000_5 if hit else 0.0,
        tags=["a", "b"] if number % 2 else [],
    )


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.ledger.close()


def agree(*sums: float | None) -> bool:
    return all(one is not None and math.isclose(one, sums[0] or 0.0, abs_tol=1e-8) for one in sums)


@pytest.mark.parametrize("by", ["model", "project", "user", "session", "day", "month", "provider", "client"])
async def test_its_sums_agree_with_each_other_and_with_the_rows(desk: Desk, by: Any) -> None:
    rows = [one for one in desk.mixed(600) if NOVEMBER[0] <= one.at_s < NOVEMBER[1]]
    await desk.ledger.written()
    await asyncio.to_thread(desk.ledger.roll_up)
    found = await desk.reports.costs(*NOVEMBER, by=by)
    spent = sum(one.cost_usd or 0.0 for one in rows)
    assert agree(
        spent,
        found["total"]["cost_usd"],
        sum(one["cost_usd"] for one in found["models"]),
        sum(one["cost_usd"] for one in found["over_time"]["points"]),
        sum(sum(one["models"].values()) for one in found["over_time"]["points"]),
        sum(one["usd"] for one in found["total"]["by_origin"].values()),
    )
    assert by == "session" or agree(spent, sum(one["cost_usd"] for one in found["rows"]))
    assert found["total"]["requests"] == sum(one.origin == "person" for one in rows)
    assert found["total"]["unknown"] == sum(one.cost_usd is None for one in rows)
    assert sum(one["unknown"] for one in found["over_time"]["points"]) == found["total"]["unknown"]


@pytest.mark.parametrize("window", ["1h", "24h", "7d", "30d"])
async def test_it_agrees_with_the_figures_of_the_same_window(desk: Desk, window: str) -> None:
    desk.mixed(3_000)
    shown = await desk.stats.snapshot(window)
    span = NOON_S - {"1h": 3_600, "24h": DAY_S, "7d": 7 * DAY_S, "30d": 30 * DAY_S}[window], NOON_S + 1e-6
    found = await desk.reports.costs(*span)
    total, costs = found["total"], shown["costs"]
    assert total["cost_usd"] == costs["total_usd"]
    assert total["saved_usd"] == costs["saved_usd"]
    assert total["saved_percent"] == pytest.approx(costs["saved_percent"])
    assert total["unknown"] == costs["unknown"]
    assert [total[name] for name in ("requests", "success", "failure", "refused", "cancelled")] == [
        shown["requests"][name] for name in ("total", "success", "failure", "refused", "cancelled")
    ]
    assert total["by_origin"] == costs["by_origin"]


async def test_costs_of_ones_own_models_and_of_providers_are_told_apart(desk: Desk) -> None:
    for number, provider in enumerate(["custom", "local", "openai", "anthropic", None]):
        desk.ledger.record(row(f"req_{number}", provider=provider, cost_usd=(0.25 if provider else 0.0) * 2**number))
    kinds = (await desk.reports.costs(*NOVEMBER))["kinds"]
    assert {name: (one["cost_usd"], one["requests"]) for name, one in kinds.items()} == {
        "custom": (0.25, 1),
        "local": (0.5, 1),
        "provider": (3.0, 2),
    }


async def test_unknown_costs_are_counted_and_never_a_zero(desk: Desk) -> None:
    desk.ledger.record(row("a", cost_usd=None))
    total = (await desk.reports.costs(*NOVEMBER))["total"]
    assert (total["cost_usd"], total["unknown"]) == (None, 1)
    desk.ledger.record(row("b", cost_usd=0.5))
    found = await desk.reports.costs(*NOVEMBER)
    assert (found["total"]["cost_usd"], found["total"]["unknown"]) == (0.5, 1)
    assert found["kinds"]["custom"]["unknown"] == 1


async def test_an_empty_month_is_nothing_and_no_percent(desk: Desk) -> None:
    found = await desk.reports.costs(*NOVEMBER)
    assert (found["total"]["requests"], found["total"]["cost_usd"]) == (0, 0.0)
    assert found["total"]["saved_percent"] is None
    assert (found["rows"], found["over_time"]["points"]) == ([], [])


async def test_it_says_whether_the_month_is_over_and_what_savings_are_measured_against(desk: Desk) -> None:
    assert (await desk.reports.costs(*NOVEMBER))["so_far"] is True
    found = await desk.reports.costs(*month_span("2026-10"))
    assert (found["so_far"], found["from"], found["to"]) == (
        False,
        "2026-10-01T00:00:00.000Z",
        "2026-11-01T00:00:00.000Z",
    )
    assert "stored answers" in found["savings"]["cache"]["baseline"]


async def test_a_year_is_drawn_by_month_and_a_month_by_day(desk: Desk) -> None:
    desk.mixed(200)
    year = parse_rfc3339("2026-01-01T00:00:00Z"), parse_rfc3339("2027-01-01T00:00:00Z")
    over_time = (await desk.reports.costs(*year))["over_time"]
    assert (over_time["step"], over_time["points"][-1]["key"]) == ("month", "2026-11")
    assert (await desk.reports.costs(*NOVEMBER))["over_time"]["step"] == "day"


async def test_a_day_that_the_span_cuts_counts_in_part(desk: Desk) -> None:
    desk.ledger.record(row("a", at_s=NOON_S - 10, cost_usd=0.25))
    desk.ledger.record(row("b", at_s=NOON_S, cost_usd=0.5))
    (point,) = (await desk.reports.costs(NOON_S - 5, NOON_S + 5))["over_time"]["points"]
    assert (point["cost_usd"], point["models"]) == (0.5, {"custom:qwen": 0.5})


async def test_a_filter_holds_for_all_of_it(desk: Desk) -> None:
    desk.ledger.record(row("a", user="ann", cost_usd=0.25))
    desk.ledger.record(row("b", user="bob", cost_usd=0.5))
    found = await desk.reports.costs(*NOVEMBER, filters=Filters(user="ann"))
    assert found["total"]["cost_usd"] == found["kinds"]["custom"]["cost_usd"] == 0.25
    assert found["over_time"]["points"][0]["cost_usd"] == 0.25


async def test_the_export_has_every_row_once_oldest_first(desk: Desk) -> None:
    rows = desk.mixed(100)
    found = await desk.every()
    assert [one["request_id"] for one in found] == [one.request_id for one in rows]
    assert Counter(one["origin"] for one in found) == Counter(one.origin for one in rows)
    assert found[-1] == await desk.ledger.get(rows[-1].request_id)


async def test_rows_of_one_moment_are_exported_once_each_and_filters_hold(desk: Desk) -> None:
    for number in range(50):
        desk.ledger.record(row(f"req_{number:02}", outcome="failure" if number % 2 else "success"))
    assert [one["request_id"] for one in await desk.every()] == [f"req_{number:02}" for number in range(50)]
    failed = await desk.every(outcome="failure")
    assert [one["request_id"] for one in failed] == [f"req_{number:02}" for number in range(1, 50, 2)]


async def test_what_comes_during_an_export_is_not_in_it(desk: Desk) -> None:
    desk.mixed(20)
    first = await export.page(desk.ledger, 10, None, None, None, {})
    assert first.total == 20
    desk.ledger.record(row("late", at_s=NOON_S + 1))
    desk.ledger.record(row("early", at_s=NOON_S - 41 * DAY_S))
    rest = await export.page(desk.ledger, 100, first.following, None, None, {})
    assert (len(rest.rows), rest.following, rest.total) == (10, None, None)


async def test_an_export_goes_on_from_a_time(desk: Desk) -> None:
    rows = desk.mixed(30)
    found = await export.page(desk.ledger, 100, None, rows[10].at_s, rows[20].at_s, {})
    assert [one["request_id"] for one in found.rows] == [one.request_id for one in rows[10:20]]


@pytest.mark.parametrize("cursor", ["", "1", "1.2", "1.2.3.4", "a.b.c", "-1.0.0", f"{1 << 70}.0.0"])
async def test_what_is_no_cursor_is_refused(desk: Desk, cursor: str) -> None:
    with pytest.raises(BadInputError, match="no cursor"):
        await export.page(desk.ledger, 10, cursor, None, None, {})
