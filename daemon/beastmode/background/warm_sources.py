"""All that could be asked ahead at a moment, the most pressing first; and whether the cache was lost meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from beastmode.background.activity import Activities, Activity
from beastmode.background.patterns import Patterns
from beastmode.background.warm_budget import midnight_s
from beastmode.background.warm_record import Record
from beastmode.background.warm_wishes import (
    GUESSES_MAX,
    Wish,
    from_guesses,
    from_history,
    from_stale,
    from_templates,
    template_problem,
)
from beastmode.cache.lookup import Lookup
from beastmode.core.clock import Clock
from beastmode.core.settings import WarmingSettings
from beastmode.core.types import Request
from beastmode.routing.models import Registry

WORKING_S = 900.0
LOST_SHARE = 0.1

StaleOnes = Callable[[], Iterable[tuple[Request, float]]]


class Sources:
    """Collects wishes.

    Args:
        settings: Those in force.
        activities: What people asked.
        patterns: Guesses what they ask next.
        stale: Popular answers that hold no more, with their chances.
        retrieves: Whether a chat about a workspace is widened by what is found in it.
        lookup: Tells how many answers are stored.
        registry: The models.
        record: Remembers how many there were.
        clock: Time.
        user: The person of this machine.
    """

    def __init__(
        self,
        *,
        settings: Callable[[], WarmingSettings],
        activities: Activities,
        patterns: Patterns,
        stale: StaleOnes,
        retrieves: Callable[[str], bool],
        lookup: Lookup,
        registry: Registry,
        record: Record,
        clock: Clock,
        user: str,
    ) -> None:
        self._settings = settings
        self._activities = activities
        self._patterns = patterns
        self._stale = stale
        self._retrieves = retrieves
        self._lookup = lookup
        self._registry = registry
        self._record = record
        self._clock = clock
        self._user = user
        self.lost = False

    async def wishes(self, *, whole_day: bool = False) -> list[Wish]:
        """All wishes, each once.

        Args:
            whole_day: What recurs counts at any hour, as for the daily schedule and by hand.
        """
        self._look_for_loss()
        stale, activities, written = from_stale(self._stale()), self._activities.all(), self._written()
        return await asyncio.to_thread(self._put_in_order, activities, [*written, *stale], whole_day)

    def _written(self) -> list[Wish]:
        return from_templates(self._settings().templates, self._user, self._retrieves)

    def _put_in_order(self, activities: Sequence[Activity], steady: list[Wish], whole_day: bool) -> list[Wish]:
        """What is likely next comes first while somebody works, and last otherwise.

        While somebody works, each time a file is saved every action on it becomes another request: only what is likely
        next is worth it then, and what recurs waits until there is quiet.
        """
        now_s, asked_of = self._clock.wall_s(), self._activities.asked
        works = not whole_day and any(now_s - one.at_s <= WORKING_S for one in activities[-1:])
        recurring = from_history(activities, asked_of, now_s, any_hour=whole_day or self.lost, lost=self.lost)
        guesses = from_guesses(self._patterns.guesses(limit=GUESSES_MAX), asked_of)
        if not works:
            return _each_once([*steady, *recurring, *guesses])
        return _each_once([*guesses, *steady, *(one for one in recurring if self.lost or not one.path)])

    def worked_s(self) -> float:
        """How long ago this day's work began."""
        now_s = self._clock.wall_s()
        since_s = midnight_s(now_s)
        began_s = next((one.at_s for one in self._activities.all() if one.at_s >= since_s), now_s)
        return max(0.0, now_s - began_s)

    def occasion(self) -> object:
        """What is compared to the last time: where it differs, it is worth a look what can be asked now."""
        return self._settings(), [model.id for model in self._registry.list()], self._entries() == 0

    def template_problems(self) -> list[str]:
        """What is wrong with the templates, in sentences."""
        found = [template_problem(one) for one in self._settings().templates]
        return [one for one in found if one is not None]

    def problem(self) -> str | None:
        """The same as one text; None: nothing is."""
        return " ".join(self.template_problems()) or None

    def _entries(self) -> int:
        """How many answers are stored."""
        tiers = self._lookup.stats()
        return max((getattr(tiers[name], "entries", None) or 0 for name in ("l1", "l2") if name in tiers), default=0)

    def _look_for_loss(self) -> None:
        """Whether most of what was stored is gone, as after the cache's folder was deleted."""
        entries = self._entries()
        if entries < self._record.entries * LOST_SHARE:
            self.lost = True
        if entries != self._record.entries:
            self._record.entries = entries
            self._record.change()


def _each_once(wishes: Iterable[Wish]) -> list[Wish]:
    """Without those that are there already."""
    found: dict[object, Wish] = {}
    for one in wishes:
        name = one.identity or (one.user, one.workspace, one.path, one.symbol, repr(one.asked.params))
        found.setdefault(name, one)
    return [*found.values()]
