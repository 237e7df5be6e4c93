"""`beast.generateFeature`: how far it is, a preview, one edit for all files, and what an editor holds wins."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.lsp_client import LspError
from support.lsp_house import EVERYTHING, House, eventually
from support.scripts import Say

CALC = "def add(a, b):\n    return a + b\n"
TWICE = f"{CALC}\n\ndef twice(a):\n    return add(a, a)\n"
PLAN = json.dumps({"summary": "Adds twice", "files": ["calc.py", "notes.md"]})


@pytest.fixture(scope="module")
def the_house() -> Iterator[House]:
    with House() as house:
        yield house


@pytest.fixture
def house(the_house: House) -> House:
    the_house.clean()
    return the_house


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path.resolve() / "project"
    folder.mkdir()
    (folder / "calc.py").write_text(CALC)
    return folder


def turns(house: House, *said: str) -> None:
    left = list(said)
    house.coder.say = lambda asked: Say(left.pop(0) if left else "I can not.")


def folders(root: Path) -> dict[str, object]:
    return {"workspaceFolders": [{"uri": root.as_uri(), "name": "project"}], "rootUri": root.as_uri()}


def answers(calc: str = TWICE) -> tuple[str, str, str]:
    return PLAN, f"calc.py\n```python\n{calc}```", "notes.md\n```markdown\n# Twice\n```"


def test_is_shown_first_and_applied_as_one_edit(house: House, root: Path) -> None:
    turns(house, *answers())
    editor = house.editor(**folders(root))
    uri = editor.open((root / "calc.py").as_uri(), CALC)
    found = editor.client.command("beast.generateFeature", {"request": "twice, please"})
    assert (found["summary"], found["applied"]) == ("Adds twice: changes calc.py; creates notes.md.", False)
    assert [(Path(one["uri"]).name, one["kind"]) for one in found["edits"]] == [
        ("calc.py", "modify"),
        ("notes.md", "create"),
    ]
    assert editor.texts[uri] == CALC
    (shown,) = editor.client.of("window/showDocument")
    assert shown["uri"].endswith(".diff")
    assert editor.client.command("beast.apply", {"request_id": found["request_id"]})["applied"] is True
    (edit,) = editor.edits
    assert len(edit["documentChanges"]) == 3
    assert editor.texts[uri] == TWICE
    assert editor.texts[(root / "notes.md").as_uri()] == "# Twice\n"
    assert (root / "calc.py").read_text() == CALC, "the daemon writes nothing"


def test_says_how_far_it_is(house: House, root: Path) -> None:
    turns(house, *answers())
    editor = house.editor(**folders(root))
    editor.client.command("beast.generateFeature", {"request": "twice, told"})

    def told() -> list[str]:
        values = [one["value"] for one in editor.client.of("$/progress")]
        return [one["message"] for one in values if one["kind"] == "report"]

    assert eventually(lambda: any(one.startswith(("plan", "edit calc.py")) for one in told()))


def test_what_the_editor_holds_wins_and_what_is_typed_meanwhile_stays(house: House, root: Path) -> None:
    held = f"# unsaved\n{CALC}"
    editor = house.editor(**folders(root))
    uri = editor.open((root / "calc.py").as_uri(), held)
    said = list(answers(f"# unsaved\n{TWICE}"))

    def typing(asked: object) -> Say:
        if len(said) == 1:
            editor.type(uri, 0, 0, "# typed\n")
        return Say(said.pop(0))

    house.coder.say = typing
    found = editor.client.command("beast.generateFeature", {"request": "twice, while typing", "apply": True})
    assert found["applied"] is True, found.get("reason")
    assert editor.texts[uri] == f"# typed\n# unsaved\n{TWICE}"
    assert "# unsaved" in house.coder.calls[1].body["messages"][0]["content"]


def test_nothing_right_is_said_and_nothing_can_be_applied(house: House, root: Path) -> None:
    turns(house, PLAN)
    editor = house.editor(**folders(root))
    found = editor.client.command("beast.generateFeature", {"request": "twice, in vain"})
    assert (found["edits"], found["applied"]) == ([], False)
    assert found["problems"]
    assert found["reason"].startswith("Nothing is offered")
    with pytest.raises(LspError):
        editor.client.command("beast.apply")


def test_can_be_stopped_and_gone_on_with(house: House, root: Path) -> None:
    said: list[Callable[[], Say]] = [lambda: Say(PLAN), lambda: Say("word " * 3000, pause_s=0.02)]
    house.coder.say = lambda asked: said.pop(0)()
    editor = house.editor(settings={"deltas": True}, **folders(root))
    argument = {"request": "twice, in two goes", "id": "f1"}
    waiting = editor.client.begin(
        "workspace/executeCommand", {"command": "beast.generateFeature", "arguments": [argument]}
    )
    eventually(lambda: len(house.coder.calls) == 2)
    editor.client.notify("beast/cancel", {"id": "f1"})
    with pytest.raises(LspError):
        waiting.result()
    file = max((house.daemon.home / "state/generation").glob("gen_*.json"), key=lambda one: one.stat().st_mtime_ns)
    turns(house, *answers()[1:])
    found = editor.client.command("beast.generateFeature", {"resume": file.stem})
    assert [Path(one["uri"]).name for one in found["edits"]] == ["calc.py", "notes.md"]
    assert len(house.coder.calls) == 4


@pytest.mark.parametrize("wrong", [{}, {"request": " "}, {"request": 3}, {"request": "x", "check": "ls"}])
def test_what_is_wrong_is_refused(wrong: dict[str, object], house: House, root: Path) -> None:
    editor = house.editor(**folders(root))
    with pytest.raises(LspError):
        editor.client.command("beast.generateFeature", wrong)
    assert house.coder.calls == []


def test_without_a_folder_says_so(house: House) -> None:
    editor = house.editor(EVERYTHING)
    with pytest.raises(LspError, match="folder"):
        editor.client.command("beast.generateFeature", {"request": "twice"})
