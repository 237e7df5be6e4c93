"""A test that is left out is named with its reason; under CI it is a failure."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.tracked import ROOT

SKIPPED = """
import pytest

def test_that_runs():
    pass

@pytest.mark.skipif(True, reason="needs a thing that is not here")
def test_that_does_not():
    pass
"""
PASSED = "def test_that_runs():\n    pass\n"


def run(folder: Path, text: str, ci: str, *options: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(ROOT / "tests" / "conftest.py", folder)
    (folder / "test_it.py").write_text(text)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, str(folder)]
    return subprocess.run(command, cwd=folder, env=environ | {"CI": ci}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["alone", "in parallel"])
def test_it_is_named_with_its_reason_and_fails_ci(tmp_path: Path, options: tuple[str, ...]) -> None:
    done = run(tmp_path, SKIPPED, "true", *options)
    assert "needs a thing that is not here:\n  test_it.py::test_that_does_not\n" in done.stdout
    assert done.returncode == pytest.ExitCode.TESTS_FAILED


def test_elsewhere_it_is_named_and_fails_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, SKIPPED, "")
    assert "test_it.py::test_that_does_not" in done.stdout
    assert done.returncode == pytest.ExitCode.OK


def test_where_all_tests_run_nothing_is_said(tmp_path: Path) -> None:
    done = run(tmp_path, PASSED, "true")
    assert "left out" not in done.stdout
    assert done.returncode == pytest.ExitCode.OK


def test_a_module_that_is_left_out_counts_too(tmp_path: Path) -> None:
    done = run(tmp_path, "import pytest\npytest.skip('no such system', allow_module_level=True)\n", "true")
    assert "no such system:" in done.stdout
    assert done.returncode != pytest.ExitCode.OK


@pytest.mark.parametrize("marker", ["long", "clients"])
@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "in parallel"])
def test_a_test_that_is_run_apart_is_named_and_fails_nothing(
    tmp_path: Path, options: tuple[str, ...], marker: str
) -> None:
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nmarkers = {marker}\n")
    text = f"import pytest\n@pytest.mark.{marker}\ndef test_that_is_long():\n    pass\n" + PASSED
    done = run(tmp_path, text, "true", "-m", f"not {marker}", *options)
    assert f"(make test-{marker}):\n  test_it.py::test_that_is_long\n" in done.stdout
    assert done.returncode == pytest.ExitCode.OK
