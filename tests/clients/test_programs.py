"""Claude Code, Codex, llm and aider, unmodified, with a Chat Completions model and with a Messages model behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.door import Door
from support.programs import AFTER, BEFORE, LLM, LLM_TOOL, PROGRAMS, TASK, Program, Run, start
from support.scripts import DONE, PLAIN
from support.waiting import until

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

Starts = Callable[[Program, str, str], Run]


@pytest.fixture
def run(door: Door, tmp_path: Path) -> Iterator[Starts]:
    runs: list[Run] = []

    def begin(program: Program, model: str, prompt: str) -> Run:
        runs.append(start(program, tmp_path, door.url, door.token, model, prompt))
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
        assert len(door.calls(model)) == (3 if program.name == "Claude Code" else 2)
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
    until(lambda: bool(door.calls(model)) and door.calls(model)[0].sent > 20, 60.0)
    running.interrupt()
    until(lambda: door.calls(model)[0].ended == "left")
    until(lambda: bool(door.rows(model)))
    assert door.rows(model)[-1]["outcome"] == "cancelled"
    assert (running.folder / "greeting.txt").read_text() == BEFORE


def test_tools_of_llm(door: Door, run: Starts, kind: str) -> None:
    def command(model: str, prompt: str) -> list[str]:
        return [*LLM.command(model, prompt), "--functions", LLM_TOOL]

    running = run(Program("llm", command, prepare=LLM.prepare), door.model(kind, "parallel"), "How is the weather?")
    assert running.ends() == 0, running.said
    assert "The tools said: Bern: 7 degrees; Genève: 7 degrees" in running.said
