"""An editor's folders as workspaces: asked about once, told of what is worked on; questions take along what belongs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.lsp_client import LspError
from support.lsp_house import Editor, House, eventually

ASKS = "window/showMessageRequest"
CACHE = "class Cache:\n    def evict(self, key):\n        return self.entries.pop(key)\n"
POOL = (
    "from cache import Cache\n\n\ndef shrink(pool, cache: Cache):\n    cache.evict(pool.last)\n    return pool.pop()\n"
)
QUESTION = {"message": "Where does the cache evict a key?"}


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
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "cache.py").write_text(CACHE)
    (folder / "pool.py").write_text(POOL)
    return folder


def editor_in(house: House, root: Path, says: str | None = None, **more: Any) -> Editor:
    """An editor with one folder, whose user gives one answer to every question."""
    folders = [{"uri": root.as_uri(), "name": root.name}]
    return house.editor(workspaceFolders=folders, answers={ASKS: lambda params: says and {"title": says}}, **more)


def state_of(house: House, root: Path) -> str | None:
    found = house.daemon.call("workspace.list")["workspaces"]
    return next((str(one["state"]) for one in found if one["path"] == str(root)), None)


def open_in(house: House, root: Path, **more: Any) -> Editor:
    house.daemon.call("workspace.open", {"path": str(root), "wait": True})
    editor = editor_in(house, root, **more)
    eventually(lambda: editor.client.command("beast.context", {**QUESTION, "show": False})["pieces"])
    return editor


def asked(house: House, number: int = -1) -> str:
    return "\n".join(str(one["content"]) for one in house.coder.calls[number].body["messages"])


class TestConsent:
    def test_a_folder_is_read_once_its_user_agrees(self, house: House, root: Path) -> None:
        editor = editor_in(house, root, "Open it")
        question = editor.client.wait_for(ASKS)
        assert str(root) in question["message"]
        assert [one["title"] for one in question["actions"]] == ["Open it", "Never for this folder"]
        assert eventually(lambda: state_of(house, root) == "ready")

    def test_who_agreed_is_not_asked_again(self, house: House, root: Path) -> None:
        house.daemon.call("workspace.open", {"path": str(root)})
        house.daemon.call("workspace.close", {"path": str(root)})
        editor = editor_in(house, root)
        assert eventually(lambda: state_of(house, root) == "ready")
        assert editor.client.of(ASKS) == []

    def test_who_declined_is_not_asked_again(self, house: House, root: Path) -> None:
        editor_in(house, root, "Never for this folder").client.wait_for(ASKS)
        row = {"path": str(root), "agreed": None}
        eventually(lambda: house.daemon.call("workspace.open", row)["state"] == "declined")
        again = editor_in(house, root, "Open it")
        again.client.command("beast.chat", QUESTION)
        assert again.client.of(ASKS) == []
        assert state_of(house, root) is None

    def test_no_answer_means_neither(self, house: House, root: Path) -> None:
        editor_in(house, root).client.wait_for(ASKS)
        assert house.daemon.call("workspace.open", {"path": str(root), "agreed": None})["state"] == "unasked"
        editor_in(house, root, "Open it").client.wait_for(ASKS)
        assert eventually(lambda: state_of(house, root))

    def test_a_setting_keeps_it_from_asking(self, house: House, root: Path) -> None:
        editor = editor_in(house, root, "Open it", settings={"workspace": {"open": "never"}})
        editor.client.command("beast.chat", QUESTION)
        assert editor.client.of(ASKS) == []
        assert state_of(house, root) is None

    def test_a_folder_that_is_added_later_is_asked_about(self, house: House, root: Path, tmp_path: Path) -> None:
        other = tmp_path / "other"
        other.mkdir()
        editor = editor_in(house, root, "Open it")
        added = {"event": {"added": [{"uri": other.as_uri(), "name": "other"}], "removed": []}}
        editor.client.notify("workspace/didChangeWorkspaceFolders", added)
        editor.client.wait_for(ASKS, lambda params: str(other) in params["message"])
        assert eventually(lambda: state_of(house, other) == "ready")
        assert len(editor.client.of(ASKS)) == 2

    def test_commands_open_and_close_it(self, house: House, root: Path) -> None:
        editor = editor_in(house, root)
        assert editor.client.command("beast.openWorkspace")["state"] in ("scanning", "ready")
        assert state_of(house, root) is not None
        assert editor.client.command("beast.closeWorkspace", {"uri": root.as_uri()})["state"] == "closed"
        assert state_of(house, root) is None

    def test_closing_what_was_never_open_declines_it(self, house: House, root: Path) -> None:
        assert editor_in(house, root).client.command("beast.closeWorkspace")["state"] == "declined"
        again = editor_in(house, root)
        again.client.command("beast.chat", QUESTION)
        assert again.client.of(ASKS) == []

    def test_without_a_folder_there_is_nothing_to_open(self, house: House) -> None:
        with pytest.raises(LspError, match="no folder open"):
            house.editor().client.command("beast.openWorkspace")


class TestQuestions:
    def test_a_question_takes_along_what_belongs_to_it_and_links_to_it(self, house: House, root: Path) -> None:
        found = open_in(house, root).client.command("beast.chat", QUESTION)
        assert "return self.entries.pop(key)" in asked(house)
        first = found["sources"][0]
        assert (first["path"], first["symbol"], first["first_line"]) == ("cache.py", "Cache.evict", 2)
        assert first["uri"] == (root / "cache.py").as_uri()
        assert found["context"]["state"] == "ready"

    def test_the_page_of_an_answer_lists_its_sources(self, house: House, root: Path) -> None:
        editor = open_in(house, root)
        editor.client.command("beast.chat", {**QUESTION, "show": True})
        shown = editor.client.of("window/showDocument")[-1]["uri"]
        page = Path(shown.removeprefix("file://")).read_text()
        assert f"[cache.py:2-3]({(root / 'cache.py').as_uri()}#L2) `Cache.evict`" in page

    def test_what_is_not_saved_wins_over_the_disk(self, house: House, root: Path) -> None:
        editor = open_in(house, root)
        uri = editor.open((root / "cache.py").as_uri(), CACHE)
        at = CACHE.index("self.entries")
        editor.type(uri, at, len(CACHE), "self.forget(key)\n")
        editor.client.command("beast.chat", QUESTION)
        assert "self.forget(key)" in asked(house)
        assert "self.entries.pop" not in asked(house)
        editor.type(uri, at, at + len("self.forget(key)"), "self.drop(key)")
        again = editor.client.command("beast.chat", QUESTION)
        assert again["cache"]["result"] == "stale"
        assert "self.drop(key)" in asked(house)

    def test_nothing_goes_along_where_the_caller_says_so(self, house: House, root: Path) -> None:
        found = open_in(house, root).client.command("beast.chat", {**QUESTION, "retrieve": False})
        assert "entries.pop" not in asked(house)
        assert found["sources"] == []

    def test_the_index_answers_without_a_model(self, house: House, root: Path) -> None:
        found = open_in(house, root).client.command("beast.chat", {**QUESTION, "use_llm": False})
        assert (found["model"], found["cost_usd"], house.coder.calls) == ("index", 0, [])
        assert found["text"].startswith("1. `cache.py`, lines 2-3, `Cache.evict`")

    def test_problems_that_are_reported_go_along(self, house: House, root: Path) -> None:
        editor = open_in(house, root)
        uri = editor.open((root / "pool.py").as_uri(), POOL)
        problem = {"message": "pool may be empty", "range": editor.range(uri, POOL.index("pool.pop"), len(POOL) - 1)}
        editor.client.command("beast.chat", {"message": "What is wrong?", "uri": uri, "diagnostics": [problem]})
        assert "What is reported about pool.py:\n- line 6: pool may be empty" in asked(house)

    def test_beast_context_shows_what_would_be_sent_and_asks_no_model(self, house: House, root: Path) -> None:
        editor = open_in(house, root)
        found = editor.client.command("beast.context", QUESTION)
        assert found["pieces"][0]["symbol"] == "Cache.evict"
        assert found["tokens"] <= found["budget_tokens"]
        shown = editor.client.of("window/showDocument")[-1]["uri"]
        assert "cache.py:2-3" in Path(shown.removeprefix("file://")).read_text()
        assert house.coder.calls == []

    def test_an_action_sees_the_definitions_that_its_selection_uses(self, house: House, root: Path) -> None:
        editor = open_in(house, root)
        uri = editor.open((root / "pool.py").as_uri(), POOL)
        editor.client.command("beast.explain", {"uri": uri})
        assert "def evict(self, key)" in asked(house)

    def test_a_closed_workspace_is_answered_as_before_and_says_so(self, house: House, root: Path) -> None:
        found = editor_in(house, root).client.command("beast.chat", QUESTION)
        assert found["text"]
        assert (found["sources"], found["context"]["state"]) == ([], "closed")
        assert found["context"]["tip"].startswith("beast workspace open ")


class TestActivity:
    def test_the_daemon_hears_what_is_worked_on(self, house: House, root: Path) -> None:
        editor = open_in(house, root)
        uri = editor.open((root / "pool.py").as_uri(), POOL)
        editor.type(uri, 0, 0, "# ")
        editor.client.notify("textDocument/didSave", {"textDocument": {"uri": uri}})
        editor.client.close_document(uri)
        found = editor.client.command("beast.chat", {**QUESTION, "message": "Where does the pool shrink?"})
        assert found["context"]["state"] == "ready"
        assert editor.client.of("window/showMessage") == []

    def test_saving_is_announced(self, house: House, root: Path) -> None:
        sync = editor_in(house, root).capabilities["textDocumentSync"]
        assert sync["save"]
