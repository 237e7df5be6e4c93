"""Cuts a text into the word pieces of BERT's uncased vocabulary, with the standard library alone.

It does what the library `tokenizers` does with `BertNormalizer`, `BertPreTokenizer` and `WordPiece`: clean, part
Chinese signs, strip accents, fold case, split at blank space and punctuation, take the longest piece that is known.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

WORD_MAX_CHARS = 100
_ASCII_WORD = re.compile(r"[a-z0-9]+|[!-/:-@\[-`{-~]")
_ASCII_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_DROPPED = frozenset(("Cc", "Cf", "Co", "Cs"))  # not Cn: what this Python does not know yet may be a letter
_CHINESE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class WordPiece:
    """A vocabulary, and how texts are cut by it.

    Args:
        vocabulary: One piece a line; its number is that of the line, from 0.

    Raises:
        OSError: The file can not be read.
        ValueError: It is no vocabulary of BERT.
    """

    def __init__(self, vocabulary: Path) -> None:
        with vocabulary.open(encoding="utf-8") as lines:
            self._numbers = {line.rstrip("\n"): number for number, line in enumerate(lines)}
        missing = [mark for mark in ("[CLS]", "[SEP]", "[UNK]") if mark not in self._numbers]
        if missing:
            raise ValueError(f"{vocabulary} lacks {', '.join(missing)}")
        self._longest = max(map(len, self._numbers))
        self.first, self.last = self._numbers["[CLS]"], self._numbers["[SEP]"]

    def cut(self, text: str, max_pieces: int) -> list[str] | None:
        """Cuts a text.

        Args:
            text: Any text.
            max_pieces: Most pieces it may have.

        Returns:
            The pieces, `##` before one that continues a word, `[UNK]` for a word that can not be made of pieces; None
            where there are too many.
        """
        pieces: list[str] = []
        for word in split_words(text):
            pieces += self._pieces(word)
            if len(pieces) > max_pieces:
                return None
        return pieces

    def numbers(self, pieces: Iterable[str]) -> list[int]:
        """The numbers of pieces, between the marks for begin and end.

        Args:
            pieces: As `cut` gave them.
        """
        return [self.first, *(self._numbers[piece] for piece in pieces), self.last]

    def _pieces(self, word: str) -> list[str]:
        if word in self._numbers:
            return [word]
        if len(word) > WORD_MAX_CHARS:
            return ["[UNK]"]
        pieces, start = [], 0
        while start < len(word):
            piece = self._longest_piece(word, start)
            if piece is None:
                return ["[UNK]"]
            pieces.append(piece)
            start += len(piece) - (2 if start else 0)
        return pieces

    def _longest_piece(self, word: str, start: int) -> str | None:
        prefix = "##" if start else ""
        for end in range(min(len(word), start + self._longest), start, -1):
            piece = prefix + word[start:end]
            if piece in self._numbers:
                return piece
        return None


def split_words(text: str) -> Iterable[str]:
    """Splits a text into words and punctuation, in small letters without accents.

    Args:
        text: Any text.
    """
    if text.isascii():
        return _ASCII_WORD.findall(_ASCII_CONTROL.sub("", text).lower())
    plain = unicodedata.normalize("NFD", _cleaned(text))
    plain = "".join(char for char in plain if unicodedata.category(char) != "Mn")
    return _split(plain.replace("\N{GREEK CAPITAL LETTER SIGMA}", "\N{GREEK SMALL LETTER SIGMA}").lower())


def _cleaned(text: str) -> str:
    """Drops control characters, makes blank space plain, and puts it around Chinese signs."""
    kept = []
    for char in text:
        kind = unicodedata.category(char)
        if char in "\t\n\r" or kind[0] == "Z":
            kept.append(" ")
        elif kind not in _DROPPED and char != "\N{REPLACEMENT CHARACTER}":
            kept.append(f" {char} " if _is_chinese(ord(char)) else char)
    return "".join(kept)


def _is_chinese(code: int) -> bool:
    return code >= 0x3400 and any(low <= code <= high for low, high in _CHINESE)


def _split(text: str) -> Iterator[str]:
    for run in text.split():
        start = 0
        for at, char in enumerate(run):
            if _is_punctuation(char):
                if at > start:
                    yield run[start:at]
                yield char
                start = at + 1
        if start < len(run):
            yield run[start:]


def _is_punctuation(char: str) -> bool:
    code = ord(char)
    if code < 128:
        return 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return unicodedata.category(char)[0] == "P"
