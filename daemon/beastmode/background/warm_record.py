"""What was asked ahead and what became of it: its precision, what may still cost money, and what survives a restart."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import msgspec

from beastmode.background.warm_wishes import Source
from beastmode.core.clock import Clock
from beastmode.core.errors import BadInputError, BeastError
from beastmode.core.statefile import move_aside, read_private, write_private

log = logging.getLogger(__name__)

SCHEMA = 1
MADE_MAX = 1_000
JUDGED_MIN, JUDGED_MAX = 20, 200
SHARE_MIN = 0.05
GUESS_HORIZON = 0.125
"""Of the horizon of the others: what is likely next is asked soon, or never."""


class Made(msgspec.Struct, omit_defaults=True):
    """An answer that was made ahead.

    Attributes:
        keys: The keys that it is stored under, in hex.
        at_s: Wall clock.
        source: Where the thought came from.
        used: A person got it.
    """

    keys: list[str]
    at_s: float
    source: Source
    used: bool = False


class Held(msgspec.Struct):
    """Money that a call may cost, from before it is made until what it cost is known.

    Attributes:
        workspace: Whose budget it is.
        usd: The most that it can cost.
        at_s: Wall clock.
    """

    workspace: str
    usd: float
    at_s: float


class _State(msgspec.Struct, omit_defaults=True):
    schema: int
    made: list[Made] = []
    held: dict[str, Held] = {}
    scheduled: str = ""
    entries: int = 0


class Record:
    """Remembers it in a small file.

    Args:
        file: Where.
        clock: Wall clock.

    Attributes:
        held: Money held, by the request.
        scheduled: The day of the last schedule, such as `2026-11-21`.
        entries: How many answers were stored when it was looked last.
        problem: What is wrong with the file, or None.
    """

    def __init__(self, file: Path, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._made: deque[Made] = deque(maxlen=MADE_MAX)
        self._waiting: dict[bytes, Made] = {}
        self._saving = asyncio.Lock()
        self._changed = False
        self.held: dict[str, Held] = {}
        self.scheduled = ""
        self.entries = 0
        self.problem: str | None = None

    async def load(self) -> None:
        """Reads the file; a damaged one is moved aside.

        Raises:
            BadInputError: A newer BEAST MODE wrote it.
        """
        raw = await asyncio.to_thread(read_private, self._file)
        if raw is None:
            return
        try:
            state = msgspec.json.decode(raw, type=_State)
        except (msgspec.DecodeError, RecursionError):
            await asyncio.to_thread(move_aside, self._file, self._clock.wall_s())
            self.problem = f"{self._file} was damaged and is set aside; what was asked ahead is counted anew."
            return
        if state.schema > SCHEMA:
            raise BadInputError(
                f"{self._file} was written by a newer BEAST MODE (schema {state.schema}; this one reads to {SCHEMA}).",
                tips=["install the newer version again: pip install --upgrade beastmode"],
            )
        for one in state.made:
            self._take(one)
        self.held, self.scheduled, self.entries = state.held, state.scheduled, state.entries

    async def save(self, *, always: bool = True) -> None:
        """Writes the file.

        Args:
            always: Also where nothing was noted since the last time.

        Raises:
            AccessError: The disk refuses.
        """
        if not always and not self._changed:
            return
        async with self._saving:
            self._changed = False
            state = _State(SCHEMA, [*self._made], dict(self.held), self.scheduled, self.entries)
            await asyncio.to_thread(write_private, self._file, msgspec.json.encode(state))

    async def save_soon(self) -> None:
        """Writes the file where there is something new; what the disk says is remembered, not raised."""
        try:
            await self.save(always=False)
        except BeastError as error:
            self._changed, self.problem = True, error.message

    def change(self) -> None:
        """Something is to be written with the next turn."""
        self._changed = True

    # -- precision ------------------------------------------------------------------------------------------------

    def made(self, keys: Iterable[bytes], source: Source, *, used: bool = False) -> None:
        """Notes an answer that was made ahead.

        Args:
            keys: The keys that it is stored under.
            source: Where the thought came from.
            used: A person has it already, who came while it was made.
        """
        self._take(Made([key.hex() for key in keys], self._clock.wall_s(), source, used))
        self._changed = True

    def used(self, key: bytes) -> bool:
        """Notes that a person got a stored answer.

        Args:
            key: Its key.

        Returns:
            Whether it was made ahead and had not been used.
        """
        one = self._waiting.pop(key, None)
        if one is None or one.used:
            return False
        one.used = self._changed = True
        return True

    def precision(self) -> tuple[int, int]:
        """How many of the answers that were made ahead were used, and how many there are; the last thousand count."""
        return sum(one.used for one in self._made), len(self._made)

    def share(self, source: Source, horizon_s: float, wanted: float) -> float:
        """How much of what a source has is asked ahead: all, or less the less of it is used.

        Args:
            source: Where the thoughts come from.
            horizon_s: So long an answer may wait for its use. What is younger is not judged yet.
            wanted: The share of answers that must be used.
        """
        until_s = self._clock.wall_s() - horizon_s * (GUESS_HORIZON if source == "guess" else 1.0)
        due = [one for one in self._made if one.source == source and one.at_s <= until_s][-JUDGED_MAX:]
        used, judged = sum(one.used for one in due), len(due)
        if source == "template" or judged < JUDGED_MIN or wanted <= 0 or used >= wanted * judged:
            return 1.0
        return max(SHARE_MIN, used / judged / wanted)

    def _take(self, one: Made) -> None:
        if len(self._made) == MADE_MAX:
            for key in self._made[0].keys:
                self._waiting.pop(bytes.fromhex(key), None)
        self._made.append(one)
        if not one.used:
            for key in one.keys:
                self._waiting[bytes.fromhex(key)] = one
