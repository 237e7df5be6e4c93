"""What is told of requests that are added up, as SQL over `every`: figures, points over time, lines of a breakdown."""

from __future__ import annotations

from beastmode.core.rows import AGAINST

# ruff: noqa: S608  # every statement is made of constants

BREAKDOWN_MAX = 1_000

_KNOWN = """CASE WHEN coalesce(sum(n), 0) = coalesce(sum({of}_n), 0) OR sum({of}_n) > 0
    THEN coalesce(sum({of}_nusd), 0) / 1e9 END"""
_COST, _SAVED = _KNOWN.format(of="cost"), _KNOWN.format(of="saved")
_ROUTED = "CASE WHEN sum(routed_n) > 0 THEN sum(routed_nusd) / 1e9 END"
_BASELINE = "CASE WHEN sum(routed_n) > 0 THEN (SELECT names FROM baselines) END"
_BASELINES = f"""
    baselines AS MATERIALIZED (SELECT group_concat(name, ' or ') AS names FROM (
        SELECT DISTINCT substr(text, instr(text, '{AGAINST}') + {len(AGAINST)}) AS name
        FROM word WHERE instr(text, '{AGAINST}') > 0 AND id IN (
            SELECT price FROM baseline
            UNION SELECT price FROM request WHERE id > :watermark AND routed_nusd IS NOT NULL)
        ORDER BY 1)),"""
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

# `own` counts the origin that was asked for, `n` every origin whose costs are shown. A line of `every` tells what
# became of requests (1), which models answered (2), or both.
PAID = f""",
    {_BASELINES}
    paid AS (
        SELECT *, iif(origin = :origin, n, 0) AS own FROM every WHERE tells & 1 AND (:all_costs OR origin = :origin)),
    seen AS (SELECT * FROM paid WHERE origin = :origin)"""

FIGURES = f"""{PAID}
    SELECT json_object(
        'requests', (SELECT json_object(
            'total', coalesce(sum(n), 0),
            {_OUTCOMES},
            'by_model', json((SELECT json_group_object(model, n) FROM (
                SELECT model, sum(n) AS n FROM every WHERE tells & 2 AND origin = :origin
                GROUP BY model ORDER BY n DESC))),
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

SERIES = f"""{PAID}
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

BREAKDOWN = f"""{PAID},
    line AS MATERIALIZED (
        SELECT {{key}} AS key, sum(cost_nusd) AS cost, sum(n) AS n, json_object('key', {{key}}, {_LINE}) AS one
        FROM {{source}} GROUP BY 1)
    SELECT json_object(
        'rows', json((SELECT json_group_array(json(one)) FROM (
            SELECT one FROM line ORDER BY {{order}} LIMIT {BREAKDOWN_MAX}))),
        'left_out', (SELECT max(0, count(*) - {BREAKDOWN_MAX}) FROM line),
        'total', (SELECT json_object({_LINE}, 'by_origin', {_BY_ORIGIN}) FROM paid))"""

KEYS = {
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
