"""Warming: answers that are made before they are asked for, while nobody waits for anything."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Collection
from typing import Any

from beastmode.background.warm_budget import strictness
from beastmode.background.warm_by_hand import ByHand
from beastmode.background.warm_parts import Parts
from beastmode.background.warm_round import Report, Tell
from beastmode.background.warm_wishes import GUESS_MIN, Source, Wish

log = logging.getLogger(__name__)

TICK_MAX_S, TICK_MIN_S = 1.0, 0.05
LOOK_AGAIN_S, LOOK_SELDOM_S = 60.0, 600.0
PLANS_A_TURN = 20
FAILED_PAUSE_S = 30.0


class Warming:
    """Asks ahead: by itself in idle time, by the daily schedule, and by hand.

    Args:
        parts: What it is made of.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._queue: deque[Wish] = deque()
        self._look_s = float("-inf")
        self._look_pause_s = LOOK_AGAIN_S
        self._occasion: object = None
        self._rests: dict[Source, float] = {}
        self._task: asyncio.Task[None] | None = None
        self._by_hand = ByHand(parts)

    def start(self) -> None:
        """Begins to look for something to do."""
        self._task = asyncio.ensure_future(self._run())

    async def close(self) -> None:
        """Ends, in the middle of a request too, and writes what is known. What was begun by hand ends as well."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._by_hand.close()
        await self._parts.record.save_soon()

    def look_again(self) -> None:
        """Something was asked, opened or changed: what is to be done next is thought over."""
        self._look_s, self._look_pause_s = float("-inf"), LOOK_AGAIN_S

    def forget(self) -> None:
        """Lets go of what was to be asked: some of it was forgotten. What is being asked ends."""
        self._queue.clear()
        self._parts.asking.stop()
        self.look_again()

    async def _run(self) -> None:
        parts = self._parts
        while True:
            await parts.clock.sleep(min(TICK_MAX_S, max(TICK_MIN_S, parts.settings().idle_s / 4)))
            try:
                await self.turn()
            except Exception:
                log.warning("warming failed", exc_info=True)
                await parts.clock.sleep(FAILED_PAUSE_S)

    async def turn(self) -> None:
        """Does the next thing, where there is one and nobody waits: at most one request is asked."""
        parts = self._parts
        parts.asking.note_use()
        await parts.record.save_soon()
        if not parts.settings().enabled or not self._parts.idle or parts.budget.wait_s() > 0:
            return
        await self._look()
        for _ in range(PLANS_A_TURN):
            wish = self._next()
            if wish is None or not self._parts.idle or await self._consider(wish):
                break
        if not self._queue:
            parts.sources.lost = False

    def _next(self) -> Wish | None:
        """Takes the next wish whose source does not rest."""
        now_s = self._parts.clock.mono_s()
        for number, wish in enumerate(self._queue):
            if self._rests.get(wish.source, 0.0) <= now_s:
                del self._queue[number]
                return wish
        return None

    async def _consider(self, wish: Wish) -> bool:
        """Asks for a wish where that is due; tells whether a model was asked."""
        parts = self._parts
        if wish.source == "guess" and wish.chance < self._guess_min():
            return False
        plan = await parts.planner.plan(wish)
        if plan.why_not or not self._parts.idle:
            return False
        asked, allowed = (await parts.budget.spent()).requests, parts.settings().daily_requests
        if asked >= allowed:
            self._queue.clear()
            return False
        if wish.source == "guess" and wish.chance < self._guess_min(
            strictness(asked, allowed, parts.sources.worked_s())
        ):
            return False
        ended, _ = await parts.asking.ask(plan)
        if ended == "over_budget":
            return False
        self._rest(wish.source)
        if ended == "gave_way":
            self._queue.appendleft(wish)
        return True

    def _guess_min(self, strict: float = 1.0) -> float:
        """How likely a guess must be: more where few of them were used, or where too little is left for the day."""
        return GUESS_MIN * strict / self._parts.share("guess")

    def _rest(self, source: Source) -> None:
        """The less of a source's answers are used, the longer it rests; of guesses only the better ones are asked."""
        if source != "guess":
            pause_s = 60.0 / self._parts.settings().per_minute * (1.0 / self._parts.share(source) - 1.0)
            self._rests[source] = self._parts.clock.mono_s() + pause_s

    async def _look(self) -> None:
        """Thinks over what to do next, where something is new or a while has passed."""
        scheduled, occasion = self._is_scheduled(), self._parts.sources.occasion()
        if occasion != self._occasion:
            self._occasion = occasion
            self.look_again()
        if scheduled or self._parts.clock.mono_s() - self._look_s >= self._look_pause_s:
            self._look_s = self._parts.clock.mono_s()
            self._look_pause_s = min(2 * self._look_pause_s, LOOK_SELDOM_S)  # nobody does anything, all night long
            self._queue = deque(await self._parts.sources.wishes(whole_day=scheduled))

    def _is_scheduled(self) -> bool:
        """The time of the day has come that the user set, and nothing was done about it today."""
        record, at = self._parts.record, self._parts.settings().at
        now = time.localtime(self._parts.clock.wall_s())
        day = time.strftime("%Y-%m-%d", now)
        if not at or record.scheduled == day or (now.tm_hour, now.tm_min) < tuple(map(int, at.split(":"))):
            return False
        record.scheduled = day
        record.change()
        return True

    async def warm(
        self,
        workspaces: Collection[str] | None = None,
        *,
        dry_run: bool = False,
        limit: int | None = None,
        tell: Tell | None = None,
    ) -> Report:
        """Makes everything ready that could be asked, now, letting people go first; as `ByHand.warm`."""
        return await self._by_hand.warm(workspaces, dry_run=dry_run, limit=limit, tell=tell)

    async def status(self) -> dict[str, Any]:
        """How it stands, as `Parts.status`."""
        return await self._parts.status(len(self._queue))
