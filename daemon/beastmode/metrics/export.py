"""The whole ledger, a page at a time, oldest first: a cursor fixes what there was when the first page was read."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from beastmode.core.errors import BadInputError
from beastmode.metrics.ledger import Ledger
from beastmode.metrics.queries import ROW, conditions

PAGE_MAX = 1_000

_PAGE = """
    SELECT json_group_array(json_array(at_us, id, json(document))) FROM (
        SELECT r.at_us, r.id, {row} AS document
        FROM request r CROSS JOIN kind k ON k.id = r.kind
        WHERE r.at_us >= :low_us AND r.at_us < :until_us AND r.id <= :last_id
            AND (r.at_us > :low_us OR r.id > :after_id) AND {kinds}
        ORDER BY r.at_us, r.id LIMIT :limit)"""
_LAST = "SELECT coalesce(max(id), 0) FROM request"
_LEFT = """
    SELECT count(*) FROM request r JOIN kind k ON k.id = r.kind
    WHERE r.at_us >= :low_us AND r.at_us < :until_us AND {kinds}"""

_decode = msgspec.json.Decoder(list[tuple[int, int, dict[str, Any]]]).decode


class Cursor(NamedTuple):
    """Where a page ends.

    Attributes:
        at_us: Start of its last row, microseconds since the epoch.
        id: The last row.
        last_id: The newest row when the first page was read.
    """

    at_us: int
    id: int
    last_id: int


class Page(NamedTuple):
    """Some rows.

    Attributes:
        rows: As `requests.list` has them, oldest first.
        following: The cursor of the next page; None: this was the last.
        total: How many there are on all pages; only the first page knows.
    """

    rows: list[dict[str, Any]]
    following: str | None
    total: int | None


async def page(
    ledger: Ledger,
    limit: int,
    cursor: str | None,
    since_s: float | None,
    until_s: float | None,
    wanted: Mapping[str, str | None],
) -> Page:
    """Reads a page of rows.

    Args:
        ledger: Where they are.
        limit: How many at most.
        cursor: Of the page before; None: the first page.
        since_s: Only those that started at or after this wall clock.
        until_s: Only those that started before it.
        wanted: Values by the names of `queries.conditions`; None: any.

    Raises:
        BadInputError: The cursor is none.
    """
    after = _cursor(cursor)
    kinds = conditions(wanted)
    values: dict[str, object] = {
        **{name: value for name, value in wanted.items() if value is not None},
        "low_us": 0 if since_s is None else int(since_s * 1e6),
        "until_us": 1 << 62 if until_s is None else int(until_s * 1e6),
        "after_id": -1,
        "limit": limit,
    }

    def read(connection: sqlite3.Connection) -> Page:
        total = None
        if after is None:
            last_id = connection.execute(_LAST).fetchone()[0]
            total = connection.execute(_LEFT.format(kinds=kinds), values).fetchone()[0]
        else:
            last_id = after.last_id
            values.update(low_us=after.at_us, after_id=after.id)
        query = _PAGE.format(row=ROW, kinds=kinds)
        found = _decode(connection.execute(query, {**values, "last_id": last_id}).fetchone()[0])
        following = None
        if len(found) == limit:
            at_us, row_id, _ = found[-1]
            following = f"{at_us}.{row_id}.{last_id}"
        return Page([row for _, _, row in found], following, total)

    return await ledger.read(read)


def _cursor(text: str | None) -> Cursor | None:
    if text is None:
        return None
    try:
        cursor = Cursor(*(int(part) for part in text.split(".")))
        if min(cursor) < 0 or max(cursor) >= 1 << 62:
            raise ValueError
    except (TypeError, ValueError):
        raise BadInputError(f"`after` is no cursor: {text[:40]!r}.", tips=["use `next` of the page before"]) from None
    return cursor
