"""Docstrings of Python put into a file by themselves: whatever else an answer changes, the code stays as it was."""

from __future__ import annotations

import ast
import inspect
import re

from beastmode.workspace.positions import Lines, content, line_end
from beastmode.workspace.prompting import with_lf
from beastmode.workspace.python_code import Named, definitions, docstring_of, parsed, same_but_for_docstrings
from beastmode.workspace.python_region import part_of, region_of
from beastmode.workspace.replacing import indent_text, moved, unit_of
from beastmode.workspace.selection import Selection
from beastmode.workspace.surroundings import margin, trimmed

_QUOTED = re.compile(r"[rRuU]?(\"\"\"|''')(.*?)\1", re.DOTALL)


def documented(lines: Lines, selection: Selection, code: str) -> str | None:
    """The file with the docstrings of an answer; None where they can not be put there, or there are none.

    Args:
        lines: The file.
        selection: What is to be documented.
        code: The answer: the selection with its docstrings, or a docstring alone.
    """
    region = region_of(lines, selection)
    if region is None:
        return None
    part, _ = part_of(lines, selection, region)
    pairs = _matched(wanted_in(lines, selection), _docstrings_in(with_lf(code)))
    text = part.text
    for one, docstring in sorted(pairs, key=lambda pair: _place(pair[0]), reverse=True):
        text = _with_docstring(Lines(text), one, docstring)
    if not pairs or not same_but_for_docstrings(part.text, text):
        return None
    return lines.text[: region.start] + text + lines.text[region.stop :]


def wanted_in(lines: Lines, selection: Selection) -> list[Named]:
    """The definitions that begin in a selection; else the innermost one around it. Their lines are of its region.

    Args:
        lines: The file.
        selection: What is to be documented.
    """
    region = region_of(lines, selection)
    if region is None:
        return []
    whole = region.whole and _is_whole(lines, selection)
    lines, selection = part_of(lines, selection, region)
    tree = parsed(lines.text)
    assert tree is not None, "a region is what can be parsed"
    module, *named = definitions(tree)
    inside = [one for one in named if selection.first_line <= one.first_line <= selection.last_line]
    if whole and not (len(tree.body) == 1 and inside):
        return [module, *inside]
    around = [one for one in named if one.first_line <= selection.first_line <= one.last_line]
    return inside or around[-1:]


def _is_whole(lines: Lines, selection: Selection) -> bool:
    text = lines.text
    return not text[: selection.start].strip() and not text[selection.end :].strip()


def _docstrings_in(code: str) -> list[tuple[str, str]]:
    """Names of definitions and their docstrings; a docstring that stands alone has the name `*`."""
    rows = trimmed(code.split("\n"))
    tree = parsed("\n".join(moved(rows, margin(rows), "")) + "\n")
    if tree is not None:
        found = [
            (one.name, inspect.cleandoc(ast.literal_eval(docstring.value)))
            for one in definitions(tree)
            if (docstring := docstring_of(one.node)) is not None
        ]
        if found and len(tree.body) == 1 and found[0][0] == "":
            found[0] = ("*", found[0][1])
        if found:
            return [(name, text) for name, text in found if text]
    quoted = _QUOTED.search(code)
    return [("*", inspect.cleandoc(quoted[2]))] if quoted is not None and quoted[2].strip() else []


def _matched(wanted: list[Named], found: list[tuple[str, str]]) -> list[tuple[Named, str]]:
    """Which docstring belongs to which definition: by name, then by the last part of it."""
    if len(found) == 1 and found[0][0] == "*":
        return [(one, found[0][1]) for one in wanted[:1]]
    pairs = []
    left = list(found)
    for one in wanted:
        names = [one.name, one.name.rpartition(".")[2]]
        match = next((pair for name in names for pair in left if pair[0] == name), None)
        if match is not None:
            left.remove(match)
            pairs.append((one, match[1]))
    if not pairs and len(wanted) == len(found) == 1 and found[0][0]:
        pairs = [(wanted[0], found[0][1])]  # the model gave it another name
    return pairs


def _place(one: Named) -> int:
    return one.node.body[0].lineno if one.node.body else 0


def _with_docstring(lines: Lines, one: Named, docstring: str) -> str:
    """The file with one docstring put in, or put in the place of an older one."""
    end = line_end(lines.text)
    if not one.node.body:
        return end.join(quoted(docstring)) + end + lines.text
    body, old = one.node.body[0], docstring_of(one.node)
    first = body.lineno - 1
    row = content(lines.lines[first])
    before = row.encode()[: body.col_offset].decode()  # columns of the tree are bytes
    if before.strip():  # `def f(): ...`, all in one line
        indent = indent_text(row) + " " * unit_of([content(one) for one in lines.lines])
        return _unfolded(lines, body, old, before, _deeper(quoted(docstring), indent))
    new = _deeper(quoted(docstring), before)
    if old is not None:
        return _instead(lines, old, new)
    at = first if body.col_offset or one.name else _top(lines)
    while at and one.name and content(lines.lines[at - 1]).lstrip()[:1] in ("", "#"):
        at -= 1  # comments below the head stay below its docstring
    decorated = min([node.lineno - 1 for node in getattr(body, "decorator_list", [])], default=at)
    start = lines.start_of(min(at, decorated))
    gap = end if not one.name else ""
    return lines.text[:start] + end.join([*new, ""]) + gap + lines.text[start:]


def _top(lines: Lines) -> int:
    """Where a module's docstring goes: below what must be in the first lines, and the comments there."""
    at = 0
    while at < len(lines.lines) and lines.lines[at].startswith("#"):
        at += 1
    return at


def _instead(lines: Lines, old: ast.Expr, new: list[str]) -> str:
    start = lines.start_of(old.lineno - 1)
    last = (old.end_lineno or old.lineno) - 1
    row = content(lines.lines[last])
    stop = lines.start_of(last) + len(row.encode()[: old.end_col_offset].decode())
    return lines.text[:start] + line_end(lines.text).join(new) + lines.text[stop:]


def _unfolded(lines: Lines, body: ast.stmt, old: ast.Expr | None, before: str, new: list[str]) -> str:
    """Puts a docstring into a definition that has its body in the line of its head."""
    end = line_end(lines.text)
    start = lines.start_of(body.lineno - 1)
    row = content(lines.lines[body.lineno - 1])
    rest = row[len(before) :]
    if old is not None:
        rest = row.encode()[old.end_col_offset :].decode().lstrip(" ;")
    indent = indent_text(new[0])
    tail = [f"{indent}{rest}"] if rest.strip() else []
    stop = lines.end_of(body.lineno - 1)
    return lines.text[:start] + end.join([before.rstrip(), *new, *tail]) + lines.text[stop:]


def _deeper(rows: list[str], indent: str) -> list[str]:
    return [indent + row if row else "" for row in rows]


def quoted(docstring: str) -> list[str]:
    """A docstring as a program has it, line by line, not indented.

    Args:
        docstring: As `inspect.cleandoc` gives it.
    """
    text = docstring.replace('"""', "'''")
    mark = 'r"""' if "\\" in text and not text.endswith("\\") else '"""'
    if mark == '"""':
        text = text.replace("\\", "\\\\")
    if text.endswith('"'):
        text = text[:-1] + '\\"' if mark == '"""' else text + " "
    first, *rest = text.split("\n")
    if not rest:
        return [f'{mark}{first}"""']
    return [f"{mark}{first}", *(row.rstrip() for row in rest), '"""']
