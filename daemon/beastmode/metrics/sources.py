"""Which tables of roll-ups answer a question with the fewest rows, and which of their rows."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from beastmode.metrics.kinds import ALONE, ANSWERS, COUNTS, TAGS, pattern
from beastmode.metrics.rollups import FACET_LEVEL_S
from beastmode.metrics.spans import FOREVER_S, LEVELS_S

# ruff: noqa: S608  # every statement is made of constants

TELLS = f"CASE WHEN k.outcome = '' THEN 2 WHEN k.key GLOB '{pattern(COUNTS)[:-3]}*' THEN 1 ELSE 3 END"
"""What a kind tells of its requests: what became of them (1), which model answered (2)."""


class Source(NamedTuple):
    """A table, and which of it.

    Attributes:
        table: Its name.
        since_s: Roll-ups of this length and longer.
        below_s: Shorter ones than this.
        dims: Of facets: which; their kinds are few and found by their keys.
    """

    table: str
    since_s: int = 0
    below_s: int = FOREVER_S
    dims: tuple[int, ...] = ()

    @property
    def pieces(self) -> str:
        """Which of its rows belong to the piece `p` of a span."""
        if self.table == "session_rollup":
            return "p.size"
        bounds = f"p.size >= {self.since_s} AND p.size < {self.below_s} AND r.level = p.size"
        return f"{bounds} AND r.dim IN ({', '.join(map(str, self.dims))})" if self.dims else bounds

    def chosen(self, kinds: str) -> str:
        """Which of its rows are of the kinds that are asked for.

        Args:
            kinds: Condition on `kind k`.
        """
        keys = [pattern(dim) for dim in self.dims] or (["main:*"] if self.table == "summary" else [])
        if not keys:
            return f"AND EXISTS (SELECT 1 FROM kind k WHERE k.id = r.kind AND {kinds})"
        made = " UNION ALL ".join(f"SELECT k.id FROM kind k WHERE k.key GLOB '{key}' AND {kinds}" for key in keys)
        return f"AND r.kind IN ({made})"


SESSIONS = Source("session_rollup")


def sources(who: int, *, models: bool, answers: bool, missing: Collection[int]) -> list[Source]:
    """Names the tables.

    Args:
        who: Whom they tell apart, as a sum of `kinds.DIMENSIONS`, or `kinds.TAGS`.
        models: They tell models apart in everything.
        answers: They tell how many each model answered.
        missing: Dimensions that an older file has not all of yet.

    Returns:
        The first has the single rows' kinds.
    """
    finest = "rollup" if who else "summary"
    dims: tuple[int, ...] = (COUNTS + who, ANSWERS + who) if answers else (COUNTS + who,)
    from_s = LEVELS_S[1] if who in (*ALONE, TAGS) else FACET_LEVEL_S
    if models or any(dim in missing for dim in dims):
        dims, from_s = (who,) if who and who < TAGS else (), FACET_LEVEL_S
    if not dims or any(dim in missing for dim in dims):
        return [Source(finest)]
    return [Source(finest, below_s=from_s), Source("facet", since_s=from_s, dims=dims)]
