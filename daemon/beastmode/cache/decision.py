"""What the semantic step says of a prompt, and what it leaves for a judge. Light: no vectors here."""

from __future__ import annotations

from typing import Literal

import msgspec

from beastmode.cache.key import Key
from beastmode.cache.lookup import Found
from beastmode.core.types import Entry, Request


class Neighbour(msgspec.Struct, kw_only=True):
    """A stored prompt near the one that was asked.

    Attributes:
        entry: Its exact key, in hex.
        text: The stored prompt.
        similarity: Cosine of the two.
        confidence: Probability that both want the same answer; None where a guard spoke first.
        veto: The guard that said no.
        denied: A person said no.
        differs: Words that one has and the other has not.
    """

    entry: str
    text: str
    similarity: float
    confidence: float | None = None
    veto: str | None = None
    denied: bool = False
    differs: list[tuple[str, str]] = []


class Decision(msgspec.Struct, kw_only=True):
    """What the semantic step found.

    Attributes:
        result: hit, miss, or bypass where this prompt is matched exactly only.
        why: One sentence.
        neighbours: What was compared, nearest first.
        found: The answer to serve, on a hit.
        similarity: Cosine, on a hit; else of the nearest neighbour.
        confidence: The verifier's probability, on a hit; else of the most likely neighbour.
        threshold: Least confidence that would have been served.
        group: Where wrong hits are counted.
    """

    result: Literal["hit", "miss", "bypass"]
    why: str
    neighbours: list[Neighbour] = []
    found: Found | None = None
    similarity: float | None = None
    confidence: float | None = None
    threshold: float | None = None
    group: str = ""


class Grey(msgspec.Struct, frozen=True):
    """A pair just below the threshold, for a judge.

    Attributes:
        key: Key of the prompt that asked.
        neighbour: The stored prompt.
    """

    key: Key
    neighbour: Neighbour


class Sample(msgspec.Struct, frozen=True):
    """A semantic hit that is to be checked.

    Attributes:
        request: What was asked.
        key: Its key.
        entry: What was served.
        group: Where it counts.
    """

    request: Request
    key: Key
    entry: Entry
    group: str
