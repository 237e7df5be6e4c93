"""What the verifier looks at: how far two prompts laid side by side differ, as numbers, and which prompts it may judge."""

from __future__ import annotations

import re

from beastmode.cache import guard_words as words
from beastmode.cache.guard import LIGHT
from beastmode.cache.guard_align import CLOSE, FORM, TYPO, Alignment, turned_lead
from beastmode.cache.guard_text import Analysis, Token, analyse

NAMES = (
    "distance",
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
    "far_pieces",
)
"""Each of them says: the larger, the less likely do both want the same."""

LEAST_TOKENS = 2
LEAST_LETTERS = 8

_BARE = re.compile(
    r"""(?:please|ok|okay|yes|yeah|yep|no|nope|sure|thanks|thank\ you|and|now|so|then|but|just|hi|hello|hey|go|do|try|continue|next
    |more|again|stop|why|how|what|ahead|on|it|this|that|these|those|them|one|same|fix|explain|improve|refactor|rewrite
    |shorten|shorter|longer|better|faster|simpler|finish|resume|proceed|keep|going|go\ on|me|i|you|is|are|to|the|a
    |code|error|bug|test|tests|work|works|make|show|add|remove|review|summari[sz]e|translate|test|run|else|good|great
    |correct|right|wrong|another|other|last|previous|first|second|line|answer|response|above|below|up|with|for|of|your
    |my|here|can|could|would|does|did|n't|not|doesn't|don't|help|undo|retry|repeat|elaborate|clarify|expand|detail|details|\W)+""",
    re.X | re.I,
)
_POINTING = re.compile(
    r"""^\W*(?:(?:please|can\ you|could\ you|now|and|then|but)\W+)*(?:fix|explain|improve|refactor|rewrite|optimi[sz]e
    |shorten|translate|summari[sz]e|convert|change|test|review|check|debug|do|try|run|format|document|simplify|clean|make|finish
    |continue|repeat|undo|revert|move|rename|use|add|remove|delete|update|replace)\W+(?:up\W+)?
    (?:it|this|that|these|those|them|the\ (?:above|previous|last|same|code|function|error|bug|file|test|tests|answer))\b
    |\b(?:as\ (?:above|before)|the\ above|above\ (?:code|function|text|error)|previous\ (?:answer|response|message|reply)|you\ (?:just\ )?(?:said|wrote|gave|suggested|mentioned)
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


def features(alignment: Alignment, a: Analysis, b: Analysis, similarity: float, far: float = 0.0) -> list[float]:
    """Measures how far two prompts differ.

    Args:
        alignment: Both, laid side by side.
        a: One.
        b: The other.
        similarity: Cosine of their vectors.
        far: How far the least alike piece of either text is from all pieces of the other (0 to 1); 0 where unknown.

    Returns:
        A number for each of `NAMES`.
    """
    hows = [how for _, _, how in alignment.pairs]
    swaps = [pair for pair in alignment.swaps if not _decisive(*pair)]
    lone = [token for token in (*alignment.only_a, *alignment.only_b) if token.kind == "word"]
    light = [token for token in (*alignment.only_a, *alignment.only_b) if token.key in LIGHT]
    heavy = [token for token in lone if token.key not in LIGHT]
    all_lone = len(alignment.only_a) + len(alignment.only_b)
    decisive = len(alignment.swaps) - len(swaps) + all_lone - len({id(token) for token in (*light, *heavy)})
    decisive += (a.languages != b.languages) + (a.code != b.code)
    turned = sum(turned_lead(x, y) for x, y in alignment.leads)
    total = len(a.tokens) + len(b.tokens)
    return [
        1.0 - similarity,
        float(len(swaps)),
        float(len(heavy)),
        float(len(light)),
        float(decisive),
        float(len(alignment.moved)),
        float(hows.count(CLOSE)),
        float(hows.count(FORM)),
        float(hows.count(TYPO)),
        float(len(alignment.leads) - turned),
        float(turned),
        float(alignment.turned),
        (2 * len(swaps) + len(heavy) + 0.5 * hows.count(CLOSE)) / max(total, 1),
        far,
    ]


def _decisive(a: Token, b: Token) -> bool:
    return a.kind != "word" or b.kind != "word" or words.is_opposite(a.key, b.key)
