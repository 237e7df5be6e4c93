"""Ledger rows as columns: what repeats is stored once, money in nano-dollars, times in microseconds."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from beastmode.core.rows import Row, RowCache
from beastmode.core.types import Usage

TEXT_MAX_CHARS = 500
INTERNED_MAX = 20_000
CHUNKS = (1, 8, 64, 256)

KIND_COLUMNS = (
    *("origin", "outcome", "cache", "tier", "model", "model_served", "deployment", "provider", "error_kind"),
    *("attempts", "fell_back", "stream", "user", "workspace", "client", "tags"),
)
REQUEST_COLUMNS = (
    *("request_id", "at_us", "kind", "session", "route", "tip"),
    *("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens"),
    *("cost_nusd", "saved_nusd", "latency_us", "ttft_us", "overhead_us"),
    *("similarity_ppm", "confidence_ppm", "price", "routed_nusd", "asked", "traceparent"),
)
ASKED = {"completion": 1, "embedding": 2}
"""How what is no chat is told in a row."""

_NO_CACHE = RowCache(result="bypass")
_NO_USAGE = Usage()
Values = tuple[object, ...]


def insert(connection: sqlite3.Connection, table: str, columns: Sequence[str], rows: list[Values]) -> None:
    """Inserts rows that are not there yet, many with one statement.

    `executemany` gives up the interpreter's lock for each row and, beside a busy event loop, waits up to 5 ms to get it
    back; one statement with many rows gives it up once. A chunk is filled up with its last row, which is then ignored.

    Args:
        connection: In a transaction.
        table: Its name; a unique column tells rows apart.
        columns: Names.
        rows: One tuple a row, in the order of `columns`.
    """
    one = f"({','.join('?' * len(columns))})"
    for start in range(0, len(rows), CHUNKS[-1]):
        chunk = rows[start : start + CHUNKS[-1]]
        size = next(size for size in CHUNKS if size >= len(chunk))
        chunk += chunk[-1:] * (size - len(chunk))
        values = [value for row in chunk for value in row]
        statement = f"INSERT OR IGNORE INTO {table} ({','.join(columns)}) VALUES {','.join([one] * size)}"  # noqa: S608  # names are constants
        connection.execute(statement, values)


class Interned:
    """Ids of things that are stored once, remembered; to be forgotten when a transaction fails.

    Args:
        store: Finds or makes the id of a thing.
    """

    def __init__(self, store: Callable[[Any], int]) -> None:
        self._store = store
        self._ids: dict[Any, int] = {}

    def id(self, thing: Any) -> int:
        """The thing's id; it is made where it is missing."""
        found = self._ids.get(thing)
        if found is None:
            if len(self._ids) >= INTERNED_MAX:
                self._ids.clear()
            found = self._ids[thing] = self._store(thing)
        return found


class RowWriter:
    """Writes rows through one connection.

    Args:
        connection: The writer's; the caller begins and commits.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.forget()

    def forget(self) -> None:
        """Forgets every id, after a transaction that failed."""
        self._kinds = Interned(self._store_kind)
        self._words = Interned(self._store_word)

    def write(self, rows: list[Row]) -> None:
        """Inserts rows; of one request the first row wins.

        Args:
            rows: In the order in which they were recorded.
        """
        try:
            self._insert(rows)
        except (ValueError, OverflowError):
            self._insert([tame(row) for row in rows])

    def _insert(self, rows: list[Row]) -> None:
        insert(self._connection, "request", REQUEST_COLUMNS, [self._columns(row) for row in rows])

    def _columns(self, row: Row) -> Values:
        usage = row.usage or _NO_USAGE
        word = self._words.id
        return (
            row.request_id,
            int(row.at_s * 1e6),
            self._kinds.id(_kind(row)),
            None if row.session_id is None else word(row.session_id[:TEXT_MAX_CHARS]),
            None if row.route is None else word(row.route[:TEXT_MAX_CHARS]),
            None if row.error_tip is None else word(row.error_tip[:TEXT_MAX_CHARS]),
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.cached_tokens,
            usage.cache_write_tokens,
            usage.reasoning_tokens,
            None if row.cost_usd is None else round(row.cost_usd * 1e9),
            None if row.saved_usd is None else round(row.saved_usd * 1e9),
            None if row.latency_ms is None else round(row.latency_ms * 1e3),
            None if row.ttft_ms is None else round(row.ttft_ms * 1e3),
            None if row.overhead_ms is None else round(row.overhead_ms * 1e3),
            None if row.similarity is None else round(row.similarity * 1e6),
            None if row.confidence is None else round(row.confidence * 1e6),
            None if row.price_source is None else word(row.price_source[:TEXT_MAX_CHARS]),
            None if row.saved_route_usd is None else round(row.saved_route_usd * 1e9),
            ASKED.get(row.kind),
            row.traceparent,
        )

    def _store_kind(self, kind: Values) -> int:
        key = msgspec.json.encode(kind).decode()
        insert(self._connection, "kind", ("key", *KIND_COLUMNS), [(key, *kind)])
        return self._id("SELECT id FROM kind WHERE key = ?", key)

    def _store_word(self, text: str) -> int:
        insert(self._connection, "word", ("text",), [(text,)])
        return self._id("SELECT id FROM word WHERE text = ?", text)

    def _id(self, query: str, value: str) -> int:
        (found,) = self._connection.execute(query, (value,)).fetchone()
        return int(found)


def _kind(row: Row) -> Values:
    """What rows of the same sort have in common, in the order of `KIND_COLUMNS`."""
    cache = row.cache
    return (
        row.origin,
        row.outcome,
        None if cache is None else cache.result,
        None if cache is None else cache.tier,
        row.model[:TEXT_MAX_CHARS],
        row.model_served,
        row.deployment,
        row.provider,
        row.error_kind,
        row.attempts,
        row.fell_back,
        row.stream,
        row.user[:TEXT_MAX_CHARS],
        row.workspace,
        row.client,
        msgspec.json.encode(row.tags).decode() if row.tags else "[]",
    )


def tame(row: Row) -> Row:
    """Makes a row that can be stored from one that holds what no column takes.

    Lone surrogates become question marks; a number that is no number, or beyond 63 bits, becomes unknown.

    Args:
        row: A row with odd values in it.
    """
    fields = {name: _tame(value) for name, value in msgspec.structs.asdict(row).items()}
    fields["tags"] = [_tame(tag) for tag in row.tags]
    fields["at_s"] = fields["at_s"] or 0.0
    if row.usage is not None:
        fields["usage"] = Usage(**{name: _tame(value) for name, value in msgspec.structs.asdict(row.usage).items()})
    return Row(**fields)


def _tame(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int | float) and not (math.isfinite(value) and abs(value) < 2**33):
        return None
    return value
