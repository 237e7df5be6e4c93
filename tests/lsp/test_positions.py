"""Positions: exact in every encoding, whatever stands in the text, and clamped as the protocol says."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode_lsp.positions import (
    Point,
    Span,
    character_of,
    clamp,
    column_of,
    content_length,
    end_of,
    moved_by,
    point_of,
    replace,
    split_lines,
    text_in,
    units,
)

ENCODINGS = ("utf-8", "utf-16", "utf-32")
CODECS = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}
PIECES = [
    "a", "z9", "\t", " ", "é", "e\u0301", "ñ", "ß", "漢字", "😋", "👩‍👩‍👧", "🇨🇭",
    "\u200d", "\ufe0f", "\u2028", "\x0c", "\x85", "\x0b",
    "\n", "\r\n", "\r", "\n\n", "\r\r\n",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


def a_text(chance: random.Random, pieces: int) -> str:
    return "".join(chance.choice(PIECES) for _ in range(pieces))


def slow_lines(text: str) -> list[str]:
    """Cuts at LF, CR LF and CR, one character after the other."""
    lines, line = [], ""
    for index, one in enumerate(text):
        line += one
        if one == "\n" or (one == "\r" and text[index + 1 : index + 2] != "\n"):
            lines.append(line)
            line = ""
    return [*lines, line]


def places(text: str) -> list[tuple[int, Point]]:
    """Every place of a text that is not within a line's end: its offset and its point."""
    found, offset = [], 0
    for number, line in enumerate(slow_lines(text)):
        found += [(offset + column, Point(number, column)) for column in range(content_length(line) + 1)]
        offset += len(line)
    return found


def test_ten_thousand_random_positions_are_exact_in_all_three_encodings() -> None:
    chance = random.Random(6)
    checked = 0
    while checked < 10_000:
        text = a_text(chance, 60)
        lines = split_lines(text)
        for offset, point in chance.sample(spots := places(text), min(40, len(spots))):
            before = text[:offset][len("".join(lines[: point.line])) :]
            for encoding in ENCODINGS:
                codec, width = CODECS[encoding]
                character = len(before.encode(codec)) // width
                assert character_of(lines, point, encoding) == character
                assert point_of(lines, point.line, character, encoding) == point
            checked += 1


@given(texts)
def test_lines_end_where_the_protocol_says_and_nowhere_else(text: str) -> None:
    assert split_lines(text) == slow_lines(text)


@given(texts, st.sampled_from(ENCODINGS), st.integers(0, 40), st.integers(0, 80))
def test_a_position_beyond_the_text_is_at_the_end_of_its_line_or_of_the_text(
    text: str, encoding: str, line: int, character: int
) -> None:
    lines = split_lines(text)
    point = point_of(lines, line, character, encoding)
    if line >= len(lines):
        assert point == end_of(lines)
    else:
        content = lines[line][: content_length(lines[line])]
        assert point.line == line
        assert point.column == len(content) or character_of(lines, point, encoding) <= character < units(
            content, encoding
        )


@pytest.mark.parametrize(("encoding", "closing"), [("utf-8", 7), ("utf-16", 5), ("utf-32", 4)])
def test_the_example_of_the_protocol(encoding: str, closing: int) -> None:
    assert column_of('x="😋"', closing, encoding) == 4


@pytest.mark.parametrize(("encoding", "inside"), [("utf-8", 1), ("utf-8", 2), ("utf-8", 3), ("utf-16", 1)])
def test_a_position_in_the_midst_of_a_character_is_at_its_start(encoding: str, inside: int) -> None:
    assert column_of("😋b", inside, encoding) == 0


def test_half_a_surrogate_pair_breaks_nothing() -> None:
    assert units("a\ud83d", "utf-16") == 2
    assert column_of("a\ud83db", 2, "utf-16") == 2
    assert column_of("a\ud83db", 4, "utf-8") == 2


@given(texts, texts, st.randoms(use_true_random=False))
def test_a_replacement_is_what_it_is_in_the_plain_text(text: str, new: str, chance: random.Random) -> None:
    (start, first), (end, last) = sorted(chance.choices(places(text), k=2))
    lines = split_lines(text)
    assert text_in(lines, Span(first, last)) == text[start:end]
    replace(lines, Span(first, last), new)
    assert lines == slow_lines(text[:start] + new + text[end:])


@given(texts, texts)
def test_the_place_behind_an_inserted_text(text: str, new: str) -> None:
    whole = text + "x" + new
    assert moved_by(end_of(split_lines(text + "x")), new) == end_of(split_lines(whole))


@given(texts, st.integers(0, 50), st.integers(0, 50))
def test_a_clamped_place_is_in_the_text(text: str, line: int, column: int) -> None:
    lines = split_lines(text)
    found = clamp(lines, Point(line, column))
    assert found in [point for _, point in places(text)]
    assert clamp(lines, found) == found
