"""What an editor's changes make of a document's text, for the shim of `beast lsp` (standard library only)."""

from __future__ import annotations

import re

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")


def changed(text: str, changes: list[dict[str, object]], encoding: str) -> str:
    """Applies the changes of a `textDocument/didChange`.

    Args:
        text: The document.
        changes: `{range, text}`, or `{text}` for all of it, in order.
        encoding: What the characters of positions count: utf-8, utf-16 or utf-32.

    Returns:
        The document after them; a position beyond a line's end means its end, as the protocol says.
    """
    lines = _LINE.findall(text)
    for change in changes:
        place, new = change.get("range"), str(change.get("text", ""))
        if isinstance(place, dict):
            _replace(lines, place["start"], place["end"], new, encoding)
        else:
            lines = _LINE.findall(new)
    return "".join(lines)


def _replace(lines: list[str], start: dict[str, int], end: dict[str, int], new: str, encoding: str) -> None:
    first, last = start["line"], end["line"]
    before = lines[first][: _index(lines[first], start["character"], encoding)] if first < len(lines) else ""
    after = lines[last][_index(lines[last], end["character"], encoding) :] if last < len(lines) else ""
    # What stands right before may end in the first half of a line end whose second half is new.
    begin = max(0, min(first, len(lines)) - 1)
    kept = "".join(lines[begin : min(first, len(lines))])
    lines[begin : last + 2] = _LINE.findall(kept + before + new + after + "".join(lines[last + 1 : last + 2]))


def _index(line: str, character: int, encoding: str) -> int:
    """Where a position is in a line, as Python counts."""
    content = line.rstrip("\r\n")
    if encoding == "utf-32" or content.isascii():
        return min(character, len(content))
    units = 0
    for index, sign in enumerate(content):
        units += len(sign.encode("utf-8", "surrogatepass")) if encoding == "utf-8" else 1 + (sign > "\uffff")
        if units > character:
            return index
    return len(content)
