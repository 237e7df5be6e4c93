"""The SQLite file of the ledger: opened, migrated, checked, and set aside when it is damaged."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from beastmode.core.errors import BeastError

CHECK_MAX_BYTES = 32 << 20
BUSY_TIMEOUT_S = 10.0
PRUNE_CHUNK = 5_000

MIGRATIONS = (
    """
    CREATE TABLE kind (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        origin TEXT NOT NULL,
        outcome TEXT NOT NULL,
        cache TEXT,
        tier TEXT,
        model TEXT NOT NULL,
        model_served TEXT,
        deployment TEXT,
        provider TEXT,
        error_kind TEXT,
        attempts INTEGER NOT NULL,
        fell_back INTEGER NOT NULL,
        stream INTEGER NOT NULL,
        user TEXT NOT NULL,
        workspace TEXT,
        client TEXT NOT NULL,
        tags TEXT NOT NULL
    );
    CREATE TABLE word (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
    CREATE TABLE request (
        id INTEGER PRIMARY KEY,
        request_id TEXT NOT NULL UNIQUE,
        at_us INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        session INTEGER,
        route INTEGER,
        tip INTEGER,
        prompt_tokens INTEGER,
        completion_tokens INTEGER,
        cached_tokens INTEGER,
        cache_write_tokens INTEGER,
        reasoning_tokens INTEGER,
        cost_nusd INTEGER,
        saved_nusd INTEGER,
        latency_us INTEGER,
        ttft_us INTEGER,
        overhead_us INTEGER
    );
    CREATE INDEX request_at ON request (at_us);
    CREATE INDEX request_kind ON request (kind, at_us);
    CREATE TABLE intent (request_id TEXT PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID;
    """,
)
"""Step n takes a file of schema n to schema n + 1; a step that was released is never changed."""


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error means that the file's content is wrong, not that the disk is full or busy.

    Args:
        error: As sqlite3 raised it.
    """
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Database:
    """One SQLite file in WAL mode. `open` and `set_aside` are the writer's; readers take connections with `reader`.

    Args:
        path: The file; made as 0600 where it is missing, its folder as 0700.
        on_damage: Gets a sentence when the file was set aside.
    """

    def __init__(self, path: Path, on_damage: Callable[[str], None]) -> None:
        self.path = path
        self._on_damage = on_damage
        self.generation = 0

    def open(self) -> sqlite3.Connection:
        """Opens the file for the one writer, in the newest schema.

        Raises:
            BeastError: The file was written by a newer version.
            sqlite3.Error: The disk refuses.
            OSError: It refuses even the empty file.
        """
        try:
            return self._open()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            self.set_aside(str(error))
            return self._open()

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = self._connect()
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            self._migrate(connection)
            self._check(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def reader(self) -> sqlite3.Connection:
        """Opens the file for reading, for one thread."""
        connection = self._connect()
        connection.execute("PRAGMA query_only = 1")
        return connection

    def prune(self, before_us: int) -> int:
        """Deletes the rows of requests before this time, some thousands at a time, so that the writer never waits long.

        Args:
            before_us: Wall clock, microseconds since the epoch.

        Returns:
            How many were deleted.

        Raises:
            sqlite3.Error: The disk refuses.
        """
        query = "DELETE FROM request WHERE id IN (SELECT id FROM request WHERE at_us < ? ORDER BY at_us LIMIT ?)"
        deleted = 0
        with contextlib.closing(self._connect()) as connection:
            while count := connection.execute(query, (before_us, PRUNE_CHUNK)).rowcount:
                deleted += count
        return deleted

    def _connect(self) -> sqlite3.Connection:
        uri = self.path.absolute().as_uri() + "?mode=rw"  # a file that is missing is made by `open` alone, as 0600
        return sqlite3.connect(
            uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=32
        )

    def _migrate(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise BeastError(
                f"{self.path} was written by a newer version (schema {version}; this one knows {len(MIGRATIONS)}).",
                tips=["pip install --upgrade beastmode", f"or move {self.path} away to start a new ledger"],
            )
        for number in range(version, len(MIGRATIONS)):
            step = f"BEGIN IMMEDIATE; {MIGRATIONS[number]}; PRAGMA user_version = {number + 1}; COMMIT;"
            connection.executescript(step)

    def _check(self, connection: sqlite3.Connection) -> None:
        """Looks for damage where that is quick; in a larger file it is found when it is met."""
        connection.execute("SELECT count(*) FROM (SELECT 1 FROM request, kind, word, intent LIMIT 1)").fetchone()
        if self.path.stat().st_size > CHECK_MAX_BYTES:
            return
        (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if said != "ok":
            damage = sqlite3.DatabaseError(said)
            damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise damage

    def set_aside(self, reason: str) -> Path:
        """Renames a damaged file with its log, which are never deleted.

        Args:
            reason: What was found.

        Returns:
            Its new name.
        """
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.damaged-{number}")).exists():
            number += 1
        for suffix in ("", "-wal", "-shm"):
            old = self.path.with_name(self.path.name + suffix)
            if old.exists():
                old.rename(aside.with_name(aside.name + suffix))
        self.generation += 1
        self._on_damage(f"The ledger was damaged ({reason}); it is kept as {aside} and a new one was started.")
        return aside
