"""What a span of time adds up to, as SQL over roll-ups and, at its ends and beyond the watermark, over rows.

Every function takes a connection that is in a transaction, so that all numbers of one answer are of one moment.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from beastmode.core.clock import rfc3339
from beastmode.metrics import histogram
from beastmode.metrics.histogram import Bins
from beastmode.metrics.kinds import COUNTS, DIMENSIONS, FACETS, MODELS, TAGS, TIMED, WHO, pattern
from beastmode.metrics.rollups import SESSION_LEVEL_S, State, row_sums, sums
from beastmode.metrics.schema import SUM_COLUMNS
from beastmode.metrics.sources import SESSIONS, TELLS, Source, sources
from beastmode.metrics.spans import FOREVER_S, LEVELS_S, MINUTE_S, US, Cover, Level, cover
from beastmode.metrics.spreads import ALL, ROW_TEXTS, TEXTS
from beastmode.metrics.sums import BREAKDOWN, BREAKDOWN_MAX, FIGURES, KEYS, SERIES

# ruff: noqa: S608  # every statement is made of constants

By = Literal["model", "project", "client", "user", "session", "tag", "provider", "day", "month"]
SESSION_ROWS = 50_000
PERCENTS = (50, 95, 99)


class Filters(msgspec.Struct, frozen=True):
    """Which requests count.

    Attributes:
        model: Those that asked for this model, or that it answered.
        project: Those about this workspace.
        client: Those of this door.
        user: Those of this caller.
    """

    model: str | None = None
    project: str | None = None
    client: str | None = None
    user: str | None = None


_FILTERS = {
    "model": "(k.model = :model OR k.model_served = :model)",
    "project": "k.workspace = :project",
    "client": "k.client = :client",
    "user": "k.user = :user",
}

_COLUMNS = {"user": "user", "project": "workspace", "client": "client"}

_SPAN = """
    WITH piece AS MATERIALIZED (
        SELECT json_extract(value, '$[0]') AS size, json_extract(value, '$[1]') AS low,
            json_extract(value, '$[2]') AS high
        FROM json_each(:pieces)),
    ragged AS MATERIALIZED (
        SELECT json_extract(value, '$[0]') AS low, json_extract(value, '$[1]') AS high FROM json_each(:ragged))"""

# A plus keeps SQLite from the indexes of times and kinds for rows beyond the watermark: these are few, and found by id.
_STORED = """
        SELECT r.kind, {of_rollup} AS bucket, {sums}
        FROM piece p CROSS JOIN {table} r ON {pieces} AND r.start >= p.low AND r.start < p.high {chosen} GROUP BY 1, 2
        UNION ALL"""
_EVERY = """{span},
    part AS (
        {stored}
        SELECT {kind}, {of_row} AS bucket, {row_sums}
        FROM ragged g CROSS JOIN request r ON r.at_us >= g.low AND r.at_us < g.high GROUP BY 1, 2
        UNION ALL
        SELECT {kind}, {of_row} AS bucket, {row_sums}
        FROM request r WHERE r.id > :watermark AND +r.at_us >= :inner_low AND +r.at_us < :inner_high GROUP BY 1, 2),
    every AS MATERIALIZED (
        SELECT k.origin, k.outcome, k.cache, k.tier, coalesce(k.model_served, k.model) AS model, k.provider,
            k.error_kind, k.attempts, k.fell_back, k.workspace, k.client, k.user, k.tags, {tells} AS tells, part.*
        FROM (SELECT kind, bucket, {sums} FROM part GROUP BY 1, 2) part CROSS JOIN kind k ON k.id = part.kind
        WHERE {kinds})"""

_TIMES = """{span}
    SELECT '[' || coalesce(group_concat(one), '') || ']' FROM (
        SELECT '[' || bucket || ',[' || {texts} || ']]' AS one FROM (
            SELECT {of_rollup} AS bucket, r.plain, r.streamed, r.ttft, r.overhead
            FROM piece p CROSS JOIN histogram r
            ON r.level = p.size AND {who} AND r.start >= p.low AND r.start < p.high)
        GROUP BY bucket)"""

_ROW_TIMES = """{span},
    r AS (
        SELECT r.kind, r.at_us, r.latency_us, r.ttft_us, r.overhead_us
        FROM ragged g CROSS JOIN request r ON r.at_us >= g.low AND r.at_us < g.high
        UNION ALL
        SELECT r.kind, r.at_us, r.latency_us, r.ttft_us, r.overhead_us
        FROM request r WHERE r.id > :watermark AND +r.at_us >= :inner_low AND +r.at_us < :inner_high)
    SELECT '[' || coalesce(group_concat(one), '') || ']' FROM (
        SELECT '[' || bucket || ',[' || {texts} || ']]' AS one FROM (
            SELECT {of_row} AS bucket, r.latency_us, r.ttft_us, r.overhead_us
            FROM r CROSS JOIN kind k ON k.id = r.kind
            WHERE k.outcome = 'success' AND k.origin = :origin AND {kinds}) r
        GROUP BY bucket)"""

_EXACT = f"""
    SELECT '[[0,[' || {ROW_TEXTS} || ']]]'
    FROM kind k CROSS JOIN request r ON r.kind = k.id AND r.at_us >= :low AND r.at_us < :high
    WHERE k.outcome = 'success' AND k.origin = :origin AND """

Times = tuple[Bins, Bins, Bins, Bins]
_decode = msgspec.json.Decoder(list[tuple[int, list[int], list[int], list[int], list[int]]]).decode


class Question:
    """A span of time and whose requests of it count, ready to be asked.

    Args:
        state: How far the roll-ups are, read in the same transaction.
        from_us: Where the span begins, microseconds since the epoch.
        before_us: Where it ends; it is not in it.
        origin: Whose requests.
        all_costs: Costs are those of every origin.
        filters: Which requests.
        step_s: Length of the longest roll-up that may be used.
    """

    def __init__(
        self,
        state: State,
        from_us: int,
        before_us: int,
        *,
        origin: str = "person",
        all_costs: bool = False,
        filters: Filters = Filters(),  # noqa: B008  # frozen
        step_s: int = LEVELS_S[-1],
    ) -> None:
        levels = [level for level in state.levels if level.seconds <= step_s]
        self._open_end = max(state.newest_us or 0, state.pruned_us - 1) < before_us
        self.cover = cover(from_us, self._end(before_us, MINUTE_S), levels, state.pruned_us)
        self._session_levels, self._pruned_us = SESSION_LEVELS if levels else [], state.pruned_us
        self.span = (from_us, before_us)
        self.step_s = step_s
        self.rows_are_kept = from_us >= state.pruned_us
        wanted = {name: value for name, value in msgspec.structs.asdict(filters).items() if value is not None}
        self.kinds = " AND ".join(_FILTERS[name] for name in wanted) or "TRUE"
        self.filtered = bool(wanted)
        self.of_a_model = "model" in wanted
        self.dim = sum(DIMENSIONS[_COLUMNS[name]] for name in wanted if name in _COLUMNS)
        self.missing = state.missing
        self.timed = self._timed()
        self.everyone = not wanted and origin == "person"
        self.values = {"origin": origin, "all_costs": all_costs, "watermark": state.watermark, **wanted}

    def _timed(self) -> int | None:
        """The dimension with the fewest histograms that tells apart what is asked; None: slices."""
        if self.of_a_model:
            found = None if self.dim else MODELS
        else:
            found = TIMED + self.dim if 0 < self.dim < max(FACETS) else WHO
        return None if found in self.missing else found

    def session_cover(self, from_us: int) -> Cover:
        """The newer part of the span, taken apart into what sessions are rolled up in.

        Args:
            from_us: Where it begins, microseconds since the epoch.
        """
        return cover(from_us, self._end(self.span[1], SESSION_LEVEL_S), self._session_levels, self._pruned_us)

    def _end(self, before_us: int, size_s: int) -> int:
        """Where the span may end as well, since nothing comes after it: the roll-up in which it ends counts whole."""
        return -(-before_us // (size_s * US)) * size_s * US if self._open_end else before_us

    def bound(self, cover: Cover) -> dict[str, object]:
        """Values for the parameters of a query.

        Args:
            cover: The span, taken apart.
        """
        low, high = cover.inner
        spans = {"pieces": _json(cover.pieces), "ragged": _json(cover.ragged)}
        return {**self.values, **spans, "inner_low": low, "inner_high": high}


SESSION_LEVELS = [Level(SESSION_LEVEL_S, 0, FOREVER_S)]
_SERIES_SUMS = ("n", "cost_n", "cost_nusd", "saved_n", "saved_nusd")

# Cheap sums of every session first; the many sums of a line are then made of the dearest alone.
_SESSION_PARTS = """{span},
    part AS (
        SELECT r.session, r.kind, r.n, r.cost_nusd
        FROM piece p CROSS JOIN session_rollup r ON p.size AND r.start >= p.low AND r.start < p.high
        UNION ALL
        SELECT r.session, r.kind, 1, coalesce(r.cost_nusd, 0)
        FROM ragged g CROSS JOIN request r ON r.at_us >= g.low AND r.at_us < g.high AND r.session IS NOT NULL
        UNION ALL
        SELECT r.session, r.kind, 1, coalesce(r.cost_nusd, 0) FROM request r
        WHERE r.id > :watermark AND +r.at_us >= :inner_low AND +r.at_us < :inner_high AND +r.session IS NOT NULL),
    ranked AS MATERIALIZED (
        SELECT session, sum(part.cost_nusd) AS cost, sum(part.n) AS n FROM part CROSS JOIN kind k ON k.id = part.kind
        WHERE (:all_costs OR k.origin = :origin) AND {kinds} GROUP BY 1)
    SELECT json_object(
        'left_out', (SELECT max(0, count(*) - :most) FROM ranked),
        'sessions', json((SELECT json_group_array(session) FROM (
            SELECT session FROM ranked ORDER BY cost DESC, n DESC, session LIMIT :most))))"""

_DEAREST_FIRST = "cost DESC, n DESC, key"
_BEYOND = "SELECT start FROM session_rollup WHERE start < ? ORDER BY start DESC LIMIT 1 OFFSET ?"
_DEAREST = " AND r.session IN (SELECT value FROM json_each(:sessions))"


def _every(
    question: Question,
    sources: Sequence[Source],
    steps: tuple[str, str] = ("0", "0"),
    *,
    of: Sequence[str] = SUM_COLUMNS,
    only: str = "",
) -> str:
    of_rollup, of_row = steps
    kind = "(SELECT coalesce(main, id) FROM kind WHERE id = r.kind)" if sources[0].table == "summary" else "+r.kind"
    texts = {"sums": sums(of), "row_sums": row_sums(of), "kinds": question.kinds, "kind": kind, "tells": TELLS}
    stored = "".join(
        _STORED.format(
            of_rollup=of_rollup,
            sums=sums(of),
            table=one.table,
            pieces=one.pieces,
            chosen=(one.chosen(question.kinds) if question.filtered else "") + only,
        )
        for one in sources
    )
    return _EVERY.format(**texts, span=_SPAN, of_row=of_row, stored=stored)


def _of(question: Question, by: str | None = None, *, answers: bool = False) -> list[Source]:
    """The tables with the fewest rows that tell apart what is asked."""
    who = question.dim | DIMENSIONS.get(_COLUMNS.get(by or "", ""), 0)
    if by == "tag" and (question.filtered or COUNTS + TAGS in question.missing):
        return [Source("rollup")]
    return sources(
        TAGS if by == "tag" else who,
        models=question.of_a_model or by in ("model", "provider"),
        answers=answers,
        missing=question.missing,
    )


def _one(connection: sqlite3.Connection, query: str, values: dict[str, object]) -> str:
    text: str = connection.execute(query, values).fetchone()[0]
    return text


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _steps(step_s: int) -> tuple[str, str]:
    """The bucket of a roll-up and of a row."""
    return f"r.start / {step_s} * {step_s}", f"r.at_us / {step_s * US} * {step_s}"


def figures(connection: sqlite3.Connection, question: Question) -> dict[str, Any]:
    """Adds up requests, cache, means, costs and errors.

    Args:
        connection: In a transaction.
        question: What to count.
    """
    found: dict[str, Any] = msgspec.json.decode(
        _one(connection, _every(question, _of(question, answers=True)) + FIGURES, question.bound(question.cover))
    )
    return found


def series(connection: sqlite3.Connection, question: Question) -> dict[int, dict[str, Any]]:
    """Adds up outcomes, costs and hit rate for each step.

    Args:
        connection: In a transaction.
        question: What to count; its `step_s` is the step.

    Returns:
        By the step's begin, seconds since the epoch; a step without requests is left out.
    """
    query = _every(question, _of(question), _steps(question.step_s), of=_SERIES_SUMS) + SERIES
    found: list[tuple[int, dict[str, Any]]] = msgspec.json.decode(
        _one(connection, query, question.bound(question.cover))
    )
    return dict(found)


def breakdown(connection: sqlite3.Connection, question: Question, by: By) -> dict[str, Any]:
    """Adds up requests, tokens and costs for each value of a dimension.

    Args:
        connection: In a transaction.
        question: What to count; its `step_s` is a day at most.
        by: The dimension; a request with several tags counts for each.

    Returns:
        `{rows, left_out, total}`; the key of what has none is None. Where there are too many sessions, also
        `rows_from`: `rows` and `left_out` are of those since then.
    """
    if by == "session":
        return _sessions(connection, question)
    steps = _steps(LEVELS_S[-1]) if by in ("day", "month") else ("0", "0")
    source = "paid LEFT JOIN json_each(paid.tags) AS tag" if by == "tag" else "paid"
    order = "key" if by in ("day", "month") else _DEAREST_FIRST
    query = _every(question, _of(question, by), steps) + BREAKDOWN.format(key=KEYS[by], source=source, order=order)
    found: dict[str, Any] = msgspec.json.decode(_one(connection, query, question.bound(question.cover)))
    return found


def _sessions(connection: sqlite3.Connection, question: Question) -> dict[str, Any]:
    """The dearest sessions; in a very large ledger, those of the newest part of the span, which `rows_from` tells."""
    from_us, before_us = question.span
    beyond = connection.execute(_BEYOND, (before_us // US, SESSION_ROWS)).fetchone()
    newest_us = (beyond[0] + SESSION_LEVEL_S) * US if beyond else from_us
    values = question.bound(question.session_cover(max(from_us, newest_us)))
    ranking = _SESSION_PARTS.format(span=_SPAN, kinds=question.kinds)
    ranked = msgspec.json.decode(_one(connection, ranking, {**values, "most": BREAKDOWN_MAX}))
    every = _every(question, [SESSIONS], ("r.session", "r.session"), only=_DEAREST)
    source = "(SELECT * FROM paid WHERE bucket IN (SELECT value FROM json_each(:sessions)))"
    query = every + BREAKDOWN.format(key=KEYS["session"], source=source, order=_DEAREST_FIRST)
    lines = msgspec.json.decode(_one(connection, query, {**values, "sessions": _json(ranked["sessions"])}))
    found = {**lines, "left_out": ranked["left_out"], "total": breakdown(connection, question, "model")["total"]}
    return {**found, "rows_from": rfc3339(newest_us / 1e6)} if newest_us > from_us else found


def times(connection: sqlite3.Connection, question: Question, *, stepped: bool = False) -> dict[int, Times]:
    """Adds up how long successes took.

    Args:
        connection: In a transaction.
        question: Which ones.
        stepped: For each step; else all together, as step 0.

    Returns:
        Histograms as `rollups.TIMES` names them, by the step's begin.
    """
    of_rollup, of_row = _steps(question.step_s) if stepped else ("0", "0")
    own = f"k.key GLOB '{pattern(question.timed)}' AND k.origin = :origin AND {question.kinds}"
    who = f"r.kind = {ALL}" if question.everyone else f"r.kind IN (SELECT k.id FROM kind k WHERE {own})"
    stored = _TIMES.format(span=_SPAN, texts=TEXTS, of_rollup=of_rollup, who=who)
    fresh = _ROW_TIMES.format(span=_SPAN, texts=ROW_TEXTS, of_row=of_row, kinds=question.kinds)
    values = question.bound(question.cover)
    found: dict[int, Times] = {}
    for add, query in ((histogram.add_pairs, stored), (histogram.add, fresh)):
        for bucket, *numbers in _decode(_one(connection, query, values)):
            for bins, some in zip(found.setdefault(bucket, ({}, {}, {}, {})), numbers, strict=True):
                add(bins, some)
    return found


def exact_times(connection: sqlite3.Connection, question: Question) -> tuple[list[int], ...]:
    """How long each success took, for a span that has few of them.

    Args:
        connection: In a transaction.
        question: Which ones.

    Returns:
        Microseconds, as `rollups.TIMES` names them.
    """
    low, high = question.span
    text = _one(connection, _EXACT + question.kinds, {**question.values, "low": low, "high": high})
    ((_, *values),) = _decode(text)
    return tuple(values)
