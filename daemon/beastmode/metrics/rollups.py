"""Roll-ups: what rows add up to by minute, quarter, 2 and 8 hours and day, each row in them exactly once.

A step takes the rows beyond the watermark, adds them to the roll-ups and moves the watermark, in one transaction; a row
that came twice has one id and counts once. New rows go to minutes; a longer level is made of the shorter one when its
time is over, and a row that comes later than that is added to every level that is closed. So neither late rows nor a
clock that jumps can make roll-ups and rows disagree.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from itertools import pairwise

import msgspec

from beastmode.metrics import spreads
from beastmode.metrics.kinds import COARSE, COARSE_SHORT, FACETS, SLICED, join_kinds
from beastmode.metrics.older import make_older
from beastmode.metrics.schema import SUM_COLUMNS
from beastmode.metrics.spans import DAY_S, FOREVER_S, LEVELS_S, MINUTE_S, US, Level, floor

CHUNK = 5_000
GRACE_S = 120
KEPT_S = {MINUTE_S: 49 * 3_600, **dict.fromkeys(LEVELS_S[1:-1], 62 * DAY_S)}
SESSION_LEVEL_S = 7_200
FACET_LEVEL_S = 7_200
"""Facets but the coarsest are of this length and longer: shorter roll-ups, at the ends of a span, are few."""

_COUNTED = {"usage_n": "prompt_tokens"}


def _row_sum(name: str) -> str:
    if name == "n":
        return "count(*) AS n"
    if not name.endswith("_n"):
        return f"coalesce(sum({name}), 0) AS {name}"
    stem = name.removesuffix("_n")
    known = _COUNTED.get(name) or next(f"{stem}_{unit}" for unit in ("nusd", "us") if f"{stem}_{unit}" in SUM_COLUMNS)
    return f"count({known}) AS {name}"


def row_sums(names: Sequence[str] = SUM_COLUMNS) -> str:
    """The sums of a roll-up, of rows.

    Args:
        names: Those of `SUM_COLUMNS` that are wanted.
    """
    return ", ".join(map(_row_sum, names))


def sums(names: Sequence[str] = SUM_COLUMNS) -> str:
    """The sums of a roll-up, of roll-ups.

    Args:
        names: Those of `SUM_COLUMNS` that are wanted.
    """
    return ", ".join(f"sum({name}) AS {name}" for name in names)


ROW_SUMS, SUMS = row_sums(), sums()

_NAMES = ", ".join(SUM_COLUMNS)
_ADDED = ", ".join(f"{name} = {name} + excluded.{name}" for name in SUM_COLUMNS)
# ruff: noqa: S608  # every statement is made of constants

TABLES = {"rollup": "r.kind", "summary": "k.main"}
"""Roll-ups, and the kind under which each counts a row."""

_COUNT = f"""
    INSERT INTO {{table}} (level, start, kind, {_NAMES})
    SELECT :level, at_us / (:level * {US}) * :level AS start, {{kind}} AS kind, {ROW_SUMS}
    FROM request r CROSS JOIN kind k ON k.id = r.kind
    WHERE r.id > :after AND r.id <= :upto AND at_us >= :since * {US} AND at_us < :until * {US}
    GROUP BY 2, 3
    ON CONFLICT (level, start, kind) DO UPDATE SET {_ADDED}"""

_COUNT_FACETS = f"""
    INSERT INTO facet (dim, level, start, kind, {_NAMES})
    SELECT f.dim, :level, r.start, f.made, {SUMS}
    FROM (
        SELECT at_us / (:level * {US}) * :level AS start, kind, {ROW_SUMS}
        FROM request
        WHERE id > :after AND id <= :upto AND +at_us >= :since * {US} AND +at_us < :until * {US} GROUP BY 1, 2) r
    CROSS JOIN facet_kind f ON f.kind = r.kind
    WHERE f.dim IN (SELECT value FROM json_each(:dims))
    GROUP BY 1, 3, 4
    ON CONFLICT (dim, level, start, kind) DO UPDATE SET {_ADDED}"""

MAKE_FACETS = f"""
    INSERT OR REPLACE INTO facet (dim, level, start, kind, {_NAMES})
    SELECT f.dim, r.level, r.start, f.made, {SUMS}
    FROM json_each(:dims) d CROSS JOIN rollup r CROSS JOIN facet_kind f ON f.kind = r.kind AND f.dim = d.value
    WHERE r.level = :level AND r.start >= :from AND r.start < :before
    GROUP BY 1, 3, 4"""
"""Makes facets of roll-ups: of `dims`, of one `level`, those that began `from` a time and `before` another."""

_NOTE_BASELINES = """
    INSERT OR IGNORE INTO baseline
    SELECT price FROM request WHERE id > :after AND id <= :upto AND routed_nusd IS NOT NULL AND price IS NOT NULL"""

_MOVE = """
    UPDATE rolled SET watermark = :upto, late = late + (
        SELECT coalesce(min(at_us), 1 << 62) < :closed_us FROM request WHERE id > :after AND id <= :upto)"""

_COUNT_SESSIONS = f"""
    INSERT INTO session_rollup (start, session, kind, {_NAMES})
    SELECT at_us / ({SESSION_LEVEL_S} * {US}) * {SESSION_LEVEL_S} AS start, session, kind, {ROW_SUMS}
    FROM request WHERE id > :after AND id <= :upto AND session IS NOT NULL
    GROUP BY 1, 2, 3
    ON CONFLICT (start, session, kind) DO UPDATE SET {_ADDED}"""

_CLOSE = f"""
    INSERT OR REPLACE INTO {{table}} (level, start, kind, {_NAMES})
    SELECT :level, start / :level * :level AS bucket, kind, {SUMS}
    FROM {{table}} WHERE level = :finer AND start >= :from AND start < :before GROUP BY 2, 3"""

_EVER_DIMS = msgspec.json.encode([0, *FACETS, *COARSE]).decode()
_MANY = f"SELECT 1 FROM request LIMIT 1 OFFSET {CHUNK}"
_FORGET_FACETS = "DELETE FROM facet WHERE dim IN (SELECT value FROM json_each(?)) AND level = ? AND start < ?"


class State(msgspec.Struct, frozen=True):
    """How far the roll-ups are.

    Attributes:
        watermark: Rows up to this id are in them.
        pruned_us: Rows before this time may have been deleted; what they added up to stays.
        levels: From the shortest to the longest; empty before the first step.
        missing: Dimensions of which an older file has not all facets and histograms yet.
        unbegun: Those of which nothing at all is made yet, and the length of the roll-ups.
        late: Changes when a closed roll-up does.
        newest_us: Time of the newest row; None: there is none.
    """

    watermark: int
    pruned_us: int
    levels: list[Level]
    missing: frozenset[int] = frozenset()
    unbegun: frozenset[tuple[int, int]] = frozenset()
    late: int = 0
    newest_us: int | None = None


def state_of(connection: sqlite3.Connection) -> State:
    """Reads how far the roll-ups are.

    Args:
        connection: In the transaction that reads the roll-ups.
    """
    query = """
        SELECT json_array(watermark, pruned_us, (
            SELECT json_group_array(json_array(level, since, until)) FROM (
                SELECT * FROM rolled_level ORDER BY level)), (
            SELECT json_group_array(json_array(dim, level, done)) FROM facet_todo), late,
            (SELECT max(at_us) FROM request))
        FROM rolled"""
    watermark, pruned_us, levels, todo, late, newest_us = msgspec.json.decode(connection.execute(query).fetchone()[0])
    return State(
        watermark,
        pruned_us,
        [Level(*level) for level in levels],
        frozenset(dim for dim, _, _ in todo),
        frozenset((dim, level) for dim, level, done in todo if not done),
        late,
        newest_us,
    )


def roll(connection: sqlite3.Connection, now_s: float) -> bool:
    """Makes one step: adds rows to the roll-ups, or where there are no more, closes and trims levels.

    Args:
        connection: Of the caller alone.
        now_s: Wall clock.

    Returns:
        True where more waits.

    Raises:
        sqlite3.Error: The disk refuses; nothing changed.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        more = _step(connection, int(now_s))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return more


def _step(connection: sqlite3.Connection, now_s: int) -> bool:
    state = state_of(connection)
    if not state.levels:
        _first_levels(connection, now_s)
        state = state_of(connection)
    if not join_kinds(connection):
        return True
    levels = state.levels
    upto = _upto(connection, state.watermark)
    if upto is not None:
        _take(connection, state, upto)
        return True
    _close(connection, levels, now_s)
    return bool(state.missing) and make_older(connection, MAKE_FACETS)


def _upto(connection: sqlite3.Connection, watermark: int) -> int | None:
    query = "SELECT max(id) FROM (SELECT id FROM request WHERE id > ? ORDER BY id LIMIT ?)"
    found: int | None = connection.execute(query, (watermark, CHUNK)).fetchone()[0]
    return found


def _first_levels(connection: sqlite3.Connection, now_s: int) -> None:
    """Begins with every level closed, so that the rows of an older ledger go to each of them at once.

    Facets of very many rows are made of roll-ups, when there are these: that costs a fraction.
    """
    levels = []
    for size_s, longer_s in [*pairwise(LEVELS_S), (DAY_S, DAY_S)]:
        until = floor(now_s - GRACE_S, size_s) if size_s > MINUTE_S else FOREVER_S
        levels.append(Level(size_s, max(0, floor(now_s - KEPT_S.get(size_s, now_s), longer_s)), until))
    _keep(connection, levels)
    if connection.execute(_MANY).fetchone():
        todo = [(dim, level.seconds) for level in levels[1:] for dim in msgspec.json.decode(_dims(level))]
        todo += [(dim, level.seconds) for level in levels for dim in SLICED]
        rows = ",".join(f"({dim},{level},0)" for dim, level in todo)
        connection.execute(f"INSERT INTO facet_todo (dim, level, done) VALUES {rows}")


def _keep(connection: sqlite3.Connection, levels: list[Level]) -> None:
    rows = ",".join(f"({level.seconds},{level.since},{level.until})" for level in levels)
    connection.execute(f"INSERT OR REPLACE INTO rolled_level (level, since, until) VALUES {rows}")


def _take(connection: sqlite3.Connection, state: State, upto: int) -> None:
    """Adds rows to the minutes, and late ones to every level that is closed."""
    rows, levels = {"after": state.watermark, "upto": upto}, state.levels
    for level in levels:
        for table, kind in TABLES.items():
            values = {**rows, "level": level.seconds, "since": level.since, "until": level.until}
            connection.execute(_COUNT.format(table=table, kind=kind), values)
        if level.seconds > MINUTE_S:
            connection.execute(_COUNT_FACETS, {**values, "dims": _dims(level, state.unbegun)})
    connection.execute(_COUNT_SESSIONS, rows)
    connection.execute(_NOTE_BASELINES, rows)
    begun = any((dim, level.seconds) not in state.unbegun for dim in SLICED for level in levels)
    spreads.take(connection, levels, rows, slices_only=not begun)
    connection.execute(_MOVE, {**rows, "closed_us": levels[1].until * US})


def _dims(level: Level, but: Collection[tuple[int, int]] = ()) -> str:
    known = (*FACETS, *COARSE) if level.seconds >= FACET_LEVEL_S else COARSE_SHORT
    return msgspec.json.encode([dim for dim in known if (dim, level.seconds) not in but]).decode()


def _close(connection: sqlite3.Connection, levels: list[Level], now_s: int) -> None:
    """Makes longer roll-ups of shorter ones whose time is over, then deletes the short ones that are old."""
    closed = [levels[0]]
    for finer, level in pairwise(levels):
        until = max(level.until, floor(min(closed[-1].until, now_s - GRACE_S), level.seconds))
        if until > level.until:
            span = {"level": level.seconds, "finer": finer.seconds, "from": level.until, "before": until}
            for table in TABLES:
                connection.execute(_CLOSE.format(table=table), span)
            connection.execute(MAKE_FACETS, {**span, "dims": _dims(level)})
            spreads.close(connection, span)
        closed.append(level._replace(until=until))
    closed = _trim(connection, closed, now_s)
    if closed != levels:
        _keep(connection, closed)


def _trim(connection: sqlite3.Connection, levels: list[Level], now_s: int) -> list[Level]:
    kept = []
    for level, longer in pairwise(levels):
        since = floor(min(now_s - KEPT_S[level.seconds], longer.until), longer.seconds)
        if since > level.since:
            for table in TABLES:
                connection.execute(f"DELETE FROM {table} WHERE level = ? AND start < ?", (level.seconds, since))
            connection.execute(_FORGET_FACETS, (_EVER_DIMS, level.seconds, since))
            spreads.forget(connection, level.seconds, since)
        kept.append(level._replace(since=max(level.since, since)))
    return [*kept, levels[-1]]
