"""The commands that tell: costs, the daemon's standing, its dashboard, how an answer came about; and the status bar."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest

from beastmode_lsp.costs import cost_line, duration, money
from beastmode_lsp.insight import with_model
from beastmode_lsp.status import UNREACHABLE
from support.lsp_client import LspError
from support.lsp_house import MODEL, House
from support.scripts import Fail


@pytest.fixture(scope="module")
def the_house() -> Iterator[House]:
    with House() as house:
        yield house


@pytest.fixture
def house(the_house: House) -> House:
    the_house.clean()
    return the_house


def test_costs_of_today_and_of_this_month(house: House) -> None:
    editor = house.editor()
    for _ in range(2):
        found = editor.client.command("beast.chat", {"message": "Costs?"})
    house.row(found["request_id"])
    costs = editor.client.command("beast.cost")
    for span in ("today", "month"):
        assert costs[span]["requests"] >= 2
        assert costs[span]["cost_usd"] > 0
        assert costs[span]["saved_usd"] > 0
        assert 0 < costs[span]["hit_rate"] <= 0.5
    assert costs["line"].startswith("today ")
    assert editor.client.of("window/showMessage")[-1]["message"] == f"BEAST: {costs['line']}"


def test_the_status_says_how_everything_is(house: House) -> None:
    found = house.editor().client.command("beast.status", {})
    assert found["version"] == house.daemon.call("ping")["version"]
    assert found["health"] == "healthy"
    assert found["model"] == ""
    assert set(found["today"]) == {"cost_usd", "saved_usd", "requests", "hit_rate"}
    assert found["line"].startswith("BEAST healthy · default model · ")


def test_the_dashboard_opens_in_the_browser(house: House) -> None:
    editor = house.editor()
    found = editor.client.command("beast.dashboard")
    assert "/dashboard?ticket=" in found["url"]
    (shown,) = editor.client.of("window/showDocument")
    assert (shown["uri"], shown["external"]) == (found["url"], True)


def test_the_last_answer_is_explained(house: House) -> None:
    editor = house.editor()
    with pytest.raises(LspError, match="Nothing was answered in this session yet"):
        editor.client.command("beast.explainLast")
    answer = editor.client.command("beast.chat", {"message": "Explain yourself."})
    house.row(answer["request_id"])
    found = editor.client.command("beast.explainLast")
    assert found["request_id"] == answer["request_id"]
    for part in (MODEL, "**Cache**: miss", "**Route**", "## Cost"):
        assert part in found["markdown"]
    shown = editor.client.of("window/showDocument")[-1]["uri"]
    assert Path(unquote(urlparse(shown).path)).read_text() == found["markdown"]


def test_an_answer_of_the_cache_is_rejected_for_good(house: House) -> None:
    editor = house.editor()
    for _ in range(2):
        answer = editor.client.command("beast.chat", {"message": "Is it wrong?"})
    assert answer["cache"]["result"] == "hit_exact"
    house.row(answer["request_id"])
    assert editor.client.command("beast.reject", {})["request_id"] == answer["request_id"]
    assert editor.client.command("beast.chat", {"message": "Is it wrong?"})["cache"]["result"] == "miss"


def test_a_status_bar_is_told_when_something_changes_and_nobody_else_is(house: House) -> None:
    told, other = house.editor(settings={"status": True}), house.editor()
    first = told.client.wait_for("beast/status")
    assert first["health"] == "healthy"
    assert first["line"].startswith("BEAST healthy")
    told.client.command("beast.chat", {"message": "Something changes.", "cache": "off"})
    more = told.client.wait_for("beast/status", lambda one: one["today"]["requests"] > first["today"]["requests"])
    assert more["today"]["cost_usd"] > first["today"]["cost_usd"]
    assert other.client.of("beast/status") == []


def test_what_is_not_known_of_a_daemon_that_is_away_is_not_said_to_be_nothing() -> None:
    told = with_model(UNREACHABLE, "custom:mine")
    assert told["line"] == "BEAST unreachable · custom:mine"
    assert set(told["today"].values()) == {None}


def test_an_answer_that_failed_can_be_explained(house: House) -> None:
    house.coder.say = lambda asked: Fail(401)
    editor = house.editor()
    with pytest.raises(LspError) as failed:
        editor.client.command("beast.chat", {"message": "Fail."})
    house.row(failed.value.data["request_id"])
    assert "**Error**: authentication" in editor.client.command("beast.explainLast")["markdown"]


MISS: dict[str, Any] = {"model": MODEL, "latency_ms": 812.4, "cost_usd": 0.0012, "cache": {"result": "miss"}}
HIT: dict[str, Any] = {
    "model": MODEL,
    "latency_ms": 1.2,
    "cost_usd": 0.0,
    "saved_usd": 0.0012,
    "cache": {"result": "hit_exact", "tier": "L1"},
}


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (MISS, "custom:mock · 0.0012 $ · 812 ms"),
        (HIT, "custom:mock · from the cache (exact, L1), saved 0.0012 $ · 1 ms"),
        ({**HIT, "saved_usd": None}, "custom:mock · from the cache (exact, L1) · 1 ms"),
        ({**MISS, "cost_usd": None}, "custom:mock · cost unknown · 812 ms"),
        ({**MISS, "cost_usd": 0.0, "latency_ms": None}, "custom:mock · 0 $"),
        ({}, "cost unknown"),
    ],
)
def test_the_line_of_cost(answer: dict[str, Any], line: str) -> None:
    assert cost_line(answer) == line


def test_amounts_and_times_are_short() -> None:
    assert [money(one) for one in (0, 0.00001, 0.5, 12.345)] == ["0 $", "< 0.0001 $", "0.5000 $", "12.35 $"]
    assert [duration(one) for one in (0.4, 999.6, 12_345)] == ["0 ms", "1000 ms", "12.3 s"]
