"""The predictor: which request comes next, from what a person asked and worked on; it learns with each one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec

from beastmode.background.activity import Activity, Identity
from beastmode.background.evidence import FEATURES, Evidence
from beastmode.background.habits import Habits, Scene
from beastmode.background.ranking import Ranking
from beastmode.background.trail import START, File, Trail

RECENT_MAX = 50
PLACE_MAX = 30
FILES_MAX = 60
SYMBOLS_MAX = 40
WORDS_MAX = 8
NEW_PLACES_MAX = 8
NEW_SHARE = 0.15
"""What is left of the chance of something that was never asked: what was asked before goes before it."""

Words = tuple[str, str, str]
"""Action, digest of the words, user."""


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


class Learned(msgspec.Struct):
    """All that a predictor knows, as it can be kept.

    Attributes:
        trail: What was done lately.
        habits: What is usual.
        ranking: What counts how much.
        files: Symbols of files, in order; the file that was looked at last at the end.
        words: What was asked about files in which words, and where last.
        features: Names of the features that the ranking weighs.
    """

    trail: Trail = msgspec.field(default_factory=Trail)
    habits: Habits = msgspec.field(default_factory=Habits)
    ranking: Ranking = msgspec.field(
        default_factory=lambda: Ranking([*FEATURES.values()], [1.0] * len(FEATURES)),
    )
    files: dict[File, list[str]] = {}
    words: dict[Words, Identity] = {}
    features: list[str] = msgspec.field(default_factory=lambda: [*FEATURES])


class Predictor:
    """Learns from one event after the other, and guesses the next request.

    Args:
        learned: What is known already; it is changed.
    """

    def __init__(self, learned: Learned | None = None) -> None:
        self.learned = learned if learned is not None and learned.features == [*FEATURES] else Learned()

    def file(self, workspace: str, path: str, symbols: Sequence[str]) -> None:
        """Says which functions and classes a file has, in order."""
        files = self.learned.files
        files.pop((workspace, path), None)
        files[workspace, path] = [*symbols[:SYMBOLS_MAX]]
        if len(files) > FILES_MAX:
            del files[next(iter(files))]

    def observe(self, event: Activity) -> None:
        """Learns from what was done.

        Args:
            event: A request, or a sign from an editor.
        """
        learned = self.learned
        if not event.is_request:
            learned.trail.sign(event)
            return
        one = event.identity
        scene = Scene(learned.trail, event.at_s)
        candidates = self._candidates(event.at_s)
        if one in candidates:
            vectors = self._evidence(scene, event.at_s).of(candidates)
            learned.ranking.learn(vectors, candidates.index(one), learned.ranking.probabilities(vectors))
        learned.habits.learn(scene, scene.template(one))
        learned.trail.ask(event)
        if one.path:
            words = one.action, one.question, one.user
            learned.words.pop(words, None)
            learned.words[words] = one
            if len(learned.words) > WORDS_MAX * 4:
                del learned.words[next(iter(learned.words))]

    def guesses(self, now_s: float, context: Context | None = None, limit: int = 5) -> list[Guess]:
        """The most likely next requests, the likeliest first.

        Args:
            now_s: Wall clock.
            context: Which requests are meant; None: any.
            limit: How many.
        """
        wanted = context or Context()
        candidates = self._candidates(now_s)
        vectors = self._evidence(Scene(self.learned.trail, now_s), now_s).of(candidates)
        shares = self.learned.ranking.probabilities(vectors)
        known = self.learned.trail.known
        found = [
            (share if one in known else share * NEW_SHARE, one)
            for one, share in zip(candidates, shares, strict=True)
            if wanted.workspace in (None, one.workspace) and wanted.user in (None, one.user)
        ]
        found.sort(key=lambda pair: pair[0], reverse=True)
        return [self._guess(one, share) for share, one in found[:limit]]

    def _guess(self, one: Identity, share: float) -> Guess:
        seen = one in self.learned.trail.known
        like = None if seen else self.learned.words.get((one.action, one.question, one.user))
        return Guess(*one, probability=share, seen=seen, like=like)

    def _evidence(self, scene: Scene, now_s: float) -> Evidence:
        return Evidence(self.learned.trail, self.learned.habits, self.learned.files, scene, now_s)

    def _candidates(self, now_s: float) -> list[Identity]:
        """What may come next, the same in the same order each time."""
        trail = self.learned.trail
        second, last = trail.before(now_s)
        found: dict[Identity, None] = dict.fromkeys(islice(reversed(trail.known), RECENT_MAX))
        for table in (
            trail.known[last].followers if last in trail.known else {},
            trail.known[second].second if second in trail.known else {},
            trail.known[START].followers,
            trail.looked.get(trail.opened, {}),
            *(trail.companions.get(place, {}) for place in islice(reversed(trail.edited), 3)),
        ):
            found.update(dict.fromkeys(table))
        for place in dict.fromkeys((trail.opened, (last.workspace, last.path), (second.workspace, second.path))):
            found.update(dict.fromkeys(islice(reversed(trail.places.get(place, {})), PLACE_MAX)))
        found.update(dict.fromkeys(self._never_asked()))
        found.pop(START, None)
        return [*found]

    def _never_asked(self) -> Iterator[Identity]:
        """What this person asks about other places, asked of what is worked on now."""
        trail, learned = self.learned.trail, self.learned
        places = dict.fromkeys(islice(reversed(trail.edited), 2))
        symbols = learned.files.get(trail.opened, [])
        places.update(dict.fromkeys((*trail.opened, symbol) for symbol in symbols[:NEW_PLACES_MAX]))
        for action, question, user in islice(reversed(learned.words), WORDS_MAX):
            for workspace, path, symbol in places:
                yield Identity(action, workspace, path, symbol, question, user)
