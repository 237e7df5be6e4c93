"""Identical requests in flight: one upstream call, any number of waiters, none of whom can end it for the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from traceback import clear_frames
from typing import Any, Generic, TypeVar

from beastmode.core.deltas import Begun, Delta, OnDelta, Relayed, Thought
from beastmode.core.deployments import Deployment
from beastmode.core.errors import BeastError
from beastmode.core.types import Gathered

T = TypeVar("T")

REPLAY_MAX_BYTES = 1 << 20


class Flight(Generic[T]):
    """One upstream call and everyone who waits for it.

    Attributes:
        first_delta_s: Clock of the first piece of the answer, None before it.
        deployment: The deployment that was called last; None before the first call.
        stopped_by: Why the daemon itself ended the call, None where it did not.
        gathered: What was found in the workspace for it; None where nothing is looked for, or not yet found.
    """

    def __init__(self, mono_s: Callable[[], float], gathers: bool = False) -> None:
        self._mono_s = mono_s
        self._deltas: list[Delta] = []
        self._size_bytes = 0
        self._followers: dict[asyncio.Future[T], OnDelta | None] = {}
        self._task: asyncio.Task[T] | None = None
        self._ending = False
        self.first_delta_s: float | None = None
        self.deployment: Deployment | None = None
        self.stopped_by: BeastError | None = None
        self.gathered: Gathered | None = None
        self._gathering = asyncio.Event() if gathers else None
        self._boarding = 0

    def start(self, work: Coroutine[Any, Any, T]) -> None:
        """Begins the upstream call in a task of its own, which no single waiter owns."""
        self._task = asyncio.get_running_loop().create_task(work)
        self._task.add_done_callback(self._landed)

    @property
    def task(self) -> asyncio.Task[T]:
        """The call itself."""
        assert self._task is not None
        return self._task

    @property
    def open(self) -> bool:
        """A newcomer can still be shown all that has come so far."""
        return self._size_bytes <= REPLAY_MAX_BYTES and not self._ending

    @property
    def delivered(self) -> bool:
        """A piece of the answer has come, so that the call can not be tried elsewhere any more."""
        return self.first_delta_s is not None

    @property
    def watched(self) -> bool:
        """Somebody wants the answer piece by piece."""
        return any(self._followers.values())

    def delta(self, delta: Delta) -> None:
        """Hands a piece to every follower, and keeps it for those who join late, up to a bound."""
        if not delta:
            return
        if self.first_delta_s is None and type(delta) is not Begun:
            self.first_delta_s = self._mono_s()
        if self._size_bytes <= REPLAY_MAX_BYTES:
            self._deltas.append(delta)
            self._size_bytes += _size_bytes(delta)
            if self._size_bytes > REPLAY_MAX_BYTES:
                self._deltas.clear()
        for on_delta in list(self._followers.values()):
            if on_delta is not None:
                on_delta(delta)

    async def wait(self, on_delta: OnDelta | None) -> T:
        """Waits for the answer; a follower that is cancelled leaves the call to the others.

        Args:
            on_delta: Gets the answer from its beginning, piece by piece; None: only the whole is wanted.

        Returns:
            What the call returned. The last waiter to leave ends the call.
        """
        if self.task.done():
            return self.task.result()
        if on_delta is not None:
            for delta in self._deltas:
                on_delta(delta)
        me: asyncio.Future[T] = self.task.get_loop().create_future()
        self._followers[me] = on_delta
        try:
            return await me
        except asyncio.CancelledError:
            if self.stopped_by is not None:
                raise self.stopped_by from None
            raise
        finally:
            del self._followers[me]
            del me  # an error in it would hold this frame, which holds it
            self._left()

    @contextmanager
    def boarding(self) -> Iterator[None]:
        """Keeps the call in the air for somebody who has yet to see whether it is what is wanted."""
        self._boarding += 1
        try:
            yield
        finally:
            self._boarding -= 1
            self._left()

    def found(self, gathered: Gathered) -> None:
        """Says what was found."""
        self.gathered = gathered
        if self._gathering is not None:
            self._gathering.set()

    async def made_from(self) -> Gathered | None:
        """Waits until it is known what the answer is made from; None where the call ended before."""
        if self._gathering is not None and self.gathered is None:
            await self._gathering.wait()
        return self.gathered

    @property
    def landed(self) -> bool:
        """The call has ended."""
        return self._task is None or self._task.done()

    def _left(self) -> None:
        if not self._followers and not self._boarding:
            self._end()

    def land(self, result: T) -> None:
        """Tells everyone who waits of the answer at once, not a turn of the loop after the call's task has ended.

        Args:
            result: What the call returns.
        """
        if self._task is not None:
            self._task.remove_done_callback(self._landed)
            self._task = None
        if self._gathering is not None:
            self._gathering.set()
        for waiter in self._followers:
            if not waiter.done():
                waiter.set_result(result)

    def _landed(self, task: asyncio.Task[T]) -> None:
        """Tells everyone who waits how the call ended."""
        self._task = None  # an error in it would hold frames that hold this flight
        if self._gathering is not None:
            self._gathering.set()
        error = None if task.cancelled() else task.exception()
        for waiter in self._followers:
            if waiter.done():
                continue
            if task.cancelled():
                waiter.cancel()
            elif error is not None:
                waiter.set_exception(error)
            else:
                waiter.set_result(task.result())

    def stop(self, reason: BeastError) -> None:
        """Ends the call for everyone, who are told why."""
        self.stopped_by = reason
        self._end()

    def _end(self) -> None:
        # One turn of the loop later: a task that is cancelled before its first step would never run its `finally`.
        self._ending = True
        if self._task is not None:
            self._task.get_loop().call_soon(self._task.cancel)


class Flights(Generic[T]):
    """All upstream calls in flight, by the exact key of what they answer."""

    def __init__(self, mono_s: Callable[[], float]) -> None:
        self._mono_s = mono_s
        self._shared: dict[bytes, Flight[T]] = {}
        self._all: set[Flight[T]] = set()

    def __len__(self) -> int:
        return len(self._all)

    def joinable(self, key: bytes) -> Flight[T] | None:
        """The flight that will answer this key, where a newcomer can still join it."""
        flight = self._shared.get(key)
        return flight if flight is not None and flight.open else None

    def launch(
        self, key: bytes | None, work: Callable[[Flight[T]], Coroutine[Any, Any, T]], *, gathers: bool = False
    ) -> Flight[T]:
        """Starts a call.

        Args:
            key: The key others may join it by; None: nobody may.
            work: Makes the call; is given the flight for its deltas.
            gathers: Something is looked for in the workspace first.
        """
        flight: Flight[T] = Flight(self._mono_s, gathers)
        self._all.add(flight)
        if key is not None:
            self._shared[key] = flight

        async def guarded() -> T:
            try:
                result = await work(flight)
            except BaseException as error:
                _empty_frames(error)
                raise
            finally:
                self._all.discard(flight)
                if key is not None and self._shared.get(key) is flight:
                    del self._shared[key]
            flight.land(result)
            return result

        flight.start(guarded())
        return flight

    async def landed(self) -> None:
        """Waits until every call has ended."""
        while self._all:
            await asyncio.wait([flight.task for flight in self._all])

    def stop(self, reason: BeastError) -> None:
        """Ends every call, for a shutdown."""
        for flight in list(self._all):
            flight.stop(reason)


def _empty_frames(error: BaseException) -> None:
    """Empties the frames that an error came through, and those of what caused it.

    They hold the request, the flight and at last the error itself: all that would wait for the garbage collector, and a
    breaker that remembers the error would keep the request.
    """
    seen: set[int] = set()
    found: list[BaseException | None] = [error]
    while found:
        one = found.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            clear_frames(one.__traceback__)
            found += (one.__cause__, one.__context__)


def _size_bytes(delta: Delta) -> int:
    """About how much memory a piece takes."""
    if type(delta) is str:
        return len(delta) + 50
    if type(delta) is Relayed:
        return len(delta.data) + 100
    return (len(delta.text) if type(delta) is Thought else 0) + 300
