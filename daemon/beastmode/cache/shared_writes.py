"""What still has to be written to a shared tier: bounded answers, oldest out first; what is to be forgotten stays."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

PUTS_MAX = 1000
PUTS_MAX_BYTES = 16 << 20


class Writes:
    """Operations that wait, one for each key, and what a lookup finds in them.

    A lookup must not find in the tier what was forgotten here, so removals wait until they are done, however long
    the tier is away.

    Args:
        puts_max: Answers that may wait.
        puts_max_bytes: Memory that they may take.
    """

    def __init__(self, puts_max: int = PUTS_MAX, puts_max_bytes: int = PUTS_MAX_BYTES) -> None:
        self._puts_max = puts_max
        self._puts_max_bytes = puts_max_bytes
        self._puts: OrderedDict[bytes, bytes] = OrderedDict()
        self._bytes = 0
        self._removals: dict[bytes, None] = {}
        self.clears = 0
        self.forgotten = 0
        self.dropped = 0

    def __len__(self) -> int:
        """How many operations wait."""
        return len(self._puts) + len(self._removals) + bool(self.clears)

    def put(self, key: bytes, record: bytes) -> None:
        """Notes an answer to be stored, in place of whatever waits for its key.

        Args:
            key: The exact key.
            record: The packed answer.
        """
        self._drop(key)
        self._removals.pop(key, None)
        self._puts[key] = record
        self._bytes += len(record)
        while len(self._puts) > self._puts_max or self._bytes > self._puts_max_bytes:
            self._drop(next(iter(self._puts)))
            self.dropped += 1

    def remove(self, keys: Iterable[bytes]) -> None:
        """Notes keys to be forgotten.

        Args:
            keys: Exact keys.
        """
        self.forgotten += 1
        for key in keys:
            self._drop(key)
            self._removals[key] = None

    def clear(self) -> None:
        """Notes that everything is to be forgotten, what waits among it."""
        self.forgotten += 1
        self.clears += 1
        self._puts.clear()
        self._removals.clear()
        self._bytes = 0

    def find(self, key: bytes) -> tuple[bool, bytes | None]:
        """Looks a key up in what waits.

        Args:
            key: The exact key.

        Returns:
            Whether what waits decides, and then the record, or None where it is forgotten.
        """
        record = self._puts.get(key)
        return record is not None or key in self._removals or self.clears > 0, record

    def removals(self, limit: int) -> list[bytes]:
        """The first keys to be forgotten; they wait on until `removed`.

        Args:
            limit: How many at most.
        """
        return [key for key, _ in zip(self._removals, range(limit), strict=False)]

    def removed(self, keys: Iterable[bytes]) -> None:
        """Takes note that the tier has forgotten keys.

        Args:
            keys: From `removals`.
        """
        for key in keys:
            self._removals.pop(key, None)

    def cleared(self, clears: int) -> None:
        """Takes note that the tier has forgotten everything.

        Args:
            clears: What `clears` was when the tier was told to.
        """
        if self.clears == clears:
            self.clears = 0

    def take(self) -> tuple[bytes, bytes] | None:
        """Takes out the oldest answer.

        Returns:
            Key and record; None where no answer waits.
        """
        if not self._puts:
            return None
        key, record = self._puts.popitem(last=False)
        self._bytes -= len(record)
        return key, record

    def _drop(self, key: bytes) -> None:
        record = self._puts.pop(key, None)
        if record is not None:
            self._bytes -= len(record)
