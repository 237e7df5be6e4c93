"""What was learned about pairs of prompts: denied for good, approved by a judge, served, and how often wrong."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import OrderedDict
from math import sqrt
from pathlib import Path
from typing import Literal

import msgspec

SERVED_MAX = 10_000
MIN_WRONG = 1
STRICTER = (0.0, 0.03, 0.049, 1.0)

Said = Literal["served", "denied", "approved", "right", "wrong"]


class Pair(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One thing that was learned, as a line of the file.

    Attributes:
        said: served, denied for good, approved by a judge; a checked hit was right or wrong.
        query: Exact key of the prompt that asked, in hex.
        entry: Exact key of the stored answer, in hex.
        group: Where its wrong hits are counted: scope and kind of prompt.
        request_id: The request, where it was served to one.
    """

    said: Said
    query: str
    entry: str
    group: str = ""
    request_id: str = ""


class Tally(msgspec.Struct):
    """Semantic hits of one group.

    Attributes:
        served: How many were served.
        wrong: How many of them were wrong.
    """

    served: int = 0
    wrong: int = 0


_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(Pair).decode


def wilson_upper(wrong: int, total: int, z: float = 1.96) -> float:
    """Upper end of Wilson's 95% interval of a share.

    Args:
        wrong: Cases that count.
        total: All cases; 0 gives 1.
        z: Quantile of the normal distribution.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    if not total:
        return 1.0
    share = wrong / total
    spread = z * sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return min(1.0, (share + z * z / (2 * total) + spread) / (1 + z * z / total))


class Pairs:
    """Everything learned about pairs, in memory and in one append-only file.

    Args:
        file: Where it is kept; it is small, and is read as a whole at the start.
        target: Share of wrong hits above which a group is served more carefully.
    """

    def __init__(self, file: Path, target: float) -> None:
        self._file = file
        self.target = target
        self._denied: set[tuple[str, str]] = set()
        self._approved: dict[str, str] = {}
        self._served: OrderedDict[str, Pair] = OrderedDict()
        self._groups: dict[str, Tally] = {}
        self._writing: asyncio.Task[None] | None = None
        self._unwritten: list[Pair] = []
        self.problem: str | None = None

    async def load(self) -> None:
        """Reads the file; a line that can not be read is passed over."""
        for pair in await asyncio.to_thread(_read, self._file):
            self._take(pair)

    def is_denied(self, query: bytes, entry: bytes) -> bool:
        """A person said that these two do not want the same answer, or asked for the answer to be forgotten."""
        return (query.hex(), entry.hex()) in self._denied

    def alias(self, query: bytes) -> bytes | None:
        """The entry whose answer a judge approved for this prompt."""
        found = self._approved.get(query.hex())
        return bytes.fromhex(found) if found is not None else None

    def stricter(self, group: str) -> float:
        """What is added to the threshold in a group; 1 or more means: exact only.

        Nothing is concluded from silence: a group is served more carefully once a hit was wrong and the bound passes
        the target, and by exact matches only after the third one.
        """
        tally = self._groups.get(group)
        if tally is None or tally.wrong < MIN_WRONG:
            return 0.0
        bound = wilson_upper(tally.wrong, tally.served)
        if bound <= self.target:
            return 0.0
        return STRICTER[min(tally.wrong, len(STRICTER) - 1)]

    def served(self, request_id: str, query: bytes, entry: bytes, group: str) -> None:
        """Takes note of a semantic hit, so that it can be rejected later by its request's id."""
        self._learn(Pair("served", query.hex(), entry.hex(), group, request_id))

    def deny(self, query: bytes, entry: bytes, group: str = "", request_id: str = "") -> None:
        """Denies a pair for good."""
        self._learn(Pair("denied", query.hex(), entry.hex(), group, request_id))

    def approve(self, query: bytes, entry: bytes) -> None:
        """Makes a prompt an alias of another."""
        self._learn(Pair("approved", query.hex(), entry.hex()))

    def checked(self, query: bytes, entry: bytes, group: str, right: bool) -> None:
        """Takes note of what a check of a hit found; a wrong one is denied for good."""
        self._learn(Pair("right" if right else "wrong", query.hex(), entry.hex(), group))

    def of_request(self, request_id: str) -> Pair | None:
        """The pair that was served to a request, among the last ten thousand."""
        return self._served.get(request_id)

    def stats(self) -> dict[str, object]:
        """Counts, and the bound of each group that has any."""
        return {
            "denied": len(self._denied),
            "approved": len(self._approved),
            "groups": {
                name: {
                    "served": tally.served,
                    "wrong": tally.wrong,
                    "wrong_upper_bound": wilson_upper(tally.wrong, tally.served),
                    "stricter": self.stricter(name),
                }
                for name, tally in self._groups.items()
            },
        }

    def clear(self) -> None:
        """Forgets what was served and approved; what a person denied stays denied."""
        self._approved.clear()
        self._served.clear()
        self._groups.clear()

    def _take(self, pair: Pair) -> None:
        if pair.said == "served":
            self._served[pair.request_id] = pair
            if len(self._served) > SERVED_MAX:
                self._served.popitem(last=False)
            self._tally(pair).served += 1
        elif pair.said == "approved":
            self._approved[pair.query] = pair.entry
        elif pair.said in ("denied", "wrong"):
            self._denied.add((pair.query, pair.entry))
            self._approved.pop(pair.query, None)
            if pair.group:
                self._tally(pair).wrong += 1

    def _tally(self, pair: Pair) -> Tally:
        return self._groups.setdefault(pair.group, Tally())

    def _learn(self, pair: Pair) -> None:
        self._take(pair)
        self._unwritten.append(pair)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.ensure_future(self._write())

    async def _write(self) -> None:
        while self._unwritten:
            lines, self._unwritten = self._unwritten, []
            try:
                await asyncio.to_thread(_append, self._file, lines)
                self.problem = None
            except OSError as error:
                self.problem = f"What was learned about pairs of prompts can not be written to {self._file}: {error}."

    async def close(self) -> None:
        """Writes what is left."""
        if self._writing is not None:
            await self._writing


def _read(file: Path) -> list[Pair]:
    pairs = []
    with contextlib.suppress(FileNotFoundError):
        for line in file.read_bytes().splitlines():
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                pairs.append(_DECODE(line))
    return pairs


def _append(file: Path, pairs: list[Pair]) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, b"".join(_ENCODE(pair) + b"\n" for pair in pairs))
    finally:
        os.close(descriptor)
