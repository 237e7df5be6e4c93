"""Answers that were made from pieces of a workspace: which of an entry's variants holds now, and how many are kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from beastmode.cache.flight import Flight
from beastmode.cache.key import Key
from beastmode.cache.lookup import Found, Lookup
from beastmode.cache.memory import variant_bytes
from beastmode.core.types import Entry, Piece, Request, Variant

log = logging.getLogger(__name__)

VARIANTS_MAX = 8
VARIANTS_MAX_BYTES = 256 << 10
PIECES_MAX = 512


class Truth(Protocol):
    """Knows what the files of a workspace are at this moment."""

    async def hold(self, root: str, pieces: Sequence[Piece], opened: Mapping[str, str] = ...) -> list[Piece] | None:
        """The pieces as they lie now; None where one is not what it was."""


class Held(msgspec.Struct, frozen=True):
    """A stored answer that is true now.

    Attributes:
        found: The entry, that answer in front, and the tier that had it.
        sources: What it was made from, as it lies now.
    """

    found: Found
    sources: list[Piece]


class Variants:
    """Chooses between the answers of an entry, and keeps them. Nothing that it says outlives the call.

    Args:
        lookup: The tiers.
        truth: Asked at every hit; None: no such answer is ever served.

    Attributes:
        stale: Requests for which something was stored, and nothing of it was true any more.
        used: Told of each such answer that was served or stored, with its request.
    """

    def __init__(self, lookup: Lookup, truth: Truth | None = None) -> None:
        self._lookup = lookup
        self.truth = truth
        self.stale = 0
        self.used: Callable[[Request, Entry], None] | None = None
        self._storing = asyncio.Lock()

    async def hold(self, request: Request, pieces: Sequence[Piece]) -> list[Piece] | None:
        """Says whether what an answer was made from is still the same.

        Args:
            request: Names the workspace, and unsaved texts that win over its files.
            pieces: What it was made from.

        Returns:
            The pieces as they lie now; None where one is not what it was, or nobody can tell.
        """
        if self.truth is None or request.workspace is None:
            return None
        try:
            return await self.truth.hold(request.workspace, pieces, request.opened)
        except Exception:
            log.warning("what an answer was made from can not be compared, counted as changed", exc_info=True)
            return None

    async def fitting(self, request: Request, found: Found) -> Held | None:
        """Finds the answer of an entry that is true now, the one used last first, and puts it in front.

        Args:
            request: What is asked.
            found: What is stored for it.
        """
        for number, entry in enumerate(fronts(found.entry)):
            sources = await self.hold(request, entry.pieces) if entry.pieces else None
            if sources is not None:
                if number:
                    await self._put_in_front(entry)
                if self.used is not None:
                    self.used(request, entry)
                return Held(Found(entry, found.tier), sources)
        return None

    async def suiting(self, request: Request, flight: Flight[Any]) -> list[Piece] | None:
        """Says whether the answer to an identical request serves here too: it may be made from what was edited since.

        Args:
            request: What is asked.
            flight: Answers the other one.

        Returns:
            What its answer is made from, as it lies now; None where that has changed, or it can not be joined any more.
        """
        gathered = await flight.made_from()
        sources = await self.hold(request, gathered.pieces) if gathered is not None else None
        return sources if flight.open and not flight.landed else None

    def came_after(self, key: Key, seen: Entry | None) -> bool:
        """Says whether another answer was stored while the files of one were looked at.

        Args:
            key: Of the request.
            seen: The entry that was looked at; None: there was none.
        """
        found = self._lookup.recall(key) if seen is not None else None
        return found is not None and found.entry is not seen

    async def keep(self, request: Request, entry: Entry, store: Callable[[Entry], None]) -> None:
        """Stores an answer beside those of the same key that were made from other pieces.

        Args:
            request: What was asked.
            entry: The new answer; one without pieces is not stored, since nobody could tell how long it is true.
            store: Writes to the tiers.
        """
        if not 0 < len(entry.pieces) <= PIECES_MAX:
            return
        async with self._storing:
            store(joined(entry, await self._lookup.peek(entry.key)))
        if self.used is not None:
            self.used(request, entry)

    async def drop(self, key: bytes, meant: Callable[[Variant], bool]) -> tuple[int, bool]:
        """Takes answers out of an entry, whose others stay.

        Args:
            key: Its exact key.
            meant: Says which answers.

        Returns:
            How many went, and whether that were all: then the entry is to be forgotten, which the caller does.
        """
        async with self._storing:
            entry = await self._lookup.peek(key)
            if entry is None:
                return 0, False
            answers = answers_of(entry)
            kept = [one for one in answers if not meant(one)]
            if kept and len(kept) < len(answers):
                self._lookup.store(with_answers(entry, kept))
            return len(answers) - len(kept), not kept

    async def _put_in_front(self, entry: Entry) -> None:
        async with self._storing:
            now = await self._lookup.peek(entry.key)
            if now is not None and any(made_of(one.pieces) == made_of(entry.pieces) for one in answers_of(now)):
                self._lookup.put_here(joined(entry, now))


def answers_of(entry: Entry) -> list[Variant]:
    """All answers of an entry, the last used first."""
    return [_of(Variant, entry), *entry.variants]


def with_answers(entry: Entry, answers: Sequence[Variant]) -> Entry:
    """An entry with other answers.

    Args:
        entry: The entry.
        answers: At least one; the first is in front.
    """
    front = {name: getattr(answers[0], name) for name in Variant.__struct_fields__}
    return msgspec.structs.replace(entry, **front, variants=list(answers[1:]))


def fronts(entry: Entry) -> Iterator[Entry]:
    """An entry as it is, then with each of its variants in front."""
    yield entry
    answers = answers_of(entry)
    for number in range(1, len(answers)):
        yield with_answers(entry, [answers[number], *answers[:number], *answers[number + 1 :]])


def joined(entry: Entry, before: Entry | None) -> Entry:
    """A new answer in front of those that are stored, as many as an entry may have.

    Args:
        entry: The new answer; it takes the place of the one that was made from the same pieces.
        before: What is stored.
    """
    if before is None:
        return entry
    made, size_bytes, kept = {made_of(entry.pieces)}, 0, []
    for one in answers_of(before):
        size_bytes += variant_bytes(one)
        if one.pieces and made_of(one.pieces) not in made and size_bytes <= VARIANTS_MAX_BYTES:
            made.add(made_of(one.pieces))
            kept.append(one)
    entry = msgspec.structs.replace(entry, variants=kept[:VARIANTS_MAX])
    if not entry.vector and before.vector and before.text == entry.text:
        entry = msgspec.structs.replace(entry, vector=before.vector, embedder=before.embedder)
    return entry


def made_of(pieces: Sequence[Piece]) -> frozenset[tuple[str, str]]:
    """What tells the answers of an entry apart; where pieces lie in their files does not count."""
    return frozenset((piece.path, piece.sha256) for piece in pieces)


def _of(kind: type[Variant], entry: Entry) -> Variant:
    return kind(**{name: getattr(entry, name) for name in kind.__struct_fields__})
