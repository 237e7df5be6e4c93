"""What the ledger costs: a row on the request's way, rows a second, bytes a row, and answers over up to 30 days.

Run `python -P bench/metrics.py [--rows N | --full] [--keep FOLDER] [--json FILE]`. It prints a table; the JSON has the
same figures. A ledger that is kept is filled once and asked again, its windows ending with its newest row.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from beastmode.core.clock import Clock
from beastmode.core.rows import Row, RowCache
from beastmode.core.types import Outcome, Usage
from beastmode.metrics.figures import Filters
from beastmode.metrics.ledger import Ledger
from beastmode.metrics.rows import RowWriter
from beastmode.metrics.stats import WINDOWS_S, Stats

DAY_S = 86_400.0
ROWS = 1_000_000
FULL_ROWS = 10_000_000
PATH_ROWS = 100_000
BATCH = 2_000
ASKED = 15
MODELS = [f"custom:model-{number}" for number in range(8)]
PROJECTS = [
    ("/srv/ann/app", ("lsp", "http"), ("uid:1000",)),
    ("/srv/ann/site", ("http",), ("uid:1000", "ann")),
    ("/srv/ann/tools", ("socket", "http"), ("uid:1000", "ci")),
    (None, ("http", "socket"), ("uid:1000",)),
]
MISS, BYPASS = RowCache("miss"), RowCache("bypass")
HIT, MEANT = RowCache("hit_exact", "L1"), RowCache("hit_semantic", "L1")


def rows(count: int, from_s: float, before_s: float, prefix: str) -> Iterator[Row]:
    """Requests of a busy developer: eight models, four projects, three doors, three callers, and what goes wrong."""
    chance = random.Random(5)
    for number in range(count):
        luck = chance.random()
        cache = HIT if luck < 0.3 else MEANT if luck < 0.35 else MISS if luck < 0.9 else BYPASS
        hit = cache is HIT or cache is MEANT
        outcome: Outcome = "success" if hit or chance.random() < 0.96 else "failure"
        model = MODELS[min(7, int(chance.expovariate(0.6)))]
        stream = not hit and chance.random() < 0.5
        workspace, doors, users = PROJECTS[min(3, int(chance.expovariate(0.8)))]
        latency_ms = chance.lognormvariate(-1.0, 0.5) if hit else chance.lognormvariate(7.3, 0.8)
        yield Row(
            request_id=f"req_{prefix}{number:012x}",
            at_s=from_s + (before_s - from_s) * number / count,
            origin="person" if chance.random() < 0.97 else "warming",
            outcome=outcome,
            cache=cache,
            model="auto" if chance.random() < 0.3 else model,
            model_served=model if outcome == "success" else None,
            deployment=None if hit else f"{model}@127.0.0.1:8000",
            provider="custom",
            error_kind=None if outcome == "success" else chance.choice(["timeout", "upstream", "rate_limited"]),
            usage=Usage(int(chance.expovariate(0.001)), int(chance.expovariate(0.004))),
            cost_usd=0.0 if hit else chance.random() / 100,
            price_source=None if hit else "genai-prices, 2026-11-20",
            saved_usd=chance.random() / 100 if hit else 0.0,
            latency_ms=latency_ms,
            ttft_ms=latency_ms / 4 if stream else None,
            overhead_ms=latency_ms if hit else chance.lognormvariate(-0.5, 0.4),
            attempts=0 if hit else 1 if chance.random() < 0.95 else 2,
            stream=stream,
            user=chance.choice(users),
            workspace=workspace,
            client=chance.choice(doors),
            session_id=f"s{number // 40}" if chance.random() < 0.2 else None,
            tags=["nightly"] if chance.random() < 0.05 else [],
        )


def on_the_path(folder: Path) -> dict[str, float]:
    """What `record` costs its caller, and what a row costs in CPU time of all threads, rolled up and all."""
    ledger = Ledger(folder, Clock())
    ledger.start()
    now_s = time.time()
    some = list(rows(PATH_ROWS, now_s - 60, now_s, "p"))
    path_us = []
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    for start in range(0, PATH_ROWS, BATCH):
        batch = some[start : start + BATCH]
        started_s = time.thread_time()
        for row in batch:
            ledger.record(row)
        path_us.append((time.thread_time() - started_s) / BATCH * 1e6)
        asyncio.run(ledger.written())
    took_s = time.perf_counter() - wall_s
    ledger.roll_up()
    cpu_us = (time.process_time() - cpu_s) / PATH_ROWS * 1e6
    ledger.close()
    return {
        "record_us": statistics.median(path_us),
        "record_best_us": min(path_us),
        "all_threads_cpu_us": cpu_us,
        "rows_per_s": PATH_ROWS / took_s,
    }


def filled(folder: Path, count: int, now_s: float) -> tuple[Ledger, dict[str, float]]:
    """A ledger with rows over 30 days, and what a row takes on disk, alone and with its share of the roll-ups."""
    ledger = Ledger(folder, Clock())
    connection = ledger._database.open()
    writer = RowWriter(connection)
    made = rows(count, now_s - 30 * DAY_S, now_s, "f")
    started_s = time.perf_counter()
    while batch := list(islice(made, 50_000)):
        connection.execute("BEGIN IMMEDIATE")
        writer.write(batch)
        connection.execute("COMMIT")
    filled_s = time.perf_counter() - started_s
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    rows_bytes = ledger.path.stat().st_size
    started_s, cpu_s = time.perf_counter(), time.process_time()
    ledger.roll_up()
    rolled_s, rolled_cpu_s = time.perf_counter() - started_s, time.process_time() - cpu_s
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    (lines,) = connection.execute("SELECT count(*) FROM rollup").fetchone()
    (kinds,) = connection.execute("SELECT count(*) FROM kind").fetchone()
    connection.close()
    return ledger, {
        "filled_rows_per_s": count / filled_s,
        "rolled_up_rows_per_s": count / rolled_s,
        "rolled_up_cpu_us_per_row": rolled_cpu_s / count * 1e6,
        "bytes_per_row": rows_bytes / count,
        "bytes_per_row_with_rollups": ledger.path.stat().st_size / count,
        "rollup_rows": float(lines),
        "kinds": float(kinds),
    }


class NewestRow(Clock):
    """A clock whose wall stands where the newest row of a ledger is."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        with contextlib.closing(ledger._database.reader()) as connection:
            self._newest_s: float = connection.execute("SELECT max(at_us) FROM request").fetchone()[0] / 1e6

    def wall_s(self) -> float:
        return self._newest_s


def kept(folder: Path) -> tuple[Ledger, dict[str, float]]:
    """A ledger that an earlier run filled."""
    ledger = Ledger(folder, Clock())
    ledger._database.open().close()
    ledger.roll_up()
    with contextlib.closing(ledger._database.derived()) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        (count,) = connection.execute("SELECT count(*) FROM request").fetchone()
        (kinds,) = connection.execute("SELECT count(*) FROM kind").fetchone()
    size = ledger.path.stat().st_size
    return ledger, {"rows": float(count), "bytes_per_row_with_rollups": size / count, "kinds": float(kinds)}


FILTERS = {
    "of_a_model": Filters(model=MODELS[1]),
    "of_a_user": Filters(user="uid:1000"),
    "of_a_project": Filters(project="/srv/ann/app"),
    "of_a_client": Filters(client="http"),
    "of_user_and_client": Filters(user="uid:1000", client="http"),
    "of_model_and_project": Filters(model=MODELS[1], project="/srv/ann/app"),
}


async def reference() -> None:
    """What the machine does in about a millisecond when nobody else is at work: what others took shows in it."""
    sum(range(60_000))


async def answers(ledger: Ledger) -> dict[str, Any]:
    """Median and worst time of each kind of answer, in milliseconds."""
    stats = Stats(ledger, NewestRow(ledger))
    found: dict[str, Any] = {"reference_ms": await timed(reference)}
    for window in WINDOWS_S:
        found[window] = {
            "figures_ms": await timed(lambda: stats.snapshot(window)),  # noqa: B023  # awaited at once
            **{
                f"{name}_ms": await timed(lambda: stats.snapshot(window, None, filters))  # noqa: B023
                for name, filters in FILTERS.items()
            },
            "series_ms": await timed(lambda: stats.snapshot(window, series=True)),  # noqa: B023
            "before_ms": await timed(lambda: stats.snapshot(window, before=True)),  # noqa: B023
            "by_model_ms": await timed(lambda: stats.window("model", window)),  # noqa: B023
            "by_user_ms": await timed(lambda: stats.window("user", window)),  # noqa: B023
            "by_project_ms": await timed(lambda: stats.window("project", window)),  # noqa: B023
            "by_tag_ms": await timed(lambda: stats.window("tag", window)),  # noqa: B023
            "series_of_a_project_ms": await timed(
                lambda: stats.snapshot(window, None, FILTERS["of_a_project"], series=True)  # noqa: B023
            ),
            "by_session_ms": await timed(lambda: stats.window("session", window)),  # noqa: B023
        }
    found["list_ms"] = await timed(lambda: ledger.list(50))
    found["errors_ms"] = await timed(lambda: ledger.errors())
    found["reference_after_ms"] = await timed(reference)
    return found


async def timed(ask: Callable[[], Awaitable[object]]) -> dict[str, float]:
    """Median, worst and CPU time of one question, asked again and again, after it was asked once."""
    await ask()
    spent_ms = []
    cpu_s = time.process_time()
    for _ in range(ASKED):
        started_s = time.perf_counter()
        await ask()
        spent_ms.append((time.perf_counter() - started_s) * 1e3)
    cpu_ms = (time.process_time() - cpu_s) / ASKED * 1e3
    return {"p50": statistics.median(spent_ms), "worst": max(spent_ms), "cpu": cpu_ms}


def show(found: dict[str, Any], indent: str = "") -> None:
    """Prints tables and figures, one a line."""
    for name, value in found.items():
        if isinstance(value, dict) and any(isinstance(part, dict) for part in value.values()):
            print(f"{indent}{name}")
            show(value, indent + "  ")
        elif isinstance(value, dict):
            print(f"{indent}{name:<20}" + "".join(f"{part:>8} {number:>9.2f}" for part, number in value.items()))
        else:
            print(f"{indent}{name:<28}{value:>20,.2f}")


def main() -> None:
    """Measures, prints, and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="rows over 30 days")
    parser.add_argument("--full", action="store_true", help=f"{FULL_ROWS:,} rows")
    parser.add_argument("--keep", type=Path, help="keep the ledger in this folder, or ask the one that is there")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    count = FULL_ROWS if arguments.full else arguments.rows
    with tempfile.TemporaryDirectory(prefix="beast-bench-") as folder:
        found: dict[str, Any] = {"path": on_the_path(Path(folder) / "path")}
        place = arguments.keep or Path(folder) / "full"
        there = (place / "ledger.db").exists()
        ledger, found["disk"] = kept(place) if there else filled(place, count, time.time())
        found["answers"] = asyncio.run(answers(ledger))
        ledger.close()
    show(found)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
