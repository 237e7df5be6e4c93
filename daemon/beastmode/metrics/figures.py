"""What a span of time adds up to, as SQL over roll-ups and, at its ends and beyond the watermark, over rows.

Every function takes a connection that is in a transaction, so that all numbers of one answer are of one moment.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Literal

import msgspec

from beastmode.core.rows import AGAINST
from beastmode.metrics import histogram
from beastmode.metrics.histogram import Bins
from beastmode.metrics.kinds import SLICES
from beastmode.metrics.rollups import ALL, FOREVER_S, ROW_SUMS, ROW_TEXTS, SESSION_LEVEL_S, SUMS, TEXTS, State
from beastmode.metrics.spans import LEVELS_S, US, Cover, Level, cover

# ruff: noqa: S608  # every statement is made of constants

By = Literal["model", "project", "client", "user", "session", "tag", "provider", "day", "month"]
BREAKDOWN_MAX = 1_000
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

_SPAN = """
    WITH piece AS MATERIALIZED (
        SELECT json_extract(value, '$[0]') AS size, json_extract(value, '$[1]') AS low,
            json_extract(value, '$[2]') AS high
        FROM json_each(:pieces)),
    ragged AS MATERIALIZED (
        SELECT json_extract(value, '$[0]') AS low, json_extract(value, '$[1]') AS high FROM json_each(:ragged))"""

# The plus keeps SQLite from the index of times for rows beyond the watermark: these are few, and found by id.
_EVERY = """{span},
    part AS (
        SELECT r.kind, {of_rollup} AS bucket, {sums}
        FROM piece p CROSS JOIN {rollup} AND r.start >= p.low AND r.start < p.high {chosen} GROUP BY 1, 2
        UNION ALL
        SELECT {kind}, {of_row} AS bucket, {row_sums}
        FROM ragged g CROSS JOIN request r ON r.at_us >= g.low AND r.at_us < g.high GROUP BY 1, 2
        UNION ALL
        SELECT {kind}, {of_row} AS bucket, {row_sums}
        FROM request r WHERE r.id > :watermark AND +r.at_us >= :inner_low AND +r.at_us < :inner_high GROUP BY 1, 2),
    every AS MATERIALIZED (
        SELECT k.origin, k.outcome, k.cache, k.tier, coalesce(k.model_served, k.model) AS model, k.provider,
            k.error_kind, k.attempts, k.fell_back, k.workspace, k.client, k.user, k.tags, part.*
        FROM (SELECT kind, bucket, {sums} FROM part GROUP BY 1, 2) part CROSS JOIN kind k ON k.id = part.kind
        WHERE {kinds})"""

_KNOWN = """CASE WHEN coalesce(sum(n), 0) = coalesce(sum({of}_n), 0) OR sum({of}_n) > 0
    THEN coalesce(sum({of}_nusd), 0) / 1e9 END"""
_COST, _SAVED = _KNOWN.format(of="cost"), _KNOWN.format(of="saved")
_ROUTED = "CASE WHEN sum(routed_n) > 0 THEN sum(routed_nusd) / 1e9 END"
_BASELINE = f"""CASE WHEN sum(routed_n) > 0 THEN (SELECT group_concat(name, ' or ') FROM (
    SELECT DISTINCT substr(text, instr(text, '{AGAINST}') + {len(AGAINST)}) AS name
    FROM word WHERE instr(text, '{AGAINST}') > 0 ORDER BY 1)) END"""
_UNKNOWN = "coalesce(sum(n) - sum(cost_n), 0)"


def _count(condition: str) -> str:
    return f"coalesce(sum(own) FILTER (WHERE {condition}), 0)"


_OUTCOMES = ", ".join(
    f"""'{name}', {_count(f"outcome = '{name}'")}""" for name in ("success", "failure", "refused", "cancelled")
)
_HITS = _count("cache IN ('hit_exact', 'hit_semantic')")
_ASKED = _count("cache <> 'bypass'")
_BY_ORIGIN = f"""json((SELECT json_group_object(origin, json(one)) FROM (
    SELECT origin, json_object('usd', {_COST}, 'requests', sum(n), 'unknown', {_UNKNOWN}) AS one
    FROM paid GROUP BY origin)))"""

# `own` counts the origin that was asked for, `n` every origin whose costs are shown.
_PAID = """,
    paid AS (SELECT *, iif(origin = :origin, n, 0) AS own FROM every WHERE :all_costs OR origin = :origin),
    seen AS (SELECT * FROM paid WHERE origin = :origin)"""

_FIGURES = f"""{_PAID}
    SELECT json_object(
        'requests', (SELECT json_object(
            'total', coalesce(sum(n), 0),
            {_OUTCOMES},
            'by_model', json((SELECT json_group_object(model, n) FROM (
                SELECT model, sum(n) AS n FROM seen GROUP BY model ORDER BY n DESC))),
            'fallback_share', 1.0 * sum(n * fell_back) / nullif({_count("attempts > 0")}, 0)) FROM seen),
        'cache', (SELECT json_object(
            'exact', {_count("cache = 'hit_exact'")},
            'semantic', {_count("cache = 'hit_semantic'")},
            'miss', {_count("cache IN ('miss', 'stale')")},
            'bypass', {_count("cache = 'bypass'")},
            'hit_rate', 1.0 * {_HITS} / nullif({_ASKED}, 0)) FROM seen),
        'means', (SELECT json_object(
            'latency_ms', sum(latency_us) / 1e3 / nullif(sum(latency_n), 0),
            'ttft_ms', sum(ttft_us) / 1e3 / nullif(sum(ttft_n), 0),
            'overhead_ms', sum(overhead_us) / 1e3 / nullif(sum(overhead_n), 0)) FROM seen WHERE outcome = 'success'),
        'costs', (SELECT json_object(
            'total_usd', {_COST},
            'unknown', {_UNKNOWN},
            'saved_usd', {_SAVED},
            'saved_route_usd', {_ROUTED},
            'baseline', {_BASELINE},
            'saved_percent', 100.0 * sum(saved_nusd) / nullif(sum(saved_nusd) + sum(cost_nusd), 0),
            'by_origin', {_BY_ORIGIN}) FROM paid),
        'errors', (SELECT json_object(
            'total', coalesce(sum(n), 0),
            'by_kind', json((SELECT json_group_object(error_kind, n) FROM (
                SELECT coalesce(error_kind, 'unknown') AS error_kind, sum(n) AS n FROM seen
                WHERE outcome IN ('failure', 'refused') GROUP BY 1 ORDER BY n DESC))))
            FROM seen WHERE outcome IN ('failure', 'refused')))"""

_SERIES = f"""{_PAID}
    SELECT json_group_array(json_array(bucket, json(one))) FROM (
        SELECT bucket, json_object({_OUTCOMES}, 'cost_usd', {_COST}, 'saved_usd', {_SAVED},
            'hit_rate', 1.0 * {_HITS} / nullif({_ASKED}, 0)) AS one
        FROM paid GROUP BY bucket)"""

_TOKENS = ("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
_CALLED = "FILTER (WHERE coalesce(cache, '') NOT IN ('hit_exact', 'hit_semantic'))"
_LINE = f"""
    'requests', coalesce(sum(own), 0), {_OUTCOMES}, 'hits', {_HITS},
    'tokens', json_object({
    ", ".join(
        f"'{name}', CASE WHEN sum(usage_n) {_CALLED} > 0 OR coalesce(sum(n) {_CALLED}, 0) = 0"
        f" THEN coalesce(sum({name}) {_CALLED}, 0) END"
        for name in _TOKENS
    )
}),
    'cost_usd', {_COST}, 'unknown', {_UNKNOWN}, 'saved_usd', {_SAVED}, 'saved_route_usd', {_ROUTED},
    'baseline', {_BASELINE},
    'latency_ms', sum(latency_us) FILTER (WHERE outcome = 'success' AND own > 0) / 1e3
        / nullif(sum(latency_n) FILTER (WHERE outcome = 'success' AND own > 0), 0)"""

_BREAKDOWN = f"""{_PAID},
    line AS MATERIALIZED (
        SELECT {{key}} AS key, sum(cost_nusd) AS cost, sum(n) AS n, json_object('key', {{key}}, {_LINE}) AS one
        FROM {{source}} GROUP BY 1)
    SELECT json_object(
        'rows', json((SELECT json_group_array(json(one)) FROM (
            SELECT one FROM line ORDER BY {{order}} LIMIT {BREAKDOWN_MAX}))),
        'left_out', (SELECT max(0, count(*) - {BREAKDOWN_MAX}) FROM line),
        'total', (SELECT json_object({_LINE}, 'by_origin', {_BY_ORIGIN}) FROM paid))"""

_KEYS = {
    "model": "model",
    "project": "workspace",
    "client": "client",
    "user": "user",
    "provider": "provider",
    "session": "(SELECT text FROM word WHERE id = bucket)",
    "day": "strftime('%Y-%m-%d', bucket, 'unixepoch')",
    "month": "strftime('%Y-%m', bucket, 'unixepoch')",
    "tag": "tag.value",
}

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
        self.cover = cover(from_us, before_us, levels, state.pruned_us)
        self.sessions = cover(from_us, before_us, SESSION_LEVELS if levels else [], state.pruned_us)
        self.span = (from_us, before_us)
        self.step_s = step_s
        self.rows_are_kept = from_us >= state.pruned_us
        wanted = {name: value for name, value in msgspec.structs.asdict(filters).items() if value is not None}
        self.kinds = " AND ".join(_FILTERS[name] for name in wanted) or "TRUE"
        self.filtered = bool(wanted)
        self.in_summary = wanted.keys() <= {"model"}
        self.everyone = not wanted and origin == "person"
        self.values = {"origin": origin, "all_costs": all_costs, "watermark": state.watermark, **wanted}

    def bound(self, cover: Cover) -> dict[str, object]:
        """Values for the parameters of a query.

        Args:
            cover: The span, taken apart.
        """
        low, high = cover.inner
        spans = {"pieces": _json(cover.pieces), "ragged": _json(cover.ragged)}
        return {**self.values, **spans, "inner_low": low, "inner_high": high}


SESSION_LEVELS = [Level(SESSION_LEVEL_S, 0, FOREVER_S)]
_SUMMARY = "summary r ON r.level = p.size"
_ROLLUP = "rollup r ON r.level = p.size"
_SESSIONS = "session_rollup r ON p.size"


def _every(question: Question, of_rollup: str = "0", of_row: str = "0", rollup: str | None = None) -> str:
    rollup = rollup or (_SUMMARY if question.in_summary else _ROLLUP)
    kind = "(SELECT coalesce(main, id) FROM kind WHERE id = r.kind)" if rollup is _SUMMARY else "r.kind"
    chosen = f"AND r.kind IN (SELECT k.id FROM kind k WHERE {question.kinds})" if question.filtered else ""
    texts = {"span": _SPAN, "sums": SUMS, "row_sums": ROW_SUMS, "kinds": question.kinds, "kind": kind, "chosen": chosen}
    return _EVERY.format(**texts, of_rollup=of_rollup, of_row=of_row, rollup=rollup)


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
        _one(connection, _every(question) + _FIGURES, question.bound(question.cover))
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
    query = _every(question, *_steps(question.step_s)) + _SERIES
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
        `{rows, left_out, total}`; the key of what has none is None.
    """
    cover, source = question.cover, "paid"
    if by == "session":
        every, cover = _every(question, "r.session", "r.session", _SESSIONS), question.sessions
        source = "(SELECT * FROM paid WHERE bucket IS NOT NULL)"
    elif by in ("day", "month"):
        every = _every(question, *_steps(LEVELS_S[-1]))
    elif by in ("model", "provider"):
        every = _every(question)
    else:
        every = _every(question, rollup=_ROLLUP)
    if by == "tag":
        source = "paid LEFT JOIN json_each(paid.tags) AS tag"
    order = "key" if by in ("day", "month") else "cost DESC, n DESC, key"
    query = every + _BREAKDOWN.format(key=_KEYS[by], source=source, order=order)
    found: dict[str, Any] = msgspec.json.decode(_one(connection, query, question.bound(cover)))
    if by == "session":
        found["total"] = breakdown(connection, question, "model")["total"]
    return found


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
    chosen = f"IN (SELECT k.id FROM kind k WHERE k.key GLOB '{SLICES}' AND k.origin = :origin AND {question.kinds})"
    who = f"r.kind = {ALL}" if question.everyone else f"r.kind {chosen}"
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
