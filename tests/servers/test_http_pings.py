"""A silent stream hears from the daemon now and then."""

from __future__ import annotations

import asyncio

from beastmode.servers.http.pings import SILENT_TURNS, TURN_S, Pings

QUICK_S = 0.01


class Listener:
    def __init__(self) -> None:
        self.silent_turns = 0
        self.pinged = 0

    def ping(self) -> None:
        self.pinged += 1


def test_nobody_waits_longer_than_fifteen_seconds() -> None:
    assert TURN_S * (SILENT_TURNS + 1) <= 15


async def test_who_hears_nothing_is_pinged_again_and_again() -> None:
    pings, silent = Pings(QUICK_S), Listener()
    pings.watch(silent)
    while silent.pinged < 3:
        await asyncio.sleep(QUICK_S)
    pings.close()
    assert silent.pinged >= 3


async def test_who_is_spoken_to_is_left_alone() -> None:
    pings, busy, silent = Pings(QUICK_S), Listener(), Listener()
    pings.watch(busy)
    pings.watch(silent)
    while silent.pinged < 2:
        busy.silent_turns = 0
        await asyncio.sleep(QUICK_S / 10)
    pings.close()
    assert busy.pinged == 0


async def test_who_is_forgotten_hears_nothing_more() -> None:
    pings, gone, silent = Pings(QUICK_S), Listener(), Listener()
    pings.watch(gone)
    pings.watch(silent)
    pings.forget(gone)
    while not silent.pinged:
        await asyncio.sleep(QUICK_S)
    pings.close()
    assert gone.pinged == 0
