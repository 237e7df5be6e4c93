"""Keeps silent streams alive: whoever has heard nothing for ten seconds gets a ping; one timer for all."""

from __future__ import annotations

import asyncio
from typing import Protocol

TURN_S = 5.0
SILENT_TURNS = 2


class Silent(Protocol):
    """A stream that may fall silent.

    Attributes:
        silent_turns: Turns of the timer since it last said something; it sets this to 0 itself.
    """

    silent_turns: int

    def ping(self) -> None:
        """Says that the stream is alive."""


class Pings:
    """Watches streams.

    Args:
        turn_s: Seconds between two looks; a stream is pinged after two or three of them.
    """

    def __init__(self, turn_s: float = TURN_S) -> None:
        self._turn_s = turn_s
        self._streams: set[Silent] = set()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, stream: Silent) -> None:
        """Begins to watch a stream."""
        self._streams.add(stream)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._turn_s, self._look)

    def forget(self, stream: Silent) -> None:
        """Stops watching a stream."""
        self._streams.discard(stream)

    def close(self) -> None:
        """Stops watching all."""
        self._streams.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = None
        for stream in list(self._streams):
            stream.silent_turns += 1
            if stream.silent_turns >= SILENT_TURNS:
                stream.silent_turns = 0
                stream.ping()
        if self._streams:
            self._timer = asyncio.get_running_loop().call_later(self._turn_s, self._look)
