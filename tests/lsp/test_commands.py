"""Commands: the same actions for editors that have a palette, with words as they come, and a line of cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

from support.lsp_house import House

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
