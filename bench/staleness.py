"""10,000 random edits while questions repeat: stale answers, and hits of those that are still true; time of each kind.

Run `python -P bench/staleness.py [--edits N] [--seed N] [--json FILE]`. A daemon with a model that answers with what it
was shown; the files are edited in place with as many bytes, with times put back, replaced, renamed, reverted, removed,
and switched as by git, while four tasks ask, one of them at once after an edit has returned.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # the daemon as tests start it

from beastmode.client import AsyncClient

Daemon = importlib.import_module("support.daemon").Daemon
edits_of = importlib.import_module("support.edits")


async def replayed(daemon: Any, world: Any, edits: int) -> Any:
    async with AsyncClient(daemon.socket) as client:
        await client.call("workspace.open", {"path": str(world.root), "wait": True})
        return await edits_of.replay(client, world, "custom:echo", edits)


def measure(edits: int, seed: int) -> dict[str, Any]:
    """One replay.

    Args:
        edits: How many.
        seed: Draws them.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        edits_of.EchoProvider() as provider,
        Daemon(edits_of.SETTINGS) as daemon,
    ):
        world = edits_of.World(Path(folder).resolve(), seed)
        daemon.add("custom:echo", f"{provider.url}/v1")
        began_s = time.perf_counter()
        tally = asyncio.run(replayed(daemon, world, edits))
        took_s = time.perf_counter() - began_s
    for line in tally.wrong[:20]:
        print(line, file=sys.stderr)
    if tally.missed:
        print(f"true and not hit: {dict(tally.missed)}", file=sys.stderr)
    return {
        "edits": world.count,
        "kinds": dict(world.kinds),
        "questions": tally.asked,
        "answers_without_pieces": tally.empty,
        "asked_at_once_after_an_edit": tally.within_1_ms,
        "stale_answers": tally.stale,
        "still_true": tally.still_true,
        "hits_of_still_true": tally.hit_of_true,
        "hits_of_still_true_percent": 100.0 * tally.hit_of_true / max(tally.still_true, 1),
        "results": dict(tally.results),
        "median_ms": {name: statistics.median(values) for name, values in tally.latency_ms.items()},
        "seconds": took_s,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edits", type=int, default=10_000, help="default 10000")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here")
    chosen = parser.parse_args()
    found = measure(chosen.edits, chosen.seed)
    for name, figure in found.items():
        print(f"{name:30} {figure}")
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
