"""Breaks the code in small seeded ways and counts how often the tests notice.

`python -m bench.mutants [--count 200] [--files GLOB ...] [--only GLOB ...] [--seed 2]` prints a table and every
survivor, and writes bench/results/mutants.json. A mutant under which the tests hang counts as noticed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import SimpleQueue

from bench.breaking import Breaker

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results" / "mutants.json"
PACKAGE = "daemon/beastmode"
TESTS = {
    "gateway*": ["tests/gateway"],
    "accounts*": ["tests/gateway"],
    "cache/key.py": ["tests/cache/test_key.py"],
    "routing/vault*": ["tests/routing/test_vault.py"],
    "metrics/ledger*": ["tests/metrics"],
}
WORKERS = 2
LEAST_TIMEOUT_S = 20.0


@dataclass
class Mutant:
    """One small break.

    Attributes:
        file: Path inside the project.
        line: Where.
        what: The operator.
        before: The code as it is.
        after: The code as it was broken.
        noticed: A test failed, or hung; None before the tests ran.
        seconds: How long the tests took.
        source: The whole broken file.
    """

    file: str
    line: int
    what: str
    before: str
    after: str
    noticed: bool | None = None
    seconds: float = 0.0
    source: str = field(default="", repr=False)


def mutants(files: list[str], count: int, seed: int) -> list[Mutant]:
    """Chooses places, evenly over all that there are.

    Args:
        files: Paths inside the project.
        count: How many.
        seed: The same seed breaks the same places of the same files.
    """
    breakers = {name: Breaker((ROOT / name).read_text("utf-8")) for name in files}
    places = [(name, index) for name in files for index in range(len(breakers[name].places))]
    chosen = sorted(random.Random(seed).sample(places, min(count, len(places))))
    return [_mutant(name, *breakers[name].broken(index)) for name, index in chosen]


def _mutant(name: str, line: int, what: str, before: str, after: str, source: str) -> Mutant:
    return Mutant(name, line, what, _short(before), _short(after), source=source)


def _short(code: str) -> str:
    first, _, more = code.partition("\n")
    return first[:90] + (" ..." if more or len(first) > 90 else "")


class Tree:
    """A copy of the project in which one mutant at a time lives.

    Args:
        folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ignored = shutil.ignore_patterns("__pycache__")
        for name in ("daemon", "plugins", "tests"):
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", folder)
        (folder / "tmp").mkdir()

    def run(self, tests: list[str], timeout_s: float | None) -> tuple[bool, float]:
        """Runs tests until the first that fails.

        Args:
            tests: Files and folders.
            timeout_s: When to call it hung.

        Returns:
            They passed, and the seconds it took.
        """
        path = os.pathsep.join(str(self.folder / name) for name in ("daemon", "plugins"))
        # Without bytecode: two versions of a file within one second would look the same to the import system.
        environ = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(self.folder / "tmp")}
        options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
        command = [sys.executable, "-P", "-m", "pytest", *options, *tests]
        started = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            passed = process.wait(timeout_s) == 0
        except subprocess.TimeoutExpired:
            passed = False
        finally:
            _end(process)
        return passed, time.monotonic() - started

    def judge(self, mutant: Mutant, tests: list[str], timeout_s: float) -> None:
        """Runs the tests against one mutant and mends the file again."""
        file = self.folder / mutant.file
        whole = file.read_text("utf-8")
        file.write_text(mutant.source, "utf-8")
        try:
            passed, mutant.seconds = self.run(tests, timeout_s)
        finally:
            file.write_text(whole, "utf-8")
        mutant.noticed = not passed


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the tests and whatever they left in their own process group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()


def judge_all(found: list[Mutant], tests: dict[str, list[str]]) -> None:
    """Runs the tests of each mutant's file against it, in two copies of the project.

    Args:
        found: The mutants; the verdict is written into them.
        tests: The tests of each file.

    Raises:
        SystemExit: The tests do not pass without a mutant.
    """
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        trees: SimpleQueue[Tree] = SimpleQueue()
        for number in range(WORKERS):
            trees.put(Tree(Path(folder) / str(number)))
        timeouts = {name: _timeout_s(trees, name, tests[name]) for name in sorted({mutant.file for mutant in found})}
        done = 0

        def judge(mutant: Mutant) -> None:
            nonlocal done
            mine = trees.get()
            mine.judge(mutant, tests[mutant.file], timeouts[mutant.file])
            trees.put(mine)
            done += 1
            if sys.stderr.isatty():
                print(f"\r{done} of {len(found)} ", end="", file=sys.stderr, flush=True)

        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(judge, found))


def _timeout_s(trees: SimpleQueue[Tree], name: str, tests: list[str]) -> float:
    """Runs the tests without a mutant, in every copy at once as later with one, and gives them five times as long."""

    def control(_: int) -> tuple[bool, float]:
        tree = trees.get()
        try:
            return tree.run(tests, None)
        finally:
            trees.put(tree)

    with ThreadPoolExecutor(WORKERS) as pool:
        runs = list(pool.map(control, range(WORKERS)))
    if not all(passed for passed, _ in runs):
        sys.exit(f"{name}: its tests ({' '.join(tests)}) do not pass as they are.")
    return max(LEAST_TIMEOUT_S, *(5 * seconds for _, seconds in runs))


def choose(patterns: list[str]) -> dict[str, list[str]]:
    """Finds files, by globs or all that have tests named above, and the tests of each."""
    found: dict[str, list[str]] = {}
    for pattern, tests in TESTS.items():
        for path in sorted((ROOT / PACKAGE).glob(pattern)):
            for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
                if not patterns or any(file.match(wanted) for wanted in patterns):
                    found[str(file.relative_to(ROOT))] = tests
    return found


def show(found: list[Mutant]) -> None:
    """Prints a table and the survivors."""
    print(f"{'file':<44} {'mutants':>8} {'noticed':>8} {'share':>7}")
    names = sorted({mutant.file for mutant in found})
    for name in [*names, "all"]:
        these = [mutant for mutant in found if name in (mutant.file, "all")]
        noticed = sum(mutant.noticed is True for mutant in these)
        print(f"{name:<44} {len(these):>8} {noticed:>8} {100 * noticed / len(these):>6.1f}%")
    for mutant in found:
        if not mutant.noticed:
            print(f"survived  {mutant.file}:{mutant.line}  {mutant.what}: {mutant.before}  ->  {mutant.after}")


def main(arguments: list[str]) -> int:
    """Runs it all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="how many mutants")
    parser.add_argument("--seed", type=int, default=2, help="which ones")
    parser.add_argument("--files", nargs="*", default=[], help="globs, such as key.py")
    parser.add_argument("--only", nargs="*", default=["*"], help="of the chosen ones, those in files like these")
    parser.add_argument("--list", action="store_true", help="show them and run nothing")
    options = parser.parse_args(arguments)
    tests = choose(options.files)
    if not tests:
        parser.error("no file fits; known: " + ", ".join(TESTS))
    found = mutants(list(tests), options.count, options.seed)
    found = [mutant for mutant in found if any(Path(mutant.file).match(wanted) for wanted in options.only)]
    if options.list:
        for mutant in found:
            print(f"{mutant.file}:{mutant.line}  {mutant.what}: {mutant.before}  ->  {mutant.after}")
        return 0
    judge_all(found, tests)
    show(found)
    RESULTS.parent.mkdir(exist_ok=True)
    rows = [{name: value for name, value in asdict(mutant).items() if name != "source"} for mutant in found]
    RESULTS.write_text(json.dumps({"seed": options.seed, "mutants": rows}, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
