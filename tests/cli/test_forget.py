"""`beast forget`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from beastmode.core.clock import parse_rfc3339
from cli.conftest import Beast
from support.fake_daemon import FakeDaemon
from support.terminal import Terminal

PROGRAM = [sys.executable, "-P", "-m", "beastmode.cli"]


@pytest.fixture(autouse=True)
def _counts(daemon: FakeDaemon) -> None:
    daemon.on("forget", lambda params, call: {"entries": 1200, "sessions": 1, "dry_run": params["dry_run"]})


def test_with_a_yes_it_forgets_at_once(daemon: FakeDaemon, beast: Beast) -> None:
    assert beast("forget", "--all", "--yes") == (0, "forgot 1,200 stored answers and 1 session\n", "")
    assert daemon.requests("forget") == [{"all": True, "dry_run": False}]
    assert beast("forget", "--all", "-y", "--json").json == {"entries": 1200, "sessions": 1, "dry_run": False}


def test_a_dry_run_only_counts(daemon: FakeDaemon, beast: Beast) -> None:
    assert beast("forget", "--all", "--dry-run").out == "would forget 1,200 stored answers and 1 session\n"
    assert beast("forget", "--all", "--dry-run", "--yes", "--json").json["dry_run"] is True
    assert [one["dry_run"] for one in daemon.requests("forget")] == [True, True]


def test_without_a_terminal_nothing_is_forgotten_unless_it_is_said(
    daemon: FakeDaemon, beast: Beast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = beast("forget", "--workspace", ".")
    assert done.code == 2
    assert f"Forget 1,200 stored answers and 1 session of {tmp_path.resolve()}, for good?" in done.err
    assert f"try: beast forget --workspace {tmp_path.resolve()} --yes\n" in done.err
    assert daemon.requests("forget") == [{"workspace": str(tmp_path.resolve()), "dry_run": True}]


@pytest.mark.parametrize(("answer", "code", "asked"), [("n\n", 1, [True]), ("y\n", 0, [True, False])])
def test_at_a_terminal_it_shows_the_counts_and_asks(
    daemon: FakeDaemon, answer: str, code: int, asked: list[bool]
) -> None:
    environ = {**os.environ, "BEAST_HOME": str(daemon.home), "TZ": "UTC"}
    program = [*PROGRAM, "forget", "--since", "2026-11-20T09:00:00Z"]
    with Terminal(program, environ) as terminal:
        terminal.see("Forget 1,200 stored answers and 1 session since 2026-11-20 09:00:00, for good? [y/N]")
        terminal.type(answer)
        assert terminal.end() == code
    assert [one["dry_run"] for one in daemon.requests("forget")] == asked


@pytest.mark.parametrize(
    ("text", "ago_s"), [("30s", 30), ("2h", 7200), ("1d12h", 129_600), ("0.5m", 30), ("9999w", None)]
)
def test_a_time_may_be_how_long_ago_it_was(daemon: FakeDaemon, beast: Beast, text: str, ago_s: float | None) -> None:
    before_s = time.time()
    assert beast("forget", "--since", text, "--yes").code == 0
    sent = daemon.requests("forget")[0]["since"]
    if ago_s is None:
        assert sent == "1970-01-01T00:00:00Z"
    else:
        assert before_s - ago_s - 0.01 <= parse_rfc3339(sent) <= time.time() - ago_s


def test_a_time_without_a_zone_is_utc(daemon: FakeDaemon, beast: Beast) -> None:
    beast("forget", "--since", "2026-11-20T09:00:00", "--yes")
    beast("forget", "--since", "2026-11-20T09:00:00+02:00", "--yes")
    assert [one["since"] for one in daemon.requests("forget")] == [
        "2026-11-20T09:00:00Z",
        "2026-11-20T07:00:00Z",
    ]


@pytest.mark.parametrize("text", ["yesterday", "", "2", "9999-12-31T23:59:59-23:00"])
def test_what_is_no_time_is_refused(daemon: FakeDaemon, beast: Beast, text: str) -> None:
    done = beast("forget", "--since", text, "--yes")
    assert done.code == 2
    assert "2026-11-20T09:00:00Z" in done.err
    assert daemon.received == []


@pytest.mark.parametrize("words", [(), ("--all", "--since", "2h"), ("--workspace", ".", "--all")])
def test_exactly_one_thing_is_forgotten(daemon: FakeDaemon, beast: Beast, words: tuple[str, ...]) -> None:
    done = beast("forget", *words, "--yes")
    assert done.code == 2
    assert "One of --workspace, --since and --all" in done.err
    assert daemon.received == []
