"""What is learned from people's requests: guesses of the next one, and how often such guesses were right."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from pathlib import Path

import msgspec

from beastmode.background.accuracy import TOP, Accuracy
from beastmode.background.activity import Activities, Activity
from beastmode.background.predicting import Context, Guess, Learned, Predictor
from beastmode.core.clock import Clock
from beastmode.core.errors import AccessError
from beastmode.core.statefile import read_private, write_private

log = logging.getLogger(__name__)

SCHEMA = 1
SAVE_EVERY = 200
GAP_S = 0.002
"""Pause after each event: the event loop gets its turn while much is learned at once."""


class Snapshot(msgspec.Struct):
    """What was learned, as it is kept in a file. It is derived: without it all is learned again from the journal.

    Attributes:
        schema: Version of the format.
        events: How many requests were learned from.
        since_s: When the first of them was made.
        until_s: When the last activity was that is in it.
        learned: What the predictor knows.
        accuracy: How often it was right.
    """

    schema: int = SCHEMA
    events: int = 0
    since_s: float | None = None
    until_s: float = 0.0
    learned: Learned = msgspec.field(default_factory=Learned)
    accuracy: Accuracy = msgspec.field(default_factory=Accuracy)


class Patterns:
    """Guesses, and what they were worth.

    Learning happens in a thread, one event at a time; a guess waits for one event at most.

    Args:
        activity: What people do.
        clock: Time.
        file: Where what was learned is kept; None: nowhere.
    """

    def __init__(self, activity: Activities, clock: Clock, file: Path | None = None) -> None:
        self._activity = activity
        self._clock = clock
        self._file = file
        self._lock = threading.Lock()
        self._pending: deque[Activity | None] = deque()
        self._work: asyncio.Task[None] | None = None
        self._ended = False
        self._unsaved = 0
        self._begin(Snapshot())
        activity.listeners.append(self._hear)

    async def start(self) -> None:
        """Takes up what was learned before, and learns from what came since."""
        found = await asyncio.to_thread(self._read)
        with self._lock:
            self._begin(found)
        for one in self._activity.all():
            if one.at_s > found.until_s:
                self._hear(one)

    async def close(self) -> None:
        """Ends; what is not learned yet is learned from the journal the next time."""
        self._ended = True
        if self._work is not None:
            await self._work
        await asyncio.to_thread(self._save)

    async def settled(self) -> None:
        """Waits until all that was noted is learned."""
        while self._work is not None and not self._work.done():
            await asyncio.shield(self._work)

    def relearn(self) -> None:
        """Forgets what was learned, and learns again from what the journal still has."""
        with self._lock:
            self._pending.clear()
            self._begin(Snapshot())
            self._unsaved = SAVE_EVERY
        for one in self._activity.all():
            self._hear(one)
        if not self._pending:
            self._pending.append(None)
            self._learn_soon()

    def file(self, workspace: str, path: str, symbols: list[str]) -> None:
        """Says which functions and classes a file has, in order. May be called in a thread."""
        with self._lock:
            self._predictor.file(workspace, path, symbols)

    def guesses(self, context: Context | None = None, limit: int = TOP) -> list[Guess]:
        """The most likely next requests, the likeliest first.

        Args:
            context: Which requests are meant; None: any.
            limit: How many.
        """
        with self._lock:
            return self._predictor.guesses(self._clock.wall_s(), context, limit)

    def accuracy(self) -> dict[str, object]:
        """`{n, top1, top5, recurring, frequency_only, last_only}`; shares are None where nothing was asked yet."""
        with self._lock:
            return self._snapshot.accuracy.shares()

    @property
    def events(self) -> int:
        """How many requests were learned from."""
        return self._snapshot.events

    @property
    def since_s(self) -> float | None:
        """When the first of them was made; None: there was none."""
        return self._snapshot.since_s

    def _begin(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._predictor = Predictor(snapshot.learned)

    def _hear(self, one: Activity) -> None:
        self._pending.append(one)
        self._learn_soon()

    def _learn_soon(self) -> None:
        if self._work is None or self._work.done():
            self._work = asyncio.ensure_future(self._learn_all())

    async def _learn_all(self) -> None:
        while self._pending and not self._ended:
            await asyncio.to_thread(self._learn_pending)

    def _learn_pending(self) -> None:
        while not self._ended:
            with self._lock:  # what is forgotten meanwhile is not learned
                if not self._pending:
                    break
                one = self._pending.popleft()
                if one is not None:
                    self._learn(one)
            time.sleep(GAP_S)
        if self._unsaved >= SAVE_EVERY:
            self._save()

    def _learn(self, one: Activity) -> None:
        snapshot = self._snapshot
        if one.is_request:
            guessed = self._predictor.guesses(one.at_s, Context(user=one.user), TOP)
            snapshot.accuracy.measure([guess.identity for guess in guessed], one.identity)
            snapshot.events += 1
            snapshot.since_s = one.at_s if snapshot.since_s is None else snapshot.since_s
        self._predictor.observe(one)
        snapshot.until_s = max(snapshot.until_s, one.at_s)
        self._unsaved += 1

    def _save(self) -> None:
        if self._file is None or not self._unsaved:
            return
        with self._lock:
            self._snapshot.learned = self._predictor.learned
            content = msgspec.msgpack.encode(self._snapshot)
            self._unsaved = 0
        with contextlib.suppress(AccessError):  # it is derived from the journal, whose trouble health tells
            write_private(self._file, content)

    def _read(self) -> Snapshot:
        with contextlib.suppress(AccessError, msgspec.MsgspecError, ValueError, RecursionError):
            content = read_private(self._file) if self._file is not None else None
            if content is not None:
                found = msgspec.msgpack.decode(content, type=Snapshot)
                if found.schema == SCHEMA:
                    return found
        return Snapshot()
