"""All that could be asked ahead at a moment, the most pressing first; and whether the cache was lost meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from beastmode.background.activity import Activities
from beastmode.background.patterns import Patterns
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
        self._record = record
        self._clock = clock
        self._user = user
        self.lost = False

    def wishes(self, *, whole_day: bool = False) -> list[Wish]:
        """All wishes, each once.

        Args:
            whole_day: What recurs counts at any hour, as for the daily schedule and by hand.
        """
        now_s = self._clock.wall_s()
        self._look_for_loss()
        activities = self._activities.all()
        asked_of = self._activities.asked
        written = from_templates(self._settings().templates, self._user, self._retrieves)
        recurring = from_history(activities, asked_of, now_s, any_hour=whole_day or self.lost, lost=self.lost)
        guesses = from_guesses(self._patterns.guesses(limit=GUESSES_MAX), activities, asked_of)
        steady = [*written, *from_stale(self._stale()), *recurring]
        works = any(now_s - one.at_s <= WORKING_S for one in activities[-1:])
        return _each_once([*guesses, *steady] if works and not whole_day else [*steady, *guesses])

    def template_problems(self) -> list[str]:
        """What is wrong with the templates, in sentences."""
        found = [template_problem(one) for one in self._settings().templates]
        return [one for one in found if one is not None]

    def problem(self) -> str | None:
        """The same as one text; None: nothing is."""
        return " ".join(self.template_problems()) or None

    def _look_for_loss(self) -> None:
        """Whether most of what was stored is gone, as after the cache's folder was deleted."""
        tiers = self._lookup.stats()
        entries = max((getattr(tiers[name], "entries", 0) or 0 for name in ("l1", "l2") if name in tiers), default=0)
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
