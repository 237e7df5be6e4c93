"""Time and randomness, passed in so that tests can hold them still."""

from __future__ import annotations

import asyncio
import random
import secrets
import time


class Clock:
    """The real clock. Windows count by the wall clock, durations by the monotonic one."""

    def __init__(self) -> None:
        self._boot = secrets.token_hex(8)
        self._count = 0

    def wall_s(self) -> float:
        """Seconds since the Unix epoch; may jump."""
        return time.time()

    def mono_s(self) -> float:
        """Seconds that only ever grow; the zero point means nothing."""
        return time.perf_counter()

    async def sleep(self, seconds: float) -> None:
        """Waits without holding up anyone."""
        await asyncio.sleep(seconds)

    def uniform(self, low: float, high: float) -> float:
        """A random number, for jitter."""
        return random.uniform(low, high)

    def new_id(self, prefix: str = "req") -> str:
        """A name that no other request of this machine has, in under a microsecond.

        Returns:
            The prefix, 64 random bits of this run in hex, and a counter.
        """
        self._count += 1
        return f"{prefix}_{self._boot}{self._count:06x}"
