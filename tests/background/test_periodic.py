"""Background work comes again and again, survives its own failures, and ends when it is told to."""

from __future__ import annotations

import asyncio

import pytest

from beastmode.background.periodic import Periodic
from beastmode.core.clock import Clock
from support.waiting import until_async


class Watched(Clock):
    """A clock that notes its pauses and cuts them short."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await super().sleep(0.001)


async def test_it_pauses_before_each_turn_and_a_failure_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    clock, turns = Watched(), 0

    async def turn() -> None:
        nonlocal turns
        turns += 1
        raise OSError("no disk")

    work = Periodic(turn, 3600.0, clock)
    work.start()
    await until_async(lambda: turns >= 3)
    await work.close()
    assert set(clock.pauses) == {3600.0} and len(clock.pauses) >= turns
    assert "background work failed" in caplog.text


async def test_it_ends_in_the_middle_of_a_turn() -> None:
    began = asyncio.Event()

    async def turn() -> None:
        began.set()
        await asyncio.sleep(3600)

    work = Periodic(turn, 0.0, Clock())
    work.start()
    await began.wait()
    await asyncio.wait_for(work.close(), 5)


async def test_what_never_began_can_be_closed() -> None:
    await Periodic(asyncio.Event().wait, 0.0, Clock()).close()
