"""The examples of docs/scripting.md do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import Daemon

PAGE = Path(__file__).parents[2] / "docs" / "scripting.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with Daemon(settings='[routing]\ndefault_model = "echo:echo"\n') as running:
        running.add("echo:echo")
        yield running


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 8


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_runs_as_it_stands(daemon: Daemon, number: int) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", EXAMPLES[number]],
        env={**os.environ, "BEAST_HOME": str(daemon.home)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_the_examples_pass_strict_type_checking(tmp_path: Path) -> None:
    program = tmp_path / "examples.py"
    parts = [f"def example_{number}() -> None:\n{_indented(text)}" for number, text in enumerate(EXAMPLES)]
    program.write_text("\n".join(parts))
    options = ["--strict", "--no-error-summary", "--config-file=", f"--cache-dir={tmp_path}"]
    done = subprocess.run([sys.executable, "-m", "mypy", *options, str(program)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" if line else "\n" for line in text.splitlines())
