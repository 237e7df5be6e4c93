"""Python as its own parser sees it: whether a text is right, what it defines, and whether only docstrings differ."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeAlias

import msgspec

PARSED_MAX_CHARS = 64_000

Definition: TypeAlias = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_DEFINITIONS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


class Named(msgspec.Struct, frozen=True):
    """A definition and where it is.

    Attributes:
        name: With those around it, such as `Shelf.put`; empty for the module.
        node: In the tree.
        first_line: From 0, decorators among it.
        last_line: The last one.
    """

    name: str
    node: Definition
    first_line: int
    last_line: int


def parsed(text: str) -> ast.Module | None:
    """The tree of a program; None where it is none, or too large: parsing holds up every thread.

    Args:
        text: Python.
    """
    if len(text) > PARSED_MAX_CHARS:
        return None
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def definitions(tree: Definition, name: str = "") -> Iterator[Named]:
    """All classes and functions in a tree, itself first, in the order of the text; none inside of functions.

    Args:
        tree: A module, class or function.
        name: Its name, with those around it.
    """
    yield Named(name, tree, first_line_of(tree), (getattr(tree, "end_lineno", None) or 1) - 1)
    if isinstance(tree, ast.Module | ast.ClassDef):
        for node in tree.body:
            if isinstance(node, _DEFINITIONS) and not isinstance(node, ast.Module):
                yield from definitions(node, f"{name}.{node.name}" if name else node.name)


def first_line_of(node: ast.AST) -> int:
    """The line, from 0, at which a statement begins, its decorators among it.

    Args:
        node: A statement; a module begins at line 0.
    """
    decorators: list[int] = [one.lineno for one in getattr(node, "decorator_list", [])]
    own: int = getattr(node, "lineno", 1)
    return min([own, *decorators]) - 1


def docstring_of(node: Definition) -> ast.Expr | None:
    """The statement that is a definition's docstring.

    Args:
        node: A definition.
    """
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return first
    return None


def same_but_for_docstrings(before: str, after: str) -> bool:
    """Whether two programs differ in docstrings and comments alone.

    Args:
        before: Python.
        after: Python.
    """
    trees = parsed(before), parsed(after)
    return trees[0] is not None and trees[1] is not None and _bare(trees[0]) == _bare(trees[1])


def _bare(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(node, _DEFINITIONS) and docstring_of(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]  # a body that was its docstring alone
    return ast.dump(tree)


def imports_in(tree: ast.Module) -> list[ast.Import | ast.ImportFrom]:
    """The imports at the top level.

    Args:
        tree: A program.
    """
    return [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
