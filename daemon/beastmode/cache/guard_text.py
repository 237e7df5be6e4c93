"""What one prompt says, taken apart: words with their meaning, literals, numbers, code, and the language asked for."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import NamedTuple

from beastmode.cache import guard_words as words

_CODE = re.compile(r"```(.*?)(?:```|\Z)", re.S)
_ATOM = re.compile(
    r"""
    (?P<quoted>"[^"\n]*"|`[^`'\n]*[`']|(?<![\w'])'[^'\n]*'(?!\w))
    |(?P<url>\b[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>)]+)
    |(?P<mail>\b[\w.+-]+@[\w-]+\.[\w.-]+\b)
    |(?P<named>\b(?i:c\+\+|c\#|f\#|objective-c|and/or|regex(?:es|p)?)(?![\w+#]))
    |(?P<number>(?<![\w.$/])[-+]?(?:0[xX][0-9a-fA-F]+|\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)*(?:[eE][-+]?\d+)?)(?![\w]*[/_]|\.\w)
        (?:\s?%|(?P<unit>[a-zA-Z]+\b)|(?!\w)))
    |(?P<path>[^\s"'`,;()?!/\\~*$]{0,64}[/\\~*$][^\s"'`,;()?!]*[^\s"'`,;()?!.:]|[/~*$])
    |(?P<flag>(?<![\w-])--?[A-Za-z][\w-]*(?:=\S+)?)
    |(?P<name>[A-Za-z_]\w*\(\)|\b\w+(?:_\w+)+\b|\b_\w+\b|\b[A-Za-z]\w*(?:\.[A-Za-z_][\w]*)+\b|(?<![\w.])\.[A-Za-z]\w*\b
        |\b[a-z]+[A-Z]\w*\b|\b[A-Z][a-z]+[A-Z]\w*\b|\b[A-Za-z]+\d\w*\b|\b\d+\w*[A-Za-z]\w*\b)
    |(?P<word>[^\W\d_]+(?:'[^\W\d_]+)?)
    |(?P<comparison>[<>]=?|[=!]=|=|≤|≥|≠)
    |(?P<marked>!(?=\w)|\?(?=[\w*]|\.\w)|(?<=[\w)]\ )-(?=\ ?[\w(])|(?<=\b\w)-(?=\w\b)|(?<=[\[\d]):|:(?=[\d\]]))
    |(?P<sign>[-+*^|&%\#@:;.,?!(){}\[\]/\\-])
    """,
    re.X,
)
_ENDING = re.compile(r"\.[A-Za-z]\w{0,4}")
_SLASHED = re.compile(r"[A-Za-z]{2,}(?:/[A-Za-z]{2,})+")
_NOT = re.compile(r"\b(ca|wo|do|does|did|is|are|was|were|have|has|had|could|should|would|must)n't\b", re.I)
_VERSION = re.compile(r"\bpython\s*([23])(?![\d.])", re.I)
_QUOTES = str.maketrans(
    {"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-", "\u00a0": " "}
)
_SIGNS = frozenset("+^|&%#@")
_LETTERS = frozenset(("c", "r", "go", "d"))
"""Languages whose names are words or variables where they have no capital."""

_AFTER_VARIABLES = frozenset(
    (
        "and",
        "or",
        "from",
        "to",
        "by",
        "with",
        "is",
        "in",
        "into",
        "than",
        "times",
        "plus",
        "minus",
        "equals",
        "for",
        "not",
    )
)
_UNITS = {"s": "second", "h": "hour", "d": "day"}
_PLACES = {"~": "homedir", "$HOME": "homedir", "${HOME}": "homedir", ".": "curdir"}
_MAKERS = frozenset(("function", "program", "code", "command", "class", "query", "test", "solution", "snippet"))


class Token(NamedTuple):
    """One thing that a prompt says.

    Attributes:
        text: As it stands there.
        key: What it stands for; two tokens with one key mean the same.
        kind: `word`, `number`, `literal`, `name`, `path`, `flag`, `url`, `sign`, `not`, `link` (and, or), or the
            kind of a word that decides an answer, such as `language` or `unit`.
        leads: Prepositions between this token and the one before it.
    """

    text: str
    key: str
    kind: str
    leads: tuple[str, ...] = ()


class Analysis(NamedTuple):
    """What `analyse` finds in a prompt.

    Attributes:
        text: The prompt.
        tokens: What it says, in order, without politeness and without words that carry nothing.
        languages: Programming languages that the answer shall be written in.
        code: Its code blocks, blank space at line ends stripped.
        question: Whether it opens as a question or wish instead of a command.
        folded: Whether it has no capital letter.
    """

    text: str
    tokens: tuple[Token, ...]
    languages: frozenset[str]
    code: tuple[str, ...]
    question: bool
    folded: bool


def analyse(text: str) -> Analysis:
    """Takes a prompt apart; done once for each text.

    Args:
        text: The prompt, any text.
    """
    plain = unicodedata.normalize("NFC", text).translate(_QUOTES)
    code = tuple(_stripped(block) for block in _CODE.findall(plain))
    prose = _CODE.sub(" ", plain).strip()
    body = _without_closing(_without_opening(prose))
    tokens = list(_tokens(_NOT.sub(_spelt_out, _VERSION.sub(r"python\1", body))))
    languages = _take_language(tokens)
    return Analysis(text, tuple(tokens), languages, code, body != prose, plain == plain.lower())


@cache
def _opening() -> re.Pattern[str]:
    return re.compile("(?:" + "|".join(words.lexicon()["openings"]) + ")", re.I)


@cache
def _closing() -> re.Pattern[str]:
    return re.compile("(?:" + "|".join(words.lexicon()["closings"]) + r")\s*[.!?]*\s*\Z", re.I)


def _stripped(block: str) -> str:
    return "\n".join(line.rstrip() for line in block.strip("\n").splitlines())


def _without_opening(text: str) -> str:
    while (found := _opening().match(text)) and found.end() < len(text):
        text = text[found.end() :].lstrip(" ,:")
    return text


def _without_closing(text: str) -> str:
    while found := _closing().search(text):
        if not found.start():
            break
        text = text[: found.start()]
    return text


def _spelt_out(found: re.Match[str]) -> str:
    verb = found[1].lower()
    return {"ca": "can", "wo": "will"}.get(verb, verb) + " not"


def _tokens(text: str) -> list[Token]:
    """Joins phrases, drops what carries nothing and gives each token its prepositions."""
    raw = _joined(_raw(text))
    found: list[Token] = []
    leads: list[str] = []
    for position, token in enumerate(raw):
        if token.kind != "word":
            found.append(token._replace(leads=tuple(leads)))
            leads.clear()
        elif _is_variable(raw, position):
            found.append(Token(token.text, token.key, "name", tuple(leads)))
            leads.clear()
        elif token.key in words.words_of("leads") and position + 1 < len(raw):
            leads.append(token.key)
        elif token.key not in words.words_of("dropped"):
            found.append(_known(token, tuple(leads)))
            leads.clear()
    if {"from", "to", "into", "above", "over", "against"} & set(leads):
        found.append(Token(raw[-1].text, "it", "word", tuple(leads)))
    return _without_doubles(found)


def _is_variable(raw: list[Token], position: int) -> bool:
    """Tells `a` in `subtract a from b`, and `i` in `i and j`, from the article and the person."""
    if raw[position].text not in ("a", "i"):
        return False
    if position + 1 == len(raw):
        return True
    after = raw[position + 1]
    if after.kind in ("sign", "comparison", "number"):
        return after.kind != "number" or raw[position].text == "i"
    return after.key in _AFTER_VARIABLES


def _without_doubles(tokens: list[Token]) -> list[Token]:
    """Makes `normal/regular` one word: both sides of its stroke mean the same."""
    found: list[Token] = []
    for token in tokens:
        slash = len(found) > 1 and found[-1].kind == "slash" and found[-2].key == token.key
        if slash and words.lemma(found[-2].text.lower()) != words.lemma(token.text.lower()):
            found.pop()
        else:
            found.append(token)
    return found


def _known(token: Token, leads: tuple[str, ...]) -> Token:
    """Finds what a word stands for."""
    word = token.key
    if word in ("and", "or", "and/or"):
        return Token(token.text, word, "link", leads)
    if word in words.words_of("negations"):
        return Token(token.text, "!" if word in ("not", "non") else word, "not", leads)
    if word in words.lexicon()["numerals"]:
        return Token(token.text, words.concept(word), "number", leads)
    if word in _LETTERS and not token.text[0].isupper():
        return Token(token.text, word, "name" if len(word) == 1 else "word", leads)
    key, kind = words.concept(word), words.kind_of(word)
    return Token(token.text, key, "name" if len(key) == 1 and kind == "word" else kind, leads)


def _raw(text: str) -> list[Token]:
    """Cuts a text into words (key in lower case), literals, numbers and signs."""
    found: list[Token] = []
    for match in _ATOM.finditer(text):
        kind = match.lastgroup or "word"
        if kind == "unit":
            kind = "number"
        found += _CUTS.get(kind, _cut_name)(match)
    return found


def _cut_word(match: re.Match[str]) -> list[Token]:
    text = match[0]
    low = text.lower().removesuffix("'s")
    plain = low.replace("'", "")
    named = match.start() > 0 and text[0].isupper()
    return [Token(text, plain if named else words.corrected(plain), "word")]


def _cut_quoted(match: re.Match[str]) -> list[Token]:
    return [Token(match[0], _place(match[0][1:-1].strip()), "literal")]


def _cut_number(match: re.Match[str]) -> list[Token]:
    text = match[0]
    unit = match["unit"] or ("percent" if text.endswith("%") else "")
    figure = text.removesuffix("%").strip().removesuffix(match["unit"] or "").replace(",", "").lstrip("+")
    if unit.lower() in ("st", "nd", "rd", "th"):
        return [Token(text, "#" + figure, "number")]
    if "." in figure and figure.count(".") == 1:
        figure = figure.rstrip("0").rstrip(".")
    tokens = [Token(text, figure, "number")]
    return [*tokens, Token(unit, words.concept(_UNITS.get(unit, unit.lower())), "unit")] if unit else tokens


def _cut_path(match: re.Match[str]) -> list[Token]:
    text = match[0]
    if _SLASHED.fullmatch(text):
        parts = text.lower().split("/")
        return [token for part in parts for token in (Token("/", "or/", "slash"), Token(part, part, "word"))][1:]
    return [Token(text, _place(text), "path")]


def _place(text: str) -> str:
    """Writes a path as one would: no stroke at its end, `*.txt` for `.txt`."""
    key = text.rstrip("/") if len(text) > 1 and text.endswith("/") else text
    return "*" + key if _ENDING.fullmatch(key) else _PLACES.get(key, key)


def _cut_comparison(match: re.Match[str]) -> list[Token]:
    names = {"<": "less_than", ">": "more_than", "<=": "at_most", ">=": "at_least", "≤": "at_most", "≥": "at_least"}
    return [Token(match[0], names.get(match[0], match[0]), "comparison")]


def _cut_sign(match: re.Match[str]) -> list[Token]:
    if match[0] == "&":
        return [Token("&", "and", "word")]
    if match[0] == "-":
        return [Token("-", "-", "hyphen")]
    return [Token(match[0], match[0], "sign")] if match[0] in _SIGNS else []


def _cut_marked(match: re.Match[str]) -> list[Token]:
    around = match.string[max(0, match.start() - 3) : match.end() + 3]
    if match[0] == "-" and re.search(r"\w\w - ?\w\w", around):
        return [Token("-", "-", "hyphen")]
    return [Token(match[0], match[0], "sign")]


def _cut_named(match: re.Match[str]) -> list[Token]:
    return [Token(match[0], match[0].lower(), "word")]


def _cut_url(match: re.Match[str]) -> list[Token]:
    return [Token(match[0], match[0].rstrip(".,;:/"), "url")]


def _cut_flag(match: re.Match[str]) -> list[Token]:
    return [Token(match[0], match[0], "flag")]


def _cut_name(match: re.Match[str]) -> list[Token]:
    if words.kind_of(match[0].lower()) != "word":
        return [Token(match[0], match[0].lower(), "word")]
    return [Token(match[0], _place(match[0]), "name")]


_CUTS = {
    "word": _cut_word,
    "quoted": _cut_quoted,
    "number": _cut_number,
    "path": _cut_path,
    "comparison": _cut_comparison,
    "sign": _cut_sign,
    "named": _cut_named,
    "url": _cut_url,
    "mail": _cut_url,
    "flag": _cut_flag,
    "marked": _cut_marked,
}


@cache
def _phrases() -> dict[str, list[tuple[list[str], str]]]:
    """Returns phrases by their first word, longest first."""
    found: dict[str, list[tuple[list[str], str]]] = {}
    for phrase, name in sorted(words.lexicon()["phrases"].items(), key=lambda item: -len(item[0].split())):
        parts = phrase.split()
        found.setdefault(words.lemma(parts[0]), []).append((parts, name))
    return found


def _is_phrase(keys: list[str], parts: list[str]) -> bool:
    """Knows a phrase in each form of its words; `log in` is not `logs in`."""
    if keys == parts or parts[-1] == "in":
        return keys == parts
    small = words.words_of("leads") | words.words_of("dropped")
    pairs = [(key, part) for key, part in zip(keys, parts, strict=True) if key != part]
    if any(key in small or part in small or part.endswith("ing") for key, part in pairs):
        return False
    return all(words.lemma(key) == words.lemma(part) for key, part in pairs)


def _joined(raw: list[Token]) -> list[Token]:
    """Makes one token of words that count as one, and of words that a hyphen joins where they are known as such."""
    found: list[Token] = []
    position = 0
    flat = [token for token in raw if token.kind != "hyphen"]
    while position < len(flat):
        token = flat[position]
        parts, name = _phrase_at(flat, position)
        if not parts:
            found.append(token)
        elif name:
            text = " ".join(each.text for each in flat[position : position + parts])
            found += [Token(text, word, "word") for word in name.split()]
        position += parts or 1
    return found


def _phrase_at(flat: list[Token], position: int) -> tuple[int, str]:
    token = flat[position]
    if token.kind != "word":
        return 0, ""
    for parts, name in _phrases().get(words.lemma(token.key), ()):
        window = flat[position : position + len(parts)]
        fits = len(window) == len(parts) and all(each.kind == "word" for each in window)
        if fits and _is_phrase([each.key for each in window], parts):
            return len(parts), name
    return 0, ""


def _take_language(tokens: list[Token]) -> frozenset[str]:
    """Takes the one language that the answer shall be written in out of the words, since its place says nothing."""
    places = [position for position, token in enumerate(tokens) if token.kind == "language"]
    if len(places) != 1:
        return frozenset()
    place = places[0]
    token = tokens[place]
    after = tokens[place + 1].key if place + 1 < len(tokens) else ""
    if not (after in _MAKERS or set(token.leads) & {"in", "using", "with"}):
        return frozenset()
    del tokens[place]
    if place < len(tokens) and not set(token.leads) & {"in", "using", "with"}:
        tokens[place] = tokens[place]._replace(leads=token.leads + tokens[place].leads)
    return frozenset((token.key,))
