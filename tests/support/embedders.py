"""An embedder for tests that needs no weights: texts that share words lie close together."""

from __future__ import annotations

import re
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from beastmode.core.plugins import Embedder, Embedding


class HashEmbedder(Embedder):
    """A direction for each word, from its digest; a text is the sum of its words.

    Args:
        id: Its id.
        dim: Numbers in a vector.
        away: What `ready` says; None: it is ready.
    """

    max_pieces = 256

    def __init__(self, id: str = "hash-64", dim: int = 64, away: str | None = None) -> None:
        self.id = id
        self.dim = dim
        self.away = away
        self.embedded: list[str] = []

    def ready(self) -> str | None:
        return self.away

    def embed(self, text: str) -> Embedding | None:
        self.embedded.append(text)
        pieces = re.findall(r"\w+|[^\w\s]", text.encode(errors="replace").decode().lower())
        if len(pieces) > self.max_pieces:
            return None
        tokens = np.array([self._direction(piece) for piece in pieces], np.float32).reshape(-1, self.dim)
        total = tokens.sum(0) + 0.01 * self._direction("")
        return Embedding((total / np.linalg.norm(total)).astype(np.float32), pieces, tokens.astype(np.float16))

    def _direction(self, word: str) -> NDArray[np.float64]:
        seed = int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "little")
        vector = np.random.default_rng(seed).normal(size=self.dim)
        return np.asarray(vector / np.linalg.norm(vector))
