"""Ghost text: by hand always, while typing only as the user wants it; the last question alone goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode_lsp.inline import PREFIX_CHARS, SUFFIX_CHARS, before, behind
from beastmode_lsp.positions import Point, split_lines
from support.lsp_client import LspError
from support.lsp_house import EVERYTHING, Editor, House, eventually, position_of

URI = "file:///work/a.py"
TEXT = "def add(a, b):\n    return "
BY_HAND, AUTOMATIC = 1, 2
PLAIN = {**EVERYTHING, "textDocument": {}}


@pytest.fixture(scope="module")
def the_house() -> Iterator[House]:
    with House() as house:
        yield house


@pytest.fixture
def house(the_house: House) -> House:
    the_house.clean()
    return the_house


@pytest.fixture(scope="module")
def the_free_house() -> Iterator[House]:
    with House(price={"prompt": 0.0, "completion": 0.0}) as house:
        yield house


@pytest.fixture
def free_house(the_free_house: House) -> House:
    the_free_house.clean()
    return the_free_house


def place(editor: Editor, offset: int | None = None) -> dict[str, Any]:
    text = editor.texts[URI]
    position = position_of(text, len(text) if offset is None else offset)
    return {"textDocument": {"uri": URI}, "position": position}


def ghosts(editor: Editor, trigger: int = BY_HAND, offset: int | None = None) -> list[str]:
    params = {**place(editor, offset), "context": {"triggerKind": trigger}}
    found = editor.client.request("textDocument/inlineCompletion", params)
    return [one["insertText"] for one in found["items"]]


def items(editor: Editor, offset: int | None = None, **context: Any) -> list[dict[str, Any]]:
    params = {**place(editor, offset), "context": {"triggerKind": 1, **context}}
    found: list[dict[str, Any]] = editor.client.request("textDocument/completion", params)["items"]
    return found


def test_it_is_announced_and_without_trigger_characters(house: House) -> None:
    found = house.editor().capabilities
    assert found["inlineCompletionProvider"] is not None
    assert not found["completionProvider"].get("triggerCharacters")


def test_by_hand_it_comes_from_any_model(house: House) -> None:
    editor = house.editor()
    editor.open(URI, TEXT + "\n\n\nprint(1)  # 😋\n")
    found = editor.client.request(
        "textDocument/inlineCompletion", {**place(editor, len(TEXT)), "context": {"triggerKind": BY_HAND}}
    )
    (item,) = found["items"]
    assert item["insertText"] == "a + b"
    assert item["range"] == {"start": {"line": 1, "character": 11}, "end": {"line": 1, "character": 11}}
    (call,) = house.coder.calls
    assert (call.body["prompt"], call.body["suffix"]) == (TEXT, "\n\n\nprint(1)  # 😋\n")
    assert call.body["max_tokens"] == 128


def test_while_typing_a_model_that_costs_is_not_asked(house: House) -> None:
    editor = house.editor()
    editor.open(URI, TEXT)
    assert ghosts(editor, AUTOMATIC) == []
    assert house.coder.calls == []
    assert all(row["outcome"] != "refused" for row in house.daemon.rows())


def test_while_typing_a_model_whose_price_is_unknown_is_not_asked() -> None:
    with House(price=None) as house:
        editor = house.editor()
        editor.open(URI, TEXT)
        assert ghosts(editor, AUTOMATIC) == []
        assert house.coder.calls == []


def test_while_typing_a_free_model_is_asked(free_house: House) -> None:
    editor = free_house.editor()
    editor.open(URI, TEXT)
    assert ghosts(editor, AUTOMATIC) == ["a + b"]


def test_a_free_model_is_found_where_the_default_is_not_one(house: House) -> None:
    house.daemon.add("custom:free", f"{house.coder.url}/v1", upstream_model="m", price={"prompt": 0, "completion": 0})
    try:
        editor = house.editor()
        editor.open(URI, TEXT)
        assert ghosts(editor, AUTOMATIC) == ["a + b"]
        assert house.daemon.rows()[0]["model"] == "custom:free"
        editor = house.editor(settings={"model": "custom:mock"})
        editor.open(URI, TEXT + "1")
        assert ghosts(editor, AUTOMATIC) == ["a + b"]
        editor = house.editor(settings={"inline": {"model": "custom:mock"}})
        editor.open(URI, TEXT)
        assert ghosts(editor, AUTOMATIC) == []
    finally:
        house.daemon.call("models.remove", {"id": "custom:free"})


@pytest.mark.parametrize(
    ("settings", "trigger", "calls"),
    [
        ({"automatic": "always"}, AUTOMATIC, 1),
        ({"automatic": "never"}, AUTOMATIC, 0),
        ({"automatic": "never"}, BY_HAND, 1),
        ({"enabled": False}, BY_HAND, 0),
    ],
)
def test_the_settings_are_obeyed(house: House, settings: dict[str, Any], trigger: int, calls: int) -> None:
    editor = house.editor(settings={"inline": settings})
    editor.open(URI, TEXT)
    assert len(ghosts(editor, trigger)) == len(house.coder.calls) == calls


def test_of_many_questions_the_last_alone_goes_on(free_house: House) -> None:
    editor = free_house.editor()
    editor.open(URI, TEXT)
    pending = []
    for _ in range(5):
        params = {**place(editor), "context": {"triggerKind": AUTOMATIC}}
        pending.append(editor.client.begin("textDocument/inlineCompletion", params))
        editor.type(URI, len(editor.texts[URI]), len(editor.texts[URI]), "x")
    assert [len(one.result()["items"]) for one in pending] == [0, 0, 0, 0, 1]
    assert len(free_house.coder.calls) == 1


def test_a_question_that_is_overtaken_is_cancelled_at_the_provider(house: House) -> None:
    house.coder.gap_pause_s = 30
    editor = house.editor()
    editor.open(URI, TEXT)
    params = {**place(editor), "context": {"triggerKind": BY_HAND}}
    first = editor.client.begin("textDocument/inlineCompletion", params)
    eventually(lambda: house.coder.calls)
    house.coder.gap_pause_s = 0.0
    editor.type(URI, 0, 0, "#")
    assert ghosts(editor) == ["a + b"]
    assert first.result()["items"] == []
    eventually(house.coder.left)


def test_a_question_that_is_taken_back_is_cancelled_at_the_provider(house: House) -> None:
    house.coder.gap_pause_s = 30
    editor = house.editor()
    editor.open(URI, TEXT)
    pending = editor.client.begin(
        "textDocument/inlineCompletion", {**place(editor), "context": {"triggerKind": BY_HAND}}
    )
    eventually(lambda: house.coder.calls)
    editor.client.cancel(pending)
    with pytest.raises(LspError) as cancelled:
        pending.result()
    assert cancelled.value.code == -32800
    eventually(house.coder.left)


def test_closing_the_document_ends_it(house: House) -> None:
    house.coder.gap_pause_s = 30
    editor = house.editor()
    editor.open(URI, TEXT)
    pending = editor.client.begin(
        "textDocument/inlineCompletion", {**place(editor), "context": {"triggerKind": BY_HAND}}
    )
    eventually(lambda: house.coder.calls)
    editor.client.close_document(URI)
    assert pending.result()["items"] == []
    eventually(house.coder.left)


def test_nothing_worth_showing_is_not_shown(house: House) -> None:
    house.coder.gap = "  \n "
    editor = house.editor()
    editor.open(URI, TEXT)
    assert ghosts(editor) == []


def test_by_hand_a_document_that_is_too_large_is_said_to_be(house: House) -> None:
    editor = house.editor()
    editor.open(URI, "#" * ((8 << 20) + 1))
    with pytest.raises(LspError, match="max_document_bytes"):
        editor.client.request(
            "textDocument/inlineCompletion",
            {
                "textDocument": {"uri": URI},
                "position": {"line": 0, "character": 3},
                "context": {"triggerKind": BY_HAND},
            },
        )
    assert house.coder.calls == []


def test_an_editor_without_ghost_text_gets_one_item(house: House) -> None:
    house.coder.gap = "a + b\n    # and no more"
    editor = house.editor(PLAIN)
    editor.open(URI, TEXT)
    (item,) = items(editor)
    assert item["label"] == "BEAST: a + b"
    assert item["textEdit"]["newText"] == house.coder.gap
    assert item["detail"].startswith("custom:mock · ")


def test_an_item_within_a_word_passes_the_editors_filter(house: House) -> None:
    editor = house.editor(PLAIN)
    editor.open(URI, TEXT + "größe_1")
    (item,) = items(editor)
    assert item["filterText"] == "größe_1"


def test_an_item_is_not_made_of_every_character_that_is_typed(house: House) -> None:
    editor = house.editor(PLAIN)
    editor.open(URI, TEXT)
    editor.type(URI, len(TEXT), len(TEXT), "a")
    assert items(editor) == []
    assert items(editor, triggerKind=3) == []
    assert house.coder.calls == []


def test_an_editor_with_ghost_text_gets_items_by_hand_alone(free_house: House) -> None:
    editor = free_house.editor()
    editor.open(URI, TEXT)
    assert len(items(editor)) == 1
    editor.type(URI, len(TEXT), len(TEXT), "a")
    assert items(editor) == []


@given(st.text(alphabet="ab\n😋", max_size=40), st.data())
def test_before_and_behind_the_cursor_stands_the_whole_of_a_short_text(text: str, data: st.DataObject) -> None:
    lines = split_lines(text)
    line = data.draw(st.integers(0, len(lines) - 1))
    point = Point(line, data.draw(st.integers(0, len(lines[line].rstrip("\n")))))
    assert before(lines, point) + behind(lines, point) == text


@pytest.mark.parametrize("line", ["x" * 100 + "\n", "x" * 50_000])
def test_of_a_long_text_so_much_stands_there_as_a_model_needs(line: str) -> None:
    lines = split_lines(line * 300)
    point = Point(len(lines) // 2, 50)
    for found, limit in ((before(lines, point), PREFIX_CHARS), (behind(lines, point), SUFFIX_CHARS)):
        assert 0 < len(found) <= limit
    assert before(lines, point).endswith("x" * 50)
