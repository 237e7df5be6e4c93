"""Pairs of prompts drawn from the development clusters: kinds of near-duplicates and rewrites that no file holds.

Each generator takes a base text and a random source and returns another text, or None where the kind does not fit.
`ADVERSARIAL` change the answer, `HARMLESS` keep it. They measure what the guards and the verifier do with kinds nobody
listed for them, so no list of `beastmode.cache.guard_words` is used here.
"""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

Generator = Callable[[str, random.Random], str | None]


class Pair(NamedTuple):
    a: str
    b: str
    label: int
    kind: str


def parts(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split("|")]


def swap_words(pairs: str) -> Generator:
    """Replaces one word by another of the list: `old:new` (and back)."""
    table = [(old, new) for old, _, new in (pair.partition(":") for pair in parts(pairs))]
    table += [(new, old) for old, new in table]

    def generate(text: str, draw: random.Random) -> str | None:
        fits = [(old, new) for old, new in table if re.search(rf"\b{re.escape(old)}\b", text, re.I)]
        if not fits:
            return None
        old, new = draw.choice(fits)
        return re.sub(rf"\b{re.escape(old)}\b", new, text, count=1, flags=re.I)

    return generate


def append(phrases: str) -> Generator:
    """Adds a demand at the end."""

    def generate(text: str, draw: random.Random) -> str | None:
        return text.rstrip(" .?") + " " + draw.choice(parts(phrases)).strip()

    return generate


def two_appended(*groups: Sequence[str]) -> Generator:
    """Is for both sides: the base gets one demand, the other text its sibling (marked by a tab)."""

    def generate(text: str, draw: random.Random) -> str | None:
        first, second = draw.sample(list(draw.choice(groups)), 2)
        stem = text.rstrip(" .?")
        return f"{stem} {first}\t{stem} {second}"

    return generate


def opened(openings: str) -> Generator:
    """Asks for something else about the same matter."""

    def generate(text: str, draw: random.Random) -> str | None:
        first = text.split(" ", 1)
        if len(first) < 2 or first[0].lower() not in ("write", "find", "create", "print", "display", "list", "count"):
            return None
        return draw.choice(parts(openings)).format(rest=first[1], all=text[0].lower() + text[1:])

    return generate


STOP_WORDS = """
gives gave like both early a an the its these them those specified inside they their whose have has been which that
than of in on to for from with by and or is are be given function write python using if whether not at as it into
all any each every this under find
"""
STOP = set(STOP_WORDS.split())


def content(text: str) -> list[str]:
    return [word for word in re.findall(r"\b[a-z]{4,}\b", text) if word not in STOP]


def nouns_swapped(text: str, draw: random.Random) -> str | None:
    """Two words of the text change places."""
    found = list(dict.fromkeys(content(text)))
    if len(found) < 4:
        return None
    one, other = draw.sample(found[1:], 2)
    if one.rstrip("s") == other.rstrip("s"):
        return None
    return re.sub(rf"\b({one}|{other})\b", lambda match: other if match[0] == one else one, text)


def word_dropped(text: str, draw: random.Random) -> str | None:
    """A word that narrows the request is left out."""
    fits = re.findall(
        r"\b(?:sorted|unique|common|first|last|longest|smallest|largest|maximum|minimum|regular|hidden|empty|nested|"
        r"even|odd|consecutive|recursively|verbosely|only|positive|negative|different|distinct|lowercase|symbolic)\b ",
        text,
    )
    return text.replace(draw.choice(fits), "", 1) if fits else None


NARROWING = """
sorted unique hidden empty nested prime negative duplicate temporary executable recent large square rotated compressed
backup palindromic missing adjacent locked corrupt numeric mutable
"""


def word_added(text: str, draw: random.Random) -> str | None:
    """A word that narrows the request is put before a noun."""
    places = list(re.finditer(r"\b(?:files|directories|numbers|elements|strings|lines|words|list|array|tuple)\b", text))
    if not places:
        return None
    place = draw.choice(places)
    word = draw.choice(NARROWING.split())
    if word in text:
        return None
    return text[: place.start()] + word + " " + text[place.start() :]


class RandomWord:
    """One content word becomes another of the corpus, of the same ending: no list can know these."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.by_ending: dict[str, list[str]] = defaultdict(list)
        for word in sorted({word for text in texts for word in content(text)}):
            self.by_ending[self.ending(word)].append(word)

    def ending(self, word: str) -> str:
        return next((end for end in ("ing", "ed", "s", "er", "al", "ly") if word.endswith(end)), "")

    def __call__(self, text: str, draw: random.Random) -> str | None:
        found = content(text)
        if len(found) < 3:
            return None
        old = draw.choice(found[1:])
        new = draw.choice(self.by_ending[self.ending(old)])
        if new[:4] == old[:4] or new in text:
            return None
        return re.sub(rf"\b{old}\b", new, text, count=1)


def literal_bent(text: str, draw: random.Random) -> str | None:
    """One character inside a path, a quoted string or a file name changes."""
    pattern = r"""(?<!\w)(["'`])(?:(?!\1).)*\1(?!\w)|(?<![\w])[~.]?/[\w./*-]{3,}|\*\.\w+|\b\w+\.\w{2,4}\b"""
    fits = [match for match in re.finditer(pattern, text) if len(match[0]) > 3]
    if not fits:
        return None
    match = draw.choice(fits)
    places = [i for i in range(match.start(), match.end()) if text[i].isalnum()]
    if not places:
        return None
    place = draw.choice(places)
    new = draw.choice([c for c in "abcdefghijkmnopqrstuvwxyz" if c != text[place].lower()])
    return text[:place] + new + text[place + 1 :]


def literal_case(text: str, draw: random.Random) -> str | None:
    """The case of a path, a quoted string or a file name changes, and nothing else."""
    fits = list(re.finditer(r"""["'`]([A-Za-z][\w.]{2,})["'`]|(?<!\w)/([a-z]\w{2,})|\b([a-z]\w+)\.\w{2,3}\b""", text))
    if not fits:
        return None
    match = draw.choice(fits)
    index = next(i for i in (1, 2, 3) if match[i])
    word = match[index]
    new = word.upper() if word == word.lower() else word.lower()
    return text[: match.start(index)] + new + text[match.end(index) :]


def compared(text: str, draw: random.Random) -> str | None:
    """Both ends of a direction, or both sides of a comparison, change places."""
    if match := re.search(r"\bfrom (\S+) to (\S+)", text):
        return f"{text[: match.start()]}from {match[2]} to {match[1]}{text[match.end() :]}"
    match = re.search(r"\b(\w+) \w+ is (?:smaller|greater|larger|less) than .*?\b(\w+) \w+\b", text)
    if not match:
        return None
    turned = re.sub(rf"\b({match[1]}|{match[2]})\b", lambda m: match[2] if m[0] == match[1] else match[1], match[0])
    return text[: match.start()] + turned + text[match.end() :]


def parts_swapped(text: str, draw: random.Random) -> str | None:
    """`a and then b` becomes `b and then a`; `x of y` becomes `y of x`."""
    match = re.search(r"\b(\w{3,}s?) of (?:the |a |an )?(\w{3,})\b", text)
    if not match or match[1] == match[2] or match[1] in STOP | {"number", "list"} or match[2] in STOP:
        return None
    return f"{text[: match.start()]}{match[2]} of {match[1]}{text[match.end() :]}"


ADVERSARIAL: dict[str, Generator] = {
    "unit": swap_words(
        "MB:GB | KB:MB | days:weeks | minutes:hours | hours:seconds | bytes:bits | day:month | hour:minute"
    ),
    "comparator": swap_words(
        """more than:at least | less than:at most | greater than:equal to | at least:exactly | older than:as
        old as | newer than:not newer than | bigger than:as big as"""
    ),
    "attribute": swap_words(
        """name:size | size:owner | modified:accessed | length:index | index:value | permission:owner |
        names:sizes | permissions:timestamps | user:group | type:name | count:position | changed:created"""
    ),
    "action": swap_words(
        """find:count | print:delete | remove:rename | copy:compress | list:archive | sort:shuffle |
        check:ensure | count:remove | reverse:sort | extract:skip | search:replace | merge:compare |
        display:move | replace:highlight | multiply:compare | convert:append"""
    ),
    "sibling": swap_words(
        """hexagonal:octagonal | prime:perfect | palindrome:anagram | bubble:merge | heap:quick | cube:sphere |
        triangle:rectangle | cylinder:cone | fibonacci:lucas | catalan:bell | binary:hexadecimal |
        vowels:digits | spaces:tabs | characters:words | words:lines | integers:strings | lcm:gcd |
        perimeter:area | volume:mass | tuple:array | divisors:multiples | squares:cubes | month:weekday |
        python:perl | html:css | jpg:gif | owner:reader | string:sentence | matrix:vector | lambda:named"""
    ),
    "constraint": append(
        """without using loops | using recursion | in constant space | without importing anything | in one line
        | in linear time | without sorting | using only built-in functions | and handle empty input | using
        bit manipulation | iteratively | in place | with type hints | thread safely"""
    ),
    "constraint-sibling": two_appended(
        ("using a stack", "using a queue", "using recursion", "using a heap"),
        ("in linear time", "in quadratic time", "in constant space"),
        ("with a loop", "with a comprehension", "with a generator"),
    ),
    "output-format": append(
        """and return the result as JSON | and print a table | as CSV | as a bullet list | as XML | and answer
        with code only | and explain each step | with comments | sorted by name"""
    ),
    "language": append("in Java | in Rust | in JavaScript | in Go | in C++ | in Ruby | in PowerShell | in Perl"),
    "language-sibling": two_appended(
        ("in Java", "in Rust", "in Go", "in Kotlin", "in PHP"), ("using bash", "using zsh", "using fish")
    ),
    "library-sibling": two_appended(
        ("using pandas", "using numpy", "using polars"),
        ("with regex", "with itertools", "with lxml"),
        ("with find", "with fd", "with grep"),
    ),
    "natural-language": append("and answer in French | in German | and explain it in Spanish"),
    "task": opened(
        """Explain how to {all} | Write tests for: {all} | Why would I {all} | Review code to {all} | Debug
        code to {all} | What is the complexity to {all} | Compare ways to {all} | Give an example where it
        is wrong to {all}"""
    ),
    "scope": append(
        """except the first one | excluding hidden ones | only once | but skip duplicates | including
        subdirectories | for the current user only | on the remote host | and ignore errors | in reverse |
        case insensitively"""
    ),
    "condition": swap_words(
        """if:unless | when:unless | while:until | whose:without | which:if they | each:every second | all:half
        of | any:no | all:only some | every:every other | in:outside | under:next to"""
    ),
    "near": swap_words(
        """print:return | list:count | join:interleave | extract:remove | save:append | generate:validate |
        get:set | create:update | appear:vanish | rotate:shift | same:similar | larger:longer | tree:forest
        | copy:link | whole:half | sort:group | last:latest | largest:large | string:text | array:list |
        given:random"""
    ),
    "preposition": swap_words(
        "from:to | above:below | over:under | before:after | inside:outside | with:against | in:behind"
    ),
    "time": append("since yesterday | from last week | every hour | before noon | on weekdays | in 2019 | at midnight"),
    "version": two_appended(
        ("in Python 2", "in Python 3"), ("for Windows 10", "for Windows 11"), ("with Java 8", "with Java 17")
    ),
    "word-added": word_added,
    "word-dropped": word_dropped,
    "words-swapped": nouns_swapped,
    "direction": compared,
    "parts-swapped": parts_swapped,
    "literal-bent": literal_bent,
    "literal-case": literal_case,
}


def typo(text: str, draw: random.Random) -> str | None:
    """Two letters inside a long word of prose change places, or one is lost."""
    fits = list(re.finditer(r"(?<![\w/.'\"$-])[a-z]{6,}(?![\w/.'\"-])", text))
    if not fits:
        return None
    match = draw.choice(fits)
    word, place = match[0], draw.randrange(1, len(match[0]) - 2)
    if draw.random() < 0.5 and word[place] != word[place + 1]:
        new = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    else:
        new = word[:place] + word[place + 1 :]
    return text[: match.start()] + new + text[match.end() :]


def lowered(text: str, draw: random.Random) -> str | None:
    return text[0].lower() + text[1:] if text[0].isupper() else None


def adjunct_first(text: str, draw: random.Random) -> str | None:
    """`Find X under the current directory` becomes `Under the current directory, find X`."""
    match = re.fullmatch(r"(.{15,}) ((?:in|under|within) the (?:current|home) \w+(?: tree)?)\.?", text)
    return f"{match[2].capitalize()}, {match[1][0].lower()}{match[1][1:]}" if match else None


def prefixed(openings: str) -> Generator:
    def generate(text: str, draw: random.Random) -> str | None:
        return draw.choice(parts(openings)) + " " + text[0].lower() + text[1:].rstrip(".")

    return generate


HARMLESS: dict[str, Generator] = {
    "opening": prefixed(
        """Hi,  | Could you please  | I want to  | I'd like you to  | Help me  | Would you please  | Kindly  |
        Let's  | I'm trying to  | We need to  | Hello! Please"""
    ),
    "closing": append("thanks! | , thank you | for me please | - thanks in advance | if possible"),
    "spelling": swap_words(
        """center:centre | color:colour | neighbor:neighbour | dictionary:dict | directory:folder |
        directories:folders | maximum:max | minimum:min | parameter:param | integer:int"""
    ),
    "synonym": swap_words(
        """delete:remove | show:display | find:locate | compute:calculate | whether:if | largest:biggest |
        function:method | using:with | each:every | get:retrieve | contains:includes"""
    ),
    "contraction": swap_words(
        "do not:don't | is not:isn't | are not:aren't | does not:doesn't | that is:that's | cannot:can't"
    ),
    "python-moved": lambda text, draw: (
        text.replace("python function", "function", 1).rstrip(".")
        + draw.choice((" in Python", " using Python", ", in python."))
        if "python function" in text
        else None
    ),
    "spaces": lambda text, draw: text.replace(" ", "  ", 1) + draw.choice((" ", "\n", " .", "!")),
    "lower-start": lowered,
    "typo": typo,
    "adjunct-first": adjunct_first,
    "article-added": lambda text, draw: (
        re.sub(r"\bof (?=[a-z]{4,}\b)", "of the ", text, count=1) if "of " in text else None
    ),
}


def read(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def listed_pairs(data: Path) -> list[Pair]:
    """The pairs of the development files, and all wordings of one shell command as pairs of kind `nl2bash`."""
    rows = read(data / "code_pairs.jsonl") + read(data / "mbpp_paraphrases.jsonl")
    pairs = [Pair(row["a"], row["b"], int(row["label"]), row["kind"]) for row in rows]
    clusters: dict[str, list[str]] = defaultdict(list)
    for row in read(data / "nl2bash_clusters.jsonl"):
        clusters[row["cluster"]].append(row["text"])
    for texts in clusters.values():
        pairs += [Pair(a, b, 1, "nl2bash") for i, a in enumerate(texts[:5]) for b in texts[i + 1 : 5]]
    return pairs


def base_texts(data: Path) -> list[str]:
    """Texts to draw from: the unchanged sides of the pairs and all wordings of shell commands."""
    texts = [row["a"] for row in read(data / "code_pairs.jsonl")]
    texts += [row["text"] for row in read(data / "nl2bash_clusters.jsonl")]
    return list(dict.fromkeys(texts))


def drawn_pairs(texts: Sequence[str], each: int, seed: int) -> list[Pair]:
    """Draws pairs of the kinds above.

    Args:
        texts: Base texts.
        each: Most pairs of a kind.
        seed: Of the draw.
    """
    draw = random.Random(seed)
    kinds: list[tuple[str, int, Generator]] = [(f"my-{kind}", 0, each_) for kind, each_ in ADVERSARIAL.items()]
    kinds.append(("my-random-word", 0, RandomWord(texts)))
    kinds += [(f"ok-{kind}", 1, each_) for kind, each_ in HARMLESS.items()]
    found = []
    for kind, label, generate in kinds:
        seen = 0
        for text in draw.sample(list(texts), len(texts)):
            other = generate(text, draw)
            if other is None or other == text:
                continue
            a, b = other.split("\t") if "\t" in other else (text, other)
            found.append(Pair(a, b, label, kind))
            seen += 1
            if seen == each:
                break
    return found
