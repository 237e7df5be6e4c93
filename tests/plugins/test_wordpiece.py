"""Word pieces: cut as the model was trained to read them. The golden cases are what `tokenizers` says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beastmode_plugins.minilm import VOCABULARY
from beastmode_plugins.wordpiece import WordPiece, split_words
from support.minilm import minilm_dir

__all__ = ["minilm_dir"]  # a fixture

GOLDEN = [
    ("", []),
    ("How do I sort?", ["how", "do", "i", "sort", "?"]),
    ("unaffable tokenization", ["una", "##ffa", "##ble", "token", "##ization"]),
    ("naïve CAFÉ", ["naive", "cafe"]),
    ("e\u0301tude", ["et", "##ude"]),
    ("x_1==-2.5e3;", ["x", "_", "1", "=", "=", "-", "2", ".", "5", "##e", "##3", ";"]),
    ("tab\tand\nline\r\nend", ["tab", "and", "line", "end"]),
    ("con\x00trol\x07 \x1bchars", ["control", "char", "##s"]),
    ("zero\u200bwidth", ["zero", "##wi", "##dt", "##h"]),
    ("non\u00a0breaking\u3000space", ["non", "breaking", "space"]),
    ("日本語abc", ["日", "本", "語", "abc"]),
    ("ΔΩΣ", ["δ", "##ω", "##\u03c3"]),
    (
        "don\u2019t \u2014 \u201cquote\u201d\u2026",
        ["don", "\u2019", "t", "\u2014", "\u201c", "quote", "\u201d", "\u2026"],
    ),
    ("🦁", ["[UNK]"]),
    ("x" * 100, None),
    ("x" * 101, ["[UNK]"]),
    ("lone \ud800 surrogate", ["lone", "sur", "##rogate"]),
    ("replaced \ufffd sign", ["replaced", "sign"]),
]


@pytest.fixture(scope="module")
def words(minilm_dir: Path) -> WordPiece:
    return WordPiece(minilm_dir / "minilm" / VOCABULARY)


@pytest.fixture
def small(tmp_path: Path) -> WordPiece:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(["[UNK]", "[CLS]", "[SEP]", "a", "ab", "##c", "##bc", "?"]) + "\n")
    return WordPiece(path)


@pytest.mark.parametrize(("text", "pieces"), GOLDEN)
def test_texts_are_cut_as_the_model_learned_them(words: WordPiece, text: str, pieces: list[str] | None) -> None:
    found = words.cut(text, 1000)
    assert found is not None
    if pieces is None:
        assert "[UNK]" not in found
    else:
        assert found == pieces


def test_the_longest_piece_wins(small: WordPiece) -> None:
    assert small.cut("abc a? abcc", 10) == ["ab", "##c", "a", "?", "ab", "##c", "##c"]


def test_a_word_with_an_unknown_rest_is_unknown_as_a_whole(small: WordPiece) -> None:
    assert small.cut("abx a", 10) == ["[UNK]", "a"]


def test_the_numbers_are_lines_of_the_vocabulary_between_the_marks(small: WordPiece) -> None:
    assert small.numbers(["ab", "##c", "[UNK]"]) == [1, 4, 5, 0, 2]


def test_a_text_with_too_many_pieces_is_none(small: WordPiece) -> None:
    assert small.cut("a a a", 3) == ["a", "a", "a"]
    assert small.cut("a a a", 2) is None


def test_what_is_no_vocabulary_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("a\nb\n")
    with pytest.raises(ValueError, match=r"\[CLS\], \[SEP\], \[UNK\]"):
        WordPiece(path)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(), max_size=40))
def test_pieces_put_together_are_the_words_of_the_text(words: WordPiece, text: str) -> None:
    pieces = words.cut(text, 1000)
    assert pieces is not None
    joined = "".join(piece.removeprefix("##") if piece != "[UNK]" else "\0" for piece in pieces)
    expected = list(split_words(text))
    assert len(joined) <= len("".join(expected)) + pieces.count("[UNK]")
    if "[UNK]" not in pieces:
        assert joined == "".join(expected)


@settings(deadline=None, max_examples=100)
@given(st.text(st.characters(max_codepoint=127), max_size=40))
def test_ascii_is_split_as_any_other_text(text: str) -> None:
    assert list(split_words(text)) == [word for word in split_words(text + " ß") if word != "ß"]
