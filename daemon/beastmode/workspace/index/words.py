"""The words of code: whole identifiers and their parts, what is prose and what is code, and the words of a question."""

from __future__ import annotations

import functools
import re

VERSION = 1
"""Raised when other words come out of the same text: what was written before is written again."""

_WORD = re.compile(r"[^\W\d]\w*|\d+")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")
_PROSE = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"""|\'\'\'.*?\'\'\'|/\*.*?\*/|(?:(?<=\s)|^)(?:#|//|--)[^\n]*', re.S | re.M
)
_LONGEST = 64
_LONGEST_NAME = 120

STOP_WORDS = frozenset(
    """a about above after again all also although always am an and any are as at back be because been before being
    below between both but by came can cannot come could did do does doing done down during each either else etc even
    every few for from further get gets give given gives go goes going got had has have having he hence her here him his
    how however i if in instead into is it its itself just let like may me might more most much must my need needs no
    nor not now of off often on once one only onto or other otherwise our out over own per please rather really same
    see shall she should show since so some still such take takes than that the their them then there therefore these
    they this those though through thus to together too two under until up upon us use used uses using very via want
    was way we well were what when where whether which while who whom whose why will with within without would yes yet
    you your code""".split()  # noqa: SIM905 - a page of words reads better than a list
)


@functools.lru_cache(1 << 16)
def parts(word: str) -> tuple[str, ...]:
    """An identifier in small letters, then its parts where it has several: `HTTPCache_get` → httpcache_get, http, ...

    Args:
        word: An identifier or a word of prose.
    """
    whole = word.strip("_").lower()[:_LONGEST]
    found = [part.lower() for part in _PART.findall(word) if len(part) <= _LONGEST]
    if not whole:
        return ()
    return (whole,) if len(found) < 2 else (whole, *found)


def words(text: str) -> list[str]:
    """All words of a text, with the parts of its identifiers.

    Args:
        text: Code or prose.
    """
    return [part for word in _WORD.findall(text) for part in parts(word)]


def prose_and_code(text: str) -> tuple[str, str]:
    """Comments and docstrings of a piece of code, and the rest of it.

    Args:
        text: The piece.
    """
    prose = " ".join(_PROSE.findall(text))
    return prose, _PROSE.sub(" ", text) if prose else text


def terms(question: str, most: int = 48) -> list[str]:
    """The words of a question that say something, each once, in order.

    Args:
        question: As a person wrote it.
        most: How many at most.
    """
    found = dict.fromkeys(word for word in words(question) if len(word) > 1 and word not in STOP_WORDS)
    return list(found)[:most] or list(dict.fromkeys(words(question)))[:most]


def identifiers(question: str) -> list[str]:
    """What in a question looks like a name from the code, such as `get_user`, `UserCache`, `app.run()` or `` `open` ``.

    Args:
        question: As a person wrote it.
    """
    found: dict[str, None] = {}
    for quoted in re.findall(r"`([^`\n]{1,120})`", question):
        found.update(dict.fromkeys(re.findall(r"[^\W\d][\w.]*\w|[^\W\d]", quoted)))
    for name in re.findall(r"\b[^\W\d][\w.]*\w", question):
        if len(name) > _LONGEST_NAME:
            continue
        inner = name.lstrip("_")
        if "_" in inner or re.search(r"[a-z\d][A-Z]|[A-Z]{2,}[a-z]", name) or re.search(r"\w\.[^\W\d]", name):
            found[name] = None
    for name in re.findall(r"\b([^\W\d]\w*)\(", question):
        found[name] = None
    return list(found)[:32]
