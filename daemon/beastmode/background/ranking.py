"""A small model that learns to rank while it is used: softmax over candidates, one step of gradient an event."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import mul

import msgspec

STEP = 0.15
WEIGHT_MAX = 8.0

Vector = Sequence[float]


class Ranking(msgspec.Struct):
    """Weights of features, learned by which candidate it was in the end.

    Each weight has a step of its own, which shrinks with what it has learned already (AdaGrad).

    Attributes:
        weights: Of each feature.
        squares: How far each has been moved already.

    Source: J. Duchi, E. Hazan, Y. Singer, Adaptive subgradient methods, JMLR 12 (2011).
    """

    weights: list[float] = []
    squares: list[float] = []

    def probabilities(self, candidates: Sequence[Vector]) -> list[float]:
        """How likely each candidate is; they add up to 1.

        Args:
            candidates: The features of each.
        """
        scores = [sum(map(mul, self.weights, one)) for one in candidates]
        top = max(scores, default=0.0)
        raised = [math.exp(score - top) for score in scores]
        total = sum(raised)
        return [one / total for one in raised]

    def learn(self, candidates: Sequence[Vector], chosen: int, probabilities: Sequence[float]) -> None:
        """Makes what was chosen likelier.

        Args:
            candidates: The features of each.
            chosen: Which one it was.
            probabilities: What was thought of each.
        """
        gradient = [*candidates[chosen]]
        for vector, probability in zip(candidates, probabilities, strict=True):
            if probability > 1e-4:
                for index, value in enumerate(vector):
                    if value:
                        gradient[index] -= probability * value
        for index, slope in enumerate(gradient):
            if slope:
                self.squares[index] += slope * slope
                moved = self.weights[index] + STEP * slope / math.sqrt(self.squares[index])
                self.weights[index] = max(-WEIGHT_MAX, min(WEIGHT_MAX, moved))
