"""Fixtures: a clock that stands still, and an empty registry, vault and set of breakers."""

from __future__ import annotations

from pathlib import Path

import pytest

from beastmode.core.breaker import Breakers
from beastmode.routing.models import Registry
from beastmode.routing.vault import Vault
from support.routing_parts import StillClock


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def breakers(clock: StillClock) -> Breakers:
    return Breakers(clock, failures=3, cooldown_s=10.0)


@pytest.fixture
async def registry(tmp_path: Path, clock: StillClock) -> Registry:
    found = Registry(tmp_path / "models.json", clock)
    await found.load()
    return found


@pytest.fixture
async def vault(tmp_path: Path, clock: StillClock) -> Vault:
    found = Vault(tmp_path, "file", clock=clock)
    await found.load([])
    return found
