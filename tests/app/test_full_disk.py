"""A full disk while figures are added up: no request stops, it is shown, and afterwards roll-ups and rows agree."""

from __future__ import annotations

import contextlib
import resource
import sqlite3
from collections.abc import Iterator
from typing import Any

from support.daemon import Daemon
from support.waiting import until

ROWS = 1_500
ADDED_UP = """
    SELECT sum(n), sum(cost_nusd), sum(saved_nusd), sum(prompt_tokens), sum(completion_tokens), sum(latency_n),
        sum(latency_us) FROM {}"""
COUNTED = """
    SELECT count(*), sum(cost_nusd), sum(saved_nusd), sum(prompt_tokens), sum(completion_tokens), count(latency_us),
        sum(latency_us) FROM request"""


@contextlib.contextmanager
def full_disk(daemon: Daemon, size: int) -> Iterator[None]:
    """No file of the daemon may grow beyond this, as on a disk that is full."""
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def ask(daemon: Daemon, name: str, count: int) -> None:
    with daemon.client() as client:
        for number in range(count):
            text = f"{name} {number % (count // 2)}"
            answer = client.call("chat", {"message": text, "model": "echo:echo", "user": f"u{number % 3}"})
            assert answer["text"] == text


def test_requests_go_on_it_is_shown_and_roll_ups_agree_with_rows_afterwards() -> None:
    with Daemon() as daemon:
        daemon.add("echo:echo")
        ask(daemon, "before", 200)
        until(lambda: rolled(daemon)[0] == 200, 20)
        with full_disk(daemon, 60_000):
            ask(daemon, "meanwhile", ROWS)
            until(lambda: bool(troubled(daemon)), 20)
            assert daemon.call("health.get")["status"] == "degraded"
            assert "ledger" in str(daemon.call("status")["health"])
        until(lambda: not troubled(daemon), 60)
        ask(daemon, "afterwards", 100)
        until(lambda: rolled(daemon)[0] == 200 + ROWS + 100, 30)
        assert daemon.call("metrics.get", {"window": "1h"})["requests"]["total"] == 200 + ROWS + 100
        assert rolled(daemon) == read(daemon, COUNTED)
        assert rolled(daemon) == read(daemon, ADDED_UP.format("summary WHERE level = 60"))


def troubled(daemon: Daemon) -> list[dict[str, Any]]:
    return [issue for issue in daemon.call("health.get")["issues"] if issue["part"] == "ledger"]


def rolled(daemon: Daemon) -> tuple[Any, ...]:
    return read(daemon, ADDED_UP.format("rollup WHERE level = 60"))


def read(daemon: Daemon, query: str) -> tuple[Any, ...]:
    path = daemon.home / "state" / "ledger" / "ledger.db"
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        found: tuple[Any, ...] = connection.execute(query).fetchone()
    return found
