"""Whether a text parses: by its language's own parser where Python has one, else by its grammar (tree-sitter)."""

from __future__ import annotations

import ast
import json
import tomllib
import warnings
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from beastmode.workspace.grammars import tree_of
from beastmode.workspace.languages import language_of
from beastmode.workspace.python_code import PARSED_MAX_CHARS

if TYPE_CHECKING:
    from tree_sitter import Node, Tree

FAULTS_MAX = 20
_NODES_MAX = 200_000


class Fault(msgspec.Struct, frozen=True):
    """A place where a text does not parse.

    Attributes:
        line: From 1.
        message: What is wrong there.
        text: The line itself, without the blank space around it.
    """

    line: int
    message: str
    text: str = ""


def new_faults(path: str, before: str | None, after: str) -> list[Fault]:
    """What does not parse in a new text, and did parse in the old one: a file that was broken may stay so.

    Args:
        path: The file; its name tells the language.
        before: The old text; None: there was none.
        after: The new one.
    """
    found = faults_in(path, after)
    if not found or not before:
        return found
    left = Counter(one.text for one in faults_in(path, before))
    new: list[Fault] = []
    for one in found:
        if left[one.text]:
            left[one.text] -= 1
        else:
            new.append(one)
    return new


def faults_in(path: str, text: str) -> list[Fault]:
    """Where a text does not parse; nothing where nobody can tell.

    Args:
        path: Its name tells the language.
        text: All of it.
    """
    language = language_of(path)
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    own = _OWN.get(path.rpartition(".")[2].lower() if "." in path else "")
    if own is not None and (language.id != "python" or len(text) <= PARSED_MAX_CHARS):
        fault = own(text)
        return [] if fault is None else [fault]
    tree = tree_of(text, language)
    return [] if tree is None else _in_tree(tree, text.split("\n"))


def _python(text: str) -> Fault | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape in a string is no fault
            compile(text, "<text>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except SyntaxError as error:
        return _fault(text, error.lineno or 1, error.msg or "invalid syntax")
    except (ValueError, RecursionError, MemoryError) as error:
        return Fault(1, str(error) or "it can not be parsed")
    return None


def _json(text: str) -> Fault | None:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return _fault(text, error.lineno, error.msg)
    except (ValueError, RecursionError) as error:
        return Fault(1, str(error) or "it can not be parsed")
    return None


def _toml(text: str) -> Fault | None:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = str(error).rpartition("line ")[2].partition(",")[0]
        return _fault(text, int(line) if line.isdigit() else text.count("\n") + 1, str(error))
    except (ValueError, RecursionError) as error:
        return Fault(1, str(error) or "it can not be parsed")
    return None


_OWN: dict[str, Callable[[str], Fault | None]] = {
    "py": _python,
    "pyi": _python,
    "pyw": _python,
    "json": _json,
    "toml": _toml,
}


def _fault(text: str, line: int, message: str) -> Fault:
    rows = text.split("\n")
    return Fault(line, message, rows[line - 1].strip() if 0 < line <= len(rows) else "")


def _in_tree(tree: Tree, rows: list[str]) -> list[Fault]:
    """The outermost places where a grammar gave up, and what it missed."""
    found: list[Fault] = []
    waiting: list[Node] = [tree.root_node]
    steps = 0
    while waiting and len(found) < FAULTS_MAX and steps < _NODES_MAX:
        node = waiting.pop()
        steps += 1
        if node.is_error or node.is_missing:
            row = node.start_point.row
            message = f"{node.type} is missing" if node.is_missing else "this does not parse"
            found.append(Fault(row + 1, message, rows[row].strip() if row < len(rows) else ""))
        elif node.has_error:
            waiting.extend(reversed(node.children))
    return found
