"""Vetoes: differences between two prompts that change the answer, whatever a vector says about them."""

from __future__ import annotations

from beastmode.cache import guard_words as words
from beastmode.cache.guard_align import Alignment, align, turned_lead
from beastmode.cache.guard_text import Analysis, Token, analyse

__all__ = ["Alignment", "Analysis", "Token", "align", "analyse", "difference", "veto", "veto_aligned", "veto_analysed"]

_BY_KIND = {
    "number": "number",
    "literal": "quoted",
    "name": "identifier",
    "path": "path",
    "flag": "flag",
    "url": "url",
    "sign": "sign",
    "not": "negation",
    "link": "and_or",
}
_DECISIVE = frozenset(
    (
        "language",
        "library",
        "database",
        "system",
        "format",
        "unit",
        "quantifier",
        "comparison",
        "time",
        "question",
        "output_format",
        "natural_language",
    )
)
LIGHT = frozenset(("all", "and"))
"""Words that may stand or be missing: the verifier weighs them."""


def veto(a: str, b: str) -> str | None:
    """Names the guard that forbids to answer one prompt with the other's answer.

    Args:
        a: One prompt.
        b: The other.

    Returns:
        None where no guard objects, which is no proof that both want the same.
    """
    return veto_analysed(analyse(a), analyse(b))


def veto_analysed(a: Analysis, b: Analysis) -> str | None:
    """Is `veto` for prompts taken apart before.

    Args:
        a: One prompt.
        b: The other.
    """
    if a.code != b.code:
        return "code_block"
    return veto_aligned(a, b, align(a, b))


def veto_aligned(a: Analysis, b: Analysis, alignment: Alignment) -> str | None:
    """Is `veto` for prompts laid side by side before.

    Args:
        a: One prompt.
        b: The other.
        alignment: Both.
    """
    if a.code != b.code:
        return "code_block"
    if a.languages != b.languages:
        return "language"
    if alignment.moved:
        return "order"
    for x, y in alignment.swaps:
        if found := _swapped(x, y):
            return found
    for token in (*alignment.only_a, *alignment.only_b):
        if found := _alone(token):
            return found
    if any(turned_lead(x, y) for x, y in alignment.leads):
        return "order"
    return None


def _swapped(a: Token, b: Token) -> str | None:
    if words.is_opposite(a.key, b.key):
        return "opposite"
    for token in (a, b):
        if token.kind in _BY_KIND:
            return _BY_KIND[token.kind]
    for token in (a, b):
        if token.kind in _DECISIVE:
            return token.kind
    return "type" if "type" in (a.kind, b.kind) else None


def _alone(token: Token) -> str | None:
    if token.key in LIGHT:
        return None
    return _BY_KIND.get(token.kind) or (token.kind if token.kind in _DECISIVE else None)


def difference(a: str, b: str) -> list[tuple[str, str]]:
    """Says which words differ, for a person: pairs (in a, in b), empty where one has no partner.

    Args:
        a: One prompt.
        b: The other.
    """
    one, other = analyse(a), analyse(b)
    found = align(one, other)
    pairs = [(x.text, y.text) for x, y, how in found.pairs if how == "close"]
    pairs += [(x.text, y.text) for x, y in found.swaps]
    pairs += [(x.text, "") for x in found.only_a] + [("", y.text) for y in found.only_b]
    pairs += [(" ".join((*x.leads, x.text)), " ".join((*y.leads, y.text))) for x, y in found.leads]
    if one.languages != other.languages:
        pairs.append((" ".join(sorted(one.languages)), " ".join(sorted(other.languages))))
    return pairs
