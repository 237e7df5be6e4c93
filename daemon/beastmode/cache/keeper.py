"""Keeps answers: stored at once, findable by their vector a little later; knows which entry a request got or left."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from beastmode.cache.key import Key, make_key
from beastmode.cache.lookup import Lookup
from beastmode.core.types import Completion, Entry, Kind, Request

if TYPE_CHECKING:  # it needs numpy, which is there only where an embedder is
    from beastmode.cache.semantic import Semantic

log = logging.getLogger(__name__)

STORABLE_FINISHES = frozenset({"stop", "tool_calls"})
STORED_MAX_CHARS = 1 << 20
ANSWERED_MAX = 20_000


class Keeper:
    """Writes to the cache.

    Args:
        lookup: The tiers.
        semantic: Makes vectors; None where no embedder is installed.
    """

    def __init__(self, lookup: Lookup, semantic: Semantic | None) -> None:
        self._lookup = lookup
        self._semantic = semantic
        self._learning: set[asyncio.Task[None]] = set()
        self._answered: OrderedDict[str, bytes] = OrderedDict()
        self._variants: dict[str, str] = {}

    def keep(self, entry: Entry, *, by_meaning: bool) -> None:
        """Stores an answer now, and makes it findable by its vector a little later.

        Args:
            entry: The answer.
            by_meaning: It may be served for another wording.
        """
        if self._semantic is None or not by_meaning or not self._semantic.may_learn(entry.text):
            self._lookup.store(entry)
            return
        entry = self._semantic.with_vector(entry)
        self._lookup.store(entry)
        task = asyncio.ensure_future(self._learn(self._semantic, entry))
        self._learning.add(task)
        task.add_done_callback(self._learning.discard)

    async def _learn(self, semantic: Semantic, entry: Entry) -> None:
        try:
            if not entry.vector:
                entry = await semantic.vectorise(entry)
                if entry.vector:
                    await self._store_vector(entry)
            await semantic.add(entry)
        except Exception:
            log.warning("an answer was stored without its vector", exc_info=True)

    async def _store_vector(self, entry: Entry) -> None:
        """Puts a vector into an entry, which may have got other variants while the vector was made."""
        if entry.pieces:
            now = await self._lookup.peek(entry.key)
            if now is None:
                return
            entry = msgspec.structs.replace(now, vector=entry.vector, embedder=entry.embedder)
        self._lookup.store(entry)

    def note(self, request_id: str, key: bytes) -> None:
        """Remembers which stored answer a request got or left.

        Args:
            request_id: The request.
            key: The entry's exact key.
        """
        self._answered[request_id] = key
        if len(self._answered) > ANSWERED_MAX:
            oldest, _ = self._answered.popitem(last=False)
            self._variants.pop(oldest, None)

    def note_variant(self, request_id: str, paid_by: str) -> None:
        """Remembers which of an entry's variants a request got or left, beside `note`.

        Args:
            request_id: The request.
            paid_by: The request that paid for the variant.
        """
        self._variants[request_id] = paid_by

    def variant_of(self, request_id: str) -> str | None:
        """Which request paid for the variant that a request got or left; None: it got none, or long ago."""
        return self._variants.get(request_id)

    def entry_of(self, request_id: str) -> bytes | None:
        """The exact key of the stored answer that one of the last twenty thousand requests got or left."""
        return self._answered.get(request_id)

    @property
    def noted(self) -> OrderedDict[str, bytes]:
        """Which stored answer each of the last twenty thousand requests got or left, by its exact key; oldest first."""
        return self._answered

    def answered(self) -> list[bytes]:
        """The exact keys of the stored answers that the last twenty thousand requests got or left, one a request."""
        return list(self._answered.values())


def keys_for(request: Request, key: Key, completion: Completion, served: str) -> list[Key]:
    """The keys that an answer is stored under: of the model that gave it, and of `auto` where that was asked.

    Args:
        request: What was asked.
        key: Its key.
        completion: The answer; one that is not to be stored has no keys.
        served: The model that gave it.
    """
    if not storable(completion, request.kind):
        return []
    keys = [key] if request.model in ("auto", served) else []
    return keys if request.model == served else [*keys, make_key(request, served)]


def storable(completion: Completion, kind: Kind) -> bool:
    """Says whether an answer is complete, holds something, and is no larger than what the cache takes.

    Args:
        completion: The answer.
        kind: What was asked for.
    """
    if kind == "embedding":
        return completion.reply is not None and len(completion.reply.body) <= STORED_MAX_CHARS
    if not completion.whole or not (completion.text or completion.tool_calls):
        return False
    if any(one.finish_reason not in STORABLE_FINISHES for one in (completion, *completion.choices)):
        return False
    return _size_chars(completion) <= STORED_MAX_CHARS


def _size_chars(completion: Completion) -> int:
    size = len(completion.text) + len(completion.reasoning) + sum(map(_size_chars, completion.choices))
    for call in completion.tool_calls:
        size += len(str((call.get("function") or {}).get("arguments") or ""))
    return size + (len(str(completion.blocks)) if completion.blocks else 0)
