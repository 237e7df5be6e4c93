"""What is written on at the cursor fits the gap: no fence, nothing repeated; what is shown around it is bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode.workspace.completing import PREFIX_MAX_CHARS, STEP_CHARS, SUFFIX_MAX_CHARS, fitting, gap_of, hint

ADD = "def add(a, b):\n    return "


@pytest.mark.parametrize(
    ("text", "prefix", "suffix", "wanted"),
    [
        ("a + b", ADD, "\n", "a + b"),
        ("```python\na + b\n```", ADD, "\n", "a + b"),
        ("```\n    return a + b\n```\n", ADD, "\n", "a + b"),
        ("return a + b", ADD, "", "a + b"),
        (f"{ADD}a + b", ADD, "", "a + b"),
        (f"import os\n\n{ADD}a + b", f"import os\n\n{ADD}", "", "a + b"),
        ("a + b\n", ADD, "\n\nprint(1)\n", "a + b"),
        ("a + b\n\nprint(1)\n", ADD, "\n\nprint(1)\n", "a + b"),
        ("a, b)", "print(", ")\n", "a, b"),
        ("str(a)", "print(", ")\n", "str(a)"),
        ("str(a))", "print(", ")\n", "str(a)"),
        ("<before_the_gap>x = 1", "", "", "x = 1"),
        ("x = 1\n</before_the_gap>", "", "", "x = 1\n"),
        ("aha", "a", "", "aha"),
        ("", ADD, "", ""),
        ("a + b\nprint(1)\nprint(2)\n", ADD, "\nprint(1)\n", "a + b"),
        ("x += 1\n", "x += 1\n", "", "x += 1\n"),
    ],
)
def test_what_fits_the_gap_is_left(text: str, prefix: str, suffix: str, wanted: str) -> None:
    assert fitting(text, prefix, suffix) == wanted


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_whatever_a_model_says_a_piece_of_it_is_what_comes_of_it(text: str, prefix: str, suffix: str) -> None:
    assert (
        fitting(text, prefix, suffix) in text.replace("\r\n", "\n").replace("\r", "\n")
        or fitting(text, prefix, suffix) in text
    )


def test_what_is_shown_is_bounded_and_cut_at_lines() -> None:
    rows = "".join(f"row {i}\n" for i in range(5000))
    prefix, suffix = gap_of(rows + "x = ", rows)
    assert PREFIX_MAX_CHARS - STEP_CHARS - 20 < len(prefix) <= PREFIX_MAX_CHARS
    assert prefix.startswith("row ") and prefix.endswith("\nx = ")
    assert len(suffix) <= SUFFIX_MAX_CHARS and suffix.endswith("\n")


def test_a_long_prefix_begins_at_the_same_place_while_a_person_types() -> None:
    rows = "".join(f"row {i}\n" for i in range(5000))
    starts = {gap_of(rows + "x" * typed, "")[0][:20] for typed in range(200)}
    assert len(starts) <= 2


def test_one_endless_line_is_cut_somewhere() -> None:
    prefix, suffix = gap_of("x" * 50_000, "y" * 50_000)
    assert 0 < len(prefix) <= PREFIX_MAX_CHARS
    assert 0 < len(suffix) <= SUFFIX_MAX_CHARS


def test_a_model_that_chats_is_told_the_file() -> None:
    assert hint("src/a.py", None) == "It is of the file src/a.py, in Python."
    assert hint("", "rust") == "It is Rust."
    assert hint("", None) == ""
