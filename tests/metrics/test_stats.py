"""Statistics over a window: they count what the ledger has, and know what they do not know."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.core.errors import BadInputError
from beastmode.core.rows import RowCache
from beastmode.metrics.figures import Filters
from beastmode.metrics.ledger import Ledger
from beastmode.metrics.stats import WINDOWS_S, Stats
from support.ledger import NOON_S, StillClock, row

UNKNOWN = {"mean": None, "p50": None, "p95": None, "p99": None}


class Desk:
    """A ledger with its statistics and a clock."""

    def __init__(self, folder: Path) -> None:
        self.clock = StillClock()
        self.ledger = Ledger(folder, self.clock)
        self.ledger.start()
        self.stats = Stats(self.ledger, self.clock)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.ledger.close()


async def test_of_nothing_counts_are_zero_and_everything_else_is_unknown(desk: Desk) -> None:
    assert await desk.stats.snapshot("1h") == {
        "window": "1h",
        "requests": {
            "total": 0,
            "success": 0,
            "failure": 0,
            "refused": 0,
            "cancelled": 0,
            "by_model": {},
            "fallback_share": None,
        },
        "cache": {"exact": 0, "semantic": 0, "miss": 0, "bypass": 0, "hit_rate": None},
        "latency_ms": UNKNOWN,
        "ttft_ms": UNKNOWN,
        "overhead_ms": UNKNOWN,
        "costs": {
            "total_usd": 0.0,
            "unknown": 0,
            "saved_usd": 0.0,
            "saved_route_usd": None,
            "baseline": None,
            "saved_percent": None,
            "by_origin": {},
        },
        "errors": {"total": 0, "by_kind": {}},
    }


async def test_every_outcome_is_counted_once(desk: Desk) -> None:
    for number, outcome in enumerate(["success"] * 4 + ["failure"] * 3 + ["refused"] * 2 + ["cancelled"]):
        kind = {"failure": "timeout", "refused": "budget", "cancelled": "cancelled"}.get(outcome)
        desk.ledger.record(row(f"req_{number}", outcome=outcome, error_kind=kind))
    found = await desk.stats.snapshot()
    requests = found["requests"]
    assert requests["total"] == 10
    assert [requests[name] for name in ("success", "failure", "refused", "cancelled")] == [4, 3, 2, 1]
    assert found["errors"] == {"total": 5, "by_kind": {"timeout": 3, "budget": 2}}


async def test_models_are_those_that_answered_else_those_asked_for(desk: Desk) -> None:
    desk.ledger.record(row("a", model="auto", model_served="custom:a"))
    desk.ledger.record(row("b", model="custom:a", model_served="custom:a"))
    desk.ledger.record(row("c", model="custom:b", model_served=None, outcome="failure"))
    assert (await desk.stats.snapshot())["requests"]["by_model"] == {"custom:a": 2, "custom:b": 1}


async def test_the_share_of_fallbacks_is_of_requests_that_called_an_upstream(desk: Desk) -> None:
    desk.ledger.record(row("hit", attempts=0, cache=RowCache(result="hit_exact", tier="L1")))
    desk.ledger.record(row("one", attempts=1))
    desk.ledger.record(row("two", attempts=2, fell_back=True))
    assert (await desk.stats.snapshot())["requests"]["fallback_share"] == 0.5


async def test_the_hit_rate_is_of_requests_that_asked_the_cache(desk: Desk) -> None:
    results = ["hit_exact", "hit_exact", "hit_semantic", "miss", "stale", "bypass", None]
    for number, result in enumerate(results):
        cache = RowCache(result=result) if result else None  # type: ignore[arg-type]
        desk.ledger.record(row(f"req_{number}", cache=cache))
    assert (await desk.stats.snapshot())["cache"] == {
        "exact": 2,
        "semantic": 1,
        "miss": 2,
        "bypass": 1,
        "hit_rate": 3 / 5,
    }


async def test_costs_are_exact_to_the_last_digit_and_unknown_ones_are_counted_apart(desk: Desk) -> None:
    for number in range(1_000):
        desk.ledger.record(row(f"req_{number}", cost_usd=0.000_000_7, saved_usd=0.0))
    desk.ledger.record(row("hit", cost_usd=0.0, saved_usd=0.0021))
    desk.ledger.record(row("unknown", cost_usd=None, saved_usd=None))
    costs = (await desk.stats.snapshot())["costs"]
    assert costs["total_usd"] == 0.0007
    assert costs["unknown"] == 1
    assert costs["saved_usd"] == 0.0021
    assert costs["saved_percent"] == pytest.approx(75.0)


async def test_a_total_of_which_nothing_is_known_is_unknown(desk: Desk) -> None:
    desk.ledger.record(row("unknown", cost_usd=None, saved_usd=None))
    costs = (await desk.stats.snapshot())["costs"]
    assert costs["total_usd"] is costs["saved_usd"] is costs["saved_percent"] is None
    assert costs["by_origin"] == {"person": {"usd": None, "requests": 1, "unknown": 1}}


async def test_rates_are_of_persons_but_costs_of_every_origin_apart(desk: Desk) -> None:
    desk.ledger.record(row("a", cost_usd=0.1))
    desk.ledger.record(row("b", cost_usd=0.2, origin="warming"))
    found = await desk.stats.snapshot()
    assert found["requests"]["total"] == 1
    assert found["costs"]["total_usd"] == pytest.approx(0.3)
    assert found["costs"]["by_origin"] == {
        "person": {"usd": 0.1, "requests": 1, "unknown": 0},
        "warming": {"usd": 0.2, "requests": 1, "unknown": 0},
    }
    asked = await desk.stats.snapshot(origin="warming")
    assert asked["requests"]["total"] == 1
    assert asked["costs"]["total_usd"] == 0.2


async def test_windows_count_by_the_wall_clock_of_the_start(desk: Desk) -> None:
    for name, seconds in WINDOWS_S.items():
        desk.ledger.record(row(f"in {name}", at_s=NOON_S - seconds))
        desk.ledger.record(row(f"before {name}", at_s=NOON_S - seconds - 1))
    totals = [(await desk.stats.snapshot(name))["requests"]["total"] for name in ("1h", "24h", "7d", "30d")]
    assert totals == [1, 3, 5, 7]


async def test_an_unknown_window_is_refused_with_the_known_ones(desk: Desk) -> None:
    with pytest.raises(BadInputError) as caught:
        await desk.stats.snapshot("2h")
    assert "1h, 24h, 7d, 30d" in caught.value.tips[0]


async def test_times_are_of_successes(desk: Desk) -> None:
    desk.ledger.record(row("a", latency_ms=10.0, ttft_ms=2.0))
    desk.ledger.record(row("b", latency_ms=99_999.0, ttft_ms=99_999.0, outcome="failure"))
    desk.ledger.record(row("c", latency_ms=None, ttft_ms=None))
    found = await desk.stats.snapshot()
    assert found["latency_ms"] == {"mean": 10.0, "p50": 10.0, "p95": 10.0, "p99": 10.0}
    assert found["ttft_ms"] == {"mean": 2.0, "p50": 2.0, "p95": 2.0, "p99": 2.0}
    assert found["overhead_ms"] == UNKNOWN


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=150))
async def test_a_percentile_is_the_value_at_its_rank(
    tmp_path_factory: pytest.TempPathFactory, microseconds: list[int]
) -> None:
    desk = Desk(tmp_path_factory.mktemp("ledger"))
    for number, value in enumerate(microseconds):
        desk.ledger.record(row(f"req_{number}", latency_ms=value / 1e3))
    found = (await desk.stats.snapshot())["latency_ms"]
    desk.ledger.close()
    ranked = sorted(microseconds)
    for name, percent in (("p50", 50), ("p95", 95), ("p99", 99)):
        rank = -(-len(ranked) * percent // 100)
        assert found[name] == ranked[rank - 1] / 1e3


async def test_points_over_time_cover_the_window_and_add_up(desk: Desk) -> None:
    for number in range(48):
        desk.ledger.record(row(f"req_{number}", at_s=NOON_S - number * 1_800, latency_ms=10.0, cost_usd=0.001))
    desk.ledger.record(row("unknown", at_s=NOON_S, cost_usd=None, outcome="failure"))
    series = (await desk.stats.snapshot("24h", series=True))["series"]
    assert series["step_s"] == 900
    points = series["points"]
    assert len(points) == 97
    assert [points[0]["at"], points[-1]["at"]] == ["2026-11-17T11:00:00.000Z", "2026-11-18T11:00:00.000Z"]
    assert sum(point["success"] for point in points) == 48
    last = points[-1]
    assert [last[name] for name in ("success", "failure", "refused", "cancelled")] == [1, 1, 0, 0]
    assert (last["cost_usd"], last["saved_usd"], last["hit_rate"]) == (0.001, 0.0, 0.0)
    assert last["p50_ms"] == last["p95_ms"] == pytest.approx(10.0, rel=0.01)
    assert points[1]["cost_usd"] == 0.0
    assert points[1]["p50_ms"] is points[1]["hit_rate"] is None


async def test_the_period_before_is_as_long_and_ends_where_the_window_begins(desk: Desk) -> None:
    for name, age_s in (("now", 0), ("edge", 3_600), ("before", 3_600.000001), ("long ago", 7_200.000001)):
        desk.ledger.record(row(name, at_s=NOON_S - age_s))
    found = await desk.stats.snapshot("1h", before=True)
    assert (found["requests"]["total"], found["before"]["requests"]["total"]) == (2, 1)
    assert found["before"].keys() == found.keys() - {"window", "before"}


async def test_figures_can_be_of_a_model_a_project_a_client_or_a_caller(desk: Desk) -> None:
    desk.ledger.record(row("a", model="auto", model_served="custom:a", workspace="/w", latency_ms=1.0))
    desk.ledger.record(row("b", client="http", latency_ms=2.0))
    desk.ledger.record(row("c", user="ann", latency_ms=3.0))
    for filters, latency_ms in (
        (Filters(model="custom:a"), 1.0),
        (Filters(model="auto"), 1.0),
        (Filters(project="/w"), 1.0),
        (Filters(client="http"), 2.0),
        (Filters(user="ann"), 3.0),
    ):
        found = await desk.stats.snapshot("1h", filters=filters)
        assert (found["requests"]["total"], found["latency_ms"]["p50"]) == (1, latency_ms)
    nobody = await desk.stats.snapshot("1h", filters=Filters(user="ann", client="http"))
    assert (nobody["requests"]["total"], nobody["latency_ms"]) == (0, UNKNOWN)


async def test_what_routing_saved_is_told_apart_and_with_the_model_it_is_measured_against(desk: Desk) -> None:
    words = "user: prompt 1, completion 2; against openai:gpt-4o"
    for number in range(3):
        desk.ledger.record(row(f"auto_{number}", model="auto", price_source=words, saved_route_usd=0.25, saved_usd=0.0))
    desk.ledger.record(row("dearer", model="auto", price_source=words, saved_route_usd=-0.1, saved_usd=0.0))
    desk.ledger.record(row("named", saved_usd=0.0))
    costs = (await desk.stats.snapshot("24h"))["costs"]
    assert (costs["saved_usd"], costs["saved_route_usd"]) == (0.0, 0.65)
    assert costs["baseline"] == "openai:gpt-4o"
    desk.ledger.roll_up()
    assert (await desk.stats.snapshot("24h"))["costs"] == costs
    found = await desk.ledger.get("dearer")
    assert (found["saved_route_usd"], found["price_source"]) == (-0.1, "user")


async def test_only_prices_name_a_baseline_and_each_of_them_once(desk: Desk) -> None:
    for number, model in enumerate(("openai:gpt-4o", "openai:gpt-4o", "openai:o3")):
        words = f"user: prompt {number}; against {model}"
        desk.ledger.record(row(f"auto_{number}", price_source=words, saved_route_usd=0.25, session_id="x; against y"))
    for _ in range(2):
        assert (await desk.stats.snapshot("24h"))["costs"]["baseline"] == "openai:gpt-4o or openai:o3"
        desk.ledger.roll_up()
