"""What speaks for a request to come next: the features of candidates that the predictor weighs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice

from beastmode.background.activity import Identity
from beastmode.background.habits import Habits, Scene, place_of
from beastmode.background.trail import DAY_S, LONG_S, SHORT_S, File, Known, Trail

FEATURES = {
    "seen": 0.2,
    "habit": 0.12,
    "situation": 0.35,
    "one of many": -0.5,
    "often lately": 0.0,
    "often": 0.2,
    "minutes ago": -1.9,
    "an hour ago": 0.7,
    "follows": 1.1,
    "follows the one before": 0.8,
    "follows the opening": 2.8,
    "goes with what is edited": 1.0,
    "answered": -0.2,
    "edited since": 0.0,
    "edited lately": 3.0,
    "this time of day": 1.0,
    "today already": 0.0,
    "first in its file": 0.4,
    "next in its file": 0.8,
}
"""What is looked at, and its weight before anything was learned."""

ANSWERED_S = 1800.0
NEAR_S = 1800.0


class Evidence:
    """Looks at candidates from where somebody is just now.

    Args:
        trail: What was done lately.
        habits: What is usual.
        files: Symbols of files, in order.
        scene: Where somebody is just now.
        now_s: Wall clock.
    """

    def __init__(
        self, trail: Trail, habits: Habits, files: Mapping[File, Sequence[str]], scene: Scene, now_s: float
    ) -> None:
        self._trail = trail
        self._habits = habits
        self._scene = scene
        self._now_s = now_s
        second, last = trail.before(now_s)
        self._tables = [
            _shares(trail.known[last].followers if last in trail.known else {}),
            _shares(trail.known[second].second if second in trail.known else {}),
            _shares(trail.looked.get(trail.opened, {}) if trail.fresh or trail.rests(now_s) else {}),
        ]
        edited = [*islice(reversed(trail.edited), 3)]
        self._companions = [_shares(trail.companions[place]) for place in edited if place in trail.companions]
        self._first, self._next = _neighbours(files.get(trail.opened, ()), trail.opened, last)

    def of(self, candidates: Sequence[Identity]) -> list[list[float]]:
        """The features of each candidate, in the order of `FEATURES`."""
        templates = [self._scene.template(one) for one in candidates]
        crowds = {one: math.log(count) for one, count in Counter(templates).items()}
        likely = {one: self._habits.likelihoods(self._scene, one) for one in crowds}
        vectors = []
        for one, template in zip(candidates, templates, strict=True):
            crowd, (coarse, fine) = crowds[template], likely[template]
            known = self._trail.known.get(one)
            vectors.append(
                [
                    0.0 if known is None else 1.0,
                    coarse,
                    fine,
                    crowd,
                    *self._memory(known),
                    *(table.get(one, 0.0) for table in self._tables),
                    max((table.get(one, 0.0) for table in self._companions), default=0.0),
                    *self._state(one, known),
                    float(place_of(one) == self._first),
                    float(place_of(one) == self._next),
                ]
            )
        return vectors

    def _memory(self, known: Known | None) -> tuple[float, float, float, float]:
        """How often and how long ago."""
        if known is None:
            return 0.0, 0.0, 0.0, 0.0
        passed_s = max(0.0, self._now_s - known.last_s)
        return (
            math.log1p(known.short * math.exp2(-passed_s / SHORT_S)),
            math.log1p(known.long * math.exp2(-passed_s / LONG_S)),
            math.exp(-passed_s / 300),
            math.exp(-passed_s / 3600),
        )

    def _state(self, one: Identity, known: Known | None) -> tuple[float, float, float, float, float]:
        """Whether it has its answer, or a new one is due."""
        edited_s = self._trail.edited.get(place_of(one))
        lately = 0.0 if edited_s is None else math.exp(-max(0.0, self._now_s - edited_s) / 300)
        if known is None:
            return 0.0, 0.0, lately, 0.0, 0.0
        edited_since = edited_s is not None and edited_s > known.last_s
        answered = not edited_since and self._now_s - known.last_s < ANSWERED_S
        today = self._now_s // DAY_S == known.last_s // DAY_S
        time_s = self._now_s % DAY_S
        near = 0.0 if today else max(math.exp(-abs(at_s - time_s) / NEAR_S) for at_s in known.times_s)
        return float(answered), float(edited_since), lately, near, float(today and not one.path)


def _shares(table: Mapping[Identity, float]) -> dict[Identity, float]:
    """Counts as shares; of few counts less is concluded."""
    total = sum(table.values()) + 0.5
    return {one: count / total for one, count in table.items()}


def _neighbours(
    symbols: Sequence[str], file: File, last: Identity
) -> tuple[tuple[str, str, str] | None, tuple[str, str, str] | None]:
    """The first symbol of the file that is looked at, and the one after what was asked about last."""
    if not symbols:
        return None, None
    following = None
    if (last.workspace, last.path) == file and last.symbol in symbols[:-1]:
        following = (*file, symbols[symbols.index(last.symbol) + 1])
    return (*file, symbols[0]), following
