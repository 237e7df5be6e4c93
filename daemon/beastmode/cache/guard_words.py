"""What single words mean to the guards: endings cut, spellings and slips undone, synonyms and opposites known."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib import resources
from typing import Any

LEXICON_FILE = "guard_lexicon.toml"
VOCABULARY_FILE = "vocabulary.txt"

_DENYING = ("un", "in", "im", "ir", "il", "non", "dis", "de", "anti", "mis", "a")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"
_SLIP_LETTERS = 5
_MEANT_LETTERS = 6
_LONGEST = 20


@cache
def lexicon() -> dict[str, Any]:
    """Returns the word lists that are shipped; read once, since every prompt needs them."""
    text = resources.files("beastmode.cache").joinpath(LEXICON_FILE).read_text(encoding="utf-8")
    return tomllib.loads(text)


@cache
def words_of(table: str) -> frozenset[str]:
    """Returns a list of the lexicon as a set.

    Args:
        table: `dropped`, `negations` or `leads`.
    """
    return frozenset(lexicon()[table].split())


def _entries(table: str) -> Iterator[list[str]]:
    """Yields the entries of a list, each as its words; lines and bars part them."""
    for entry in re.split(r"\n|\|", lexicon()[table]):
        if words := entry.split():
            yield words


@cache
def _irregular() -> dict[str, str]:
    return {word: entry[0] for entry in _entries("irregular") for word in entry}


@cache
def degrees() -> dict[str, str]:
    """Returns what comparatives and superlatives are forms of."""
    return {word: entry[0] for entry in _entries("degrees") for word in entry}


@cache
def vocabulary() -> frozenset[str]:
    """Returns common English words of three letters and more, and every word of the lexicon."""
    text = resources.files("beastmode.cache").joinpath(VOCABULARY_FILE).read_text(encoding="ascii")
    return frozenset(text.split()) | words_of_this_trade()


@cache
def words_of_this_trade() -> frozenset[str]:
    """Returns every word of the lexicon."""
    lists = lexicon()
    known = [words for words in lists.values() if isinstance(words, str)]
    known += [" ".join(lists["phrases"]), " ".join(lists["spellings"]), *lists["kinds"].values()]
    return frozenset(" ".join(known).split())


@lru_cache(maxsize=65536)
def lemma(word: str) -> str:
    """Cuts a word's ending, so that `sorts`, `sorted` and `sorting` are one.

    Args:
        word: One word, lower case.
    """
    if word in _irregular():
        return _irregular()[word]
    spellings = lexicon()["spellings"]
    if word in spellings:
        return lemma(spellings[word])
    if len(word) < 4 or not word.isalpha():
        return word
    stem = _cut(word)
    for form in (stem, stem + "e"):
        if form in spellings:
            return lemma(spellings[form])
    return _irregular().get(stem) or _bare(stem)


def _cut(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    for ending in ("ing", "ed"):
        stem = word[: -len(ending)]
        if word.endswith(ending) and len(stem) > 2 and re.search("[aeiouy]", stem):
            return _whole(stem)
    return word


def _whole(stem: str) -> str:
    """Undoes what an ending did to a verb: `swapp` is `swap`, `rat` is `rate`."""
    if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "lsz":
        return stem[:-1]
    if re.fullmatch("[^aeiou][aeiou][^aeiouwxy]", stem):
        return stem + "e"
    return stem


def _bare(word: str) -> str:
    """Strips a last `e`, which some forms of a word have and others have lost."""
    return word[:-1] if len(word) > 4 and word[-1] == "e" and word[-2] != "e" else word


@lru_cache(maxsize=65536)
def corrected(word: str) -> str:
    """Undoes a slip of the finger: an unknown word that is one letter away from one known word, or one of this trade.

    Short words and first letters are left alone: there, too many words are one letter from another.

    Args:
        word: One word, lower case.
    """
    if not _SLIP_LETTERS <= len(word) <= _LONGEST or not (word.isascii() and word.isalpha()) or is_known(word):
        return word
    found = {near for near in _one_away(word) if len(near) >= _MEANT_LETTERS and near in vocabulary()}
    for near in (found, found & words_of_this_trade()):
        if len({lemma(each) for each in near}) == 1:
            return max(near)
    return word


def is_slip(word: str, meant: str) -> bool:
    """Tells whether one word is another one with a slip of the finger inside it; `meant` alone is a known word.

    Two texts show what was meant where one text alone leaves a choice: `directry` is `directory` or `directly`.

    Args:
        word: What may be misspelt, as it stands there: any capital makes it a name.
        meant: What it may be, lower case.
    """
    if not _SLIP_LETTERS <= len(word) <= _LONGEST or not (word.isascii() and word.isalpha() and word.islower()):
        return False
    if abs(len(word) - len(meant)) > 1 or word[0] != meant[0] or word[-1] != meant[-1]:
        return False
    return not is_known(word) and is_known(meant) and meant in _one_away(word)


@lru_cache(maxsize=65536)
def is_known(word: str) -> bool:
    """Tells whether a word, or what it is a form of, is in any list.

    Args:
        word: One word, lower case.
    """
    stem = _cut(word)
    return any(form in vocabulary() for form in (word, word.removesuffix("es"), stem, _bare(stem), stem + "e"))


def _one_away(word: str) -> Iterator[str]:
    """Yields what one lost, doubled, wrong or turned letter makes of a word (Damerau)."""
    for place in range(1, len(word) + 1):
        head, tail = word[:place], word[place:]
        if tail:
            yield head + tail[1:]
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
        for letter in _ALPHABET:
            yield head + letter + tail
            if tail:
                yield head + letter + tail[1:]


@cache
def _groups() -> dict[str, str]:
    """Returns the name of each word's group of words that mean the same, by lemma."""
    return {lemma(word): lemma(entry[0]) for entry in _entries("same") for word in entry}


@lru_cache(maxsize=65536)
def concept(word: str) -> str:
    """Names what a word stands for: its group, else its lemma; `#2`, `x2` or digits for a numeral.

    Args:
        word: One word, lower case.
    """
    numerals: dict[str, str] = lexicon()["numerals"]
    if word in numerals:
        return numerals[word]
    base = lemma(word)
    return _groups().get(base, base)


@cache
def close_pairs() -> frozenset[frozenset[str]]:
    """Returns pairs of concepts that often stand for each other."""
    return _pairs("close")


@cache
def opposite_pairs() -> frozenset[frozenset[str]]:
    """Returns pairs of concepts that turn a request around."""
    return _pairs("opposites")


def _pairs(table: str) -> frozenset[frozenset[str]]:
    both = {frozenset((concept(a), concept(b))) for a, b in _entries(table)}
    return frozenset(pair for pair in both if len(pair) == 2)


@cache
def _kinds() -> dict[str, str]:
    found: dict[str, str] = {}
    for kind, text in lexicon()["kinds"].items():
        for word in text.split():
            found.setdefault(word, kind)
            if lemma(word) not in _groups():
                found.setdefault(lemma(word), kind)
    return found


def kind_of(word: str) -> str:
    """Names the kind of a word that decides an answer, such as `language` or `unit`; `word` for any other.

    Args:
        word: One word, lower case.
    """
    return _kinds().get(word) or _kinds().get(lemma(word), "word")


def is_opposite(a: str, b: str) -> bool:
    """Tells whether two concepts are opposites, by the list or by a part that denies.

    Args:
        a: A concept.
        b: Another.
    """
    if frozenset((a, b)) in opposite_pairs():
        return True
    short, long = sorted((a, b), key=len)
    if len(short) < 3 or len(long) == len(short):
        return False
    denied = {part + short for part in _DENYING} | {f"{part}-{short}" for part in _DENYING}
    return long in denied or long in (short + "less", short + "free")
