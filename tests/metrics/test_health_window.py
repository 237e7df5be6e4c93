"""The window that health looks at: which requests count, for whom, and how long they waited."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from beastmode.core.settings import HealthSettings
from beastmode.metrics import health_window
from beastmode.metrics.health import Health
from beastmode.metrics.health_rules import Recent
from beastmode.metrics.health_window import Recently
from beastmode.metrics.ledger import Ledger
from support.ledger import NOON_S, StillClock, row


class Desk:
    """A ledger, a clock and what looks at both."""

    def __init__(self, folder: Path) -> None:
        self.clock = StillClock()
        self.ledger = Ledger(folder, self.clock)
        self.ledger.start()
        self.recently = Recently(self.ledger, self.clock)
        self._count = 0

    def note(self, count: int = 1, **fields: Any) -> None:
        for _ in range(count):
            self._count += 1
            self.ledger.record(row(f"req_{self._count}", **fields))

    async def rolled(self) -> None:
        await self.ledger.written()
        self.ledger.roll_up()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.ledger.close()


@pytest.fixture(params=[False, True], ids=["rows", "roll-ups"])
def rolls(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def test_an_empty_ledger_has_nothing(desk: Desk) -> None:
    window = await desk.recently.look(300)
    assert window.every == Recent(0, 0, None)
    assert window.models == {}


async def test_each_model_is_counted_by_itself(desk: Desk, rolls: bool) -> None:
    desk.note(3, model="auto", model_served="custom:a", latency_ms=1_000.0)
    desk.note(2, model="custom:b", model_served=None, outcome="failure", error_kind="timeout")
    if rolls:
        await desk.rolled()
    window = await desk.recently.look(300)
    assert window.every == Recent(3, 2, 1.0)
    assert window.models == {"custom:a": Recent(3, 0, 1.0), "custom:b": Recent(0, 2, None)}


async def test_only_persons_successes_and_failures_count(desk: Desk, rolls: bool) -> None:
    desk.note(5, outcome="refused")
    desk.note(5, outcome="cancelled")
    desk.note(5, origin="probe", outcome="failure")
    desk.note(1)
    if rolls:
        await desk.rolled()
    assert (await desk.recently.look(300)).every == Recent(1, 0, 0.0125)


async def test_a_streamed_answer_counts_with_its_first_token(desk: Desk) -> None:
    desk.note(1, stream=True, ttft_ms=2_000.0, latency_ms=60_000.0)
    desk.note(1, latency_ms=3_000.0)
    desk.note(1, latency_ms=4_000.0)
    assert (await desk.recently.look(300)).every.latency_s == 3.0


@pytest.mark.parametrize("latency_s", [5.0, 10.0])
async def test_a_median_on_a_bound_is_exactly_on_it(desk: Desk, latency_s: float, rolls: bool) -> None:
    desk.note(6, latency_ms=latency_s * 1e3)
    if rolls:
        await desk.rolled()
    assert (await desk.recently.look(300)).every.latency_s == latency_s
    assert (await Health(desk.ledger, desk.clock).check())["status"] == "degraded"


async def test_the_window_slides_with_the_wall_clock_of_a_requests_start(desk: Desk) -> None:
    desk.note(1, at_s=NOON_S - 301.0)
    desk.note(2, at_s=NOON_S - 299.0)
    desk.note(4, at_s=NOON_S)
    desk.note(8, at_s=NOON_S + 86_400.0)
    assert (await desk.recently.look(300)).every.success == 6
    desk.clock.now_s += 2.0
    assert (await desk.recently.look(300)).every.success == 4


@pytest.mark.parametrize("jump_s", [-86_400.0, 86_400.0])
async def test_a_clock_that_jumps_leaves_a_window_of_what_comes_after(desk: Desk, jump_s: float) -> None:
    desk.note(6, outcome="failure")
    await desk.rolled()
    desk.clock.now_s += jump_s
    desk.note(3, at_s=desk.clock.now_s)
    assert (await desk.recently.look(300)).every == Recent(3, 0, 0.0125)


async def test_beyond_some_thousand_requests_the_median_is_near(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, rolls: bool
) -> None:
    monkeypatch.setattr(health_window, "EXACT_ROWS", 10)
    for number in range(60):
        desk.note(1, at_s=NOON_S - number * 4, latency_ms=100.0 + number, model_served=f"custom:{number % 2}")
    if rolls:
        await desk.rolled()
    window = await desk.recently.look(300)
    assert window.every.success == 60
    assert window.every.latency_s == pytest.approx(0.1295, rel=0.01)
    assert window.models["custom:1"].latency_s == pytest.approx(0.130, rel=0.02)


async def test_health_names_every_model_and_which_one_it_is(desk: Desk) -> None:
    desk.note(6, model_served="custom:good")
    desk.note(6, model="custom:bad", model_served=None, outcome="failure", error_kind="timeout")
    known: dict[str, str | None] = {"custom:bad": "1 of its 1 endpoints rest: refused.", "custom:idle": None}
    found = await Health(desk.ledger, desk.clock, models=lambda: known).check()
    assert found["status"] == "unhealthy"
    assert found["issues"][0]["cause"].endswith("It is custom:bad.")
    assert {name: one["status"] for name, one in found["models"].items()} == {
        "custom:bad": "unhealthy",
        "custom:good": "healthy",
        "custom:idle": "healthy",
    }
    assert found["models"]["custom:bad"]["why"].endswith("endpoints rest: refused.")
    assert found["models"]["custom:bad"]["failure"] == 6
    assert "too few to tell" in found["models"]["custom:idle"]["why"]


async def test_thresholds_that_are_set_anew_hold_at_once(desk: Desk) -> None:
    rules = [HealthSettings()]
    health = Health(desk.ledger, desk.clock, lambda: rules[0])
    desk.note(4, outcome="failure", model_served=None)
    assert (await health.check())["status"] == "healthy"
    rules[0] = HealthSettings(min_requests=4)
    assert (await health.check())["status"] == "unhealthy"
    rules[0] = HealthSettings(min_requests=4, window_s=1)
    desk.clock.now_s += 2
    assert (await health.check())["status"] == "healthy"


async def test_a_look_that_was_dear_is_kept_for_a_moment(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_window, "DEAR_S", -1.0)
    monkeypatch.setattr(health_window, "SHARE", 1e9)
    desk.note(1)
    assert (await desk.recently.look(300)).every.success == 1
    desk.note(1)
    assert (await desk.recently.look(300)).every.success == 1
    assert (await desk.recently.look(301)).every.success == 2


async def test_requests_that_came_before_the_first_model_say_nothing_of_health(desk: Desk, rolls: bool) -> None:
    desk.note(20, model="auto", model_served=None, outcome="failure", error_kind="nothing_registered")
    if rolls:
        await desk.rolled()
    health = Health(desk.ledger, desk.clock, models=dict)
    found = await health.check()
    assert (found["status"], found["requests"]["failure"], found["issues"]) == ("healthy", 0, [])
    assert "no model is registered" in found["tip"]
    assert (await Health(desk.ledger, desk.clock, models=lambda: {"custom:a": None}).check())["tip"] == ""
