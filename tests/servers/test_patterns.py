"""`patterns.get` over the socket: what is likely asked next, how often that was right, and that it can be forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beastmode.core.errors import BadInputError
from support.daemon import Daemon

UNKNOWN = {"n": 0, "top1": None, "top5": None}
CODE = "def one():\n    return 1\n\n\ndef two():\n    return 2\n"
TWO = {"start": {"line": 4, "character": 0}, "end": {"line": 5, "character": 12}}


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with Daemon(environ={"BEAST_HTTP__PORT": "0", "BEAST_LSP__ENABLED": "false"}) as running:
        running.add("echo:e")
        yield running


@pytest.fixture
def project(tmp_path: Path) -> str:
    (tmp_path / "a.py").write_text(CODE)
    return str(tmp_path.resolve())


def explain(daemon: Daemon, workspace: str) -> None:
    daemon.call("action", {"kind": "explain", "workspace": workspace, "path": "a.py", "range": TWO, "model": "echo:e"})


def test_who_was_asked_nothing_guesses_nothing_and_says_so(daemon: Daemon) -> None:
    way = {**UNKNOWN, "recurring": UNKNOWN}
    assert daemon.call("patterns.get") == {
        "guesses": [],
        "accuracy": {**way, "frequency_only": way, "last_only": way},
        "learned": {"events": 0, "since": None, "enabled": True},
    }


def test_what_is_asked_again_and_again_is_guessed_and_measured(daemon: Daemon, project: str) -> None:
    for _ in range(4):
        daemon.call("chat", {"message": "What is on today?", "model": "echo:e"})
        explain(daemon, project)
    reply = daemon.call("patterns.get", {"limit": 2})
    assert {(one["action"], one["symbol"], one["question"]) for one in reply["guesses"]} == {
        ("chat", None, "What is on today?"),
        ("explain", "two", None),
    }
    assert all(0 < one["probability"] <= 1 and one["seen"] for one in reply["guesses"])
    assert reply["accuracy"]["n"] == reply["learned"]["events"] == 8
    assert reply["accuracy"]["recurring"]["n"] == 6
    assert reply["accuracy"]["recurring"]["top5"] == 1.0
    assert reply["learned"]["since"].endswith("Z")


def test_guesses_are_of_one_workspace_where_that_is_asked_and_survive_a_restart(daemon: Daemon, project: str) -> None:
    daemon.call("chat", {"message": "What is on today?", "model": "echo:e"})
    explain(daemon, project)
    daemon.stop()
    daemon.start()
    reply = daemon.call("patterns.get", {"workspace": project, "limit": 50})
    assert {one["workspace"] for one in reply["guesses"]} == {project}
    assert reply["learned"]["events"] == 2
    assert daemon.call("patterns.get", {"workspace": f"{project}/nothing"})["guesses"] == []


def test_a_kill_costs_what_was_asked_in_the_last_moment_at_most(daemon: Daemon) -> None:
    for number in range(5):
        daemon.call("chat", {"message": f"question {number}", "model": "echo:e"})
    assert daemon.call("patterns.get")["learned"]["events"] == 5
    file = daemon.home / "state" / "activity" / "activity-00000001.jsonl"
    daemon.kill()
    noted = max(0, file.read_bytes().count(b"\n") - 1) if file.exists() else 0
    daemon.start()
    assert daemon.call("patterns.get")["learned"]["events"] == noted


def test_people_do_not_see_each_others_questions_and_tries_of_models_are_nobodys(daemon: Daemon) -> None:
    daemon.call("chat", {"message": "a secret plan", "model": "echo:e", "user": "somebody"})
    daemon.call("chat", {"message": "ping", "model": "echo:e", "origin": "test"})
    reply = daemon.call("patterns.get")
    assert reply["guesses"] == []
    assert reply["learned"]["events"] == 1


def test_what_is_forgotten_is_guessed_no_more(daemon: Daemon, project: str) -> None:
    daemon.call("chat", {"message": "What is on today?", "model": "echo:e"})
    explain(daemon, project)
    daemon.call("forget", {"workspace": project})
    left: Any = daemon.call("patterns.get", {"limit": 50})
    assert [one["question"] for one in left["guesses"] if one["seen"]] == ["What is on today?"]
    daemon.call("forget", {"all": True})
    assert daemon.call("patterns.get")["guesses"] == []
    kept = b"".join(file.read_bytes() for file in (daemon.home / "state" / "activity").iterdir())
    assert b"What is on today" not in kept
    assert project.encode() not in kept


def test_where_warming_is_off_nothing_is_kept() -> None:
    environ = {"BEAST_HTTP__PORT": "0", "BEAST_LSP__ENABLED": "false", "BEAST_WARMING__ENABLED": "false"}
    with Daemon(environ=environ) as running:
        running.add("echo:e")
        running.call("chat", {"message": "What is on today?", "model": "echo:e"})
        reply = running.call("patterns.get")
        assert reply["guesses"] == []
        assert reply["learned"] == {"events": 0, "since": None, "enabled": False}
        running.stop()
        assert not list((running.home / "state").glob("activity/*.jsonl"))


def test_what_can_not_be_meant_is_refused(daemon: Daemon) -> None:
    wrong: list[dict[str, Any]] = [{"limit": 0}, {"limit": 101}, {"workspace": "relative"}, {"workspaces": "/w"}]
    for params in wrong:
        with pytest.raises(BadInputError):
            daemon.call("patterns.get", params)


def test_a_newer_journal_refuses_the_start_with_a_tip() -> None:
    with Daemon(environ={"BEAST_HTTP__PORT": "0", "BEAST_LSP__ENABLED": "false"}) as running:
        running.stop()
        folder = running.home / "state" / "activity"
        folder.mkdir(exist_ok=True, mode=0o700)
        (folder / "activity-00000001.jsonl").write_text('{"schema":99}\n')
        with pytest.raises(AssertionError, match="newer"):
            running.start()
