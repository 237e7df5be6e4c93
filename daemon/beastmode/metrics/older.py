"""What an older file still lacks: facets and histograms of the roll-ups that it has, made in steps of some thousands.

`facet_todo` says up to which start each is made; it moves with what is made, in one transaction, so that a kill between
two steps loses nothing. Until a dimension has all, questions are answered from finer roll-ups: slower, and as right.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from beastmode.metrics import spreads
from beastmode.metrics.kinds import SLICED
from beastmode.metrics.spans import FOREVER_S

LINES, DIMS = 5_000, 8
"""So many roll-ups, of so many dimensions, are looked at in one transaction; rows wait for it."""
WAITING_ROWS = 20_000
"""So many rows beyond the watermark are no moment's work: the answer says that they are still being added up."""

_NEXT = """
    SELECT level, done, json_group_array(dim) FROM (
        SELECT t.level, t.done, t.dim FROM facet_todo t
        JOIN (SELECT level, done FROM facet_todo ORDER BY level, done LIMIT 1) USING (level, done) LIMIT :dims)
    GROUP BY level, done"""
_BOUNDS = """
    SELECT (SELECT min(start) FROM rollup WHERE level = :level AND start >= :from),
        (SELECT start FROM rollup WHERE level = :level AND start >= :from ORDER BY start LIMIT 1 OFFSET :lines)"""
_MADE = "WHERE level = :level AND done = :from AND dim IN (SELECT value FROM json_each(:dims))"
_DONE = (
    f"DELETE FROM facet_todo {_MADE} AND :before = :forever",  # noqa: S608  # constants
    f"UPDATE facet_todo SET done = :before {_MADE}",  # noqa: S608  # constants
)
_PROGRESS = """
    SELECT json_object(
        'waiting', coalesce((SELECT max(id) FROM request), 0) - watermark,
        'rows', coalesce((SELECT max(id) FROM request), 0),
        'levels', (SELECT count(*) FROM rolled_level),
        'todo', (SELECT json_group_array(json_array(done, since, newest)) FROM (
            SELECT min(t.done) AS done, l.since, (SELECT max(start) FROM rollup WHERE level = l.level) AS newest
            FROM facet_todo t JOIN rolled_level l USING (level) GROUP BY level)))
    FROM rolled"""


def make_older(connection: sqlite3.Connection, make_facets: str) -> bool:
    """Makes the next piece.

    Args:
        connection: In a transaction.
        make_facets: The statement that makes facets of roll-ups.

    Returns:
        Whether more is missing.
    """
    found = connection.execute(_NEXT, {"dims": DIMS}).fetchone()
    if found is None:
        return False
    level, done, text = found
    dims = msgspec.json.decode(text)
    first, beyond = connection.execute(_BOUNDS, {"level": level, "from": done, "lines": LINES}).fetchone()
    before = FOREVER_S if beyond is None else max(beyond, first + level)
    span: dict[str, object] = {"level": level, "from": done, "before": before}
    connection.execute(make_facets, {**span, "dims": _json([dim for dim in dims if dim not in SLICED])})
    spreads.widen(connection, {**span, "dims": _json([dim for dim in dims if dim in SLICED])})
    for one in _DONE:
        connection.execute(one, {**span, "dims": text, "forever": FOREVER_S})
    return True


def progress(connection: sqlite3.Connection) -> dict[str, Any]:
    """Says how much of the ledger is added up.

    Args:
        connection: In a transaction.

    Returns:
        `{complete, done}`: whether all is, and the share that is. Figures are right meanwhile, and take longer.
    """
    found = msgspec.json.decode(connection.execute(_PROGRESS).fetchone()[0])
    if found["waiting"] > WAITING_ROWS:
        return {"complete": False, "done": round(1 - found["waiting"] / found["rows"], 3)}
    if not found["todo"]:
        return {"complete": True, "done": 1.0}
    left = [_share_left(*one) for one in found["todo"]]
    return {"complete": False, "done": round(1 - sum(left) / found["levels"], 3)}


def _share_left(done_s: int, since_s: int, newest_s: int | None) -> float:
    if newest_s is None or newest_s <= since_s:
        return 0.0
    return min(1.0, (newest_s - max(done_s, since_s)) / (newest_s - since_s))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
