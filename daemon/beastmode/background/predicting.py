"""The predictor: which request comes next, from what a person asked and worked on; it learns with each one."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec

from beastmode.background.activity import Activity, Identity
from beastmode.background.habits import Habits, Scene, place_of
from beastmode.background.ranking import Ranking
from beastmode.background.trail import DAY_S, LONG_S, SHORT_S, START, Known, Trail

RECENT_MAX = 60
PLACE_MAX = 40
FREQUENT_MAX = 30
FILES_MAX = 60
SYMBOLS_MAX = 40
WORDS_MAX = 8

FEATURES = {
    "seen": 0.5,
    "habit": 0.4,
    "situation": 0.8,
    "often lately": 0.3,
    "often": 0.3,
    "minutes ago": -0.5,
    "an hour ago": 0.3,
    "follows": 1.5,
    "follows the one before": 0.7,
    "answered": -1.5,
    "edited since": 0.7,
    "this time of day": 1.5,
    "today already": 0.0,
}
"""What is looked at, and its weight before anything was learned."""


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
        like: A request of the same kind, in the same words, that was made elsewhere: what was never asked can be asked
            as this one was.
    """

    action: str
    workspace: str
    path: str
    symbol: str
    question: str
    user: str
    probability: float
    seen: bool = True
    like: Identity | None = None

    @property
    def identity(self) -> Identity:
        """What it is."""
        return Identity(self.action, self.workspace, self.path, self.symbol, self.question, self.user)


class Predictor:
    """Learns from one event after the other, and guesses the next request."""

    def __init__(self) -> None:
        self._trail = Trail()
        self._habits = Habits()
        self._ranking = Ranking([*FEATURES.values()])
        self._files: OrderedDict[tuple[str, str], list[str]] = OrderedDict()
        self._words: OrderedDict[tuple[str, str, str], Identity] = OrderedDict()

    def file(self, workspace: str, path: str, symbols: Sequence[str]) -> None:
        """Says which functions and classes a file has, in order."""
        self._files[workspace, path] = [*symbols[:SYMBOLS_MAX]]
        self._files.move_to_end((workspace, path))
        if len(self._files) > FILES_MAX:
            self._files.popitem(last=False)

    def observe(self, event: Activity) -> None:
        """Learns from what was done.

        Args:
            event: A request, or a sign from an editor.
        """
        if not event.is_request:
            self._trail.sign(event)
            return
        one = event.identity
        scene = Scene(self._trail, event.at_s)
        candidates = self._candidates(event.at_s)
        if one in candidates:
            vectors = self._vectors(candidates, scene, event.at_s)
            self._ranking.learn(vectors, [*candidates].index(one), self._ranking.probabilities(vectors))
        self._habits.learn(scene, scene.template(one))
        self._trail.ask(event)
        if one.path:
            words = one.action, one.question, one.user
            self._words[words] = one
            self._words.move_to_end(words)
            if len(self._words) > WORDS_MAX * 4:
                self._words.popitem(last=False)

    def guesses(self, now_s: float, context: Context | None = None, limit: int = 5) -> list[Guess]:
        """The most likely next requests, the likeliest first.

        Args:
            now_s: Wall clock.
            context: Which requests are meant; None: any.
            limit: How many.
        """
        wanted = context or Context()
        candidates = self._candidates(now_s)
        scene = Scene(self._trail, now_s)
        shares = self._ranking.probabilities(self._vectors(candidates, scene, now_s))
        found = [
            (share, one)
            for one, share in zip(candidates, shares, strict=True)
            if wanted.workspace in (None, one.workspace) and wanted.user in (None, one.user)
        ]
        found.sort(key=lambda pair: pair[0], reverse=True)
        return [self._guess(one, share) for share, one in found[:limit]]

    def _guess(self, one: Identity, share: float) -> Guess:
        seen = one in self._trail.known
        like = None if seen else self._words.get((one.action, one.question, one.user))
        return Guess(*one, probability=share, seen=seen, like=like)

    def _candidates(self, now_s: float) -> dict[Identity, None]:
        """What may come next, the same in the same order each time."""
        trail = self._trail
        second, last = trail.before(now_s)
        found: dict[Identity, None] = {}
        found.update(dict.fromkeys(islice(reversed(trail.known), RECENT_MAX)))
        found.update(dict.fromkeys(trail.known[last].followers))
        found.update(dict.fromkeys(trail.known[second].second))
        found.update(dict.fromkeys(trail.known[START].followers))
        for place in {trail.opened: None, (last.workspace, last.path): None, (second.workspace, second.path): None}:
            found.update(dict.fromkeys(islice(reversed(trail.places.get(place, {})), PLACE_MAX)))
        found.update(dict.fromkeys(self._never_asked()))
        found.pop(START, None)
        return found

    def _never_asked(self) -> Iterator[Identity]:
        """What this person asks about other places, asked of what is worked on now."""
        trail = self._trail
        places = dict.fromkeys([*trail.edited][-1:-3:-1])
        workspace, path = trail.opened
        places.update(dict.fromkeys((workspace, path, symbol) for symbol in self._files.get(trail.opened, [])[:12]))
        for action, question, user in islice(reversed(self._words), WORDS_MAX):
            for where, file, symbol in places:
                yield Identity(action, where, file, symbol, question, user)

    def _vectors(self, candidates: dict[Identity, None], scene: Scene, now_s: float) -> list[list[float]]:
        templates = [scene.template(one) for one in candidates]
        crowds = Counter(templates)
        second, last = self._trail.before(now_s)
        followers, seconds = self._trail.known[last].followers, self._trail.known[second].second
        all_followers, all_seconds = sum(followers.values()) + 0.5, sum(seconds.values()) + 0.5
        likely = {one: self._habits.likelihoods(scene, one) for one in crowds}
        vectors = []
        for one, template in zip(candidates, templates, strict=True):
            crowd = math.log(crowds[template])
            coarse, fine = likely[template]
            known = self._trail.known.get(one)
            vector = [0.0 if known is None else 1.0, coarse - crowd, fine - crowd]
            vector += [0.0] * 4 if known is None else self._memory(known, now_s)
            vector += [followers.get(one, 0.0) / all_followers, seconds.get(one, 0.0) / all_seconds]
            vector += self._state(one, known, now_s)
            vectors.append(vector)
        return vectors

    @staticmethod
    def _memory(known: Known, now_s: float) -> list[float]:
        passed_s = max(0.0, now_s - known.last_s)
        return [
            math.log1p(known.short * math.exp2(-passed_s / SHORT_S)),
            math.log1p(known.long * math.exp2(-passed_s / LONG_S)),
            math.exp(-passed_s / 300),
            math.exp(-passed_s / 3600),
        ]

    def _state(self, one: Identity, known: Known | None, now_s: float) -> list[float]:
        """Whether it has its answer, or a new one is due."""
        if known is None:
            return [0.0] * 4
        edited_s = self._trail.edited.get(place_of(one), -math.inf)
        answered = float(edited_s <= known.last_s and now_s - known.last_s < 1800)
        time_s = now_s % DAY_S
        near = max((math.exp(-abs(one_s - time_s) / 1800) for one_s in known.times_s), default=0.0)
        today = float(now_s // DAY_S == known.last_s // DAY_S)
        return [answered, float(edited_s > known.last_s), near * (1 - today), today if not one.path else 0.0]
