"""What the ledger adds up to since its beginning, by the few labels that a monitoring system can bear."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection
from typing import NamedTuple

import msgspec

from beastmode.metrics import histogram
from beastmode.metrics.histogram import Bins
from beastmode.metrics.ledger import Ledger
from beastmode.metrics.rollups import ROW_SUMS, SUMS
from beastmode.metrics.schema import SUM_COLUMNS
from beastmode.metrics.spreads import ROW_TEXTS, TEXTS

DOORS = frozenset({"socket", "http", "lsp", "daemon"})
MODELS_MAX = 500
OTHER = "other"

# ruff: noqa: S608  # every statement is made of constants

_KIND = (
    "k.origin, k.outcome, k.cache, k.model, k.model_served, k.provider, k.client, k.error_kind, k.attempts, k.fell_back"
)
_NUMBERS = ", ".join(f"t.{name}" for name in SUM_COLUMNS)

# Each level from where the next longer one ends: together they are all that the roll-ups hold, each row once.
_SPAN = """
    WITH span AS MATERIALIZED (
        SELECT level, lag(until, 1, 0) OVER (ORDER BY level DESC) AS low, until AS high FROM rolled_level)"""

# NOT INDEXED: new rows are few, and found by their id, not by reading the whole index of kinds.
_ALL = f"""{_SPAN},
    part AS (
        SELECT r.kind, {SUMS}
        FROM span s CROSS JOIN rollup r ON r.level = s.level AND r.start >= s.low AND r.start < s.high GROUP BY 1
        UNION ALL
        SELECT kind, {ROW_SUMS} FROM request NOT INDEXED WHERE id > (SELECT watermark FROM rolled) GROUP BY 1),
    t AS (SELECT kind, {SUMS} FROM part GROUP BY 1)
    SELECT json_group_array(json_array({_KIND}, json_array({_NUMBERS}))) FROM t CROSS JOIN kind k ON k.id = t.kind"""

_FRESH = f"""
    WITH t AS (SELECT kind, {ROW_SUMS} FROM request NOT INDEXED WHERE id > :after GROUP BY 1)
    SELECT json_group_array(json_array({_KIND}, json_array({_NUMBERS}))) FROM t CROSS JOIN kind k ON k.id = t.kind"""

_WHO = "json_quote(k.origin) || ',' || json_quote(k.model) || ',' || json_quote(k.model_served)"

_ALL_BINS = f"""{_SPAN}
    SELECT '[' || coalesce(group_concat(one), '') || ']' FROM (
        SELECT '[' || {_WHO} || ',[' || {TEXTS} || ']]' AS one
        FROM span s CROSS JOIN kind k CROSS JOIN histogram h
        ON h.level = s.level AND h.kind = k.id AND h.start >= s.low AND h.start < s.high
        WHERE k.key GLOB 'slice:*' GROUP BY k.origin, k.model, k.model_served)"""

_FRESH_BINS = f"""
    SELECT '[' || coalesce(group_concat(one), '') || ']' FROM (
        SELECT '[' || {_WHO} || ',[' || {ROW_TEXTS} || ']]' AS one
        FROM request r NOT INDEXED CROSS JOIN kind k ON k.id = r.kind
        WHERE r.id > :after AND k.outcome = 'success' GROUP BY k.origin, k.model, k.model_served)"""

_LAST = "SELECT json_array(id, request_id) FROM request ORDER BY id DESC LIMIT 1"
_SAME = "SELECT 1 FROM request WHERE id = ? AND request_id = ?"
_WATERMARK = "SELECT watermark FROM rolled"

_Line = tuple[str, str, str | None, str, str | None, str | None, str | None, str | None, int, bool, list[int]]
_decode_lines = msgspec.json.Decoder(list[_Line], strict=False).decode
_Times = tuple[str, str, str | None, list[int], list[int], list[int], list[int]]
_decode_bins = msgspec.json.Decoder(list[_Times]).decode
_decode_last = msgspec.json.Decoder(tuple[int, str]).decode


class Labels(NamedTuple):
    """What sums are kept apart by."""

    origin: str
    outcome: str
    cache: str
    model: str
    provider: str
    door: str
    error_kind: str


class Timed(NamedTuple):
    """What durations of successes are kept apart by."""

    origin: str
    model: str


class Totals:
    """All that is told at one moment.

    Attributes:
        sums: For each set of labels what `schema.SUM_COLUMNS` names, then upstream calls, then answers by a fallback.
        times: Histograms of latency, time to the first token and our own part of the time.
    """

    def __init__(self) -> None:
        self.sums: dict[Labels, list[int]] = {}
        self.times: dict[Timed, tuple[Bins, Bins, Bins]] = {}

    def add(self, labels: Labels, numbers: list[int]) -> None:
        """Adds numbers to those of their labels."""
        known = self.sums.get(labels)
        self.sums[labels] = numbers if known is None else [a + b for a, b in zip(known, numbers, strict=True)]

    def add_times(self, who: Timed, fresh: tuple[Bins, Bins, Bins]) -> None:
        """Adds histograms to those of their labels."""
        for bins, more in zip(self.times.setdefault(who, ({}, {}, {})), fresh, strict=True):
            histogram.merge(bins, more)

    def plus(self, other: Totals) -> Totals:
        """Both together."""
        both = Totals()
        for one in (self, other):
            for labels, numbers in one.sums.items():
                both.add(labels, numbers)
            for who, times in one.times.items():
                both.add_times(who, times)
        return both

    def beyond(self, other: Totals) -> Totals:
        """What is here and not there."""
        lost = Totals()
        for labels, numbers in self.sums.items():
            there = other.sums.get(labels, [0] * len(numbers))
            lost.sums[labels] = [max(0, a - b) for a, b in zip(numbers, there, strict=True)]
        for who, times in self.times.items():
            theirs = other.times.get(who, ({}, {}, {}))
            lost.times[who] = tuple(  # type: ignore[assignment]  # three of three
                {place: count - bins.get(place, 0) for place, count in mine.items() if count > bins.get(place, 0)}
                for mine, bins in zip(times, theirs, strict=True)
            )
        return lost


class LedgerTotals:
    """Reads the totals; after the first time only the rows that are new.

    While the daemon runs no number falls: what goes from the ledger (a damaged file was set aside, rows were deleted)
    stays in it until the next start.

    Args:
        ledger: Where the rows are.
        models: Gives the registered models; a name that is none of them and has never answered counts as `other`.
    """

    def __init__(self, ledger: Ledger, models: Callable[[], Collection[str]]) -> None:
        self._ledger = ledger
        self._models = models
        self._reading = asyncio.Lock()
        self._gone = Totals()
        self._known: Totals | None = None
        self._last: tuple[int, str] | None = None
        self._names: set[str] = set()

    async def read(self) -> Totals:
        """The totals with all that was recorded so far.

        Raises:
            InternalError: The ledger can not be read.
        """
        async with self._reading:
            registered = frozenset(self._models())
            self._known = await self._ledger.read(lambda connection: self._read(connection, registered))
            return self._gone.plus(self._known)

    def _read(self, connection: sqlite3.Connection, registered: Collection[str]) -> Totals:
        last, known = self._last, self._known
        found = Totals()
        if last is not None and known is not None and connection.execute(_SAME, last).fetchone():
            self._add(connection, found, registered, _FRESH, {"after": last[0]})
            self._add_times(connection, found, registered, _FRESH_BINS, {"after": last[0]})
            found = known.plus(found)
        else:
            (watermark,) = connection.execute(_WATERMARK).fetchone()
            self._add(connection, found, registered, _ALL, {})
            self._add_times(connection, found, registered, _ALL_BINS, {})
            self._add_times(connection, found, registered, _FRESH_BINS, {"after": watermark})
            if known is not None:
                self._gone = self._gone.plus(known.beyond(found))
        row = connection.execute(_LAST).fetchone()
        self._last = None if row is None else _decode_last(row[0])
        return found

    def _add(
        self,
        connection: sqlite3.Connection,
        totals: Totals,
        registered: Collection[str],
        query: str,
        values: dict[str, int],
    ) -> None:
        for line in _decode_lines(connection.execute(query, values).fetchone()[0]):
            origin, outcome, cache, model, served, provider, client, error, attempts, fell_back, numbers = line
            door = (client or "").partition(":")[0]
            labels = Labels(
                origin=origin,
                outcome=outcome,
                cache=cache or "none",
                model=self._named(model, served, registered),
                provider=provider or "none",
                door=door if door in DOORS else OTHER,
                error_kind=error or "",
            )
            totals.add(labels, [*numbers, attempts * numbers[0], int(fell_back) * numbers[0]])

    def _add_times(
        self,
        connection: sqlite3.Connection,
        totals: Totals,
        registered: Collection[str],
        query: str,
        values: dict[str, int],
    ) -> None:
        put = histogram.add_pairs if query is _ALL_BINS else histogram.add
        for origin, model, served, *times in _decode_bins(connection.execute(query, values).fetchone()[0]):
            plain, streamed, ttft, overhead = times
            fresh: tuple[Bins, Bins, Bins] = ({}, {}, {})
            for bins, numbers in zip((fresh[0], *fresh), (plain, streamed, ttft, overhead), strict=True):
                put(bins, numbers)
            totals.add_times(Timed(origin, self._named(model, served, registered)), fresh)

    def _named(self, model: str, served: str | None, registered: Collection[str]) -> str:
        name = served or (model if model in registered or model == "auto" else OTHER)
        if name not in self._names:
            if len(self._names) >= MODELS_MAX:
                return OTHER
            self._names.add(name)
        return name
