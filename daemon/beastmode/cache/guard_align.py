"""Lays two prompts side by side: which words are the same, which stand for each other, which have no partner."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from beastmode.cache import guard_words as words
from beastmode.cache.guard_text import Analysis, Token

SAME, FORM, CLOSE, TYPO = "same", "form", "close", "typo"
_LEADS = {
    lead: name
    for name, line in {
        "in": "in inside within at on of for across through as like around",
        "below": "under below beneath",
        "above": "over above",
        "to": "to into onto toward towards",
        "with": "with using via use used have having has had",
    }.items()
    for lead in line.split()
}
_FREE = frozenset(("in", "with", "by", "to", "from", "about"))
"""Prepositions that may change, or be missing, without a change of the answer: the verifier counts them."""


class Alignment(NamedTuple):
    """Two prompts side by side.

    Attributes:
        pairs: Tokens that stand for each other: (a, b, how), how being `same`, `form`, `close` or `typo`.
        swaps: Tokens in the same place that do not stand for each other.
        only_a: Tokens of the first prompt without a partner.
        only_b: Tokens of the second.
        moved: Tokens that both have, in another order.
        turned: `list of tuples` and `tuple list`: pairs of words that stand the other way round, which is harmless.
        leads: Pairs whose prepositions differ: (word, leads in a, leads in b).
    """

    pairs: tuple[tuple[Token, Token, str], ...]
    swaps: tuple[tuple[Token, Token], ...]
    only_a: tuple[Token, ...]
    only_b: tuple[Token, ...]
    moved: tuple[Token, ...]
    turned: int
    leads: tuple[tuple[Token, Token], ...]


def align(a: Analysis, b: Analysis) -> Alignment:
    """Lays two prompts side by side.

    Args:
        a: One.
        b: The other.
    """
    first, second = list(a.tokens), list(b.tokens)
    if _folded(a, b):
        first, second = _lower(first), _lower(second)
    first, second = _without_maker(first, second), _without_maker(second, first)
    first, second = _adjuncts_back(first, second)
    first, second, turned = _turned(first, second)
    matched, gaps = _walk(first, second)
    pairs = [(first[i], second[j], _how(first[i], second[j])) for i, j in matched]
    swaps: list[tuple[Token, Token]] = []
    only_a: list[Token] = []
    only_b: list[Token] = []
    for left, right in gaps:
        _fill(left, right, pairs, swaps, only_a, only_b)
    moved = (*_moved(swaps, only_a, only_b), *_crossed(pairs), *_moved_leads(pairs))
    leads = tuple((x, y) for x, y, _ in pairs if _lead_names(x) != _lead_names(y))
    return Alignment(tuple(pairs), tuple(swaps), tuple(only_a), tuple(only_b), moved, turned, leads)


def _folded(a: Analysis, b: Analysis) -> bool:
    """Tells whether one text is the kind that is typed without any capital, so that its case says nothing."""
    if a.folded == b.folded:
        return False
    capital = b if a.folded else a
    return capital.text.lstrip()[:1].isupper() and not capital.question


def _lower(tokens: list[Token]) -> list[Token]:
    return [token._replace(key=token.key.lower()) for token in tokens]


def _without_maker(one: list[Token], other: list[Token]) -> list[Token]:
    """Drops the first word of `write a function` where the other text just says `a function`."""
    if len(one) > 2 and other and one[0].key == words.concept("create") and one[1].key == other[0].key:
        return one[1:]
    return one


def _adjuncts_back(a: list[Token], b: list[Token]) -> tuple[list[Token], list[Token]]:
    """Puts `in the current folder, find x` back into `find x in the current folder`, where the other says it so."""
    if a and b and bool(a[0].leads) != bool(b[0].leads):
        return (_rotated(a, b), b) if a[0].leads else (a, _rotated(b, a))
    return a, b


def _rotated(one: list[Token], other: list[Token]) -> list[Token]:
    keys = [token.key for token in other]
    for length in range(1, min(5, len(one))):
        turned = one[length:] + one[:length]
        if (
            keys[-length:] == [token.key for token in turned[-length:]]
            and other[-length].leads
            and not one[length].leads
        ):
            return turned
    return one


def _turned(a: list[Token], b: list[Token]) -> tuple[list[Token], list[Token], int]:
    """Turns `X of Y` in one text to `Y X` where the other says it so."""
    count = 0
    for one, other in ((a, b), (b, a)):
        followers = {(x.key, y.key) for x, y in pairwise(other) if not y.leads}
        for place in range(len(one) - 1):
            x, y = one[place], one[place + 1]
            if y.leads == ("of",) and (y.key, x.key) in followers and (x.key, y.key) not in followers:
                one[place], one[place + 1] = y._replace(leads=x.leads), x._replace(leads=())
                count += 1
    return a, b, count


def _walk(a: list[Token], b: list[Token]) -> tuple[list[tuple[int, int]], list[tuple[list[Token], list[Token]]]]:
    """Finds the longest run of tokens with equal keys, in order, and what lies between."""
    start = 0
    while start < min(len(a), len(b)) and a[start].key == b[start].key:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end].key == b[-1 - end].key:
        end += 1
    middle = _longest(a[start : len(a) - end], b[start : len(b) - end])
    matched = [(i, i) for i in range(start)] + [(i + start, j + start) for i, j in middle]
    matched += [(len(a) - n, len(b) - n) for n in range(end, 0, -1)]
    gaps = []
    last_i, last_j = 0, 0
    for i, j in [*matched, (len(a), len(b))]:
        if i > last_i or j > last_j:
            gaps.append((a[last_i:i], b[last_j:j]))
        last_i, last_j = i + 1, j + 1
    return matched, gaps


def _longest(a: list[Token], b: list[Token]) -> list[tuple[int, int]]:
    """Longest common subsequence of keys (dynamic programming); empty for texts too long to compare."""
    if not a or not b or len(a) * len(b) > 10_000:
        return []
    rows = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a) - 1, -1, -1):
        row, below, key = rows[i], rows[i + 1], a[i].key
        for j in range(len(b) - 1, -1, -1):
            row[j] = below[j + 1] + 1 if key == b[j].key else max(below[j], row[j + 1])
    found, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        if a[i].key == b[j].key:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif rows[i + 1][j] >= rows[i][j + 1]:
            i += 1
        else:
            j += 1
    return found


def _how(a: Token, b: Token) -> str:
    one, other = a.text.lower(), b.text.lower()
    if one == other:
        return SAME
    return TYPO if words.corrected(one) != one or words.corrected(other) != other else FORM


def _fill(
    left: list[Token],
    right: list[Token],
    pairs: list[tuple[Token, Token, str]],
    swaps: list[tuple[Token, Token]],
    only_a: list[Token],
    only_b: list[Token],
) -> None:
    """Pairs what lies between two matches: words that may stand for each other first, then what shares a place."""
    rest = list(right)
    unpaired = []
    for x in left:
        how, y = next(((how, y) for y in rest if (how := stands_for(x, y))), ("", None))
        if y is None:
            unpaired.append(x)
        else:
            rest.remove(y)
            pairs.append((x, y, how))
    same = min(len(unpaired), len(rest))
    if len(unpaired) == len(rest):
        swaps += zip(unpaired, rest, strict=True)
        return
    pairable = [(x, y) for x in unpaired for y in rest if x.kind == y.kind != "word" or words.is_opposite(x.key, y.key)]
    for x, y in pairable[:same]:
        if x in unpaired and y in rest:
            swaps.append((x, y))
            unpaired.remove(x)
            rest.remove(y)
    only_a += unpaired
    only_b += rest


def stands_for(a: Token, b: Token) -> str:
    """Says how one word may stand for another: `form`, `close`, `typo`, or not at all (empty).

    Args:
        a: A token.
        b: Another, with another key.
    """
    if a.kind in _FIXED or b.kind in _FIXED:
        return ""
    if words.is_opposite(a.key, b.key):
        return ""
    if words.is_slip(a.text, b.text.lower()) or words.is_slip(b.text, a.text.lower()):
        return TYPO
    degree = words.degrees().get(a.text.lower()), words.degrees().get(b.text.lower())
    if degree[0] and degree[0] == degree[1]:
        return FORM
    if frozenset((a.key, b.key)) in words.close_pairs():
        return CLOSE
    if a.kind == b.kind == "word" and same_family(a.key, b.key):
        return FORM
    return ""


_FIXED = frozenset(("number", "literal", "name", "path", "flag", "url", "sign", "not", "link", "slash"))
_DERIVED = (
    "ion",
    "ation",
    "ition",
    "er",
    "or",
    "ing",
    "ment",
    "ly",
    "al",
    "ical",
    "ity",
    "ance",
    "ence",
    "e",
    "ed",
    "ic",
)


def same_family(a: str, b: str) -> bool:
    """Tells whether two words are one in another form: convert and conversion, numeric and numerical.

    Args:
        a: A concept.
        b: Another.
    """
    short, long = sorted((a, b), key=len)
    stem = short.rstrip("e")
    if len(stem) < 4 or not long.startswith(stem[:-1]):
        return False
    return any(long in (stem + ending, stem[:-1] + ending) for ending in _DERIVED)


def _moved(swaps: list[tuple[Token, Token]], only_a: list[Token], only_b: list[Token]) -> tuple[Token, ...]:
    """Finds tokens that both texts have, in another order."""
    left = [x for x, _ in swaps] + only_a
    right = [y.key for _, y in swaps] + [y.key for y in only_b]
    found = []
    for x in left:
        if x.key in right:
            right.remove(x.key)
            found.append(x)
    return tuple(found)


def _crossed(pairs: list[tuple[Token, Token, str]]) -> list[Token]:
    """Finds words that stand for each other and changed places: `folders ... directories` the other way round.

    Where all that differs is the place of the same words, forms of one word count too: `file ... files`.
    """
    changed = [(x, x.text.lower(), y.text.lower()) for x, y, how in pairs if how != SAME]
    if len(changed) < 2:
        return []
    if sorted(" ".join(x for _, x, _ in changed).split()) == sorted(" ".join(y for _, _, y in changed).split()):
        return [x for x, _, _ in changed]
    others = {(one, other) for _, one, other in changed}
    return [x for x, one, other in changed if (other, one) in others and words.lemma(one) != words.lemma(other)]


def _moved_leads(pairs: list[tuple[Token, Token, str]]) -> list[Token]:
    """Finds words that lost a preposition which another word got: `exists within x` and `within exists x`."""
    gone: set[str] = set()
    come: set[str] = set()
    for x, y, _ in pairs:
        if x.leads != y.leads:
            one, other = ({_LEADS.get(lead, lead) for lead in token.leads} for token in (x, y))
            gone |= one - other
            come |= other - one
    names = gone & come
    return [x for x, y, _ in pairs if names and x.leads != y.leads]


def _lead_names(token: Token) -> frozenset[str]:
    """Names a word's prepositions; below a folder is in it, below a number is not."""
    names = {_LEADS.get(lead, lead) for lead in token.leads}
    if "below" in names and token.kind != "number":
        names.remove("below")
    return frozenset(names - {"in"})


def turned_lead(a: Token, b: Token) -> bool:
    """Tells whether a word plays another part: `from x` in one text, `to x` in the other.

    Args:
        a: A token of the first text.
        b: Its partner.
    """
    one, other = _lead_names(a), _lead_names(b)
    if (one ^ other) - _FREE:
        return True
    ends = {"from", "to"}
    return bool(one & ends and other & ends) and one & ends != other & ends
