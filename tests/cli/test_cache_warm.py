"""`beast cache warm`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Beast
from support.fake_daemon import Call, FakeDaemon

CHAT = {"source": "template", "method": "chat", "question": "What is on\x1b today?", "chance": 1.0}
TESTS = {"source": "guess", "method": "action", "kind": "tests", "path": "src/a.py", "symbol": "Shelf.count"}
REPORT: dict[str, Any] = {
    "asked": 2,
    "stored": 2,
    "skipped": {"stored": 7, "costs_money": 1},
    "cost_usd": 0.0012,
    "dry_run": False,
    "may_cost_usd": None,
    "wishes": [],
}
DRY = REPORT | {
    "asked": 0,
    "stored": 0,
    "dry_run": True,
    "may_cost_usd": 0.02,
    "wishes": [
        CHAT | {"model": "custom:t", "outcome": "would_ask", "may_cost_usd": 0.02},
        TESTS | {"model": "custom:t", "outcome": "stored"},
    ],
}
STANDING = {
    "enabled": True,
    "asked_today": 12,
    "daily_requests": 500,
    "spent_usd": 0.01,
    "budget_usd": 0.5,
    "precision": 0.34,
    "throttled": True,
    "problem": None,
}


def progress(value: dict[str, Any], call: Call) -> None:
    call.progress({"done": 1, "total": 2, "asked": 1, "stored": 1, "cost_usd": 0.0, "wish": TESTS, **value})


def test_says_what_was_stored_and_why_the_rest_was_not(daemon: FakeDaemon, beast: Beast) -> None:
    def warm(params: dict[str, Any], call: Call) -> dict[str, Any]:
        progress({"outcome": "stored_now"}, call)
        return REPORT

    daemon.on("cache.warm", warm)
    done = beast("cache", "warm")
    assert (done.code, done.out) == (0, "stored 2 answers, for $0.0012\n")
    assert "1 of 2: tests src/a.py::Shelf.count" in done.err
    assert "7 not asked: stored already" in done.err and "warming.remote" in done.err


def test_dry_lists_what_would_be_asked_and_what_it_may_cost(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("cache.warm", DRY)
    done = beast("cache", "warm", "--dry-run")
    assert daemon.received[-1]["params"] == {"dry_run": True}
    head, chat, tests = done.out.splitlines()
    assert head.split() == ["from", "request", "model", "at", "most", "what", "becomes", "of", "it"]
    assert "What is on␛ today?" in chat and "$0.02" in chat and "would be asked" in chat
    assert "src/a.py::Shelf.count" in tests and "stored already" in tests
    assert "1 request would be asked, for at most $0.02" in done.err


def test_dry_says_where_there_is_nothing_and_where_nobody_knows_the_cost(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("cache.warm", DRY | {"wishes": []})
    assert "warming.templates" in beast("cache", "warm", "--dry-run").out
    daemon.on("cache.warm", DRY | {"may_cost_usd": None})
    assert "nobody knows what for" in beast("cache", "warm", "--dry-run").err


def test_passes_on_workspace_and_limit(daemon: FakeDaemon, beast: Beast, tmp_path: Path) -> None:
    daemon.on("cache.warm", REPORT)
    assert beast("cache", "warm", "--workspace", str(tmp_path / "x" / ".."), "--limit", "5", "--json").json == REPORT
    assert daemon.received[-1]["params"] == {"dry_run": False, "workspace": str(tmp_path.resolve()), "limit": 5}


def test_a_limit_below_zero_is_a_mistake(daemon: FakeDaemon, beast: Beast) -> None:
    assert beast("cache", "warm", "--limit", "-1").code == 2


def test_watching_shows_what_is_asked_ahead_until_ctrl_c(
    daemon: FakeDaemon, beast: Beast, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"request_id": "r1", "attempts": 1, "outcome": "success", "model": "custom:t", "cost_usd": 0.0}
    rows = iter([[], [row | {"workspace": "/w"}], [row | {"workspace": "/w"}]])
    daemon.on("cache.warm", REPORT)
    daemon.on("requests.list", lambda params, call: {"requests": next(rows)})
    daemon.on("status", {"warming": STANDING})
    turns = iter([None])

    def sleep(seconds: float) -> None:
        if next(turns, 0) == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr("beastmode.cli.cache_warm.time.sleep", sleep)
    done = beast("cache", "warm", "--watch")
    assert "success · custom:t · $0 · /w" in done.out and done.out.count("custom:t") == 1
    assert "12 of 500 asked ahead today · $0.01 of $0.5 · 34% of them used · throttled" in done.err


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (STANDING | {"precision": None, "throttled": False}, "precision not known yet"),
        (STANDING | {"enabled": False}, "nothing is asked ahead"),
        (STANDING | {"problem": "A template is wrong."}, "A template is wrong."),
    ],
)
def test_status_tells_how_warming_stands(
    standing: dict[str, Any], words: str, daemon: FakeDaemon, beast: Beast
) -> None:
    daemon.on("status", {"version": "1", "health": {"status": "healthy"}, "warming": standing})
    assert words in beast("status").out
