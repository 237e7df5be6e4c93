"""Vectors in memory, searched exactly: the rows that came after the last snapshot, by scope. Needs numpy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Match = tuple[bytes, float]
"""A key and the cosine of its vector and the one that was looked for."""

SPARE = 32


def best(
    similarities: Vectors, floor: float, k: int, key_at: Callable[[int], bytes], dead: Collection[bytes]
) -> list[Match]:
    """Picks the most similar rows.

    Args:
        similarities: One number a row.
        floor: Least similarity.
        k: Most rows.
        key_at: The key of a row.
        dead: Keys that do not count.

    Returns:
        Keys with their similarity, the best first.
    """
    rows = np.flatnonzero(similarities >= floor)
    taken = k + SPARE
    while True:
        part = rows
        if len(rows) > taken:
            part = rows[np.argpartition(-similarities[rows], taken)[:taken]]
        found = [(key_at(int(row)), min(1.0, float(similarities[row]))) for row in part]
        alive = [match for match in found if match[0] not in dead]
        if len(alive) >= k or len(part) == len(rows):
            return ranked(alive, k)
        taken *= 4


def ranked(matches: list[Match], k: int) -> list[Match]:
    """Sorts matches, the best first and equal ones by key, and keeps the first of them."""
    return sorted(matches, key=lambda match: (-match[1], match[0]))[:k]


class Block:
    """The rows of one scope, in an array that grows."""

    __slots__ = ("_matrix", "_places", "keys")

    def __init__(self, dim: int) -> None:
        self._matrix: Vectors = np.empty((1, dim), np.float32)
        self._places: dict[bytes, int] = {}
        self.keys: list[bytes] = []

    def put(self, key: bytes, vector: Vectors) -> None:
        """Adds a row, or replaces that of the same key."""
        place = self._places.setdefault(key, len(self.keys))
        if place == len(self.keys):
            self.keys.append(key)
            if place == len(self._matrix):
                larger = np.empty((2 * place, self._matrix.shape[1]), np.float32)
                larger[:place] = self._matrix
                self._matrix = larger
        self._matrix[place] = vector

    def remove(self, key: bytes) -> None:
        """Takes a row away; the last one takes its place."""
        place = self._places.pop(key)
        last = self.keys.pop()
        if last != key:
            self.keys[place] = last
            self._places[last] = place
            self._matrix[place] = self._matrix[len(self.keys)]

    def search(self, vector: Vectors, k: int, floor: float) -> list[Match]:
        """Finds the most similar rows."""
        similarities = self._matrix[: len(self.keys)] @ vector
        return best(similarities, floor, k, self.keys.__getitem__, ())


class Tail:
    """Rows of all scopes, each under a key of its own.

    Args:
        dim: Numbers in a vector.
        max_rows: Beyond it, the oldest rows go.
    """

    def __init__(self, dim: int, max_rows: int) -> None:
        self._dim = dim
        self._max_rows = max_rows
        self._blocks: dict[bytes, Block] = {}
        self._scopes: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._scopes)

    def __contains__(self, key: bytes) -> bool:
        return key in self._scopes

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._scopes)

    @property
    def scopes(self) -> int:
        """How many scopes have rows here."""
        return len(self._blocks)

    def add(self, key: bytes, scope: bytes, vector: Vectors) -> None:
        """Adds a row, or replaces that of the same key."""
        self.remove(key)
        while len(self._scopes) >= self._max_rows:
            self.remove(next(iter(self._scopes)))
        self._scopes[key] = scope
        block = self._blocks.get(scope)
        if block is None:
            block = self._blocks[scope] = Block(self._dim)
        block.put(key, vector)

    def remove(self, key: bytes) -> None:
        """Takes a row away, where there is one."""
        scope = self._scopes.pop(key, None)
        if scope is None:
            return
        block = self._blocks[scope]
        block.remove(key)
        if not block.keys:
            del self._blocks[scope]

    def search(self, scope: bytes, vector: Vectors, k: int, floor: float) -> list[Match]:
        """Finds the most similar rows of a scope, the best first."""
        block = self._blocks.get(scope)
        return block.search(vector, k, floor) if block is not None else []
