"""What an exact lookup costs: the key, memory, disk, and opening a store after a clean stop and after a kill.

Run `python -P bench/cache_exact.py [--entries N] [--json FILE]`. It prints a table; the JSON has the same figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from beastmode.cache.disk import DiskTier
from beastmode.cache.key import make_key
from beastmode.cache.memory import MemoryTier
from beastmode.core.clock import Clock
from beastmode.core.types import Completion, Entry, Message, Request

ROUNDS = 5
LOOKUPS = 2000


def best_us(work: Callable[[], Any], times: int) -> float:
    """The best of five rounds, in microseconds a call; the others had company on the machine."""
    best_s = float("inf")
    for _ in range(ROUNDS):
        started_s = time.perf_counter()
        for _ in range(times):
            work()
        best_s = min(best_s, time.perf_counter() - started_s)
    return best_s / times * 1e6


def each_us(work: Callable[[Any], Any], items: list[Any]) -> float:
    """The mean over items, in microseconds."""
    started_s = time.perf_counter()
    for item in items:
        work(item)
    return (time.perf_counter() - started_s) / len(items) * 1e6


def stored(count: int) -> list[Entry]:
    now_s = time.time()
    completion = Completion(text="Use sorted(items, reverse=True). " * 15, finish_reason="stop", model="qwen")
    question = "How do I sort a list in descending order in Python? " * 2
    return [
        Entry(
            key=os.urandom(16),
            scope=b"s" * 16,
            text=question,
            completion=completion,
            model="custom:qwen",
            provider="openai",
            stored_at_s=now_s,
            request_id=f"req_{number:016x}",
        )
        for number in range(count)
    ]


def measure_keys() -> dict[str, float]:
    question = Message(role="user", content="How do I sort a list in descending order in Python?")
    plain = Request(model="custom:qwen", messages=[question], user="uid:1000")
    system = Message(role="system", content="You are a helpful assistant.")
    usual = Request(
        model="custom:qwen",
        messages=[system, question],
        user="uid:1000",
        workspace="/srv/project",
        params={"temperature": 0.2, "max_tokens": 500},
    )
    tool = {"type": "function", "function": {"name": "f", "description": "words " * 100, "parameters": {"minimum": 1}}}
    agent = Request(model="custom:qwen", messages=[system, question] * 10, params={"tools": [tool] * 50})
    return {
        "key_one_message_us": best_us(lambda: make_key(plain), 20_000),
        "key_usual_us": best_us(lambda: make_key(usual), 20_000),
        "key_agent_us": best_us(lambda: make_key(agent), 500),
    }


def measure_memory(entries: list[Entry]) -> dict[str, float]:
    tier = MemoryTier(1 << 30, 86400)
    now_s = time.time()
    put_us = each_us(lambda entry: tier.put(entry, now_s), entries)
    keys = [entry.key for entry in entries]
    return {
        "memory_put_us": put_us,
        "memory_get_found_us": each_us(lambda key: tier.get(key, now_s), keys),
        "memory_get_absent_us": best_us(lambda: tier.get(b"absent", now_s), 20_000),
        "memory_entry_bytes": tier.stats().bytes / tier.stats().entries,
    }


async def measure_disk(entries: list[Entry], folder: Path) -> dict[str, float]:
    tier = DiskTier(folder, 4 << 30, 86400, Clock())
    await tier.start()
    puts_s = 0.0
    for at in range(0, len(entries), 100):
        started_s = time.perf_counter()
        for entry in entries[at : at + 100]:
            tier.put(entry)
        puts_s += time.perf_counter() - started_s
        await asyncio.sleep(0.005)
    await tier.wait_stored(120)
    found = {"disk_put_us": puts_s / len(entries) * 1e6}
    sample = [entry.key for entry in entries[:: max(len(entries) // LOOKUPS, 1)]]
    now_s = time.time()
    started_s = time.perf_counter()
    for key in sample:
        assert await tier.get(key, now_s) is not None
    found["disk_get_with_hop_us"] = (time.perf_counter() - started_s) / len(sample) * 1e6
    found["disk_get_in_thread_us"] = each_us(tier._load, sample)
    absent = [os.urandom(16) for _ in range(LOOKUPS)]
    while tier.maybe(absent[0]):
        await asyncio.sleep(0.01)
    found["disk_certain_miss_us"] = each_us(tier.maybe, absent)
    found["disk_entry_bytes"] = (folder / "store" / "data.mdb").stat().st_size / len(entries)
    await tier.close()
    return found


async def measure_opening(key: bytes, folder: Path) -> dict[str, float]:
    found = {}
    for how in ("clean_stop", "kill"):
        if how == "kill":
            (folder / "store.json").unlink()
        tier = DiskTier(folder, 4 << 30, 86400, Clock(), wait_s=60)
        started_s = time.perf_counter()
        await tier.start()
        found[f"start_after_{how}_ms"] = (time.perf_counter() - started_s) * 1e3
        assert await tier.get(key, time.time()) is not None
        found[f"first_answer_after_{how}_ms"] = (time.perf_counter() - started_s) * 1e3
        await tier.close()
    return found


async def measure(count: int) -> dict[str, float]:
    entries = stored(count)
    found = measure_keys() | measure_memory(entries[:20_000])
    with tempfile.TemporaryDirectory() as folder:
        found |= await measure_disk(entries, Path(folder))
        found |= await measure_opening(entries[0].key, Path(folder))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=100_000, help="entries on disk (default 100000)")
    parser.add_argument("--json", type=Path, help="write the figures here")
    chosen = parser.parse_args()
    found = asyncio.run(measure(chosen.entries))
    for name, figure in found.items():
        print(f"{name:34} {figure:10.2f}")
    if chosen.json:
        chosen.json.write_text(json.dumps({"entries": chosen.entries, **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
