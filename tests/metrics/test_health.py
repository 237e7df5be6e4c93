"""Health: one word, and every cause with a tip."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from beastmode.core.settings import HealthSettings
from beastmode.metrics.health import Health, Issue
from beastmode.metrics.health_rules import Recent, in_words, judge
from beastmode.metrics.ledger import Ledger
from support.ledger import StillClock, row


def recent(success: int, failure: int, latency_s: float | None = 1.0) -> Recent:
    return Recent(success, failure, latency_s)


@pytest.mark.parametrize(
    ("success", "failure", "latency_s", "status"),
    [
        (0, 0, None, "healthy"),
        (0, 4, None, "healthy"),
        (5, 0, 1.0, "healthy"),
        (91, 9, 1.0, "healthy"),
        (901, 99, 1.0, "healthy"),
        (90, 10, 1.0, "degraded"),
        (9, 1, 1.0, "degraded"),
        (80, 20, 1.0, "degraded"),
        (4, 1, 1.0, "degraded"),
        (79, 21, 1.0, "unhealthy"),
        (799, 201, 1.0, "unhealthy"),
        (2, 3, 1.0, "unhealthy"),
        (100, 0, 4.999999, "healthy"),
        (100, 0, 5.0, "degraded"),
        (100, 0, 10.0, "degraded"),
        (100, 0, 10.000001, "unhealthy"),
        (0, 5, None, "unhealthy"),
        (85, 15, 10.1, "unhealthy"),
        (79, 21, 7.0, "unhealthy"),
    ],
)
def test_requests_are_judged_by_success_rate_and_wait(
    success: int, failure: int, latency_s: float | None, status: str
) -> None:
    assert judge(recent(success, failure, latency_s), HealthSettings()).status == status


def test_more_failures_than_successes_are_unhealthy_whatever_the_rates_are_set_to() -> None:
    lax = HealthSettings(healthy_rate=0.2, degraded_rate=0.1)
    assert judge(recent(2, 3), lax).status == "unhealthy"
    assert judge(recent(3, 3), lax).status == "healthy"


@pytest.mark.parametrize(
    ("success", "failure", "said"),
    [(0, 0, "No request"), (1, 0, "Only 1 request "), (1, 3, "Only 4 requests")],
)
def test_too_few_requests_are_said_to_be_too_few(success: int, failure: int, said: str) -> None:
    verdict = judge(recent(success, failure), HealthSettings())
    assert verdict.status == "healthy"
    assert verdict.why.startswith(said)
    assert verdict.why.endswith("in the last 5 minutes: too few to tell.")


@pytest.mark.parametrize(
    ("success", "failure", "latency_s", "why"),
    [
        (79, 21, 1.0, "79% is below 80%"),
        (85, 15, 1.0, "85% is not above 90%"),
        (2, 3, 1.0, "more failed than succeeded"),
        (5, 0, 7.5, "the wait is not below 5 s"),
        (5, 0, 12.0, "the wait is above 10 s"),
        (85, 15, 12.0, "85% is not above 90% and the wait is above 10 s"),
    ],
)
def test_the_cause_is_named_in_words_with_a_tip(success: int, failure: int, latency_s: float, why: str) -> None:
    verdict = judge(recent(success, failure, latency_s), HealthSettings())
    assert verdict.why.endswith(f": {why}.")
    assert verdict.tip.startswith("beast errors" if failure else "beast requests")


def test_the_thresholds_can_be_set() -> None:
    rules = HealthSettings(min_requests=1, healthy_rate=0.5, degraded_rate=0.1)
    assert judge(recent(6, 4), rules).status == "healthy"
    assert judge(recent(5, 5), rules).status == "degraded"


@pytest.mark.parametrize(
    ("window_s", "words"),
    [(300, "5 minutes"), (60, "minute"), (90, "90 seconds"), (3600, "hour"), (7200, "2 hours"), (0.5, "0.5 seconds")],
)
def test_a_window_is_said_in_words(window_s: float, words: str) -> None:
    assert in_words(window_s) == f"the last {words}"


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    ledger = Ledger(tmp_path, StillClock())
    ledger.start()
    yield ledger
    ledger.close()


@pytest.fixture
def health(ledger: Ledger) -> Health:
    return Health(ledger, StillClock())


async def test_without_requests_and_trouble_all_is_well(health: Health) -> None:
    health.add("ledger", lambda: None)
    found = await health.check()
    assert (found["status"], found["issues"]) == ("healthy", [])


async def test_failures_make_it_unhealthy_with_a_tip(health: Health, ledger: Ledger) -> None:
    for number in range(6):
        ledger.record(row(f"req_{number}", outcome="failure", error_kind="timeout"))
    found = await health.check()
    assert found["status"] == "unhealthy"
    (issue,) = found["issues"]
    assert issue["part"] == "requests"
    assert "0 of 6" in issue["cause"]
    assert "beast errors" in issue["tip"]


async def test_slow_answers_make_it_degraded(health: Health, ledger: Ledger) -> None:
    for number in range(6):
        ledger.record(row(f"req_{number}", latency_ms=6_000.0))
    found = await health.check()
    assert found["status"] == "degraded"
    assert "median wait of 6 s" in found["issues"][0]["cause"]


async def test_a_part_with_a_sentence_is_degraded_and_keeps_its_tip(health: Health) -> None:
    health.add("ledger", lambda: "The disk is full.", "Free space on /home.")
    found = await health.check()
    assert found["status"] == "degraded"
    assert found["issues"] == [
        {"part": "ledger", "state": "degraded", "cause": "The disk is full.", "tip": "Free space on /home."}
    ]


async def test_a_part_may_report_several_issues_and_one_that_failed_makes_it_unhealthy(health: Health) -> None:
    issues = [Issue("model custom:a", "degraded", "It cools down."), Issue("plugin x", "ok", "fine")]
    health.add("models", lambda: issues)
    assert [issue["part"] for issue in (await health.check())["issues"]] == ["model custom:a"]
    health.add("socket", lambda: Issue("socket", "failed", "It is gone.", "beast restart"))
    assert (await health.check())["status"] == "unhealthy"


async def test_a_part_that_can_not_be_asked_is_degraded_itself(health: Health) -> None:
    def broken() -> None:
        raise RuntimeError("no such thing")

    health.add("disk", broken)
    found = await health.check()
    assert found["status"] == "degraded"
    assert "no such thing" in found["issues"][0]["cause"]


async def test_a_ledger_that_can_not_be_read_is_no_reason_to_fail(health: Health, ledger: Ledger) -> None:
    ledger._reader.close()
    found = await health.check()
    assert found["status"] == "degraded"
    assert "can not be counted" in found["why"]
