"""Rounds of warming that somebody asked for: any number at a time, ended by their callers or with the daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from beastmode.background.warm_parts import Parts
from beastmode.background.warm_round import Report, Round, Tell
from beastmode.core.errors import ShuttingDownError


class ByHand:
    """Begins rounds.

    Args:
        parts: What warming is made of.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._rounds: set[asyncio.Task[Report]] = set()
        self._closed = False

    async def warm(
        self, workspaces: Collection[str] | None, *, dry_run: bool, limit: int | None, tell: Tell | None
    ) -> Report:
        """Makes everything ready that could be asked, now, letting people go first.

        Args:
            workspaces: Only what is about one of these; None: whatever it is about.
            dry_run: Ask nothing; say what would be asked, and what it may cost.
            limit: Ask at most so many.
            tell: As for `Round.go`.

        Raises:
            ShuttingDownError: The daemon stopped before it was done.
        """
        wishes = await self._parts.sources.wishes(whole_day=True)
        if workspaces is not None:
            wishes = [one for one in wishes if one.workspace in workspaces]
        task = asyncio.ensure_future(self._round(dry_run, limit).go(wishes, tell))
        self._rounds.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            if self._closed:
                raise ShuttingDownError("The daemon stopped before all was ready.", tips=["beast start"]) from None
            raise
        finally:
            self._rounds.discard(task)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _round(self, dry_run: bool, limit: int | None) -> Round:
        parts = self._parts
        return Round(
            settings=parts.settings,
            gateway=parts.gateway,
            planner=parts.planner,
            asking=parts.asking,
            budget=parts.budget,
            clock=parts.clock,
            dry_run=dry_run,
            limit=limit,
        )

    async def close(self) -> None:
        """Ends all rounds."""
        self._closed = True
        running = list(self._rounds)
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)
