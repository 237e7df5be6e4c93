"""Roll-ups through crashes, repeated journals, deleted rows and an older file: each request counts exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from beastmode.core.errors import NotFoundError
from beastmode.metrics.database import used_bytes
from beastmode.metrics.figures import Filters
from beastmode.metrics.rollups import roll
from beastmode.metrics.schema import MIGRATIONS
from beastmode.metrics.stats import WINDOWS_S
from support.figures import DAY_S, Desk, nano, rolled
from support.ledger import NOON_S


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.ledger.close()


class TestOnce:
    async def test_a_journal_that_is_applied_twice_counts_once(self, tmp_path: Path) -> None:
        desk = Desk(tmp_path)
        for number in range(500):
            desk.record(at_s=NOON_S - number, cost_usd=0.001)
        frames = b"".join(path.read_bytes() for path in sorted((tmp_path / "journal").glob("*.journal")))
        await desk.roll()
        desk.ledger.close()
        assert frames
        for place in (len(frames) // 3, len(frames) // 2, len(frames)):
            (tmp_path / "journal" / "ledger-00000001.journal").write_bytes(frames[:place])
            again = Desk(tmp_path)
            again.rows = desk.rows
            await again.roll()
            for window in WINDOWS_S:
                await again.agrees(window)
            again.ledger.close()

    async def test_a_step_that_breaks_off_changes_nothing(
        self, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("beastmode.metrics.roller.PAUSE_S", 60.0)  # it is the test that takes the step
        for number in range(50):
            desk.record(at_s=NOON_S - number)
        await desk.ledger.written()
        with monkeypatch.context() as patch:
            patch.setattr("beastmode.metrics.spreads._APPEND", "INSERT INTO nowhere VALUES (?)")
            with pytest.raises(sqlite3.OperationalError):
                await asyncio.to_thread(desk.ledger.roll_up)
        assert await rolled(desk.ledger) == {}
        await desk.agrees("1h")
        await desk.roll()
        assert await rolled(desk.ledger) == {60: 50}
        await desk.agrees("1h")

    async def test_figures_are_right_while_a_large_ledger_is_rolled_up_in_steps(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("beastmode.metrics.rollups.CHUNK", 70)
        for number in range(300):
            desk.record(at_s=NOON_S - number * 8_641.7)
        await desk.ledger.written()
        connection = sqlite3.connect(desk.ledger.path, isolation_level=None)
        try:
            while roll(connection, NOON_S):
                await desk.agrees("30d")
        finally:
            connection.close()
        await desk.agrees("30d")

    def test_kill_9_in_the_middle_of_steps_loses_and_doubles_nothing(self, tmp_path: Path) -> None:
        recorded: set[str] = set()
        for run in range(5):
            child = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), f"run{run}"], stdout=subprocess.PIPE)
            assert child.stdout is not None
            lines = [child.stdout.readline()]
            end = time.monotonic() + 0.1 + run * 0.1
            while time.monotonic() < end:
                lines.append(child.stdout.readline())
            os.kill(child.pid, signal.SIGKILL)
            lines += child.stdout.read().splitlines(keepends=True)
            child.stdout.close()
            child.wait()
            recorded |= {line.decode().strip() for line in lines if line.endswith(b"\n")}
        asyncio.run(self.counts_agree(tmp_path, recorded))

    async def counts_agree(self, folder: Path, recorded: set[str]) -> None:
        desk = Desk(folder)
        await desk.roll()
        names = set(await desk.ledger.ask("SELECT json_group_array(request_id) FROM request", {}))
        assert recorded <= names
        assert await rolled(desk.ledger) == {60: len(names)}
        costs = (await desk.stats.snapshot("1h"))["costs"]
        assert nano(costs["total_usd"]) == len(names) * 1_000_001
        desk.ledger.close()


WRITER = f"""
import sys
from pathlib import Path
import beastmode.metrics.roller as roller
from beastmode.core.clock import Clock
from beastmode.core.rows import Row
from beastmode.metrics.ledger import Ledger

roller.PAUSE_S, roller.HURRY_ROWS = 0.01, 20

class Still(Clock):
    def wall_s(self):
        return {NOON_S}

ledger = Ledger(Path(sys.argv[1]), Still())
ledger.start()
for n in range(10**9):
    name = f"{{sys.argv[2]}}_{{n}}"
    ledger.record(Row(request_id=name, at_s={NOON_S}, origin="person", outcome="success", cost_usd=0.001000001))
    sys.stdout.write(name + "\\n")
    sys.stdout.flush()
"""


class TestPruning:
    async def test_what_deleted_rows_added_up_to_stays(self, desk: Desk) -> None:
        for number in range(40):
            desk.record(at_s=NOON_S - number * 6 * 3_600.0)
        found = await desk.stats.snapshot("30d")
        assert await desk.ledger.prune(max_age_s=5 * DAY_S) == 19
        assert len(await desk.ledger.list()) == 21
        assert (await desk.stats.snapshot("30d"))["requests"] == found["requests"]
        assert (await desk.stats.snapshot("30d"))["costs"] == found["costs"]
        await desk.agrees("24h")

    async def test_windows_shorter_than_the_age_stay_exact_and_new_rows_count(self, desk: Desk) -> None:
        for number in range(200):
            desk.record(at_s=NOON_S - number * 3_599.0)
        await desk.ledger.prune(max_age_s=2 * DAY_S)
        for number in range(20):
            desk.record(at_s=NOON_S - number)
        await desk.roll()
        for window in ("1h", "24h"):
            await desk.agrees(window)
        assert (await desk.stats.snapshot("30d"))["requests"]["total"] == 220

    async def test_rows_that_take_the_ids_of_deleted_ones_count_too(self, desk: Desk) -> None:
        for number in range(30):
            desk.record(at_s=NOON_S - 10 * DAY_S - number)
        assert await desk.ledger.prune(max_age_s=DAY_S) == 30
        for number in range(10):
            desk.record(at_s=NOON_S - number)
        await desk.agrees("1h")
        await desk.roll()
        await desk.agrees("1h")

    async def test_the_oldest_rows_go_when_the_file_is_too_large(self, desk: Desk, tmp_path: Path) -> None:
        for number in range(20_000):
            desk.record(at_s=NOON_S - number)
        await desk.ledger.written()
        await desk.roll()
        with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
            before = used_bytes(connection)
        deleted = await desk.ledger.prune(max_bytes=before // 2)
        assert 5_000 <= deleted < 20_000
        rows = await desk.ledger.list(1_000)
        assert rows[0]["request_id"] == "req_0"
        assert (await desk.ledger.get(f"req_{20_000 - deleted - 1}"))["outcome"] == "success"
        with pytest.raises(NotFoundError):
            await desk.ledger.get(f"req_{20_000 - deleted}")
        assert (await desk.stats.snapshot("24h"))["requests"]["total"] == 20_000
        assert await desk.ledger.prune(max_bytes=before) == 0
        with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
            assert connection.execute("PRAGMA freelist_count").fetchone() == (0,)

    async def test_nothing_is_deleted_unless_it_is_asked_for(self, desk: Desk) -> None:
        desk.record(at_s=1.0)
        assert await desk.ledger.prune() == 0
        assert len(await desk.ledger.list()) == 1


class TestMigration:
    async def test_a_file_of_the_first_schema_keeps_its_rows_and_gets_roll_ups(self, tmp_path: Path) -> None:
        connection = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
        connection.executescript(f"PRAGMA journal_mode = WAL; {MIGRATIONS[0]}; PRAGMA user_version = 1")
        kinds = [
            ("person", "success", "hit_exact", "L1", "auto", "custom:a", None, "custom", None, 0, 0, 0, "ann", "/w"),
            (
                "person",
                "failure",
                "miss",
                None,
                "custom:a",
                None,
                "custom:a@h:1",
                "custom",
                "timeout",
                2,
                1,
                1,
                "b",
                None,
            ),
        ]
        for number, kind in enumerate(kinds):
            connection.execute(
                f"INSERT INTO kind VALUES (?, ?, {', '.join('?' * len(kind))}, 'http', '[\"ci\"]')",
                (number + 1, f'["{number}"]', *kind),
            )
        for number in range(500):
            connection.execute(
                """INSERT INTO request (request_id, at_us, kind, prompt_tokens, cost_nusd, saved_nusd, latency_us)
                VALUES (?, ?, ?, 10, 1000001, 3, 20000)""",
                (f"old_{number}", int((NOON_S - number * 3_000) * 1e6), number % 2 + 1),
            )
        connection.close()
        desk = Desk(tmp_path)
        desk.names = itertools.count(500)
        for rolled_up in (False, True):
            if rolled_up:
                await desk.roll()
            found = await desk.stats.snapshot("30d", filters=Filters(client="http", project="/w"))
            assert found["requests"]["by_model"] == {"custom:a": 250}
            assert nano(found["costs"]["total_usd"]) == 250 * 1_000_001
            assert (await desk.stats.snapshot("30d"))["errors"]["by_kind"] == {"timeout": 250}
        old = await desk.ledger.get("old_1")
        assert (old["error_kind"], old["price_source"], old["similarity"]) == ("timeout", None, None)
        assert old["cost_usd"] == 0.001000001
        desk.record(similarity=0.97, confidence=0.99, price_source="user", cost_usd=0.0)
        assert (await desk.ledger.get("req_500"))["similarity"] == 0.97
        assert (await desk.stats.snapshot("30d"))["requests"]["total"] == 501
        desk.ledger.close()

    @pytest.mark.parametrize("schema", [3, 4])
    async def test_a_file_with_roll_ups_but_not_all_facets_gets_them_and_is_right_at_every_step(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schema: int
    ) -> None:
        monkeypatch.setattr("beastmode.metrics.older.LINES", 15)
        monkeypatch.setattr("beastmode.metrics.kinds.JOINED_AT_ONCE", 5)
        monkeypatch.setattr("beastmode.metrics.stats.EXACT_MAX", -1)
        desk = Desk(tmp_path)
        for number in range(300):
            who = {"user": f"u{number % 3}", "workspace": f"/w{number % 2}" if number % 5 else None}
            desk.record(at_s=NOON_S - number * 8_000, latency_ms=float(number), client=f"c{number % 4}", **who)
        await desk.roll()
        desk.ledger.close()
        with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as connection:
            connection.executescript(WITHOUT_FACETS if schema == 3 else WITHOUT_COARSE)
        older = Desk(tmp_path)
        older.rows, older.names = desk.rows, desk.names
        asked = [
            *(Filters(), Filters(user="u1"), Filters(project="/w1"), Filters(client="c2")),
            *(Filters(model="custom:qwen"), Filters(user="u1", client="c2")),
            Filters(user="u0", project="/w0", client="c0", model="custom:qwen"),
        ]
        every = list(itertools.product(WINDOWS_S, asked, (None, "person")))
        steps, told = 0, []
        with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as connection:
            while roll(connection, NOON_S):
                window, wanted, origin = every[steps % len(every)]
                await older.agrees(window, origin, wanted)
                steps += 1
                if steps == 7:  # what comes meanwhile counts too
                    older.record(at_s=NOON_S - 9 * DAY_S, user="u1", client="c2", workspace="/w1")
                told.append(await older.stats.history())
        assert steps > 12
        assert not told[0]["complete"]
        shares = [one["done"] for one in told]
        assert shares == sorted(shares)
        for window, wanted, origin in every:
            await older.agrees(window, origin, wanted)
        assert await older.stats.history() == {"complete": True, "done": 1.0}
        older.ledger.close()

    async def test_kill_9_in_the_middle_of_it_begins_again_where_it_ended(self, tmp_path: Path) -> None:
        desk = Desk(tmp_path)
        for number in range(400):
            desk.record(at_s=NOON_S - number * 6_000, user=f"u{number % 3}", client=f"c{number % 4}")
        await desk.roll()
        desk.ledger.close()
        with contextlib.closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as connection:
            connection.executescript(WITHOUT_COARSE)
        for run in range(4):
            child = subprocess.Popen([sys.executable, "-c", UPGRADER, str(tmp_path)], stdout=subprocess.PIPE)
            assert child.stdout is not None
            for _ in range(1 + 3 * run):
                child.stdout.readline()
            os.kill(child.pid, signal.SIGKILL)
            child.stdout.close()
            child.wait()
        older = Desk(tmp_path)
        older.rows, older.names = desk.rows, desk.names
        await older.roll()
        for window, wanted in itertools.product(WINDOWS_S, (Filters(), Filters(user="u1"), Filters(client="c2"))):
            await older.agrees(window, None, wanted)
        assert older.ledger.problem is None
        older.ledger.close()


UPGRADER = f"""
import sys
from pathlib import Path
from beastmode.core.clock import Clock
from beastmode.metrics import kinds, older
from beastmode.metrics.database import Database
from beastmode.metrics.rollups import roll

older.LINES, kinds.JOINED_AT_ONCE = 20, 4
connection = Database(Path(sys.argv[1]) / "ledger.db", print).open()
while roll(connection, {NOON_S}):
    print("step", flush=True)
"""

WITHOUT_COARSE = """
BEGIN;
DELETE FROM histogram WHERE kind IN (SELECT made FROM facet_kind WHERE dim > 9);
DELETE FROM facet WHERE dim > 9;
DELETE FROM facet_kind WHERE dim > 9;
DELETE FROM kind WHERE key GLOB 'count*' OR key GLOB 'answer*' OR key GLOB 'timed*';
ALTER TABLE facet_todo DROP COLUMN done;
ALTER TABLE rolled DROP COLUMN late;
DROP TABLE content;
ALTER TABLE request DROP COLUMN asked;
ALTER TABLE request DROP COLUMN traceparent;
PRAGMA user_version = 4;
COMMIT;
"""
WITHOUT_FACETS = f"""
{WITHOUT_COARSE}
BEGIN;
DELETE FROM histogram WHERE kind IN (SELECT made FROM facet_kind WHERE dim IN (8, 9));
DELETE FROM kind WHERE key GLOB 'facet*' OR key GLOB 'who:*' OR key GLOB 'models:*';
DROP TABLE facet; DROP TABLE facet_kind; DROP TABLE facet_todo; DROP TABLE baseline;
PRAGMA user_version = 3;
COMMIT;
"""
