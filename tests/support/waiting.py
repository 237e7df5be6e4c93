"""Polling with a generous limit, in the place of fixed sleeps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


def until(holds: Callable[[], bool], limit_s: float = 10.0) -> None:
    """Waits until something holds, and fails when it never does."""
    deadline_s = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline_s, "it did not become true in time"
        time.sleep(0.005)


async def until_async(holds: Callable[[], bool], limit_s: float = 10.0) -> None:
    """The same without holding up the event loop."""
    deadline_s = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline_s, "it did not become true in time"
        await asyncio.sleep(0.005)
