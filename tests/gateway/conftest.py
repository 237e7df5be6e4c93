"""What the tests of the gateway share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from beastmode.core.clock import Clock
from beastmode.core.settings import Settings
from support.bare_gateway import House, Meaning
from support.routing_parts import StillClock


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def open_house(tmp_path: Path, clock: StillClock) -> Callable[..., Awaitable[House]]:
    async def build(
        semantic: Meaning | None = None,
        settings: Settings | None = None,
        real_time: bool = False,
        truth: Any = None,
    ) -> House:
        house = House(tmp_path, Clock() if real_time else clock, settings or Settings(), semantic, truth)
        await house.registry.load()
        await house.vault.load([])
        await house.add("a")
        return house

    return build


@pytest.fixture
async def house(open_house: Callable[..., Awaitable[House]]) -> House:
    return await open_house()
