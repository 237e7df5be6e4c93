"""Something that is done again and again beside the requests, and ends when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from beastmode.core.clock import Clock

log = logging.getLogger(__name__)


class Periodic:
    """Calls something with pauses between; what it raises is logged and ends nothing.

    Args:
        turn: What is done.
        pause_s: The pause before each turn.
        clock: Time.
    """

    def __init__(self, turn: Callable[[], Awaitable[object]], pause_s: float, clock: Clock) -> None:
        self._turn = turn
        self._pause_s = pause_s
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins, with a pause."""
        self._task = asyncio.ensure_future(self._run())

    async def close(self) -> None:
        """Ends, in the middle of a turn too."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await self._clock.sleep(self._pause_s)
            try:
                await self._turn()
            except Exception:
                log.warning("background work failed", exc_info=True)
