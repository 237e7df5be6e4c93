"""What retrieval is measured beside: words counted as with ripgrep, and vectors alone; vectors kept between runs."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from beastmode.core.plugins import Embedder
from beastmode.workspace.index.embedding import TEXT_CHARS, text_of, worth_it
from beastmode.workspace.index.ranking import kind_of_path
from beastmode.workspace.index.reading import Reader
from beastmode.workspace.index.schema import PieceRow
from beastmode.workspace.index.words import STOP_WORDS

WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{2,}")


def question_words(question: str) -> list[str]:
    """The words that a person would look for: three letters and more, no word that every sentence has.

    Args:
        question: The question.
    """
    return sorted({word.lower() for word in WORD.findall(question)} - STOP_WORDS)


def words_counted(folder: Path, question: str, ripgrep: str | None) -> list[str]:
    """Files by how many of the question's words they have, then by how often. With ripgrep, else the same in Python.

    Args:
        folder: The repository.
        question: The question.
        ripgrep: The program; None: there is none.
    """
    different: Counter[str] = Counter()
    often: Counter[str] = Counter()
    for word in question_words(question):
        for path, count in (_ripgrep(ripgrep, folder, word) if ripgrep else _python(folder, word)).items():
            different[path] += 1
            often[path] += count
    return sorted(different, key=lambda path: (-different[path], -often[path], path))


def _ripgrep(program: str, folder: Path, word: str) -> dict[str, int]:
    command = [program, "-i", "-F", "--count-matches", "--no-ignore", "--hidden", "--", word, "."]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout
    pairs = (line.rpartition(":") for line in said.splitlines())
    return {path.removeprefix("./"): int(count) for path, _, count in pairs}


def _python(folder: Path, word: str) -> dict[str, int]:
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and (count := path.read_text("utf-8").lower().count(word)):
            found[str(path.relative_to(folder))] = count
    return found


def find_ripgrep(given: str | None) -> str | None:
    """The program that is named, or the one on the path.

    Args:
        given: A path to it.
    """
    return given or shutil.which("rg")


class Kept:
    """Vectors of pieces, made once and kept in scratch by what was embedded.

    Args:
        file: Where they are kept.
        embedder: Makes them.
    """

    def __init__(self, file: Path, embedder: Embedder) -> None:
        self._embedder = embedder
        self._db = sqlite3.connect(file)
        self._db.execute("CREATE TABLE IF NOT EXISTS vectors (text TEXT PRIMARY KEY, vector BLOB) WITHOUT ROWID")

    def vector(self, text: str) -> NDArray[np.float32] | None:
        """The vector of a text; None where it is too long.

        Args:
            text: The text.
        """
        row = self._db.execute("SELECT vector FROM vectors WHERE text = ?", (text,)).fetchone()
        if row is None:
            made = self._embedder.embed(text)
            row = (made.vector.astype("<f4").tobytes() if made is not None else b"",)
            self._db.execute("INSERT OR REPLACE INTO vectors VALUES (?, ?)", (text, row[0]))
        return np.frombuffer(row[0], "<f4") if row[0] else None

    def piece(self, piece: PieceRow) -> NDArray[np.float32] | None:
        """The vector of a piece, as the daemon makes it.

        Args:
            piece: The piece.
        """
        for chars in TEXT_CHARS:
            made = self.vector(text_of(piece, chars))
            if made is not None:
                return made
        return None

    def commit(self) -> None:
        """Keeps what was made."""
        self._db.commit()


class Pieces:
    """The vectors of a repository's source: what the daemon embeds first. Tests are found by their words and names.

    Args:
        reader: Its catalogue.
        kept: Makes vectors.
    """

    def __init__(self, reader: Reader, kept: Kept) -> None:
        found: dict[str, tuple[PieceRow, NDArray[np.float32]]] = {}
        for path in reader.paths():
            if kind_of_path(path):
                continue
            for piece in reader.pieces_of(path):
                vector = kept.piece(piece) if worth_it(piece) and piece.sha256 not in found else None
                if vector is not None:
                    found[piece.sha256] = (piece, vector)
            kept.commit()
        self.rows = [piece for piece, _ in found.values()]
        self._matrix = np.array([vector for _, vector in found.values()], np.float16).astype(np.float32)

    def nearest(self, vector: NDArray[np.float32], limit: int) -> list[tuple[str, float]]:
        """As the daemon's own vectors answer it.

        Args:
            vector: Of the question.
            limit: How many at most.
        """
        cosines = self._matrix @ vector
        best = np.argsort(-cosines, kind="stable")[:limit]
        return [(self.rows[row].sha256, float(cosines[row])) for row in best]

    def files(self, vector: NDArray[np.float32]) -> list[str]:
        """Files by their nearest piece.

        Args:
            vector: Of the question.
        """
        order = np.argsort(-(self._matrix @ vector), kind="stable")
        return list(dict.fromkeys(self.rows[row].path for row in order))


def first_files(paths: Iterable[str], count: int = 10) -> list[str]:
    """The first files of a ranking of pieces.

    Args:
        paths: Of pieces, best first.
        count: How many.
    """
    return list(dict.fromkeys(paths))[:count]
