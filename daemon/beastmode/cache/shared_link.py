"""The line to a shared tier: a request waits 20 ms at most, and what keeps failing is left alone until it answers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from beastmode.core.clock import Clock
from beastmode.core.errors import BeastError, EndpointUnreachableError, MalformedReplyError, UpstreamTimeoutError
from beastmode.core.plugins import Tier

log = logging.getLogger(__name__)
T = TypeVar("T")

PROBE_LIMIT_S = 1.0
PROBE_READS = 3
PROBE_TTL_S = 60.0
STEADY_S = 30.0
SPINS = 8
LATE_MAX = 20
JITTER = 0.8


class LateError(Exception):
    """It took longer than it may."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How patient the daemon is with a shared tier.

    Attributes:
        limit_s: Longest time that a lookup waits for it.
        failures: Failures in a row that switch it off.
        pause_s: How long it is left alone the first time; that doubles with each probe that fails.
        longest_pause_s: Where the doubling ends.
    """

    limit_s: float = 0.020
    failures: int = 3
    pause_s: float = 0.5
    longest_pause_s: float = 30.0


class Link:
    """One tier, its deadline, and the switch that its failures open and a probe closes.

    No request ever tries a tier that is off: a task of its own writes a value and reads it back, and switches the tier
    on when that works in time.

    Args:
        tier: The tier.
        clock: Time and jitter.
        pace: How patient to be.
    """

    def __init__(self, tier: Tier, clock: Clock, pace: Pace) -> None:
        self._tier = tier
        self._clock = clock
        self._pace = pace
        self._failures = 0
        self._late = 0
        self._cause: Exception | None = None
        self._refusal: Exception | None = None
        self._down = asyncio.Event()
        self._probed = asyncio.Event()
        self._prober: asyncio.Task[None] | None = None
        self.up = asyncio.Event()
        self.errors = 0
        self.timeouts = 0
        self.switched_off = 0

    async def start(self, wait_s: float) -> None:
        """Begins to probe.

        Args:
            wait_s: How long to wait for the first probe; the tier may come up later as well.
        """
        self._prober = asyncio.create_task(self._keep_probing())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._probed.wait()

    async def close(self) -> None:
        """Stops probing; from now on the tier is off."""
        self.up.clear()
        prober, self._prober = self._prober, None
        if prober is not None:
            prober.cancel()
            await asyncio.wait([prober])

    @property
    def problem(self) -> str | None:
        """What is wrong, in a sentence; None where all is well, or not known yet."""
        if not self.up.is_set() and self._cause is not None:
            return f"The shared cache `{self._tier.name}` is off, and tried again now and then: {_said(self._cause)}"
        if self._refusal is not None:
            return f"The shared cache `{self._tier.name}` takes nothing: {_said(self._refusal)}"
        return None

    @property
    def tip(self) -> str:
        """What to do about the problem."""
        error = self._refusal if self.up.is_set() else self._cause
        if isinstance(error, BeastError) and error.tips:
            return "; ".join(error.tips)
        return "answers come from this machine's own tiers meanwhile"

    async def get(self, name: bytes) -> bytes | None:
        """Asks the tier. What it gives is not judged yet: `succeed` or `fail` follows.

        Args:
            name: The key, as the tier has it.

        Returns:
            What the tier has; None where it has nothing, fails, or takes too long.
        """
        began_s = self._clock.mono_s()
        try:
            found = await within(self._tier.get(name), self._pace.limit_s)
        except LateError as error:
            self.timeouts += 1
            # A loop that was held up by something else says nothing about the tier, unless that never ends.
            self._late += 1
            if self._late > LATE_MAX or self._clock.mono_s() - began_s < 2 * self._pace.limit_s:
                self.fail(error)
            return None
        except Exception as error:
            self.errors += 1
            self.fail(error)
            return None
        if found is None:
            self.succeed()
        return found

    async def do(self, work: Callable[[], Awaitable[None]], limit_s: float) -> bool:
        """Does something that no request waits for.

        Args:
            work: Calls the tier.
            limit_s: How long it may take.

        Returns:
            True when it is done.
        """
        try:
            await within(work(), limit_s)
        except (LateError, UpstreamTimeoutError, EndpointUnreachableError) as error:
            self.errors += 1
            self.fail(error)
            return False
        except Exception as error:
            self.errors += 1
            self._refusal = error
            return False
        self._refusal = None
        return True

    def succeed(self) -> None:
        """Takes note that a lookup was answered."""
        self._failures = self._late = 0

    def fail(self, error: Exception) -> None:
        """Takes note that something failed; too often in a row, and the tier is off.

        Args:
            error: What happened.
        """
        self._failures += 1
        if self.up.is_set() and self._failures >= self._pace.failures:
            self._switch_off(error)

    def _switch_off(self, error: Exception) -> None:
        self._cause = error
        self.switched_off += 1
        self.up.clear()
        self._down.set()
        log.warning("shared cache off", extra={"fields": {"tier": self._tier.name, "cause": _said(error)}})

    def _switch_on(self) -> None:
        self._cause = None
        self._failures = self._late = 0
        self._down.clear()
        self.up.set()
        log.info("shared cache on", extra={"fields": {"tier": self._tier.name}})

    async def _keep_probing(self) -> None:
        pause_s = self._pace.pause_s
        while True:
            self._cause = await self._probe()
            if self._cause is None:
                self._switch_on()
            self._probed.set()
            if self.up.is_set():
                since_s = self._clock.mono_s()
                await self._down.wait()
                if self._clock.mono_s() - since_s >= STEADY_S:
                    pause_s = self._pace.pause_s
            await self._clock.sleep(pause_s * self._clock.uniform(JITTER, 1.0))
            pause_s = min(2 * pause_s, self._pace.longest_pause_s)

    async def _probe(self) -> Exception | None:
        """Writes a value, reads it back in the time a lookup has, and removes it.

        Returns:
            What went wrong. That it takes nothing, as a replica does, is no reason to ask it nothing.
        """
        name, value = self._clock.new_id("probe").encode(), self._clock.new_id("value").encode()
        try:
            written = await within(self._written(name, value), PROBE_LIMIT_S)
            found = await self._read_in_time(name)
            if found is not None and (found != value or not written):
                return MalformedReplyError("It gives back something other than what was put.")
            if written:
                await within(self._tier.remove([name]), PROBE_LIMIT_S)
        except Exception as error:
            return error
        return None

    async def _written(self, name: bytes, value: bytes) -> bool:
        try:
            await self._tier.put(name, value, PROBE_TTL_S)
        except (EndpointUnreachableError, UpstreamTimeoutError):
            raise
        except Exception as error:
            self._refusal = error
            return False
        self._refusal = None
        return True

    async def _read_in_time(self, name: bytes) -> bytes | None:
        for _ in range(PROBE_READS - 1):
            with contextlib.suppress(LateError):
                return await within(self._tier.get(name), self._pace.limit_s)
        return await within(self._tier.get(name), self._pace.limit_s)


async def within(work: Awaitable[T], limit_s: float) -> T:
    """Awaits foreign code for so long, even where it ignores that it is cancelled.

    Args:
        work: What to await.
        limit_s: Seconds, from now.

    Raises:
        LateError: It took longer, or cancelled itself.
        Exception: What it raised.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task], timeout=limit_s)
        for _ in range(SPINS):  # where the loop itself was late, the answer may be here, not yet read
            if task.done():
                break
            await asyncio.sleep(0)
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    if not task.done() or task.cancelled():
        raise LateError
    return task.result()


def _said(error: Exception) -> str:
    """An error as a sentence; the words of one that is not ours may hold anything."""
    if isinstance(error, BeastError):
        return error.message
    if isinstance(error, LateError):
        return "It answers too slowly."
    return f"It failed with {type(error).__name__}."
