"""Habits: what kind of request follows in which situation, wherever it is; counted at several levels of detail."""

from __future__ import annotations

import math
from itertools import islice
from typing import NamedTuple

import msgspec

from beastmode.background.activity import Identity
from beastmode.background.trail import START, Place, Trail

SITUATIONS_MAX = 1_500
TEMPLATES_MAX = 200
SMOOTHING = 1.5
UNSEEN = 0.01
WRITING = frozenset({"docstring", "tests", "fix"})
"""What is asked of something that was just written."""

FADING = 0.985

Situation = tuple[str, ...]


class Template(NamedTuple):
    """A request without its place: what is wanted, in which words, and how its place lies to what is worked on.

    Attributes:
        action: What is wanted.
        question: Digest of the words.
        relation: How the place lies: the symbol edited last, the one asked about last, ...; empty: it has none.
        new: It was never asked before.
    """

    action: str
    question: str
    relation: str
    new: bool


class Scene:
    """Where somebody is just now: relations of places to what is worked on, and the situation, from coarse to fine.

    Args:
        trail: What was done lately.
        now_s: Wall clock.
    """

    def __init__(self, trail: Trail, now_s: float) -> None:
        second, last = trail.before(now_s)
        edited = [*islice(reversed(trail.edited), 3)]
        edited.sort(key=lambda place: place[:2] != trail.opened)
        self._relations: dict[Place, str] = {}
        for names, places in (("EFG", edited), ("AB", [place_of(last), place_of(second)])):
            for name, place in zip(names, places, strict=False):
                if place[1] and not self._relations.get(place, "").endswith(("A", "B")):
                    self._relations[place] = self._relations.get(place, "") + name
        self._known = trail.known
        self._opened = trail.opened
        self._last = last.workspace, last.path
        since = ""
        if trail.signal in ("edited", "saved", "switched") and edited:
            since = "same" if edited[0] == place_of(last) else "file" if edited[0][1] == last.path else "other"
        elif trail.signal == "opened":
            since = "same" if trail.opened == self._last else "other"
        kind = last.action if last != START else "start"
        stays = "same" if place_of(second) == place_of(last) else "other"
        rests = "rest" if trail.rests(now_s) else ""
        self.situations: tuple[Situation, ...] = (
            (),
            (trail.signal, since, rests),
            (trail.signal, since, rests, kind),
            (trail.signal, since, rests, kind, second.action, stays),
        )

    def template(self, one: Identity) -> Template:
        """What a request is, seen from here."""
        return Template(one.action, one.question, self._relation(one), one not in self._known)

    def _relation(self, one: Identity) -> str:
        if not one.path:
            return ""
        found = self._relations.get(place_of(one))
        if found is not None:
            return found
        place = one.workspace, one.path
        return "opened" if place == self._opened else "file" if place == self._last else "else"


class Habits(msgspec.Struct):
    """Counts of templates by situation.

    Attributes:
        counts: How often each template came in a situation; what came long ago counts less.
        totals: How much that is for a situation.
    """

    counts: dict[Situation, dict[Template, float]] = {}
    totals: dict[Situation, float] = {}

    def learn(self, scene: Scene, template: Template) -> None:
        """Counts what was asked in a situation."""
        for situation in scene.situations:
            counts = self.counts[situation] = self.counts.pop(situation, {})
            for one in counts:
                counts[one] *= FADING
            counts[template] = counts.get(template, 0.0) + 1.0
            self.totals[situation] = self.totals.get(situation, 0.0) * FADING + 1.0
            if len(counts) > TEMPLATES_MAX:
                del counts[min(counts, key=counts.__getitem__)]
        while len(self.counts) > SITUATIONS_MAX:
            oldest = next(iter(self.counts))
            del self.counts[oldest], self.totals[oldest]

    def likelihoods(self, scene: Scene, template: Template) -> tuple[float, float]:
        """Logarithms of how likely a template is: in the coarse situation, and in the finest one that is known."""
        share = coarse = _usual(template)
        for level, situation in enumerate(scene.situations):
            counts = self.counts.get(situation)
            if counts is not None:
                seen = counts.get(template, 0.0)
                share = (seen + SMOOTHING * share) / (self.totals[situation] + SMOOTHING)
            if level == 1:
                coarse = share
        return math.log(coarse), math.log(share)


def _usual(template: Template) -> float:
    """How likely a template is before anything is known of a person."""
    if template.action in WRITING and template.relation.startswith("E"):
        return 0.1
    if template.action == "explain" and template.relation in ("opened", "E", "EA"):
        return 0.05
    return UNSEEN


def place_of(one: Identity) -> Place:
    """Where a request is."""
    return one.workspace, one.path, one.symbol
