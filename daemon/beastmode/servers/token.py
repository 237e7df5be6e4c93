"""The token of the HTTP door: a private file, made when it is not there, changed when it is told."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path

from beastmode.core.errors import AccessError
from beastmode.core.statefile import read_private, write_private

PREFIX = "beast_"
RANDOM_BYTES = 32
SHORTEST_CHARS = 32


class Token:
    """The token in force.

    Args:
        file: Where it is kept.

    Attributes:
        value: It; empty before `load`.
    """

    def __init__(self, file: Path) -> None:
        self.value = ""
        self._file = file
        self._turn = asyncio.Lock()

    async def load(self) -> None:
        """Reads it, and makes one where there is none.

        Raises:
            AccessError: Others can read the file, it holds no token, or it can not be written.
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
            raise AccessError(
                f"{self._file} holds no token: it must be a line of {SHORTEST_CHARS} characters or more.",
                tips=[f"delete it, and the next start makes a new one: rm {self._file}"],
            )
        return token

    def _make(self) -> str:
        token = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
        write_private(self._file, token.encode() + b"\n")
        return token
