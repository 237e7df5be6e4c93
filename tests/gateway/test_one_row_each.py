"""Requests sent = ledger rows, to the unit, whatever happens to them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator

import pytest

from beastmode.client import AsyncClient
from beastmode.core.errors import BeastError
from support.daemon import Daemon, rpc
from support.provider_server import ProviderServer
from support.waiting import until

BEHAVIOURS = (
    *("ok", "stream-slow-1", "latency-20", "flaky-1", "no-usage", "length", "tools"),
    *("e400", "e401", "e404", "e429", "e500", "garbage", "bad-sse", "cut", "drop", "error-mid", "hang", "hang-mid"),
)
REQUESTS = 600


@pytest.fixture(scope="module")
def upstream() -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        yield server


async def test_a_mixed_run_leaves_one_row_for_each_request(upstream: ProviderServer) -> None:
    chance = random.Random(11)
    settings = (
        "upstream.timeout_s = 0.3\nupstream.max_attempts = 2\nupstream.retry_wait_s = 0.1\nupstream.cooldown_s = 0.2"
    )
    with Daemon(settings) as daemon:
        for behaviour in BEHAVIOURS:
            daemon.add(f"custom:{behaviour}", f"{upstream.url}/v1", upstream_model=behaviour)
        daemon.add("custom:closed", "http://127.0.0.1:9/v1", fallback=["custom:ok"])
        sent: Counter[str] = Counter()
        ids: list[str] = []
        clients = [AsyncClient(daemon.socket) for _ in range(8)]
        for client in clients:
            await client.call("ping")  # a call that is cancelled before it is sent is no request

        async def one(number: int) -> None:
            behaviour = chance.choice((*BEHAVIOURS, "closed", "not-registered"))
            cancel_after_s = chance.choice((None, None, None, 0.0, 0.01, 0.05))
            params = {
                "message": f"question {chance.randrange(60)}",
                "model": f"custom:{behaviour}",
                "cache": chance.choice(("default", "default", "default", "off", "refresh", "only")),
            }
            ask = asyncio.ensure_future(clients[number % 8].call("chat", params | {"stream": chance.random() < 0.5}))
            if cancel_after_s is not None:
                await asyncio.sleep(cancel_after_s)
                ask.cancel()
            try:
                ids.append((await ask)["request_id"])
                sent["success"] += 1
            except asyncio.CancelledError:
                sent["cancelled"] += 1
            except BeastError as error:
                assert error.kind != "internal", error
                if error.kind != "cancelled":
                    ids.append(error.request_id or "")
                sent["cancelled" if error.kind == "cancelled" else "failure"] += 1

        gate = asyncio.Semaphore(40)

        async def gated(number: int) -> None:
            async with gate:
                await one(number)

        await asyncio.gather(*(gated(number) for number in range(REQUESTS)))
        vanished = await asyncio.to_thread(vanish, daemon)
        for client in clients:
            await client.close()
        total = REQUESTS + vanished
        until(lambda: len(daemon.rows()) == total)
        await asyncio.sleep(0.5)
        rows = daemon.rows()
        assert len(rows) == total == len({row["request_id"] for row in rows})
        assert set(ids) <= {row["request_id"] for row in rows}
        outcomes = Counter(row["outcome"] for row in rows)
        # A cancellation can cross its answer on the wire: then the caller has left and the row says success or failure.
        assert outcomes["success"] >= sent["success"] and outcomes["failure"] >= sent["failure"]
        assert sum(outcomes.values()) == sum(sent.values()) + vanished
        figures = daemon.call("metrics.get", {"window": "1h"})["requests"]
        assert figures["total"] == total
        assert {name: figures[name] for name in outcomes} == dict(outcomes)
        assert upstream.stats()["active"] == 0


def vanish(daemon: Daemon) -> int:
    """Clients hang up at once, a little later, and in the middle of a stream; gives how many requests they sent."""
    for number, model in enumerate(["custom:hang", "custom:stream-slow-1", "custom:ok"] * 10):
        with daemon.raw() as wire:
            wire.send(rpc("chat", {"message": f"gone {number}", "model": model, "stream": True, "cache": "off"}))
            if number % 3 == 1:
                wire.line()
            elif number % 2:
                wire.send(rpc("ping", id=2))
                wire.line()
    return 30
