"""Questions to the ledger as SQL that answers with one JSON text, in the shape in which doors show it.

One text a query, because each row that Python fetches costs a turn of the interpreter's lock beside a busy event loop.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec

from beastmode.core.errors import InternalError
from beastmode.metrics.database import Database

LIST_MAX = 1_000
NEWEST_ROWS = 2_000
RECENT_US = 30 * 86_400_000_000
"""How far errors go back from the newest row where nobody says how far."""

READERS = 2

T = TypeVar("T")

ROW = """json_object(
    'request_id', r.request_id,
    'at', strftime('%Y-%m-%dT%H:%M:%fZ', r.at_us / 1e6, 'unixepoch'),
    'origin', k.origin,
    'outcome', k.outcome,
    'cache', json_object('result', k.cache, 'tier', k.tier),
    'similarity', r.similarity_ppm / 1e6,
    'confidence', r.confidence_ppm / 1e6,
    'model', k.model,
    'model_served', k.model_served,
    'deployment', k.deployment,
    'provider', k.provider,
    'error_kind', k.error_kind,
    'error_tip', (SELECT text FROM word WHERE id = r.tip),
    'usage', json_object(
        'prompt_tokens', r.prompt_tokens,
        'completion_tokens', r.completion_tokens,
        'cached_tokens', r.cached_tokens,
        'cache_write_tokens', r.cache_write_tokens,
        'reasoning_tokens', r.reasoning_tokens),
    'cost_usd', r.cost_nusd / 1e9,
    'price_source', (SELECT substr(text, 1, instr(text || ': ', ': ') - 1) FROM word WHERE id = r.price),
    'price', (SELECT text FROM word WHERE id = r.price),
    'saved_usd', r.saved_nusd / 1e9,
    'saved_route_usd', r.routed_nusd / 1e9,
    'latency_ms', r.latency_us / 1e3,
    'ttft_ms', r.ttft_us / 1e3,
    'overhead_ms', r.overhead_us / 1e3,
    'attempts', k.attempts,
    'fell_back', json(iif(k.fell_back, 'true', 'false')),
    'stream', json(iif(k.stream, 'true', 'false')),
    'user', k.user,
    'workspace', k.workspace,
    'client', k.client,
    'session_id', (SELECT text FROM word WHERE id = r.session),
    'tags', json(k.tags),
    'route', (SELECT text FROM word WHERE id = r.route))"""

ONE = f"SELECT {ROW} FROM request r JOIN kind k ON k.id = r.kind WHERE r.request_id = :request_id"  # noqa: S608  # constants

# The newest of each kind first (CROSS JOIN keeps that order of loops): quick for a model that is
# asked all day and for one that was asked once last month.
_LIST = """
    SELECT json_group_array(json(document)) FROM (
        SELECT {row} AS document
        FROM kind k CROSS JOIN request r ON r.id IN (
            SELECT n.id FROM request n
            WHERE n.kind = k.id AND n.at_us >= :since_us AND n.at_us < :until_us AND {rows}
            ORDER BY n.at_us DESC, n.id DESC LIMIT :limit)
        WHERE {kinds}
        ORDER BY r.at_us DESC, r.id DESC LIMIT :limit)"""

# Of the newest rows alone: what finds as many as were wanted there has the newest ones.
_NEWEST = """
    SELECT json_group_array(json(document)) FROM (
        SELECT {row} AS document
        FROM (
            SELECT * FROM request n
            WHERE n.at_us >= :since_us AND n.at_us < :until_us AND {rows}
            ORDER BY n.at_us DESC, n.id DESC LIMIT {newest}) r
        CROSS JOIN kind k ON k.id = r.kind
        WHERE {kinds}
        ORDER BY r.at_us DESC, r.id DESC LIMIT :limit)"""

# Counted by the index of kinds alone; of the rows themselves only the newest of each group is read. Beside max(),
# SQLite takes bare columns from the row that has the maximum.
_ERRORS = """
    WITH since AS MATERIALIZED (
        SELECT coalesce(:since_us, (SELECT max(at_us) FROM request) - {recent_us}, 0) AS since_us),
    one AS (
        SELECT k.id, k.error_kind, k.model, count(*) AS count, max(n.at_us) AS last_us
        FROM kind k CROSS JOIN request n INDEXED BY request_kind
        ON n.kind = k.id AND n.at_us >= (SELECT since_us FROM since)
        WHERE {kinds} GROUP BY k.id),
    newest AS MATERIALIZED (
        SELECT id, error_kind, model, sum(count) AS count, max(last_us) AS last_us
        FROM one GROUP BY error_kind, model ORDER BY last_us DESC LIMIT :limit)
    SELECT json_group_array(json_object(
        'kind', g.error_kind, 'model', g.model, 'count', g.count,
        'last_at', strftime('%Y-%m-%dT%H:%M:%fZ', g.last_us / 1e6, 'unixepoch'),
        'tip', (SELECT text FROM word WHERE id = r.tip), 'request_id', r.request_id))
    FROM newest g CROSS JOIN request r
    ON r.id = (SELECT max(id) FROM request WHERE kind = g.id AND at_us = g.last_us)"""

_CONDITIONS = {
    "model": "(k.model = :model OR k.model_served = :model)",
    "outcome": "k.outcome = :outcome",
    "origin": "k.origin = :origin",
    "user": "k.user = :user",
    "client": "k.client = :client",
    "workspace": "k.workspace = :workspace",
    "error_kind": "k.error_kind = :error_kind",
    "errors_only": "k.outcome IN ('failure', 'refused')",
}


_ROW_CONDITIONS = {
    "session": "n.session = (SELECT id FROM word WHERE text = :session)",
    "before": """(n.at_us, n.id) < (SELECT at_us, id FROM request WHERE request_id = :before)""",
}


def listing(wanted: Mapping[str, object]) -> str:
    """Makes the query that lists rows.

    Args:
        wanted: Values by the names of `_CONDITIONS` and `_ROW_CONDITIONS`; None: any.
    """
    rows = _joined(_ROW_CONDITIONS, wanted)
    return _LIST.format(row=ROW, kinds=conditions(wanted), rows=rows)


def newest(wanted: Mapping[str, object]) -> str:
    """Makes the query that lists rows, quickly, and only if there are as many as are wanted among the newest.

    Args:
        wanted: As for `listing`.
    """
    rows = _joined(_ROW_CONDITIONS, wanted)
    return _NEWEST.format(row=ROW, kinds=conditions(wanted), rows=rows, newest=NEWEST_ROWS)


def grouped_errors(wanted: Mapping[str, object]) -> str:
    """Makes the query that groups errors.

    Args:
        wanted: As for `listing`.
    """
    return _ERRORS.format(kinds=conditions(wanted), recent_us=RECENT_US)


def conditions(wanted: Mapping[str, object]) -> str:
    """Makes the condition on `kind k`.

    Args:
        wanted: Values by the names of `_CONDITIONS`; None: any.
    """
    return _joined(_CONDITIONS, wanted)


def _joined(known: Mapping[str, str], wanted: Mapping[str, object]) -> str:
    return " AND ".join(text for name, text in known.items() if wanted.get(name) is not None) or "TRUE"


class Reader:
    """Runs queries on threads of its own, each with its connection.

    Args:
        database: The file.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="ledger-read")
        self._mine = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self.problem: str | None = None
        self.cpu_s = 0.0

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs several queries that see one state of the file.

        Args:
            work: Gets the connection, on a thread; it fetches few rows and large ones.

        Returns:
            What `work` returned.

        Raises:
            InternalError: The file can not be read.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, work)

    async def ask(self, query: str, values: Mapping[str, object]) -> Any:
        """Runs a query that gives one JSON text.

        Args:
            query: A SELECT of one column.
            values: For its named parameters.

        Returns:
            The decoded JSON, or None where there is no row.

        Raises:
            InternalError: The file can not be read.
        """

        def one(connection: sqlite3.Connection) -> Any:
            found = connection.execute(query, values).fetchone()
            return None if found is None else msgspec.json.decode(found[0])

        return await self.read(one)

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        began_s = time.thread_time()
        try:
            connection = self._connection()
            connection.execute("BEGIN")
            try:
                found = work(connection)
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            self.problem = f"The ledger {self._database.path} can not be read: {error}."
            tips = ["beast status says what is wrong", f"look at the disk that holds {self._database.path}"]
            raise InternalError(self.problem, tips=tips) from error
        finally:
            self.cpu_s += time.thread_time() - began_s
        self.problem = None
        return found

    def _connection(self) -> sqlite3.Connection:
        generation: int | None = getattr(self._mine, "generation", None)
        if generation != self._database.generation:
            self._mine.connection = self._database.reader()
            self._mine.generation = self._database.generation
            self._connections.append(self._mine.connection)
        connection: sqlite3.Connection = self._mine.connection
        return connection

    def close(self) -> None:
        """Ends the threads and closes their connections."""
        self._threads.shutdown(wait=True)
        for connection in self._connections:
            connection.close()
