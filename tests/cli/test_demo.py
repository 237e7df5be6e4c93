"""`beast demo`, on real weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.weights import weights_dir

__all__ = ["weights_dir"]
PROGRAM = [sys.executable, "-P", "-m", "beastmode.cli", "demo"]


@pytest.fixture
def place(weights_dir: Path) -> Iterator[Path]:
    """A folder for everything temporary, with the user's home in it, whose data folder has the weights."""
    with tempfile.TemporaryDirectory(prefix="bd-") as folder:
        data = Path(folder) / "user" / "data"
        data.mkdir(parents=True, mode=0o700)
        (data / "models").symlink_to(weights_dir)
        yield Path(folder)


def environ(place: Path) -> dict[str, str]:
    return {**os.environ, "BEAST_HOME": str(place / "user"), "TMPDIR": str(place)}


def left_over(place: Path) -> list[str]:
    """Temporary homes, and processes that know this place."""
    listed = subprocess.run(["ps", "eww", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    running = [line for line in listed.splitlines() if f"BEAST_HOME={place}" in line or f"{place}/beast-demo" in line]
    return [*map(str, place.glob("beast-demo-*")), *running]


def test_the_demo_does_what_it_says_and_leaves_nothing(place: Path) -> None:
    done = subprocess.run(
        PROGRAM, env=environ(place), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for command in ("start", "models fetch smollm2", "ask", "models add custom:broken", "requests", "stop"):
        assert f"$ beast {command}" in done.stdout
    assert "· miss" in done.stderr
    assert "hit_exact" in done.stderr
    assert "error: " in done.stderr
    assert "  try: " in done.stderr
    assert "spent     $0 " in done.stdout
    assert left_over(place) == []


def test_with_json_the_demo_prints_its_figures_alone(place: Path) -> None:
    done = subprocess.run(
        [*PROGRAM, "--json"], env=environ(place), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=110
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["requests"] == {"total": 3, "success": 2, "failure": 1}
    assert figures["second_ms"] < figures["first_ms"]
    assert "$ beast ask" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_interrupted_leaves_nothing(place: Path, number: signal.Signals) -> None:
    program = subprocess.Popen(
        PROGRAM,
        env=environ(place),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    assert program.stdout is not None
    with program.stdout:
        for line in program.stdout:
            if line.startswith("$ beast ask"):
                break
        program.send_signal(number)
        program.stdout.read()
    assert program.wait(60) == 130
    deadline_s = time.monotonic() + 10
    while (left := left_over(place)) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert left == []


def test_a_step_that_fails_ends_the_demo_tidily_with_an_exit_code(place: Path) -> None:
    (place / "user" / "data" / "models").unlink()
    (place / "user" / "data" / "models").write_text("in the way")
    done = subprocess.run(
        PROGRAM, env=environ(place), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=110
    )
    assert done.returncode == 1
    assert "`beast models` ended with exit code" in done.stderr
    assert left_over(place) == []
