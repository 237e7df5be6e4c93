"""Kinds that are made of other kinds: with what does not matter to a sum left blank, a few stand for thousands."""

from __future__ import annotations

import sqlite3

_MAIN = ("origin", "outcome", "cache", "tier", "model", "model_served", "provider", "error_kind")
_SLICE = ("origin", "outcome", "model", "model_served", "workspace", "client", "user")

SLICES = "slice:*"
"""The keys of those that histograms are of; as a pattern it is found by the index."""

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


def join_kinds(connection: sqlite3.Connection) -> None:
    """Names to each new kind the made ones that it counts under; a made kind has none (0) and no rows of its own.

    Args:
        connection: In the transaction that needs them.
    """
    if connection.execute(_NEW).fetchone():
        for statement in (_MAKE_MAIN, _MAKE_SLICES, _JOIN):
            connection.execute(statement)
