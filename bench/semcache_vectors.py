"""The real embedder for benchmarks of the semantic cache: each text once, in this process, kept between runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from beastmode.core.clock import Clock
from beastmode.core.plugins import Context, Embedding
from beastmode_plugins.minilm import MiniLM

WEIGHTS = Path("~/.cache/beastmode-tests").expanduser()
READY_S = 120.0


def open_embedder(weights: Path = WEIGHTS) -> MiniLM:
    """Starts the embedder; its weights must have been fetched (`python tests/support/weights.py minilm`)."""
    embedder = MiniLM()
    nothing: Any = None
    context = Context(http=nothing, data=weights, run=weights, clock=Clock(), options={"weights_dir": str(weights)})
    asyncio.run(embedder.start(context))
    until_s = time.monotonic() + READY_S
    while why := embedder.ready():
        if time.monotonic() > until_s or "made ready" not in why:
            raise SystemExit(why)
        time.sleep(0.5)
    return embedder


class Vectors:
    """Vectors of texts, from a file where it has them.

    Args:
        file: An `.npz` that is read and written; None keeps them in memory only.
        weights: Folder of all weights.
    """

    def __init__(self, file: Path | None, weights: Path = WEIGHTS) -> None:
        self.file, self.weights = file, weights
        self.known: dict[str, np.ndarray[Any, Any]] = {}
        self._embedder: MiniLM | None = None
        if file is not None and file.exists():
            stored = np.load(file, allow_pickle=False)
            self.known = dict(zip(stored["texts"].tolist(), stored["vectors"], strict=True))

    @property
    def embedder(self) -> MiniLM:
        if self._embedder is None:
            self._embedder = open_embedder(self.weights)
        return self._embedder

    def whole(self, text: str) -> Embedding | None:
        """All that the embedder makes of a text, pieces and their vectors included."""
        return self.embedder.embed(text)

    def learn(self, texts: Iterable[str]) -> None:
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        for text in new:
            found = self.embedder.embed(text)
            self.known[text] = np.zeros(384, np.float32) if found is None else found.vector
        if new and self.file is not None:
            np.savez(self.file, texts=np.array(list(self.known)), vectors=np.stack(list(self.known.values())))

    def __getitem__(self, text: str) -> np.ndarray[Any, Any]:
        if text not in self.known:
            self.learn([text])
        return self.known[text]

    def similarity(self, a: str, b: str) -> float:
        return float(self[a] @ self[b])
