"""Kinds that are made of other kinds: with what does not matter to a sum left blank, a few stand for thousands."""

from __future__ import annotations

import sqlite3

_MAIN = ("origin", "outcome", "cache", "tier", "model", "model_served", "provider", "error_kind")
_SLICE = ("origin", "outcome", "model", "model_served", "workspace", "client", "user")

DIMENSIONS = {"user": 1, "workspace": 2, "client": 4}
"""Who asked; a set of them is the sum of their numbers, and the `dim` of a facet that tells them apart."""

FACETS = range(8)
"""0 has nothing but origin, outcome and cache: what a series over time shows of all requests."""

WHO, MODELS = 8, 9
"""Two coarser slices, as dimensions of `facet_kind`: without the model, and with nothing else."""

SLICES = {0: "slice:*", WHO: "who:*", MODELS: "models:*"}
"""The keys of those that histograms are of; as patterns they are found by the index."""

# ruff: noqa: S608  # every statement is made of constants


def _main_key(table: str) -> str:
    called = f"{table}.attempts > 0, {table}.fell_back"
    return f"'main:' || json_array({', '.join(f'{table}.{name}' for name in _MAIN)}, {called})"


def _slice_key(table: str) -> str:
    return f"'slice:' || json_array({', '.join(f'{table}.{name}' for name in _SLICE)})"


_NEW = "SELECT 1 FROM kind WHERE main IS NULL LIMIT 1"

_MAKE_MAIN = f"""
    INSERT OR IGNORE INTO kind (key, {", ".join(_MAIN)}, attempts, fell_back, stream, user, client, tags, main)
    SELECT DISTINCT {_main_key("k")}, {", ".join(_MAIN)}, attempts > 0, fell_back, 0, '', '', '[]', 0
    FROM kind k WHERE main IS NULL"""

_MAKE_SLICES = f"""
    INSERT OR IGNORE INTO kind (key, {", ".join(_SLICE)}, attempts, fell_back, stream, tags, main)
    SELECT DISTINCT {_slice_key("k")}, {", ".join(_SLICE)}, 0, 0, 0, '[]', 0
    FROM kind k WHERE main IS NULL AND outcome = 'success'"""

_JOIN = f"""
    UPDATE kind SET
        main = (SELECT m.id FROM kind m WHERE m.key = {_main_key("kind")}),
        slice = (SELECT m.id FROM kind m WHERE m.key = {_slice_key("kind")})
    WHERE main IS NULL"""


def _facet_columns(dim: int) -> list[str]:
    return [name for name, bit in DIMENSIONS.items() if dim & bit]


def _facet_key(table: str, dim: int) -> str:
    if not dim:
        return f"'facet0:' || json_array({table}.origin, {table}.outcome, {table}.cache)"
    who = ", ".join(f"{table}.{name}" for name in _facet_columns(dim))
    return f"'facet{dim}:' || json_array({who}) || {_main_key(table)}"


def _make_facet(dim: int) -> str:
    """A kind for each main one and each value of some dimensions."""
    if not dim:
        return f"""
            INSERT OR IGNORE INTO kind
                (key, origin, outcome, cache, model, attempts, fell_back, stream, user, client, tags, main)
            SELECT DISTINCT {_facet_key("k", 0)}, origin, outcome, cache, '', 0, 0, 0, '', '', '[]', 0
            FROM kind k WHERE main IS NULL"""
    who = _facet_columns(dim)
    blank = {"user": "''", "client": "''"}
    others = [name for name in blank if name not in who]
    return f"""
        INSERT OR IGNORE INTO kind (key, {", ".join(_MAIN)}, attempts, fell_back, stream, tags, main,
            {", ".join([*who, *others])})
        SELECT DISTINCT {_facet_key("k", dim)}, {", ".join(_MAIN)}, attempts > 0, fell_back, 0, '[]', 0,
            {", ".join([*who, *[blank[name] for name in others]])}
        FROM kind k WHERE main IS NULL"""


def _join_facet(dim: int) -> str:
    return f"""
        INSERT OR IGNORE INTO facet_kind (kind, dim, made)
        SELECT k.id, {dim}, m.id FROM kind k CROSS JOIN kind m ON m.key = {_facet_key("k", dim)} WHERE k.main IS NULL"""


_WHO_KEY = "'who:' || json_array(s.origin, s.user, s.workspace, s.client)"
_MODELS_KEY = "'models:' || json_array(s.origin, s.model, s.model_served)"
_NEW_SLICES = f"""
    kind s WHERE s.key GLOB '{SLICES[0]}' AND NOT EXISTS (SELECT 1 FROM facet_kind f WHERE f.kind = s.id)"""
_MAKE_WHO = f"""
    INSERT OR IGNORE INTO kind
        (key, origin, outcome, model, user, workspace, client, attempts, fell_back, stream, tags, main)
    SELECT DISTINCT {_WHO_KEY}, origin, outcome, '', user, workspace, client, 0, 0, 0, '[]', 0 FROM {_NEW_SLICES}"""
_MAKE_MODELS = f"""
    INSERT OR IGNORE INTO kind
        (key, origin, outcome, model, model_served, user, client, attempts, fell_back, stream, tags, main)
    SELECT DISTINCT {_MODELS_KEY}, origin, outcome, model, model_served, '', '', 0, 0, 0, '[]', 0
    FROM {_NEW_SLICES}"""
_JOIN_SLICES = f"""
    INSERT OR IGNORE INTO facet_kind (kind, dim, made)
    SELECT s.id, d.value, m.id FROM json_each('[{WHO},{MODELS}]') d CROSS JOIN kind s
    CROSS JOIN kind m ON m.key = iif(d.value = {WHO}, {_WHO_KEY}, {_MODELS_KEY})
    WHERE s.key GLOB '{SLICES[0]}'"""

_STATEMENTS = (
    *map(_make_facet, FACETS),
    *map(_join_facet, FACETS),
    *(_MAKE_MAIN, _MAKE_SLICES, _JOIN, _MAKE_WHO, _MAKE_MODELS, _JOIN_SLICES),
)


def join_kinds(connection: sqlite3.Connection) -> None:
    """Names to each new kind the made ones that it counts under; a made kind has none (0) and no rows of its own.

    Args:
        connection: In the transaction that needs them.
    """
    if connection.execute(_NEW).fetchone():
        for statement in _STATEMENTS:
            connection.execute(statement)
