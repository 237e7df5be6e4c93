"""Stored answers for tests of the cache."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from beastmode.core.clock import Clock
from beastmode.core.types import Completion, Entry


def key_of(name: object) -> bytes:
    """A key like those of the cache, from anything that has a text."""
    return blake2b(str(name).encode(), digest_size=16).digest()


def answer(name: object, text: str | None = None, at_s: float = 1000.0, **fields: Any) -> Entry:
    """A stored answer whose text tells which one it is.

    Args:
        name: What its key is made from.
        text: Its text; None: `answer to NAME`.
        at_s: When it was stored.
        **fields: Further fields of the entry.
    """
    completion = Completion(text=f"answer to {name}" if text is None else text, finish_reason="stop")
    return Entry(
        key=key_of(name),
        scope=b"s" * 16,
        text=str(name),
        completion=fields.pop("completion", completion),
        model="custom:a",
        stored_at_s=at_s,
        **fields,
    )


class HeldClock(Clock):
    """A clock that stands still until it is told to move."""

    def __init__(self, wall_s: float = 1000.0) -> None:
        super().__init__()
        self.now_s = wall_s

    def wall_s(self) -> float:
        return self.now_s

    def mono_s(self) -> float:
        return self.now_s
