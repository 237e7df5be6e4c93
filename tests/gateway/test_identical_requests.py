"""Identical requests at once: one upstream call, and nobody can end it for the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from beastmode.client import AsyncClient
from beastmode.core.errors import BeastError
from support.daemon import Daemon
from support.provider_server import ProviderServer
from support.waiting import until_async

MANY = 64


@pytest.fixture(scope="module")
def upstream() -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        yield server


@pytest.fixture(scope="module")
def daemon(upstream: ProviderServer) -> Iterator[Daemon]:
    with Daemon() as daemon:
        for behaviour in ("latency-200", "stream-slow-20", "hang", "e500", "latency-300", "stream-slow-5"):
            price = {"prompt": 1_000_000, "completion": 1_000_000}
            daemon.add(f"custom:{behaviour}", f"{upstream.url}/v1", upstream_model=behaviour, price=price)
        yield daemon


@pytest.fixture
async def clients(daemon: Daemon, upstream: ProviderServer) -> AsyncIterator[list[AsyncClient]]:
    upstream.reset()
    opened = [AsyncClient(daemon.socket) for _ in range(MANY)]
    for client in opened:
        await client.call("ping")
    yield opened
    for client in opened:
        await client.close()


def rows(daemon: Daemon, answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [daemon.call("requests.get", {"request_id": answer["request_id"]}) for answer in answers]


async def test_64_at_once_on_a_cold_cache_make_one_call(
    daemon: Daemon, upstream: ProviderServer, clients: list[AsyncClient]
) -> None:
    asked = [client.chat("All together", model="custom:latency-200") for client in clients]
    answers = [dict(answer) for answer in await asyncio.gather(*asked)]
    assert upstream.stats()["requests"] == 1
    assert {answer["text"] for answer in answers} == {"You said: All together"}
    assert len({answer["request_id"] for answer in answers}) == MANY
    found = rows(daemon, answers)
    assert [row["outcome"] for row in found] == ["success"] * MANY
    assert sorted(row["cache"]["result"] for row in found) == ["hit_exact"] * (MANY - 1) + ["miss"]
    waited = [row for row in found if row["cache"]["tier"] == "flight"]
    led = next(row for row in found if row["cache"]["result"] == "miss")
    assert len(waited) == MANY - 1
    assert {row["cost_usd"] for row in waited} == {0.0}
    assert {row["saved_usd"] for row in waited} == {led["cost_usd"]}


async def test_64_streams_at_once_make_one_call_and_each_gets_all_of_it(
    upstream: ProviderServer, clients: list[AsyncClient]
) -> None:
    texts: list[list[str]] = [[] for _ in clients]

    async def late(number: int) -> str:
        await asyncio.sleep(0.002 * number)
        answer = await clients[number].chat("Stream", model="custom:stream-slow-20", on_delta=texts[number].append)
        return answer["text"]

    answers = await asyncio.gather(*(late(number) for number in range(MANY)))
    assert upstream.stats()["requests"] == 1
    assert len(set(answers)) == 1
    assert {"".join(text) for text in texts} == set(answers)


async def test_plain_and_streaming_callers_share_a_call(upstream: ProviderServer, clients: list[AsyncClient]) -> None:
    deltas: list[str] = []
    plain = asyncio.ensure_future(clients[0].chat("Mixed", model="custom:latency-300"))
    await until_async(lambda: upstream.stats()["active"] == 1)
    streamed = await clients[1].chat("Mixed", model="custom:latency-300", on_delta=deltas.append)
    assert upstream.stats()["requests"] == 1
    assert (await plain)["text"] == streamed["text"] == "".join(deltas)


@pytest.mark.parametrize("leaving", [0, 1, 5], ids=["leader", "waiter", "late waiter"])
async def test_who_cancels_does_not_end_it_for_the_others(
    daemon: Daemon, upstream: ProviderServer, clients: list[AsyncClient], leaving: int
) -> None:
    ask = [asyncio.ensure_future(client.chat(f"Stay {leaving}", model="custom:latency-300")) for client in clients[:6]]
    await until_async(lambda: upstream.stats()["active"] == 1)
    await until_async(lambda: daemon.call("status")["in_flight"] == 1)
    await asyncio.sleep(0.05)
    ask[leaving].cancel()
    answers = [dict(await one) for number, one in enumerate(ask) if number != leaving]
    assert {answer["text"] for answer in answers} == {f"You said: Stay {leaving}"}
    assert upstream.stats()["requests"] == 1
    newest = daemon.rows(model="custom:latency-300", limit=6)
    assert sorted(row["outcome"] for row in newest) == ["cancelled"] + ["success"] * 5
    gone = next(row for row in newest if row["outcome"] == "cancelled")
    assert gone["error_kind"] == "cancelled"
    paid = [row["cost_usd"] for row in newest if row["cost_usd"]]
    assert len(paid) == 1  # the leader's row carries the cost, also when it was the leader who left


async def test_when_the_last_one_leaves_the_call_ends(
    daemon: Daemon, upstream: ProviderServer, clients: list[AsyncClient]
) -> None:
    ask = [asyncio.ensure_future(client.chat("Leave", model="custom:hang")) for client in clients[:3]]
    await until_async(lambda: upstream.stats()["active"] == 1)
    await asyncio.sleep(0.05)
    for one in ask[:2]:
        one.cancel()
    await asyncio.sleep(0.1)
    assert upstream.stats()["active"] == 1
    ask[2].cancel()
    await until_async(lambda: upstream.stats()["active"] == 0)
    await until_async(lambda: len(daemon.rows(model="custom:hang", outcome="cancelled")) == 3)


async def test_all_share_the_failure_and_each_has_its_own_row(
    daemon: Daemon, upstream: ProviderServer, clients: list[AsyncClient]
) -> None:
    found = await asyncio.gather(
        *(client.chat("Fail", model="custom:e500") for client in clients[:8]), return_exceptions=True
    )
    errors = [error for error in found if isinstance(error, BeastError)]
    assert len(errors) == 8
    assert len({error.request_id for error in errors}) == 8
    assert {error.kind for error in errors} == {"upstream"}
    assert upstream.stats()["requests"] <= 3
    assert {row["outcome"] for row in daemon.rows(model="custom:e500")} == {"failure"}


async def test_requests_that_bypass_the_cache_are_not_shared(
    upstream: ProviderServer, clients: list[AsyncClient]
) -> None:
    await asyncio.gather(*(client.chat("Alone", model="custom:latency-200", cache="off") for client in clients[:4]))
    assert upstream.stats()["requests"] == 4


async def test_different_questions_are_not_shared(upstream: ProviderServer, clients: list[AsyncClient]) -> None:
    asked = [client.chat(f"Number {n}", model="custom:latency-200") for n, client in enumerate(clients[:8])]
    answers = await asyncio.gather(*asked)
    assert [answer["text"] for answer in answers] == [f"You said: Number {n}" for n in range(8)]
    assert upstream.stats()["requests"] == 8
