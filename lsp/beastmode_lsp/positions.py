"""Lines and positions as the Language Server Protocol counts them, in code points and in the units of each encoding.

A line ends at LF, CR LF or CR and nowhere else (Python's `splitlines` knows eight more ends). The list of lines of a
text always has one more entry than the text has line ends, so that the place behind the last end is a line too.
"""

from __future__ import annotations

import bisect
import io
from collections.abc import Sequence
from typing import NamedTuple

UTF8, UTF16, UTF32 = "utf-8", "utf-16", "utf-32"
_CODECS = {UTF8: ("utf-8", 1), UTF16: ("utf-16-le", 2)}
_ENDS_OF_PYTHON = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


class Point(NamedTuple):
    """A place in a text, zero-based.

    Attributes:
        line: Number of the line.
        column: Code points of the line before it.
    """

    line: int
    column: int


class Span(NamedTuple):
    """A stretch of text; its end is not part of it.

    Attributes:
        start: Its first place.
        end: The place behind it.
    """

    start: Point
    end: Point


def split_lines(text: str) -> list[str]:
    r"""Cuts a text into lines with their ends.

    Args:
        text: Any text.

    Returns:
        The lines; the last one has no end, and is empty where the text ends with one.
    """
    if any(end in text for end in _ENDS_OF_PYTHON):
        lines = io.StringIO(text, newline="").readlines()
    else:
        lines = text.splitlines(True)  # twice as fast
    if not lines or lines[-1].endswith(("\n", "\r")):
        lines.append("")
    return lines


def content_length(line: str) -> int:
    """Code points of a line without its end.

    Args:
        line: A line, with its end.
    """
    if line.endswith("\r\n"):
        return len(line) - 2
    return len(line) - 1 if line.endswith(("\n", "\r")) else len(line)


def units(text: str, encoding: str) -> int:
    """How many units of an encoding a text takes.

    Args:
        text: Any text, lone surrogates too.
        encoding: `utf-8`, `utf-16` or `utf-32`.
    """
    if encoding == UTF32 or text.isascii():
        return len(text)
    codec, width = _CODECS[encoding]
    return len(text.encode(codec, "surrogatepass")) // width


def column_of(line: str, character: int, encoding: str) -> int:
    """Code points before a place that an editor named; one beyond the line is at its end.

    Args:
        line: The line, with its end.
        character: Units before the place; one in the midst of a code point means the start of that.
        encoding: Of the units.
    """
    longest = min(content_length(line), character)
    if encoding == UTF32 or line.isascii():
        return longest
    return bisect.bisect_right(range(longest + 1), character, key=lambda column: units(line[:column], encoding)) - 1


def point_of(lines: Sequence[str], line: int, character: int, encoding: str) -> Point:
    """The place that an editor means; one beyond the text is at its end.

    Args:
        lines: Of the text, as `split_lines` gives them.
        line: The editor's line.
        character: The editor's units.
        encoding: Of the units.
    """
    if line >= len(lines):
        return end_of(lines)
    return Point(line, column_of(lines[line], character, encoding))


def character_of(lines: Sequence[str], point: Point, encoding: str) -> int:
    """Units before a place, as an editor counts them.

    Args:
        lines: Of the text.
        point: A place in it.
        encoding: Of the units.
    """
    return units(lines[point.line][: point.column], encoding)


def end_of(lines: Sequence[str]) -> Point:
    """The place behind all text.

    Args:
        lines: Of the text.
    """
    return Point(len(lines) - 1, len(lines[-1]))


def clamp(lines: Sequence[str], point: Point) -> Point:
    """The nearest place that there is.

    Args:
        lines: Of the text.
        point: Any place.
    """
    if point.line >= len(lines):
        return end_of(lines)
    return Point(point.line, min(point.column, content_length(lines[point.line])))


def text_in(lines: Sequence[str], span: Span) -> str:
    """The text of a stretch.

    Args:
        lines: Of the text.
        span: A stretch of it.
    """
    (first, start), (last, end) = span
    if first == last:
        return lines[first][start:end]
    return "".join((lines[first][start:], *lines[first + 1 : last], lines[last][:end]))


def moved_by(start: Point, text: str) -> Point:
    """The place behind a text that stands at a place.

    Args:
        start: Where the text begins.
        text: The text.
    """
    inserted = split_lines(text)
    if len(inserted) == 1:
        return Point(start.line, start.column + len(text))
    return Point(start.line + len(inserted) - 1, len(inserted[-1]))


def replace(lines: list[str], span: Span, text: str) -> None:
    """Replaces a stretch of a text in place.

    Args:
        lines: Of the text; changed.
        span: The stretch; its places are in the text, and none is within a line's end.
        text: What stands there afterwards.
    """
    (first, start), (last, end) = span
    joins = first > 0 and start == 0 and lines[first - 1].endswith("\r")  # and an LF there makes one end of the two
    before = first - 1 if joins else first
    head = lines[before] if joins else ""
    again = split_lines(head + lines[first][:start] + text + lines[last][end:])
    if last + 1 < len(lines):
        again.pop()  # the empty rest behind the end of the last line
    lines[before : last + 1] = again
