"""What asking ahead may cost: so many USD a day for a workspace, so many requests a day, so many a minute."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from math import inf

import msgspec

from beastmode.background.warm_record import Held, Record
from beastmode.core.clock import Clock
from beastmode.core.errors import BeastError
from beastmode.core.settings import WarmingSettings
from beastmode.metrics.ledger import Ledger

_SPENT = """
    SELECT json_object('usd', coalesce(sum(r.cost_nusd), 0) / 1e9, 'requests', count(*))
    FROM kind k CROSS JOIN request r ON r.kind = k.id AND r.at_us >= :since_us
    WHERE k.origin = 'warming' AND k.attempts > 0 AND (:workspace IS NULL OR coalesce(k.workspace, '') = :workspace)"""


BURST = 3
"""So many may follow each other at once, where before them there were fewer than allowed."""

WORKING_DAY_S = 8 * 3600.0
DAY_LEFT_MIN = 0.02


class Spent(msgspec.Struct, frozen=True):
    """What was asked ahead today.

    Attributes:
        usd: What it cost, and the most that those cost whose cost is not known.
        requests: How many.
    """

    usd: float
    requests: int


def strictness(asked: int, allowed: int, worked_s: float) -> float:
    """How much likelier than usual a guess must be, so that the day's requests last for the working day.

    Args:
        asked: So many were asked ahead today.
        allowed: So many may be.
        worked_s: How long ago this day's work began.

    Returns:
        1 where as much is left of the requests as of the day, or more; else the square of how much too little it is.
    """
    day_left = max(DAY_LEFT_MIN, 1.0 - worked_s / WORKING_DAY_S)
    left = (allowed - asked) / allowed if allowed > 0 else 0.0
    if left <= 0:
        return inf
    return float(max(1.0, day_left / left) ** 2)


def midnight_s(now_s: float) -> float:
    """The wall clock at which this day began, by the local time.

    Args:
        now_s: Wall clock.
    """
    local = time.localtime(now_s)
    return time.mktime((local.tm_year, local.tm_mon, local.tm_mday, 0, 0, 0, 0, 0, -1))


class Budget:
    """Holds money before a call and settles it after; what is held survives a kill -9.

    Args:
        settings: The settings in force.
        ledger: Tells what was spent.
        record: Keeps what is held.
        clock: Time.
        lower: What the project of a workspace bounds it to, at most, in USD a day.
    """

    def __init__(
        self,
        settings: Callable[[], WarmingSettings],
        ledger: Ledger,
        record: Record,
        clock: Clock,
        lower: Callable[[str], float] = lambda _: inf,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._record = record
        self._clock = clock
        self._lower = lower
        self._lock = asyncio.Lock()
        self._next_s = 0.0
        self._remote: dict[str, float] = {}
        self._limits: dict[str, float] = {}

    def limit_usd(self, workspace: str) -> float:
        """What a workspace may spend a day.

        Args:
            workspace: Its path; empty: requests about none.
        """
        found = self._limits.get(workspace)
        return 0.0 if found is None else max(0.0, min(found, self._lower(workspace)))

    async def refresh(self) -> None:
        """Looks where the workspaces of the settings really are, where the settings are new."""
        remote = self._settings().remote
        if remote is not self._remote:
            real = await asyncio.to_thread(
                lambda: {os.path.realpath(path): usd for path, usd in remote.items() if path}
            )
            self._remote, self._limits = remote, real | remote

    async def spent(self, workspace: str | None = None, *, newest: bool = True) -> Spent:
        """What was asked ahead today, by the ledger, with what is held.

        Args:
            workspace: Only of this one; None: of all.
            newest: With all that was recorded so far, and not only what is written already.
        """
        since_s = midnight_s(self._clock.wall_s())
        values = {"since_us": int(since_s * 1e6), "workspace": workspace}
        found = await self._ledger.ask(_SPENT, values, newest=newest)
        held = [one for one in self._record.held.values() if one.at_s >= since_s and workspace in (None, one.workspace)]
        return Spent(found["usd"] + sum(one.usd for one in held), found["requests"])

    async def hold(self, name: str, workspace: str, usd: float) -> bool:
        """Holds money for a call that is about to be made; on disk when this returns.

        Args:
            name: Of the call.
            workspace: Whose budget it is.
            usd: The most that it can cost.

        Returns:
            False where the budget of the day has no room for it, or it can not be written down.
        """
        if usd <= 0:
            return True
        async with self._lock:
            self._drop_old()
            await self.refresh()
            limit = self.limit_usd(workspace)
            if limit <= 0 or (await self.spent(workspace)).usd + usd > limit + 1e-12:
                return False
            self._record.held[name] = Held(workspace, usd, self._clock.wall_s())
            try:
                await self._record.save()
            except BeastError:
                del self._record.held[name]
                return False
            return True

    async def settle(self, name: str, *, known: bool) -> None:
        """Lets go of what was held where the ledger knows what the call cost; else it counts as spent all day.

        Args:
            name: Of the call.
            known: The ledger has its cost, or it was never made.
        """
        if not known or name not in self._record.held:
            return
        await self._ledger.written()
        async with self._lock:
            self._record.held.pop(name, None)
            self._record.change()
            await self._record.save_soon()

    def _drop_old(self) -> None:
        since_s = midnight_s(self._clock.wall_s())
        held = self._record.held
        for name in [name for name, one in held.items() if one.at_s < since_s]:
            del held[name]

    # -- how many ---------------------------------------------------------------------------------------------------

    def wait_s(self) -> float:
        """How long until the next request may be asked ahead."""
        gap_s = 60.0 / self._settings().per_minute
        return max(0.0, self._next_s - (BURST - 1) * gap_s - self._clock.mono_s())

    def began(self) -> None:
        """A request is asked ahead: the next one waits."""
        self._next_s = max(self._next_s, self._clock.mono_s()) + 60.0 / self._settings().per_minute
