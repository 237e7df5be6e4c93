"""Roll-ups: what rows add up to by minute, quarter, 2 and 8 hours and day, each row in them exactly once.

A step takes the rows beyond the watermark, adds them to the roll-ups and moves the watermark, in one transaction; a row
that came twice has one id and counts once. New rows go to minutes; a longer level is made of the shorter one when its
time is over, and a row that comes later than that is added to every level that is closed. So neither late rows nor a
clock that jumps can make roll-ups and rows disagree.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from beastmode.metrics import histogram
from beastmode.metrics.histogram import Bins
from beastmode.metrics.kinds import FACETS, MODELS, WHO, join_kinds
from beastmode.metrics.schema import SUM_COLUMNS
from beastmode.metrics.spans import DAY_S, LEVELS_S, MINUTE_S, US, Level

CHUNK = 5_000
GRACE_S = 120
LONG_CHARS = 6_000
KEPT_S = {MINUTE_S: 49 * 3_600, **dict.fromkeys(LEVELS_S[1:-1], 62 * DAY_S)}
SESSION_LEVEL_S = 7_200
FACET_LEVEL_S = 7_200
"""Facets but the coarsest are of this length and longer: shorter roll-ups, at the ends of a span, are few."""

ALL = 0
"""As a kind: the successes of persons, all together."""

TIMES = ("plain", "streamed", "ttft", "overhead")
"""Histograms: latency of what was not streamed and of what was, time to first text, our own part of the time."""

FOREVER_S = 1 << 40
_Key = tuple[int, int, int]  # level, kind, start

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
_TEXT = " || '],[' || ".join(f"coalesce({name}, '')" for name in TIMES)
TEXTS = " || '],[' || ".join(f"coalesce(group_concat({name}), '')" for name in TIMES)
"""The bins of `TIMES`, of histograms."""

_KINDS = f"(SELECT {ALL} AS id UNION ALL SELECT id FROM kind)"

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

_MAKE_FACETS = f"""
    INSERT OR REPLACE INTO facet (dim, level, start, kind, {_NAMES})
    SELECT f.dim, r.level, r.start, f.made, {SUMS}
    FROM json_each(:dims) d CROSS JOIN rollup r CROSS JOIN facet_kind f ON f.kind = r.kind AND f.dim = d.value
    WHERE r.level = :level AND r.start >= :from AND r.start < :before
    GROUP BY 1, 3, 4"""

_NOTE_BASELINES = """
    INSERT OR IGNORE INTO baseline
    SELECT price FROM request WHERE id > :after AND id <= :upto AND routed_nusd IS NOT NULL AND price IS NOT NULL"""

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

ROW_TEXTS = (
    "coalesce(group_concat(r.latency_us) FILTER (WHERE r.ttft_us IS NULL), '') || '],['"
    " || coalesce(group_concat(r.latency_us) FILTER (WHERE r.ttft_us IS NOT NULL), '') || '],['"
    " || coalesce(group_concat(r.ttft_us), '') || '],[' || coalesce(group_concat(r.overhead_us), '')"
)
"""The values of `TIMES`, of rows."""

_VALUES = f"""
    SELECT '[' || coalesce(group_concat(one), '') || ']' FROM (
        SELECT '[' || (r.at_us / (:unit * {US}) * :unit) || ',[' || k.slice || ',' || (
                SELECT group_concat(made) FROM facet_kind WHERE kind = k.slice AND dim IN ({WHO}, {MODELS})) || '],'
            || iif(k.origin = 'person', 'true', 'false') || ',[' || {ROW_TEXTS} || ']]' AS one
        FROM request r CROSS JOIN kind k ON k.id = r.kind
        WHERE r.id > :after AND r.id <= :upto AND k.outcome = 'success'
        GROUP BY r.at_us / (:unit * {US}), k.slice)"""

_LONG = f"""
    SELECT '[' || coalesce(group_concat(one), '') || ']' FROM (
        SELECT '[' || level || ',' || kind || ',' || start || ',[' || {_TEXT} || ']]' AS one
        FROM json_each(:keys) CROSS JOIN histogram
        ON level = json_extract(value, '$[0]') AND kind = json_extract(value, '$[1]')
            AND start = json_extract(value, '$[2]')
        WHERE max({", ".join(f"coalesce(length({name}), 0)" for name in TIMES)}) > {LONG_CHARS})"""

_FINER = f"""
    SELECT '[' || coalesce(group_concat(one), '') || ']' FROM (
        SELECT '[' || :level || ',' || kind || ',' || (start / :level * :level) || ',[' || {TEXTS} || ']]' AS one
        FROM {_KINDS} k CROSS JOIN histogram ON level = :finer AND kind = k.id AND start >= :from AND start < :before
        GROUP BY kind, start / :level)"""

_WIDE = f"""
    SELECT '[' || coalesce(group_concat(one), '') || ']' FROM (
        SELECT '[' || h.level || ',' || f.made || ',' || h.start || ',[' || {TEXTS} || ']]' AS one
        FROM facet_kind f CROSS JOIN histogram h ON h.level = :level AND h.kind = f.kind
        WHERE f.dim = :dim AND f.made = :made GROUP BY h.start)"""

_FIELDS = ", ".join(f"json_extract(value, '$[{number}]')" for number in range(3 + len(TIMES)))
_STORE = f"""
    INSERT OR REPLACE INTO histogram (level, kind, start, {", ".join(TIMES)}) SELECT {_FIELDS} FROM json_each(?)"""

# Texts of one histogram merge by a comma between them; that is done when they grow long.
_APPEND = f"""
    INSERT INTO histogram (level, kind, start, {", ".join(TIMES)}) SELECT {_FIELDS} FROM json_each(?) WHERE TRUE
    ON CONFLICT (level, kind, start) DO UPDATE SET {
    ", ".join(f"{name} = coalesce({name} || ',' || excluded.{name}, {name}, excluded.{name})" for name in TIMES)
}"""

_DIMS, _SHORT_DIMS = msgspec.json.encode(list(FACETS)).decode(), "[0]"
_FORGET_FACETS = "DELETE FROM facet WHERE dim IN (SELECT value FROM json_each(?)) AND level = ? AND start < ?"
_FORGET = f"DELETE FROM histogram WHERE level = ? AND kind IN {_KINDS} AND start < ?"

_decode_values = msgspec.json.Decoder(
    list[tuple[int, list[int], bool, list[int], list[int], list[int], list[int]]]
).decode
_decode_bins = msgspec.json.Decoder(list[tuple[int, int, int, list[int], list[int], list[int], list[int]]]).decode
_Touched = dict[_Key, tuple[Bins, Bins, Bins, Bins]]


class State(msgspec.Struct, frozen=True):
    """How far the roll-ups are.

    Attributes:
        watermark: Rows up to this id are in them.
        pruned_us: Rows before this time may have been deleted; what they added up to stays.
        levels: From the shortest to the longest; empty before the first step.
        faceted: Whether facets have all that the roll-ups have; in an older file they are made first.
    """

    watermark: int
    pruned_us: int
    levels: list[Level]
    faceted: bool = True


def state_of(connection: sqlite3.Connection) -> State:
    """Reads how far the roll-ups are.

    Args:
        connection: In the transaction that reads the roll-ups.
    """
    query = """
        SELECT json_array(watermark, pruned_us, (
            SELECT json_group_array(json_array(level, since, until)) FROM (
                SELECT * FROM rolled_level ORDER BY level)), (SELECT count(*) FROM facet_todo))
        FROM rolled"""
    watermark, pruned_us, levels, todo = msgspec.json.decode(connection.execute(query).fetchone()[0])
    return State(watermark, pruned_us, [Level(*level) for level in levels], not todo)


def roll(connection: sqlite3.Connection, now_s: float) -> bool:
    """Makes one step: adds rows to the roll-ups, or closes and trims levels where there are no more rows.

    Args:
        connection: Of the caller alone.
        now_s: Wall clock.

    Returns:
        True where more rows wait.

    Raises:
        sqlite3.Error: The disk refuses; nothing changed.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        state = state_of(connection)
        levels = state.levels or _first_levels(connection, int(now_s))
        join_kinds(connection)
        upto = _upto(connection, state.watermark) if state.faceted else None
        if not state.faceted:
            _make_older(connection)
        elif upto is not None:
            _take(connection, levels, state.watermark, upto)
        else:
            _close(connection, levels, int(now_s))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return upto is not None or not state.faceted


def _make_older(connection: sqlite3.Connection) -> None:
    """Makes facets of the roll-ups that an older file has, one level of one dimension."""
    number, dim, level = connection.execute("SELECT rowid, dim, level FROM facet_todo").fetchone()
    if dim in FACETS:
        span = {"dims": f"[{dim}]", "level": level, "from": 0, "before": FOREVER_S}
        connection.execute(_MAKE_FACETS, span)
    else:
        kinds = connection.execute("SELECT DISTINCT made FROM facet_kind WHERE dim = ?", (dim,)).fetchall()
        for (made,) in kinds:
            found = connection.execute(_WIDE, {"dim": dim, "level": level, "made": made}).fetchone()[0]
            connection.execute(_STORE, (_rows_of(_decoded(found)),))
    connection.execute("DELETE FROM facet_todo WHERE rowid = ?", (number,))


def _upto(connection: sqlite3.Connection, watermark: int) -> int | None:
    query = "SELECT max(id) FROM (SELECT id FROM request WHERE id > ? ORDER BY id LIMIT ?)"
    found: int | None = connection.execute(query, (watermark, CHUNK)).fetchone()[0]
    return found


def _first_levels(connection: sqlite3.Connection, now_s: int) -> list[Level]:
    """Begins with every level closed, so that the rows of an older ledger go to each of them at once."""
    levels = []
    for size_s, longer_s in [*pairwise(LEVELS_S), (DAY_S, DAY_S)]:
        until = _floor(now_s - GRACE_S, size_s) if size_s > MINUTE_S else FOREVER_S
        levels.append(Level(size_s, max(0, _floor(now_s - KEPT_S.get(size_s, now_s), longer_s)), until))
    _keep(connection, levels)
    return levels


def _keep(connection: sqlite3.Connection, levels: list[Level]) -> None:
    rows = ",".join(f"({level.seconds},{level.since},{level.until})" for level in levels)
    connection.execute(f"INSERT OR REPLACE INTO rolled_level (level, since, until) VALUES {rows}")


def _take(connection: sqlite3.Connection, levels: list[Level], after: int, upto: int) -> None:
    """Adds rows to the minutes, and late ones to every level that is closed."""
    rows = {"after": after, "upto": upto}
    for level in levels:
        for table, kind in TABLES.items():
            values = {**rows, "level": level.seconds, "since": level.since, "until": level.until}
            connection.execute(_COUNT.format(table=table, kind=kind), values)
        if level.seconds > MINUTE_S:
            connection.execute(_COUNT_FACETS, {**values, "dims": _dims(level)})
    connection.execute(_COUNT_SESSIONS, rows)
    connection.execute(_NOTE_BASELINES, rows)
    _take_times(connection, levels, rows)
    connection.execute("UPDATE rolled SET watermark = ?", (upto,))


def _take_times(connection: sqlite3.Connection, levels: list[Level], rows: dict[str, int]) -> None:
    """Adds to the histograms how long successes took."""
    query = "SELECT coalesce(max(at_us), 0) FROM request WHERE id > :after AND id <= :upto"
    newest_us: int = connection.execute(query, rows).fetchone()[0]
    unit = next(level.seconds for level in levels if newest_us >= level.since * US)
    touched: _Touched = {}
    found = connection.execute(_VALUES, {**rows, "unit": unit}).fetchone()[0]
    for start, kinds, person, *values in _decode_values(found):
        fresh = _histograms()
        for bins, some in zip(fresh, values, strict=True):
            histogram.add(bins, some)
        for level in levels:
            if level.since <= start < level.until:
                for who in (*kinds, ALL) if person else kinds:
                    _merge(touched, (level.seconds, who, _floor(start, level.seconds)), fresh)
    connection.execute(_APPEND, (_rows_of(touched),))
    keys = msgspec.json.encode(list(touched)).decode()
    long = _decoded(connection.execute(_LONG, {"keys": keys}).fetchone()[0])
    if long:
        connection.execute(_STORE, (_rows_of(long),))


def _dims(level: Level) -> str:
    return _DIMS if level.seconds >= FACET_LEVEL_S else _SHORT_DIMS


def _histograms() -> tuple[Bins, Bins, Bins, Bins]:
    return {}, {}, {}, {}


def _merge(touched: _Touched, key: _Key, fresh: tuple[Bins, Bins, Bins, Bins]) -> None:
    known = touched.get(key)
    if known is None:
        known = touched[key] = _histograms()
    for bins, more in zip(known, fresh, strict=True):
        if more:
            histogram.merge(bins, more)


def _decoded(text: str) -> _Touched:
    """Histograms from their texts, each bin once."""
    found: _Touched = {}
    for level, kind, start, *pairs in _decode_bins(text):
        known = found.setdefault((level, kind, start), _histograms())
        for bins, more in zip(known, pairs, strict=True):
            histogram.add_pairs(bins, more)
    return found


def _rows_of(histograms: _Touched) -> str:
    rows = [(*key, *[histogram.to_text(bins) if bins else None for bins in some]) for key, some in histograms.items()]
    return msgspec.json.encode(rows).decode()


def _close(connection: sqlite3.Connection, levels: list[Level], now_s: int) -> None:
    """Makes longer roll-ups of shorter ones whose time is over, then deletes the short ones that are old."""
    closed = [levels[0]]
    for finer, level in pairwise(levels):
        until = max(level.until, _floor(min(closed[-1].until, now_s - GRACE_S), level.seconds))
        if until > level.until:
            span = {"level": level.seconds, "finer": finer.seconds, "from": level.until, "before": until}
            for table in TABLES:
                connection.execute(_CLOSE.format(table=table), span)
            connection.execute(_MAKE_FACETS, {**span, "dims": _dims(level)})
            closed_ones = _decoded(connection.execute(_FINER, span).fetchone()[0])
            connection.execute(_STORE, (_rows_of(closed_ones),))
        closed.append(level._replace(until=until))
    closed = _trim(connection, closed, now_s)
    if closed != levels:
        _keep(connection, closed)


def _trim(connection: sqlite3.Connection, levels: list[Level], now_s: int) -> list[Level]:
    kept = []
    for level, longer in pairwise(levels):
        since = _floor(min(now_s - KEPT_S[level.seconds], longer.until), longer.seconds)
        if since > level.since:
            for table in TABLES:
                connection.execute(f"DELETE FROM {table} WHERE level = ? AND start < ?", (level.seconds, since))
            connection.execute(_FORGET_FACETS, (_DIMS, level.seconds, since))
            connection.execute(_FORGET, (level.seconds, since))
        kept.append(level._replace(since=max(level.since, since)))
    return [*kept, levels[-1]]


def _floor(at_s: int, size_s: int) -> int:
    return at_s // size_s * size_s
