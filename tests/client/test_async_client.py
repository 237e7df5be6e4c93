"""The client for asyncio programs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import beastmode.client
from beastmode.client import AsyncClient
from beastmode.core.errors import BadInputError, BudgetError, DaemonNotRunningError, InternalError, UpstreamTimeoutError
from support.fake_daemon import Call, FakeDaemon
from support.waiting import until_async


@pytest.fixture
def daemon() -> Iterator[FakeDaemon]:
    with FakeDaemon({"echo": lambda params, call: params}) as running:
        yield running


@pytest.fixture
async def client(daemon: FakeDaemon) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(daemon.socket_path) as connected:
        yield connected


def hang(params: dict[str, Any], call: Call) -> None:
    call.progress({"delta": "wait"})
    call.cancelled.wait(20)


async def test_many_calls_share_one_connection_and_each_gets_its_own_result(
    daemon: FakeDaemon, client: AsyncClient
) -> None:
    results = await asyncio.gather(*(client.call("echo", {"n": number}) for number in range(50)))
    assert [result["n"] for result in results] == list(range(50))
    assert len(daemon.links) == 1


async def test_an_answer_overtakes_a_slower_one(daemon: FakeDaemon, client: AsyncClient) -> None:
    daemon.on("chat", hang)
    slow = asyncio.create_task(client.chat("hello"))
    await until_async(lambda: daemon.requests("chat") != [])
    assert await client.call("echo", {"n": 1}) == {"n": 1}
    assert not slow.done()
    slow.cancel()


async def test_cancelling_the_task_cancels_the_call_and_no_other(daemon: FakeDaemon, client: AsyncClient) -> None:
    daemon.on("chat", hang)
    pieces: list[str] = []
    first = asyncio.create_task(client.chat("one", on_delta=pieces.append))
    second = asyncio.create_task(client.chat("two"))
    await until_async(lambda: pieces == ["wait"] and len(daemon.requests("chat")) == 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await until_async(lambda: len(daemon.cancelled) == 1)
    assert not second.done()
    second.cancel()


async def test_a_timeout_cancels_the_call(daemon: FakeDaemon, client: AsyncClient) -> None:
    daemon.on("chat", hang)
    with pytest.raises(UpstreamTimeoutError, match=r"within 0\.05 s"):
        await client.chat("hello", timeout_s=0.05)
    await until_async(lambda: daemon.cancelled == [1])
    assert await client.call("echo", {}) == {}


async def test_deltas_reach_the_call_they_belong_to(daemon: FakeDaemon, client: AsyncClient) -> None:
    def chat(params: dict[str, Any], call: Call) -> dict[str, Any]:
        for _ in range(3):
            call.progress({"delta": params["message"]})
        return {"text": params["message"] * 3}

    daemon.on("chat", chat)
    seen: dict[str, list[str]] = {"a": [], "b": []}
    await asyncio.gather(*(client.chat(name, on_delta=pieces.append) for name, pieces in seen.items()))
    assert seen == {"a": ["a"] * 3, "b": ["b"] * 3}


async def test_an_exception_out_of_a_callback_ends_its_call_alone(daemon: FakeDaemon, client: AsyncClient) -> None:
    daemon.on("chat", hang)

    def refuse(piece: str) -> None:
        raise LookupError(piece)

    with pytest.raises(LookupError, match="wait"):
        await client.chat("hello", on_delta=refuse)
    await until_async(lambda: daemon.cancelled == [1])
    assert await client.call("echo", {}) == {}


async def test_an_error_comes_back_as_the_error_it_was_in_the_daemon(daemon: FakeDaemon, client: AsyncClient) -> None:
    def refuse(params: dict[str, Any], call: Call) -> None:
        raise BudgetError("The budget of 5 USD a day is spent.", tips=["beast budget list"])

    daemon.on("chat", refuse)
    with pytest.raises(BudgetError, match="5 USD"):
        await client.chat("hello")


async def test_a_batch_answers_in_the_order_of_the_calls(client: AsyncClient) -> None:
    first, wrong, last = await client.batch([("echo", {"n": 1}), ("nothing.here", None), ("echo", {"n": 2})])
    assert (first, last) == ({"n": 1}, {"n": 2})
    assert isinstance(wrong, BadInputError)
    assert await client.batch([]) == []


async def test_a_notification_waits_for_nothing(daemon: FakeDaemon, client: AsyncClient) -> None:
    await client.notify("feedback.submit", {"good": True})
    await until_async(lambda: daemon.requests("feedback.submit") == [{"good": True}])


async def test_nobody_listening_is_said_with_the_command_that_helps(tmp_path: Path) -> None:
    async with AsyncClient(tmp_path / "rpc.sock") as client:
        with pytest.raises(DaemonNotRunningError) as caught:
            await client.call("ping")
    assert caught.value.tips == ["beast start"]


async def test_everyone_who_waits_is_told_when_the_daemon_hangs_up(daemon: FakeDaemon, client: AsyncClient) -> None:
    daemon.on("chat", hang)
    daemon.on("die", lambda params, call: call.hang_up())
    results = await asyncio.gather(client.chat("one"), client.call("die"), return_exceptions=True)
    assert all(isinstance(result, DaemonNotRunningError) for result in results)
    assert await client.call("echo", {}) == {}, "the next call makes a new connection"


async def test_closing_tells_everyone_who_waits(daemon: FakeDaemon, client: AsyncClient) -> None:
    daemon.on("chat", hang)
    waiting = asyncio.create_task(client.chat("one"))
    await until_async(lambda: daemon.requests("chat") != [])
    await client.close()
    with pytest.raises(DaemonNotRunningError):
        await waiting


async def test_an_error_that_names_no_call_is_told_when_the_connection_ends(
    daemon: FakeDaemon, client: AsyncClient
) -> None:
    def refuse(params: dict[str, Any], call: Call) -> None:
        call.raw(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"The line is too long."}}\n')
        call.hang_up()

    daemon.on("chat", refuse)
    with pytest.raises(BadInputError, match="too long"):
        await client.chat("hello")


async def test_someone_else_on_the_socket_is_named(daemon: FakeDaemon, client: AsyncClient) -> None:
    daemon.on("ping", lambda params, call: call.raw(b"220 mail.example ESMTP\n"))
    with pytest.raises(InternalError, match="does not speak JSON-RPC"):
        await client.call("ping")


async def test_stray_messages_are_passed_over(daemon: FakeDaemon, client: AsyncClient) -> None:
    def noise(params: dict[str, Any], call: Call) -> str:
        call.raw(b'{"method":"$/progress","params":[1]}\n{"method":"$/progress","params":{"token":[]}}\n')
        call.raw(b'{"method":"$/other"}\n{"id":999,"result":1}\n{"id":null,"result":1}\n')
        return "done"

    daemon.on("noise", noise)
    assert await client.call("noise", on_progress=lambda value: None) == "done"


def test_the_package_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="Nothing"):
        beastmode.client.Nothing  # noqa: B018 - the access itself is what is tested
