"""Costs by model, project, client, user, session, tag, provider, day and month agree with the rows."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.core.clock import parse_rfc3339, rfc3339
from beastmode.core.rows import Row, RowCache
from beastmode.core.types import Usage
from beastmode.metrics.figures import Filters
from beastmode.metrics.ledger import Ledger
from beastmode.metrics.stats import Stats
from support.ledger import NOON_S, StillClock, row

DAY_S = 86_400.0
HITS = ("hit_exact", "hit_semantic")
KEYS: dict[str, Callable[[Row], list[str | None]]] = {
    "model": lambda one: [one.model_served or one.model],
    "project": lambda one: [one.workspace],
    "client": lambda one: [one.client],
    "user": lambda one: [one.user],
    "provider": lambda one: [one.provider],
    "session": lambda one: [one.session_id] if one.session_id is not None else [],
    "tag": lambda one: list(one.tags) or [None],
    "day": lambda one: [rfc3339(one.at_s)[:10]],
    "month": lambda one: [rfc3339(one.at_s)[:7]],
}


class Desk:
    """A ledger with its statistics."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger(folder, StillClock())
        self.ledger.start()
        self.stats = Stats(self.ledger, StillClock())

    async def roll(self) -> None:
        await self.ledger.written()
        await asyncio.to_thread(self.ledger.roll_up)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.ledger.close()


def nano(usd: float | None) -> int:
    return round((usd or 0.0) * 1e9)


def line(rows: list[Row]) -> dict[str, Any]:
    """What is said of some rows."""
    own = [one for one in rows if one.origin == "person"]
    called = [one.usage for one in rows if one.cache is None or one.cache.result not in HITS]
    known = [usage for usage in called if usage is not None]
    return {
        "requests": len(own),
        **{name: sum(one.outcome == name for one in own) for name in ("success", "failure", "refused", "cancelled")},
        "hits": sum(one.cache is not None and one.cache.result in HITS for one in own),
        "prompt_tokens": sum(usage.prompt_tokens or 0 for usage in known) if known or not called else None,
        "cost": nano(sum(one.cost_usd or 0 for one in rows)),
        "unknown": sum(one.cost_usd is None for one in rows),
        "saved": nano(sum(one.saved_usd or 0 for one in rows)),
    }


def told(found: dict[str, Any]) -> dict[str, Any]:
    """A row of a breakdown in the words of `line`."""
    names = ("requests", "success", "failure", "refused", "cancelled", "hits", "unknown")
    return {
        **{name: found[name] for name in names},
        "prompt_tokens": found["tokens"]["prompt_tokens"],
        "cost": nano(found["cost_usd"]),
        "saved": nano(found["saved_usd"]),
    }


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "at_s": st.floats(NOON_S - 45 * DAY_S, NOON_S),
            "origin": st.sampled_from(["person", "person", "warming"]),
            "outcome": st.sampled_from(["success", "success", "failure", "refused", "cancelled"]),
            "cache": st.none() | st.sampled_from(["hit_exact", "miss"]).map(RowCache),
            "model": st.sampled_from(["auto", "custom:a"]),
            "model_served": st.sampled_from([None, "custom:b"]),
            "provider": st.sampled_from([None, "anthropic"]),
            "workspace": st.sampled_from([None, "/w"]),
            "client": st.sampled_from(["http", "socket"]),
            "user": st.sampled_from(["ann", "bob"]),
            "session_id": st.sampled_from([None, "s1", "s2"]),
            "tags": st.sampled_from([[], ["ci"], ["ci", "nightly"]]),
            "usage": st.none() | st.builds(Usage, st.integers(0, 10_000), st.integers(0, 10_000)),
            "cost_usd": st.none() | st.integers(0, 10**9).map(lambda n: n / 1e9),
            "saved_usd": st.none() | st.integers(0, 10**9).map(lambda n: n / 1e9),
        }
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=25)
@given(ROWS, st.floats(0, 50 * DAY_S), st.floats(0, 20 * DAY_S), st.integers(0, 25))
async def test_every_dimension_adds_up_to_the_rows(
    tmp_path_factory: pytest.TempPathFactory, given_rows: list[dict[str, Any]], ago_s: float, long_s: float, rolled: int
) -> None:
    desk = Desk(tmp_path_factory.mktemp("ledger"))
    try:
        rows = [row(f"req_{number}", **fields) for number, fields in enumerate(given_rows)]
        for one in rows[:rolled]:
            desk.ledger.record(one)
        await desk.roll()
        for one in rows[rolled:]:
            desk.ledger.record(one)
        from_s, before_s = NOON_S - ago_s, NOON_S - ago_s + long_s
        inside = [one for one in rows if int(from_s * 1e6) <= int(one.at_s * 1e6) < int(before_s * 1e6)]
        for by, key in KEYS.items():
            wanted: dict[str | None, list[Row]] = defaultdict(list)
            for one in inside:
                for name in key(one):
                    wanted[name].append(one)
            found = await desk.stats.breakdown(by, from_s, before_s)  # type: ignore[arg-type]
            assert {one["key"]: told(one) for one in found["rows"]} == {
                name: line(some) for name, some in wanted.items()
            }
            assert told(found["total"]) == line(inside)
            assert found["left_out"] == 0
    finally:
        desk.ledger.close()


async def test_the_dearest_comes_first_and_days_in_their_order(desk: Desk) -> None:
    desk.ledger.record(row("a", model_served="custom:cheap", cost_usd=0.1, at_s=NOON_S - DAY_S))
    desk.ledger.record(row("b", model_served="custom:dear", cost_usd=0.2, at_s=NOON_S - 3 * DAY_S))
    desk.ledger.record(row("c", model_served="custom:free", cost_usd=0.0, at_s=NOON_S - 2 * DAY_S))
    span = NOON_S - 10 * DAY_S, NOON_S
    keys = [one["key"] for one in (await desk.stats.breakdown("model", *span))["rows"]]
    assert keys == ["custom:dear", "custom:cheap", "custom:free"]
    keys = [one["key"] for one in (await desk.stats.breakdown("day", *span))["rows"]]
    assert keys == ["2026-11-15", "2026-11-16", "2026-11-17"]


async def test_what_is_unknown_stays_unknown_and_is_counted(desk: Desk) -> None:
    desk.ledger.record(row("a", cost_usd=None, saved_usd=None, usage=None))
    (found,) = (await desk.stats.breakdown("model", NOON_S - 1, NOON_S + 1))["rows"]
    assert found["cost_usd"] is found["saved_usd"] is found["tokens"]["prompt_tokens"] is None
    assert found["unknown"] == 1


async def test_tokens_of_hits_were_not_paid_again(desk: Desk) -> None:
    desk.ledger.record(row("a", usage=Usage(100, 20)))
    desk.ledger.record(row("b", usage=Usage(100, 20), cache=RowCache("hit_exact", "L1"), cost_usd=0.0))
    (found,) = (await desk.stats.breakdown("model", NOON_S - 1, NOON_S + 1))["rows"]
    assert (found["tokens"]["prompt_tokens"], found["requests"], found["hits"]) == (100, 2, 1)


async def test_filters_hold_for_breakdowns_too(desk: Desk) -> None:
    desk.ledger.record(row("a", user="ann", cost_usd=0.25))
    desk.ledger.record(row("b", user="bob", cost_usd=0.5))
    found = await desk.stats.breakdown("client", NOON_S - 1, NOON_S + 1, filters=Filters(user="ann"))
    assert [(one["key"], one["cost_usd"]) for one in found["rows"]] == [("socket", 0.25)]
    assert found["total"]["cost_usd"] == 0.25


async def test_the_total_names_every_origin_apart(desk: Desk) -> None:
    desk.ledger.record(row("a", cost_usd=0.25))
    desk.ledger.record(row("b", cost_usd=0.5, origin="judge"))
    total = (await desk.stats.window("model", "1h"))["total"]
    assert (total["requests"], total["cost_usd"]) == (1, 0.75)
    assert total["by_origin"]["judge"] == {"usd": 0.5, "requests": 1, "unknown": 0}


async def test_a_long_list_says_what_it_leaves_out(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1_005):
        desk.ledger.record(row(f"req_{number}", session_id=f"s{number}", cost_usd=number / 1e6))
    found = await desk.stats.breakdown("session", NOON_S - 1, NOON_S + 1)
    assert (len(found["rows"]), found["left_out"]) == (1_000, 5)
    assert found["rows"][0]["key"] == "s1004"
    assert found["total"]["requests"] == 1_005


async def test_a_month_is_whole_also_when_its_rows_are_deleted(desk: Desk) -> None:
    october = parse_rfc3339("2026-10-01T00:00:00Z"), parse_rfc3339("2026-11-01T00:00:00Z")
    for number in range(31):
        desk.ledger.record(row(f"req_{number}", at_s=october[0] + number * DAY_S + 5, cost_usd=0.125))
    await desk.roll()
    assert await desk.ledger.prune(max_age_s=DAY_S) == 31
    (found,) = (await desk.stats.breakdown("month", *october))["rows"]
    assert (found["key"], found["requests"], found["cost_usd"]) == ("2026-10", 31, 3.875)


async def test_of_very_many_sessions_the_newest_are_looked_at_and_it_says_since_when(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beastmode.metrics.figures.SESSION_ROWS", 10)
    for number in range(40):
        desk.ledger.record(row(f"req_{number}", at_s=NOON_S - number * 7_200, session_id=f"s{number}", cost_usd=0.5))
    await desk.roll()
    found = await desk.stats.window("session", "30d")
    assert 9 <= len(found["rows"]) <= 11
    assert {line["key"] for line in found["rows"]} == {f"s{number}" for number in range(len(found["rows"]))}
    assert parse_rfc3339(found["from"]) < parse_rfc3339(found["rows_from"]) < NOON_S
    assert (found["total"]["requests"], found["total"]["cost_usd"]) == (40, 20.0)
    assert "rows_from" not in await desk.stats.window("session", "1h")
