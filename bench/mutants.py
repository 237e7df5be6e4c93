"""Breaks the code in small seeded ways and counts how often the tests notice.

`python -P bench/mutants.py [--count 200] [--files GLOB ...] [--seed 2]` prints a table and every survivor, and writes
bench/results/mutants.json. Texts of errors, tips and log events are left alone, and so are types and docstrings: no
test should pin them. A mutant under which the tests hang counts as noticed.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results" / "mutants.json"
PACKAGE = "daemon/beastmode"
TESTS = {
    "gateway*": ["tests/gateway"],
    "cache/key.py": ["tests/cache/test_key.py"],
    "routing/vault*": ["tests/routing/test_vault.py"],
    "metrics/ledger*": ["tests/metrics"],
}
WORKERS = 2
LEAST_TIMEOUT_S = 20.0
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


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


class Breaker:
    """Finds every place of a file that can be broken.

    Args:
        source: The file's text.
    """

    def __init__(self, source: str) -> None:
        self.tree = ast.parse(source)
        self.places: list[tuple[str, ast.AST, Callable[[ast.AST], ast.AST]]] = []
        self._walk(self.tree)

    def broken(self, index: int) -> tuple[int, str, str, str, str]:
        """Breaks one place.

        Args:
            index: Which one.

        Returns:
            Line, operator, code before, code after, and the whole file.
        """
        what, node, change = self.places[index]
        node.marked = True  # type: ignore[attr-defined]  # finds the node again in the copy
        tree = copy.deepcopy(self.tree)
        del node.marked  # type: ignore[attr-defined]
        marked = next(found for found in ast.walk(tree) if hasattr(found, "marked"))
        after = change(marked)
        _Replace(marked, after).visit(tree)
        ast.fix_missing_locations(tree)
        return getattr(node, "lineno", 0), what, ast.unparse(node), ast.unparse(after), ast.unparse(tree)

    def _walk(self, node: ast.AST) -> None:
        self.places += [(what, node, change) for what, change in _changes(node)]
        for child in _behaviour(node):
            self._walk(child)


def _behaviour(node: ast.AST) -> Iterator[ast.AST]:
    """Gives the children that behave: no docstring, type, decorator, or text for people."""
    quiet: list[ast.AST | None] = []
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            quiet = [*node.decorator_list, node.returns]
        case ast.ClassDef():
            quiet = [*node.decorator_list, *node.bases, *node.keywords]
        case ast.AnnAssign():
            quiet = [node.annotation]
        case ast.arg():
            quiet = [node.annotation]
        case ast.If(test=ast.Name(id="TYPE_CHECKING")) | ast.JoinedStr() | ast.Import() | ast.ImportFrom():
            return
        case ast.Raise(exc=ast.Call() as call):
            quiet = [call]
        case ast.Expr(value=ast.Constant()):
            return
        case ast.Call(func=ast.Attribute(value=ast.Name(id="log" | "_log"))):
            return
        case ast.Call(func=ast.Name(id=name)) if name.endswith("Error") or name in ("TypeVar", "cast"):
            return
    for child in ast.iter_child_nodes(node):
        if child not in quiet:
            yield child


def _changes(node: ast.AST) -> Iterator[tuple[str, Callable[[ast.AST], ast.AST]]]:
    match node:
        case ast.Compare(ops=[op, *more]):
            yield "comparison", _with("ops", lambda _: [SWAPS[type(op)](), *more])
        case ast.BoolOp():
            yield "and/or", _with("op", lambda op: SWAPS[type(op)]())
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in SWAPS:
            yield "arithmetic", _with("op", lambda op: SWAPS[type(op)]())
        case ast.UnaryOp(op=ast.Not()):
            yield "not removed", lambda found: found.operand  # type: ignore[attr-defined]  # matched above
        case ast.If() | ast.While() | ast.IfExp():
            yield "condition negated", _with("test", lambda test: ast.UnaryOp(ast.Not(), test))
        case ast.Return(value=ast.expr() as value) if not _falsy(value):
            yield "None returned", _with("value", lambda _: ast.Constant(None))
        case ast.Constant(value=bool() | int() | float() | str() | bytes() as value):
            yield "constant", lambda _: ast.Constant(_other(value))
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.Raise() | ast.Delete() | ast.Continue() | ast.Break():
            if not _logs(node):
                yield "statement removed", lambda _: ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]) | ast.AugAssign():
            yield "statement removed", lambda _: ast.Pass()


def _falsy(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and not value.value


def _logs(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="log" | "_log")))):
            return True
    return False


def _with(attribute: str, change: Callable[[Any], object]) -> Callable[[ast.AST], ast.AST]:
    def changed(node: ast.AST) -> ast.AST:
        other = copy.copy(node)
        setattr(other, attribute, change(getattr(node, attribute)))
        return other

    return changed


def _other(value: bool | float | str | bytes) -> bool | float | str | bytes:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return value + ("x" if isinstance(value, str) else b"x")  # type: ignore[operator]  # same kind on both sides


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


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
        options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", "-m", "not long and not clients"]
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
        tree = trees.get()
        timeouts = {name: _timeout_s(tree, name, tests[name]) for name in sorted({mutant.file for mutant in found})}
        trees.put(tree)
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


def _timeout_s(tree: Tree, name: str, tests: list[str]) -> float:
    passed, seconds = tree.run(tests, None)
    if not passed:
        sys.exit(f"{name}: its tests ({' '.join(tests)}) do not pass as they are.")
    return max(LEAST_TIMEOUT_S, 5 * seconds)


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
    parser.add_argument("--list", action="store_true", help="show them and run nothing")
    options = parser.parse_args(arguments)
    tests = choose(options.files)
    if not tests:
        parser.error("no file fits; known: " + ", ".join(TESTS))
    found = mutants(list(tests), options.count, options.seed)
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
