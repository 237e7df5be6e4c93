"""The sample project of bench/generation.py: drawn from a seed, with five small wishes and what judges them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

DRAWN = (
    ("shelf", "Shelf", "book", "books", "Book", "title", "author", "pages"),
    ("cellar", "Cellar", "bottle", "bottles", "Bottle", "label", "grower", "litres"),
    ("garage", "Garage", "car", "cars", "Car", "plate", "owner", "seats"),
    ("archive", "Archive", "letter", "letters", "Letter", "subject", "sender", "sheets"),
)

FILES = {
    "README.md": "# {box}\n\nA small {box} of {things}.\n",
    "{box}/__init__.py": '"""A small {box} of {things}."""\n',
    "{box}/item.py": '''"""What is kept in the {box}."""

from dataclasses import dataclass


@dataclass
class {Thing}:
    """One {thing}."""

    {name}: str
    {maker}: str
    year: int

    def described(self) -> str:
        """The {thing} in one line."""
        return f"{{self.{name}}} ({{self.{maker}}}, {{self.year}})"
''',
    "{box}/store.py": '''"""The {box} itself."""

from {box}.item import {Thing}


class {Box}:
    """Keeps {things}, in the order in which they came."""

    def __init__(self) -> None:
        self._{things}: list[{Thing}] = []

    def add(self, {thing}: {Thing}) -> None:
        """Puts a {thing} in."""
        self._{things}.append({thing})

    def remove(self, {name}: str) -> bool:
        """Takes a {thing} out; says whether it was there."""
        for {thing} in self._{things}:
            if {thing}.{name} == {name}:
                self._{things}.remove({thing})
                return True
        return False

    def find(self, word: str) -> list[{Thing}]:
        """All {things} with a word in their {name}."""
        return [{thing} for {thing} in self._{things} if word.lower() in {thing}.{name}.lower()]

    def all(self) -> list[{Thing}]:
        """All {things}."""
        return list(self._{things})
''',
    "{box}/text.py": '''"""Small things done to text."""


def shortened(text: str, width: int) -> str:
    """Cuts a text to a width; three dots stand for what is left out."""
    if len(text) <= width:
        return text
    return text[: max(0, width - 3)] + "..."


def slug(text: str) -> str:
    """A text as it can stand in a URL."""
    words = "".join(char if char.isalnum() else " " for char in text.lower()).split()
    return "-".join(words)
''',
    "{box}/cli.py": '''"""The command of the {box}: takes words, gives a text."""

from {box}.store import {Box}


def run(words: list[str], {box}: {Box}) -> str:
    """Runs one command and gives what it prints."""
    if not words:
        return "usage: list | find WORD"
    command, *rest = words
    if command == "list":
        return "\\n".join({thing}.described() for {thing} in {box}.all())
    if command == "find" and rest:
        return "\\n".join({thing}.described() for {thing} in {box}.find(rest[0]))
    return f"unknown command: {{command}}"
''',
    "tests/test_{box}.py": """from {box}.cli import run
from {box}.item import {Thing}
from {box}.store import {Box}
from {box}.text import shortened, slug


def filled() -> {Box}:
    {box} = {Box}()
    {box}.add({Thing}("Alpha One", "Ada", 1990))
    {box}.add({Thing}("Beta Two", "Bob", 1985))
    return {box}


def test_keeps_what_is_put_in():
    assert [one.{name} for one in filled().all()] == ["Alpha One", "Beta Two"]


def test_takes_out():
    {box} = filled()
    assert {box}.remove("Alpha One") and not {box}.remove("Alpha One")


def test_finds_by_a_word():
    assert [one.{maker} for one in filled().find("beta")] == ["Bob"]


def test_commands():
    assert run(["list"], filled()).splitlines()[0] == "Alpha One (Ada, 1990)"
    assert run(["find", "two"], filled()) == "Beta Two (Bob, 1985)"
    assert run(["dance"], filled()) == "unknown command: dance"


def test_texts():
    assert shortened("abcdefgh", 6) == "abc..."
    assert slug("Alpha, One!") == "alpha-one"
""",
}


class Wish(NamedTuple):
    """A request, and what tells whether it was granted.

    Attributes:
        name: Of the wish.
        request: In a person's words.
        test: The tests that the developer wrote for it first; it lies in the workspace.
        held_out: More tests, which the model never sees.
    """

    name: str
    request: str
    test: str
    held_out: str


WISHES = (
    Wish(
        "initials",
        "Add a function initials(name) to {box}/text.py that gives the first letters of the words of a name, in "
        "capitals: 'ada lovelace' gives 'AL'.",
        "from {box}.text import initials\n\n\ndef test_initials():\n    assert initials('ada lovelace') == 'AL'\n",
        "from {box}.text import initials\n\n\ndef test_more():\n    assert initials('') == ''\n"
        "    assert initials('grace  brewster Hopper') == 'GBH'\n",
    ),
    Wish(
        "counts",
        "Give {Box} a method count_by_{maker}() that says how many {things} there are of each {maker}, as a dict.",
        "from test_{box} import filled\nfrom {box}.item import {Thing}\n\n\ndef test_counts():\n    {box} = filled()\n"
        "    {box}.add({Thing}('C', 'Ada', 2000))\n"
        "    assert {box}.count_by_{maker}() == {{'Ada': 2, 'Bob': 1}}\n",
        "from {box}.store import {Box}\n\n\ndef test_more():\n    assert {Box}().count_by_{maker}() == {{}}\n",
    ),
    Wish(
        "oldest",
        "Add a method oldest() to {Box}: the {thing} with the lowest year, or None where there is none.",
        "from test_{box} import filled\n\n\ndef test_oldest():\n    assert filled().oldest().{name} == 'Beta Two'\n",
        "from {box}.store import {Box}\n\n\ndef test_more():\n    assert {Box}().oldest() is None\n",
    ),
    Wish(
        "total",
        "A {thing} has a number of {units}, 0 where nobody says: add it to {Thing} as its last field. {Box} gets a "
        "method total_{units}() that adds them up.",
        "from {box}.item import {Thing}\nfrom {box}.store import {Box}\n\n\ndef test_total():\n    {box} = {Box}()\n"
        "    {box}.add({Thing}('A', 'Ada', 1990, 120))\n    {box}.add({Thing}('B', 'Bob', 1985))\n"
        "    assert {box}.total_{units}() == 120\n",
        "from {box}.item import {Thing}\nfrom {box}.store import {Box}\n\n\ndef test_more():\n"
        "    assert {Box}().total_{units}() == 0\n    assert {Thing}('A', 'Ada', 1, {units}=3).{units} == 3\n",
    ),
    Wish(
        "command",
        "The command of the {box} gets a new word, count: it prints how many {things} there are, such as '2 {things}'. "
        "The usage line names it too.",
        "from test_{box} import filled\nfrom {box}.cli import run\n\n\ndef test_count():\n"
        "    assert run(['count'], filled()) == '2 {things}'\n    assert 'count' in run([], filled())\n",
        "from test_{box} import filled\nfrom {box}.cli import run\n\n\ndef test_more():\n"
        "    assert run(['find', 'two'], filled()) == 'Beta Two (Bob, 1985)'\n    assert 'list' in run([], filled())\n",
    ),
)


def words_of(seed: int) -> dict[str, str]:
    """The words that the project of a seed is made of."""
    names = ("box", "Box", "thing", "things", "Thing", "name", "maker", "units")
    return dict(zip(names, random.Random(seed).choice(DRAWN), strict=True))


def lay_out(folder: Path, words: dict[str, str], wish: Wish) -> str:
    """Writes the project with the test of one wish; gives the request."""
    files = {**FILES, f"tests/test_{wish.name}.py": wish.test}
    for path, text in files.items():
        place = folder / path.format_map(words)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text.format_map(words))
    return wish.request.format_map(words)


def lay_out_held_out(folder: Path, words: dict[str, str], wish: Wish) -> None:
    """Adds the tests that the model never saw."""
    (folder / "tests" / f"test_held_out_{wish.name}.py").write_text(wish.held_out.format_map(words))
