"""The daemon at work on its own source: reads it, has the local coder model write a test, asks about it.

Run `make dogfood`, or `python -P bench/dogfood.py [--function FILE:NAME] [--question TEXT] [--model NAME]
[--weights DIR] [--apply] [--strict] [--json FILE]`. A real daemon in a temporary home opens this repository as a
workspace. The coder model (1.1 GB, fetched once and kept) writes a test for one public function, which is run in a
folder of its own; a test that fails is sent back once with what pytest said. Then it is asked about the architecture,
twice: the second answer has to come from the cache. What the model did wrong is told as it is and is no error of this
program, unless `--strict` says so. Nothing is left running, and nothing is written into the tree unless `--apply` says
so and the test passes.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from beastmode.cli import applying, figures, interrupts
from beastmode.client import Client
from beastmode.core.errors import BeastError
from beastmode.core.paths import Paths

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = "qwen-coder"
CODER = "coder"
"""As `.beastmode.toml` of this repository calls it."""

FUNCTION = "daemon/beastmode/cli/figures.py:usd"
QUESTION = "Which module keeps circuit breakers, and what makes one of them open? Answer in two or three sentences."
CONTEXT_TOKENS = 900
ANSWER_TOKENS = 300
START_S, READ_S, RUN_S, END_S = 60.0, 600.0, 120.0, 30.0
SAID_CHARS = 700


class FailedError(Exception):
    """The daemon did not do what it is there for."""


def settings(weights: Path) -> str:
    """A config.toml: the weights, and patience enough for a small machine. A JSON string is a TOML string too."""
    folder = f"weights_dir = {json.dumps(str(weights))}\n"
    return (
        f"[workspace]\ncontext_tokens = {CONTEXT_TOKENS}\n[upstream]\ntimeout_s = 1800\n[warming]\nenabled = false\n"
        f"[plugins.options.local_model]\nn_ctx = 8192\nidle_s = 3600\n{folder}[plugins.options.minilm]\n{folder}"
    )


@contextlib.contextmanager
def daemon(weights: Path) -> Iterator[Client]:
    """A daemon in a home with a short path; it is gone afterwards, and so is the home."""
    home = Path(tempfile.mkdtemp(prefix="beast-dog-"))
    paths = Paths.from_environment({"BEAST_HOME": str(home)})
    paths.config_file.write_text(settings(weights))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("BEAST_")}
    environ |= {"BEAST_HOME": str(home), "BEAST_HTTP__PORT": "0", "BEAST_LSP__ENABLED": "false"}
    process = subprocess.Popen([sys.executable, "-P", "-m", "beastmode"], env=environ, cwd="/", start_new_session=True)
    try:
        until_s = time.monotonic() + START_S
        while not _answers(paths.rpc_socket):
            if process.poll() is not None or time.monotonic() > until_s:
                raise FailedError("the daemon did not start")
            time.sleep(0.05)
        with Client(paths.rpc_socket) as client:
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(home, ignore_errors=True)


def _answers(socket: Path) -> bool:
    try:
        with Client(socket) as client:
            return bool(client.call("ping", timeout_s=5))
    except BeastError:
        return False


def where(piece: dict[str, Any]) -> str:
    """Where a piece lies, for a person."""
    return f"{piece['path']}:{piece['first_line']}" if piece.get("first_line") else str(piece["path"])


def lines_of(path: str, name: str) -> tuple[int, int]:
    """The first and the last line of a function, from 0.

    Raises:
        FailedError: It is not there.
    """
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            return node.lineno - 1, (node.end_lineno or node.lineno) - 1
    raise FailedError(f"there is no function {name} in {path}")


def _pytest(folder: Path, files: list[str]) -> tuple[bool, str]:
    """Runs tests in a folder of their own; whether all passed, and what was said."""
    scope = "asyncio_default_fixture_loop_scope = function"  # else pytest-asyncio warns
    (folder / "pytest.ini").write_text(f"[pytest]\npythonpath = {ROOT / 'tests'}\n{scope}\n")
    program = [sys.executable, "-P", "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", *files]
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            program, cwd=folder, env=environ, capture_output=True, text=True, timeout=RUN_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False, f"it ran for more than {RUN_S:.0f} s"
    return done.returncode == 0, re.sub(rf"{re.escape(str(folder))}/?", "", done.stdout.strip() or done.stderr)


def _passing(said: str) -> int:
    found = re.findall(r"(\d+) passed", said)
    return int(found[-1]) if found else 0


class DogFood:
    """The steps.

    Args:
        client: Of the daemon.
        given: The command line.
    """

    def __init__(self, client: Client, given: argparse.Namespace) -> None:
        self._client = client
        self._given = given
        self._model = CODER if given.model == WEIGHTS else f"local:{given.model}"
        self._step = 0
        self.report: dict[str, Any] = {}

    def run(self) -> dict[str, Any]:
        """Goes through all of them; returns what came of each."""
        self._fetch()
        self._read()
        self._test()
        self._ask()
        self._sum_up()
        return self.report

    def _tell(self, text: str) -> None:
        self._step += 1
        print(f"\n{self._step}. {text}", flush=True)

    def _call(self, method: str, **params: Any) -> tuple[Any, float]:
        began_s = time.perf_counter()
        return self._client.call(method, params), time.perf_counter() - began_s

    def _fetch(self) -> None:
        self._tell(f"The model {self._given.model}; it runs in a child process of the daemon, and is fetched once.")
        _, took_s = self._call("models.fetch", name=self._given.model)
        print(f"   proved by its digest after {figures.span(took_s)}")

    def _read(self) -> None:
        self._tell(f"The workspace: {ROOT.name}, this repository.")
        row, took_s = self._call("workspace.open", path=str(ROOT), wait=True)
        until_s = time.monotonic() + READ_S
        while row["state"] == "scanning" and time.monotonic() < until_s:
            time.sleep(0.2)
            row = next(one for one in self._call("workspace.list")[0]["workspaces"] if one["path"] == str(ROOT))
        self.report["index"] = {name: row[name] for name in ("state", "files", "chunks")} | {"seconds": took_s}
        print(f"   {figures.count(row['files'], 'file')} in {figures.count(row['chunks'], 'piece')}, {took_s:.1f} s")
        if row["state"] != "ready" or not row["chunks"]:
            raise FailedError(f"the workspace is {row['state']}: {row.get('problem') or 'nothing of it was read'}")
        if row.get("problem"):
            print(f"   {row['problem']}")

    # -- a test -------------------------------------------------------------------------------------------------------

    def _test(self) -> None:
        path, _, name = self._given.function.rpartition(":")
        self._tell(f"A test of `{name}` in {path}, by the model.")
        found: dict[str, Any] = {"function": self._given.function, "passed": False, "attempts": 0}
        self.report["test"] = found
        said = ""
        while not found["passed"] and found["attempts"] < 2:
            found["attempts"] += 1
            result, took_s = self._write_test(path, name, said)
            print(f"   {result['summary']} ({figures.span(took_s)}, {result['usage']['completion_tokens']} tokens)")
            if not result["edits"]:
                said = found["said"] = "no code came, only words"
                continue
            found |= self._run_test(result["edits"])
            said = found["said"]
            print(f"   pytest: {'passed' if found['passed'] else 'FAILED'}: {said.strip().splitlines()[-1]}")
        if not found["passed"]:
            print(f"   The model did not manage it in {found['attempts']} attempts. The last words of pytest:")
            print("".join(f"   | {line}\n" for line in said.strip().splitlines()[-12:]), end="")
        elif self._given.apply:
            print(f"   written: {', '.join(applying.apply(ROOT, result['edits']))}")

    def _write_test(self, path: str, name: str, said: str) -> tuple[Any, float]:
        first, last = lines_of(path, name)
        instruction = f"Test {name} with two or three plain assertions, each with a value that its docstring shows."
        if said:
            instruction += f" An earlier test failed; mend what was wrong with it:\n{said[-SAID_CHARS:]}"
        span = {"start": {"line": first, "character": 0}, "end": {"line": last + 1, "character": 0}}
        about = {"kind": "tests", "path": path, "workspace": str(ROOT), "range": span, "instruction": instruction}
        return self._call(
            "action", model=self._model, max_tokens=ANSWER_TOKENS, temperature=0, cache="refresh", **about
        )

    @staticmethod
    def _run_test(edits: list[dict[str, Any]]) -> dict[str, Any]:
        """Applies edits to copies of their files in a folder of its own, and runs these."""
        with tempfile.TemporaryDirectory(prefix="beast-dog-") as name:
            folder = Path(name)
            for edit in edits:
                place = folder / edit["path"]
                place.parent.mkdir(parents=True, exist_ok=True)
                if edit["before_sha256"] is not None:
                    shutil.copyfile(ROOT / edit["path"], place)
            before = [edit["path"] for edit in edits if edit["before_sha256"] is not None]
            known = _passing(_pytest(folder, before)[1]) if before else 0
            written = applying.apply(folder, edits)
            passed, said = _pytest(folder, written)
            if passed and _passing(said) <= known:  # it is collected by nobody, or hides another
                passed, said = False, f"{said}\nno test more than before: {known} passed without it"
            return {"passed": passed, "files": written, "said": said[-4 * SAID_CHARS :]}

    # -- a question ---------------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        self._tell("A question about the architecture, with what is found in the workspace.")
        print(f"   {self._given.question}")
        about = {"message": self._given.question, "workspace": str(ROOT), "model": self._model}
        answer, took_s = self._call("chat", max_tokens=ANSWER_TOKENS, temperature=0, **about)
        print("".join(f"   > {line}\n" for line in answer["text"].strip().splitlines()), end="")
        sources = [" ".join([where(one), one.get("symbol", "")]).strip() for one in answer["sources"]]
        print(f"   made from {', '.join(sources) or 'nothing of the workspace'} ({figures.span(took_s)})")
        again, again_s = self._call("chat", max_tokens=ANSWER_TOKENS, temperature=0, **about)
        if again["cache"]["result"] == "stale":
            print(
                f"   a file that it was made from was edited meanwhile, so it was asked anew ({figures.span(again_s)})"
            )
            answer = again
            again, again_s = self._call("chat", max_tokens=ANSWER_TOKENS, temperature=0, **about)
        result = again["cache"]["result"]
        self.report["question"] = {
            "question": self._given.question,
            "answer": answer["text"],
            "finish_reason": answer["finish_reason"],
            "sources": sources,
            "seconds": took_s,
            "again": {"cache": result, "same": again["text"] == answer["text"], "seconds": again_s},
        }
        self._tell("The same question again.")
        print(f"   {result} from {again['cache']['tier']}, {figures.duration(again_s * 1e3)}")
        if not answer["text"].strip() or not sources:
            raise FailedError("the question was answered without anything from the workspace")
        if result != "hit_exact":
            why = "the first answer was cut off, and such a one is not stored"
            if answer["finish_reason"] != "length":
                raise FailedError(f"the same question was a {result}: {again['cache'].get('why')}")
            print(f"   {why}")

    # -- the sum ------------------------------------------------------------------------------------------------------

    def _sum_up(self) -> None:
        self._tell("The sum, from the daemon's own ledger.")
        found, _ = self._call("metrics.get", window="1h")
        rows = self._call("requests.list", limit=100)[0]["requests"]
        requests, costs = found["requests"], found["costs"]
        self.report |= {"requests": requests, "costs": costs, "cache": found["cache"]}
        self.report["tagged"] = all("beastmode" in row["tags"] for row in rows)
        print(f"   requests  {requests['total']}, of which {requests['failure']} failed")
        print(f"   spent     {figures.usd(costs.get('total_usd'))} (the model runs on this machine)")
        print(f"   cache     {found['cache']['exact']} of {requests['total']} answered from it")
        print(
            f"   test      {'passes' if self.report['test']['passed'] else 'the model did not manage one that passes'}"
        )
        if not self.report["tagged"]:
            raise FailedError("requests about this workspace do not bear the label of its .beastmode.toml")


def main() -> int:
    """Runs it; 0 where the daemon did its part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--function", default=FUNCTION, help="FILE:NAME of a public function [default: %(default)s]")
    parser.add_argument("--question", default=QUESTION)
    parser.add_argument("--model", default=WEIGHTS, help="another one that can be fetched [default: %(default)s]")
    parser.add_argument("--weights", type=Path, default=Paths.from_environment(os.environ).data / "models")
    parser.add_argument("--apply", action="store_true", help="write a test that passes into the tree")
    parser.add_argument("--strict", action="store_true", help="a test that does not pass is an error")
    parser.add_argument("--json", type=Path, help="write what came of it")
    given = parser.parse_args()
    began_s = time.monotonic()
    report: dict[str, Any] = {}
    code = 0
    try:
        with interrupts.as_ctrl_c(), daemon(given.weights) as client:
            work = DogFood(client, given)
            report = work.report
            work.run()
            code = 1 if given.strict and not report["test"]["passed"] else 0
    except (FailedError, BeastError) as error:
        tips = error.tips if isinstance(error, BeastError) else []
        print(f"\nfailed: {error}{''.join(f' Tip: {tip}.' for tip in tips[:1])}", file=sys.stderr)
        report["failed"], code = str(error), 1
    except KeyboardInterrupt:
        code = 130
    if given.json is not None:
        given.json.write_text(json.dumps(report, indent=1))
    print(f"\ndone in {figures.span(time.monotonic() - began_s)}; nothing is left running")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
