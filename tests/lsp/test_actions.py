"""Code actions: the menu asks nobody; what is chosen becomes an edit for the very version that the editor has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.lsp_house import House

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
