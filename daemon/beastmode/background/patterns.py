"""What is learned from people's requests: guesses of the next one, and how often such guesses were right."""

from __future__ import annotations

from collections.abc import Sequence

from beastmode.background.activity import Activities, Activity
from beastmode.background.predicting import Context, Guess, Predictor
from beastmode.core.clock import Clock


class Patterns:
    """Feeds the predictor with what is noted.

    Args:
        activity: What people do.
        clock: Time.
    """

    def __init__(self, activity: Activities, clock: Clock) -> None:
        self._clock = clock
        self.predictor = Predictor()
        for one in activity.all():
            self._learn(one)
        activity.listeners.append(self._learn)

    def guesses(self, context: Context | None = None, limit: int = 5) -> Sequence[Guess]:
        """The most likely next requests, the likeliest first.

        Args:
            context: Which requests are meant; None: any.
            limit: How many.
        """
        return self.predictor.guesses(self._clock.wall_s(), context, limit)

    def _learn(self, one: Activity) -> None:
        self.predictor.observe(one)
