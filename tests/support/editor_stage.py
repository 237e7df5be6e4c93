"""A stage for an editor's scripted session: a workspace, a daemon that serves editors, a model that writes code."""

from __future__ import annotations

import fcntl
import json
import pickle
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from support.coding_provider import CodingProvider
from support.daemon import Daemon
from support.waiting import until

MODEL = "custom:coder"
PRICE = {"prompt": 3.0, "completion": 15.0}
SETTINGS = f"""
[cache]
semantic = "off"
[routing]
default_model = "{MODEL}"
"""
SAMPLE = """def add(a, b):
    result = a + b
    return result


def mul(a, b):
    return a * c
"""
LIMIT_S = 100.0


@dataclass
class Told:
    """What a session told of one step.

    Attributes:
        facts: What it saw.
        calls: How many requests had come to the provider by then.
    """

    facts: dict[str, Any]
    calls: int


@dataclass
class Played:
    """A session that has ended.

    Attributes:
        steps: By name.
        code: Its exit code.
        errors: What it wrote to stderr.
        rows: Of the ledger, newest first.
        prompts: What each chat had said to the model, oldest first.
        endings: How each call of the provider ended, by its prompt.
    """

    steps: dict[str, Told] = field(default_factory=dict)
    code: int | None = None
    errors: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    endings: list[str] = field(default_factory=list)

    def __getitem__(self, step: str) -> dict[str, Any]:
        assert step in self.steps, f"the session did not come to {step!r}: {list(self.steps)} {self.errors}"
        return self.steps[step].facts

    def calls_at(self, step: str) -> int:
        """How many requests had come to the provider by a step."""
        assert self[step] is not None
        return self.steps[step].calls


@dataclass
class Stage:
    """Everything around an editor.

    Attributes:
        daemon: Serves editors.
        provider: Behind the daemon's only model.
        workspace: With `sample.py`.
    """

    daemon: Daemon
    provider: CodingProvider
    workspace: Path

    @property
    def sample(self) -> Path:
        """The file that the session is about."""
        return self.workspace / "sample.py"

    @property
    def socket(self) -> Path:
        """Where the daemon serves editors."""
        return self.daemon.home / "run" / "lsp.sock"

    def play(self, command: list[str], environ: dict[str, str]) -> Played:
        """Runs a scripted session, which writes one JSON object a line.

        `{"step": NAME, ...}` tells what it saw. `{"do": "restart", "then": FILE}` has the daemon restarted, and FILE
        made when it answers again.

        Args:
            command: The program and its arguments.
            environ: Its environment.
        """
        process = subprocess.Popen(
            command,
            env={**environ, "BEAST_HOME": str(self.daemon.home), "WORKSPACE": str(self.workspace)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.workspace,
        )
        played, said = Played(), list[str]()
        assert process.stdout and process.stderr
        errors = threading.Thread(target=lambda: said.extend(process.stderr or []), daemon=True)
        errors.start()
        watchdog = threading.Timer(LIMIT_S, process.kill)
        watchdog.start()
        try:
            for line in process.stdout:
                self._hear(line, played)
            played.code = process.wait(20)
        finally:
            watchdog.cancel()
            process.kill()
            process.wait()
            errors.join(10)
            process.stdout.close()
            process.stderr.close()
        played.errors = "".join(said)
        played.rows = self.daemon.rows()
        played.prompts = self.provider.prompts()
        played.endings = [call.ended for call in self.provider.calls if "messages" in call.body]
        return played

    def _hear(self, line: str, played: Played) -> None:
        try:
            told = json.loads(line)
        except ValueError:
            return  # an editor says other things too
        if isinstance(told, dict) and "step" in told:
            played.steps[told.pop("step")] = Told(told, len(self.provider.calls))
        elif isinstance(told, dict) and told.get("do") == "restart":
            self.restart()
            Path(told["then"]).touch()

    def restart(self) -> None:
        """Has the daemon restart itself, and waits until it answers and serves editors again."""
        before = self.daemon.call("status")["uptime_s"]
        self.daemon.call("restart")
        until(lambda: self._uptime_s() < before and self.socket.exists(), 30)

    def _uptime_s(self) -> float:
        try:
            return float(self.daemon.call("status")["uptime_s"])
        except Exception:
            return float("inf")


@contextmanager
def open_stage(settings: str = "") -> Iterator[Stage]:
    """Starts a provider and a daemon that serves editors, and lays out a workspace.

    Args:
        settings: Further lines for config.toml.
    """
    folder = tempfile.TemporaryDirectory(prefix="bw-")
    daemon = Daemon(SETTINGS + settings, {"BEAST_LSP__ENABLED": "true"})
    with folder, CodingProvider() as provider, daemon:
        daemon.add(MODEL, f"{provider.url}/v1", key="not-a-key", price=PRICE)
        workspace = Path(folder.name).resolve()
        (workspace / ".git").mkdir()
        (workspace / "sample.py").write_text(SAMPLE)
        yield Stage(daemon, provider, workspace)


def once(folders: pytest.TempPathFactory, name: str, play: Callable[[], Played]) -> Played:
    """Plays a session once for all workers of a parallel run: it takes seconds, and many tests look at it.

    Args:
        folders: The run's temporary folders.
        name: Of the session.
        play: Plays it.
    """
    base = folders.getbasetemp()
    if not base.name.startswith("popen-"):
        return play()
    kept = base.parent / f"{name}.pickle"
    with kept.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            played = play()
            kept.write_bytes(pickle.dumps(played))
        found: Played = pickle.loads(kept.read_bytes())
        return found
