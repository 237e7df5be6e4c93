"""The ledger: one row for every request, whatever happened to it, journalled at once and kept in SQLite."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from beastmode.core.clock import Clock
from beastmode.core.errors import NotFoundError
from beastmode.core.journal import Journal
from beastmode.core.rows import Row
from beastmode.metrics import content
from beastmode.metrics.database import Database, is_damage
from beastmode.metrics.queries import LIST_MAX, ONE, Reader, grouped_errors, listing, newest
from beastmode.metrics.roller import Roller
from beastmode.metrics.rows import RowWriter, insert, tame

KILLED = "The daemon was killed during this call; what it cost is unknown. Ask again."
_ROW, _INTENT = b"r", b"i"

T = TypeVar("T")

_encode = msgspec.msgpack.Encoder().encode
_decode_row = msgspec.msgpack.Decoder(Row).decode


class Intent(msgspec.Struct):
    """A call that is about to be made, as the row that it leaves if the daemon dies before it ends.

    Attributes:
        request_id: The request.
        row: The row in MessagePack.
    """

    request_id: str
    row: bytes


Record = Row | Intent


def _decode(payload: bytes) -> Record:
    """Makes a record from what `Ledger` journalled."""
    row = _decode_row(payload[1:])
    return row if payload[:1] == _ROW else Intent(row.request_id, payload[1:])


class _Writer:
    """What the journal's thread does: one transaction a batch.

    Args:
        database: The file.
        wrote: Is told how many rows were written.
    """

    def __init__(self, database: Database, wrote: Callable[[int], None]) -> None:
        self._database = database
        self._wrote = wrote
        self._open_intents: set[str] = set()
        self._connection: sqlite3.Connection | None = None

    def open(self) -> None:
        """Opens the file.

        Raises:
            BeastError: A newer version wrote it.
            sqlite3.Error: The disk refuses.
        """
        connection = self._database.open()
        self._rows = RowWriter(connection)
        self._open_intents = {found for (found,) in connection.execute("SELECT request_id FROM intent")}
        self._connection = connection

    def close(self) -> None:
        """Closes the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def apply(self, batch: list[Record]) -> None:
        """Stores records durably; a record that is there already stays as it is.

        Raises:
            sqlite3.Error: The disk refuses; nothing was stored.
        """
        rows = [one for one in batch if type(one) is Row]
        ended = {row.request_id for row in rows}
        intents = [one for one in batch if type(one) is Intent and one.request_id not in ended]
        with self._database.writing:
            self._transact(rows, intents, ended & self._open_intents)
        self._open_intents |= {intent.request_id for intent in intents}
        self._open_intents -= ended
        self._wrote(len(rows))

    def _transact(self, rows: list[Row], intents: list[Intent], ended: set[str]) -> None:
        if self._connection is None:
            self.open()
        connection = self._connection
        assert connection is not None
        try:
            connection.execute("BEGIN IMMEDIATE")
            if rows:
                self._rows.write(rows)
                content.write(connection, rows)
            if intents:
                insert(connection, "intent", ("request_id", "row"), [(one.request_id, one.row) for one in intents])
            if ended:
                gone = msgspec.json.encode(list(ended)).decode()
                connection.execute("DELETE FROM intent WHERE request_id IN (SELECT value FROM json_each(?))", (gone,))
            connection.execute("COMMIT")
        except BaseException as error:
            self._undo(connection)
            if isinstance(error, sqlite3.Error) and is_damage(error):
                self.close()
                self._database.set_aside(str(error))
            raise

    def _undo(self, connection: sqlite3.Connection) -> None:
        self._rows.forget()
        if connection.in_transaction:
            connection.execute("ROLLBACK")

    def settle_intents(self) -> None:
        """Turns what a killed daemon had begun into rows."""
        connection = self._connection
        if connection is None or not self._open_intents:
            return
        left = connection.execute("SELECT row FROM intent").fetchall()
        self.apply([_decode_row(row) for (row,) in left])


class Ledger:
    """Rows of requests. `intend` and `record` are called on the event loop and never wait; reads see what was written.

    Args:
        folder: Where `ledger.db` and its journal are.
        clock: Time.

    Attributes:
        revision: Changes with every row that is written.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._clock = clock
        self._damage: list[str] = []
        self.revision = 0
        self.path = folder / "ledger.db"
        self._database = Database(self.path, self._damage.append)
        self._roller = Roller(self._database, clock)
        self._writer = _Writer(self._database, self._wrote)
        self._journal: Journal[Record] = Journal(folder / "journal", "ledger", self._writer.apply, _decode)
        self._reader = Reader(self._database)

    def start(self) -> None:
        """Opens the file, stores what a killed daemon left and closes its open calls. Blocks; call it before serving.

        Raises:
            BeastError: The file was written by a newer version.
        """
        with contextlib.suppress(sqlite3.Error, OSError):  # the writer tries again, and `problem` says what is wrong
            self._writer.open()
        if self._journal.start():
            with contextlib.suppress(sqlite3.Error):
                self._writer.settle_intents()
        self._roller.start()

    def close(self) -> None:
        """Stores what is left and closes the file. Blocks."""
        self._roller.close()
        self._journal.close()
        self._reader.close()
        self._writer.close()

    @property
    def problem(self) -> str | None:
        """What is wrong, in sentences, or None."""
        said = [self._journal.problem, self._reader.problem, self._roller.problem, *self._damage]
        return " ".join(one for one in said if one) or None

    def intend(self, row: Row) -> None:
        """Journals a call before it is sent, so that it leaves a row even if the daemon is killed.

        Args:
            row: What is known now; it is given away. Its outcome and error become those of a killed daemon.
        """
        row.outcome, row.error_kind, row.error_tip = "failure", "daemon_killed", KILLED
        row.cost_usd = row.saved_usd = row.saved_route_usd = row.usage = None
        payload = self._payload(row)
        self._journal.append(_INTENT + payload, Intent(row.request_id, payload))

    def record(self, row: Row) -> None:
        """Journals a request that has ended. Of one request the first row wins.

        Args:
            row: The row; it is not changed afterwards.
        """
        self._journal.append(_ROW + self._payload(row), row)

    def _payload(self, row: Row) -> bytes:
        try:
            return _encode(row)
        except (ValueError, OverflowError):
            return _encode(tame(row))

    async def written(self) -> bool:
        """Waits until all that was recorded so far is stored.

        Returns:
            False where the disk refuses it.
        """
        return await self._journal.wait_applied()

    def _wrote(self, rows: int) -> None:
        self.revision += rows
        self._roller.nudge(rows)

    async def ask(self, query: str, values: Mapping[str, object], *, newest: bool = True) -> Any:
        """Runs a query that gives one JSON text, off the loop, over all that was recorded so far.

        Args:
            query: A SELECT of one column.
            values: For its named parameters.
            newest: As for `read`.

        Returns:
            The decoded JSON, or None where there is no row.
        """
        if newest:
            await self.written()
        return await self._reader.ask(query, values)

    async def read(self, work: Callable[[sqlite3.Connection], T], *, newest: bool = True) -> T:
        """Runs several queries over one state of the ledger, off the loop, with all that was recorded so far.

        Args:
            work: Gets the connection, on a thread.
            newest: Wait until what was recorded is written. Without, what came within a tenth of a second may be
                missing, and the writer is not hurried, which costs it as much as many rows.

        Returns:
            What it returned.
        """
        if newest:
            await self.written()
        return await self._reader.read(work)

    @property
    def read_cpu_s(self) -> float:
        """CPU that reading has taken since the start."""
        return self._reader.cpu_s

    async def get(self, request_id: str) -> dict[str, Any]:
        """Finds one row.

        Args:
            request_id: Its request.

        Raises:
            NotFoundError: There is none.
        """
        found: dict[str, Any] | None = await self.ask(ONE, {"request_id": request_id})
        if found is None:
            raise NotFoundError(
                f"The ledger has no request {request_id!r}.", tips=["beast requests lists the newest ones"]
            )
        return found

    async def forget_content(
        self, since_s: float | None = None, workspace: str | None = None, *, dry_run: bool = False
    ) -> int:
        """Deletes what was said in requests `since_s`, or about a workspace, or only counts it; leaves the rows.

        Returns:
            In how many requests.
        """
        await self.written()
        since_us = None if since_s is None else _microseconds(since_s, 0)

        def work() -> int:
            with self._database.writing, contextlib.closing(self._database.derived()) as connection:
                return (content.count if dry_run else content.forget)(connection, since_us, workspace)

        return await asyncio.to_thread(work)

    async def errors(
        self, limit: int = 20, *, since_s: float | None = None, origin: str | None = "person"
    ) -> list[dict[str, Any]]:
        """Groups failures and refusals by kind and model, newest first.

        Args:
            limit: At most so many groups.
            since_s: Not before this wall clock; None: not older than 30 days when the newest row came.
            origin: Who caused them; None: anyone.

        Returns:
            For each group `{kind, model, count, last_at, tip, request_id}`, the last two of its newest row.
        """
        where = {"origin": origin, "errors_only": True}
        values = where | {
            "since_us": None if since_s is None else _microseconds(since_s, 0),
            "limit": max(0, min(limit, LIST_MAX)),
        }
        found: list[dict[str, Any]] = await self.ask(grouped_errors(where), values)
        return found

    def roll_up(self) -> None:
        """Brings the roll-ups up to date, which a thread does anyway a moment later. Blocks.

        Raises:
            sqlite3.Error: The disk refuses.
        """
        self._roller.catch_up()

    async def prune(self, max_age_s: float | None = None, max_bytes: int | None = None) -> int:
        """Deletes old rows, a few thousand at a time so that nobody waits. What they added up to stays in the figures.

        Args:
            max_age_s: Age by the wall clock; None: any age.
            max_bytes: The oldest rows go until the file needs no more than this; None: any size.

        Returns:
            How many were deleted.
        """
        before_us = 0 if max_age_s is None else _microseconds(self._clock.wall_s() - max_age_s, 0)
        await self.written()
        await asyncio.to_thread(self._roller.catch_up)
        return await asyncio.to_thread(self._database.prune, before_us, max_bytes)

    async def list(
        self,
        limit: int = 100,
        *,
        since_s: float | None = None,
        until_s: float | None = None,
        model: str | None = None,
        outcome: str | None = None,
        origin: str | None = "person",
        user: str | None = None,
        client: str | None = None,
        workspace: str | None = None,
        session: str | None = None,
        error_kind: str | None = None,
        errors_only: bool = False,
        before: str | None = None,
        wait: bool = True,
    ) -> list[dict[str, Any]]:
        """Lists rows, newest first, in the shape in which doors show them.

        Args:
            limit: At most so many, 1,000 at the most.
            since_s: Not before this wall clock, seconds since the epoch.
            until_s: Before this one.
            model: Asked for, or served.
            outcome: success, failure, refused or cancelled.
            origin: Who caused it; None: anyone.
            user: The caller.
            client: The door.
            workspace: The workspace.
            session: The session.
            error_kind: Kind of the error.
            errors_only: Failures and refusals only.
            before: The request that ended the page before: only what comes after it in the list.
            wait: For all that was recorded, as `newest` of `read`.
        """
        where = {
            "model": model,
            "outcome": outcome,
            "origin": origin,
            "user": user,
            "client": client,
            "workspace": workspace,
            "session": session,
            "error_kind": error_kind,
            "errors_only": errors_only or None,
            "before": before,
        }
        window = {"since_us": _microseconds(since_s, 0), "until_us": _microseconds(until_s, 1 << 62)}
        values = {**where, **window, "limit": max(0, min(limit, LIST_MAX))}
        found: list[dict[str, Any]] = await self.ask(newest(where), values, newest=wait)
        if len(found) < min(limit, LIST_MAX):
            found = await self.ask(listing(where), values, newest=wait)
        return found


def _microseconds(at_s: float | None, default: int) -> int:
    return default if at_s is None else int(at_s * 1e6)
