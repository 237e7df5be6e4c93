"""Which folders may be read, as their user said, and which of them were open: `state/workspaces.json`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from beastmode.core.clock import Clock, rfc3339
from beastmode.core.errors import BadInputError
from beastmode.core.statefile import move_aside, read_private, write_private

SCHEMA = 1


class Agreement(msgspec.Struct, kw_only=True):
    """What was said of a folder.

    Attributes:
        agreed: It may be read.
        open: It was open when last heard of.
        at: When that was said.
    """

    agreed: bool
    open: bool = False
    at: str = ""


class _Head(msgspec.Struct):
    schema: int


class _File(msgspec.Struct):
    schema: int
    workspaces: dict[str, Agreement]


class Agreements:
    """What the user said of folders.

    Args:
        file: Where it is kept.
        clock: Time.

    Attributes:
        problem: What is wrong with the file.
    """

    def __init__(self, file: Path, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        self._known: dict[str, Agreement] = {}
        self._lock = asyncio.Lock()
        self.problem: str | None = None

    async def load(self) -> None:
        """Reads the file. A damaged one is moved aside and named in `problem`.

        Raises:
            BadInputError: A newer BEAST MODE wrote it.
            AccessError: Others can write it.
        """
        self._known, self.problem = await asyncio.to_thread(self._read)

    def _read(self) -> tuple[dict[str, Agreement], str | None]:
        content = read_private(self._file)
        if content is None:
            return {}, None
        try:
            schema = msgspec.json.decode(content, type=_Head).schema
            if schema > SCHEMA:
                raise BadInputError(
                    f"{self._file} was written by a newer BEAST MODE (schema {schema}; this one reads up to {SCHEMA}).",
                    tips=[
                        "install the newer version again: pip install --upgrade beastmode",
                        "or set BEAST_HOME to another folder",
                    ],
                )
            return msgspec.json.decode(content, type=_File).workspaces, None
        except (ValueError, RecursionError):
            place = move_aside(self._file, self._clock.wall_s())
            return {}, f"{self._file} was damaged and is now {place}; no workspace is open."

    def of(self, root: str) -> Agreement | None:
        """What was said of a folder; None: nothing.

        Args:
            root: Its real path.
        """
        return self._known.get(root)

    def all(self) -> dict[str, Agreement]:
        """What was said of every folder."""
        return dict(self._known)

    async def note(self, root: str, *, agreed: bool, open: bool) -> None:
        """Remembers what was said; on disk when this returns.

        Args:
            root: The folder's real path.
            agreed: It may be read.
            open: It is open.

        Raises:
            AccessError: It can not be written.
        """
        former = self._known.get(root)
        if former is None or (former.agreed, former.open) != (agreed, open):
            at = rfc3339(self._clock.wall_s())
            await self._change({**self._known, root: Agreement(agreed=agreed, open=open, at=at)})

    async def forget(self, root: str) -> None:
        """Forgets what was said; on disk when this returns.

        Args:
            root: The folder's real path.

        Raises:
            AccessError: It can not be written.
        """
        await self._change({one: said for one, said in self._known.items() if one != root})

    async def _change(self, known: dict[str, Agreement]) -> None:
        self._known = known
        async with self._lock:  # the last writer writes what holds by then
            content = msgspec.json.encode(_File(SCHEMA, self._known))
            await asyncio.to_thread(write_private, self._file, msgspec.json.format(content) + b"\n")
        self.problem = None
