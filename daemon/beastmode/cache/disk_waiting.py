"""Operations that were acknowledged and are not in the store yet: what a lookup must see before it asks the disk."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from beastmode.cache.disk_tables import CLEAR, KEY_BYTES, PUT, keys_of

MAX_BYTES = 64 << 20


class Waiting:
    """The newest operation of every key that waits. Noted on one thread, settled on another.

    Args:
        max_bytes: Beyond it, a record can be found only once it is stored.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._newest: dict[bytes, bytes] = {}
        self._bytes = 0
        self._clears = 0

    def __len__(self) -> int:
        return len(self._newest)

    def note(self, operation: bytes) -> None:
        """Lets lookups see an operation.

        Args:
            operation: As `disk_tables` makes them.
        """
        if operation == CLEAR:
            with self._lock:
                self._newest.clear()
                self._bytes = 0
                self._clears += 1
            return
        keys, size_bytes = keys_of(operation), len(operation)
        with self._lock:
            for key in keys:
                if key in self._newest:
                    self._drop(key)
                if self._bytes + size_bytes <= self._max_bytes:
                    self._newest[key] = operation
                    self._bytes += size_bytes

    def settle(self, operations: Iterable[bytes]) -> None:
        """Forgets operations that are in the store now, but for keys that a newer one waits for.

        Args:
            operations: What was stored.
        """
        for operation in operations:
            with self._lock:
                if operation == CLEAR:
                    self._clears = max(self._clears - 1, 0)
                for key in keys_of(operation):
                    if self._newest.get(key) == operation:
                        self._drop(key)

    def knows(self, key: bytes) -> bool:
        """Whether what the store says about a key no longer holds."""
        return key in self._newest or self._clears > 0

    def record(self, key: bytes) -> bytes | None:
        """The record that waits for a key; None where none does, or the key was removed."""
        operation = self._newest.get(key)
        return operation[1 + KEY_BYTES :] if operation is not None and operation[:1] == PUT else None

    def keys(self) -> list[bytes]:
        """The keys whose record waits."""
        with self._lock:
            return list(self._newest)

    def _drop(self, key: bytes) -> None:
        operation = self._newest.pop(key, None)
        if operation is not None:
            self._bytes -= len(operation)
