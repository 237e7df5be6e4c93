"""Places in a text: lines that end at LF, CRLF or CR alone, positions in code points, and the offsets they mean."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Annotated

import msgspec
from msgspec import Meta

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


class Position(msgspec.Struct, forbid_unknown_fields=True, frozen=True, order=True):
    """A place between two characters.

    Attributes:
        line: From 0; lines end at LF, CRLF or CR.
        character: From 0, in Unicode code points; beyond the end of its line: that end.
    """

    line: Annotated[int, Meta(ge=0)]
    character: Annotated[int, Meta(ge=0)]


class Range(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A part of a text.

    Attributes:
        start: Its first place.
        end: The place after it; the same as `start`: a cursor.
    """

    start: Position
    end: Position


def split_lines(text: str) -> list[str]:
    """Cuts a text into lines that keep their ends; unlike `str.splitlines`, form feeds and U+2028 end none.

    Args:
        text: Any text.
    """
    if "\r" in text:
        return _LINE.findall(text)
    lines = text.split("\n")
    last = lines.pop()
    return [f"{line}\n" for line in lines] + ([last] if last else [])


def content(line: str) -> str:
    """A line without its end.

    Args:
        line: As `split_lines` gives it.
    """
    return line.rstrip("\r\n")


def line_end(text: str) -> str:
    """The line end that a text uses most; LF where it has none.

    Args:
        text: Any text.
    """
    crlf = text.count("\r\n")
    counts = {"\n": text.count("\n") - crlf, "\r\n": crlf, "\r": text.count("\r") - crlf}
    return max(counts, key=lambda end: counts[end])


class Lines:
    """A text with its lines, to go between positions and offsets.

    Args:
        text: Any text.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = split_lines(text)
        self._starts = [0]
        for line in self.lines:
            self._starts.append(self._starts[-1] + len(line))
        if self.lines and content(self.lines[-1]) == self.lines[-1]:
            self._starts.pop()  # the last line has no end, so none begins after it

    def __len__(self) -> int:
        """The number of lines that a cursor can stand in."""
        return len(self._starts)

    def start_of(self, line: int) -> int:
        """The offset at which a line begins; the end of the text for a line beyond it.

        Args:
            line: From 0.
        """
        return self._starts[line] if line < len(self._starts) else len(self.text)

    def end_of(self, line: int) -> int:
        """The offset at which the content of a line ends, before its line end.

        Args:
            line: From 0.
        """
        if line >= len(self.lines):
            return len(self.text)
        return self._starts[line] + len(content(self.lines[line]))

    def offset(self, position: Position) -> int:
        """The offset of a position; beyond the end of a line, or of the text, it is that end.

        Args:
            position: Any.
        """
        if position.line >= len(self._starts):
            return len(self.text)
        return min(self._starts[position.line] + position.character, self.end_of(position.line))

    def position(self, offset: int) -> Position:
        """The position of an offset.

        Args:
            offset: 0 to the length of the text.
        """
        line = bisect_right(self._starts, offset) - 1
        return Position(line, offset - self._starts[line])

    def line_of(self, offset: int) -> int:
        """The line that an offset lies in.

        Args:
            offset: 0 to the length of the text.
        """
        return bisect_right(self._starts, offset) - 1
