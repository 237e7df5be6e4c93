"""Roll-ups agree with the rows: counts and money to the unit, percentiles within 2%, whatever the clock does."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.core.clock import parse_rfc3339
from beastmode.core.rows import RowCache
from beastmode.metrics.figures import Filters
from beastmode.metrics.stats import WINDOWS_S, Stats
from support.figures import DAY_S, Desk, close, ranked, rolled
from support.ledger import NOON_S

AGES_S = st.one_of(
    st.floats(0, 130),
    st.floats(0, 2 * 3_600),
    st.floats(0, 3 * DAY_S),
    st.floats(0, 70 * DAY_S),
    st.sampled_from([0.0, 3_600.0, DAY_S, 7 * DAY_S, 30 * DAY_S]).flatmap(
        lambda age_s: st.sampled_from([age_s, age_s + 1e-6, age_s - 1e-6])
    ),
    st.floats(-DAY_S, 0),
)
FIELDS = st.fixed_dictionaries(
    {
        "origin": st.sampled_from(["person", "person", "person", "warming"]),
        "outcome": st.sampled_from(["success", "success", "failure", "refused", "cancelled"]),
        "cache": st.none() | st.sampled_from(["hit_exact", "hit_semantic", "miss", "stale", "bypass"]).map(RowCache),
        "model": st.sampled_from(["auto", "custom:a"]),
        "model_served": st.sampled_from([None, "custom:a", "custom:b"]),
        "workspace": st.sampled_from([None, "/w"]),
        "client": st.sampled_from(["http", "socket"]),
        "user": st.sampled_from(["ann", "bob"]),
        "session_id": st.sampled_from([None, None, "s1", "s2"]),
        "tags": st.sampled_from([[], ["ci"], ["ci", "nightly"]]),
        "error_kind": st.sampled_from([None, "timeout"]),
        "cost_usd": st.none() | st.integers(0, 10**10).map(lambda n: n / 1e9),
        "saved_usd": st.none() | st.integers(0, 10**10).map(lambda n: n / 1e9),
        "latency_ms": st.none() | st.integers(0, 10**9).map(lambda n: n / 1e3),
        "ttft_ms": st.none() | st.integers(0, 10**6).map(lambda n: n / 1e3),
        "overhead_ms": st.none() | st.integers(0, 10**6).map(lambda n: n / 1e3),
    }
)
# Between two steps of the roll-ups: rows, each so many seconds old, and how far the clock goes on, or back.
STEPS = st.lists(
    st.tuples(
        st.lists(st.tuples(AGES_S, FIELDS), max_size=12),
        st.sampled_from([0.0, 1.0, 61.0, 900.0, 3_600.0, 8_000.0, DAY_S, 9 * DAY_S, -3_600.0, -DAY_S]),
    ),
    min_size=1,
    max_size=6,
)


@settings(deadline=None, max_examples=40)
@given(
    STEPS,
    st.floats(0, 2 * DAY_S),
    st.sampled_from([None, "person", "warming"]),
    st.builds(
        Filters,
        st.sampled_from([None, None, "custom:a", "auto"]),
        st.sampled_from([None, None, "/w"]),
        st.sampled_from([None, None, "http"]),
        st.sampled_from([None, None, "ann"]),
    ),
    st.booleans(),
    st.sampled_from([-1, -1, 1_000]),
)
async def test_figures_are_what_the_rows_add_up_to(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[list[tuple[float, dict[str, Any]]], float]],
    start_s: float,
    origin: str | None,
    wanted: Filters,
    rolled_at_the_end: bool,
    exact_max: int,
) -> None:
    desk = Desk(tmp_path_factory.mktemp("ledger"), NOON_S + start_s)
    exact = pytest.MonkeyPatch()
    exact.setattr("beastmode.metrics.stats.EXACT_MAX", exact_max)
    try:
        for rows, on_s in steps:
            for age_s, fields in rows:
                desk.record(at_s=desk.clock.now_s - age_s, **fields)
            await desk.roll()
            desk.clock.now_s += on_s
        if rows and not rolled_at_the_end:
            desk.record(at_s=desk.clock.now_s - rows[0][0], **rows[0][1])
        for window in WINDOWS_S:
            await desk.agrees(window, origin, wanted)
        await desk.agrees("30d")
    finally:
        exact.undo()
        desk.ledger.close()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.ledger.close()


class TestClocks:
    async def test_a_jump_of_a_day_either_way_spoils_no_window(self, desk: Desk) -> None:
        for jump_s in (0.0, DAY_S, -DAY_S, -DAY_S, DAY_S):
            desk.clock.now_s += jump_s
            for age_s in (0.0, 30.0, 61.0, 1_000.0, 4_000.0):
                desk.record(at_s=desk.clock.now_s - age_s, latency_ms=age_s)
            await desk.roll()
            for window in WINDOWS_S:
                await desk.agrees(window)

    async def test_the_windows_edges_are_to_the_microsecond(self, desk: Desk) -> None:
        for name, length_s in WINDOWS_S.items():
            for offset_us in (-1, 0, 1):
                desk.record(at_s=NOON_S - length_s + offset_us / 1e6, model_served=f"custom:{name}")
        for offset_s in (0.0, 1e-6):
            desk.record(at_s=NOON_S + offset_s, model_served="custom:now")
        await desk.roll()
        for window in WINDOWS_S:
            await desk.agrees(window)

    async def test_a_row_that_comes_long_after_its_time_is_in_every_level(self, desk: Desk) -> None:
        desk.record(at_s=NOON_S)
        await desk.roll()
        desk.clock.now_s += 3 * DAY_S
        await desk.roll()
        desk.record(at_s=NOON_S)
        await desk.roll()
        assert await rolled(desk.ledger) == {900: 2, 7_200: 2, 28_800: 2, 86_400: 2}
        await desk.agrees("7d")

    async def test_minutes_are_deleted_when_longer_ones_have_them(self, desk: Desk) -> None:
        desk.record(at_s=NOON_S)
        await desk.roll()
        assert await rolled(desk.ledger) == {60: 1}
        desk.clock.now_s += 2 * DAY_S
        await desk.roll()
        assert await rolled(desk.ledger) == dict.fromkeys((60, 900, 7_200, 28_800, 86_400), 1)
        desk.clock.now_s += 90 * DAY_S
        await desk.roll()
        assert await rolled(desk.ledger) == {86_400: 1}

    async def test_histograms_that_grew_by_many_steps_still_tell_each_time_once(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("beastmode.metrics.stats.EXACT_MAX", -1)
        chance = random.Random(3)
        for _ in range(60):
            for _ in range(60):
                desk.record(at_s=NOON_S - 3 * DAY_S, latency_ms=chance.lognormvariate(4, 2))
            await desk.roll()
        await desk.agrees("7d")
        longest = "SELECT json(max(length(plain))) FROM histogram"
        assert await desk.ledger.ask(longest, {}) < 40_000


class TestStepsThatAreKept:
    """Medians over time are kept once a step is over; they are those of the rows all the same."""

    async def medians(self, desk: Desk, window: str) -> list[Any]:
        points = (await desk.stats.snapshot(window, series=True))["series"]["points"]
        return [(point["at"], point["p50_ms"]) for point in points]

    async def fresh(self, desk: Desk, window: str) -> list[Any]:
        desk_of_now = Stats(desk.ledger, desk.clock)
        points = (await desk_of_now.snapshot(window, series=True))["series"]["points"]
        return [(point["at"], point["p50_ms"]) for point in points]

    @pytest.mark.parametrize("window", list(WINDOWS_S))
    async def test_late_rows_and_a_clock_that_goes_on_change_what_was_kept(self, desk: Desk, window: str) -> None:
        chance = random.Random(7)
        for turn in range(8):
            for _ in range(40):
                age_s = chance.random() * WINDOWS_S[window] * (1.2 if turn % 3 else 0.01)
                desk.record(at_s=desk.clock.now_s - age_s, latency_ms=chance.lognormvariate(4, 1))
            await desk.roll()
            found = await self.medians(desk, window)
            assert found == await self.fresh(desk, window)
            assert sum(median is not None for _, median in found) > 0
            desk.clock.now_s += chance.choice([1.0, 61.0, 901.0, WINDOWS_S[window] / 7])

    async def test_each_median_is_that_of_its_rows(self, desk: Desk) -> None:
        for number in range(600):
            desk.record(at_s=NOON_S - number * 140.0, latency_ms=float(1 + number % 97))
        await desk.roll()
        for _ in range(2):
            for at, median_ms in await self.medians(desk, "24h"):
                start_s = parse_rfc3339(at)
                mine = [r.latency_ms for r in desk.rows if max(start_s, NOON_S - DAY_S) <= r.at_s < start_s + 900]
                assert median_ms == close(ranked([ms for ms in mine if ms is not None], 50))
