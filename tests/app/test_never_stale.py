"""Files change in every way while questions about them repeat: no answer is stale, and what is still true is a hit."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from beastmode.cache.variants import VARIANTS_MAX
from beastmode.client import AsyncClient
from support.daemon import Daemon
from support.edits import SETTINGS, EchoProvider, Tally, World, replay


async def replayed(daemon: Daemon, world: World, edits: int) -> Tally:
    async with AsyncClient(daemon.socket) as client:
        await client.call("workspace.open", {"path": str(world.root), "wait": True})
        return await replay(client, world, "custom:echo", edits)


def replay_of(tmp_path: Path, seed: int, edits: int, hits: float) -> None:
    root = tmp_path / "project"
    root.mkdir()
    world = World(root, seed)
    with EchoProvider() as provider, Daemon(SETTINGS) as daemon:
        daemon.add("custom:echo", f"{provider.url}/v1")
        tally = asyncio.run(replayed(daemon, world, edits))
        stats = daemon.call("cache.stats")
    assert tally.wrong == []
    assert tally.stale == 0
    assert tally.still_true > edits / 3
    assert not {f"{number} variants ago" for number in range(VARIANTS_MAX)} & set(tally.missed)
    assert tally.hit_of_true >= hits * tally.still_true, tally.missed
    assert stats["stale"] == tally.results["stale"] > 0
    assert len(world.kinds) == 8, "every kind of edit was made"


def test_edits_reverts_renames_and_switches(tmp_path: Path) -> None:
    replay_of(tmp_path, seed=1, edits=250, hits=0.99)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [2, 3])
def test_ten_thousand_of_them(tmp_path: Path, seed: int) -> None:
    replay_of(tmp_path, seed, edits=5000, hits=0.985)  # counting answers from before the variants that are kept
