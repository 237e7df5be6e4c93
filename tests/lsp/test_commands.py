"""Commands: the same actions for editors that have a palette, with words as they come, and a line of cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

from support.lsp_client import LspError
from support.lsp_house import EVERYTHING, MODEL, House, eventually
from support.scripts import Fail

URI = "file:///work/a.py"
TEXT = "def add(a, b):\n    return a - b\n"
FIXED = "def add(a, b):\n    return a + b"


@pytest.fixture(scope="module")
def the_house() -> Iterator[House]:
    with House() as house:
        yield house


@pytest.fixture
def house(the_house: House) -> House:
    the_house.clean()
    return the_house


def test_an_explanation_comes_word_by_word_and_is_shown_as_markdown(house: House) -> None:
    house.coder.answers("It subtracts, but is called add.")
    editor = house.editor(settings={"deltas": True})
    editor.open(URI, TEXT)
    found = editor.client.command("beast.explain", {"uri": URI, "id": "e1"})
    assert found["text"] == "It subtracts, but is called add."
    deltas = [one["delta"] for one in editor.client.of("beast/delta") if one["id"] == "e1"]
    assert "".join(deltas) == found["text"]
    assert len(deltas) > 1
    assert editor.client.of("beast/done") == [{"id": "e1", "cancelled": False}]
    (shown,) = editor.client.of("window/showDocument")
    path = Path(unquote(urlparse(shown["uri"]).path))
    assert path.suffix == ".md"
    assert path.read_text().startswith("It subtracts, but is called add.")
    assert path.stat().st_mode & 0o777 == 0o600


def test_ghost_text_comes_by_hand(house: House) -> None:
    editor = house.editor()
    editor.open(URI, "def add(a, b):\n    return ")
    place = {"textDocument": {"uri": URI}, "position": {"line": 1, "character": 11}}
    found = editor.client.request("textDocument/inlineCompletion", {**place, "context": {"triggerKind": 1}})
    assert [one["insertText"] for one in found["items"]] == ["a + b"]


def test_a_fix_is_applied(house: House) -> None:
    house.coder.codes(FIXED)
    editor = house.editor()
    editor.open(URI, TEXT)
    found = editor.client.command("beast.fix", {"uri": URI})
    assert found["applied"] is True
    assert "a + b" in editor.texts[URI]
    assert found["costLine"].startswith("custom:mock · ")


def test_the_result_says_all_that_is_known(house: House) -> None:
    house.coder.codes(FIXED)
    editor = house.editor()
    editor.open(URI, TEXT)
    found = editor.client.command("beast.refactor", {"uri": URI, "instruction": "mend it"})
    assert found["model"] == MODEL
    assert found["cost_usd"] > 0
    assert found["cache"]["result"] == "miss"
    assert found["usage"]["completion_tokens"] > 0
    assert found["route"]
    assert found["summary"]
    (edit,) = found["edits"]
    assert (edit["uri"], edit["version"], edit["kind"]) == (URI, 1, "modify")
    assert "+    return a + b" in edit["diff"]


def test_a_repeat_comes_from_the_cache_and_says_what_it_saved(house: House) -> None:
    editor = house.editor()
    editor.open(URI, TEXT)
    first, second = (editor.client.command("beast.explain", {"uri": URI}) for _ in range(2))
    assert second["text"] == first["text"]
    assert second["cache"]["result"] == "hit_exact"
    assert "from the cache (exact, L1), saved" in second["costLine"]
    assert len(house.coder.calls) == 1


def test_the_ledger_knows_the_editor(house: House) -> None:
    for name, label in (
        ("Visual Studio Code", "vscode"),
        ("Cursor", "cursor"),
        ("Neovim", "neovim"),
        ("My IDE 2", "my-ide-2"),
    ):
        editor = house.editor(name=name)
        editor.open(URI, TEXT)
        found = editor.client.command("beast.explain", {"uri": URI})
        assert house.row(found["request_id"])["client"] == label


def test_an_unknown_field_is_refused_by_name(house: House) -> None:
    editor = house.editor()
    editor.open(URI, TEXT)
    with pytest.raises(LspError) as refused:
        editor.client.command("beast.explain", {"uri": URI, "instrction": "x"})
    assert refused.value.code == -32602
    assert "`instrction`" in refused.value.message
    assert "`instruction`" in refused.value.message


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ({}, "needs `uri`"),
        ([], "takes one object"),
        ({"uri": 7}, "`uri` of beast.fix is not text"),
        ({"uri": URI, "apply": "yes"}, "`apply` of beast.fix is not true or false"),
        ({"uri": URI, "range": {"start": 1}}, "`range` of beast.fix"),
        ({"uri": "file:///nowhere.py"}, "neither open nor a text file"),
        ({"uri": "untitled:Untitled-9"}, "neither open nor a text file"),
        ({"uri": URI, "diagnostics": ["bad"]}, "`diagnostics` of beast.fix"),
    ],
)
def test_an_argument_that_is_wrong_is_said_to_be(house: House, argument: object, said: str) -> None:
    editor = house.editor()
    editor.open(URI, TEXT)
    with pytest.raises(LspError) as refused:
        editor.client.command("beast.fix", argument)
    assert refused.value.code == -32602
    assert said in refused.value.message


def test_an_edit_is_kept_where_it_shall_not_be_applied(house: House) -> None:
    house.coder.codes(FIXED)
    editor = house.editor()
    editor.open(URI, TEXT)
    found = editor.client.command("beast.fix", {"uri": URI, "apply": False, "show": False})
    assert (found["applied"], editor.texts[URI]) == (False, TEXT)
    assert "beast.apply" in found["reason"]
    editor.type(URI, 0, 0, "# typed meanwhile\n")
    assert editor.client.command("beast.apply", {"request_id": found["request_id"]})["applied"] is True
    assert editor.texts[URI].startswith("# typed meanwhile\ndef add(a, b):\n    return a + b")
    again = editor.client.command("beast.apply", {"request_id": found["request_id"]})
    assert again == {"applied": False, "reason": "It was applied already.", "request_id": found["request_id"]}
    assert "+    return a + b" in editor.client.command("beast.preview")["diff"]


def test_an_edit_that_is_on_its_way_is_not_sent_twice(house: House) -> None:
    house.coder.codes(FIXED)
    editor = house.editor()
    editor.open(URI, TEXT)
    found = editor.client.command("beast.fix", {"uri": URI, "apply": False, "show": False})
    params = {"command": "beast.apply", "arguments": [{"request_id": found["request_id"]}]}
    pending = [editor.client.begin("workspace/executeCommand", params) for _ in range(3)]
    assert sorted(one.result()["applied"] for one in pending) == [False, False, True]
    assert len(editor.edits) == 1


def test_nothing_to_preview_is_an_error(house: House) -> None:
    editor = house.editor()
    with pytest.raises(LspError, match="no edits"):
        editor.client.command("beast.preview", {})
    with pytest.raises(LspError, match="no edits of the request"):
        editor.client.command("beast.apply", {"request_id": "r"})


def test_an_edit_that_the_editor_refuses_is_moved_and_sent_again(house: House) -> None:
    """The user types after the server has looked at the version, and before the edit is there."""
    house.coder.codes(FIXED)
    editor = house.editor()
    editor.open(URI, TEXT)
    once = iter([lambda: editor.type(URI, 0, 0, "# typed\n")])

    def race(params: dict) -> dict:  # type: ignore[type-arg]
        next(once, lambda: None)()
        return editor.apply(params["edit"])

    editor.client.answers["workspace/applyEdit"] = race
    assert editor.client.command("beast.fix", {"uri": URI})["applied"] is True
    assert editor.refused == 1
    assert editor.texts[URI] == "# typed\n" + TEXT.replace("a - b", "a + b")


def test_an_editor_that_says_yes_and_did_nothing_is_asked_again(house: House) -> None:
    """As Neovim answers when the buffer has moved on."""
    house.coder.codes(FIXED)
    editor = house.editor(name="Neovim")
    editor.open(URI, TEXT)
    once = iter([lambda: editor.type(URI, 0, 0, "# typed\n")])

    def race(params: dict) -> dict:  # type: ignore[type-arg]
        next(once, lambda: None)()
        editor.apply(params["edit"])
        return {"applied": True}

    editor.client.answers["workspace/applyEdit"] = race
    assert editor.client.command("beast.fix", {"uri": URI})["applied"] is True
    assert editor.texts[URI] == "# typed\n" + TEXT.replace("a - b", "a + b")


def test_neovim_looks_at_the_version_of_a_buffer_that_was_just_opened(house: House) -> None:
    """It calls that version 0, and applies edits for the version 0 to whatever there is."""
    house.coder.codes(FIXED)
    for name, version in (("Neovim", 1), ("helix", 0)):
        editor = house.editor(name=name)
        editor.open(URI, TEXT)
        editor.client.close_document(URI)
        editor.client.open(URI, TEXT, version=0)
        editor.client.answers["workspace/applyEdit"] = lambda params: {"applied": False, "failureReason": "seen"}
        editor.client.command("beast.fix", {"uri": URI, "show": False})
        (sent,) = editor.client.of("workspace/applyEdit")
        assert sent["edit"]["documentChanges"][0]["textDocument"]["version"] == version


def test_an_editor_that_refuses_for_good_is_not_pressed(house: House) -> None:
    house.coder.codes(FIXED)
    editor = house.editor()
    editor.open(URI, TEXT)
    editor.client.answers["workspace/applyEdit"] = lambda params: {"applied": False, "failureReason": "it is read-only"}
    found = editor.client.command("beast.fix", {"uri": URI})
    assert (found["applied"], found["reason"]) == (False, "it is read-only")
    assert len(editor.client.of("workspace/applyEdit")) == 1
    assert editor.client.of("window/showDocument")[0]["uri"].endswith(".diff")


def test_an_editor_that_takes_no_edits_is_shown_them(house: House) -> None:
    house.coder.codes(FIXED)
    editor = house.editor({"window": {"showDocument": {"support": True}}})
    editor.open(URI, TEXT)
    found = editor.client.command("beast.fix", {"uri": URI})
    assert found["applied"] is False
    assert "takes no edits" in found["reason"]
    assert editor.client.of("window/showDocument")


def test_an_answer_without_code_changes_nothing_and_says_so(house: House) -> None:
    house.coder.answers("I would rather not.")
    editor = house.editor()
    editor.open(URI, TEXT)
    found = editor.client.command("beast.fix", {"uri": URI})
    assert (found["edits"], found["applied"]) == ([], False)
    assert found["reason"] == found["summary"]


def test_tests_are_written_into_a_file_of_their_own(house: House, tmp_path: Path) -> None:
    (tmp_path / "adding.py").write_text(TEXT)
    house.coder.codes("from adding import add\n\n\ndef test_add():\n    assert add(1, 2) == 3")
    editor = house.editor(workspaceFolders=[{"uri": tmp_path.as_uri(), "name": "it"}])
    uri = editor.open((tmp_path / "adding.py").as_uri(), TEXT)
    found = editor.client.command("beast.tests", {"uri": uri})
    (edit,) = found["edits"]
    assert (edit["kind"], edit["version"], found["applied"]) == ("create", None, True)
    create, text = editor.edits[0]["documentChanges"]
    assert (create["kind"], create["uri"]) == ("create", edit["uri"])
    assert text["textDocument"] == {"uri": edit["uri"], "version": None}
    assert "def test_add" in editor.texts[edit["uri"]]


def test_an_editor_that_can_create_no_files_is_shown_the_text(house: House, tmp_path: Path) -> None:
    (tmp_path / "adding.py").write_text(TEXT)
    house.coder.codes("def test_add():\n    assert True")
    workspace = {"applyEdit": True, "workspaceEdit": {"documentChanges": True}}
    folders = [{"uri": tmp_path.as_uri(), "name": "it"}]
    editor = house.editor({**EVERYTHING, "workspace": workspace}, workspaceFolders=folders)
    uri = editor.open((tmp_path / "adding.py").as_uri(), TEXT)
    found = editor.client.command("beast.tests", {"uri": uri})
    assert found["applied"] is False
    assert "can not create files" in found["reason"]
    shown = editor.client.of("window/showDocument")[0]["uri"]
    assert "def test_add" in Path(unquote(urlparse(shown).path)).read_text()


def test_a_file_in_no_folder_gets_its_tests_beside_it(house: House, tmp_path: Path) -> None:
    house.coder.codes("def test_add():\n    assert True")
    editor = house.editor()
    uri = editor.open((tmp_path / "adding.py").as_uri(), TEXT)
    found = editor.client.command("beast.tests", {"uri": uri})
    assert found["applied"] is True
    assert found["edits"][0]["uri"].startswith(tmp_path.as_uri())
    unsaved = editor.open("untitled:Untitled-1", TEXT)
    found = editor.client.command("beast.tests", {"uri": unsaved})
    assert (found["applied"], "save the document first" in found["reason"]) == (False, True)


def test_a_file_that_is_not_open_is_read_from_the_disk(house: House, tmp_path: Path) -> None:
    path = tmp_path / "adding.py"
    path.write_text(TEXT)
    house.coder.codes(FIXED)
    editor = house.editor(workspaceFolders=[{"uri": tmp_path.as_uri(), "name": "it"}])
    found = editor.client.command("beast.fix", {"uri": path.as_uri(), "apply": False})
    path.write_text(TEXT + "# changed on disk\n")
    assert editor.client.command("beast.apply")["applied"] is False
    path.write_text(TEXT)
    editor.texts[path.as_uri()] = TEXT
    assert editor.client.command("beast.apply", {"request_id": found["request_id"]})["applied"] is True
    assert editor.edits[-1]["documentChanges"][0]["textDocument"]["version"] is None


def test_cancelling_closes_the_providers_socket_and_no_word_follows(house: House) -> None:
    house.coder.answers(" ".join(f"word{i}" for i in range(2000)), pause_s=0.01)
    editor = house.editor(settings={"deltas": True})
    editor.open(URI, TEXT)
    ways = {
        "request": lambda pending: editor.client.cancel(pending),
        "progress": lambda pending: editor.client.notify(
            "window/workDoneProgress/cancel", {"token": editor.client.of("window/workDoneProgress/create")[-1]["token"]}
        ),
        "id": lambda pending: editor.client.notify("beast/cancel", {"id": "id"}),
    }
    for name, cancel in ways.items():
        pending = editor.client.begin(
            "workspace/executeCommand", {"command": "beast.explain", "arguments": [{"uri": URI, "id": name}]}
        )
        editor.client.wait_for("beast/delta", lambda one, name=name: one["id"] == name)
        left = len(house.coder.left())
        cancel(pending)
        with pytest.raises(LspError) as cancelled:
            pending.result()
        assert cancelled.value.code == -32800
        eventually(lambda left=left: len(house.coder.left()) > left)
        about = [params for method, params in editor.client.received if method in ("beast/delta", "beast/done")]
        assert [one for one in about if one["id"] == name][-1] == {"id": name, "cancelled": True}
    rows = eventually(lambda: len(found := house.daemon.rows(outcome="cancelled")) >= 3 and found)
    assert {row["client"] for row in rows} == {"vscode"}


def test_an_error_ends_the_stream_too(house: House) -> None:
    house.coder.say = lambda asked: Fail(401)
    editor = house.editor(settings={"deltas": True})
    editor.open(URI, TEXT)
    with pytest.raises(LspError):
        editor.client.command("beast.explain", {"uri": URI, "id": "e"})
    (done,) = editor.client.of("beast/done")
    assert (done["id"], done["cancelled"]) == ("e", False)
    assert done["error"]


def test_no_words_are_sent_to_an_editor_that_did_not_ask_for_them(house: House) -> None:
    editor = house.editor()
    editor.open(URI, TEXT)
    editor.client.command("beast.explain", {"uri": URI, "id": "e"})
    assert editor.client.of("beast/delta") == editor.client.of("beast/done") == []


def test_two_streams_of_one_id_are_not_mixed(house: House) -> None:
    house.coder.answers("slow words " * 100, pause_s=0.01)
    editor = house.editor(settings={"deltas": True})
    editor.open(URI, TEXT)
    params = {"command": "beast.explain", "arguments": [{"uri": URI, "id": "same"}]}
    first = editor.client.begin("workspace/executeCommand", params)
    editor.client.wait_for("beast/delta")
    with pytest.raises(LspError, match="running already"):
        editor.client.request("workspace/executeCommand", params)
    editor.client.cancel(first)
    with pytest.raises(LspError):
        first.result()


def test_an_editor_that_opens_no_documents_is_told_in_a_message(house: House) -> None:
    editor = house.editor({})
    editor.open(URI, TEXT)
    editor.client.command("beast.explain", {"uri": URI})
    (said,) = editor.client.of("window/showMessage")
    assert "It adds two numbers." in said["message"]


def test_a_question_about_the_selection_is_asked(house: House) -> None:
    house.coder.answers("Because.")
    editor = house.editor()
    editor.open(URI, TEXT)
    found = editor.client.command(
        "beast.ask", {"uri": URI, "instruction": "Why minus?", "range": editor.range(URI, 0, 5)}
    )
    assert found["text"] == "Because."
    assert "Why minus?" in str(house.coder.calls[0].body["messages"])
    assert editor.client.command("beast.ask", {"uri": URI})["text"] == "Because."


def test_a_text_without_a_file_can_be_asked_about(house: House) -> None:
    house.coder.codes(FIXED)
    editor = house.editor()
    editor.open("untitled:Untitled-1", TEXT)
    assert editor.client.command("beast.fix", {"uri": "untitled:Untitled-1"})["applied"] is True
    assert "a + b" in editor.texts["untitled:Untitled-1"]


def test_the_same_action_from_two_editors_is_one_call(house: House) -> None:
    first, second = house.editor(name="Neovim"), house.editor(name="Visual Studio Code")
    for editor in (first, second):
        editor.open(URI, TEXT)
        editor.client.command("beast.explain", {"uri": URI, "range": editor.range(URI, 0, 30)})
    assert len(house.coder.calls) == 1
