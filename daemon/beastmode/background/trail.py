"""What a person did lately, as the predictor sees it: what is asked after what, and what is worked on."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from beastmode.background.activity import Activity, Identity

DAY_S = 86_400.0
REST_S, PAUSE_S = 60.0, 3 * 3600.0
SHORT_S, LONG_S = 1800.0, 3 * DAY_S
KNOWN_MAX = 3_000
PLACES_MAX = 500
TIMES_MAX = 6
FOLLOWERS_MAX = 24
ASKED_MAX = 4
SITTING_MAX = 6

START = Identity("start")
"""Stands before the first request after a long pause."""

Place = tuple[str, str, str]
"""Workspace, file and symbol."""

File = tuple[str, str]
"""Workspace and file."""


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


class Trail(msgspec.Struct):
    """What was done lately, and what is known of every request that was made.

    Attributes:
        known: What is known of each request, the one made last at the end.
        places: Requests about each file, the file that was asked about last at the end.
        looked: What was asked first after a file was opened.
        companions: What was asked about other places in the sittings in which a symbol was edited.
        sitting: What was asked since the last rest.
        asked: The last requests, the newest last.
        edited: Symbols that were edited, and when, the newest last.
        opened: Workspace and file that were looked at last.
        fresh: It was opened since the last request.
        signal: What an editor told of since the last request: nothing, opened, edited, saved or switched.
        last_s: When the last request was made.
        moved_s: When anything was done last.
    """

    known: dict[Identity, Known] = msgspec.field(default_factory=lambda: {START: Known()})
    places: dict[File, dict[Identity, None]] = {}
    looked: dict[File, dict[Identity, float]] = {}
    companions: dict[Place, dict[Identity, float]] = {}
    sitting: list[Identity] = []
    asked: list[Identity] = msgspec.field(default_factory=lambda: [START, START])
    edited: dict[Place, float] = {}
    opened: File = ("", "")
    fresh: bool = False
    signal: str = ""
    last_s: float = 0.0
    moved_s: float = 0.0

    def rests(self, now_s: float) -> bool:
        """Nothing was done for some minutes: what comes now is the beginning of something."""
        return now_s - self.moved_s > REST_S

    def before(self, now_s: float) -> tuple[Identity, Identity]:
        """The request before the last one, and the last one; after a long pause it is the start of something new."""
        if now_s - self.last_s > PAUSE_S:
            return self.asked[-1], START
        return self.asked[-2], self.asked[-1]

    def sign(self, event: Activity) -> None:
        """An editor told of a file."""
        if event.kind == "closed":
            return
        self._sit(event.at_s)
        if event.symbol and event.kind != "switched":
            self._accompany((event.workspace, event.path, event.symbol), self.sitting)
            self.sitting.clear()
        if event.symbol:
            _renew(self.edited, (event.workspace, event.path, event.symbol), event.at_s, PLACES_MAX)
        if event.kind == "switched":
            self.signal = "switched"
            return
        if self.opened != (event.workspace, event.path):
            self.opened, self.fresh = (event.workspace, event.path), True
        if event.kind != "opened":
            self.signal = event.kind
        elif not self.signal:
            self.signal = "opened"

    def ask(self, event: Activity) -> None:
        """A request was made."""
        one = event.identity
        second, last = self.before(event.at_s)
        self._sit(event.at_s)
        self.sitting = [*self.sitting, one][-SITTING_MAX:]
        if last == START:
            self.asked.append(START)
        for before, name in ((last, "followers"), (second, "second")):
            if (earlier := self.known.get(before)) is not None:
                _followed(getattr(earlier, name), one)
        known = self.known.pop(one, None) or Known()
        known.now(event.at_s)
        self.known[one] = known
        if one.path:
            place = one.workspace, one.path
            if self.fresh and self.opened == place:
                looked = self.looked.pop(place, {})
                _followed(looked, one)
                _renew(self.looked, place, looked, PLACES_MAX)
            there = self.places.get(place, {})
            there.pop(one, None)
            there[one] = None
            _renew(self.places, place, there, KNOWN_MAX)
            self.opened, self.fresh = place, False
        self.asked = [*self.asked, one][-ASKED_MAX:]
        self.signal = ""
        self.last_s = event.at_s
        self._bound()

    def _sit(self, at_s: float) -> None:
        """Something is done; after a rest a new sitting begins."""
        if self.rests(at_s):
            self.fresh = True
            self.sitting.clear()
        self.moved_s = at_s

    def _accompany(self, place: Place, asked: list[Identity]) -> None:
        others = [one for one in asked if (one.workspace, one.path, one.symbol) != place]
        if others:
            table = self.companions.pop(place, {})
            for one in others:
                _followed(table, one)
            _renew(self.companions, place, table, PLACES_MAX)

    def _bound(self) -> None:
        """Forgets what was not asked for longest."""
        if len(self.known) <= KNOWN_MAX:
            return
        self.known[START] = self.known.pop(START)
        oldest = next(iter(self.known))
        del self.known[oldest]
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


def _renew(table: dict[Any, Any], key: Any, value: Any, limit: int) -> None:
    """Puts something at the end of a table; where that is full, the oldest goes."""
    table.pop(key, None)
    table[key] = value
    if len(table) > limit:
        del table[next(iter(table))]
