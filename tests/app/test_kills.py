"""kill -9 at any moment: what was acknowledged is there afterwards, rows and answers alike, and the store verifies."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator

import lmdb
import pytest

from beastmode.client import Client
from beastmode.core.errors import BeastError
from support.daemon import Daemon
from support.provider_server import ProviderServer
from support.waiting import until

WRITERS = 4


class Load:
    """Clients that ask and store as fast as they can, and remember what was acknowledged."""

    def __init__(self, daemon: Daemon, run: int) -> None:
        self.daemon = daemon
        self.run = run
        self.rows: list[str] = []
        self.asked: list[str] = []
        self.put: list[str] = []
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(WRITERS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join()

    def _write(self, writer: int) -> None:
        count = 0
        try:
            with Client(self.daemon.socket) as client:
                while True:
                    count += 1
                    text = f"run {self.run} writer {writer} question {count}"
                    answer = client.chat(text, model="custom:ok" if count % 2 else "echo:echo")
                    self.rows.append(answer["request_id"])
                    self.asked.append(text if count % 2 else "")
                    client.call("cache.put", {"prompt": text, "response": text[::-1], "model": "any"})
                    self.put.append(text)
        except (BeastError, OSError):
            return  # the daemon was killed


def check(daemon: Daemon, load: Load) -> None:
    with daemon.client() as client:
        for request_id in load.rows:
            assert client.call("requests.get", {"request_id": request_id})["outcome"] == "success"
        for text in filter(None, load.asked):
            found = client.call("cache.lookup", {"prompt": text, "model": "custom:ok"})
            assert found["response"] == f"You said: {text}"
        for text in load.put:
            found = client.call("cache.lookup", {"prompt": text, "model": "any"})
            assert found["response"] == text[::-1]


@pytest.fixture(scope="module")
def upstream() -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        yield server


@pytest.mark.parametrize("kills", [8, pytest.param(50, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_nothing_acknowledged_is_lost(upstream: ProviderServer, kills: int) -> None:
    chance = random.Random(7)
    with Daemon() as daemon:
        daemon.add("custom:ok", f"{upstream.url}/v1", upstream_model="ok")
        daemon.add("echo:echo")
        starts: list[float] = []
        for run in range(kills):
            with Load(daemon, run) as load:
                time.sleep(chance.uniform(0.02, 0.5))
                daemon.kill()
            starts.append(daemon.start())
            check(daemon, load)
        # Calls that the kills cut off are failures, and may well be too many for "healthy".
        troubled = {issue["part"]: issue["cause"] for issue in daemon.call("health.get")["issues"]}
        assert troubled.keys().isdisjoint({"ledger", "cache on disk"}), troubled
        until(lambda: daemon.call("cache.stats")["l2"]["waiting"] == 0)
        daemon.stop()
        verify(daemon)
    print(
        f"{kills} kills: ready again after {sorted(starts)[len(starts) // 2]:.2f} s, at the worst {max(starts):.2f} s"
    )


def verify(daemon: Daemon) -> None:
    """Reads every page of the store."""
    stores = [path.parent for path in (daemon.home / "cache").rglob("data.mdb")]
    assert stores
    for store in stores:
        with lmdb.open(os.fspath(store), readonly=True, lock=False, max_dbs=16) as environment:
            with environment.begin() as transaction:
                names = [bytes(name) for name, _ in transaction.cursor()]
            for name in names:
                table = environment.open_db(name, create=False)
                with environment.begin(db=table) as transaction:
                    assert sum(1 for _ in transaction.cursor()) == transaction.stat(table)["entries"]


def test_a_killed_call_leaves_exactly_one_row(upstream: ProviderServer) -> None:
    with Daemon() as daemon:
        daemon.add("custom:hang", f"{upstream.url}/v1", upstream_model="hang")
        upstream.reset()
        with daemon.raw() as wire:
            wire.send({"jsonrpc": "2.0", "id": 1, "method": "chat", "params": {"message": "x", "model": "custom:hang"}})
            until(lambda: upstream.stats()["active"] == 1)
            daemon.kill()
        daemon.start()
        rows = daemon.rows(model="custom:hang")
        assert [(row["outcome"], row["error_kind"], row["cost_usd"]) for row in rows] == [
            ("failure", "daemon_killed", None)
        ]
