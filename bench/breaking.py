"""Small ways to break Python code: which places of a file can be broken, and the file with one of them broken.

Texts of several words, errors and log events are left alone, and so are types and docstrings: no test should pin them.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from typing import Any

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


class Breaker:
    """Finds every place of a file that can be broken.

    Args:
        source: The file's text.
    """

    def __init__(self, source: str) -> None:
        self.tree = ast.parse(source)
        self.places: list[tuple[str, ast.AST, Callable[[ast.AST], ast.AST]]] = []
        self._walk(self.tree)

    def broken(self, index: int) -> tuple[int, str, str, str, str]:
        """Breaks one place.

        Args:
            index: Which one.

        Returns:
            Line, operator, code before, code after, and the whole file.
        """
        what, node, change = self.places[index]
        node.marked = True  # type: ignore[attr-defined]  # finds the node again in the copy
        tree = copy.deepcopy(self.tree)
        del node.marked  # type: ignore[attr-defined]
        marked = next(found for found in ast.walk(tree) if hasattr(found, "marked"))
        after = change(marked)
        _Replace(marked, after).visit(tree)
        ast.fix_missing_locations(tree)
        return getattr(node, "lineno", 0), what, ast.unparse(node), ast.unparse(after), ast.unparse(tree)

    def _walk(self, node: ast.AST) -> None:
        self.places += [(what, node, change) for what, change in _changes(node)]
        for child in _behaviour(node):
            self._walk(child)


def _behaviour(node: ast.AST) -> Iterator[ast.AST]:
    """Gives the children that behave: no docstring, type, decorator, or text for people."""
    quiet: list[ast.AST | None] = []
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            quiet = [*node.decorator_list, node.returns]
        case ast.ClassDef():
            quiet = [*node.decorator_list, *node.bases, *node.keywords]
        case ast.AnnAssign():
            quiet = [node.annotation]
        case ast.arg():
            quiet = [node.annotation]
        case ast.If(test=ast.Name(id="TYPE_CHECKING")) | ast.JoinedStr() | ast.Import() | ast.ImportFrom():
            return
        case ast.Raise(exc=ast.Call() as call):
            quiet = [call]
        case ast.Expr(value=ast.Constant()):
            return
        case ast.Call(func=ast.Attribute(value=ast.Name(id="log" | "_log"))):
            return
        case ast.Call(func=ast.Name(id=name)) if name.endswith("Error") or name in ("TypeVar", "cast"):
            return
    for child in ast.iter_child_nodes(node):
        if child not in quiet:
            yield child


def _changes(node: ast.AST) -> Iterator[tuple[str, Callable[[ast.AST], ast.AST]]]:
    match node:
        case ast.Compare(ops=[op, *more]):
            yield "comparison", _with("ops", lambda _: [SWAPS[type(op)](), *more])
        case ast.BoolOp():
            yield "and/or", _with("op", lambda op: SWAPS[type(op)]())
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in SWAPS:
            yield "arithmetic", _with("op", lambda op: SWAPS[type(op)]())
        case ast.UnaryOp(op=ast.Not()):
            yield "not removed", lambda found: found.operand  # type: ignore[attr-defined]  # matched above
        case ast.If() | ast.While() | ast.IfExp():
            yield "condition negated", _with("test", lambda test: ast.UnaryOp(ast.Not(), test))
        case ast.Return(value=ast.expr() as value) if not _falsy(value):
            yield "None returned", _with("value", lambda _: ast.Constant(None))
        case ast.Constant(value=bool() | int() | float() | str() | bytes() as value) if not _prose(value):
            yield "constant", lambda _: ast.Constant(_other(value))
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.Raise() | ast.Delete() | ast.Continue() | ast.Break():
            if not _logs(node):
                yield "statement removed", lambda _: ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]) | ast.AugAssign():
            yield "statement removed", lambda _: ast.Pass()


def _prose(value: object) -> bool:
    return isinstance(value, str) and " " in value


def _falsy(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and not value.value


def _logs(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="log" | "_log")))):
            return True
    return False


def _with(attribute: str, change: Callable[[Any], object]) -> Callable[[ast.AST], ast.AST]:
    def changed(node: ast.AST) -> ast.AST:
        other = copy.copy(node)
        setattr(other, attribute, change(getattr(node, attribute)))
        return other

    return changed


def _other(value: bool | float | str | bytes) -> bool | float | str | bytes:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return value + ("x" if isinstance(value, str) else b"x")  # type: ignore[operator]  # same kind on both sides


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)
