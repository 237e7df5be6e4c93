"""The embedder that docs/plugins.md shows keeps the contract."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from beastmode.core.plugins import Embedder
from contract.embedder_suite import EmbedderContract

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"


def shown() -> dict[str, Any]:
    """What the page's module defines."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (source,) = (block for block in blocks if "beast_embedders" in block)
    defined: dict[str, Any] = {}
    exec(source, defined)
    return defined


class TestWords(EmbedderContract):
    @pytest.fixture(scope="class")
    @classmethod
    def embedder(cls) -> Embedder:
        (found,) = shown()["beast_embedders"]()
        assert isinstance(found, Embedder)
        return found
