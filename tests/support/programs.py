"""Programs that people point at the daemon, as they come: each in an empty home, with nothing of its user's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from support.node_tools import node
from support.tracked import ROOT
from support.waiting import until

CLIENTS = ROOT / "build" / "clients"
TASK = "In the file {path} change the word hello to goodbye"
BEFORE, AFTER = "hello and more\n", "goodbye and more\n"


@dataclass
class Program:
    """A program and how it is told where the daemon is.

    Attributes:
        name: As people call it.
        command: Makes its command line from a model and a prompt.
        environ: Makes its environment from the daemon's URL and token.
        prepare: Writes what it wants in its home: home, URL, token, model.
        edits: It can change files.
    """

    name: str
    command: Callable[[str, str], list[str]]
    environ: Callable[[str, str], dict[str, str]] = lambda url, token: {}
    prepare: Callable[[Path, str, str, str], None] = lambda home, url, token, model: None
    edits: bool = True


@dataclass
class Run:
    """A program that runs, or has ended.

    Attributes:
        process: It.
        output: Where what it says goes, errors too.
        folder: Where it works.
    """

    process: subprocess.Popen[bytes]
    output: Path
    folder: Path

    @property
    def said(self) -> str:
        """All that it has said so far, in one line."""
        return " ".join(self.output.read_text(errors="replace").split())

    def ends(self, limit_s: float = 60.0) -> int:
        """Waits for its end and gives its exit code."""
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it did not end; it said: {self.said}") from None

    def says(self, words: str) -> None:
        """Waits until it has said something."""
        until(lambda: words in self.said or self.process.poll() is not None, 60.0)
        assert words in self.said

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        """Ends it and all that it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def start(program: Program, place: Path, url: str, token: str, model: str, prompt: str) -> Run:
    """Starts a program.

    Args:
        program: Which.
        place: An empty folder; its home and the folder it works in are made there.
        url: Of the daemon.
        token: Of the daemon.
        model: That it asks for.
        prompt: Its task.
    """
    home, folder = place / "home", place / "work"
    home.mkdir()
    folder.mkdir()
    (folder / "greeting.txt").write_text(BEFORE)
    program.prepare(home, url, token, model)
    path = os.pathsep.join([str(Path(node()).parent), os.environ.get("PATH", "")])
    environ = {"PATH": path, "HOME": str(home), "TERM": "dumb", "LANG": "C.UTF-8", **program.environ(url, token)}
    output = place / "output"
    with output.open("wb") as into:
        process = subprocess.Popen(
            program.command(model, prompt),
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=into,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Run(process, output, folder)


# -- Claude Code --------------------------------------------------------------------------------------------------


def _claude(model: str, prompt: str) -> list[str]:
    program = str(CLIENTS / "node_modules" / ".bin" / "claude")
    return [program, "-p", prompt, "--model", model, "--permission-mode", "acceptEdits"]


def _claude_environ(url: str, token: str) -> dict[str, str]:
    return {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_AUTH_TOKEN": token,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "1",  # it tries 10 times by itself, for minutes
        "DISABLE_TELEMETRY": "1",
    }


# -- Codex --------------------------------------------------------------------------------------------------------

CODEX_CONFIG = """
model = "{model}"
model_provider = "beast"

[model_providers.beast]
name = "BEAST MODE"
base_url = "{url}/v1"
env_key = "BEAST_TOKEN"
wire_api = "responses"
request_max_retries = 1
stream_max_retries = 1
"""


def _codex(model: str, prompt: str) -> list[str]:
    program = str(CLIENTS / "node_modules" / ".bin" / "codex")
    return [program, "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", prompt]


def _codex_prepare(home: Path, url: str, token: str, model: str) -> None:
    (home / ".codex").mkdir()
    (home / ".codex" / "config.toml").write_text(CODEX_CONFIG.format(url=url, model=model))


# -- llm ----------------------------------------------------------------------------------------------------------

LLM_MODELS = """
- model_id: beast
  model_name: "{model}"
  api_base: "{url}/v1"
  api_key_name: beast
  supports_tools: true
"""
LLM_TOOL = 'def get_weather(city: str) -> str:\n    "The weather of a town."\n    return city + ": 7 degrees"\n'


def _llm(model: str, prompt: str) -> list[str]:
    return [str(CLIENTS / "llm" / "bin" / "llm"), "-m", "beast", prompt]


def _llm_prepare(home: Path, url: str, token: str, model: str) -> None:
    folder = home / ".config" / "io.datasette.llm"
    folder.mkdir(parents=True)
    (folder / "extra-openai-models.yaml").write_text(LLM_MODELS.format(url=url, model=model))
    (folder / "keys.json").write_text(json.dumps({"beast": token}))


# -- aider --------------------------------------------------------------------------------------------------------


def _aider(model: str, prompt: str) -> list[str]:
    quiet = ["--no-git", "--yes-always", "--no-check-update", "--analytics-disable", "--no-show-release-notes"]
    quiet += ["--no-show-model-warnings", "--no-pretty"]
    program = str(CLIENTS / "aider" / "bin" / "aider")
    return [program, *quiet, "--model", f"openai/{model}", "--message", prompt, "greeting.txt"]


def _aider_environ(url: str, token: str) -> dict[str, str]:
    return {"OPENAI_API_BASE": f"{url}/v1", "OPENAI_API_KEY": token}


def _aider_prepare(home: Path, url: str, token: str, model: str) -> None:
    """Its list of models' prices, so that it does not fetch one."""
    caches = home / ".aider" / "caches"
    caches.mkdir(parents=True)
    (caches / "model_prices_and_context_window.json").write_text('{"nothing": {}}')


CLAUDE_CODE = Program("Claude Code", _claude, _claude_environ)
CODEX = Program("Codex", _codex, lambda url, token: {"BEAST_TOKEN": token}, _codex_prepare)
LLM = Program("llm", _llm, prepare=_llm_prepare, edits=False)
AIDER = Program("aider", _aider, _aider_environ, _aider_prepare)
PROGRAMS = [CLAUDE_CODE, CODEX, LLM, AIDER]
