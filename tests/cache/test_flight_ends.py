"""What a call leaves behind when it ends badly: nothing that waits for the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import Iterator

import pytest

from beastmode.cache.flight import Flight, Flights
from beastmode.core.errors import MalformedReplyError, UpstreamError


class Prompt:
    """Stands for what a request holds, which may be megabytes."""


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def flights() -> Flights[str]:
    return Flights(time.monotonic)


async def test_a_call_that_fails_lets_go_of_its_request(flights: Flights[str]) -> None:
    held: list[weakref.ref[object]] = []
    kept: list[Exception] = []  # as a breaker keeps the error that opened it

    async def work(flight: Flight[str]) -> str:
        prompt = Prompt()
        held.extend([weakref.ref(prompt), weakref.ref(flight)])
        try:
            raise MalformedReplyError("The first.")
        except MalformedReplyError as error:
            kept.append(error)
            raise UpstreamError("The second.") from error

    with pytest.raises(UpstreamError):
        await flights.launch(None, work).wait(None)
    await asyncio.sleep(0)
    assert [one() for one in held] == [None, None]
    assert kept[0].__traceback__ is not None


async def test_a_caller_that_leaves_takes_everything_along(flights: Flights[str]) -> None:
    held: list[weakref.ref[object]] = []

    async def work(flight: Flight[str]) -> str:
        prompt = Prompt()
        held.extend([weakref.ref(prompt), weakref.ref(flight)])
        await asyncio.sleep(60)
        return str(prompt)

    async def ask() -> None:
        await flights.launch(b"key", work).wait(lambda delta: None)

    asking = asyncio.create_task(ask())
    await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await flights.landed()
    del asking
    await asyncio.sleep(0.01)
    assert [one() for one in held] == [None, None]
    assert len(flights) == 0


async def test_all_who_wait_for_a_call_get_its_error(flights: Flights[str]) -> None:
    async def work(_: Flight[str]) -> str:
        await asyncio.sleep(0)
        raise UpstreamError("It failed.")

    first = flights.launch(b"key", work)
    second = flights.joinable(b"key")
    assert second is first
    ends = await asyncio.gather(first.wait(None), first.wait(None), return_exceptions=True)
    assert [str(end) for end in ends] == ["It failed.", "It failed."]
    assert flights.joinable(b"key") is None
