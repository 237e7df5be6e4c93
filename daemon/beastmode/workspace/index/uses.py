"""What the pieces that fit a question use: it is defined elsewhere, and often it is what the question is about."""

from __future__ import annotations

import re
from collections import defaultdict

from beastmode.workspace.index.ranking import Evidence, kind_of_path
from beastmode.workspace.index.reading import Reader

USERS = 40
"""Pieces that are read for the names they use."""
FILES = 3
"""A name that more files define says nothing."""
NAMES = 1500

_NAME = re.compile(r"[^\W\d]\w{2,}")
_WORD = re.compile(r"[^\W\d_]{2,}")
_COMMENT = ("#", "//", "--", "/*", "*", ";", "%", "<!--", ".. ")
_LEAST_WORDS = 3


def add_uses(evidence: Evidence, reader: Reader) -> None:
    """Finds what the best pieces so far use, and where it is defined. Blocks.

    Args:
        evidence: What was found; `used` and the defining pieces are added.
        reader: The catalogue.
    """
    users = _best(evidence)
    used: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for number, text in reader.texts(list(users)).items():
        for name in sorted(set(_NAME.findall(text))):
            used[name].append((evidence.pieces[number].path, users[number] ** 2))
    heard = sorted(used, key=lambda name: (-sum(weight for _, weight in used[name]), name))[:NAMES]
    votes: dict[int, float] = defaultdict(float)
    for name, definers in reader.definers(heard, 2 * FILES).items():
        source = [piece for piece in definers if not kind_of_path(piece.path)]
        files = {piece.path for piece in source}
        if not 0 < len(files) <= FILES:
            continue
        for piece in source:
            weight = sum(weight for path, weight in used[name] if path != piece.path)
            if weight:
                evidence.pieces.setdefault(piece.id, piece)
                votes[piece.id] += weight / len(source)
    evidence.used = dict(votes)


def _best(evidence: Evidence) -> dict[int, float]:
    """The pieces of source that fit best by words and meaning, from 0 to 1."""
    scores: dict[int, float] = defaultdict(float)
    for found in (evidence.words, evidence.meaning):
        best = max(found.values(), default=0.0)
        for number, score in found.items() if best > 0 else ():
            scores[number] += 0.5 * max(score, 0.0) / best
    source = [number for number in scores if not kind_of_path(evidence.pieces[number].path)]
    return {number: scores[number] for number in sorted(source, key=lambda one: (-scores[one], one))[:USERS]}


def says_nothing(text: str) -> bool:
    """Says whether a piece is no use to a person: a line between parts, a lone comment, a word or two.

    Args:
        text: Of the piece.
    """
    rows = [row for row in text.split("\n") if row.strip()]
    if len(rows) == 1 and rows[0].lstrip().startswith(_COMMENT):
        return True
    return len(set(_WORD.findall(text))) < _LEAST_WORDS
