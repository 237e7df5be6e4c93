"""What a look at a workspace found: gathered, and written to the catalogue in batches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from beastmode.workspace.index.catalogue import FileRow

ROWS_AT_ONCE, BYTES_AT_ONCE = 256, 4_000_000


class Store(Protocol):
    """The catalogue, as far as it is written to."""

    def known(self) -> dict[str, tuple[int, int, int, int, str]]:
        """Gives size, mtime_ns, ctime_ns, inode and digest of every file."""

    def put(self, files: list[FileRow]) -> None:
        """Writes files."""

    def remove(self, paths: Iterable[str]) -> None:
        """Takes files out."""


class Pending:
    """What is still to be written.

    Args:
        store: The catalogue.

    Attributes:
        is_first: Nothing was known: that all of it changed is said of no file, which saves the memory of many paths.
    """

    def __init__(self, store: Store) -> None:
        self.is_first = False
        self._store = store
        self._rows: dict[str, FileRow] = {}
        self._rows_bytes = 0
        self._gone: set[str] = set()
        self._changed: list[str] = []

    def put(self, row: FileRow, *, is_other: bool) -> None:
        """Takes a file that was read.

        Args:
            row: It and its pieces.
            is_other: Its content is not what it was.
        """
        self._rows[row.path] = row
        self._rows_bytes += row.size_bytes
        if is_other and not self.is_first:
            self._changed.append(row.path)
        if len(self._rows) >= ROWS_AT_ONCE or self._rows_bytes >= BYTES_AT_ONCE:
            self._write()

    def remove(self, path: str) -> None:
        """Takes a file that is gone, or is not to be known any more."""
        self._rows.pop(path, None)
        self._gone.add(path)
        self._changed.append(path)

    def finish(self) -> list[str]:
        """Writes the rest; returns every path that changed since the last time, where anything was known before."""
        self._write()
        changed, self._changed, self.is_first = self._changed, [], False
        return changed

    def _write(self) -> None:
        rows, self._rows, self._rows_bytes = list(self._rows.values()), {}, 0
        gone, self._gone = self._gone, set()
        if gone:
            self._store.remove(gone)
        if rows:
            self._store.put(rows)
