"""Figures and lists of requests over the socket of a real daemon: filters, pages, points over time, costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from beastmode.core.errors import BeastError
from support.daemon import Daemon
from support.provider_server import ProviderServer

MODELS = ("custom:one", "custom:two")


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with ProviderServer() as upstream, Daemon() as daemon:
        for model in MODELS:
            daemon.add(model, f"{upstream.url}/v1", upstream_model="ok", price={"prompt": 1.0, "completion": 2.0})
        for number in range(6):
            params = {"message": f"Question {number}", "model": MODELS[number % 2], "user": f"user {number % 3}"}
            daemon.call("chat", {**params, "tags": ["nightly"] if number < 2 else []})
        daemon.call("chat", {"message": "Question 0", "model": MODELS[0], "user": "user 0"})
        yield daemon


def refused(daemon: Daemon, method: str, params: dict[str, Any]) -> BeastError:
    with pytest.raises(BeastError) as caught:
        daemon.call(method, params)
    return caught.value


def test_figures_are_filtered_and_have_points_and_the_period_before(daemon: Daemon) -> None:
    every = daemon.call("metrics.get", {"window": "1h", "series": True, "before": True})
    assert every["requests"]["total"] == 7
    assert sum(point["success"] for point in every["series"]["points"]) == 7
    assert every["before"]["requests"]["total"] == 0
    assert "series" not in daemon.call("metrics.get", {"window": "1h"})
    for name, value, count in (("model", MODELS[0], 4), ("user", "user 1", 2), ("client", "nobody", 0)):
        assert daemon.call("metrics.get", {"window": "1h", name: value})["requests"]["total"] == count


def test_a_report_of_costs_agrees_with_the_figures(daemon: Daemon) -> None:
    figures = daemon.call("metrics.get", {"window": "24h"})
    report = daemon.call("cost.report", {"window": "24h", "by": "model"})
    assert {one["key"]: one["requests"] for one in report["rows"]} == figures["requests"]["by_model"]
    assert report["total"]["cost_usd"] == figures["costs"]["total_usd"] > 0
    assert report["total"]["saved_usd"] == figures["costs"]["saved_usd"]
    assert report["total"]["by_origin"] == figures["costs"]["by_origin"]


@pytest.mark.parametrize("by", ["model", "project", "client", "user", "session", "tag", "provider", "day", "month"])
def test_every_dimension_of_this_month_has_the_same_total(daemon: Daemon, by: str) -> None:
    report = daemon.call("cost.report", {"by": by})
    assert report["by"] == by
    assert report["from"].endswith("-01T00:00:00.000Z")
    assert report["to"].endswith("-01T00:00:00.000Z")
    assert report["total"]["requests"] == 7
    month = daemon.call("cost.report", {"by": by, "month": report["from"][:7]})
    assert month == report


def test_a_report_can_be_of_days(daemon: Daemon) -> None:
    today = daemon.rows(limit=1)[0]["at"][:10]
    assert daemon.call("cost.report", {"by": "day", "from": today})["total"]["requests"] == 7
    assert daemon.call("cost.report", {"by": "day", "to": today})["rows"] == []
    assert daemon.call("cost.report", {"from": "2026-01-01", "to": "2026-01-02"})["total"]["requests"] == 0


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"month": "2026-11", "window": "1h"}, "exclude each other"),
        ({"month": "2026-13"}, "month"),
        ({"from": "tomorrow"}, "`from` is no time"),
        ({"from": "2026-11-02", "to": "2026-11-01"}, "`to` is before `from`"),
        ({"by": "weather"}, "by"),
    ],
)
def test_a_span_that_is_none_is_refused(daemon: Daemon, params: dict[str, Any], said: str) -> None:
    assert said in refused(daemon, "cost.report", params).message


def test_requests_come_in_pages_and_by_caller(daemon: Daemon) -> None:
    whole = [one["request_id"] for one in daemon.rows(limit=100)]
    pages = daemon.rows(limit=3)
    while page := daemon.rows(limit=3, before=pages[-1]["request_id"]):
        pages += page
    assert [one["request_id"] for one in pages] == whole
    assert len(daemon.rows(user="user 2")) == 2
    assert daemon.rows(client="http") == daemon.rows(workspace="/nowhere") == daemon.rows(session="none") == []
    assert daemon.rows(error_kind="timeout") == []
    assert daemon.rows(until="2026-01-01") == []
    assert len(daemon.rows(until="2126-01-01")) == 7
    assert refused(daemon, "requests.list", {"before": "req_none"}).kind == "not_found"


def test_a_row_says_where_its_price_is_from(daemon: Daemon) -> None:
    hit, *_, first = daemon.rows(limit=100)
    assert (first["price_source"], hit["price_source"]) == ("user", None)
    assert hit["cache"]["result"] == "hit_exact"
    assert hit["similarity"] is hit["confidence"] is None
