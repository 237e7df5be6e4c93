"""What the verifier looks at: how far two prompts laid side by side differ, and which prompts may be judged at all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from beastmode.cache import guard_words as words
from beastmode.cache.guard import LIGHT
from beastmode.cache.guard_align import CLOSE, FORM, TYPO, Alignment, turned_lead
from beastmode.cache.guard_text import Analysis, Token, analyse

if TYPE_CHECKING:
    from beastmode.core.plugins import Embedding

NAMES = (
    "distance",
    "unexplained",
    "swapped_words",
    "lone_words",
    "light_words",
    "decisive",
    "moved",
    "close_words",
    "forms",
    "typos",
    "leads",
    "turned_leads",
    "turned_pairs",
    "share",
    "far_words",
)
"""Each of them says: the larger, the less likely do both want the same."""

LEAST_TOKENS = 2
LEAST_LETTERS = 8

_BARE_WORDS = """
please ok okay yes yeah yep no nope sure thanks thank and now so then but just hi hello hey go do try continue next
more again stop why how what ahead on it this that these those them one same fix explain improve refactor rewrite
shorten shorter longer better faster simpler finish resume proceed keep going me i you is are to the a code error
bug test tests work works make show add remove review summarize summarise translate run else good great correct
right wrong another other last previous first second line answer response above below up with for of your my here
can could would does did not help undo retry repeat elaborate clarify expand detail details we need want
"""
_CHANGES = """
fix explain improve refactor rewrite optimize optimise shorten translate summarize summarise convert change test review
check debug do try run format document simplify clean make finish continue repeat undo revert move rename use add remove
delete update replace
"""
_BARE = re.compile(r"(?:\b(?:" + "|".join(_BARE_WORDS.split()) + r")\b|n't|\W)+", re.I)
_POINTING = re.compile(
    r"^\W*(?:(?:please|can\ you|could\ you|now|and|then|but)\W+)*(?:" + "|".join(_CHANGES.split()) + r")\W+(?:up\W+)?"
    r"""(?:it|this|that|these|those|them
    |the\ (?:above|previous)
    |the\ (?:same|last|code|function|error|bug|file|tests?|answer)(?=\W*$|\W+(?:and|so|please|again|now)\b))\b
    |\b(?:this|these|that)\ (?:function|code|class|method|file|error|bug|test|script|query|snippet|line|selection)s?\W*$
    |\b(?:as\ (?:above|before)|the\ above|above\ (?:code|function|text|error)
    |previous\ (?:answer|response|message|reply)|you\ (?:just\ )?(?:said|wrote|gave|suggested|mentioned)
    |your\ (?:last|previous)|last\ (?:answer|response|message)|earlier\ (?:answer|code|message)|like\ before)\b""",
    re.X | re.I,
)


def eligible(text: str) -> str | None:
    """Says why a prompt is never matched by meaning.

    Args:
        text: The prompt.

    Returns:
        None where it may be matched. Its length in word pieces is checked by the embedder.
    """
    if not text.strip():
        return "empty"
    if _BARE.fullmatch(text):
        return "says too little by itself"
    if "```" not in text and _POINTING.search(text):
        return "points to something that was said before"
    found = analyse(text)
    letters = sum(len(token.key) for token in found.tokens) + sum(map(len, found.code))
    if len(found.tokens) + len(found.code) < LEAST_TOKENS or letters < LEAST_LETTERS:
        return "too short"
    return None


def features(
    alignment: Alignment, a: Analysis, b: Analysis, similarity: float, far: float | None = None
) -> list[float]:
    """Measures how far two prompts differ.

    Args:
        alignment: Both, laid side by side.
        a: One.
        b: The other.
        similarity: Cosine of their vectors.
        far: How far swapped words are from each other in their contexts, on average; None where that is not known.

    Returns:
        A number for each of `NAMES`.
    """
    hows = [how for _, _, how in alignment.pairs]
    lone = [token for token in (*alignment.only_a, *alignment.only_b) if token.key not in LIGHT]
    light = len(alignment.only_a) + len(alignment.only_b) - len(lone)
    swaps = alignment.swaps
    decisive = sum(_decisive(*pair) for pair in swaps) + sum(token.kind != "word" for token in lone)
    decisive += (a.languages != b.languages) + (a.code != b.code)
    turned = sum(turned_lead(x, y) for x, y in alignment.leads)
    unexplained = bool(swaps or lone or decisive or turned or alignment.moved)
    total = len(a.tokens) + len(b.tokens)
    return [
        1.0 - similarity,
        float(unexplained),
        float(len(swaps)),
        float(len(lone)),
        float(light),
        float(decisive),
        float(len(alignment.moved)),
        float(hows.count(CLOSE)),
        float(hows.count(FORM)),
        float(hows.count(TYPO)),
        float(len(alignment.leads) - turned),
        float(turned),
        float(alignment.turned),
        (2 * len(swaps) + len(lone) + 0.5 * hows.count(CLOSE)) / max(total, 1),
        _far(far, unexplained, bool(lone or alignment.moved)),
    ]


def _far(far: float | None, unexplained: bool, beyond_swaps: bool) -> float:
    """Where more than swapped words differs, or nobody looked, what differs counts as far."""
    if beyond_swaps or (unexplained and far is None):
        return 1.0
    return far or 0.0


def far_words(alignment: Alignment, a: Embedding | None, b: Embedding | None) -> float | None:
    """Measures how far words that share a place are from each other, each in its context.

    The vectors of a word's pieces come from the same pass as the vector of the text, as in BERTScore (Zhang et al.,
    2020). Opposites are alike in their contexts too, hence it comes after the guards and says little alone.

    Args:
        alignment: Both texts, laid side by side.
        a: What the embedder made of one text.
        b: The same of the other.

    Returns:
        The mean of 1 - cosine over swapped words, 1 for a word that is not found; None where a side is not known.
    """
    if a is None or b is None or a.token_vectors is None or b.token_vectors is None:
        return None
    found = []
    for x, y in alignment.swaps:
        one, other = _in_context(x.text, a), _in_context(y.text, b)
        found.append(1.0 if one is None or other is None else max(0.0, 1.0 - _cosine(one, other)))
    return sum(found) / len(found) if found else 0.0


def _in_context(text: str, embedding: Embedding) -> Any:
    """Finds the mean vector of the pieces that spell a word, at its first place; None where they do not."""
    word, pieces = text.lower(), embedding.pieces
    for start, piece in enumerate(pieces):
        spelt, end = "", start
        while len(spelt) < len(word) and end < len(pieces) and word.startswith(spelt):
            spelt += pieces[end].removeprefix("##")
            end += 1
        if spelt == word and not piece.startswith("##") and embedding.token_vectors is not None:
            return embedding.token_vectors[start:end].astype("float32").mean(axis=0)
    return None


def _cosine(one: Any, other: Any) -> float:
    lengths: float = float(one @ one) ** 0.5 * float(other @ other) ** 0.5
    return float(one @ other) / max(1e-9, lengths)


def _decisive(a: Token, b: Token) -> bool:
    return a.kind != "word" or b.kind != "word" or words.is_opposite(a.key, b.key)
