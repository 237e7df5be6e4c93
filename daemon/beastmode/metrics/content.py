"""What requests asked and got, kept beside their rows, and only where the user has turned that on."""

from __future__ import annotations

import sqlite3
import zlib
from typing import Any

from beastmode.core.rows import Row
from beastmode.metrics.rows import Values, insert

_COLUMNS = ("request_id", "at_us", "workspace", "prompt", "answer")
_WHICH = """
    (:since_us IS NULL OR at_us >= :since_us) AND (:workspace IS NULL OR workspace = :workspace)"""


def write(connection: sqlite3.Connection, rows: list[Row]) -> None:
    """Keeps what some rows carry; most carry nothing.

    Args:
        connection: In the transaction that writes the rows.
        rows: Of one request the first counts.
    """
    kept: list[Values] = [
        (row.request_id, int(row.at_s * 1e6), row.workspace, _packed(row.content.prompt), _packed(row.content.answer))
        for row in rows
        if row.content is not None
    ]
    if kept:
        insert(connection, "content", _COLUMNS, kept)


def read(connection: sqlite3.Connection, request_id: str) -> dict[str, Any] | None:
    """What is kept of a request.

    Args:
        connection: To the ledger.
        request_id: Which.

    Returns:
        `{prompt, answer}`; None where nothing is.
    """
    found = connection.execute("SELECT prompt, answer FROM content WHERE request_id = ?", (request_id,)).fetchone()
    return None if found is None else {"prompt": _unpacked(found[0]), "answer": _unpacked(found[1])}


def count(connection: sqlite3.Connection, since_us: int | None, workspace: str | None) -> int:
    """How many requests have something kept.

    Args:
        connection: To the ledger.
        since_us: Those since then, microseconds since the epoch; None: all.
        workspace: Those about it; None: all.
    """
    values = {"since_us": since_us, "workspace": workspace}
    found: int = connection.execute(f"SELECT count(*) FROM content WHERE {_WHICH}", values).fetchone()[0]  # noqa: S608  # constants
    return found


def forget(connection: sqlite3.Connection, since_us: int | None, workspace: str | None) -> int:
    """Deletes, and overwrites, what is kept.

    Args:
        connection: Of the caller alone, in no transaction.
        since_us: As for `count`.
        workspace: As for `count`.

    Returns:
        Of how many requests.
    """
    values = {"since_us": since_us, "workspace": workspace}
    connection.execute("PRAGMA secure_delete = 1").fetchall()
    gone = connection.execute(f"DELETE FROM content WHERE {_WHICH}", values).rowcount  # noqa: S608  # constants
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return gone


def _packed(text: str | None) -> bytes | None:
    return None if text is None else zlib.compress(text.encode("utf-8", "replace"), 1)


def _unpacked(packed: bytes | None) -> str | None:
    return None if packed is None else zlib.decompress(packed).decode()
