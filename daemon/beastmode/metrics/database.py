"""The SQLite file of the ledger: opened, migrated, checked, and set aside when it is damaged."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from beastmode.core.errors import BeastError
from beastmode.metrics.schema import MIGRATIONS

CHECK_MAX_BYTES = 32 << 20
BUSY_TIMEOUT_S = 10.0
PRUNE_CHUNK = 5_000
VACUUM_PAGES = 1_000
BREATH_S = 0.005


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error means that the file's content is wrong, not that the disk is full or busy.

    Args:
        error: As sqlite3 raised it.
    """
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def used_bytes(connection: sqlite3.Connection) -> int:
    """What a file holds, without the pages that are free.

    Args:
        connection: To the file.
    """
    query = """
        SELECT (page_count - freelist_count) * page_size
        FROM pragma_page_count, pragma_freelist_count, pragma_page_size"""
    return int(connection.execute(query).fetchone()[0])


def _free_pages(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA freelist_count").fetchone()[0])


class Database:
    """One SQLite file in WAL mode. `open` and `set_aside` are the writer's; readers take connections with `reader`.

    Args:
        path: The file; made as 0600 where it is missing, its folder as 0700.
        on_damage: Gets a sentence when the file was set aside.

    Attributes:
        generation: Rises when the file was set aside: connections are of the old one.
        writing: Held during each transaction that writes. SQLite alone lets those who work in many steps go first again
            and again; with this, and a breath between the steps, the one who writes rows waits for one step at most.
    """

    def __init__(self, path: Path, on_damage: Callable[[str], None]) -> None:
        self.path = path
        self._on_damage = on_damage
        self.generation = 0
        self.writing = threading.Lock()

    def open(self) -> sqlite3.Connection:
        """Opens the file for the one writer, in the newest schema.

        Raises:
            BeastError: The file was written by a newer version.
            sqlite3.Error: The disk refuses.
            OSError: It refuses even the empty file.
        """
        try:
            return self._open()
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            # Of a damaged schema sqlite3 says what is wrong in bytes that are no text.
            if isinstance(error, sqlite3.Error) and not is_damage(error):
                raise
            self.set_aside(str(error))
            return self._open()

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = self._connect()
        try:
            if not connection.execute("PRAGMA user_version").fetchone()[0]:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # an older file keeps the size it has reached
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            self._migrate(connection)
            self._check(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def derived(self) -> sqlite3.Connection:
        """Opens the file to write what can be made again, for one thread: a power cut may lose the newest of it.

        What it wrote is moved from the log to the file by `settle`, when nobody waits, or by whoever writes rows.
        """
        connection = self._connect()
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        return connection

    @staticmethod
    def settle(connection: sqlite3.Connection) -> None:
        """Moves what was written to the file, which waits for the disk; nobody else has to.

        Args:
            connection: From `derived`, in no transaction.
        """
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def reader(self) -> sqlite3.Connection:
        """Opens the file for reading, for one thread."""
        connection = self._connect()
        connection.execute("PRAGMA query_only = 1")
        return connection

    def prune(self, before_us: int, max_bytes: int | None = None) -> int:
        """Deletes the oldest rows, some thousands at a time, so that the writer never waits long.

        What they added up to stays in the roll-ups; rows that are not in these yet stay too.

        Args:
            before_us: Rows of before this time go; wall clock, microseconds since the epoch.
            max_bytes: Rows go until the file needs no more than this; None: any size.

        Returns:
            How many were deleted.

        Raises:
            sqlite3.Error: The disk refuses.
        """
        deleted = 0
        with contextlib.closing(self._connect()) as connection:
            while True:
                large = max_bytes is not None and used_bytes(connection) > max_bytes
                with self.writing:
                    count = self._prune_chunk(connection, (1 << 62) if large else before_us)
                if not count:
                    break
                deleted += count
                time.sleep(BREATH_S)
            self._shrink(connection)
        return deleted

    def _shrink(self, connection: sqlite3.Connection) -> None:
        """Gives free pages back to the disk; a file of the first schema keeps them, and uses them again."""
        free, before = _free_pages(connection), -1
        while free and free != before:
            with self.writing:
                connection.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
            time.sleep(BREATH_S)
            free, before = _free_pages(connection), free

    def _prune_chunk(self, connection: sqlite3.Connection, before_us: int) -> int:
        oldest = """
            SELECT id, at_us FROM request
            WHERE at_us < :before AND id <= (SELECT watermark FROM rolled) ORDER BY at_us LIMIT :chunk"""
        values = {"before": before_us, "chunk": PRUNE_CHUNK}
        connection.execute("BEGIN IMMEDIATE")
        with connection:  # an id that is free again after this is given to a row that is not in the roll-ups
            connection.execute(
                f"""
                UPDATE rolled SET pruned_us = max(
                    pruned_us, coalesce((SELECT max(at_us) + 1 FROM ({oldest})), 0))""",  # noqa: S608  # constants
                values,
            )
            connection.execute(
                f"""
                DELETE FROM content WHERE request_id IN (
                    SELECT request_id FROM request WHERE id IN (SELECT id FROM ({oldest})))""",  # noqa: S608  # constants
                values,
            )
            gone = connection.execute(f"DELETE FROM request WHERE id IN (SELECT id FROM ({oldest}))", values).rowcount  # noqa: S608  # constants
            connection.execute(
                "UPDATE rolled SET watermark = min(watermark, coalesce((SELECT max(id) FROM request), 0))"
            )
        return gone

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
