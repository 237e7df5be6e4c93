"""Runs every benchmark of this folder and shows what changed since bench/baseline.json; speed never fails it.

`python -P bench/run.py [--update] [NAME ...]`. A benchmark is a file that takes `--json FILE` and writes numbers there,
in tables as deep as it likes. What the baseline does not have yet is added to it; `--update` replaces what it has.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results"
BASELINE = FOLDER / "baseline.json"
NO_BENCHMARKS = {
    *("run", "coverage", "mutants", "breaking", "socket_echo", "train_verifier"),
    *("http_contenders", "http_passthrough", "http_picture"),
    *("semcache_kinds", "semcache_picture", "semcache_vectors"),
    *("retrieval_peers", "retrieval_questions"),
    *("day", "day_code", "day_words"),
    *("generation", "generation_sample"),  # an hour, with weights of 1.1 GB: run by hand
}


def measure(name: str) -> dict[str, float] | None:
    """Runs one benchmark.

    Args:
        name: The file's name without its ending.

    Returns:
        Its numbers by dotted name; None where it failed.
    """
    result = RESULTS / f"{name}.json"
    result.unlink(missing_ok=True)
    command = [sys.executable, "-P", str(FOLDER / f"{name}.py"), "--json", str(result)]
    code = subprocess.run(command, cwd=FOLDER.parent, check=False).returncode
    if code or not result.exists():
        print(f"{name}: failed with exit code {code}, or wrote no {result.name}", file=sys.stderr)
        return None
    return numbers(json.loads(result.read_text("utf-8")))


def numbers(value: Any, name: str = "") -> dict[str, float]:
    """Gathers every number of a JSON value.

    Args:
        value: Tables, lists, numbers.
        name: What the names begin with.
    """
    if isinstance(value, bool):
        return {}
    if isinstance(value, int | float):
        return {name: value}
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    found: dict[str, float] = {}
    for key, part in parts:
        found.update(numbers(part, f"{name}.{key}" if name else str(key)))
    return found


def compare(name: str, now: dict[str, float], before: dict[str, float]) -> None:
    """Prints each number beside the one it had."""
    print(f"\n{name:<48} {'baseline':>14} {'now':>14} {'change':>8}")
    for metric, value in now.items():
        old = before.get(metric)
        change = f"{100 * (value - old) / old:+.1f}%" if old else ""
        print(f"  {metric:<46} {_shown(old):>14} {_shown(value):>14} {change:>8}")


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:,.3f}".rstrip("0").rstrip(".")


def main(arguments: list[str]) -> int:
    """Runs, compares, and keeps the baseline.

    Args:
        arguments: Of the command line.

    Returns:
        1 where a benchmark failed to run.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="which; all without")
    parser.add_argument("--update", action="store_true", help="make this run the baseline")
    options = parser.parse_args(arguments)
    names = options.names or sorted({file.stem for file in FOLDER.glob("*.py")} - NO_BENCHMARKS)
    baseline: dict[str, dict[str, float]] = json.loads(BASELINE.read_text("utf-8")) if BASELINE.exists() else {}
    RESULTS.mkdir(exist_ok=True)
    failed = False
    for name in names:
        now = measure(name)
        if now is None:
            failed = True
            continue
        compare(name, now, baseline.get(name, {}))
        kept = {} if options.update else baseline.get(name, {})
        baseline[name] = now | kept
    BASELINE.write_text(json.dumps(baseline, indent=1, sort_keys=True) + "\n", "utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
