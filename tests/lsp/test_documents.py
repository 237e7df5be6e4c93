"""Documents: the text as the editor changes it, what was changed since, and the folder that each lies in."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types as t

from beastmode_lsp.documents import KEPT_CHANGES, Document, Documents, name_of, path_of
from beastmode_lsp.edits import Edit, apply
from beastmode_lsp.positions import Point, Span, split_lines
from support.lsp_house import position_of

PIECES = ["a", "é", "😋", "e\u0301", "\t", "\n", "\r\n", "\r", "\x0c", "\u2028", ""]
texts = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


def opened(text: str, encoding: str = "utf-16") -> Document:
    return Document("file:///a.py", "python", 1, text, encoding)


def partial(start: dict[str, int], end: dict[str, int], text: str) -> t.TextDocumentContentChangePartial:
    return t.TextDocumentContentChangePartial(t.Range(t.Position(**start), t.Position(**end)), text)


@given(texts, st.lists(texts, max_size=4), st.randoms(use_true_random=False))
def test_the_text_is_what_the_editors_changes_make_of_it(text: str, inserts: list[str], chance: random.Random) -> None:
    document = opened(text)
    for version, new in enumerate(inserts, 2):
        start, end = sorted(chance.choices([i for i in range(len(text) + 1) if text[i - 1 : i + 1] != "\r\n"], k=2))
        document.change(partial(position_of(text, start), position_of(text, end), new), version)
        text = text[:start] + new + text[end:]
        assert document.text == text
        assert document.lines == split_lines(text)
        assert document.version == version


@given(texts, st.lists(texts, min_size=1, max_size=4))
def test_changes_since_a_snapshot_lead_from_it_to_the_text_now(text: str, wholes: list[str]) -> None:
    document = opened(text)
    snapshot = document.snapshot()
    for version, whole in enumerate(wholes, 2):
        document.change(t.TextDocumentContentChangeWholeDocument(whole), version)
    lines = list(snapshot.lines)
    for change in document.changes_since(snapshot.serial) or []:
        lines = apply(lines, [Edit(change.span, change.text)])
    assert "".join(lines) == wholes[-1] == document.text
    assert snapshot.text == text


def test_a_whole_text_is_the_smallest_change_of_lines() -> None:
    document = opened("one\ntwo\nthree\n")
    document.change(t.TextDocumentContentChangeWholeDocument("one\n2\nthree\n"), 2)
    (change,) = document.changes_since(0) or []
    assert (change.span, change.text) == (Span(Point(1, 0), Point(2, 0)), "2\n")


def test_changes_are_forgotten_in_the_end() -> None:
    document = opened("")
    snapshot = document.snapshot()
    for version in range(2, KEPT_CHANGES + 3):
        document.change(partial({"line": 0, "character": 0}, {"line": 0, "character": 0}, "x"), version)
    assert document.changes_since(snapshot.serial) is None
    assert document.follow(Span(Point(0, 0), Point(0, 0)), 1) is None
    assert document.follow(Span(Point(0, 0), Point(0, 0)), 3) == Span(
        Point(0, KEPT_CHANGES - 1), Point(0, KEPT_CHANGES - 1)
    )


@pytest.mark.parametrize(
    ("start", "end", "text", "expected"),
    [
        ((0, 0), (0, 0), "new\n", ((2, 0), (2, 3))),
        ((0, 1), (0, 2), "", ((1, 0), (1, 3))),
        ((1, 0), (1, 0), "xx", ((1, 2), (1, 5))),
        ((1, 1), (1, 1), "xx", ((1, 0), (1, 5))),
        ((1, 3), (1, 3), "xx", ((1, 0), (1, 5))),
        ((2, 0), (2, 1), "", ((1, 0), (1, 3))),
        ((0, 0), (2, 0), "", ((0, 0), (0, 0))),
    ],
)
def test_a_stretch_follows_what_is_typed(
    start: tuple[int, int], end: tuple[int, int], text: str, expected: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    document = opened("one\ntwo\nthree\n")
    change = t.TextDocumentContentChangePartial(t.Range(t.Position(*start), t.Position(*end)), text)
    document.change(change, 2)
    found = document.follow(Span(Point(1, 0), Point(1, 3)), 1)
    assert found == Span(Point(*expected[0]), Point(*expected[1]))


def test_a_stretch_of_an_unknown_version_is_nowhere() -> None:
    document = opened("one\n")
    assert document.follow(Span(Point(0, 0), Point(0, 1)), 7) is None
    assert document.follow(Span(Point(0, 0), Point(0, 1)), "1") is None


def test_a_reversed_range_is_turned_around() -> None:
    document = opened("one\ntwo\n")
    assert document.span(t.Range(t.Position(1, 2), t.Position(0, 1))) == Span(Point(0, 1), Point(1, 2))


@pytest.mark.parametrize(("text", "limit_bytes", "exceeds"), [("abc", 3, False), ("abcd", 3, True), ("😋", 3, True)])
def test_a_size_is_counted_in_bytes(text: str, limit_bytes: int, exceeds: bool) -> None:
    document = opened(text)
    assert document.exceeds(limit_bytes) is exceeds
    assert document.lines
    assert document.exceeds(limit_bytes) is exceeds


def folders(*names: str) -> list[t.WorkspaceFolder]:
    return [t.WorkspaceFolder(f"file:///{name}", name) for name in names]


def test_a_document_belongs_to_the_innermost_folder_it_lies_in() -> None:
    documents = Documents(None, folders("srv/me", "srv/me/work", "opt"), "utf-16")
    assert documents.root_of("file:///srv/me/work/a.py") == "/srv/me/work"
    assert documents.root_of("file:///srv/me/notes.md") == "/srv/me"
    assert documents.root_of("file:///srv/me/workshop/a.py") == "/srv/me"
    assert documents.root_of("file:///etc/passwd") is None
    assert documents.root_of("untitled:Untitled-1") is None
    documents.remove_folder("file:///srv/me/work")
    assert documents.root_of("file:///srv/me/work/a.py") == "/srv/me"


def test_an_editor_with_one_root_and_no_folders_has_that_folder() -> None:
    documents = Documents("file:///work%20here/", None, "utf-8")
    assert documents.root_of("file:///work%20here/a.py") == "/work here"
    assert documents.first_root == "/work here"


def test_a_document_is_found_however_its_name_is_written() -> None:
    documents = Documents(None, None, "utf-16")
    documents.put_text_document(t.TextDocumentItem("file:///a%20b.py", "python", 1, "x"))
    found = documents.find("file:///a b.py")
    assert found is not None
    assert documents.find_path("/a b.py") is found
    documents.remove_text_document("file:///a%20b.py")
    assert documents.find("file:///a b.py") is None
    assert found.closed
    name = t.VersionedTextDocumentIdentifier(uri="file:///a b.py", version=2)
    documents.update_text_document(name, t.TextDocumentContentChangeWholeDocument("y"))
    assert documents.find("file:///a b.py") is None


def test_names_of_what_is_no_file() -> None:
    assert path_of("untitled:Untitled-1") is None
    assert name_of("untitled:Untitled-1") == "Untitled-1"
    assert name_of("git:/work/a%20b.py?ref=main") == "work/a b.py"


@given(texts, st.integers(0, 6))
def test_a_text_that_is_cut_piece_by_piece_has_the_same_lines(text: str, chars: int) -> None:
    document = opened(text)
    while document.cut_some(chars):
        assert document.text == text
    assert document.lines == split_lines(text)


def test_large_documents_are_cut_a_piece_at_a_time_and_closed_ones_no_more() -> None:
    documents = Documents(None, None, "utf-16")
    for name in ("open", "closed"):
        documents.put_text_document(t.TextDocumentItem(name, "x", 1, "line\n" * 200_000))
    documents.remove_text_document("closed")
    pieces = 0
    while documents.cut_some():
        pieces += 1
    document = documents.find("open")
    assert document is not None
    assert pieces >= 4
    assert len(document.lines) == 200_001
