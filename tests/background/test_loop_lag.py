"""The lateness of the event loop: measured by one timer, judged by its 99th percentile."""

from __future__ import annotations

import asyncio
import time

from beastmode.background.loop_lag import CONCLUDES_AT, KEPT, LoopLag
from beastmode.core.clock import Clock
from beastmode.core.settings import HealthSettings


def lag() -> LoopLag:
    return LoopLag(Clock(), HealthSettings)


def test_a_loop_that_is_in_time_is_no_issue() -> None:
    loop = lag()
    for _ in range(KEPT):
        loop.note(0.001)
    assert loop.issue() is None
    assert loop.figures() == {"p50": 1.0, "p99": 1.0, "max": 1.0}


def test_a_loop_that_is_often_late_is_degraded_in_words() -> None:
    loop = lag()
    for number in range(KEPT):
        loop.note(0.15 if number % 50 == 0 else 0.0)
    issue = loop.issue()
    assert issue is not None
    assert issue.state == "degraded"
    assert "150 ms late" in issue.cause
    assert "more than 100 ms is too much" in issue.cause
    assert issue.tip


def test_one_hiccup_in_a_minute_is_none() -> None:
    loop = lag()
    for number in range(KEPT):
        loop.note(0.15 if number == 0 else 0.0)
    assert loop.issue() is None


def test_a_stall_counts_for_every_tick_that_it_swallowed() -> None:
    loop = lag()
    for _ in range(KEPT - 1):
        loop.note(0.0)
    loop.note(2.0)
    issue = loop.issue()
    assert issue is not None
    assert loop.figures()["max"] == 2000.0


def test_nothing_is_concluded_from_the_first_seconds() -> None:
    loop = lag()
    assert loop.issue() is None
    assert loop.figures() == {"p50": None, "p99": None, "max": None}
    for _ in range(CONCLUDES_AT - 1):
        loop.note(0.09)
        assert loop.issue() is None


def test_a_stall_longer_than_the_window_costs_no_more_than_the_window() -> None:
    loop = lag()
    loop.note(1e9)
    assert len(loop._late_s) == KEPT


async def test_a_loop_that_is_held_up_is_found_late() -> None:
    loop = lag()
    loop.start()
    await asyncio.sleep(0.05)
    time.sleep(0.3)  # it is what is measured
    await asyncio.sleep(0.05)
    loop.close()
    latest_s = loop.quantile_s(1.0)
    assert latest_s is not None
    assert latest_s > 0.15
