"""Chat: what is selected and what is open goes along; a repeat comes from the cache, and says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.lsp_client import LspError
from support.lsp_house import MODEL, House

URI = "file:///work/a.py"
TEXT = "def add(a, b):\n    return a - b\n"


@pytest.fixture(scope="module")
def the_house() -> Iterator[House]:
    with House() as house:
        yield house


@pytest.fixture
def house(the_house: House) -> House:
    the_house.clean()
    return the_house


def asked(house: House, number: int = -1) -> str:
    """Everything that the model was told."""
    return "\n".join(str(one["content"]) for one in house.coder.calls[number].body["messages"])


def test_a_repeat_comes_from_the_cache_and_says_what_it_saved(house: House) -> None:
    house.coder.answers("Bern.")
    editor = house.editor()
    first, second = (editor.client.command("beast.chat", {"message": "The capital?"}) for _ in range(2))
    assert first["text"] == second["text"] == "Bern."
    assert first["costLine"].startswith(f"{MODEL} · 0.0")
    assert second["costLine"].startswith(f"{MODEL} · from the cache (exact, L1), saved 0.0")
    assert (first["cache"]["result"], second["cache"]["result"]) == ("miss", "hit_exact")
    assert len(house.coder.calls) == 1


def test_words_come_as_they_are_said(house: House) -> None:
    house.coder.answers("one two three four")
    editor = house.editor(settings={"deltas": True})
    found = editor.client.command("beast.chat", {"message": "Count.", "id": 7})
    assert "".join(one["delta"] for one in editor.client.of("beast/delta")) == found["text"]
    assert editor.client.of("beast/done") == [{"id": "7", "cancelled": False}]


def test_the_selection_goes_along_with_its_lines(house: House) -> None:
    editor = house.editor()
    editor.open(URI, TEXT)
    at = TEXT.index("return")
    place = editor.range(URI, at, at + len("return a - b"))
    editor.client.command("beast.chat", {"message": "Why?", "uri": URI, "range": place})
    assert "a.py:2-2" in asked(house)
    assert "return a - b" in asked(house)
    assert "def add" not in asked(house)


def test_without_a_selection_the_document_goes_along_as_it_is_in_the_editor(house: House) -> None:
    editor = house.editor()
    editor.open(URI, TEXT)
    editor.type(URI, 0, 0, "# typed and not saved\n")
    editor.client.command("beast.chat", {"message": "Why?", "uri": URI})
    assert "# typed and not saved" in asked(house)


def test_named_files_are_those_of_the_editor_where_it_has_them_open(house: House, tmp_path: Path) -> None:
    (tmp_path / "open.py").write_text("on_disk = 1\n")
    (tmp_path / "closed.py").write_text("closed = 1\n")
    editor = house.editor(workspaceFolders=[{"uri": tmp_path.as_uri(), "name": "it"}])
    editor.open((tmp_path / "open.py").as_uri(), "in_the_editor = 1\n")
    editor.client.command("beast.chat", {"message": "Compare.", "files": ["open.py", "closed.py"]})
    assert "in_the_editor" in asked(house)
    assert "on_disk" not in asked(house)
    assert "closed = 1" in asked(house)


def test_a_session_goes_on_and_is_cleared(house: House) -> None:
    editor = house.editor()
    for message in ("First question?", "Second question?"):
        editor.client.command("beast.chat", {"message": message, "session_id": "s1"})
    assert "First question?" in asked(house)
    assert editor.client.command("beast.clear", {"session_id": "s1"}) == {"cleared": True, "session_id": "s1"}
    assert all(one["id"] != "s1" for one in house.daemon.call("sessions.list")["sessions"])
    with pytest.raises(LspError):
        editor.client.command("beast.clear", {"session_id": "s1"})


def test_clearing_forgets_the_edits_that_were_kept(house: House) -> None:
    house.coder.codes("def add(a, b):\n    return a + b")
    editor = house.editor()
    editor.open(URI, TEXT)
    editor.client.command("beast.fix", {"uri": URI, "apply": False, "show": False})
    assert editor.client.command("beast.clear") == {"cleared": True}
    with pytest.raises(LspError, match="no edits"):
        editor.client.command("beast.preview")


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ({}, "beast.chat needs `message`"),
        ({"message": ""}, "beast.chat needs `message`"),
        ({"message": "x", "sesion_id": "s"}, "Did you mean `session_id`?"),
        ({"message": "x", "uri": "file:///no.py", "range": {"start": {"line": 0, "character": 0}, "end": {}}}, "range"),
    ],
)
def test_what_is_wrong_is_said(house: House, argument: dict[str, object], said: str) -> None:
    editor = house.editor()
    with pytest.raises(LspError) as refused:
        editor.client.command("beast.chat", argument)
    assert said in refused.value.message


def test_only_from_the_cache_is_an_error_where_nothing_is_stored(house: House) -> None:
    with pytest.raises(LspError) as refused:
        house.editor().client.command("beast.chat", {"message": "Never asked.", "cache": "only"})
    assert (refused.value.code, refused.value.data["kind"]) == (-32803, "not_in_cache")
