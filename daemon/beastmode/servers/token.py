"""The token of the HTTP door: a private file, made when it is not there, changed when it is told."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

from beastmode.core.clock import Clock
from beastmode.core.statefile import move_aside, read_private, write_private

PREFIX = "beast_"
RANDOM_BYTES = 32
SHORTEST_CHARS = 32


class Token:
    """The token in force.

    Args:
        file: Where it is kept.
        clock: Names a damaged file by the time.

    Attributes:
        value: It; empty before `load`.
        problem: What was wrong with the file.
    """

    def __init__(self, file: Path, clock: Clock) -> None:
        self.value = ""
        self.problem: str | None = None
        self._file = file
        self._clock = clock
        self._turn = asyncio.Lock()

    async def load(self) -> None:
        """Reads it, and makes one where there is none; a file that holds no token is moved aside.

        Raises:
            AccessError: Others can read the file, or it can not be written.
        """
        async with self._turn:
            self.value = await asyncio.to_thread(self._load)

    async def rotate(self) -> str:
        """Makes a new one; the old one opens nothing from the moment that the new one is on disk.

        Returns:
            The new one.

        Raises:
            AccessError: It can not be written; the old one is in force still.
        """
        async with self._turn:
            self.value = await asyncio.to_thread(self._make)
        return self.value

    def _load(self) -> str:
        content = read_private(self._file, secret=True)
        if content is None:
            return self._make()
        token = content.strip().decode("ascii", "replace")
        if len(token) < SHORTEST_CHARS or not all("!" <= one <= "~" for one in token):
            aside = move_aside(self._file, self._clock.wall_s())
            self.problem = f"{self._file} held no token; it is kept as {aside}, and a new token was made."
            return self._make()
        return token

    def _make(self) -> str:
        token = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
        write_private(self._file, token.encode() + b"\n")
        return token
