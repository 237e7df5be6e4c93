"""Which functions and classes files had when they were last looked at, so that it can be told which ones changed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from beastmode.workspace.chunks import Chunk, cut

FILES_MAX = 300


class _Seen(msgspec.Struct, frozen=True):
    chunks: list[tuple[str, str, int, int]]

    def symbols(self) -> list[str]:
        return [*dict.fromkeys(symbol for symbol, *_ in self.chunks if symbol)]


class Symbols:
    """What was seen of files; used by one thread at a time."""

    def __init__(self) -> None:
        self._files: OrderedDict[tuple[str, str], _Seen] = OrderedDict()

    def look(self, workspace: str, path: str, text: str) -> tuple[list[str], list[str]]:
        """Looks at a file.

        Args:
            workspace: Where it is.
            path: Inside the workspace.
            text: All of it.

        Returns:
            Its symbols, in order; and those that are new or changed since it was looked at before, none where it never
            was.
        """
        seen = _Seen([(one.symbol, one.sha256, one.first_line, one.last_line) for one in cut(path, text)])
        before = self._files.get((workspace, path))
        self._files[workspace, path] = seen
        self._files.move_to_end((workspace, path))
        if len(self._files) > FILES_MAX:
            self._files.popitem(last=False)
        if before is None:
            return seen.symbols(), []
        old = {(symbol, sha256) for symbol, sha256, *_ in before.chunks}
        changed = dict.fromkeys(one[0] for one in seen.chunks if one[0] and one[:2] not in old)
        return seen.symbols(), [*changed]

    def known(self, workspace: str, path: str) -> bool:
        """Whether a file was looked at."""
        return (workspace, path) in self._files

    def at(self, workspace: str, path: str, line: int) -> str:
        """The innermost function or class of a line, as the file was when it was looked at; empty: none is known.

        Args:
            workspace: Where the file is.
            path: Inside the workspace.
            line: From 1.
        """
        seen = self._files.get((workspace, path))
        for symbol, _, first, last in seen.chunks if seen is not None else ():
            if first <= line <= last:
                return symbol
        return ""


def symbol_of(path: str, text: str, first_line: int, last_line: int) -> str:
    """The function or class that a selection is, or lies in; empty where it is of several, or of none.

    Args:
        path: Says what the text is written in.
        text: All of it.
        first_line: Of the selection, from 0.
        last_line: The last of its lines.
    """
    touched = [one for one in cut(path, text) if one.first_line <= last_line + 1 and first_line < one.last_line]
    return _common(touched)


def _common(chunks: Sequence[Chunk]) -> str:
    symbols = [one.symbol for one in chunks]
    if not symbols or not symbols[0]:
        return ""
    first = symbols[0]
    return first if all(one == first or one.startswith(f"{first}.") for one in symbols) else ""
