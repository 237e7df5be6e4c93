"""`beast demo`: the main job before a stranger's eyes, in a home of its own; nothing is left running."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import click

from beastmode.cli import figures, interrupts, life
from beastmode.cli.command import Command, pass_screen
from beastmode.cli.screen import Screen
from beastmode.client import Client
from beastmode.core.errors import BeastError, InternalError
from beastmode.core.paths import Paths

WEIGHTS = "smollm2"
MODEL = f"local:{WEIGHTS}"
QUESTION = "Write a Python function that reverses a string."
# At temperature 0 the little model gives one short answer; above it may talk until it is cut off, and what was cut off
# is not stored.
_ASK = ("ask", QUESTION, "-m", MODEL, "--temperature", "0")
REFUSED_MAX_MS = 100
_UPSTREAM_FAILED = 5


@click.command(cls=Command)
@pass_screen
def demo(screen: Screen) -> None:
    """Show the main job, and leave nothing running.

    Fetches a small model (98 MB) where it is missing and keeps it. Everything else happens in a temporary home that is
    removed at the end: a question, the same question from the cache, a broken endpoint, the ledger, and the sum.
    """
    weights = screen.paths.data / "models"
    with interrupts.as_ctrl_c(), _temporary_home(weights) as paths:
        Demo(screen, paths).run()


class Demo:
    """The steps, each a `beast` command that runs as it is shown.

    Args:
        screen: Where to narrate.
        paths: The temporary home.
    """

    def __init__(self, screen: Screen, paths: Paths) -> None:
        self._screen = screen
        self._paths = paths
        self._environ = {name: value for name, value in os.environ.items() if not name.startswith("BEAST_")}
        self._environ["BEAST_HOME"] = str(paths.config)
        self._environ["BEAST_HTTP__PORT"] = "0"
        self._began_s = time.monotonic()
        self._step = 0

    def run(self) -> None:
        """Goes through all steps.

        Raises:
            InternalError: A step did not do what it is to show.
        """
        self._tell("Start the daemon; this one lives in a temporary folder.")
        self._beast("start")
        self._tell("Bring a small model to this machine; it runs in a child process of the daemon.")
        self._beast("models", "fetch", WEIGHTS)
        self._tell("Ask it.")
        self._beast(*_ASK)
        asked = self._last_row(outcome="success", result="miss")
        self._tell("Ask again: the very same question is answered from the cache.")
        self._beast(*_ASK)
        again = self._last_row(outcome="success", result="hit_exact")
        self._break()
        self._tell("Every request left one row in the ledger, the failed one too.")
        self._beast("requests")
        self._sum_up(asked, again)
        self._tell("Stop the daemon.")
        self._beast("stop")
        self._say(f"done in {figures.duration((time.monotonic() - self._began_s) * 1000)}; nothing is left running")

    def _break(self) -> None:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))  # taken, so that nobody else listens there; and we do not
            url = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1"
            self._tell("Break something: an endpoint where nobody listens.")
            self._beast("models", "add", "custom:broken", "--base-url", url, "--no-test")
            self._beast("ask", "hello", "-m", "custom:broken", fails_with=_UPSTREAM_FAILED)
        failed = self._last_row(outcome="failure")
        if failed["latency_ms"] >= REFUSED_MAX_MS:
            self._say(f"(this machine is busy: the error took {figures.duration(failed['latency_ms'])})")
        else:
            self._say(f"the error and its tip were there after {figures.duration(failed['latency_ms'])}")

    def _sum_up(self, asked: dict[str, Any], again: dict[str, Any]) -> None:
        """What was spent and saved, from the daemon's own figures."""
        self._tell("What was spent, and what the cache saved; in short:")
        self._show("rpc", "metrics.get", '{"window": "1h"}')
        with Client(self._paths.rpc_socket) as client:
            found = client.call("metrics.get", {"window": "1h"})
        costs, counted = found.get("costs") or {}, found.get("requests") or {}
        requests = {name: counted.get(name) for name in ("total", "success", "failure")}
        first_ms, second_ms = asked["latency_ms"], again["latency_ms"]
        if self._screen.as_json:
            return self._screen.json(
                {"requests": requests, "costs": costs, "first_ms": first_ms, "second_ms": second_ms}
            )
        waited = f"{figures.duration(first_ms)} the first time, {figures.duration(second_ms)} the second"
        self._screen.say(f"requests  {requests['total']}, of which {requests['failure']} failed")
        self._screen.say(f"spent     {figures.usd(costs.get('total_usd'))} (the model runs on this machine)")
        self._screen.say(f"saved     {figures.usd(costs.get('saved_usd'))}, and waiting: {waited}")
        return None

    def _tell(self, text: str) -> None:
        self._step += 1
        self._say(f"\n{self._step}. {text}")

    def _say(self, text: str) -> None:
        if self._screen.as_json:
            self._screen.note(text)
        else:
            self._screen.say(text)
            self._screen.flush()

    def _show(self, *words: str) -> None:
        shown = [f'"{word}"' if " " in word and '"' not in word else shlex.quote(word) for word in words]
        self._say(self._screen.paint(f"$ beast {' '.join(shown)}", "bold", error=self._screen.as_json))

    def _beast(self, *words: str, fails_with: int = 0) -> None:
        """Shows a command, and runs it."""
        self._show(*words)
        out = sys.stderr if self._screen.as_json else None
        program = [sys.executable, "-P", "-m", "beastmode.cli", *words]
        code = self._run(program, out)
        if code != fails_with:
            raise InternalError(
                f"`beast {words[0]}` ended with exit code {code} instead of {fails_with}.",
                tips=["what it said stands above", "beast start --foreground shows what the daemon does"],
            )

    def _run(self, program: list[str], out: TextIO | None) -> int:
        """Runs a command to its end, and on Ctrl-C to its tidy end: it may be about to start something."""
        child = None
        try:
            with interrupts.held():
                child = subprocess.Popen(program, env=self._environ, stdout=out)  # noqa: S603 - this very program
            return child.wait()
        except BaseException:
            if child is not None:
                with interrupts.ignored():
                    interrupts.end(child)
            raise

    def _last_row(self, outcome: str, result: str | None = None) -> dict[str, Any]:
        """The newest row of the ledger, which must be as it was to be."""
        with Client(self._paths.rpc_socket) as client:
            rows = client.call("requests.list", {"limit": 1})["requests"]
        row: dict[str, Any] = rows[0] if rows else {}
        found = (row.get("cache") or {}).get("result")
        if row.get("outcome") != outcome or (result is not None and found != result):
            raise InternalError(
                f"The ledger was to say {outcome}{f' and {result}' if result else ''}, but says "
                f"{row.get('outcome')} and {found}.",
                tips=["report this: beast demo has to work everywhere"],
            )
        return row


@contextlib.contextmanager
def _temporary_home(weights: Path) -> Iterator[Paths]:
    """A home with a short path that shares the user's weights; its daemon is stopped and the folder removed."""
    home = Path(tempfile.mkdtemp(prefix="beast-demo-"))
    paths = Paths.from_environment({"BEAST_HOME": str(home)})
    # A JSON string is a TOML string too.
    paths.config_file.write_text(f"[plugins.options.local_model]\nweights_dir = {json.dumps(str(weights))}\n")
    try:
        yield paths
    finally:
        with interrupts.ignored():  # a second Ctrl-C must not leave the daemon behind
            _end_daemon(paths)
            shutil.rmtree(home, ignore_errors=True)


def _end_daemon(paths: Paths) -> None:
    try:
        life.stop(paths)
    except BeastError:
        owner = life.lock_owner(paths)
        if owner is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(owner, signal.SIGKILL)
