"""What a person did lately, as the predictor sees it: what is asked after what, and what is worked on."""

from __future__ import annotations

import math
from collections import OrderedDict, deque

import msgspec

from beastmode.background.activity import Activity, Identity

DAY_S = 86_400.0
PAUSE_S = 3 * 3600.0
SHORT_S, LONG_S = 1800.0, 3 * DAY_S
KNOWN_MAX = 3_000
PLACES_MAX = 500
TIMES_MAX = 6
FOLLOWERS_MAX = 24

START = Identity("start")
"""Stands before the first request after a long pause."""

Place = tuple[str, str, str]
"""Workspace, file and symbol."""


class Known(msgspec.Struct):
    """What is known of one request.

    Attributes:
        last_s: When it was asked last.
        short: How often it was asked, where half is forgotten in half an hour.
        long: The same, in three days.
        times_s: Times of day it was asked at, the newest last; one a day.
        followers: What was asked after it, and how often.
        second: What was asked as the second thing after it.
    """

    last_s: float = 0.0
    short: float = 0.0
    long: float = 0.0
    times_s: list[float] = []
    followers: dict[Identity, float] = {}
    second: dict[Identity, float] = {}

    def now(self, at_s: float) -> None:
        """It is asked."""
        passed_s = max(0.0, at_s - self.last_s)
        self.short = self.short * math.exp2(-passed_s / SHORT_S) + 1.0
        self.long = self.long * math.exp2(-passed_s / LONG_S) + 1.0
        if not self.times_s or at_s // DAY_S != self.last_s // DAY_S:
            self.times_s = [*self.times_s, at_s % DAY_S][-TIMES_MAX:]
        self.last_s = at_s


class Trail:
    """What was done lately, and what is known of every request that was made.

    Attributes:
        known: What is known of each request, the one made last at the end.
        places: Requests about each file, the file that was asked about last at the end.
        asked: The last requests, the newest last.
        edited: Symbols that were edited, and when, the newest last.
        opened: Workspace and file that were looked at last.
        signal: What an editor told of since the last request: nothing, opened, edited, saved or switched.
    """

    def __init__(self) -> None:
        self.known: OrderedDict[Identity, Known] = OrderedDict({START: Known()})
        self.places: OrderedDict[tuple[str, str], dict[Identity, None]] = OrderedDict()
        self.asked: deque[Identity] = deque([START, START], maxlen=4)
        self.edited: OrderedDict[Place, float] = OrderedDict()
        self.opened: tuple[str, str] = ("", "")
        self.signal = ""
        self.last_s = -math.inf

    def before(self, now_s: float) -> tuple[Identity, Identity]:
        """The request before the last one, and the last one; after a long pause it is the start of something new."""
        if now_s - self.last_s > PAUSE_S:
            return self.asked[-1], START
        return self.asked[-2], self.asked[-1]

    def sign(self, event: Activity) -> None:
        """An editor told of a file."""
        if event.kind == "switched":
            self.signal = "switched"
            return
        if event.kind == "closed":
            return
        self.opened = event.workspace, event.path
        if event.kind == "opened":
            self.signal = self.signal or "opened"
            return
        self.signal = event.kind
        if event.symbol:
            _newest(self.edited, (event.workspace, event.path, event.symbol), event.at_s, PLACES_MAX)

    def ask(self, event: Activity) -> None:
        """A request was made."""
        one = event.identity
        second, last = self.before(event.at_s)
        if last == START:
            self.asked.append(START)
        for table in (self.known[last].followers, self.known[second].second):
            _followed(table, one)
        known = self.known.setdefault(one, Known())
        known.now(event.at_s)
        self.known.move_to_end(one)
        if one.path:
            place = one.workspace, one.path
            self.places.setdefault(place, {})[one] = None
            self.places.move_to_end(place)
            self.opened = place
        self.asked.append(one)
        self.signal = ""
        self.last_s = event.at_s
        self._bound()

    def _bound(self) -> None:
        """Forgets what was not asked for longest."""
        self.known.move_to_end(START)
        while len(self.known) > KNOWN_MAX:
            oldest, _ = self.known.popitem(last=False)
            place = oldest.workspace, oldest.path
            if place in self.places:
                self.places[place].pop(oldest, None)
                if not self.places[place]:
                    del self.places[place]


def _followed(table: dict[Identity, float], after: Identity) -> None:
    """Counts what came after; what came long ago counts less, and the rarest goes."""
    for one in table:
        table[one] *= 0.9
    table[after] = table.get(after, 0.0) + 1.0
    if len(table) > FOLLOWERS_MAX:
        del table[min(table, key=table.__getitem__)]


def _newest(table: OrderedDict[Place, float], place: Place, at_s: float, limit: int) -> None:
    table[place] = at_s
    table.move_to_end(place)
    if len(table) > limit:
        table.popitem(last=False)
