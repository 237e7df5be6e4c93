"""A part of a file that a model sent in the place of the whole: told from a whole file, and put where it belongs."""

from __future__ import annotations

import ast
import re

from beastmode.workspace.additions import missing_imports, with_imports
from beastmode.workspace.languages import language_of
from beastmode.workspace.positions import Lines
from beastmode.workspace.python_code import Named, definitions, imports_in, parsed
from beastmode.workspace.replacing import in_style_of, margin_text, moved
from beastmode.workspace.surroundings import margin, trimmed

WHOLE_SHARE = 0.6
LIKELY_SHARE = 0.34
_LEFT_OUT = re.compile(
    r"^[ \t]*(?:#|//|--|/\*|<!--)?[ \t]*(?:\.{3}|…)[ \t]*"
    r"(?:\(?(?:the )?(?:rest|existing|other|remaining|previous|same|unchanged)\b.*)?(?:\*/|-->)?[ \t]*$"
    r"|^[ \t]*(?:#|//|--)[ \t]*(?:\.{3}[ \t]*)?(?:the )?(?:rest of|existing|other existing|remaining|previous)\b.*",
    re.IGNORECASE | re.MULTILINE,
)


def is_part(path: str, text: str, given: str) -> bool:
    """Whether a block holds a part of a file only.

    Args:
        path: The file.
        text: All of it, lines ended by LF.
        given: The block.
    """
    if any(found[0].strip() not in text for found in _LEFT_OUT.finditer(given)):
        return True
    own = [row.strip() for row in text.split("\n") if row.strip()]
    sent = [row.strip() for row in given.split("\n") if row.strip()]
    if not own or not sent:
        return False
    there = set(sent)
    share = sum(row in there for row in own) / len(own)
    if language_of(path).id == "python" and (names := _names(text)) and (new := _names(given)) is not None:
        kept = len(names & new) / len(names)
        return kept < 1 and share < WHOLE_SHARE and not (own[0] == sent[0] and kept >= 0.5)
    return share < (LIKELY_SHARE if own[0] == sent[0] else WHOLE_SHARE)


def _names(text: str) -> set[str] | None:
    tree = parsed(text)
    return None if tree is None else {one.name for one in definitions(tree) if one.name}


def merged(path: str, text: str, given: str) -> str | None:
    """Puts the definitions of a part into the file: in the place of those of the same name, else at its end.

    Args:
        path: The file.
        text: All of it, lines ended by LF.
        given: The part.

    Returns:
        The new text; None where it can not be told.
    """
    if language_of(path).id != "python":
        return None
    given = _LEFT_OUT.sub("", given)
    rows = trimmed(given.split("\n"))
    given = "\n".join(moved(in_style_of(rows, Lines(text)), margin(rows), "")) + "\n"
    part = parsed(given)
    if part is None or parsed(text) is None:
        return None
    nodes = [node for node in part.body if not isinstance(node, ast.Import | ast.ImportFrom)]
    if not nodes or not all(_mergeable(node) for node in nodes):
        return None
    sent = given.split("\n")
    for node in nodes:
        text = _with_node(text, node, sent, "")
    imports = ["\n".join(sent[one.lineno - 1 : one.end_lineno]) for one in imports_in(part)]
    return with_imports(text, missing_imports(text, imports))


def _mergeable(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)  # a docstring, or what is left of `...`
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign)


def _with_node(text: str, node: ast.stmt, sent: list[str], within: str) -> str:
    """Puts one statement of a part into a text."""
    if isinstance(node, ast.Expr | ast.Pass):
        return text
    if isinstance(node, ast.Assign | ast.AnnAssign):
        return _with_assigned(text, node, sent, within)
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    name = f"{within}.{node.name}" if within else node.name
    there = _find(text, name)
    code = _rows_of(node, sent)
    if there is None:
        return _appended(text, code, within)
    if isinstance(node, ast.ClassDef) and isinstance(there.node, ast.ClassDef) and _lacks(node, there.node):
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign):
                text = _with_node(text, inner, sent, name)
        return text
    rows = text.split("\n")
    own = rows[there.first_line : there.last_line + 1]
    rows[there.first_line : there.last_line + 1] = moved(code, margin(code), margin_text(own))
    return "\n".join(rows)


def _lacks(node: ast.ClassDef, there: ast.ClassDef) -> bool:
    """A class was sent without some of its methods: they stay."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return not {one.name for one in there.body if isinstance(one, kinds)} <= {
        one.name for one in node.body if isinstance(one, kinds)
    }


def _rows_of(node: ast.stmt, sent: list[str]) -> list[str]:
    decorators = [one.lineno for one in getattr(node, "decorator_list", [])]
    return sent[min([node.lineno, *decorators]) - 1 : node.end_lineno]


def _find(text: str, name: str) -> Named | None:
    tree = parsed(text)
    return next((one for one in definitions(tree) if one.name == name), None) if tree is not None else None


def _appended(text: str, code: list[str], within: str) -> str:
    """Puts a definition at the end of a class, or of the file: before what the file does when it is run."""
    rows = text.split("\n")
    place = _find(text, within) if within else None
    if place is not None:
        inner = [rows[line - 1] for line in (getattr(one, "lineno", 0) for one in place.node.body) if line]
        new = moved(code, margin(code), margin_text(inner))
        rows[place.last_line + 1 : place.last_line + 1] = ["", *new]
        return "\n".join(rows)
    tree = parsed(text)
    last = tree.body[-1] if tree is not None and tree.body else None
    code = moved(code, margin(code), "")
    if isinstance(last, ast.If) and "__name__" in ast.dump(last.test):
        at = last.lineno - 1
        return "\n".join([*trimmed(rows[:at]), "", "", *code, "", "", *rows[at:]])
    return "\n".join([*trimmed(rows), "", "", *code, ""])


def _with_assigned(text: str, node: ast.Assign | ast.AnnAssign, sent: list[str], within: str) -> str:
    """Puts a value in the place of the one of the same name; a new one above the first definition."""
    tree = parsed(text)
    if tree is None:
        return text
    place = _find(text, within) if within else None
    body = place.node.body if place is not None else tree.body
    wanted, rows, code = _targets(node), text.split("\n"), _rows_of(node, sent)
    indent = margin_text([rows[body[0].lineno - 1]]) if body else ""
    code = moved(code, margin(code), indent)
    for one in body:
        if isinstance(one, ast.Assign | ast.AnnAssign) and _targets(one) == wanted:
            rows[one.lineno - 1 : one.end_lineno] = code
            return "\n".join(rows)
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    first = next((one for one in body if isinstance(one, kinds)), None)
    if first is None:
        return "\n".join([*trimmed(rows), *code, ""])
    at = min([first.lineno, *(one.lineno for one in first.decorator_list)]) - 1
    rows[at:at] = [*code, ""] if within else [*code, "", ""]
    return "\n".join(rows)


def _targets(node: ast.Assign | ast.AnnAssign) -> list[str]:
    return [ast.unparse(one) for one in (node.targets if isinstance(node, ast.Assign) else [node.target])]
