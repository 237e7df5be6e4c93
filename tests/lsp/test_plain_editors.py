"""What editors need that follow the protocol to the letter, and have no plugin of this project."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest

from beastmode.cli.lsp_session import Session
from support.lsp_client import LspError
from support.lsp_house import EVERYTHING, House, eventually
from support.scripts import Fail

URI = "file:///work/a.py"
KATE: dict[str, Any] = {  # what Kate 26.08 announces, as far as it matters here; it gives no name
    "textDocument": {
        "codeAction": {
            "codeActionLiteralSupport": {"codeActionKind": {"valueSet": ["quickfix", "refactor", "source"]}}
        },
        "completion": {"completionItem": {"snippetSupport": True}},
        "selectionRange": {"dynamicRegistration": False},
        "synchronization": {"didSave": True},
    },
    "window": {
        "showMessage": {"messageActionItem": {"additionalPropertiesSupport": True}},
        "workDoneProgress": True,
    },
    "workspace": {"configuration": True, "workspaceFolders": True},
}
TEXT = "def add(a, b):\n    return a - b\n"


@pytest.fixture(scope="module")
def the_house() -> Iterator[House]:
    with House() as house:
        yield house


@pytest.fixture
def house(the_house: House) -> House:
    the_house.clean()
    return the_house


def test_progress_that_an_editor_makes_late_is_ended_all_the_same(house: House) -> None:
    editor = house.editor()
    editor.client.answers["window/workDoneProgress/create"] = lambda params: time.sleep(0.3)
    editor.open(URI, TEXT)
    editor.client.command("beast.explain", {"uri": URI})
    (created,) = editor.client.of("window/workDoneProgress/create")
    told = eventually(lambda: len(found := editor.client.of("$/progress")) >= 2 and found)
    assert {one["token"] for one in told} == {created["token"]}
    assert [told[0]["value"]["kind"], told[-1]["value"]["kind"]] == ["begin", "end"]


def test_an_action_that_changes_nothing_is_not_resolved_again(house: House) -> None:
    house.coder.codes(TEXT)
    editor = house.editor()
    editor.open(URI, TEXT)
    action = editor.choose(URI, "BEAST: Refactor")
    assert "edit" not in action
    assert "data" not in action  # eglot resolves again what has data and neither an edit nor a command


@pytest.mark.parametrize("settings", [{"deltas": True}, {"status": True}])
def test_a_chat_is_not_shown_to_a_plugin_that_shows_it_itself(house: House, settings: dict[str, Any]) -> None:
    editor = house.editor(settings=settings)
    editor.client.command("beast.chat", {"message": "What is a semaphore?"})
    assert editor.client.of("window/showDocument") == []
    editor.client.command("beast.chat", {"message": "What is a semaphore?", "show": True})
    assert len(editor.client.of("window/showDocument")) == 1


def test_a_chat_is_shown_to_an_editor_without_a_plugin(house: House) -> None:
    house.coder.answers("It counts.")
    editor = house.editor()
    found = editor.client.command("beast.chat", {"message": "What is a semaphore?"})
    (shown,) = editor.client.of("window/showDocument")
    page = Path(unquote(urlparse(shown["uri"]).path)).read_text()
    assert page.startswith("> What is a semaphore?\n\nIt counts.\n")
    assert found["costLine"] in page


@pytest.mark.parametrize(("name", "told"), [("helix", 1), ("Kate", 1), ("Visual Studio Code", 0)])
def test_an_editor_that_shows_no_errors_of_commands_is_told_them(house: House, name: str, told: int) -> None:
    house.coder.say = lambda asked: Fail(401)
    editor = house.editor(EVERYTHING, name=name)
    editor.open(URI, TEXT)
    with pytest.raises(LspError) as refused:
        editor.client.command("beast.explain", {"uri": URI})
    errors = [one["message"] for one in editor.client.of("window/showMessage") if one["type"] == 1]
    assert errors == [refused.value.message] * told


def a_message(method: str, params: Any, **more: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **more, "method": method, "params": params}, separators=(",", ":")).encode()


def test_what_a_lost_server_showed_as_running_is_ended() -> None:
    session = Session()
    for token in ("whole", 2, "asked"):
        session.hear(a_message("window/workDoneProgress/create", {"token": token}, id=f"c-{token}"))
    for token, kinds in (("whole", ("begin", "end")), (2, ("begin", "report"))):
        for kind in kinds:
            session.hear(a_message("$/progress", {"token": token, "value": {"kind": kind}}))
    told = [json.loads(body)["params"] for body in session.end_progress()]
    assert [(one["token"], one["value"]["kind"]) for one in told] == [(2, "end"), ("asked", "begin"), ("asked", "end")]
    assert session.end_progress() == []


def test_kate_takes_edits_though_it_does_not_say_so(house: House, tmp_path: Path) -> None:
    """As Kate does: it sends the whole text, names a root and no folders, and runs the command of an action."""
    house.coder.codes(TEXT.replace("-", "+"))
    editor = house.editor(KATE, name="", rootUri=tmp_path.as_uri(), workspaceFolders=[])
    uri = editor.open((tmp_path / "a.py").as_uri(), TEXT)
    action = next(one for one in editor.menu(uri) if one["title"] == "BEAST: Refactor")
    found = editor.client.command(action["command"]["command"], *action["command"]["arguments"])
    assert found["applied"] is True
    assert "a + b" in editor.texts[uri]
    assert set(editor.edits[-1]) == {"changes"}
    row = house.row(found["request_id"])
    assert (row["client"], row["workspace"]) == ("kate", str(tmp_path))


def test_settings_that_kate_pushes_are_read(house: House) -> None:
    house.coder.codes(TEXT.replace("-", "+"))
    editor = house.editor(KATE, name="")
    editor.client.answers["workspace/configuration"] = lambda params: [None for _ in params["items"]]
    asked = len(editor.client.of("workspace/configuration"))
    editor.client.notify("workspace/didChangeConfiguration", {"settings": {"beast": {"edits": {"preview": True}}}})
    eventually(lambda: len(editor.client.of("workspace/configuration")) > asked)
    editor.client.command("beast.models")
    editor.open(URI, TEXT)
    assert editor.client.command("beast.refactor", {"uri": URI})["applied"] is False
    assert editor.texts[URI] == TEXT


def test_settings_of_other_servers_that_are_pushed_are_no_matter(house: House) -> None:
    editor = house.editor(name="Eglot")
    editor.client.answers["workspace/configuration"] = lambda params: [None for _ in params["items"]]
    asked = len(editor.client.of("workspace/configuration"))
    editor.client.notify("workspace/didChangeConfiguration", {"settings": {"pylsp": {"plugins": {}}}})
    eventually(lambda: len(editor.client.of("workspace/configuration")) > asked)
    editor.client.command("beast.models")
    assert editor.client.of("window/showMessage") == []


def test_lsp_mode_gets_commands_since_it_has_actions_resolved_by_every_server(house: House) -> None:
    house.coder.codes(TEXT.replace("-", "+"))
    editor = house.editor(name="emacs")
    editor.open(URI, TEXT)
    action = next(one for one in editor.menu(URI) if one["title"] == "BEAST: Refactor")
    assert action["command"]["command"] == "beast.refactor"
    assert "data" not in action
    eglot = house.editor(name="Eglot")
    eglot.open(URI, TEXT)
    assert "data" in next(one for one in eglot.menu(URI) if one["title"] == "BEAST: Refactor")
