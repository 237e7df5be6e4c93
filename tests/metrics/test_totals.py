"""The ledger's totals: each row once, whether it is rolled up or not, and no number ever falls."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from beastmode.core.rows import RowCache
from beastmode.metrics import rollups
from beastmode.metrics.families import of_ledger
from beastmode.metrics.ledger import Ledger
from beastmode.metrics.schema import SUM_COLUMNS
from beastmode.metrics.totals import LedgerTotals, Totals
from support.ledger import NOON_S, StillClock, row

DAY_S = 86_400.0
COST = SUM_COLUMNS.index("cost_nusd")


class Desk:
    """A ledger and its totals."""

    def __init__(self, folder: Path) -> None:
        self.clock = StillClock()
        self.ledger = Ledger(folder, self.clock)
        self.ledger.start()
        self.registered = ["custom:qwen"]
        self.totals = LedgerTotals(self.ledger, lambda: self.registered)
        self._count = 0

    def note(self, count: int = 1, **fields: Any) -> None:
        for _ in range(count):
            self._count += 1
            self.ledger.record(row(f"req_{self._count}", **fields))

    async def rolled(self) -> None:
        await self.ledger.written()
        self.ledger.roll_up()

    async def requests(self) -> int:
        return count(await self.totals.read())


def count(totals: Totals) -> int:
    return sum(numbers[0] for numbers in totals.sums.values())


def timed(totals: Totals) -> int:
    return sum(sum(times[0].values()) for times in totals.times.values())


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.ledger.close()


async def test_an_empty_ledger_adds_up_to_nothing(desk: Desk) -> None:
    totals = await desk.totals.read()
    assert (totals.sums, totals.times) == ({}, {})
    assert all(not family.samples for family in of_ledger(totals))


async def test_every_row_counts_once_however_old_and_however_rolled_up(desk: Desk) -> None:
    dice = random.Random(5)
    for day in (400, 90, 70, 40, 10, 3, 1, 0):
        desk.note(20, at_s=NOON_S - day * DAY_S - dice.random() * 3600, latency_ms=10.0)
    assert await desk.requests() == 160
    await desk.rolled()
    desk.note(5)
    fresh = await LedgerTotals(desk.ledger, lambda: desk.registered).read()
    assert (count(fresh), timed(fresh)) == (165, 165)
    assert sum(numbers[COST] for numbers in fresh.sums.values()) == 165 * 2_000_000
    assert await desk.requests() == 165


async def test_rows_are_added_as_they_come_and_as_a_fresh_reader_counts_them(desk: Desk) -> None:
    for turn in range(6):
        desk.note(3, ttft_ms=5.0 if turn % 2 else None, stream=bool(turn % 2), outcome="success")
        desk.note(1, outcome="failure", model_served=None, error_kind="timeout", latency_ms=50.0)
        if turn == 3:
            await desk.rolled()
        mine = await desk.totals.read()
        theirs = await LedgerTotals(desk.ledger, lambda: desk.registered).read()
        assert mine.sums == theirs.sums
        assert mine.times == theirs.times
        assert count(mine) == 4 * (turn + 1)


async def test_a_clock_that_jumps_loses_no_row(desk: Desk) -> None:
    desk.note(3)
    for jump_s in (DAY_S, -2 * DAY_S, 30 * DAY_S):
        desk.clock.now_s = NOON_S + jump_s
        desk.note(3, at_s=desk.clock.now_s)
        await desk.rolled()
        assert await desk.requests() == count(await LedgerTotals(desk.ledger, list).read())
    assert await desk.requests() == 12


async def test_pruned_rows_stay_counted(desk: Desk) -> None:
    desk.note(30, at_s=NOON_S - 50 * DAY_S)
    assert await desk.requests() == 30
    assert await desk.ledger.prune(max_age_s=DAY_S) == 30
    desk.note(2)
    assert await desk.requests() == 32
    assert count(await LedgerTotals(desk.ledger, list).read()) == 32


async def test_no_number_falls_when_rows_vanish(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beastmode.metrics.roller.PAUSE_S", 60.0)  # nothing is added up between two deletions
    desk.note(10)
    before = await desk.totals.read()
    await desk.ledger.read(lambda connection: None)
    connection = desk.ledger._database.derived()
    for table in ("request", *rollups.TABLES, "histogram"):
        connection.execute(f"DELETE FROM {table}")
    connection.close()
    after = await desk.totals.read()
    assert (after.sums, after.times) == (before.sums, before.times)
    desk.note(4)
    assert await desk.requests() == 14


async def test_a_model_that_never_answered_and_is_not_registered_has_no_label_of_its_own(desk: Desk) -> None:
    desk.note(1, model="custom:typo", model_served=None, outcome="failure", error_kind="unknown_model")
    desk.note(1, model="gone", model_served="custom:gone")
    desk.note(1, model="custom:qwen", model_served=None, outcome="failure", error_kind="timeout")
    totals = await desk.totals.read()
    assert {labels.model for labels in totals.sums} == {"other", "custom:gone", "custom:qwen"}


async def test_a_client_counts_by_its_door_alone(desk: Desk) -> None:
    for client in ("socket", "http:curl", "http:aider", "http", "made-up"):
        desk.note(1, client=client)
    totals = await desk.totals.read()
    doors = {labels.door: numbers[0] for labels, numbers in totals.sums.items()}
    assert doors == {"socket": 1, "http": 3, "other": 1}


async def test_tokens_of_hits_were_not_bought(desk: Desk) -> None:
    desk.note(1)
    desk.note(9, cache=RowCache(result="hit_exact", tier="L1"), cost_usd=0.0, saved_usd=0.002)
    families = {family.name: family for family in of_ledger(await desk.totals.read())}
    tokens = {sample.labels["type"]: sample.value for sample in families["beast_tokens"].samples}
    assert tokens == {"prompt": 100, "completion": 20}
    assert [sample.value for sample in families["beast_saved_usd"].samples] == [0.018]


async def test_unknown_costs_are_counted_apart(desk: Desk) -> None:
    desk.note(2)
    desk.note(3, cost_usd=None)
    families = {family.name: family for family in of_ledger(await desk.totals.read())}
    assert [sample.value for sample in families["beast_cost_usd"].samples] == [0.004]
    assert [sample.value for sample in families["beast_cost_unknown_requests"].samples] == [3]


async def test_buckets_rise_and_end_with_every_answer(desk: Desk) -> None:
    for latency_ms in (0.2, 3.0, 40.0, 700.0, 8_000.0, 500_000.0):
        desk.note(1, latency_ms=latency_ms)
    families = {family.name: family for family in of_ledger(await desk.totals.read())}
    found = families["beast_request_duration_seconds"].samples
    buckets = {one.labels["le"]: one.value for one in found if one.suffix == "_bucket"}
    assert list(buckets.values()) == sorted(buckets.values())
    assert (buckets["0.0005"], buckets["1.0"], buckets["120.0"], buckets["+Inf"]) == (1, 4, 5, 6)
