"""Vectors and a store of answers that have some, for tests of the vector index."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from beastmode.cache.disk_store import Store
from beastmode.cache.disk_tables import put_operation, remove_operation
from beastmode.cache.record import pack
from beastmode.cache.vectors import VectorIndex, to_bytes
from beastmode.core.clock import Clock
from support.answers import answer, key_of

DIM = 32
EMBEDDER = "fake-32"
SCOPE, OTHER = b"s" * 16, b"o" * 16

Vectors = NDArray[np.float32]


def random_vectors(count: int, seed: int = 0, dim: int = DIM, centres: int = 20) -> Vectors:
    """Vectors of length 1 that lie in clusters, as prompts do; rounded as an entry keeps them."""
    source = np.random.default_rng(seed)
    middle = source.normal(size=(centres, dim))
    vectors = middle[source.integers(0, centres, count)] + 0.5 * source.normal(size=(count, dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float16).astype(np.float32)


class Shelf:
    """A store of L2 and the vector index over it.

    Args:
        folder: Where both live.
        **options: Of the index.
    """

    def __init__(self, folder: Path, **options: float) -> None:
        self.folder = folder / "index"
        self.store = Store(folder / "store", 1 << 28, time.time)
        self.store.open()
        self.options = {"pause_s": 0.02, **options}
        self.readable = True
        self.index = self.open_index()

    def open_index(self, embedder: str = EMBEDDER, dim: int = DIM) -> VectorIndex:
        """An index that is not started."""
        return VectorIndex(self.folder, dim, embedder, Clock(), self.source, **self.options)  # type: ignore[arg-type]  # whole numbers among them

    def source(self) -> Path | None:
        return self.store.folder if self.readable else None

    def restart(self, damage: Callable[[], None] = lambda: None) -> None:
        """Ends the index, as the daemon does when it stops, and begins with a new one."""
        self.index.close()
        damage()
        self.index = self.open_index()
        self.index.start()

    def store_all(
        self, names: Iterable[str], vectors: Vectors, scope: bytes = SCOPE, embedder: str = EMBEDDER
    ) -> list[bytes]:
        """Puts answers with vectors into the store alone; returns their keys."""
        operations, keys = [], []
        for name, vector in zip(names, vectors, strict=True):
            entry = answer(name, vector=to_bytes(vector), embedder=embedder)
            entry.scope = scope
            operations.append(put_operation(entry.key, pack(entry)))
            keys.append(entry.key)
        self.store.apply(operations)
        return keys

    def unstore(self, keys: Iterable[bytes]) -> None:
        """Takes answers out of the store alone."""
        self.store.apply([remove_operation(list(keys))])

    def settle(self) -> None:
        """Waits until the index is as good as it gets."""
        assert self.index.wait_idle(30), self.index.problem

    def close(self) -> None:
        self.index.close()
        self.store.close()

    def files(self) -> list[Path]:
        """Every file of the newest snapshot."""
        newest = max(self.folder.glob("snapshot-*"))
        return sorted(newest.iterdir())


def names(count: int, prefix: str = "n") -> list[str]:
    """Names of answers."""
    return [f"{prefix}{number}" for number in range(count)]


def keys_of(count: int, prefix: str = "n") -> list[bytes]:
    """Their keys."""
    return [key_of(name) for name in names(count, prefix)]


def brute_force(keys: list[bytes], vectors: Vectors, query: Vectors, k: int, floor: float) -> list[bytes]:
    """What an exact search must find."""
    similarities = vectors @ query
    order = sorted(range(len(keys)), key=lambda row: (-similarities[row], keys[row]))
    return [keys[row] for row in order if similarities[row] >= floor][:k]
