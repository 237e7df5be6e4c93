"""The unified diff between two texts, as `git apply` and `patch` take it.

A line of a diff ends at LF alone, so a CR belongs to the line before it: a text with CRLF or CR keeps its ends to the
byte, and no other character (a form feed, U+2028) ends a line.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher

CONTEXT_LINES = 3
NO_NEWLINE = "\\ No newline at end of file\n"

Opcode = tuple[str, int, int, int, int]


def unified_diff(before: str | None, after: str, path: str) -> str:
    """Writes the difference between two texts.

    Args:
        before: The old text; None: the file is new.
        after: The new one.
        path: What the head of the diff calls it.

    Returns:
        The diff; empty where the texts are the same.
    """
    if before == after:
        return ""
    old, new = lines_of(before or ""), lines_of(after)
    name = path + "\t" if " " in path else path  # as git does, so that the name's end is known
    head = [f"--- {'/dev/null' if before is None else 'a/' + name}\n", f"+++ b/{name}\n"]
    return "".join([*head, *(line for group in _groups(old, new) for line in _hunk(old, new, group))])


def lines_of(text: str) -> list[str]:
    """Cuts a text after every LF.

    Args:
        text: Any text.
    """
    lines = text.split("\n")
    last = lines.pop()
    return [f"{line}\n" for line in lines] + ([last] if last else [])


def _groups(old: list[str], new: list[str]) -> Iterator[list[Opcode]]:
    """What differs, with lines around it. What both share at either end is not compared again: that takes squares."""
    shared = min(len(old), len(new))
    head = next((i for i in range(shared) if old[i] != new[i]), shared)
    tail = next((i for i in range(shared - head) if old[-1 - i] != new[-1 - i]), shared - head)
    head, tail = max(0, head - CONTEXT_LINES), max(0, tail - CONTEXT_LINES)
    matcher = SequenceMatcher(None, old[head : len(old) - tail], new[head : len(new) - tail], autojunk=False)
    for group in matcher.get_grouped_opcodes(CONTEXT_LINES):
        yield [(tag, a + head, b + head, c + head, d + head) for tag, a, b, c, d in group]


def _hunk(old: list[str], new: list[str], group: list[Opcode]) -> Iterator[str]:
    first, last = group[0], group[-1]
    yield f"@@ -{_span(first[1], last[2])} +{_span(first[3], last[4])} @@\n"
    for tag, old_from, old_to, new_from, new_to in group:
        if tag == "equal":
            yield from _marked(" ", old[old_from:old_to])
        else:
            yield from _marked("-", old[old_from:old_to])
            yield from _marked("+", new[new_from:new_to])


def _span(start: int, stop: int) -> str:
    """A range of lines as a hunk's head has it: from 1, and the line before it where it is empty."""
    length = stop - start
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"


def _marked(mark: str, lines: list[str]) -> Iterator[str]:
    for line in lines:
        yield mark + line
        if not line.endswith("\n"):
            yield "\n" + NO_NEWLINE
