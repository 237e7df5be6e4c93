"""The block of code around a line: a function, a class, a paragraph; by indentation, which every formatter keeps."""

from __future__ import annotations

import re

from beastmode.workspace.languages import Language
from beastmode.workspace.positions import Lines, content

_BEGINS = re.compile(
    r"\s*(?:@|#\[|(?:export|default|async|public|private|protected|internal|static|abstract|final|override|pub(?:\([^)]*\))?"
    r"|unsafe|inline|extern|local|const|virtual|suspend|open|data|sealed)\b\s*)*"
    r"(?:def|class|function|func|fn|fun|struct|enum|trait|impl|interface|module|type|sub|method|object|record|namespace)\b"
)
_CLOSERS = ("}", ")", "]", "end", "fi", "done", "esac")


def block_at(lines: Lines, line: int, language: Language) -> tuple[int, int]:
    """The function or class around a line; else the paragraph around it, else the whole text.

    Args:
        lines: The text.
        line: From 0.
        language: Tells whether blocks have closing lines.

    Returns:
        Its first and last line.
    """
    rows = [content(one) for one in lines.lines]
    line = _full_line(rows, line)
    if line < 0:
        return 0, max(0, len(lines) - 1)
    for start in _openers(rows, line):
        if _BEGINS.match(rows[start]):
            end = _end_of(rows, start, language)
            if end >= line:
                return _with_decorators(rows, start), end
    return _paragraph(rows, line)


def _full_line(rows: list[str], line: int) -> int:
    """The line itself, or the nearest one above, then below, that is not blank; -1: all are."""
    above = next((i for i in range(min(line, len(rows) - 1), -1, -1) if rows[i].strip()), -1)
    return above if above >= 0 else next((i for i in range(len(rows)) if rows[i].strip()), -1)


def _openers(rows: list[str], line: int) -> list[int]:
    """The line and each line above it that is indented less than all between: what a block can begin with."""
    found = [line]
    least = indent_of(rows[line])
    if rows[line].lstrip().startswith(("@", "#[")):  # a decorator: what it decorates is meant
        below = next((i for i in range(line + 1, len(rows)) if not rows[i].lstrip().startswith(("@", "#["))), line)
        found.insert(0, below)
    if rows[line].strip().rstrip(";,").startswith(_CLOSERS):
        least += 1  # a closing line stands as far left as the line that it closes
    for i in range(line - 1, -1, -1):
        if rows[i].strip() and indent_of(rows[i]) < least:
            found.append(i)
            least = indent_of(rows[i])
    return found


def _end_of(rows: list[str], start: int, language: Language) -> int:
    """The last line of a block: all that is indented deeper, and the line that closes it."""
    depth = indent_of(rows[start])
    end = start
    for i in range(start + 1, len(rows)):
        if not rows[i].strip():
            continue
        if indent_of(rows[i]) > depth:
            end = i
        elif indent_of(rows[i]) == depth and rows[i].lstrip().startswith((*_CLOSERS, "{")):
            end = i  # `) -> int:` and a brace on a line of its own go on; `}` ends it
            if not language.indented and rows[i].lstrip().startswith(("}", "end")):
                break
        else:
            break
    return end


def _with_decorators(rows: list[str], start: int) -> int:
    while start > 0 and rows[start - 1].lstrip().startswith(("@", "#[")):
        start -= 1
    return start


def _paragraph(rows: list[str], line: int) -> tuple[int, int]:
    first = last = line
    while first > 0 and rows[first - 1].strip():
        first -= 1
    while last + 1 < len(rows) and rows[last + 1].strip():
        last += 1
    return first, last


def indent_of(row: str) -> int:
    """How far a line is indented, in columns; a tab goes to the next eighth.

    Args:
        row: One line.
    """
    return len(row.expandtabs(8)) - len(row.expandtabs(8).lstrip())
