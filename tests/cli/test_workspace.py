"""`beast workspace`: open, close and list, with progress that can be left."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from beastmode.cli import workspace
from beastmode.cli.workspace import ScanBar
from cli.conftest import Beast
from support.daemon import Daemon
from support.fake_daemon import Call, FakeDaemon
from support.terminal import Terminal
from support.waiting import until

PROGRAM = [sys.executable, "-P", "-m", "beastmode.cli"]
READY: dict[str, Any] = {
    "path": "/code/app",
    "state": "ready",
    "files": 12,
    "chunks": 80,
    "seen": 12,
    "watching": "events",
    "left_out": {"secret": 2, "ignored": 5},
    "problem": "",
    "tip": "",
}


def test_a_folder_is_opened_by_its_absolute_path_and_waited_for(
    beast: Beast, daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.on("workspace.open", READY)
    monkeypatch.chdir(tmp_path)
    done = beast("workspace", "open")
    assert daemon.requests("workspace.open") == [{"path": str(tmp_path), "wait": True}]
    assert done.out == "/code/app is open: 12 files in 80 pieces\n"
    assert "left out: 2 like a secret, 5 ignored" in done.err
    beast("workspace", "open", "sub/../other", "--no-wait")
    assert daemon.requests("workspace.open")[-1] == {"path": str(tmp_path / "other"), "wait": False}


def test_what_is_still_being_read_is_said_so(beast: Beast, daemon: FakeDaemon) -> None:
    daemon.on("workspace.open", {**READY, "state": "scanning", "files": 0})
    assert "is open and being read" in beast("workspace", "open", "--no-wait").out


def test_a_problem_is_told_with_its_tip(beast: Beast, daemon: FakeDaemon) -> None:
    daemon.on("workspace.open", {**READY, "problem": "The system can not watch it.", "tip": "sudo sysctl x"})
    assert "The system can not watch it.\n  try: sudo sysctl x" in beast("workspace", "open").err


def test_the_open_ones_are_listed(beast: Beast, daemon: FakeDaemon) -> None:
    reading = {**READY, "path": "/code/large", "state": "scanning", "seen": 700, "watching": "polling"}
    daemon.on("workspace.list", {"workspaces": [READY, reading]})
    done = beast("workspace")
    assert [line.split() for line in done.out.splitlines()[1:]] == [
        ["/code/app", "ready", "12", "80", "2", "seen", "at", "once"],
        ["/code/large", "scanning", "(700)", "12", "80", "2", "looked", "for"],
    ]
    daemon.on("workspace.list", {"workspaces": []})
    assert "try: beast workspace open" in beast("workspace", "list").out


def test_one_is_closed_and_forgotten(beast: Beast, daemon: FakeDaemon) -> None:
    daemon.on("workspace.close", {**READY, "state": "closed"})
    assert beast("workspace", "close", "/code/app").out == "closed /code/app\n"
    assert beast("workspace", "close", "/code/app", "--forget").out == "closed /code/app, and forgotten\n"
    assert [one["forget"] for one in daemon.requests("workspace.close")] == [False, True]


def test_json_is_what_the_daemon_said(beast: Beast, daemon: FakeDaemon) -> None:
    daemon.on("workspace.open", READY)
    daemon.on("workspace.close", READY)
    daemon.on("workspace.list", {"workspaces": [READY]})
    assert beast("workspace", "open", "--json").json == READY
    assert beast("workspace", "close", "--json").json == READY
    assert beast("workspace", "list", "--json").json == {"workspaces": [READY]}


class Lines:
    """A screen that keeps what it is told."""

    def __init__(self, can_overwrite: bool) -> None:
        self.can_overwrite = can_overwrite
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)

    overwrite = note


def test_progress_is_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "_REDRAW_S", 0)
    screen = Lines(True)
    bar = ScanBar(screen, "/code/app")  # type: ignore[arg-type]
    for value in ({"files": 50, "total": 100}, {"delta": "no"}, "no", {"files": None}):
        bar.show(value)
    bar.end()
    bar.end()
    assert screen.lines == ["app [###############---------------] 50 files read of 100", ""]


def test_progress_is_a_line_from_time_to_time_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "_NOTE_S", 0)
    screen = Lines(False)
    bar = ScanBar(screen, "/")  # type: ignore[arg-type]
    bar.show({"files": 1, "total": None})
    bar.show({"files": 2, "total": 9})
    bar.end()
    assert screen.lines == ["/: 1 file read", "/: 2 files read of 9"]


def test_it_works_against_a_real_daemon(tmp_path: Path, beast: Beast, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.py").write_text("def one():\n    return 1\n")
    with Daemon() as real:
        monkeypatch.setenv("BEAST_HOME", str(real.home))
        assert "is open: 1 file in 1 piece" in beast("workspace", "open", str(tmp_path)).out
        assert beast("workspace", "list", "--json").json["workspaces"][0]["state"] == "ready"
        assert f"workspace {tmp_path}" in beast("status").out
        assert beast("workspace", "close", str(tmp_path)).code == 0
        error = beast("workspace", "open", str(tmp_path / "none"))
        assert (error.code, "There is no folder" in error.err) == (1, True)


def hanging(params: Any, call: Call) -> None:
    call.progress({"phase": "scan", "files": 7, "total": 9})
    call.cancelled.wait(30)


def test_ctrl_c_leaves_the_waiting_and_the_reading_goes_on(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.on("workspace.open", hanging)
    environ = {**os.environ, "BEAST_HOME": str(daemon.home)}
    with Terminal([*PROGRAM, "workspace", "open", str(tmp_path)], environ) as terminal:
        until(lambda: bool(daemon.requests("workspace.open")))
        assert terminal.end_with("\x03") == 130
        assert "it is read on in the background" in terminal.text
    assert daemon.requests("workspace.close") == []


def test_what_is_not_installed_is_told_once(beast: Beast, daemon: FakeDaemon) -> None:
    blunt = {**READY, "missing": ["pieces are found by words alone: pip install x"]}
    daemon.on("workspace.list", {"workspaces": [blunt, blunt]})
    daemon.on("workspace.open", blunt)
    assert beast("workspace").err.count("pip install x") == 1
    assert beast("workspace", "open").err.count("pip install x") == 1
