"""`beast monitor`."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import termios
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode.cli import monitor_view
from beastmode.cli.monitor_view import Frame
from cli.conftest import Beast
from support.fake_daemon import FakeDaemon
from support.terminal import Terminal

PROGRAM = [sys.executable, "-P", "-m", "beastmode.cli"]
HEALTH = {
    "status": "degraded",
    "issues": [{"part": "ledger", "state": "degraded", "cause": "the disk is full", "tip": "free some space"}],
}
METRICS: dict[str, Any] = {
    "window": "1h",
    "requests": {"total": 1_234, "success": 1_200, "failure": 20, "refused": 10, "cancelled": 4, "by_model": {}},
    "cache": {"hit_rate": 0.451, "exact": 400, "semantic": 50, "miss": 700, "bypass": 84},
    "latency_ms": {"mean": 3.0, "p50": 120.0, "p95": 1_240.0, "p99": None},
    "ttft_ms": {"mean": None, "p50": None, "p95": None, "p99": None},
    "costs": {"total_usd": 1.25, "unknown": 3, "saved_usd": 0.5, "saved_percent": 28.6},
    "errors": {"total": 30},
    "health": HEALTH,
}
MODEL = {
    "key": "custom:qwen",
    "requests": 1_234,
    "success": 990,
    "failure": 10,
    "hits": 450,
    "latency_ms": 210.0,
    "cost_usd": 1.25,
    "unknown": 3,
    "saved_usd": 0.5,
}
ERROR = {
    "kind": "connection_refused",
    "model": "custom:qwen",
    "count": 3,
    "last_at": "2026-11-20T09:00:00.000Z",
    "tip": "ollama serve",
}
ROW = {
    "request_id": "req_1",
    "at": "2026-11-20T09:00:00.000Z",
    "outcome": "success",
    "model": "auto",
    "model_served": "custom:qwen",
    "cache": {"result": "hit_exact", "tier": "L1"},
    "cost_usd": None,
    "latency_ms": 0.4,
}
SEEN: dict[str, Any] = {
    "at": "2026-11-20T09:00:05Z",
    "window": "1h",
    "metrics": METRICS,
    "before": {"requests": {"total": 1_000}},
    "models": [MODEL] * 20,
    "errors": [ERROR] * 10,
    "requests": [ROW, {**ROW, "outcome": "failure", "error_kind": "timeout"}] * 25,
}


@pytest.fixture(autouse=True)
def _figures(daemon: FakeDaemon) -> None:
    daemon.on("metrics.get", {**METRICS, "before": SEEN["before"]})
    daemon.on("cost.report", {"by": "model", "rows": [MODEL]})
    daemon.on("errors.recent", {"errors": [ERROR]})
    daemon.on("requests.list", {"requests": SEEN["requests"]})


def plain(text: str, style: str) -> str:
    return text


def watching(daemon: FakeDaemon, *words: str, **environ: str) -> Terminal:
    return Terminal([*PROGRAM, "monitor", "--watch", *words], {**os.environ, "BEAST_HOME": str(daemon.home), **environ})


def resize(terminal: Terminal, columns: int, rows: int) -> None:
    """As a person who drags the corner of the window."""
    fcntl.ioctl(terminal._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def pictures(terminal: Terminal) -> list[list[str]]:
    """Every picture that was drawn, as its lines without styles."""
    found = []
    for picture in terminal.raw.split("\x1b[?2026h")[1:]:
        body, whole, _ = picture.partition("\x1b[?2026l")
        if whole:
            text = monitor_styles(body.replace("\r\n", "\n"))
            found.append(text.split("\n"))
    return found


def monitor_styles(text: str) -> str:
    import re

    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_once_shows_the_numbers_of_the_dashboard(daemon: FakeDaemon, beast: Beast) -> None:
    done = beast("monitor", "--window", "24h")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0].startswith("degraded   last 24h, ")
    assert lines[1:8] == [
        "  ledger: the disk is full Try: free some space",
        "requests   1,234 (+23%)   1,200 success · 20 failure · 10 refused · 4 cancelled",
        "latency    p50 120 ms · p95 1.24 s · p99 unknown",
        "first text p50 unknown · p95 unknown · p99 unknown",
        "hit rate   45.1%   400 exact · 50 by meaning · 700 missed",
        "spent      $1.25 · 3 requests of unknown cost   saved $0.5 (28.6%)",
        "",
    ]
    assert lines[9].split() == ["custom:qwen", "1,234", "99.0%", "450", "210", "ms", "$1.25+", "$0.5"]
    assert "connection_refused · custom:qwen · 3 times" in done.out
    assert "  ollama serve" in lines
    assert lines[-1].split()[-2:] == ["failure:", "timeout"]
    assert "unknown" in lines[-1], "a cost that nobody knows"
    assert daemon.requests("metrics.get") == [{"window": "24h", "before": True}]
    assert daemon.requests("cost.report") == [{"window": "24h", "by": "model"}]


def test_json_is_one_object_a_line(beast: Beast) -> None:
    done = beast("monitor", "--json")
    assert done.out.count("\n") == 1
    assert done.json["metrics"]["requests"]["total"] == 1_234
    assert done.json["models"] == [MODEL]
    assert set(done.json) == {"at", "window", "before", "metrics", "models", "errors", "requests"}


def test_an_empty_ledger_teaches_the_next_command(daemon: FakeDaemon, beast: Beast) -> None:
    nothing = {
        **METRICS,
        "cache": {**METRICS["cache"], "hit_rate": None},
        "health": {"status": "healthy", "issues": []},
    }
    nothing["costs"] = {"total_usd": 0.0, "unknown": 0, "saved_usd": 0.0, "saved_percent": None}
    daemon.on("metrics.get", nothing)
    daemon.on("cost.report", {"rows": []})
    daemon.on("errors.recent", {"errors": []})
    daemon.on("requests.list", {"requests": []})
    out = beast("monitor").out
    assert 'beast ask "hello"' in out
    assert "hit rate   -" in out
    assert "spent      $0   saved $0\n" in out


def test_watched_through_a_pipe_it_tells_again_and_again_until_it_is_ended(daemon: FakeDaemon) -> None:
    words = [*PROGRAM, "monitor", "--watch", "--json", "--interval", "0.25"]
    environ = {**os.environ, "BEAST_HOME": str(daemon.home)}
    with subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watcher:
        assert watcher.stdout is not None and watcher.stderr is not None
        for _ in range(3):
            assert json.loads(watcher.stdout.readline())["metrics"]["requests"]["total"] == 1_234
        watcher.send_signal(signal.SIGINT)
        watcher.stdout.read()
        assert (watcher.wait(20), watcher.stderr.read()) == (0, "")


def test_a_reader_that_leaves_is_no_error(daemon: FakeDaemon) -> None:
    line = f"{' '.join(PROGRAM)} monitor --watch --interval 0.25 | head -1"
    done = subprocess.run(
        ["bash", "-c", line],
        env={**os.environ, "BEAST_HOME": str(daemon.home)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.startswith("degraded   last 1h")
    assert done.stderr == ""


def test_without_a_daemon_it_ends_with_3(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.stop()
    assert beast("monitor").code == 3
    assert beast("monitor", "--watch").code == 3
    daemon.start()


def test_on_a_terminal_it_fits_follows_its_size_and_leaves_it_as_it_was(daemon: FakeDaemon) -> None:
    with watching(daemon, "--interval", "0.25") as terminal:
        resize(terminal, 80, 24)
        terminal.see("q quit")
        resize(terminal, 80, 24)
        terminal.see("connection_refused")
        resize(terminal, 50, 12)
        for _ in range(3):
            terminal.see("last 1h")
        resize(terminal, 120, 40)
        for _ in range(3):
            terminal.see("q quit")
        terminal.type("q")
        assert terminal.end() == 0
    assert terminal.raw.startswith("\x1b[?1049h\x1b[?25l")
    assert terminal.raw.endswith("\x1b[?25h\x1b[?1049l")
    sizes = {(len(picture), max(map(len, picture))) for picture in pictures(terminal)}
    assert any(rows <= 12 and columns <= 50 for rows, columns in sizes)
    assert any(rows == 24 and columns <= 80 for rows, columns in sizes)
    assert any(rows > 24 for rows, _ in sizes)
    assert max(rows for rows, _ in sizes) <= 40


def test_a_picture_is_drawn_over_the_last_one_and_never_erased_first(daemon: FakeDaemon) -> None:
    with watching(daemon, "--interval", "0.25") as terminal:
        for _ in range(4):
            terminal.see("q quit")
        assert terminal.end_with("\x03") == 0
    assert terminal.raw.count("\x1b[2J") <= 2, "once, and once more where the size came late"
    assert len(pictures(terminal)) >= 3


def test_keys_choose_the_window(daemon: FakeDaemon) -> None:
    with watching(daemon, "--interval", "60") as terminal:
        terminal.see("last 1h")
        terminal.type("3")
        terminal.see("last 7d")
        terminal.type("q")
        assert terminal.end() == 0
    assert daemon.requests("metrics.get")[-1]["window"] == "7d"


def test_no_colour_where_none_is_wanted(daemon: FakeDaemon) -> None:
    with watching(daemon, NO_COLOR="1") as terminal:
        terminal.see("q quit")
        terminal.type("q")
        assert terminal.end() == 0
    assert "\x1b[33m" not in terminal.raw
    with watching(daemon) as coloured:
        coloured.see("q quit")
        coloured.type("q")
        assert coloured.end() == 0
    assert "\x1b[33mdegraded" in coloured.raw


def test_a_daemon_that_goes_away_is_said_and_found_again(daemon: FakeDaemon) -> None:
    with watching(daemon, "--interval", "0.25") as terminal:
        terminal.see("q quit")
        daemon.stop()
        terminal.see("no answer for")
        terminal.see("1,200 success")
        daemon.start()
        count = len(daemon.requests("metrics.get"))
        while len(daemon.requests("metrics.get")) < count + 3:
            terminal.see("q quit")
        terminal.type("q")
        assert terminal.end() == 0
    assert not pictures(terminal)[-1][0].startswith("no answer")


def test_what_the_daemon_says_can_not_drive_the_terminal(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("requests.list", {"requests": [{**ROW, "model_served": "\x1b]0;owned\x07\nnew line"}]})
    with watching(daemon) as terminal:
        terminal.see("owned")
        terminal.type("q")
        terminal.end()
    assert "\x1b]0;" not in terminal.raw
    assert len(beast("monitor").out.splitlines()[-1].split("owned")) == 2


@given(st.integers(20, 200), st.integers(5, 80))
def test_it_fits_any_size(columns: int, rows: int) -> None:
    found = monitor_view.lines(SEEN, Frame(columns, rows, True, "no answer"), plain)
    assert len(found) <= rows
    assert all(len(line) <= columns for line in found)
    assert found[1].startswith("degraded")


@given(st.text(), st.integers(2, 60))
def test_a_text_is_cut_to_its_width(text: str, columns: int) -> None:
    found = monitor_view.cut(text, columns)
    assert sum(map(monitor_view._width, found)) <= columns
    assert found == text or found.endswith("…")


def test_every_panel_has_its_part_of_24_lines() -> None:
    found = monitor_view.lines(SEEN, Frame(80, 24, True), plain)
    assert len(found) == 24
    for head in ("MODEL", "ERRORS", "TIME"):
        assert any(line.startswith(head) for line in found), head


def test_a_model_that_is_not_well_says_so() -> None:
    health = {**HEALTH, "models": {"custom:qwen": {"status": "unhealthy"}, "custom:other": {"status": "healthy"}}}
    seen = {**SEEN, "metrics": {**METRICS, "health": health}, "models": [MODEL, {**MODEL, "key": "custom:other"}]}
    found = monitor_view.lines(seen, Frame(None, None), lambda text, style: f"<{style}>{text}")
    (line,) = [line for line in found if "unhealthy)" in line]
    assert line.startswith("<red>custom:qwen (unhealthy)")
    assert any(line.startswith("custom:other ") for line in found)


def test_savings_by_routing_name_their_baseline() -> None:
    costs = {**METRICS["costs"], "saved_route_usd": 0.25, "baseline": "openai:gpt-4o"}
    found = monitor_view.lines({**SEEN, "metrics": {**METRICS, "costs": costs}}, Frame(None, None), plain)
    assert any("saved $0.5 (28.6%) · $0.25 by routing, against openai:gpt-4o" in line for line in found)
