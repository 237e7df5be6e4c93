"""Programs that people point at the daemon, set up as `docs/http-clients.md` says, each in an empty home."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from support.door import Door
from support.node_tools import node
from support.page import blocks, lines, made_true
from support.tracked import ROOT
from support.waiting import until

CLIENTS = ROOT / "build" / "clients"
TASK = "In the file {path} change the word hello to goodbye"
BEFORE, AFTER = "hello and more\n", "goodbye and more\n"


Command = Callable[[Door, str, str], list[str]]


@dataclass
class Program:
    """A program and how it is told where the daemon is.

    Attributes:
        name: As people call it.
        command: Makes its command line from the daemon, a model and a prompt.
        prepare: Writes what it wants in its home, for a daemon and a model.
        environ: More environment variables, for settings that are about tests alone.
        edits: It can change files.
    """

    name: str
    command: Command
    prepare: Callable[[Path, Door, str], None] = lambda home, door, model: None
    environ: Mapping[str, str] = field(default_factory=dict)
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


def start(program: Program, place: Path, door: Door, model: str, prompt: str) -> Run:
    """Starts a program.

    Args:
        program: Which.
        place: An empty folder; its home and the folder it works in are made there.
        door: The daemon.
        model: That it asks for.
        prompt: Its task.
    """
    home, folder = place / "home", place / "work"
    home.mkdir()
    folder.mkdir()
    (folder / "greeting.txt").write_text(BEFORE)
    program.prepare(home, door, model)
    path = [Path(node()).parent, ROOT / ".venv" / "bin", CLIENTS / "node_modules" / ".bin", CLIENTS / "aider" / "bin"]
    environ = {
        "PATH": os.pathsep.join([*map(str, path), os.environ.get("PATH", "")]),
        "HOME": str(home),
        "TERM": "dumb",
        "LANG": "C.UTF-8",
        "BEAST_HOME": str(door.daemon.home),
        "BEAST_TOKEN": door.token,
        **program.environ,
    }
    output = place / "output"
    with output.open("wb") as into:
        process = subprocess.Popen(
            program.command(door, model, prompt),
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=into,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Run(process, output, folder)


def as_on_the_page(section: str, of: str) -> Command:
    """Makes the command lines of a program from the one that a section of the page shows.

    Args:
        section: Its heading.
        of: The part of the line that tells it from others.

    Returns:
        What makes command lines; to the page's own they add what `APART` has for the section, and the prompt.
    """

    def command(door: Door, model: str, prompt: str) -> list[str]:
        line = next(line for line in lines(section) if of in line)
        words = shlex.join([*APART.get(section, []), prompt])
        return ["bash", "-c", f"{made_true(line, door.url, model)} {words}"]

    return command


# What a run without a person at the keyboard needs, and nothing that a person would not type.
APART = {
    "Claude Code": ["--permission-mode", "acceptEdits", "-p"],
    "aider": [
        *("--no-git", "--yes-always", "--no-check-update", "--analytics-disable", "--no-show-release-notes"),
        *("--no-show-model-warnings", "--no-pretty", "--file", "greeting.txt", "--message"),
    ],
}
CLAUDE_ENVIRON = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_MAX_RETRIES": "1",  # it tries 10 times by itself, for minutes
    "DISABLE_TELEMETRY": "1",
}


def _claude(door: Door, model: str, prompt: str) -> list[str]:
    """Without a model: the settings name it."""
    return ["claude", *APART["Claude Code"], prompt]


def _claude_prepare(home: Path, door: Door, model: str) -> None:
    (home / ".claude").mkdir()
    (settings,) = blocks("Claude Code", "json")
    (home / ".claude" / "settings.json").write_text(made_true(settings, door.url, model))


def _codex(door: Door, model: str, prompt: str) -> list[str]:
    retries = [f"model_providers.beast.{kind}_max_retries=1" for kind in ("request", "stream")]
    options = ["--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
    return ["codex", "exec", *options, *(word for retry in retries for word in ("-c", retry)), prompt]


def _codex_prepare(home: Path, door: Door, model: str) -> None:
    (home / ".codex").mkdir()
    (config,) = blocks("Codex", "ini")
    (home / ".codex" / "config.toml").write_text(made_true(config, door.url, model))


def _llm(door: Door, model: str, prompt: str) -> list[str]:
    program = str(CLIENTS / "llm" / "bin" / "llm")
    *_, ask = lines("llm")
    keys = next(line for line in lines("llm") if "keys set" in line)
    words = " ".join(shlex.split(ask)[1:-1])
    return ["bash", "-c", f'llm() {{ {program} "$@"; }}; {keys} && exec {program} {words} {shlex.quote(prompt)}']


def _llm_prepare(home: Path, door: Door, model: str) -> None:
    folder = home / ".config" / "io.datasette.llm"
    folder.mkdir(parents=True)
    (models,) = blocks("llm", "yaml")
    (folder / "extra-openai-models.yaml").write_text(made_true(models, door.url, model))


def _continue(door: Door, model: str, prompt: str) -> list[str]:
    return ["cn", "--auto", "-p", prompt]


def _continue_prepare(home: Path, door: Door, model: str) -> None:
    (home / ".continue").mkdir()
    (config,) = blocks("Continue", "yaml")
    (home / ".continue" / "config.yaml").write_text(made_true(config, door.url, model))
    (home / ".continue" / ".env").write_text(f"BEAST_TOKEN={door.token}\n")


def _aider_prepare(home: Path, door: Door, model: str) -> None:
    """Its list of models' prices, so that it does not fetch one."""
    caches = home / ".aider" / "caches"
    caches.mkdir(parents=True)
    (caches / "model_prices_and_context_window.json").write_text('{"nothing": {}}')


CLAUDE_CODE = Program("Claude Code", _claude, _claude_prepare, CLAUDE_ENVIRON)
CLAUDE_CODE_BY_ENVIRONMENT = Program(
    "Claude Code", as_on_the_page("Claude Code", "claude --model"), environ=CLAUDE_ENVIRON
)
CODEX = Program("Codex", _codex, _codex_prepare)
CONTINUE = Program("Continue", _continue, _continue_prepare, {"CONTINUE_TELEMETRY_ENABLED": "0"})
LLM = Program("llm", _llm, _llm_prepare, edits=False)
AIDER = Program("aider", as_on_the_page("aider", "aider --model"), _aider_prepare)
PROGRAMS = [CLAUDE_CODE, CODEX, LLM, AIDER, CONTINUE]
LLM_TOOL = 'def get_weather(city: str) -> str:\n    "The weather of a town."\n    return city + ": 7 degrees"\n'
