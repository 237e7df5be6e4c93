"""How often guesses are right: each request is guessed before it is learned from, beside two simpler ways."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from beastmode.background.activity import Identity

TOP = 5
COUNTED_MAX = 5_000


class Hits(msgspec.Struct):
    """How often one way of guessing was right.

    Attributes:
        n: Requests.
        top1: How many of them were the first guess.
        top5: How many of them were among the first five.
    """

    n: int = 0
    top1: int = 0
    top5: int = 0

    def count(self, guesses: Sequence[Identity], one: Identity) -> None:
        """Counts a request."""
        self.n += 1
        self.top1 += guesses[:1] == [one]
        self.top5 += one in guesses[:TOP]

    def shares(self) -> dict[str, float | int | None]:
        """`{n, top1, top5}`, as shares of the requests; None where there were none."""
        if not self.n:
            return {"n": 0, "top1": None, "top5": None}
        return {"n": self.n, "top1": round(self.top1 / self.n, 4), "top5": round(self.top5 / self.n, 4)}


class Way(msgspec.Struct):
    """One way of guessing, on all requests and on those that had been made before.

    Attributes:
        all: On all.
        recurring: On those that had been made before.
    """

    all: Hits = msgspec.field(default_factory=Hits)
    recurring: Hits = msgspec.field(default_factory=Hits)

    def shares(self) -> dict[str, object]:
        """As `patterns.get` tells it."""
        return {**self.all.shares(), "recurring": self.recurring.shares()}


class Accuracy(msgspec.Struct):
    """What was measured.

    Attributes:
        predictor: The predictor's guesses.
        frequency_only: What was asked most often.
        last_only: What was asked last.
        counts: How often each request was made, the one made last at the end.
    """

    predictor: Way = msgspec.field(default_factory=Way)
    frequency_only: Way = msgspec.field(default_factory=Way)
    last_only: Way = msgspec.field(default_factory=Way)
    counts: dict[Identity, int] = {}

    def measure(self, guesses: Sequence[Identity], one: Identity) -> None:
        """Compares guesses with the request that came, which none of them knew.

        Args:
            guesses: The predictor's, the likeliest first.
            one: The request.
        """
        often = sorted(self.counts, key=self.counts.__getitem__, reverse=True)[:TOP]
        last = [*self.counts][: -TOP - 1 : -1]
        recurs = one in self.counts
        for way, guessed in ((self.predictor, guesses), (self.frequency_only, often), (self.last_only, last)):
            way.all.count(guessed, one)
            if recurs:
                way.recurring.count(guessed, one)
        self.counts[one] = self.counts.pop(one, 0) + 1
        if len(self.counts) > COUNTED_MAX:
            del self.counts[next(iter(self.counts))]

    def shares(self) -> dict[str, object]:
        """As `patterns.get` tells it."""
        return {
            **self.predictor.shares(),
            "frequency_only": self.frequency_only.shares(),
            "last_only": self.last_only.shares(),
        }
