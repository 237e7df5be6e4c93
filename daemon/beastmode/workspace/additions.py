"""Tests put into a new file, or at the end of one that is there, without what that file has already."""

from __future__ import annotations

import ast
import re

from beastmode.workspace.languages import Language
from beastmode.workspace.positions import Lines, content, line_end
from beastmode.workspace.prompting import with_lf
from beastmode.workspace.python_code import definitions, docstring_of, imports_in, parsed
from beastmode.workspace.python_region import head_of
from beastmode.workspace.replacing import in_style_of, moved
from beastmode.workspace.surroundings import margin, trimmed

IMPORT_MAX_LINES = 40
_DEFINED = re.compile(r"^(?:async\s+def|def|class)\s+(\w+)", re.MULTILINE)
_IMPORT = re.compile(
    r"\s*(?:import\s.*|from\s+\S+\s+import\s.*|use\s.*;|using\s.*;|require\s.*|#include\s.*"
    r"|(?:const|let|var)\s.*=\s*require\(.*|package\s.*)$"
)


def new_file(code: str, end: str) -> str:
    """The text of a new file.

    Args:
        code: The answer.
        end: Its line end.
    """
    rows = trimmed(with_lf(code).split("\n"))
    return end.join([*moved(rows, margin(rows), ""), ""])


def imported_instead(code: str, tested: str, module: str) -> str:
    """Python code without the definitions that it copies from the file it tests, which it imports instead.

    Args:
        code: The answer.
        tested: The file that is tested.
        module: How that is imported.
    """
    rows = trimmed(with_lf(code).split("\n"))
    rows = moved(rows, margin(rows), "")
    tree = parsed("\n".join(rows) + "\n")
    names = set(_DEFINED.findall(tested))
    copied = [one for one in definitions(tree) if one.name in names] if tree is not None else []
    for one in reversed(copied):
        rows[one.first_line : one.last_line + 1] = []
    if not copied or not trimmed(rows):
        return code
    text = re.sub(r"\n{4,}", "\n\n\n", "\n".join([*trimmed(rows), ""]))
    return with_imports(text, missing_imports(text, [f"from {module} import {one.name}" for one in copied]))


def added(text: str, code: str, language: Language) -> str:
    """A text with code at its end; imports that it lacks go to those that it has.

    Args:
        text: Of a file.
        code: What is added, as the model wrote it; it may begin with what the file holds.
        language: What it is written in.
    """
    lines = Lines(text)
    rows = in_style_of(trimmed(with_lf(code).split("\n")), lines)
    rows = _without_known(moved(rows, margin(rows), ""), [content(row) for row in lines.lines])
    if language.id == "python":
        text, rows = _imports_apart(text, rows)
    else:
        known = {content(row).strip() for row in lines.lines}
        rows = [row for row in rows if not (_IMPORT.match(row) and row.strip() in known)]
    rows = trimmed(rows)
    if not rows:
        return text
    end = line_end(text)
    gap = 3 if language.id == "python" else 2
    return text.rstrip("\r\n") + end * (gap if text.strip() else 0) + end.join([*rows, ""])


def _without_known(rows: list[str], known: list[str]) -> list[str]:
    """Leaves out the file itself, where the answer repeats it before it goes on."""
    told = [row.strip() for row in rows if row.strip()]
    there = [row.strip() for row in known if row.strip()]
    if not there or told[: len(there)] != there:
        return rows
    count = 0
    for index, row in enumerate(rows):
        count += bool(row.strip())
        if count == len(there):
            return rows[index + 1 :]
    return rows


def _imports_apart(text: str, rows: list[str]) -> tuple[str, list[str]]:
    """Takes the imports at the head of Python code out of it, and puts those that a text lacks to its own."""
    tree, there = parsed("\n".join(rows) + "\n"), parsed(head_of(text))
    if tree is None or there is None:
        return text, rows
    given: list[str] = []
    kept = list(rows)
    for node in imports_in(tree):
        first, last = node.lineno - 1, node.end_lineno or node.lineno
        given.append("\n".join(rows[first:last]))
        kept[first:last] = [""] * (last - first)
    return with_imports(text, missing_imports(text, given)), kept


def missing_imports(text: str, imports: list[str]) -> list[str]:
    """Those imports that a Python file has not, each once.

    Args:
        text: Of the file.
        imports: Statements, each maybe of several lines.
    """
    tree = parsed(head_of(text)) if imports else None
    known = {ast.dump(node) for node in imports_in(tree)} if tree is not None else set()
    missing: list[str] = []
    for statement in imports:
        one = parsed(statement)
        dumped = ast.dump(one.body[0]) if one is not None and one.body else ""
        if dumped not in known:
            known.add(dumped)
            missing += statement.split("\n")
    return missing


def leading_imports(code: str, selected: str) -> tuple[list[str], str]:
    """Takes the imports that Python code begins with off it, where what it takes the place of begins with none.

    Args:
        code: As the model wrote it.
        selected: What it takes the place of.

    Returns:
        The imports, one statement each, and the rest of the code.
    """
    rows = trimmed(with_lf(code).split("\n"))
    pattern = re.compile(r"\s*(?:import|from)\s")
    if not rows or not pattern.match(rows[0]) or pattern.match(selected):
        return [], code
    taken: list[str] = []
    while rows and (not rows[0].strip() or pattern.match(rows[0])):
        if rows[0].strip():
            statement = [rows.pop(0).strip()]
            while rows and parsed("\n".join(statement)) is None and len(statement) < IMPORT_MAX_LINES:
                statement.append(rows.pop(0).rstrip())
            taken.append("\n".join(statement))
        else:
            rows.pop(0)
    return (taken, "\n".join(rows)) if rows else ([], code)


def with_imports(text: str, rows: list[str]) -> str:
    """Puts imports below those that a Python file has; else below its docstring, else at its start.

    Args:
        text: Of the file.
        rows: Lines of imports.
    """
    tree = parsed(head_of(text)) if rows else None
    if tree is None:
        return text
    lines, end = Lines(text), line_end(text)
    imports = imports_in(tree)
    docstring = docstring_of(tree)
    after = imports[-1].end_lineno if imports else docstring.end_lineno if docstring is not None else 0
    at = lines.start_of(after or 0)
    gap = "" if imports or not text.strip() else end
    before = text[:at] if text[:at].endswith(("\n", "\r")) or not at else text[:at] + end
    lead = gap if docstring is not None and not imports else ""
    return before + lead + end.join([*rows, ""]) + (gap if not lead else "") + text[at:]
