"""The ledger: exactly one row for every request, listed as every door shows it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.core.errors import BeastError, InternalError, NotFoundError
from beastmode.core.rows import Row, RowCache
from beastmode.core.segments import frame
from beastmode.core.types import Usage
from beastmode.metrics.ledger import Ledger
from beastmode.metrics.rows import RowWriter
from support.ledger import NOON_S, StillClock, row


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path, StillClock())
    ledger.start()
    yield ledger
    ledger.close()


def reopened(folder: Path) -> Ledger:
    ledger = Ledger(folder, StillClock())
    ledger.start()
    return ledger


async def ids(ledger: Ledger, **wanted: object) -> list[str]:
    return [found["request_id"] for found in await ledger.list(**wanted)]  # type: ignore[arg-type]


class TestRows:
    async def test_a_row_is_shown_in_the_shape_of_every_door(self, ledger: Ledger) -> None:
        ledger.record(
            Row(
                request_id="req_1",
                at_s=1_795_000_000.1234,
                origin="person",
                outcome="failure",
                cache=RowCache(result="hit_exact", tier="L1"),
                model="auto",
                model_served="custom:qwen",
                deployment="custom:qwen@127.0.0.1:8000",
                provider="custom",
                error_kind="upstream",
                error_tip="It said 500. Look at its log.",
                similarity=0.987654321,
                confidence=0.5,
                price_source="genai-prices, 2026-11-20: prompt 3, completion 15",
                usage=Usage(100, 20, 30, 40, 5),
                cost_usd=0.001234567,
                saved_usd=0.5,
                latency_ms=12.345,
                ttft_ms=3.5,
                overhead_ms=0.25,
                attempts=2,
                fell_back=True,
                stream=True,
                user="ann",
                workspace="/srv/ann/app",
                client="http",
                session_id="s1",
                tags=["ci", "ünïcode"],
                route="the first that is healthy",
            )
        )
        assert await ledger.get("req_1") == {
            "request_id": "req_1",
            "at": "2026-11-18T11:06:40.123Z",
            "origin": "person",
            "outcome": "failure",
            "cache": {"result": "hit_exact", "tier": "L1"},
            "similarity": 0.987654,
            "confidence": 0.5,
            "model": "auto",
            "model_served": "custom:qwen",
            "deployment": "custom:qwen@127.0.0.1:8000",
            "provider": "custom",
            "error_kind": "upstream",
            "error_tip": "It said 500. Look at its log.",
            "usage": {
                "prompt_tokens": 100,
                "completion_tokens": 20,
                "cached_tokens": 30,
                "cache_write_tokens": 40,
                "reasoning_tokens": 5,
            },
            "cost_usd": 0.001234567,
            "price_source": "genai-prices, 2026-11-20",
            "price": "genai-prices, 2026-11-20: prompt 3, completion 15",
            "saved_usd": 0.5,
            "saved_route_usd": None,
            "latency_ms": 12.345,
            "ttft_ms": 3.5,
            "overhead_ms": 0.25,
            "attempts": 2,
            "fell_back": True,
            "stream": True,
            "user": "ann",
            "workspace": "/srv/ann/app",
            "client": "http",
            "session_id": "s1",
            "tags": ["ci", "ünïcode"],
            "route": "the first that is healthy",
        }

    async def test_what_is_unknown_is_null_and_not_zero(self, ledger: Ledger) -> None:
        ledger.record(Row(request_id="req_1", at_s=NOON_S, origin="probe", outcome="refused"))
        found = await ledger.get("req_1")
        assert found["cost_usd"] is found["saved_usd"] is found["latency_ms"] is found["ttft_ms"] is None
        assert set(found["usage"].values()) == {None}
        assert found["cache"] == {"result": None, "tier": None}
        assert found["model_served"] is found["error_kind"] is found["session_id"] is found["workspace"] is None
        assert found["tags"] == []
        assert found["fell_back"] is found["stream"] is False

    async def test_zero_stays_zero(self, ledger: Ledger) -> None:
        ledger.record(row("req_1", cost_usd=0.0, latency_ms=0.0, usage=Usage(0, 0, 0, 0, 0)))
        found = await ledger.get("req_1")
        assert found["cost_usd"] == found["latency_ms"] == 0.0
        assert set(found["usage"].values()) == {0}

    async def test_of_one_request_the_first_row_wins(self, ledger: Ledger) -> None:
        ledger.record(row("req_1", outcome="success"))
        ledger.record(row("req_1", outcome="failure"))
        await ledger.written()
        ledger.record(row("req_1", outcome="cancelled"))
        assert [found["outcome"] for found in await ledger.list(origin=None)] == ["success"]

    async def test_thousands_of_rows_all_arrive(self, ledger: Ledger, tmp_path: Path) -> None:
        names = [f"req_{n}" for n in range(3_001)]
        for number, name in enumerate(names):
            ledger.record(row(name, at_s=NOON_S + number, model=f"custom:m{number % 7}"))
        assert await ledger.written()
        with sqlite3.connect(tmp_path / "ledger.db") as connection:
            assert {name for (name,) in connection.execute("SELECT request_id FROM request")} == set(names)
        connection.close()

    async def test_a_request_that_is_not_there_is_said_so(self, ledger: Ledger) -> None:
        with pytest.raises(NotFoundError, match="req_none"):
            await ledger.get("req_none")

    async def test_a_fresh_home_is_no_problem_and_has_an_empty_list(self, tmp_path: Path) -> None:
        ledger = reopened(tmp_path / "state" / "ledger")
        assert await ids(ledger) == []
        assert ledger.problem is None
        assert stat.S_IMODE((tmp_path / "state" / "ledger").stat().st_mode) == 0o700
        ledger.close()

    async def test_the_file_is_private(self, ledger: Ledger) -> None:
        ledger.record(row("req_1"))
        await ledger.written()
        for path in ledger.path.parent.glob("ledger.db*"):
            assert path.stat().st_mode & 0o777 == 0o600

    async def test_sorts_of_rows_beyond_what_is_remembered_are_told_apart(
        self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("beastmode.metrics.rows.INTERNED_MAX", 3)
        for number in range(20):
            ledger.record(row(f"req_{number}", user=f"user {number % 7}", session_id=f"session {number % 5}"))
        for found in await ledger.list():
            number = int(found["request_id"].removeprefix("req_"))
            assert (found["user"], found["session_id"]) == (f"user {number % 7}", f"session {number % 5}")

    async def test_long_texts_are_cut(self, ledger: Ledger) -> None:
        ledger.record(row("req_1", model="m" * 100_000, error_tip="t" * 100_000, user="u" * 100_000))
        found = await ledger.get("req_1")
        assert len(json.dumps(found)) < 3_000

    async def test_odd_values_are_tamed_and_disturb_no_other_row(self, ledger: Ledger) -> None:
        ledger.record(row("req_1", user="\ud800", error_tip="lone \udfff", tags=["\ud800"]))
        ledger.record(row("req_2", usage=Usage(2**63, 10**30), cost_usd=float("nan"), saved_usd=float("inf")))
        ledger.record(row("req_3", usage=Usage(2**63 + 1, 1)))
        ledger.record(row("req_4", latency_ms=float("inf"), user="nul\x00byte"))
        ledger.record(row("req_5"))
        found = {one["request_id"]: one for one in await ledger.list()}
        assert found["req_1"]["user"] == "?"
        assert found["req_1"]["tags"] == ["?"]
        assert found["req_2"]["usage"]["prompt_tokens"] is None
        assert found["req_2"]["cost_usd"] is None
        assert found["req_3"]["usage"]["prompt_tokens"] is None
        assert found["req_4"]["latency_ms"] is None
        assert found["req_5"]["cost_usd"] == 0.002
        assert ledger.problem is None

    @settings(deadline=None, max_examples=25)
    @given(
        st.lists(
            st.builds(
                row,
                st.uuids().map(str),
                outcome=st.sampled_from(["success", "failure", "refused", "cancelled"]),
                user=st.text(max_size=20),
                tags=st.lists(st.text(max_size=8), max_size=3),
                cost_usd=st.none() | st.floats(0, 1000),
                latency_ms=st.none() | st.floats(),
                usage=st.none() | st.builds(Usage, st.none() | st.integers(0), st.none() | st.integers(0)),
                error_tip=st.none() | st.text(max_size=20),
                session_id=st.none() | st.text(max_size=20),
            ),
            max_size=20,
            unique_by=lambda one: one.request_id,
        )
    )
    def test_any_row_is_stored_once_and_shown(self, tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> None:
        ledger = reopened(tmp_path_factory.mktemp("ledger"))
        for one in rows:
            ledger.record(one)
        shown = {found["request_id"]: found for found in asyncio.run(ledger.list(limit=1000))}
        assert ledger.problem is None
        assert shown.keys() == {one.request_id for one in rows}
        for one in rows:
            found = shown[one.request_id]
            assert found["outcome"] == one.outcome
            assert found["tags"] == one.tags
            assert found["user"] == one.user
            cost = found["cost_usd"]
            assert (cost is None) == (one.cost_usd is None)
            assert cost is None or cost == pytest.approx(one.cost_usd, abs=1e-9)
        ledger.close()


class TestLists:
    async def test_newest_first(self, ledger: Ledger) -> None:
        for name, at_s in (("b", 2.0), ("c", 3.0), ("a", 1.0), ("d", 3.0)):
            ledger.record(row(name, at_s=at_s))
        assert await ids(ledger) == ["d", "c", "b", "a"]
        assert await ids(ledger, limit=2) == ["d", "c"]
        assert await ids(ledger, limit=0) == []
        assert await ids(ledger, limit=-5) == []

    async def test_at_most_a_thousand(self, ledger: Ledger) -> None:
        for number in range(1_005):
            ledger.record(row(f"req_{number}", at_s=float(number)))
        found = await ids(ledger, limit=100_000)
        assert len(found) == 1_000
        assert found[0] == "req_1004"

    async def test_what_was_recorded_a_moment_ago_is_in_the_list(self, ledger: Ledger) -> None:
        for number in range(30):
            ledger.record(row(f"req_{number}", at_s=float(number)))
            assert (await ids(ledger, limit=1)) == [f"req_{number}"]

    async def test_filters(self, ledger: Ledger) -> None:
        ledger.record(row("a", at_s=1.0, model="custom:a", model_served="custom:a"))
        ledger.record(row("b", at_s=2.0, model="auto", model_served="custom:a", user="ann"))
        ledger.record(row("c", at_s=3.0, outcome="failure", error_kind="timeout"))
        ledger.record(row("d", at_s=4.0, outcome="refused", error_kind="budget"))
        ledger.record(row("e", at_s=5.0, outcome="cancelled"))
        ledger.record(row("f", at_s=6.0, origin="warming"))
        assert await ids(ledger) == ["e", "d", "c", "b", "a"]
        assert await ids(ledger, origin=None) == ["f", "e", "d", "c", "b", "a"]
        assert await ids(ledger, origin="warming") == ["f"]
        assert await ids(ledger, model="custom:a") == ["b", "a"]
        assert await ids(ledger, model="auto") == ["b"]
        assert await ids(ledger, outcome="failure") == ["c"]
        assert await ids(ledger, errors_only=True) == ["d", "c"]
        assert await ids(ledger, user="ann") == ["b"]
        assert await ids(ledger, since_s=3.0) == ["e", "d", "c"]
        assert await ids(ledger, since_s=2.0, until_s=4.0) == ["c", "b"]
        assert await ids(ledger, model="'; DROP TABLE request; --") == []

    async def test_filters_of_the_dashboard(self, ledger: Ledger) -> None:
        ledger.record(row("a", at_s=1.0, client="http", workspace="/w", session_id="s1"))
        ledger.record(row("b", at_s=2.0, client="lsp", workspace="/w", session_id="s2"))
        ledger.record(row("c", at_s=3.0, outcome="failure", error_kind="timeout", session_id="s1"))
        assert await ids(ledger, client="lsp") == ["b"]
        assert await ids(ledger, workspace="/w") == ["b", "a"]
        assert await ids(ledger, session="s1") == ["c", "a"]
        assert await ids(ledger, session="never seen") == []
        assert await ids(ledger, error_kind="timeout") == ["c"]
        assert await ids(ledger, session="s1", workspace="/w") == ["a"]

    async def test_pages_have_every_row_once_also_of_one_moment(self, ledger: Ledger) -> None:
        for number in range(25):
            ledger.record(row(f"req_{number}", at_s=float(number // 10), model=f"custom:{number % 3}"))
        seen: list[str] = []
        while page := await ids(ledger, limit=4, before=seen[-1] if seen else None):
            seen += page
        assert seen == [f"req_{number}" for number in reversed(range(25))]

    async def test_errors_are_grouped_by_kind_and_model_with_the_newest_tip(self, ledger: Ledger) -> None:
        ledger.record(row("a", at_s=1.0, outcome="failure", error_kind="timeout", error_tip="old"))
        ledger.record(row("b", at_s=3.0, outcome="failure", error_kind="timeout", error_tip="new", attempts=3))
        ledger.record(row("c", at_s=2.0, outcome="refused", error_kind="budget", error_tip="spent"))
        ledger.record(row("d", at_s=4.0, outcome="cancelled", error_kind="cancelled"))
        ledger.record(row("e", at_s=5.0, outcome="failure", error_kind="timeout", origin="probe"))
        assert await ledger.errors() == [
            {
                "kind": "timeout",
                "model": "custom:qwen",
                "count": 2,
                "last_at": "1970-01-01T00:00:03.000Z",
                "tip": "new",
                "request_id": "b",
            },
            {
                "kind": "budget",
                "model": "custom:qwen",
                "count": 1,
                "last_at": "1970-01-01T00:00:02.000Z",
                "tip": "spent",
                "request_id": "c",
            },
        ]
        assert len(await ledger.errors(1)) == 1
        assert [group["count"] for group in await ledger.errors(since_s=2.5)] == [1]
        assert (await ledger.errors(origin=None))[0]["count"] == 3

    async def test_errors_go_back_30_days_from_the_newest_row_unless_more_is_asked_for(self, ledger: Ledger) -> None:
        day_s = 86_400.0
        for number, age_days in enumerate((31, 29, 0)):
            fields = {"outcome": "failure", "error_kind": f"kind_{age_days}"}
            ledger.record(row(f"req_{number}", at_s=NOON_S - age_days * day_s, **fields))
        ledger.record(row("newest", at_s=NOON_S))
        assert [group["kind"] for group in await ledger.errors()] == ["kind_0", "kind_29"]
        assert len(await ledger.errors(since_s=0.0)) == 3

    async def test_of_failures_at_one_moment_the_newest_is_named(self, ledger: Ledger) -> None:
        for number in range(3):
            ledger.record(
                row(f"req_{number}", at_s=1.0, outcome="failure", error_kind="timeout", error_tip=str(number))
            )
        (group,) = await ledger.errors()
        assert (group["count"], group["request_id"], group["tip"]) == (3, "req_2", "2")

    async def test_old_rows_can_be_deleted(self, ledger: Ledger) -> None:
        for number in range(6_000):
            ledger.record(row(f"old_{number}", at_s=NOON_S - 1_000))
        ledger.record(row("new", at_s=NOON_S - 10))
        assert await ledger.prune(max_age_s=100) == 6_000
        assert await ids(ledger) == ["new"]


class TestIntents:
    async def test_a_call_that_ended_leaves_its_own_row_only(self, ledger: Ledger, tmp_path: Path) -> None:
        ledger.intend(row("quick"))
        ledger.record(row("quick", cost_usd=0.5))
        ledger.intend(row("slow"))
        await ledger.written()
        assert await ids(ledger) == ["quick"]
        ledger.record(row("slow", cost_usd=0.25))
        await ledger.written()
        ledger.close()
        again = reopened(tmp_path)
        assert {one["request_id"]: one["cost_usd"] for one in await again.list()} == {"quick": 0.5, "slow": 0.25}
        again.close()

    async def test_a_call_that_was_cut_off_by_the_daemons_death_is_a_failure_of_unknown_cost(
        self, ledger: Ledger, tmp_path: Path
    ) -> None:
        ledger.intend(row("cut", at_s=NOON_S - 5, cost_usd=0.5, workspace="/w"))
        ledger.close()
        again = reopened(tmp_path)
        (found,) = await again.list()
        assert found["request_id"] == "cut"
        assert (found["outcome"], found["error_kind"], found["cost_usd"]) == ("failure", "daemon_killed", None)
        assert found["at"].startswith("2026-11-18T11:06:35")
        assert found["deployment"] == "custom:qwen@127.0.0.1:8000"
        assert found["workspace"] == "/w"
        again.close()
        third = reopened(tmp_path)
        assert len(await third.list()) == 1
        third.close()

    async def test_an_intent_that_comes_again_after_its_row_changes_nothing(
        self, ledger: Ledger, tmp_path: Path
    ) -> None:
        ledger.record(row("done", cost_usd=0.5))
        await ledger.written()
        ledger.intend(row("done"))
        ledger.close()
        again = reopened(tmp_path)
        assert [one["outcome"] for one in await again.list()] == ["success"]
        again.close()


class TestTheFile:
    async def test_rows_survive_a_restart(self, ledger: Ledger, tmp_path: Path) -> None:
        ledger.record(row("a"))
        ledger.close()
        again = reopened(tmp_path)
        assert await ids(again) == ["a"]
        again.record(row("b", at_s=NOON_S + 1))
        assert await ids(again) == ["b", "a"]
        again.close()

    def test_a_newer_file_is_refused_with_a_tip_and_left_alone(self, tmp_path: Path) -> None:
        reopened(tmp_path).close()
        with sqlite3.connect(tmp_path / "ledger.db") as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
        before = (tmp_path / "ledger.db").read_bytes()
        with pytest.raises(BeastError, match="schema 99") as caught:
            Ledger(tmp_path, StillClock()).start()
        assert "upgrade" in caught.value.tips[0]
        assert (tmp_path / "ledger.db").read_bytes() == before

    async def test_a_file_that_is_no_database_is_set_aside_and_named(self, tmp_path: Path) -> None:
        (tmp_path / "ledger.db").write_bytes(b"this is no database, " * 100)
        ledger = reopened(tmp_path)
        ledger.record(row("a"))
        assert await ids(ledger) == ["a"]
        assert "ledger.db.damaged-1" in (ledger.problem or "")
        assert (tmp_path / "ledger.db.damaged-1").read_bytes().startswith(b"this is no database")
        ledger.close()

    async def test_a_second_damaged_file_does_not_replace_the_first(self, tmp_path: Path) -> None:
        for _ in range(2):
            (tmp_path / "ledger.db").write_bytes(b"this is no database, " * 100)
            reopened(tmp_path).close()
        assert (tmp_path / "ledger.db.damaged-1").exists()
        assert (tmp_path / "ledger.db.damaged-2").exists()

    async def test_a_malformed_database_is_set_aside(self, tmp_path: Path) -> None:
        ledger = reopened(tmp_path)
        for number in range(500):
            ledger.record(row(f"req_{number}"))
        await ledger.written()
        ledger.close()
        data = bytearray((tmp_path / "ledger.db").read_bytes())
        data[4096 * 3 : 4096 * 12] = b"\xa5" * 4096 * 9
        (tmp_path / "ledger.db").write_bytes(data)
        ledger = reopened(tmp_path)
        ledger.record(row("a"))
        assert await ids(ledger) == ["a"]
        assert "damaged" in (ledger.problem or "")
        ledger.close()

    async def test_damage_that_shows_while_running_is_set_aside_and_no_later_row_is_lost(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("beastmode.metrics.database.CHECK_MAX_BYTES", 0)
        ledger = reopened(tmp_path)
        for number in range(2_000):
            ledger.record(row(f"req_{number:06d}"))
        ledger.close()
        data = bytearray((tmp_path / "ledger.db").read_bytes())
        data[4096 * 32 :] = b"\xa5" * (len(data) - 4096 * 32)
        (tmp_path / "ledger.db").write_bytes(data)
        ledger = reopened(tmp_path)
        assert ledger.problem is None
        ledger.record(row("req_after"))
        await ledger.written()
        assert await ledger.written()
        assert await ids(ledger) == ["req_after"]
        assert "ledger.db.damaged-1" in (ledger.problem or "")
        ledger.close()

    async def test_damage_in_a_leaf_is_found_at_the_start(self, tmp_path: Path) -> None:
        ledger = reopened(tmp_path)
        for number in range(2_000):
            ledger.record(row(f"req_{number:06d}"))
        ledger.close()
        data = bytearray((tmp_path / "ledger.db").read_bytes())
        data[-4096:] = b"\xa5" * 4096
        (tmp_path / "ledger.db").write_bytes(data)
        ledger = reopened(tmp_path)
        assert "ledger.db.damaged-1" in (ledger.problem or "")
        assert await ids(ledger) == []
        ledger.close()

    async def test_a_file_that_can_not_be_opened_stops_no_request_and_gets_the_rows_later(self, tmp_path: Path) -> None:
        (tmp_path / "ledger.db").mkdir()
        ledger = reopened(tmp_path)
        ledger.record(row("a"))
        assert await ledger.written() is False
        assert "wait to be stored" in (ledger.problem or "")
        (tmp_path / "ledger.db").rmdir()
        assert await ledger.written() or await ledger.written()
        assert await ids(ledger) == ["a"]
        assert ledger.problem is None
        ledger.close()

    async def test_a_transaction_that_breaks_off_leaves_no_half_and_is_tried_again(
        self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write, broken = RowWriter.write, [True]

        def breaks_once(writer: RowWriter, rows: list[Row]) -> None:
            write(writer, rows)
            if broken and broken.pop():
                raise sqlite3.OperationalError("disk I/O error")

        monkeypatch.setattr(RowWriter, "write", breaks_once)
        ledger.record(row("a", tags=["one"]))
        assert await ledger.written() is False
        ledger.record(row("b", tags=["one"]))
        assert await ledger.written() or await ledger.written()
        assert sorted(await ids(ledger)) == ["a", "b"]
        assert ledger.problem is None

    async def test_a_file_that_another_program_holds_is_waited_for(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("beastmode.metrics.database.BUSY_TIMEOUT_S", 0.01)
        holder = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        ledger = reopened(tmp_path)
        ledger.record(row("a"))
        assert await ledger.written() is False
        assert "locked" in (ledger.problem or "")
        holder.close()
        assert await ledger.written() or await ledger.written()
        assert await ids(ledger) == ["a"]
        ledger.close()

    async def test_a_ledger_that_can_not_be_read_says_so(self, ledger: Ledger) -> None:
        ledger.record(row("a"))
        await ledger.written()
        with pytest.raises(InternalError, match="can not be read"):
            await ledger.ask("SELECT nothing FROM nowhere", {})
        assert "can not be read" in (ledger.problem or "")
        assert await ids(ledger) == ["a"]
        assert ledger.problem is None

    async def test_rows_of_a_journal_written_before_a_field_existed_are_read(self, tmp_path: Path) -> None:
        (tmp_path / "journal").mkdir()
        old = {"request_id": "old", "at_s": NOON_S, "origin": "person", "outcome": "success", "a_later_field": 1}
        (tmp_path / "journal" / "ledger-00000001.journal").write_bytes(frame(b"r" + msgspec.msgpack.encode(old)))
        ledger = reopened(tmp_path)
        assert await ids(ledger) == ["old"]
        ledger.close()
