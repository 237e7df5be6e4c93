"""What editors need that follow the protocol to the letter, and have no plugin of this project."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

from support.lsp_house import House, eventually

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


def test_a_chat_is_shown_to_an_editor_that_asks_for_it(house: House) -> None:
    house.coder.answers("It counts.")
    editor = house.editor()
    editor.client.command("beast.chat", {"message": "What is a semaphore?"})
    assert editor.client.of("window/showDocument") == []
    found = editor.client.command("beast.chat", {"message": "What is a semaphore?", "show": True})
    (shown,) = editor.client.of("window/showDocument")
    page = Path(unquote(urlparse(shown["uri"]).path)).read_text()
    assert page.startswith("> What is a semaphore?\n\nIt counts.\n")
    assert found["costLine"] in page
