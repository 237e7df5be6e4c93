"""Runs every test with coverage, daemons that the tests start included, and holds it to a threshold.

`python -P bench/coverage.py [PYTEST ARGUMENT ...]`: with arguments (a folder, `-k`) the threshold is shown, not held.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COVERAGE = [sys.executable, "-P", "-m", "coverage"]
WORKERS = "2"


def run_tests(arguments: list[str]) -> int:
    """Runs pytest under coverage.

    Args:
        arguments: Further arguments for pytest.

    Returns:
        Its exit code.
    """
    tests = ["-m", "pytest", "-q", "-n", WORKERS, *arguments]
    return subprocess.run([*COVERAGE, "run", *tests], cwd=ROOT, check=False).returncode


def report(hold: bool) -> int:
    """Joins what every process measured and says how much it is; lists the lines that were missed where that matters.

    Args:
        hold: A total under the threshold is a failure; else everything that was missed is listed.

    Returns:
        An exit code.
    """
    # What it says here is about the empty files of daemons that tests kill with -9.
    subprocess.run([*COVERAGE, "combine", "--quiet"], cwd=ROOT, check=False, capture_output=True)
    for left in ROOT.glob(".coverage.*"):  # `report` would try them again
        left.unlink()
    options = [] if hold else ["--fail-under=0"]
    done = subprocess.run([*COVERAGE, "report", *options], cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode or not hold:
        print(done.stdout, end="")
    else:
        total = next(line.split()[-1] for line in done.stdout.splitlines() if line.startswith("TOTAL"))
        print(f"Coverage: {total} of all lines; .venv/bin/coverage report lists the others")
    return done.returncode


def main(arguments: list[str]) -> int:
    """Runs tests and report.

    Args:
        arguments: Further arguments for pytest.

    Returns:
        The tests' exit code, else the report's.
    """
    subprocess.run([*COVERAGE, "erase"], cwd=ROOT, check=False)
    tests = run_tests(arguments)
    covered = report(hold=not arguments)
    return tests or covered


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
