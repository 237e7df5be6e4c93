"""The tables of a catalogue, and what a row of them is."""

from __future__ import annotations

import sqlite3
import zlib

import msgspec

from beastmode.workspace.chunks import Chunk
from beastmode.workspace.index import words

VERSION = 100 * 1 + words.VERSION
"""Of tables and words together. A catalogue is derived: one of another version is made anew."""

TABLES = """
CREATE TABLE files (id INTEGER PRIMARY KEY, path TEXT UNIQUE NOT NULL, size_bytes INTEGER, mtime_ns INTEGER,
    ctime_ns INTEGER, inode, sha256 BLOB NOT NULL);
CREATE TABLE pieces (id INTEGER PRIMARY KEY, file INTEGER NOT NULL, sha256 BLOB NOT NULL, symbol TEXT NOT NULL,
    kind TEXT NOT NULL, first_line INTEGER NOT NULL, last_line INTEGER NOT NULL, names TEXT NOT NULL,
    text BLOB NOT NULL);
CREATE INDEX pieces_of_file ON pieces (file);
CREATE INDEX pieces_by_sha ON pieces (sha256);
CREATE TABLE names (name TEXT NOT NULL, piece INTEGER NOT NULL, PRIMARY KEY (name, piece)) WITHOUT ROWID;
CREATE TABLE meta (revision INTEGER NOT NULL);
INSERT INTO meta VALUES (0);
CREATE VIRTUAL TABLE words USING fts5 (path, symbol, prose, code, content='',
    tokenize="porter unicode61 remove_diacritics 2 tokenchars '_'");
"""
COLUMNS = "p.id, f.path, p.sha256, p.symbol, p.kind, p.first_line, p.last_line, p.names, p.text"

Known = tuple[int, int, int, int, str]
"""Size, mtime_ns, ctime_ns, inode and digest of a file, as when it was read."""


class FileRow(msgspec.Struct):
    """A file as it was read.

    Attributes:
        path: Inside the workspace, with slashes.
        size_bytes: Its size.
        mtime_ns: When its content changed.
        ctime_ns: When anything of it changed.
        inode: Its number.
        sha256: Digest of its bytes, in hex.
        chunks: Its pieces.
    """

    path: str
    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    sha256: str
    chunks: list[Chunk]


class PieceRow(msgspec.Struct, frozen=True):
    """A piece as the catalogue has it.

    Attributes:
        id: Its number in this catalogue.
        path: The file it is in.
        sha256: Digest of its text, in hex.
        symbol: As `Chunk` has it, as the rest.
        kind: What it is.
        first_line: From 1.
        last_line: From 1.
        names: What it defines.
        text: All of it.
        score: How well it fits what was looked for; larger is better.
    """

    id: int
    path: str
    sha256: str
    symbol: str
    kind: str
    first_line: int
    last_line: int
    names: list[str]
    text: str
    score: float = 0.0


def pack_text(text: str) -> bytes:
    """A text as it is kept, compressed where that is worth it.

    Args:
        text: Any text.
    """
    raw = text.encode(errors="surrogatepass")
    return b"z" + zlib.compress(raw, 1) if len(raw) > 300 else b"t" + raw


def unpack_text(kept: bytes) -> str:
    """The text that was kept.

    Args:
        kept: What `pack_text` made of it.
    """
    raw = zlib.decompress(kept[1:]) if kept[:1] == b"z" else kept[1:]
    return raw.decode(errors="surrogatepass")


def piece_row(row: tuple[int, str, bytes, str, str, int, int, str, bytes], score: float = 0.0) -> PieceRow:
    """Makes a piece of a row of `COLUMNS`.

    Args:
        row: The row.
        score: How well it fits.
    """
    number, path, sha256, symbol, kind, first_line, last_line, names, kept = row
    return PieceRow(
        number, path, sha256.hex(), symbol, kind, first_line, last_line, names.split("\n") if names else [],
        unpack_text(kept), score,
    )  # fmt: skip


def word_columns(path: str, symbol: str, names: str, text: str) -> tuple[str, str, str, str]:
    """What is written into the columns of `words` for a piece. The same for the same piece: deleting needs it again.

    Args:
        path: The file.
        symbol: The piece's symbol.
        names: What it defines, one a line.
        text: Its text.
    """
    prose, code = words.prose_and_code(text)
    columns = (path, f"{symbol} {names}", prose, code)
    path_words, symbol_words, prose_words, code_words = (" ".join(words.words(column)) for column in columns)
    return path_words, symbol_words, prose_words, code_words


def clean(text: str) -> str:
    """A text that a database takes: lone surrogates are replaced.

    Args:
        text: Any text.
    """
    return text.encode(errors="replace").decode()


def is_damage(error: sqlite3.Error) -> bool:
    """Says whether the file is no good, as opposed to being in use or the disk being full.

    Args:
        error: What was raised.
    """
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "no such table" in str(error)
