"""The catalogue of a workspace: its files, their pieces and their words, in one SQLite file. One process writes it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from beastmode.workspace.chunks import Chunk
from beastmode.workspace.index.reading import Reader
from beastmode.workspace.index.schema import (
    TABLES,
    VERSION,
    FileRow,
    Known,
    PieceRow,
    clean,
    is_damage,
    pack_text,
    unpack_text,
    word_columns,
)

__all__ = ["Catalogue", "DamagedError", "FileRow", "PieceRow", "Reader"]

BUSY_S = 10.0


class DamagedError(Exception):
    """The catalogue's file was no good and has been made anew, empty: every file is to be read again."""


class Catalogue:
    """The writer's side. Derived data: what can not be read is thrown away and made again.

    Attributes:
        path: Its file.
        made_anew: What was there was of another version, or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.made_anew = False
        self._db = self._connect()

    @classmethod
    def open(cls, path: Path | str) -> Catalogue:
        """Opens the catalogue in a file, or makes one.

        Args:
            path: The file.

        Raises:
            OSError: The folder can not be made.
            sqlite3.Error: The file can not be written.
        """
        return cls(Path(path))

    def known(self) -> dict[str, Known]:
        """What is in it: for each path size, mtime_ns, ctime_ns, inode and digest as they were when it was read."""
        rows = self._read("SELECT path, size_bytes, mtime_ns, ctime_ns, inode, sha256 FROM files")
        return {row[0]: (row[1], row[2], row[3], int(row[4]), row[5].hex()) for row in rows}

    def put(self, files: Sequence[FileRow]) -> None:
        """Writes files and their pieces in one transaction; what was known of them before is replaced.

        Args:
            files: What was read.

        Raises:
            DamagedError: The file was damaged, and is now empty.
            sqlite3.Error: The disk is full, or the like; nothing of these files was written.
        """
        with self._writing():
            for file in files:
                self._put(file)

    def remove(self, paths: Iterable[str]) -> None:
        """Takes files out, in one transaction.

        Args:
            paths: Which.

        Raises:
            DamagedError: As `put`.
            sqlite3.Error: As `put`.
        """
        with self._writing():
            for path in paths:
                found = self._db.execute("SELECT id FROM files WHERE path = ?", (clean(path),)).fetchone()
                if found is not None:
                    self._drop(clean(path), self._pieces(found[0]))
                    self._db.execute("DELETE FROM files WHERE id = ?", found)

    def counts(self) -> tuple[int, int]:
        """How many files and pieces there are."""
        files, pieces = self._read("SELECT (SELECT count(*) FROM files), (SELECT count(*) FROM pieces)")[0]
        return files, pieces

    def close(self) -> None:
        """Closes it; harmless when it is closed."""
        self._db.close()

    # -- inside ---------------------------------------------------------------------------------------------------

    def _put(self, file: FileRow) -> None:
        path = clean(file.path)
        inode = file.inode if file.inode < 1 << 63 else str(file.inode)
        about = (file.size_bytes, file.mtime_ns, file.ctime_ns, inode, bytes.fromhex(file.sha256))
        found = self._db.execute("SELECT id FROM files WHERE path = ?", (path,)).fetchone()
        if found is None:
            values = (path, *about)
            number = self._db.execute("INSERT INTO files VALUES (NULL, ?, ?, ?, ?, ?, ?)", values).lastrowid
        else:
            number = found[0]
            self._db.execute(
                "UPDATE files SET size_bytes = ?, mtime_ns = ?, ctime_ns = ?, inode = ?, sha256 = ? WHERE id = ?",
                (*about, number),
            )
        assert number is not None
        self._replace(number, path, file.chunks)

    def _replace(self, file: int, path: str, chunks: Sequence[Chunk]) -> None:
        """Writes the pieces of a file; those that are still what they were only move."""
        old: dict[tuple[str, ...], list[tuple[int, str, str, bytes]]] = {}
        for number, sha256, symbol, kind, names, text in self._pieces(file):
            old.setdefault((sha256.hex(), symbol, kind, names), []).append((number, symbol, names, text))
        for chunk in chunks:
            symbol, names = clean(chunk.symbol), clean("\n".join(chunk.names))
            same = old.get((chunk.sha256, symbol, chunk.kind, names))
            if same:
                number = same.pop(0)[0]
                lines = (chunk.first_line, chunk.last_line, number)
                self._db.execute("UPDATE pieces SET first_line = ?, last_line = ? WHERE id = ?", lines)
            else:
                self._insert(file, path, chunk, symbol, names)
        gone = [piece for left in old.values() for piece in left]
        self._drop(path, [(number, b"", symbol, "", names, text) for number, symbol, names, text in gone])

    def _insert(self, file: int, path: str, chunk: Chunk, symbol: str, names: str) -> None:
        sha256, text = bytes.fromhex(chunk.sha256), pack_text(chunk.text)
        values = (file, sha256, symbol, chunk.kind, chunk.first_line, chunk.last_line, names, text)
        number = self._db.execute("INSERT INTO pieces VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", values).lastrowid
        columns = word_columns(path, symbol, names, chunk.text)
        self._db.execute(
            "INSERT INTO words (rowid, path, symbol, prose, code) VALUES (?, ?, ?, ?, ?)", (number, *columns)
        )
        self._db.executemany("INSERT OR IGNORE INTO names VALUES (?, ?)", [(name, number) for name in _names(names)])

    def _drop(self, path: str, pieces: Iterable[tuple[int, bytes, str, str, str, bytes]]) -> None:
        for number, _, symbol, _, names, text in pieces:
            columns = word_columns(path, symbol, names, unpack_text(text))
            self._db.execute(
                "INSERT INTO words (words, rowid, path, symbol, prose, code) VALUES ('delete', ?, ?, ?, ?, ?)",
                (number, *columns),
            )
            self._db.executemany(
                "DELETE FROM names WHERE name = ? AND piece = ?", [(name, number) for name in _names(names)]
            )
            self._db.execute("DELETE FROM pieces WHERE id = ?", (number,))

    def _pieces(self, file: int) -> list[tuple[int, bytes, str, str, str, bytes]]:
        sql = "SELECT id, sha256, symbol, kind, names, text FROM pieces WHERE file = ? ORDER BY first_line, id"
        return self._db.execute(sql, (file,)).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction, after which readers see that something changed."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("UPDATE meta SET revision = revision + 1")
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo()
            if not is_damage(error):
                raise
            self._make_anew()
            raise DamagedError(f"{self.path} was damaged") from error
        except BaseException:
            self._undo()
            raise

    def _undo(self) -> None:
        with suppress(sqlite3.Error):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _read(self, sql: str) -> list[Any]:
        try:
            return self._db.execute(sql).fetchall()
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            self._make_anew()
            return self._db.execute(sql).fetchall()

    def _connect(self) -> sqlite3.Connection:
        """Opens the file; one that is damaged or of another version makes room for a new one."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for attempt in (1, 2):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
            db = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            try:
                if _prepare(db):
                    return db
            except sqlite3.Error as error:
                if attempt == 2 or not is_damage(error):
                    db.close()
                    raise
            db.close()
            self._unlink()
        raise DamagedError(f"{self.path} can not be made")

    def _make_anew(self) -> None:
        self._db.close()
        self._unlink()
        self._db = self._connect()

    def _unlink(self) -> None:
        self.made_anew = True
        for ending in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)


def _prepare(db: sqlite3.Connection) -> bool:
    """Sets a connection up, and an empty file; False: the file is of another version."""
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA journal_size_limit = 16777216")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version == 0 and not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        db.executescript(f"BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
        return True
    if version != VERSION:
        return False
    db.execute("SELECT revision FROM meta").fetchone()
    return True


def _names(names: str) -> set[str]:
    return {name.lower() for name in names.split("\n") if name}
