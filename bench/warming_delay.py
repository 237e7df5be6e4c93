"""What warming costs a person: how long requests take while it asks ahead without a pause, and where it is off.

`python -P bench/warming_delay.py [--requests 300] [--json FILE]`. Two daemons, alike but for `warming.enabled`, are
asked in turns, so that whatever else the machine does falls on both. In the one, warming may begin a twentieth of a
second after the last request and always has something to ask of a slow model: nearly every request finds it at work,
and ends it. Hits are answered from memory; misses by a model that answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

Daemon = importlib.import_module("support.daemon").Daemon
Model = importlib.import_module("bench.warming").Model

IDLE_S, WISHES = 0.05, 400
SLOW_PACE, QUICK_PACE = 15.0, 6_000.0  # 0.4 s, and 1 ms, in the middle


def settings(warm: bool) -> str:
    """A daemon whose warming is always busy, or off."""
    lines = ['routing.default_model = "custom:quick"', "http.enabled = false", "lsp.enabled = false", "[warming]"]
    lines += [
        f"enabled = {str(warm).lower()}",
        f"idle_s = {IDLE_S}",
        "per_minute = 60000.0",
        "daily_requests = 1000000",
    ]
    for number in range(WISHES):
        lines += ["[[warming.templates]]", f'message = "ahead {number}"', 'model = "custom:slow"']
    return "\n".join(lines) + "\n"


def measure(clients: dict[bool, Any], requests: int) -> dict[str, dict[bool, list[float]]]:
    """Latencies in milliseconds, by kind and by whether warming is on."""
    chance = random.Random(1)
    found: dict[str, dict[bool, list[float]]] = {kind: {False: [], True: []} for kind in ("hit", "miss")}
    for client in clients.values():
        client.call("chat", {"message": "known"})
    for number in range(requests):
        time.sleep(chance.uniform(0.15, 0.45))
        for kind, message in (("hit", "known"), ("miss", f"person {number}")):
            for warm in chance.sample([False, True], 2):
                began_s = time.perf_counter()
                clients[warm].call("chat", {"message": message})
                found[kind][warm].append((time.perf_counter() - began_s) * 1e3)
            time.sleep(chance.uniform(0.15, 0.45))
    return found


def told(found: dict[bool, list[float]]) -> dict[str, float]:
    """Median and 95th percentile, off and on, and how far warming moves them."""
    off, on = (sorted(found[warm]) for warm in (False, True))
    last = round(0.95 * (len(off) - 1))
    row = {"p50_off_ms": statistics.median(off), "p50_on_ms": statistics.median(on)}
    row |= {"p95_off_ms": off[last], "p95_on_ms": on[last], "p95_moves_ms": on[last] - off[last]}
    return {name: round(value, 3) for name, value in row.items()}


def main() -> None:
    """Measures, and prints a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with (
        Model(SLOW_PACE, 1) as slow,
        Model(QUICK_PACE, 1) as quick,
        Daemon(settings(False)) as off,
        Daemon(settings(True)) as on,
    ):
        for daemon in (off, on):
            daemon.add("custom:slow", slow.url, upstream_model="slow", limits={"context_tokens": 8_192})
            daemon.add("custom:quick", quick.url, upstream_model="quick", limits={"context_tokens": 8_192})
        with off.client() as first, on.client() as second:
            found = measure({False: first, True: second}, asked.requests)
        ends = [row["outcome"] for row in on.rows(origin="warming")]
    result: dict[str, Any] = {kind: told(rows) for kind, rows in found.items()}
    result["asked_ahead"] = {outcome: ends.count(outcome) for outcome in sorted(set(ends))}
    print(json.dumps(result))
    if asked.json is not None:
        asked.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
