"""Reads of L2 in a thread of their own, which wait a little for a store that is being checked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import lmdb

from beastmode.cache.disk_keeper import Keeper
from beastmode.cache.disk_map import AwayError

T = TypeVar("T")


class Reader:
    """Runs reads one after another, off the event loop.

    Args:
        mono_s: The monotonic clock.
        wait_s: How long reads wait for a store that is being checked, from when the check began.
    """

    def __init__(self, mono_s: Callable[[], float], wait_s: float) -> None:
        self._mono_s = mono_s
        self._wait_s = wait_s
        self._thread = ThreadPoolExecutor(1, "cache-read")
        self._opened = asyncio.Event()

    def start(self, keeper: Keeper) -> None:
        """Takes reads from now on; called on the event loop.

        Args:
            keeper: Says whether the store is open, and is told of what is odd.
        """
        self._keeper = keeper
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """Waits for the read that runs. Blocks."""
        self._thread.shutdown(cancel_futures=True)

    def wake(self) -> None:
        """Lets those go on who wait for the store."""
        self._opened.set()

    async def read(self, work: Callable[..., T], *arguments: object) -> T:
        """Runs one read.

        Args:
            work: Reads; blocks.
            arguments: Its arguments.

        Raises:
            AwayError: The store is not open and did not open in time.
        """
        for _ in range(2):
            await self._wait_for_store()
            try:
                return await self._loop.run_in_executor(self._thread, work, *arguments)
            except (AwayError, lmdb.Error):
                self._keeper.suspect()
        raise AwayError("the store was closed twice during one read")

    async def _wait_for_store(self) -> None:
        while not self._keeper.ready:
            self._opened.clear()
            left_s = self._keeper.away_since_s + self._wait_s - self._mono_s()
            if self._keeper.ready:
                return
            if left_s <= 0:
                raise AwayError("the store is being checked")
            try:
                async with asyncio.timeout(left_s):
                    await self._opened.wait()
            except TimeoutError:
                raise AwayError("the store is being checked") from None
