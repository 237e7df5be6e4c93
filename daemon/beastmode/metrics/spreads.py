"""How long successes took, rolled up: histograms by level, kind and time, beside the sums of `rollups`."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

import msgspec

from beastmode.metrics import histogram
from beastmode.metrics.histogram import Bins
from beastmode.metrics.kinds import SLICED
from beastmode.metrics.spans import US, Level, floor

LONG_CHARS = 6_000

# ruff: noqa: S608  # every statement is made of constants

ALL = 0
"""As a kind: the successes of persons, all together."""

TIMES = ("plain", "streamed", "ttft", "overhead")
"""Histograms: latency of what was not streamed and of what was, time to first text, our own part of the time."""

_Key = tuple[int, int, int]  # level, kind, start

_TEXT = " || '],[' || ".join(f"coalesce({name}, '')" for name in TIMES)
TEXTS = " || '],[' || ".join(f"coalesce(group_concat({name}), '')" for name in TIMES)
"""The bins of `TIMES`, of histograms."""

_KINDS = f"(SELECT {ALL} AS id UNION ALL SELECT id FROM kind)"

ROW_TEXTS = (
    "coalesce(group_concat(r.latency_us) FILTER (WHERE r.ttft_us IS NULL), '') || '],['"
    " || coalesce(group_concat(r.latency_us) FILTER (WHERE r.ttft_us IS NOT NULL), '') || '],['"
    " || coalesce(group_concat(r.ttft_us), '') || '],[' || coalesce(group_concat(r.overhead_us), '')"
)
"""The values of `TIMES`, of rows."""

_SLICED = ", ".join(map(str, SLICED))
_VALUES = f"""
    SELECT '[' || coalesce(group_concat(one), '') || ']' FROM (
        SELECT '[' || (r.at_us / (:unit * {US}) * :unit) || ',[' || k.slice || ',' || (
                SELECT coalesce(group_concat(made), 'null') FROM facet_kind
                WHERE kind = k.slice AND dim IN ({_SLICED}) AND NOT :slices_only) || '],'
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
        FROM facet_kind f CROSS JOIN histogram h
        ON h.level = :level AND h.kind = f.kind AND h.start >= :from AND h.start < :before
        WHERE f.dim IN (SELECT value FROM json_each(:dims)) GROUP BY f.made, h.start)"""

_FIELDS = ", ".join(f"json_extract(value, '$[{number}]')" for number in range(3 + len(TIMES)))
_STORE = f"""
    INSERT OR REPLACE INTO histogram (level, kind, start, {", ".join(TIMES)}) SELECT {_FIELDS} FROM json_each(?)"""

# Texts of one histogram merge by a comma between them; that is done when they grow long.
_APPEND = f"""
    INSERT INTO histogram (level, kind, start, {", ".join(TIMES)}) SELECT {_FIELDS} FROM json_each(?) WHERE TRUE
    ON CONFLICT (level, kind, start) DO UPDATE SET {
    ", ".join(f"{name} = coalesce({name} || ',' || excluded.{name}, {name}, excluded.{name})" for name in TIMES)
}"""

_FORGET = f"DELETE FROM histogram WHERE level = ? AND kind IN {_KINDS} AND start < ?"

_decode_values = msgspec.json.Decoder(
    list[tuple[int, list[int | None], bool, list[int], list[int], list[int], list[int]]]
).decode
_decode_bins = msgspec.json.Decoder(list[tuple[int, int, int, list[int], list[int], list[int], list[int]]]).decode
_Touched = dict[_Key, tuple[Bins, Bins, Bins, Bins]]


def take(
    connection: sqlite3.Connection, levels: list[Level], rows: dict[str, int], *, slices_only: bool = False
) -> None:
    """Adds how long the successes among some rows took.

    Args:
        connection: In a transaction.
        levels: How far those are.
        rows: `after` and `upto`, their ids.
        slices_only: Those of made kinds come later, from these.
    """
    query = "SELECT coalesce(max(at_us), 0) FROM request WHERE id > :after AND id <= :upto"
    newest_us: int = connection.execute(query, rows).fetchone()[0]
    unit = next(level.seconds for level in levels if newest_us >= level.since * US)
    touched: _Touched = {}
    found = connection.execute(_VALUES, {**rows, "unit": unit, "slices_only": slices_only}).fetchone()[0]
    for start, those, person, *values in _decode_values(found):
        kinds = [kind for kind in those if kind is not None]
        fresh = _histograms()
        for bins, some in zip(fresh, values, strict=True):
            histogram.add(bins, some)
        for level in levels:
            if level.since <= start < level.until:
                for who in (*kinds, ALL) if person else kinds:
                    _merge(touched, (level.seconds, who, floor(start, level.seconds)), fresh)
    connection.execute(_APPEND, (_rows_of(touched),))
    keys = msgspec.json.encode(list(touched)).decode()
    long = _decoded(connection.execute(_LONG, {"keys": keys}).fetchone()[0])
    if long:
        connection.execute(_STORE, (_rows_of(long),))


def close(connection: sqlite3.Connection, span: dict[str, int]) -> None:
    """Makes longer histograms of shorter ones.

    Args:
        connection: In a transaction.
        span: `level` of `finer`, `from` and `before`.
    """
    _store(connection, _FINER, span)


def widen(connection: sqlite3.Connection, span: dict[str, object]) -> None:
    """Makes those of made kinds from those of slices, where an older file has none.

    Args:
        connection: In a transaction.
        span: `dims`, `level`, `from` and `before`.
    """
    _store(connection, _WIDE, span)


def forget(connection: sqlite3.Connection, level_s: int, before_s: int) -> None:
    """Deletes old ones.

    Args:
        connection: In a transaction.
        level_s: Their length.
        before_s: Those that began earlier, seconds since the epoch.
    """
    connection.execute(_FORGET, (level_s, before_s))


def _store(connection: sqlite3.Connection, query: str, values: Mapping[str, object]) -> None:
    made = _decoded(connection.execute(query, values).fetchone()[0])
    connection.execute(_STORE, (_rows_of(made),))


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
