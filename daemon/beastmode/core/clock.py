"""Time and randomness, passed in so that tests can hold them still."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from datetime import UTC, datetime


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


def rfc3339(at_s: float) -> str:
    """A wall clock's seconds as text, in UTC, to the millisecond."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_rfc3339(text: str) -> float:
    """The seconds since the epoch that a text names; without a zone it is UTC.

    Raises:
        ValueError: It is no time.
    """
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
