"""Diffs say exactly what changes, for every line end; positions count lines and code points as the protocol does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode.client.edits import apply_diff
from beastmode.core.errors import BadInputError
from beastmode.workspace.diffs import unified_diff
from beastmode.workspace.positions import Lines, Position, line_end, split_lines

ENDS = ["\n", "\r\n", "\r"]
PIECES = [
    "",
    "a",
    "b = 1",
    "    c",
    "\t",
    "é",
    "😀",
    "e\u0301",
    "\u2028",
    "\u2029",
    "\x0c",
    "\x0b",
    "\x85",
    "\\",
    "--- a",
    "+++",
    "@@ -1 +1 @@",
    " ",
]
texts = st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from([*ENDS, ""])), max_size=25).map(
    lambda rows: "".join(row + end for row, end in rows)
)


@given(texts, texts)
def test_a_diff_put_to_the_old_text_gives_the_new_one(before: str, after: str) -> None:
    diff = unified_diff(before, after, "a.py")
    assert apply_diff(before, diff) == after
    assert (diff == "") == (before == after)


@given(texts)
def test_a_diff_of_a_new_file_holds_all_of_it(after: str) -> None:
    assert apply_diff("", unified_diff(None, after, "new.py")) == after


@given(texts, texts, texts)
def test_a_diff_is_put_to_no_other_text(before: str, after: str, other: str) -> None:
    diff = unified_diff(before, f"{before}{after}x", "a.py")
    try:
        found = apply_diff(other, diff)
    except BadInputError:
        return
    assert unified_diff(other, found, "a.py").partition("@@")[2] != ""  # it fitted: the lines it names are there


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a\nb\nc\n", "a\nB\nc\n"),
        ("a\r\nb\r\n", "a\r\nb\r\nc\r\n"),
        ("a\nb", "a\nb\n"),
        ("a\nb\n", "a\nb"),
        ("a\u2028b\x0cc\n", "a\u2028b\x0cd\n"),
        ("", "new\n"),
        ("old\n", ""),
        ("".join(f"{i}\n" for i in range(100)), "".join(f"{i}\n" for i in range(100) if i not in (3, 50))),
    ],
)
def test_git_applies_it(before: str, after: str, tmp_path: Path) -> None:
    file = tmp_path / "a file.txt"
    file.write_bytes(before.encode())
    diff = unified_diff(before, after, "a file.txt")
    subprocess.run(["git", "apply", "-"], input=diff.encode(), cwd=tmp_path, check=True, capture_output=True)
    assert file.read_bytes().decode() == after


def test_a_file_of_two_thousand_lines_that_changes_in_one_has_a_short_diff() -> None:
    rows = [f"row {i}\n" for i in range(2000)]
    changed = [*rows[:1000], "other\n", *rows[1001:]]
    assert len(unified_diff("".join(rows), "".join(changed), "a").splitlines()) == 2 + 1 + 3 + 2 + 3


@given(texts)
def test_lines_end_as_the_protocol_says(text: str) -> None:
    lines = split_lines(text)
    assert "".join(lines) == text
    assert all(line.endswith(("\n", "\r")) for line in lines[:-1])
    assert all(not set("\r\n") & set(line.rstrip("\r\n")) for line in lines)


@given(texts, st.data())
def test_offsets_and_positions_are_each_other_undone(text: str, data: st.DataObject) -> None:
    lines = Lines(text)
    offset = data.draw(st.integers(0, len(text)))
    if text[offset - 1 : offset + 1] == "\r\n":
        offset -= 1  # between CR and LF there is no place
    assert lines.offset(lines.position(offset)) == offset


def test_a_place_beyond_a_line_is_its_end_and_beyond_the_text_the_texts() -> None:
    lines = Lines("ab\r\nc\n")
    assert lines.offset(Position(0, 99)) == 2
    assert lines.offset(Position(1, 1)) == 5
    assert lines.offset(Position(2, 5)) == 6
    assert lines.offset(Position(9, 0)) == 6
    assert len(lines) == 3


def test_the_usual_line_end_is_the_most_frequent_one() -> None:
    assert line_end("a\r\nb\r\nc\n") == "\r\n"
    assert line_end("a\rb\r") == "\r"
    assert line_end("a") == "\n"
