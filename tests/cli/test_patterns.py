"""`beast patterns`: guesses of what is asked next, and how often they were right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Beast
from support.fake_daemon import FakeDaemon

RIGHT = {"n": 40, "top1": 0.25, "top5": 0.9}
WAY = {"n": 100, "top1": 0.125, "top5": 0.5, "recurring": RIGHT}
REPLY: dict[str, Any] = {
    "guesses": [
        {
            "action": "tests",
            "workspace": "/w",
            "path": "a.py",
            "symbol": "Cache.get",
            "question": None,
            "probability": 0.42,
            "seen": True,
        },
        {
            "action": "chat",
            "workspace": None,
            "path": None,
            "symbol": None,
            "question": "What is on today?",
            "probability": 0.031,
            "seen": False,
        },
    ],
    "accuracy": {**WAY, "frequency_only": {**WAY, "top5": 0.1}, "last_only": {**WAY, "top5": 0.2}},
    "learned": {"events": 100, "since": "2026-11-20T09:00:00Z", "enabled": True},
}
NOTHING: dict[str, Any] = {
    "guesses": [],
    "accuracy": {"n": 0, "top1": None, "top5": None, "recurring": {"n": 0, "top1": None, "top5": None}},
    "learned": {"events": 0, "since": None, "enabled": True},
}


def test_guesses_are_shown_with_their_chance_and_what_they_were_worth(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("patterns.get", REPLY)
    done = beast("patterns")
    assert done.code == 0
    rows = [line.split() for line in done.out.splitlines()]
    assert ["42%", "tests", "a.py::Cache.get", "yes"] in rows
    assert ["3.1%", "chat", "What", "is", "on", "today?", "no"] in rows
    assert ["the", "predictor", "12%", "50%", "25%", "90%"] in rows
    assert ["frequency", "alone", "12%", "10%", "25%", "90%"] in rows
    assert "100 requests guessed, 40 of them recurring" in done.err
    assert daemon.requests("patterns.get") == [{"limit": 5}]


def test_it_says_so_where_there_is_nothing_yet(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("patterns.get", NOTHING)
    done = beast("patterns")
    assert done.code == 0
    assert "no guesses yet" in done.out + done.err
    assert "GUESSED BY" not in done.out


def test_it_says_so_where_nothing_is_learned(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("patterns.get", {**NOTHING, "learned": {"events": 0, "since": None, "enabled": False}})
    assert "warming.enabled is false" in beast("patterns").err


def test_it_can_be_of_one_workspace_and_as_json(
    daemon: FakeDaemon, beast: Beast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    daemon.on("patterns.get", REPLY)
    assert beast("patterns", "--json", "--workspace", ".", "-n", "7").json == REPLY
    assert daemon.requests("patterns.get") == [{"limit": 7, "workspace": str(tmp_path.resolve())}]
    assert beast("patterns", "--limit", "0").code == 2
