"""What warming is made of, and how it stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from beastmode.background.warm_asking import Asking
from beastmode.background.warm_budget import Budget
from beastmode.background.warm_plan import Planner
from beastmode.background.warm_record import Record
from beastmode.background.warm_sources import Sources
from beastmode.background.warm_wishes import SOURCES, Source
from beastmode.core.clock import Clock
from beastmode.core.settings import WarmingSettings
from beastmode.gateway import Gateway


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What warming is made of.

    Attributes:
        settings: Those in force.
        gateway: Tells whether anybody waits.
        sources: What could be asked.
        planner: What of it is asked.
        asking: Asks it.
        budget: Of money and of number.
        record: What was made ahead, and what of it was used.
        clock: Time.
    """

    settings: Callable[[], WarmingSettings]
    gateway: Gateway
    sources: Sources
    planner: Planner
    asking: Asking
    budget: Budget
    record: Record
    clock: Clock

    @property
    def idle(self) -> bool:
        """Nobody has asked anything for a while, and nothing is being answered."""
        quiet_s = self.clock.mono_s() - self.gateway.person_s
        return quiet_s >= self.settings().idle_s and not len(self.gateway.flights)

    def share(self, source: Source) -> float:
        """How much of what a source has is asked ahead: all, or less where little of it was used.

        Args:
            source: Where thoughts come from.
        """
        settings = self.settings()
        return self.record.share(source, settings.horizon_s, settings.precision)

    async def status(self, waiting: int) -> dict[str, Any]:
        """How it stands: what was asked and spent today, the budget, precision, and whether less is asked for it.

        Args:
            waiting: What is still to be looked at.
        """
        settings, spent = self.settings(), await self.budget.spent(newest=False)
        used, made = self.record.precision()
        throttled = [one for one in SOURCES if self.share(one) < 1.0]
        problems = [*self.sources.template_problems(), self.record.problem]
        return {
            "enabled": settings.enabled,
            "asked_today": spent.requests,
            "daily_requests": settings.daily_requests,
            "spent_usd": round(spent.usd, 9),
            "budget_usd": sum(settings.remote.values()),
            "made": made,
            "used": used,
            "precision": used / made if made else None,
            "throttled": bool(throttled),
            "throttled_sources": throttled,
            "waiting": waiting,
            "problem": " ".join(one for one in problems if one) or None,
        }
