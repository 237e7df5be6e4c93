"""Kinds that are made of other kinds: with what does not matter to a sum left blank, a few stand for thousands."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

_MAIN = ("origin", "outcome", "cache", "tier", "model", "model_served", "provider", "error_kind")
_SLICE = ("origin", "outcome", "model", "model_served", "workspace", "client", "user")
_CALLED = {"attempts": "k.attempts > 0", "fell_back": "k.fell_back"}

DIMENSIONS = {"user": 1, "workspace": 2, "client": 4}
"""Who asked; a set of them is the sum of their numbers, and the `dim` of a facet that tells them apart."""

TAGS = 8
"""Told apart by counts that tell nobody else apart."""

FACETS = range(1, 8)
"""Main kinds, told apart by who asked. An older file has facets of a dimension 0, which nobody reads any more."""

WHO, MODELS = 8, 9
"""Two coarser slices, as dimensions of `facet_kind`: without the model, and with nothing else."""

COUNTS, ANSWERS, TIMED = 20, 30, 10
"""Coarser yet, each with a set of `DIMENSIONS` added to it: what became of requests whatever their model; how many each
model answered; and, made of slices, how long it took."""

ALONE = (0, *DIMENSIONS.values())
COARSE = (*(COUNTS + who for who in (0, *FACETS, TAGS)), *(ANSWERS + who for who in (0, *FACETS)))
COARSE_SHORT = (*(COUNTS + who for who in (*ALONE, TAGS)), *(ANSWERS + who for who in ALONE))
"""Those that short roll-ups are kept of, too."""

SLICED = (WHO, MODELS, *(TIMED + who for who in FACETS[:-1]))
"""Those that are made of slices; with all `DIMENSIONS` it is `WHO`."""

JOINED_AT_ONCE = 500
"""So many kinds are looked at in one transaction: an older file may have thousands."""

# ruff: noqa: S608  # every statement is made of constants


def pattern(dim: int | None) -> str:
    """What the keys of made kinds look like; the index of keys finds them.

    Args:
        dim: As in `facet_kind`; None: slices.
    """
    return f"{_name(dim)}:*"


def _name(dim: int | None) -> str:
    if dim is None or dim in (WHO, MODELS):
        return {None: "slice", WHO: "who", MODELS: "models"}[dim]
    return f"{ {0: 'facet', TIMED: 'timed', COUNTS: 'count', ANSWERS: 'answer'}[dim // 10 * 10] }{dim % 10}"


def _same(names: Sequence[str]) -> dict[str, str]:
    return {name: f"k.{name}" for name in names}


def _who(dim: int) -> dict[str, str]:
    return _same([name for name, bit in {**DIMENSIONS, "tags": TAGS}.items() if dim % 10 & bit])


_MAIN_TOLD = {**_same(_MAIN), **_CALLED}


def _told(dim: int) -> dict[str, str]:
    """What a made kind keeps of those that it stands for: its columns, and what they are."""
    if dim in (WHO, MODELS):
        return _same(("origin", *DIMENSIONS) if dim == WHO else ("origin", "model", "model_served"))
    if dim >= ANSWERS:
        return {"origin": "k.origin", "model": "coalesce(k.model_served, k.model)", **_who(dim)}
    if dim >= COUNTS:
        return {**_same(("origin", "outcome", "cache", "error_kind")), **_CALLED, **_who(dim)}
    if dim >= TIMED:
        return {"origin": "k.origin", **_who(dim)}
    return {**_who(dim), **_MAIN_TOLD}


def _array(told: dict[str, str]) -> str:
    return f"json_array({', '.join(told.values())})"


_MAIN_KEY = f"'main:' || {_array(_MAIN_TOLD)}"
_SLICE_KEY = f"'slice:' || {_array(_same(_SLICE))}"


def _key(dim: int) -> str:
    if dim in FACETS:
        return f"'{_name(dim)}:' || {_array(_who(dim))} || {_MAIN_KEY}"
    return f"'{_name(dim)}:' || {_array(_told(dim))}"


_BLANK = {
    **dict.fromkeys(("outcome", "model", "user", "client"), "''"),
    **dict.fromkeys(("attempts", "fell_back", "stream", "main"), "0"),
    "tags": "'[]'",
}
_FRESH = "kind k WHERE k.main IS NULL AND k.id <= :upto"
_FRESH_SLICES = f"""
    kind k WHERE k.key GLOB '{pattern(None)}' AND NOT EXISTS (
        SELECT 1 FROM facet_kind f WHERE f.kind = k.id AND f.dim = {SLICED[-1]})"""


def _make(key: str, told: dict[str, str], source: str) -> str:
    columns = {**_BLANK, **told}
    return f"""
        INSERT OR IGNORE INTO kind (key, {", ".join(columns)})
        SELECT DISTINCT {key}, {", ".join(columns.values())} FROM {source}"""


def _join(dim: int, source: str) -> str:
    return f"""
        INSERT OR IGNORE INTO facet_kind (kind, dim, made)
        SELECT one.id, {dim}, m.id FROM (SELECT k.id, {_key(dim)} AS made FROM {source}) one
        CROSS JOIN kind m ON m.key = one.made"""


_JOIN_MAIN = f"""
    UPDATE kind AS k SET
        main = (SELECT m.id FROM kind m WHERE m.key = {_MAIN_KEY}),
        slice = (SELECT m.id FROM kind m WHERE m.key = {_SLICE_KEY})
    WHERE k.main IS NULL AND k.id <= :upto"""

_STATEMENTS = (
    *(_make(_key(dim), _told(dim), _FRESH) for dim in (*FACETS, *COARSE)),
    *(_join(dim, _FRESH) for dim in (*FACETS, *COARSE)),
    _make(_MAIN_KEY, _MAIN_TOLD, _FRESH),
    _make(_SLICE_KEY, _same(_SLICE), f"{_FRESH} AND k.outcome = 'success'"),
    _JOIN_MAIN,
    *(_make(_key(dim), _told(dim), _FRESH_SLICES) for dim in SLICED),
    *(_join(dim, _FRESH_SLICES) for dim in SLICED),
)

_UPTO = "SELECT max(id) FROM (SELECT id FROM kind WHERE main IS NULL ORDER BY id LIMIT ?)"


def join_kinds(connection: sqlite3.Connection) -> bool:
    """Names to each new kind the made ones that it counts under; a made kind has none (0) and no rows of its own.

    Args:
        connection: In the transaction that needs them.

    Returns:
        Whether all are joined; of very many some wait for the next transaction.
    """
    (upto,) = connection.execute(_UPTO, (JOINED_AT_ONCE,)).fetchone()
    if upto is None:
        return True
    for statement in _STATEMENTS:
        connection.execute(statement, {"upto": upto})
    left: int | None = connection.execute(_UPTO, (1,)).fetchone()[0]
    return left is None
