"""`beast health`: the exit code says it, for cron; the text says why and what to do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Beast
from support.fake_daemon import FakeDaemon

HEALTHY: dict[str, Any] = {
    "status": "healthy",
    "why": "98 of 100 requests in the last 5 minutes succeeded, with a median wait of 0.8 s.",
    "issues": [],
    "requests": {"window_s": 300.0, "success": 98, "failure": 2, "latency_s": 0.8},
    "models": {
        "custom:qwen": {"status": "healthy", "why": "fine.", "tip": "", "success": 98, "failure": 2, "latency_s": 0.8}
    },
    "parts": {"ledger": "ok"},
}
ISSUE = {"part": "disk", "state": "degraded", "cause": "The disk of /s has 5 MB left.", "tip": "df -h /s"}


def test_all_is_well(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("health.get", HEALTHY)
    done = beast("health")
    assert done.code == 0
    assert done.out.splitlines()[0] == f"healthy  {HEALTHY['why']}"
    assert "custom:qwen  healthy  98       2        800 ms" in done.out
    assert daemon.received[-1]["params"] == {}


@pytest.mark.parametrize(("status", "code"), [("healthy", 0), ("degraded", 8), ("unhealthy", 9)])
def test_the_exit_code_is_that_of_the_health(daemon: FakeDaemon, beast: Beast, status: str, code: int) -> None:
    daemon.on("health.get", {**HEALTHY, "status": status})
    assert beast("health").code == code
    done = beast("health", "--json")
    assert done.code == code
    assert done.json["status"] == status


def test_every_cause_is_shown_with_its_tip(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("health.get", {**HEALTHY, "status": "degraded", "issues": [ISSUE]})
    assert "  disk: The disk of /s has 5 MB left.\n    try: df -h /s\n" in beast("health").out


def test_quiet_says_nothing_while_all_is_well_as_cron_wants_it(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("health.get", HEALTHY)
    assert beast("health", "--quiet") == (0, "", "")
    daemon.on("health.get", {**HEALTHY, "status": "unhealthy", "issues": [ISSUE]})
    done = beast("health", "-q")
    assert done.code == 9
    assert "df -h /s" in done.out


def test_a_probe_shows_every_endpoint(daemon: FakeDaemon, beast: Beast) -> None:
    probes = [
        {"model": "custom:a", "deployment": "custom:a@one", "ok": True, "latency_ms": 12.0},
        {"model": "custom:b", "deployment": "custom:b@two", "ok": False, "message": "it refuses", "tips": ["look"]},
    ]
    daemon.on("health.get", {**HEALTHY, "status": "degraded", "probes": probes})
    done = beast("health", "--probe")
    assert daemon.received[-1]["params"] == {"probe": True}
    assert done.code == 8
    assert "answers  custom:a@one, 12 ms" in done.out
    assert "fails    custom:b@two: it refuses" in done.out


def test_without_a_daemon_the_code_is_3(beast: Beast, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("BEAST_HOME", str(tmp_path))
    done = beast("health", "--quiet")
    assert done.code == 3
    assert "try: beast start" in done.err


def test_without_a_model_it_says_how_to_add_one(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("health.get", {**HEALTHY, "models": {}})
    assert "beast models add" in beast("health").err


DOCS = (Path(__file__).resolve().parent.parent.parent / "docs" / "monitoring.md").read_text()


@pytest.mark.parametrize(("status", "code"), [("healthy", 0), ("degraded", 8), ("unhealthy", 9)])
def test_the_line_for_cron_does_what_the_page_on_monitoring_says(daemon: FakeDaemon, status: str, code: int) -> None:
    (line,) = re.findall(r"```crontab\n(.*)\n```", DOCS)
    daemon.on("health.get", {**HEALTHY, "status": status})
    environ = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "BEAST_HOME": str(daemon.home), "HOME": "/"}
    done = subprocess.run(["/bin/sh", "-c", line.split(maxsplit=5)[5]], env=environ, capture_output=True, text=True)
    assert done.returncode == code
    assert done.stderr == ""
    assert (done.stdout == "") is (status == "healthy")


def test_the_program_that_the_page_on_monitoring_shows_notifies(tmp_path: Path) -> None:
    (table, _) = (
        tomllib.loads(one)["health"]["on_change"] for one in re.findall(r"```toml\n(\[health.on_[^`]*)```", DOCS)
    )
    notify = tmp_path / "notify-send"
    notify.write_text(f'#!/bin/sh\nprintf "%s|" "$@" > {tmp_path}/said\n')
    notify.chmod(0o755)
    told = {"BEASTMODE_STATUS": "degraded", "BEASTMODE_CAUSE": "disk: full.", "BEASTMODE_TIP": "df -h"}
    subprocess.run(table["command"], env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **told}, check=True)
    assert (tmp_path / "said").read_text() == "BEAST MODE is degraded|disk: full. df -h|"
