"""The predictor: which request comes next, from what a person asked and worked on; it learns with each one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from beastmode.background.activity import Activity, Identity

CANDIDATES_MAX = 3_000
HALF_LIFE_S = 4 * 3600.0


class Context(msgspec.Struct, frozen=True):
    """What a guess is asked for.

    Attributes:
        workspace: Only requests about it; None: about any.
        user: Only of this person; None: of anyone.
    """

    workspace: str | None = None
    user: str | None = None


class Guess(msgspec.Struct, frozen=True):
    """A request that may come next.

    Attributes:
        action: `explain`, `tests`, ...; `chat` for a question.
        workspace: Which it is about; empty: none.
        path: The file.
        symbol: The function or class.
        question: Digest of the person's own words; empty: none.
        user: Who would ask.
        probability: How likely it is the next request.
        seen: It was asked before, so that `Activities.asked(guess.identity)` may know how.
    """

    action: str
    workspace: str
    path: str
    symbol: str
    question: str
    user: str
    probability: float
    seen: bool = True

    @property
    def identity(self) -> Identity:
        """What it is."""
        return Identity(self.action, self.workspace, self.path, self.symbol, self.question, self.user)


class Predictor:
    """Learns from one event after the other, and guesses the next request."""

    def __init__(self) -> None:
        self._weights: dict[Identity, tuple[float, float]] = {}

    def observe(self, event: Activity) -> None:
        """Learns from what was done.

        Args:
            event: A request, or a sign from an editor.
        """
        if not event.is_request:
            return
        weight, at_s = self._weights.get(event.identity, (0.0, event.at_s))
        decayed = weight * math.exp2(-max(0.0, event.at_s - at_s) / HALF_LIFE_S)
        self._weights[event.identity] = (decayed + 1.0, event.at_s)
        if len(self._weights) > CANDIDATES_MAX:
            del self._weights[min(self._weights, key=lambda one: self._weights[one][1])]

    def guesses(self, now_s: float, context: Context | None = None, limit: int = 5) -> Sequence[Guess]:
        """The most likely next requests, the likeliest first.

        Args:
            now_s: Wall clock.
            context: Which requests are meant; None: any.
            limit: How many.
        """
        wanted = context or Context()
        scores = {
            one: weight * math.exp2(-max(0.0, now_s - at_s) / HALF_LIFE_S)
            for one, (weight, at_s) in self._weights.items()
            if wanted.workspace in (None, one.workspace) and wanted.user in (None, one.user)
        }
        total = sum(scores.values()) or 1.0
        best = sorted(scores, key=lambda one: scores[one], reverse=True)[:limit]
        return [Guess(*one, probability=scores[one] / total) for one in best]
