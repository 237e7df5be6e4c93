"""Edits: a diff becomes the smallest ones, and they move with the text only where that is proven."""

from __future__ import annotations

import difflib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types as t

from beastmode_lsp.documents import Document
from beastmode_lsp.edits import DiffError, Edit, apply, edits_of, rebase
from beastmode_lsp.positions import Point, Span, character_of, content_length, split_lines

PIECES = ["def f(x):", "    return x", "a", "b", "😋 é e\u0301", "", "\t漢", "x\x0cy", "pass"]
ENDS = ["\n", "\n", "\r\n", "\r"]
line = st.tuples(st.sampled_from(PIECES), st.sampled_from(ENDS)).map("".join)
texts = st.tuples(st.lists(line, max_size=8), st.sampled_from(PIECES)).map(lambda parts: "".join(parts[0]) + parts[1])


def diff_of(before: str, after: str, context: int = 3) -> str:
    """As git writes it: lines end at LF, and a last one without is marked."""
    old, new = (text.split("\n") for text in (before, after))
    old = [one + "\n" for one in old[:-1]] + ([old[-1]] if old[-1] else [])
    new = [one + "\n" for one in new[:-1]] + ([new[-1]] if new[-1] else [])
    rows = list(difflib.unified_diff(old, new, "a.py", "a.py", n=context))
    return "".join(row if row.endswith("\n") else row + "\n\\ No newline at end of file\n" for row in rows)


def opened(text: str, version: int = 1) -> Document:
    return Document("file:///a.py", "python", version, text, "utf-32")


def typed(document: Document, start: tuple[int, int], end: tuple[int, int], text: str) -> None:
    """The editor changes the document."""
    change = t.TextDocumentContentChangePartial(t.Range(t.Position(*start), t.Position(*end)), text)
    document.change(change, document.version + 1)


def moved(document_text: str, wanted: str, *changes: tuple[tuple[int, int], tuple[int, int], str]) -> str | None:
    """The text after an answer to `document_text` and `changes` made meanwhile; None where it was not applied."""
    document = opened(document_text)
    snapshot = document.snapshot()
    edits = edits_of(diff_of(document_text, wanted), snapshot.lines)
    for change in changes:
        typed(document, *change)
    found = rebase(edits, snapshot, document.lines, document.changes_since(snapshot.serial))
    return None if found is None else "".join(apply(document.lines, found))


@given(texts, texts, st.integers(0, 3))
def test_the_edits_of_a_diff_make_the_text_that_the_diff_makes(before: str, after: str, context: int) -> None:
    lines = split_lines(before)
    assert "".join(apply(lines, edits_of(diff_of(before, after, context), lines))) == after


@given(texts, texts)
def test_no_edit_touches_what_stays(before: str, after: str) -> None:
    lines = split_lines(before)
    for edit in edits_of(diff_of(before, after), lines):
        old = "".join(lines[edit.span.start.line : edit.span.end.line + 1])
        old = old[edit.span.start.column : len(old) - len(lines[edit.span.end.line]) + edit.span.end.column]
        assert old != edit.text
        assert all(point.column <= content_length(lines[point.line]) for point in edit.span)
        assert not old or not edit.text or old[0] != edit.text[0] or old[0] == "\r"
        assert not old or not edit.text or old[-1] != edit.text[-1] or old[-1] == "\n"


def test_an_edit_is_as_small_as_the_change() -> None:
    before = "def f(a, b):\n    return a - b\n"
    (edit,) = edits_of(diff_of(before, before.replace("-", "+")), split_lines(before))
    assert edit == Edit(Span(Point(1, 13), Point(1, 14)), "+")


def test_lines_that_only_come_are_inserted_between_lines() -> None:
    (edit,) = edits_of(diff_of("a\nb\n", "a\nx\nb\n"), split_lines("a\nb\n"))
    assert edit == Edit(Span(Point(1, 0), Point(1, 0)), "x\n")


def test_a_new_file_is_one_insertion() -> None:
    assert edits_of("--- /dev/null\n+++ b/t.py\n@@ -0,0 +1,2 @@\n+a\n+b\n", [""]) == [
        Edit(Span(Point(0, 0), Point(0, 0)), "a\nb\n")
    ]


def test_an_end_of_file_without_a_line_end_is_kept_and_changed() -> None:
    assert "".join(apply(["a"], edits_of(diff_of("a", "a\n"), ["a"]))) == "a\n"
    assert "".join(apply(["a\n", ""], edits_of(diff_of("a\n", "a"), ["a\n", ""]))) == "a"


def test_a_line_end_of_two_characters_is_never_cut() -> None:
    lines = split_lines("a\r\nb\r\n")
    edits = edits_of(diff_of("a\r\nb\r\n", "a\nb\r\n"), lines)
    assert edits == [Edit(Span(Point(0, 1), Point(1, 0)), "\n")]


@pytest.mark.parametrize(
    "diff",
    [
        "@@ -1 +1 @@\n-b\n+c\n",
        "@@ -7,1 +7,1 @@\n-a\n+c\n",
        "@@ -1,2 +1,1 @@\n-a\n",
        "@@ -1 +1 @@\n-a\n*c\n",
        "@@ -1,0 +1,0 @@\n\\ No newline at end of file\n",
        "@@ -1,1 +1,2 @@\n-a\n-b\n+c\n+d\n",
        "just words\n",
    ],
)
def test_a_diff_that_does_not_fit_or_is_none_is_refused(diff: str) -> None:
    with pytest.raises(DiffError):
        edits_of(diff, split_lines("a\n"))


TEXT = "one\ntwo\nthree\nfour\nfive\n"
CHANGED = TEXT.replace("three", "THREE")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([((0, 0), (0, 0), "# ")], "# one\ntwo\nTHREE\nfour\nfive\n"),
        ([((0, 0), (0, 0), "zero\n")], "zero\none\ntwo\nTHREE\nfour\nfive\n"),
        ([((2, 0), (2, 0), "new\n")], "one\ntwo\nnew\nTHREE\nfour\nfive\n"),
        ([((1, 0), (2, 0), "")], "one\nTHREE\nfour\nfive\n"),
        ([((1, 3), (1, 3), "\nmore")], "one\ntwo\nmore\nTHREE\nfour\nfive\n"),
        ([((4, 4), (4, 4), "!\nsix")], "one\ntwo\nTHREE\nfour\nfive!\nsix\n"),
        ([((3, 0), (5, 0), "")], "one\ntwo\nTHREE\n"),
        ([((0, 0), (0, 0), "x"), ((0, 0), (1, 0), "")], "two\nTHREE\nfour\nfive\n"),
        ([((2, 1), (2, 1), "x"), ((2, 1), (2, 2), "")], CHANGED),
    ],
)
def test_an_edit_moves_with_what_was_typed_elsewhere(changes: list[tuple], expected: str) -> None:  # type: ignore[type-arg]
    assert moved(TEXT, CHANGED, *changes) == expected


@pytest.mark.parametrize(
    "change",
    [
        ((2, 5), (2, 5), "!"),
        ((2, 0), (2, 0), " "),
        ((1, 3), (2, 0), ""),
        ((2, 5), (3, 0), ""),
        ((0, 0), (5, 0), ""),
        ((1, 0), (3, 0), "three\n"),
        ((2, 0), (2, 0), "new\nnot quite: "),
    ],
)
def test_an_edit_whose_lines_were_touched_is_not_placed(change: tuple) -> None:  # type: ignore[type-arg]
    assert moved(TEXT, CHANGED, change) is None


def test_an_insertion_is_not_placed_where_something_else_was_inserted() -> None:
    wanted = "one\nnew\ntwo\nthree\nfour\nfive\n"
    assert moved(TEXT, wanted, ((1, 0), (1, 0), "mine\n")) is None
    assert moved(TEXT, wanted, ((0, 3), (0, 3), "\nmine")) is None
    assert moved(TEXT, wanted, ((0, 3), (0, 3), "!")) == "one!\nnew\ntwo\nthree\nfour\nfive\n"
    assert moved(TEXT, wanted, ((1, 3), (1, 3), "!")) == "one\nnew\ntwo!\nthree\nfour\nfive\n"


def test_a_document_whose_changes_are_forgotten_takes_no_edit_unless_it_is_the_same() -> None:
    document = opened(TEXT)
    snapshot = document.snapshot()
    edits = edits_of(diff_of(TEXT, CHANGED), snapshot.lines)
    assert rebase(edits, snapshot, split_lines("zero\n" + TEXT), None) is None
    assert rebase(edits, snapshot, split_lines(TEXT), None) == edits


@given(texts, texts, st.randoms(use_true_random=False), st.integers(1, 4))
def test_a_moved_edit_keeps_every_character_that_was_typed(
    before: str, after: str, chance: random.Random, times: int
) -> None:
    """What is typed is marked, so that it can be told apart: all of it is there afterwards."""
    document = opened(before)
    snapshot = document.snapshot()
    edits = edits_of(diff_of(before, after), snapshot.lines)
    marks = 0
    for _ in range(times):
        row = chance.randrange(len(document.lines))
        column = chance.randrange(len(document.lines[row].rstrip("\r\n")) + 1)
        typed(document, (row, column), (row, column), chance.choice(["\ue000", "\ue000\n", "\n\ue000"]))
        marks += 1
    found = rebase(edits, snapshot, document.lines, document.changes_since(snapshot.serial))
    if found is not None:
        text = "".join(apply(document.lines, found))
        assert text.count("\ue000") == marks
        kept = [one for one in split_lines(text) if "\ue000" not in one]
        assert len([one for one in kept if one.strip()]) <= len(split_lines(after)) + marks


def test_positions_of_edits_count_in_the_editors_units() -> None:
    lines = split_lines("😋 = 1\n")
    (edit,) = edits_of(diff_of("😋 = 1\n", "😋 = 2\n"), lines)
    assert [character_of(lines, edit.span.start, one) for one in ("utf-8", "utf-16", "utf-32")] == [7, 5, 4]
