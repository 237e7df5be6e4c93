"""What dashboards show, kept fresh while somebody looks: counted once for all, sent when it changed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from beastmode.core.clock import Clock

log = logging.getLogger(__name__)

TICK_S = 0.25
PING_S = 1.0
SHORTEST_S = 0.05
IDLE_S = 2.0
"""So often at most a part is counted anew while no request comes: time goes on, and rows leave the window."""
SHARE = 0.01
"""Of the time, spent on counting a part; its bounds may make it more or less."""

_encode = msgspec.json.Encoder().encode

Count = Callable[[], Awaitable[Any]]


class Part:
    """One part of what is shown.

    Args:
        name: Its field in a frame.
        count: Makes it; slow work happens off the loop.
        pace_s: Seconds between two counts: at least, at most.
        share: Of the time, to be spent on it: what takes long is counted less often.
        always: It changes without requests too.

    Attributes:
        value: As it was counted last.
        raw: The same as JSON.
        seq: The number of its last change; 0: it was never counted.
        counting: The count that is under way.
    """

    def __init__(
        self,
        name: str,
        count: Count,
        pace_s: tuple[float, float],
        *,
        share: float = SHARE,
        always: bool = False,
    ) -> None:
        self.name = name
        self.value: Any = None
        self.raw = b"null"
        self.seq = 0
        self.counting: asyncio.Task[None] | None = None
        self._count = count
        self._pace_s = pace_s
        self._share = share
        self._always = always
        self._revision = -1
        self._next_s = self._again_s = 0.0

    @property
    def is_quick(self) -> bool:
        """A frame waits for it."""
        return self._pace_s[0] <= TICK_S or not self.seq

    def is_due(self, now_s: float, revision: int) -> bool:
        """Whether it should be counted now.

        Args:
            now_s: Monotonic clock.
            revision: Changes with every request.
        """
        if self.counting is not None or now_s < self._next_s:
            return False
        return self._always or revision != self._revision or now_s >= self._again_s

    async def refresh(
        self, clock: Clock, revision: int, number: Callable[[], int], spent_s: Callable[[], float]
    ) -> None:
        """Counts it; a failure is logged, and shown as null.

        Args:
            clock: Time.
            revision: Before the count.
            number: Gives the number of a change.
            spent_s: Gives the CPU that counting has taken so far.
        """
        began_s, before_s = clock.mono_s(), spent_s()
        try:
            value = await self._count()
            raw = _encode(value)
        except Exception:
            log.exception("a part of the dashboard failed", extra={"fields": {"part": self.name}})
            value, raw = None, b"null"
        took_s = spent_s() - before_s
        shortest_s, longest_s = self._pace_s
        pause_s = min(max(took_s / self._share, shortest_s), longest_s)
        self._next_s = began_s + pause_s - SHORTEST_S
        self._again_s = began_s + max(IDLE_S, shortest_s)
        self._revision = revision
        if raw != self.raw or not self.seq:
            self.value, self.raw, self.seq = value, raw, number()
        self.counting = None


class Frame:
    """What changed since a viewer's last frame.

    Args:
        seq: Number of the newest change in it.
        at_s: Wall clock.
        parts: What changed.
    """

    def __init__(self, seq: int, at_s: float, parts: Sequence[Part]) -> None:
        self.seq = seq
        self.at_s = at_s
        self.parts = parts
        self._event: bytes | None = None

    @property
    def event(self) -> bytes:
        """As a server-sent event; written once for all who get it."""
        if self._event is None:
            fields = b"".join(b',"%b":%b' % (part.name.encode(), part.raw) for part in self.parts)
            head = b'id: %d\ndata: {"seq":%d,"at_s":%.3f' % (self.seq, self.seq, self.at_s)
            self._event = b"%b%b}\n\n" % (head, fields)
        return self._event


class Viewer(ABC):
    """Somebody who looks.

    Attributes:
        seq: The newest change that was sent.
        sent_s: When something was sent; monotonic clock.
    """

    seq = 0
    sent_s = 0.0

    @property
    def ready(self) -> bool:
        """Has taken in what was sent; who has not waits for the newest frame."""
        return True

    @abstractmethod
    def show(self, frame: Frame) -> None:
        """Sends a frame."""

    def ping(self, at_s: float) -> None:  # noqa: B027 - not everybody wants to hear it
        """Says that nothing changed."""

    @abstractmethod
    def leave(self) -> None:
        """Is told that there is nothing more to see: the daemon ends, or the session is over."""


class Board:
    """What the viewers of one view see.

    Args:
        parts: Its own parts and those that all boards share.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = parts
        self.viewers: set[Viewer] = set()

    def emit(self, now_s: float, at_s: float) -> None:
        """Sends everyone what they have not seen; who saw the same gets the same bytes."""
        seq = max(part.seq for part in self.parts)
        frames: dict[int, Frame] = {}
        for viewer in list(self.viewers):
            if not viewer.ready or now_s - viewer.sent_s < TICK_S - SHORTEST_S:
                continue
            if viewer.seq >= seq:
                if now_s - viewer.sent_s >= PING_S:
                    viewer.sent_s = now_s
                    viewer.ping(at_s)
                continue
            frame = frames.get(viewer.seq)
            if frame is None:
                fresh = [part for part in self.parts if part.seq > viewer.seq]
                frame = frames[viewer.seq] = Frame(seq, at_s, fresh)
            viewer.seq, viewer.sent_s = seq, now_s
            viewer.show(frame)


class Live:
    """Keeps boards fresh while they have viewers; costs nothing without.

    Args:
        clock: Time.
        revision: Changes with every request.
        spent_s: Gives the CPU that counting has taken so far.
        epoch: Changes when every viewer has to leave.
        parts_of: Makes the parts of a view.
        shared: Parts that every board has.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        revision: Callable[[], int],
        spent_s: Callable[[], float],
        epoch: Callable[[], str],
        parts_of: Callable[[Any], Sequence[Part]],
        shared: Sequence[Part],
    ) -> None:
        self._clock = clock
        self._revision = revision
        self._spent_s = spent_s
        self._epoch_now = epoch
        self._epoch = ""
        self._parts_of = parts_of
        self._shared = list(shared)
        self._boards: dict[Any, Board] = {}
        self._count = 0
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()

    @property
    def viewers(self) -> int:
        """How many look."""
        return sum(len(board.viewers) for board in self._boards.values())

    def watch(self, view: Any, viewer: Viewer) -> None:
        """Begins to show a view to somebody.

        Args:
            view: What they want to see; equal views are counted once.
            viewer: Who.
        """
        board = self._boards.get(view)
        if board is None:
            board = self._boards[view] = Board([*self._parts_of(view), *self._shared])
        board.viewers.add(viewer)
        self._wake.set()
        if self._task is None or self._task.done():
            self._epoch = self._epoch_now()
            self._task = asyncio.get_running_loop().create_task(self._run())

    def forget(self, view: Any, viewer: Viewer) -> None:
        """Shows it no more to somebody.

        Args:
            view: What they saw.
            viewer: Who.
        """
        board = self._boards.get(view)
        if board is not None:
            board.viewers.discard(viewer)
            if not board.viewers:
                del self._boards[view]

    async def close(self) -> None:
        """Tells everybody to leave, and stops counting."""
        self._dismiss()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _dismiss(self) -> None:
        for board in list(self._boards.values()):
            for viewer in list(board.viewers):
                viewer.leave()
        self._boards.clear()

    def _number(self) -> int:
        self._count += 1
        return self._count

    async def _run(self) -> None:
        while self._boards:
            began_s = self._clock.mono_s()
            self._wake.clear()
            if self._epoch_now() != self._epoch:
                self._dismiss()
                return
            await self._refresh(began_s)
            for board in list(self._boards.values()):
                board.emit(self._clock.mono_s(), self._clock.wall_s())
            rest_s = max(SHORTEST_S, TICK_S - (self._clock.mono_s() - began_s))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), rest_s)

    async def _refresh(self, now_s: float) -> None:
        """Counts what is due, and waits for what is quick."""
        revision = self._revision()
        loop = asyncio.get_running_loop()
        quick = []
        for part in {part: None for board in self._boards.values() for part in board.parts}:
            if part.is_due(now_s, revision):
                part.counting = loop.create_task(part.refresh(self._clock, revision, self._number, self._spent_s))
                if part.is_quick:
                    quick.append(part.counting)
        if quick:
            await asyncio.wait(quick, timeout=TICK_S)
