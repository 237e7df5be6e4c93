"""Claude Code, Codex, llm, aider and Continue, unmodified, with models of either protocol behind the daemon."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from support.door import Door
from support.programs import (
    AFTER,
    BEFORE,
    CLAUDE_CODE,
    CLAUDE_CODE_BY_ENVIRONMENT,
    CODEX,
    LLM,
    LLM_TOOL,
    PROGRAMS,
    TASK,
    Program,
    Run,
    start,
)
from support.scripted_provider import SIGNATURE
from support.scripts import DONE, PLAIN
from support.waiting import until

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

Starts = Callable[[Program, str, str], Run]


@pytest.fixture
def run(door: Door, tmp_path: Path) -> Iterator[Starts]:
    runs: list[Run] = []

    def begin(program: Program, model: str, prompt: str) -> Run:
        runs.append(start(program, tmp_path, door, model, prompt))
        return runs[-1]

    yield begin
    for one in runs:
        one.kill()


every_program = pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
every_editor = pytest.mark.parametrize(
    "program", [program for program in PROGRAMS if program.edits], ids=lambda program: program.name
)


@every_program
def test_a_plain_answer(door: Door, run: Starts, kind: str, program: Program) -> None:
    model = door.model(kind, "plain")
    running = run(program, model, "What is Bern?")
    assert running.ends() == 0, running.said
    assert PLAIN in running.said
    assert {row["outcome"] for row in door.rows(model)} == {"success"}


@every_editor
def test_a_file_is_edited_with_its_own_tools(
    door: Door, run: Starts, kind: str, program: Program, tmp_path: Path
) -> None:
    model = door.model(kind, "edit")
    file = tmp_path / "work" / "greeting.txt"
    running = run(program, model, TASK.format(path=file.name if program.name == "aider" else file))
    assert running.ends() == 0, running.said
    assert file.read_text() == AFTER, running.said
    if program.name != "aider":  # it has no tools: it finds the file in the answer
        assert DONE in running.said
        assert len(door.calls(model)) == (2 if program.name == "Codex" else 3)
    assert {row["outcome"] for row in door.rows(model)} == {"success"}


@every_program
def test_an_error_of_the_provider_is_shown(door: Door, run: Starts, kind: str, program: Program) -> None:
    model = door.model(kind, "e500")
    running = run(program, model, "What is Bern?")
    running.says("the script says 500")
    if program.name == "aider":  # it tries again for minutes
        running.interrupt()
        running.kill()
    else:
        assert running.ends() != 0
    assert {row["outcome"] for row in door.rows(model)} <= {"failure", "cancelled"}


@every_program
def test_a_stop_in_the_middle_stops_the_provider(door: Door, run: Starts, kind: str, program: Program) -> None:
    model = door.model(kind, "slow")
    running = run(program, model, "Tell me a long story.")
    until(lambda: running.process.poll() is not None or any(call.sent > 20 for call in door.calls(model)), 60.0)
    assert running.process.poll() is None, running.said
    running.interrupt()
    until(lambda: door.calls(model)[0].ended == "left")
    until(lambda: bool(door.rows(model)))
    assert door.rows(model)[-1]["outcome"] == "cancelled"
    assert (running.folder / "greeting.txt").read_text() == BEFORE


def test_tools_of_llm(door: Door, run: Starts, kind: str) -> None:
    def command(door: Door, model: str, prompt: str) -> list[str]:
        *shell, line = LLM.command(door, model, prompt)
        return [*shell, f"{line} --functions {shlex.quote(LLM_TOOL)}"]

    running = run(replace(LLM, command=command), door.model(kind, "parallel"), "How is the weather?")
    assert running.ends() == 0, running.said
    assert "The tools said: Bern: 7 degrees; Genève: 7 degrees" in running.said


def test_claude_code_set_up_for_one_run(door: Door, run: Starts, kind: str) -> None:
    running = run(CLAUDE_CODE_BY_ENVIRONMENT, door.model(kind, "plain"), "What is Bern?")
    assert running.ends() == 0, running.said
    assert PLAIN in running.said


@pytest.mark.parametrize("by", ["id", "its own name"])
def test_claude_code_keeps_the_thoughts_of_a_model(door: Door, run: Starts, kind: str, tmp_path: Path, by: str) -> None:
    model = door.model(kind, "think")
    file = tmp_path / "work" / "greeting.txt"
    name = model if by == "id" else model.partition(":")[2]
    running = run(CLAUDE_CODE, name, TASK.format(path=file))
    assert running.ends() == 0, running.said
    assert file.read_text() == AFTER
    if kind == "messages":
        thoughts = json.dumps(door.calls(model)[2].body["messages"]).count(SIGNATURE)
        assert thoughts == 2


def test_codex_knows_the_models_of_the_daemon(door: Door, run: Starts, kind: str) -> None:
    running = run(CODEX, door.model(kind, "plain"), "What is Bern?")
    assert running.ends() == 0, running.said
    assert "metadata" not in running.said


def test_codex_edits_with_its_own_kind_of_tool(door: Door, run: Starts, kind: str, tmp_path: Path) -> None:
    """Its tool `apply_patch` takes plain text, which no other protocol knows."""
    model = door.model(kind, "edit")

    def prepare(home: Path, door: Door, model: str) -> None:
        CODEX.prepare(home, door, model)
        catalogue = catalogue_of(door)
        for entry in catalogue["models"]:
            entry["apply_patch_tool_type"] = "freeform"
        (home / "catalogue.json").write_text(json.dumps(catalogue))
        config = home / ".codex" / "config.toml"
        config.write_text(f'model_catalog_json = "{home}/catalogue.json"\n{config.read_text()}')

    file = tmp_path / "work" / "greeting.txt"
    running = run(replace(CODEX, prepare=prepare), model, TASK.format(path=file))
    assert running.ends() == 0, running.said
    assert file.read_text() == AFTER
    assert '"apply_patch"' in json.dumps(door.calls(model)[1].body["messages"])


def catalogue_of(door: Door) -> Any:
    headers = {"Authorization": f"Bearer {door.token}"}
    with urlopen(Request(f"{door.url}/v1/models?client_version=0.169.0", headers=headers)) as reply:
        return json.load(reply)
