"""The project that a developer of `bench/day.py` works on: modules whose functions are written and changed."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

_VERBS = [
    "load",
    "parse",
    "merge",
    "render",
    "check",
    "fetch",
    "store",
    "split",
    "count",
    "rank",
    "match",
    "build",
    "trim",
    "sort",
    "plan",
    "apply",
    "resolve",
]
_NOUNS = [
    "order",
    "invoice",
    "customer",
    "basket",
    "ledger",
    "price",
    "stock",
    "parcel",
    "route",
    "label",
    "refund",
    "voucher",
    "report",
    "batch",
    "account",
    "address",
    "shipment",
    "payment",
    "quote",
    "window",
    "season",
    "supplier",
]
_FOLDERS = ("shop", "billing", "storage", "api")
_ARGS = ["items", "limit", "key", "row", "since", "until", "strict", "names", "table"]
_LINES = (
    "{a} = [one for one in {b} if one]",
    "if not {a}:\n        return None",
    "for index, one in enumerate({a}):\n        {b}[index] = one * {n}",
    "total = sum({a}) + {n}",
    "result = {{one: {n} for one in {a}}}",
    "while len({a}) > {n}:\n        {a}.pop()",
    "{b} = sorted({a}, key=lambda one: one[{n} % len(one)])",
    "if {a} == {n}:\n        raise ValueError({b!r})",
    "{a}, {b} = {b}, {a}",
)
_IMPORTS = ("import json", "from collections import defaultdict", "from pathlib import Path", "import logging")


@dataclass
class Function:
    """One function of a module.

    Attributes:
        name: Its name.
        args: Its arguments.
        body: Statements, each perhaps of several lines.
        documented: It has a docstring.
    """

    name: str
    args: Sequence[str]
    body: list[str]
    documented: bool = False

    def lines(self) -> list[str]:
        """Its text."""
        said = [f'    """{self.name.replace("_", " ").capitalize()}."""'] if self.documented else []
        body = [line for statement in self.body for line in f"    {statement}".split("\n")]
        return [f"def {self.name}({', '.join(self.args)}):", *said, *body]


@dataclass
class Module:
    """One file.

    Attributes:
        head: What stands above its functions.
        functions: In order.
    """

    head: list[str]
    functions: list[Function] = field(default_factory=list)

    def text(self) -> str:
        """All of it."""
        blocks = ["\n".join(self.head), *("\n".join(one.lines()) for one in self.functions)]
        return "\n\n\n".join(blocks) + "\n"

    def place(self, name: str) -> tuple[int, int]:
        """First and last line of a function, from 0."""
        at = len(self.head) + 2
        for one in self.functions:
            length = len(one.lines())
            if one.name == name:
                return at, at + length - 1
            at += length + 2
        raise KeyError(name)

    def find(self, name: str) -> Function:
        """The function of that name."""
        return next(one for one in self.functions if one.name == name)


class Project:
    """All files of the workspace, as they stand in the editor.

    Args:
        chance: Draws them.
        modules: How many.
    """

    def __init__(self, chance: random.Random, modules: int = 14) -> None:
        self._chance = chance
        self._names: set[str] = set()
        self.modules: dict[str, Module] = {}
        for noun in chance.sample(_NOUNS, modules):
            module = Module([f'"""All about one {noun}."""', "", *sorted(chance.sample(_IMPORTS, 2))])
            module.functions = [self.new_function() for _ in range(chance.randint(4, 9))]
            for one in module.functions:
                one.documented = chance.random() < 0.4
            self.modules[f"{chance.choice(_FOLDERS)}/{noun}.py"] = module

    def texts(self, paths: Iterable[str] = ()) -> dict[str, str]:
        """Text by path; of all files where none is named."""
        return {path: self.modules[path].text() for path in (paths or self.modules)}

    def new_function(self) -> Function:
        """A function that is in no file yet."""
        while True:
            name = f"{self._chance.choice(_VERBS)}_{self._chance.choice(_NOUNS)}"
            if name in self._names:
                name += f"_{self._chance.choice(_ARGS)}"
            if name not in self._names:
                break
        self._names.add(name)
        args = self._chance.sample(_ARGS, self._chance.randint(1, 3))
        body = [self.statement(args) for _ in range(self._chance.randint(2, 6))]
        return Function(name, args, [*body, f"return {self._chance.choice(args)}"])

    def statement(self, args: Sequence[str]) -> str:
        """One statement over some names."""
        a, b = self._chance.choice(args), self._chance.choice([*args, "found"])
        return self._chance.choice(_LINES).format(a=a, b=b, n=self._chance.randint(2, 99))

    def change(self, function: Function) -> None:
        """Changes a function as one bout of typing does: a statement is added, replaced or taken out."""
        at = self._chance.randrange(len(function.body))
        what = self._chance.random()
        if what < 0.5 or len(function.body) < 4:
            function.body.insert(at, self.statement(function.args))
        elif what < 0.9:
            function.body[at] = self.statement(function.args)
        else:
            del function.body[at]

    def tests_of(self, path: str, name: str) -> str:
        """Writes a test of a function into the file of tests of its module; gives that file's path."""
        place = "tests/test_" + path.rpartition("/")[2]
        module = self.modules.setdefault(place, Module([f'"""Tests of {path}."""', "", "import pytest"]))
        test = f"test_{name}"
        found = next((one for one in module.functions if one.name == test), None)
        if found is None:
            module.functions.append(Function(test, [], [f"assert {name}({self._chance.randint(1, 9)})"]))
        else:
            found.body.append(f"assert {name}({self._chance.randint(1, 99)})")
        return place
