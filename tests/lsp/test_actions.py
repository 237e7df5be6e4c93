"""Code actions: the menu asks nobody; what is chosen becomes an edit for the very version that the editor has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.lsp_client import LspError
from support.lsp_house import EVERYTHING, House, eventually
from support.scripts import Fail

URI = "file:///work/a.py"
TEXT = "def add(a, b):\n    return a - b\n\n\nprint(add(1, 2))  # 😋\n"
FIXED = "def add(a, b):\n    return a + b\n\n\nprint(add(1, 2))  # 😋"
PROBLEM = {
    "range": {"start": {"line": 1, "character": 11}, "end": {"line": 1, "character": 16}},
    "message": "add does not add",
    "severity": 1,
    "source": "tests",
}


@pytest.fixture(scope="module")
def the_house() -> Iterator[House]:
    with House() as house:
        yield house


@pytest.fixture
def house(the_house: House) -> House:
    the_house.clean()
    return the_house


def test_the_menu_offers_everything_and_asks_nobody(house: House) -> None:
    editor = house.editor()
    editor.open(URI, TEXT)
    found = editor.menu(URI, [PROBLEM])
    assert [one["title"] for one in found] == [
        "BEAST: Fix “add does not add”",
        "BEAST: Refactor",
        "BEAST: Write docstring",
        "BEAST: Write tests",
        "BEAST: Generate here",
        "BEAST: Explain",
        "BEAST: Ask about the selection",
    ]
    assert {one["title"]: one["kind"] for one in found}["BEAST: Refactor"] == "refactor.rewrite"
    assert found[0]["diagnostics"] == [PROBLEM]
    assert not any("edit" in one for one in found)
    assert house.coder.calls == []


def test_what_is_chosen_becomes_an_edit_for_the_version_that_the_editor_has(house: House) -> None:
    house.coder.codes(FIXED)
    editor = house.editor()
    editor.open(URI, TEXT)
    action = editor.choose(URI, "BEAST: Refactor", at=0)
    (change,) = action["edit"]["documentChanges"]
    assert change["textDocument"] == {"uri": URI, "version": 1}
    assert editor.apply(action["edit"]) == {"applied": True}
    assert "a + b" in editor.texts[URI]


@pytest.mark.parametrize(
    ("only", "kinds"),
    [
        (["quickfix"], {"quickfix"}),
        (["refactor"], {"refactor.rewrite"}),
        (["refactor.rewrite"], {"refactor.rewrite"}),
        (["source"], {"source"}),
        (["source.organizeImports"], set()),
        (["refactor.extract"], set()),
        ([""], {"quickfix", "refactor.rewrite", "source"}),
    ],
)
def test_only_the_kinds_that_are_asked_for_are_offered(house: House, only: list[str], kinds: set[str]) -> None:
    editor = house.editor()
    editor.open(URI, TEXT)
    assert {one["kind"] for one in editor.menu(URI, [PROBLEM], only=only)} == kinds


def test_a_cursor_that_moves_is_told_of_fixes_alone(house: House) -> None:
    editor = house.editor()
    editor.open(URI, TEXT)
    assert [one["kind"] for one in editor.menu(URI, [PROBLEM], triggerKind=2)] == ["quickfix"]
    assert editor.menu(URI, triggerKind=2) == []


def test_an_empty_line_is_a_place_to_write(house: House) -> None:
    editor = house.editor()
    editor.open(URI, TEXT)
    found = [one["title"] for one in editor.menu(URI, at=TEXT.index("\n\n") + 1, only=["refactor"])]
    assert found == ["BEAST: Generate here"]


def test_a_document_that_is_not_open_has_no_actions(house: House) -> None:
    editor = house.editor()
    editor.texts["file:///b.py"] = ""
    assert editor.menu("file:///b.py") == []


def test_a_fix_tells_the_model_what_is_wrong(house: House) -> None:
    house.coder.codes(FIXED)
    editor = house.editor()
    editor.open(URI, TEXT)
    action = editor.choose(URI, "BEAST: Fix", diagnostics=[PROBLEM])
    assert "add does not add" in str(house.coder.calls[0].body["messages"])
    assert editor.apply(action["edit"])["applied"]
    assert editor.texts[URI] == TEXT.replace("a - b", "a + b")


def test_an_edit_is_labelled_and_needs_no_confirmation(house: House) -> None:
    house.coder.codes(FIXED)
    editor = house.editor()
    editor.open(URI, TEXT)
    edit = editor.choose(URI, "BEAST: Refactor")["edit"]
    assert edit["changeAnnotations"] == {"beast": {"label": "BEAST: Refactor", "needsConfirmation": False}}
    assert {one["annotationId"] for one in edit["documentChanges"][0]["edits"]} == {"beast"}


def test_an_editor_without_annotations_gets_none(house: House) -> None:
    house.coder.codes(FIXED)
    workspace = {"workspaceEdit": {"documentChanges": True}, "applyEdit": True}
    editor = house.editor({**EVERYTHING, "workspace": workspace})
    editor.open(URI, TEXT)
    edit = editor.choose(URI, "BEAST: Refactor")["edit"]
    assert "changeAnnotations" not in edit
    assert "annotationId" not in edit["documentChanges"][0]["edits"][0]


def test_an_editor_that_takes_no_versions_gets_plain_changes(house: House) -> None:
    house.coder.codes(FIXED)
    editor = house.editor({**EVERYTHING, "workspace": {"applyEdit": True}})
    editor.open(URI, TEXT)
    edit = editor.choose(URI, "BEAST: Refactor")["edit"]
    assert list(edit) == ["changes"]
    assert editor.apply(edit)["applied"]
    assert "a + b" in editor.texts[URI]


def test_an_editor_that_resolves_nothing_gets_commands(house: House) -> None:
    house.coder.codes(FIXED)
    document = {"codeAction": {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": ["quickfix"]}}}}
    editor = house.editor({**EVERYTHING, "textDocument": document})
    editor.open(URI, TEXT)
    action = next(one for one in editor.menu(URI) if one["title"] == "BEAST: Refactor")
    assert "data" not in action
    command = action["command"]
    assert editor.client.command(command["command"], *command["arguments"])["applied"] is True
    assert "a + b" in editor.texts[URI]


def test_an_editor_without_code_actions_gets_bare_commands(house: House) -> None:
    editor = house.editor({**EVERYTHING, "textDocument": {}})
    editor.open(URI, TEXT)
    assert {one["command"] for one in editor.menu(URI)} == {
        "beast.refactor",
        "beast.docstring",
        "beast.tests",
        "beast.generate",
        "beast.explain",
        "beast.ask",
    }


def test_explaining_is_a_command(house: House) -> None:
    editor = house.editor()
    editor.open(URI, TEXT)
    action = next(one for one in editor.menu(URI) if one["title"] == "BEAST: Explain")
    found = editor.client.command(action["command"]["command"], *action["command"]["arguments"])
    assert found["text"] == "It adds two numbers."
    assert found["edits"] == []


def test_what_was_typed_since_the_menu_opened_moves_the_range_along(house: House) -> None:
    house.coder.codes("print(add(2, 2))")
    editor = house.editor()
    editor.open(URI, TEXT)
    action = next(one for one in editor.menu(URI, at=TEXT.index("print")) if one["title"] == "BEAST: Refactor")
    editor.type(URI, 0, 0, "# on top\n")
    resolved = editor.client.request("codeAction/resolve", action)
    assert resolved["edit"]["documentChanges"][0]["textDocument"]["version"] == 2
    assert editor.apply(resolved["edit"])["applied"]
    assert editor.texts[URI].startswith("# on top\ndef add(a, b):\n    return a - b\n")
    assert "add(2, 2)" in editor.texts[URI]


def test_an_answer_for_a_text_that_has_changed_there_is_shown_and_not_applied(house: House) -> None:
    house.coder.answers(f"```python\n{FIXED}\n```", pause_s=0.05)
    editor = house.editor()
    editor.open(URI, TEXT)
    action = next(one for one in editor.menu(URI) if one["title"] == "BEAST: Refactor")
    pending = editor.client.begin("codeAction/resolve", action)
    eventually(lambda: house.coder.calls)
    at = TEXT.index("a - b")
    editor.type(URI, at, at, "10 * ")
    with pytest.raises(LspError) as refused:
        pending.result()
    assert refused.value.code == -32801
    assert editor.client.of("window/showDocument")[0]["uri"].endswith(".diff")
    assert "10 * a - b" in editor.texts[URI]


def test_with_previews_on_nothing_is_applied_before_the_user_says_so(house: House) -> None:
    house.coder.codes(FIXED)
    editor = house.editor(settings={"edits": {"preview": True}})
    editor.open(URI, TEXT)
    action = editor.choose(URI, "BEAST: Refactor")
    assert "edit" not in action
    command = action["command"]
    assert command["command"] == "beast.preview"
    shown = editor.client.command(command["command"], *command["arguments"])
    assert "+    return a + b" in shown["diff"]
    assert editor.texts[URI] == TEXT
    assert editor.client.command("beast.apply", *command["arguments"])["applied"] is True
    assert "a + b" in editor.texts[URI]


def test_an_error_is_said_where_the_editor_would_swallow_it(house: House) -> None:
    house.coder.say = lambda asked: Fail(401)
    for name, messages in (("helix", 1), ("Visual Studio Code", 0)):
        editor = house.editor(name=name)
        editor.open(URI, TEXT)
        with pytest.raises(LspError) as refused:
            editor.choose(URI, "BEAST: Refactor")
        assert refused.value.code == -32803
        assert refused.value.data["kind"] == "authentication"
        assert "Try: " in refused.value.message
        assert len(editor.client.of("window/showMessage")) == messages


def test_a_document_that_is_too_large_is_asked_of_no_model(house: House) -> None:
    editor = house.editor()
    editor.open(URI, "# " + "x" * (8 << 20))
    with pytest.raises(LspError) as refused:
        editor.choose(URI, "BEAST: Refactor")
    assert "lsp.max_document_bytes" in refused.value.message
    assert house.coder.calls == []


def test_a_document_that_does_not_fit_into_a_message_is_asked_of_no_model(house: House) -> None:
    editor = house.editor()
    editor.open(URI, "# " + "ж" * (3 << 20))
    with pytest.raises(LspError, match="on its way to the daemon"):
        editor.choose(URI, "BEAST: Refactor")
    assert editor.client.command("beast.models", {})["models"]


@pytest.mark.parametrize(("encoding", "start"), [("utf-8", 7), ("utf-16", 5), ("utf-32", 4)])
def test_positions_are_in_the_encoding_that_the_editor_wants(house: House, encoding: str, start: int) -> None:
    house.coder.codes("😋 = 2")
    editor = house.editor({**EVERYTHING, "general": {"positionEncodings": [encoding, "utf-16"]}})
    assert editor.capabilities["positionEncoding"] == encoding
    editor.open(URI, "😋 = 1\n")
    (change,) = editor.choose(URI, "BEAST: Refactor")["edit"]["documentChanges"]
    (edit,) = change["edits"]
    assert (edit["range"]["start"]["character"], edit["range"]["end"]["character"]) == (start, start + 1)
    assert edit["newText"] == "2"


def test_line_ends_of_windows_stay(house: House) -> None:
    house.coder.codes("def add(a, b):\n    total = a + b\n    return total")
    editor = house.editor()
    editor.open(URI, TEXT.replace("\n", "\r\n"))
    assert editor.apply(editor.choose(URI, "BEAST: Refactor")["edit"])["applied"]
    assert editor.texts[URI].startswith("def add(a, b):\r\n    total = a + b\r\n    return total\r\n")
    assert "\n" not in editor.texts[URI].replace("\r\n", "")


def test_an_action_without_versions_is_not_moved(house: House) -> None:
    """Such an editor could not refuse it, so only the very text that was asked about is changed."""
    house.coder.answers(f"```python\n{FIXED}\n```", pause_s=0.05)
    editor = house.editor({**EVERYTHING, "workspace": {"applyEdit": True}})
    editor.open(URI, TEXT)
    pending = editor.client.begin("workspace/executeCommand", {"command": "beast.fix", "arguments": [{"uri": URI}]})
    eventually(lambda: house.coder.calls)
    editor.type(URI, len(TEXT), len(TEXT), "# far below\n")
    assert pending.result()["applied"] is False
    assert editor.texts[URI] == TEXT + "# far below\n"


def test_the_user_is_told_where_an_edit_without_versions_crossed_what_was_typed(house: House) -> None:
    house.coder.codes(FIXED)
    editor = house.editor({**EVERYTHING, "workspace": {"applyEdit": True}})
    editor.open(URI, TEXT)

    def race(params: dict) -> dict:  # type: ignore[type-arg]
        editor.type(URI, len(TEXT), len(TEXT), "# typed\n")
        return editor.apply(params["edit"])

    editor.client.answers["workspace/applyEdit"] = race
    assert editor.client.command("beast.fix", {"uri": URI})["applied"] is True
    (said,) = editor.client.of("window/showMessage")
    assert "you typed while the edit was on its way" in said["message"]


def test_an_unversioned_edit_that_crossed_nothing_is_not_remarked(house: House) -> None:
    house.coder.codes(FIXED)
    editor = house.editor({**EVERYTHING, "workspace": {"applyEdit": True}})
    editor.open(URI, TEXT)
    assert editor.client.command("beast.fix", {"uri": URI})["applied"] is True
    assert editor.client.of("window/showMessage") == []
