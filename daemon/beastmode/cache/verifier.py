"""The learned half of the decision: how likely two prompts that no guard objects to want the same answer."""

from __future__ import annotations

import math
from importlib import resources
from typing import TYPE_CHECKING, Any

import msgspec

from beastmode.cache.features import NAMES, eligible, far_words, features
from beastmode.cache.guard_align import Alignment, align
from beastmode.cache.guard_text import Analysis
from beastmode.core.errors import InternalError

if TYPE_CHECKING:
    from beastmode.core.plugins import Embedding

__all__ = ["DATA_FILE", "Model", "Verifier", "eligible"]

DATA_FILE = "verifier.json"


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The shipped data file.

    Attributes:
        embedder: Id of the embedder whose similarities it was trained with.
        trained: Day of the training.
        command: What trained it.
        features: Names of the features, in order.
        intercept: Log odds where nothing differs.
        weights: What each feature takes from the log odds; none is negative.
        knots: Calibration: (raw probability, confidence), both ascending.
        metrics: What was measured on it.
    """

    embedder: str
    trained: str
    command: str
    features: list[str]
    intercept: float
    weights: list[float]
    knots: list[tuple[float, float]]
    metrics: dict[str, Any]


class Verifier:
    """Judges pairs of prompts.

    Args:
        model: What training found.
    """

    def __init__(self, model: Model) -> None:
        self.model = model

    @classmethod
    def load(cls) -> Verifier:
        """Reads the data file that is shipped with the package.

        Raises:
            InternalError: It is damaged, or of another version.
        """
        try:
            data = resources.files(__package__ or "beastmode.cache").joinpath(DATA_FILE).read_bytes()
            model = msgspec.json.decode(data, type=Model)
        except (OSError, msgspec.DecodeError) as error:
            raise InternalError(f"the data of the semantic cache's verifier can not be read: {error}") from error
        if tuple(model.features) != NAMES or len(model.weights) != len(NAMES) or not model.knots:
            raise InternalError("the data of the semantic cache's verifier belongs to another version of beastmode")
        return cls(model)

    @property
    def embedder(self) -> str:
        """Id of the embedder it may be used with."""
        return self.model.embedder

    def confidence(
        self,
        a: Analysis,
        b: Analysis,
        similarity: float,
        tokens_a: Embedding | None = None,
        tokens_b: Embedding | None = None,
        alignment: Alignment | None = None,
    ) -> float:
        """Tells how likely two prompts want the same answer.

        Guards come first: what they veto is not asked here.

        Args:
            a: One prompt.
            b: The other.
            similarity: Cosine of their vectors.
            tokens_a: What the embedder made of the first; None where only its vector is kept.
            tokens_b: The same of the second.
            alignment: Both laid side by side, where it is known already.

        Returns:
            A probability: of pairs with 0.95, at least 95 of 100 want the same.
        """
        found = alignment or align(a, b)
        return self.judge(features(found, a, b, similarity, far_words(found, tokens_a, tokens_b)))

    def judge(self, values: list[float]) -> float:
        """Is `confidence` for features measured before.

        Args:
            values: A number for each of `features.NAMES`.
        """
        odds = self.model.intercept - sum(w * v for w, v in zip(self.model.weights, values, strict=True))
        return calibrated(1.0 / (1.0 + math.exp(-max(-40.0, min(40.0, odds)))), self.model.knots)


def calibrated(raw: float, knots: list[tuple[float, float]]) -> float:
    """Reads a confidence off the calibration, straight lines between its knots.

    Args:
        raw: Probability before calibration.
        knots: (raw, confidence), ascending.
    """
    below = (0.0, 0.0)
    for knot in knots:
        if raw <= knot[0]:
            width = knot[0] - below[0]
            return knot[1] if width <= 0 else below[1] + (knot[1] - below[1]) * (raw - below[0]) / width
        below = knot
    return knots[-1][1]
