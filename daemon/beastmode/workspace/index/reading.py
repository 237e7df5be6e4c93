"""Looks into a catalogue, while another process writes it. Blocks: called in threads. No catalogue is an empty one."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from beastmode.workspace.index.schema import COLUMNS, VERSION, PieceRow, is_damage, piece_row
from beastmode.workspace.index.words import parts, terms

BUSY_S = 5.0
WEIGHTS = (3.0, 4.0, 1.0, 1.0)
"""What a word counts in a path, a symbol, prose and code."""

_MANY = 900
_RANKED = (
    f"SELECT rowid, bm25(words, {', '.join(map(str, WEIGHTS))}) AS fit FROM words"  # noqa: S608 - numbers of ours
    " WHERE words MATCH ? ORDER BY fit LIMIT ?"
)
_FROM = f"SELECT {COLUMNS} FROM pieces p JOIN files f ON f.id = p.file"  # noqa: S608 - no value is in it
_LEAN = _FROM.replace("p.text", "x'74'")  # an empty text


class Reader:
    """The reader's side. A batch of the writer is seen whole or not at all.

    Args:
        path: The catalogue's file, which need not be there yet.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._db: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None
        self._lock = threading.Lock()

    def revision(self) -> int:
        """A number that rises with each batch that is written; 0: nothing was."""
        rows = self._all("SELECT revision FROM meta")
        return int(rows[0][0]) if rows else 0

    def counts(self) -> tuple[int, int]:
        """How many files and pieces there are."""
        rows = self._all("SELECT (SELECT count(*) FROM files), (SELECT count(*) FROM pieces)")
        return (rows[0][0], rows[0][1]) if rows else (0, 0)

    def paths(self) -> list[str]:
        """All files, by name."""
        return [row[0] for row in self._all("SELECT path FROM files ORDER BY path")]

    def file_sha256(self, path: str) -> str | None:
        """The digest of a file's bytes as when it was read; None: it is not in the catalogue.

        Args:
            path: Inside the workspace.
        """
        rows = self._all("SELECT sha256 FROM files WHERE path = ?", (path,))
        return rows[0][0].hex() if rows else None

    def pieces_of(self, path: str) -> list[PieceRow]:
        """The pieces of a file, in order.

        Args:
            path: Inside the workspace.
        """
        return self._pieces("WHERE f.path = ? ORDER BY p.first_line, p.id", (path,))

    def chunk(self, sha256: str) -> PieceRow | None:
        """A piece by its digest; one of them, where several files have it.

        Args:
            sha256: In hex.
        """
        found = self._pieces("WHERE p.sha256 = ? ORDER BY p.id LIMIT 1", (bytes.fromhex(sha256),))
        return found[0] if found else None

    def chunks(self, digests: Iterable[str], texts: bool = True) -> list[PieceRow]:
        """All pieces with these digests.

        Args:
            digests: In hex.
            texts: With their texts.
        """
        wanted = [bytes.fromhex(digest) for digest in digests]
        found: list[PieceRow] = []
        for at in range(0, len(wanted), _MANY):
            some = wanted[at : at + _MANY]
            found += self._pieces(f"WHERE p.sha256 IN ({','.join('?' * len(some))})", some, texts)
        return found

    def texts(self, numbers: Sequence[int]) -> dict[int, str]:
        """The texts of pieces, by their numbers; those that are gone by now are missing.

        Args:
            numbers: Of at most some hundred pieces.
        """
        some = list(numbers)[:_MANY]
        return {piece.id: piece.text for piece in self._pieces(f"WHERE p.id IN ({','.join('?' * len(some))})", some)}

    def digests(self) -> set[bytes]:
        """The digests of all pieces."""
        return {row[0] for row in self._all("SELECT DISTINCT sha256 FROM pieces")}

    def search_words(self, query: str | Sequence[str], limit: int = 50, texts: bool = True) -> list[PieceRow]:
        """Pieces that have the words of a question, the best by BM25 first.

        Args:
            query: A question, or its words.
            limit: How many at most.
            texts: With their texts.
        """
        wanted = terms(query) if isinstance(query, str) else list(query)
        if not wanted:
            return []
        match = " OR ".join(f'"{word}"' for word in wanted)
        return self._ranked(match, limit, texts)

    def search_symbols(self, names: Sequence[str], limit: int = 50, texts: bool = True) -> list[PieceRow]:
        """Pieces that define a name: that very one first, then those that begin so, then those with its parts.

        Args:
            names: Names, such as `get`, `Cache.get`.
            limit: How many at most.
            texts: With their texts.
        """
        found: dict[int, PieceRow] = {}
        for name in names:
            for piece in self._named(name, limit, texts):
                if piece.id not in found or found[piece.id].score < piece.score:
                    found[piece.id] = piece
        if len(found) < limit and names:
            split = {part for name in names for word in name.split(".") for part in parts(word)}
            match = " OR ".join(f'"{part}"' for part in sorted(split) if part)
            for piece in self._ranked(f"{{symbol}} : ({match})", limit, texts) if match else []:
                found.setdefault(piece.id, msgspec.structs.replace(piece, score=0.2))
        return sorted(found.values(), key=lambda piece: (-piece.score, piece.path, piece.first_line))[:limit]

    def defining(self, names: Sequence[str], limit: int = 400) -> list[PieceRow]:
        """Pieces that define one of several names, whatever the case of their letters.

        Args:
            names: Without dots.
            limit: How many at most.
        """
        low = sorted({name.lower() for name in names})[:_MANY]
        marks = ",".join("?" * len(low))
        return self._pieces(f"JOIN names n ON n.piece = p.id WHERE n.name IN ({marks}) LIMIT ?", [*low, limit])

    def definers(self, names: Sequence[str], most: int) -> dict[str, list[PieceRow]]:
        """The pieces, without their texts, that define each of several names, exactly as it is written.

        Args:
            names: Without dots.
            most: A name that more pieces define is left out.
        """
        low = {name.lower() for name in names}
        found: dict[str, list[PieceRow]] = {}
        for some in batched(sorted(low)):
            marks = ",".join("?" * len(some))
            rare = f"SELECT name FROM names WHERE name IN ({marks}) GROUP BY name HAVING count(*) <= ?"  # noqa: S608
            where = f"JOIN names n ON n.piece = p.id WHERE n.name IN ({rare}) ORDER BY p.id"
            for piece in self._pieces(where, [*some, most], texts=False):
                for name in piece.names:
                    found.setdefault(name, [])
                    if not found[name] or found[name][-1].id != piece.id:
                        found[name].append(piece)
        wanted = set(names)
        return {name: pieces for name, pieces in found.items() if name in wanted and len(pieces) <= most}

    def _named(self, name: str, limit: int, texts: bool) -> list[PieceRow]:
        *around, last = name.split(".")
        low = last.lower()
        if not low:
            return []
        sql = "JOIN names n ON n.piece = p.id WHERE n.name = ? LIMIT ?"
        found = [_scored(piece, last, around) for piece in self._pieces(sql, (low, 10 * limit), texts)]
        if len(low) > 2:
            sql = "JOIN names n ON n.piece = p.id WHERE n.name > ? AND n.name < ? LIMIT ?"
            begins = self._pieces(sql, (low, low + "\U0010ffff", limit), texts)
            found += [msgspec.structs.replace(piece, score=0.4) for piece in begins]
        return found

    def unembedded(
        self, limit: int, after: int = 0, has: Callable[[bytes], bool] = lambda _: False
    ) -> tuple[list[PieceRow], int]:
        """Pieces that have no vector yet, in the order in which they were written.

        Args:
            limit: How many to look at.
            after: Where the last call ended; 0: the beginning.
            has: Says whether a digest has a vector.

        Returns:
            Those of them without a vector, and where this call ended; 0: there are no more.
        """
        rows = self._all("SELECT id, sha256 FROM pieces WHERE id > ? ORDER BY id LIMIT ?", (after, limit))
        wanted = [row[0] for row in rows if not has(row[1])]
        found: list[PieceRow] = []
        for at in range(0, len(wanted), _MANY):
            some = wanted[at : at + _MANY]
            found += self._pieces(f"WHERE p.id IN ({','.join('?' * len(some))}) ORDER BY p.id", some)
        return found, rows[-1][0] if len(rows) == limit else 0

    def close(self) -> None:
        """Closes it; the next look opens it again."""
        with self._lock:
            self._close()

    # -- inside ---------------------------------------------------------------------------------------------------

    def _ranked(self, match: str, limit: int, texts: bool) -> list[PieceRow]:
        ranked = self._all(
            _RANKED,
            (match, limit),
        )
        scores = {row[0]: -row[1] for row in ranked}
        found: list[PieceRow] = []
        for at in range(0, len(ranked), _MANY):
            some = [row[0] for row in ranked[at : at + _MANY]]
            found += self._pieces(f"WHERE p.id IN ({','.join('?' * len(some))})", some, texts)
        scored = [msgspec.structs.replace(piece, score=scores[piece.id]) for piece in found]
        return sorted(scored, key=lambda piece: (-piece.score, piece.id))

    def _pieces(self, where: str, values: Sequence[Any], texts: bool = True) -> list[PieceRow]:
        return [piece_row(row) for row in self._all(f"{_FROM if texts else _LEAN} {where}", values)]

    def _all(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Asks, and once more where the file was replaced under our hands; what is damaged is empty."""
        with self._lock:
            for _ in range(2):
                try:
                    db = self._current()
                    return db.execute(sql, values).fetchall() if db is not None else []
                except sqlite3.DatabaseError as error:
                    self._close()
                    if not (is_damage(error) or isinstance(error, sqlite3.OperationalError)):
                        raise
            return []

    def _current(self) -> sqlite3.Connection | None:
        try:
            found = self.path.stat()
        except OSError:
            self._close()
            return None
        if self._db is None or self._opened != (found.st_dev, found.st_ino):
            self._close()
            db = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_S, check_same_thread=False
            )
            self._db, self._opened = db, (found.st_dev, found.st_ino)
            db.execute("PRAGMA cache_size = -8192")
            if db.execute("PRAGMA user_version").fetchone()[0] != VERSION:
                self._close()
                return None
        return self._db

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
        self._db = self._opened = None


def batched(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """Values in as many as a statement takes at once.

    Args:
        values: Any.
    """
    for at in range(0, len(values), _MANY):
        yield values[at : at + _MANY]


def _scored(piece: PieceRow, name: str, around: Collection[str]) -> PieceRow:
    """An exact name: its letters as they were written, and what stands around it, count."""
    score = 1.0 if name in piece.names else 0.8
    if around:
        holders = piece.symbol.split(".")[:-1]
        score += 0.5 if holders and holders[-1] in around else 0.0
    return msgspec.structs.replace(piece, score=score)
