"""A filter that says at once, from memory, which keys are certainly not on disk; made by walking over all of them."""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable

_places = struct.Struct("<IIII").unpack
KEYS_MIN = 1 << 16
BITS_A_KEY = 32
PIECE = 200

Keys = list[tuple[bytes, float]]
"""Keys, each with the wall clock at which it was stored; infinite: it has no age."""


class Presence:
    """A Bloom filter over keys that are digests already: three of their four words are the places.

    With 32 bits a key, fewer than 1 of 1,000 absent keys is taken for present. Keys can not be taken out again.

    Args:
        keys: How many keys it is to hold; beyond that it is `full` and answers less sharply.
    """

    def __init__(self, keys: int) -> None:
        bits = 1 << (max(keys, KEYS_MIN) * BITS_A_KEY - 1).bit_length()
        self._mask = bits - 1
        self._bits = bytearray(bits >> 3)
        self._room = bits // BITS_A_KEY
        self._count = 0

    @property
    def full(self) -> bool:
        """It holds more keys than it was made for."""
        return self._count > self._room

    def add(self, key: bytes) -> None:
        """Notes a key of 16 bytes."""
        first, second, third, _ = _places(key)
        bits, mask = self._bits, self._mask
        for place in (first & mask, second & mask, third & mask):
            bits[place >> 3] |= 1 << (place & 7)
        self._count += 1

    def __contains__(self, key: bytes) -> bool:
        first, second, third, _ = _places(key)
        bits, mask = self._bits, self._mask
        first &= mask
        if not bits[first >> 3] >> (first & 7) & 1:
            return False
        second &= mask
        if not bits[second >> 3] >> (second & 7) & 1:
            return False
        third &= mask
        return bool(bits[third >> 3] >> (third & 7) & 1)


class Census:
    """The filter in use, and the walk that makes the next one. Used on the event loop only.

    Until the first walk is done every key may be there. A key that comes during a walk joins both filters.
    """

    def __init__(self) -> None:
        self._presence: Presence | None = None
        self._next: Presence | None = None

    def maybe(self, key: bytes) -> bool:
        """False where a key is certainly absent."""
        return self._presence is None or key in self._presence

    def add(self, key: bytes) -> bool:
        """Notes a key.

        Returns:
            True where the filter has become too small, and a new walk is due.
        """
        if self._next is not None:
            self._next.add(key)
        if self._presence is None:
            return False
        self._presence.add(key)
        return self._presence.full and self._next is None

    async def walk(
        self, read: Callable[[bytes, int], Awaitable[Keys]], known: list[bytes], expected: int, expired_before_s: float
    ) -> list[bytes]:
        """Reads all keys, a piece at a time, and puts a new filter in the place of the old one.

        Args:
            read: Gives the keys after one, and how many at most, in order.
            known: Keys that may not have come where `read` finds them yet.
            expected: How many keys there are, about.
            expired_before_s: Keys stored before this wall clock have expired.

        Returns:
            The keys that have expired.
        """
        self._next = walked = Presence(2 * (expected + len(known)))
        try:
            for key in known:
                walked.add(key)
            expired: list[bytes] = []
            after = b""
            while piece := await read(after, PIECE):
                for key, stored_at_s in piece:
                    walked.add(key)
                    if stored_at_s < expired_before_s:
                        expired.append(key)
                after = piece[-1][0]
            self._presence = walked
            return expired
        finally:
            self._next = None
