"""The built-in embedder and that of the tests keep the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from beastmode.core.plugins import Embedder
from contract.embedder_suite import EmbedderContract
from support.embedders import HashEmbedder
from support.minilm import minilm_dir, ready_minilm

__all__ = ["minilm_dir"]  # a fixture


class TestHash(EmbedderContract):
    @pytest.fixture(scope="class")
    @classmethod
    def embedder(cls) -> Embedder:
        return HashEmbedder()


class TestMiniLM(EmbedderContract):
    @pytest.fixture(scope="class")
    @classmethod
    def embedder(cls, minilm_dir: Path) -> Embedder:
        return ready_minilm(minilm_dir)
