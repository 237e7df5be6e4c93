"""A round of warming by hand: everything that could be asked, at once, letting people go first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from beastmode.background.warm_asking import Asking
from beastmode.background.warm_budget import Budget
from beastmode.background.warm_plan import Plan, Planner
from beastmode.background.warm_wishes import Wish
from beastmode.core.clock import Clock
from beastmode.core.settings import WarmingSettings
from beastmode.gateway import Gateway

PEOPLE_PAUSE_S = 0.1
TRIES_MAX = 20

Tell = Callable[[dict[str, Any]], None]


class Report(msgspec.Struct, kw_only=True):
    """What a round of warming did.

    Attributes:
        asked: So many requests went to a model.
        stored: Answers that are in the cache now and were not.
        skipped: What was not asked, by the reason.
        cost_usd: What it cost; None: of one it is not known.
        dry_run: Nothing was asked.
        may_cost_usd: Of a dry run: the most that it would cost; None: of one nobody knows, or it was no dry run.
        wishes: Of a dry run: what would be asked, and what would not and why.
    """

    asked: int = 0
    stored: int = 0
    skipped: dict[str, int] = {}
    cost_usd: float | None = 0.0
    dry_run: bool = False
    may_cost_usd: float | None = None
    wishes: list[dict[str, Any]] = []


class Round:
    """Goes through wishes.

    Args:
        settings: Those in force.
        gateway: Tells whether anybody waits.
        planner: What is asked.
        asking: Asks it.
        budget: Of number.
        clock: For pauses.
        dry_run: Ask nothing.
        limit: Ask at most so many; None: any number.
    """

    def __init__(
        self,
        *,
        settings: Callable[[], WarmingSettings],
        gateway: Gateway,
        planner: Planner,
        asking: Asking,
        budget: Budget,
        clock: Clock,
        dry_run: bool,
        limit: int | None,
    ) -> None:
        self._settings = settings
        self._gateway = gateway
        self._planner = planner
        self._asking = asking
        self._budget = budget
        self._clock = clock
        self._limit = limit
        self._wanted = 0
        self._seen: set[bytes] = set()
        self.report = Report(dry_run=dry_run, may_cost_usd=0.0 if dry_run else None)

    async def go(self, wishes: list[Wish], tell: Tell | None) -> Report:
        """Goes through all of them.

        Args:
            wishes: What could be asked.
            tell: Told of each: `{done, total, asked, stored, cost_usd, wish, outcome}`.
        """
        report = self.report
        for number, wish in enumerate(wishes, 1):
            plan, outcome = await self._one(wish)
            if outcome == "twice":
                continue
            if outcome not in ("stored_now", "would_ask"):
                report.skipped[outcome] = report.skipped.get(outcome, 0) + 1
            if report.dry_run:
                report.wishes.append(_listed(plan, outcome))
            if tell is not None:
                counts = {"asked": report.asked, "stored": report.stored, "cost_usd": report.cost_usd}
                tell({"done": number, "total": len(wishes), **counts, "wish": wish.shown(), "outcome": outcome})
        return report

    async def _one(self, wish: Wish) -> tuple[Plan, str]:
        if not self._settings().enabled:
            return Plan(wish=wish), "disabled"
        if self._limit is not None and self._wanted >= self._limit:
            return Plan(wish=wish), "limit"
        plan = await self._planner.plan(wish)
        if plan.key is not None and plan.key.exact in self._seen:
            return plan, "twice"  # two thoughts, one request
        if plan.key is not None:
            self._seen.add(plan.key.exact)
        if plan.why_not:
            return plan, plan.why_not
        if (await self._budget.spent()).requests + self._planned >= self._settings().daily_requests:
            return plan, "daily_requests"
        self._wanted += 1
        if self.report.dry_run:
            self.report.may_cost_usd = _sum(self.report.may_cost_usd, plan.may_cost_usd)
            return plan, "would_ask"
        return plan, await self._ask(plan)

    @property
    def _planned(self) -> int:
        """Requests that a dry run has only counted."""
        return self._wanted if self.report.dry_run else 0

    async def _ask(self, plan: Plan) -> str:
        """Asks, again where it gave way to a person."""
        report, ended = self.report, "gave_way"
        for number in range(TRIES_MAX):
            while len(self._gateway.flights):
                await self._clock.sleep(PEOPLE_PAUSE_S)
            if number:
                await self._clock.sleep(PEOPLE_PAUSE_S)
            ended, cost_usd = await self._asking.ask(plan)
            if ended == "over_budget":
                return ended
            report.asked += not number
            report.cost_usd = _sum(report.cost_usd, cost_usd)
            if ended != "gave_way":
                break
        if ended != "stored":
            return ended
        report.stored += 1
        return "stored_now"


def _listed(plan: Plan, outcome: str) -> dict[str, Any]:
    found = {**plan.wish.shown(), "model": plan.model or None, "outcome": outcome}
    if outcome == "would_ask":
        found["may_cost_usd"] = plan.may_cost_usd
    return found


def _sum(left: float | None, right: float | None) -> float | None:
    """None where one is not known."""
    return None if left is None or right is None else round(left + right, 9)
