"""What a lookup costs with 1,000, 10,000 and 100,000 answers, and how long the index takes to come back at the largest.

usage: python -P bench/cache_latency.py [--entries 1000,10000,100000] [--heal] [--json FILE]

All answers are in one scope, the worst case of a search. Exact: the whole lookup in process, memory and disk, over all
answers. Semantic: a short prompt is embedded and its nearest neighbours are found, in the thread that the daemon has
for it, as seen from the event loop. Rebuild: the index is deleted; a child process builds it anew from the store on one
core while the loop looks answers up, and it is measured how late the loop's timers come. The vectors are those of 2,000
prompts with noise around them; without the weights (`python tests/support/weights.py minilm`) they are random, and the
time of the embedder is left out. With `--heal`, a whole daemon is damaged instead: see `cache_heal.py`.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the daemon has it

import argparse
import asyncio
import importlib
import itertools
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

sys.path.append(str(Path(__file__).parents[1]))  # so that `bench` is found, however this file is run

from beastmode.cache.disk import DiskTier
from beastmode.cache.key import Key
from beastmode.cache.lookup import Lookup
from beastmode.cache.memory import MemoryTier
from beastmode.cache.vectors import VectorIndex, to_bytes
from beastmode.core.clock import Clock
from beastmode.core.plugins import Context, Embedder
from beastmode.core.types import Completion, Entry
from bench import cache_heal

DIM = 384
EMBEDDER = "minilm-l6-v2-int8"
SCOPE = b"s" * 16
PROMPTS = 2000
NOISE = 0.02
LOOKUPS = 2000
SEARCHES = 300
PUT_AT_ONCE = 2000
TICK_S = 0.001
IDLE_S = 5.0
L1_BYTES, L2_BYTES = 64 << 20, 4 << 30
VERBS = ("sort", "reverse", "filter", "merge", "parse", "print", "copy", "split", "count", "validate")
NOUNS = ("a list", "a string", "a dictionary", "two files", "a CSV file", "a JSON object", "a tree", "a date", "rows")
PLACES = ("in Python", "in Rust", "in bash", "with SQL", "in Go", "in JavaScript")
WAYS = ("by length", "in place", "without a loop", "recursively", "by key", "as fast as possible", "lazily")

Vectors = NDArray[np.float32]


def prompts() -> list[str]:
    found = [f"How do I {' '.join(words)}?" for words in itertools.product(VERBS, NOUNS, PLACES, WAYS)]
    return random.Random(1).sample(found, PROMPTS)


async def embedder() -> Embedder | None:
    chosen = os.environ.get("BEAST_TEST_WEIGHTS") or str(Path("~/.cache/beastmode-tests").expanduser())
    made = cast(Embedder, importlib.import_module("beastmode_plugins.minilm").MiniLM())
    options = {"weights_dir": chosen}
    folder = Path(chosen)
    await made.start(Context(http=cast(Any, None), data=folder, run=folder, clock=Clock(), options=options))
    for _ in range(300):
        why = made.ready()
        if why is None or "being made ready" not in why:
            break
        await asyncio.sleep(0.1)
    if why is not None:
        print(f"without the embedder: {why}")
    return None if why is not None else made


def base_vectors(made: Embedder | None) -> Vectors:
    if made is None:
        vectors = np.random.default_rng(0).normal(size=(PROMPTS, DIM)).astype(np.float32)
    else:
        vectors = np.array([found.vector for text in prompts() if (found := made.embed(text))])
    return cast(Vectors, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def key_of(number: int) -> bytes:
    return blake2b(b"%d" % number, digest_size=16).digest()


def entry(number: int, base: Vectors) -> Entry:
    vector = base[number % PROMPTS] + NOISE * np.random.default_rng(number).normal(size=DIM).astype(np.float32)
    return Entry(
        key=key_of(number),
        scope=SCOPE,
        text=f"How do I sort a list in descending order in Python, for the {number}th time?",
        completion=Completion(text="Use sorted(items, reverse=True). " * 15, finish_reason="stop"),
        model="custom:qwen",
        stored_at_s=time.time(),
        vector=to_bytes(vector / np.linalg.norm(vector)),
        embedder=EMBEDDER,
    )


def percentiles(seconds: list[float]) -> dict[str, float]:
    return {
        f"p{share:g}_ms".replace(".", ""): float(np.percentile(seconds, share)) * 1e3 for share in (50, 95, 99, 99.9)
    }


async def each(work: Callable[[], Awaitable[Any]], times: int) -> dict[str, float]:
    taken = []
    for _ in range(times):
        started_s = time.perf_counter()
        await work()
        taken.append(time.perf_counter() - started_s)
        await asyncio.sleep(0)
    return percentiles(taken)


class Bench:
    """The cache of a daemon, as far as it is measured."""

    def __init__(self, folder: Path, made: Embedder | None, base: Vectors) -> None:
        clock = Clock()
        self.disk = DiskTier(folder / "answers", L2_BYTES, 1e9, clock)
        self.lookup = Lookup(MemoryTier(L1_BYTES, 1e9), self.disk, clock)
        self.folder = folder / "vectors"
        self.store = folder / "answers" / "store"
        self.clock = clock
        self.made = made
        self.base = base
        self.entries = 0
        self.thread = ThreadPoolExecutor(1, "embed")
        self.random = random.Random(2)
        self.texts = prompts()

    async def fill(self, count: int) -> None:
        for number in range(self.entries, count):
            self.lookup.store(entry(number, self.base))
            if number % PUT_AT_ONCE == 0:
                await self.disk.wait_stored(60)
        await self.disk.wait_stored(60)
        self.entries = count

    def index(self, **options: int) -> VectorIndex:
        made = VectorIndex(self.folder, DIM, EMBEDDER, self.clock, lambda: self.store, pause_s=0.1, **options)
        made.start()
        return made

    async def exact(self) -> None:
        key = key_of(self.random.randrange(self.entries))
        found = await self.lookup.find(Key(key, SCOPE, ""))
        assert found is not None

    async def absent(self) -> None:
        key = key_of(-1 - self.random.randrange(1 << 40))
        assert await self.lookup.find(Key(key, SCOPE, "")) is None

    async def semantic(self, index: VectorIndex) -> None:
        number = self.random.randrange(min(PROMPTS, self.entries))

        def search() -> list[tuple[bytes, float]]:
            found = self.made.embed(self.texts[number]) if self.made is not None else None
            return index.nearest(SCOPE, self.base[number] if found is None else found.vector)

        found = await asyncio.get_running_loop().run_in_executor(self.thread, search)
        assert found, (index.stats(), index.problem)

    async def rebuild(self) -> dict[str, float]:
        shutil.rmtree(self.folder, ignore_errors=True)
        late: list[float] = []
        taken: list[float] = []
        ticking = asyncio.create_task(self.tick(late))
        await asyncio.sleep(IDLE_S)
        idle, late[:] = percentiles(late), []
        started_s = time.perf_counter()
        index = self.index()
        first_s = None
        while not index.stats().builds:
            began_s = time.perf_counter()
            await self.exact()
            taken.append(time.perf_counter() - began_s)
            if first_s is None and index.stats().ready:
                first_s = time.perf_counter() - started_s
            await asyncio.sleep(0.002)
        whole_s = time.perf_counter() - started_s
        ticking.cancel()
        stats = index.stats()
        await asyncio.to_thread(index.close)
        assert stats.entries == self.entries
        return {
            "exact_search_after_s": first_s or whole_s,
            "done_after_s": whole_s,
            "graphs": stats.graphs,
            "snapshot_mb": stats.snapshot_bytes / 1e6,
            **{f"loop_{name}": value for name, value in percentiles(late).items()},
            "loop_max_ms": max(late) * 1e3,
            **{f"loop_idle_{name}": value for name, value in idle.items()},
            **{f"exact_lookup_{name}": value for name, value in percentiles(taken).items()},
        }

    async def tick(self, late: list[float]) -> None:
        while True:
            due_s = time.perf_counter() + TICK_S
            await asyncio.sleep(TICK_S)
            late.append(time.perf_counter() - due_s)

    async def close(self) -> None:
        self.thread.shutdown()
        await self.disk.close()


async def recall(bench: Bench, index: VectorIndex) -> float:
    """Share of searches that find the nearest of all."""
    matrix = np.array([np.frombuffer(entry(number, bench.base).vector, "<f2") for number in range(bench.entries)])
    real = matrix.astype(np.float32)
    hits = 0
    for number in range(100):
        near = index.nearest(SCOPE, bench.base[number], 1)
        hits += bool(near) and near[0][1] >= float((real @ bench.base[number]).max()) - 1e-4
    return hits / 100


async def run(sizes: list[int]) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="beast-bench-"))
    made = await embedder()
    bench = Bench(folder, made, base_vectors(made))
    found: dict[str, Any] = {"lookup": {}}
    try:
        await bench.disk.start()
        for size in sizes:
            await bench.fill(size)
            index = bench.index()
            await asyncio.to_thread(index.wait_idle, 600)
            found["lookup"][str(size)] = {
                "exact": await each(bench.exact, LOOKUPS),
                "absent": await each(bench.absent, LOOKUPS),
                "semantic": await each(lambda index=index: bench.semantic(index), SEARCHES),  # type: ignore[misc]  # mypy can not see the type of a default
                "graphs": index.stats().graphs,
            }
            if size == sizes[-1]:
                found["recall_at_1"] = await recall(bench, index)
            await asyncio.to_thread(index.close)
        if made is not None:
            found["embed"] = await each(lambda: asyncio.to_thread(made.embed, bench.texts[0]), SEARCHES)
        shutil.rmtree(bench.folder)
        index = bench.index(graph_rows=1 << 60)
        await asyncio.to_thread(index.wait_idle, 600)
        found["semantic_without_graphs"] = await each(lambda: bench.semantic(index), SEARCHES)
        await asyncio.to_thread(index.close)
        found["rebuild"] = await bench.rebuild()
    finally:
        await bench.close()
        shutil.rmtree(folder, ignore_errors=True)
    return found


def show(found: dict[str, Any]) -> None:
    print(f"{'answers':>9} {'lookup':>22} {'p50 ms':>9} {'p95 ms':>9} {'p99 ms':>9}   goal of p95")
    goals = {"exact": "1 ms", "semantic": "15 ms"}

    def line(size: str, name: str, one: dict[str, float]) -> None:
        goal = goals.get(name, "")
        print(f"{size:>9} {name:>22} {one['p50_ms']:>9.3f} {one['p95_ms']:>9.3f} {one['p99_ms']:>9.3f}   {goal}")

    for size, kinds in found["lookup"].items():
        for name in ("exact", "absent", "semantic"):
            line(size, name, kinds[name])
    line(list(found["lookup"])[-1], "semantic, no graphs", found["semantic_without_graphs"])
    if "embed" in found:
        line("", "embedding alone", found["embed"])
    rebuild = found["rebuild"]
    idle_ms, late_ms, most_ms = (rebuild[f"loop_{name}_ms"] for name in ("idle_p999", "p999", "max"))
    print(
        f"recall at 1: {found['recall_at_1']:.2f}; rebuild of {list(found['lookup'])[-1]} answers: searched exactly"
        f" after {rebuild['exact_search_after_s']:.1f} s, {rebuild['graphs']} graphs after"
        f" {rebuild['done_after_s']:.1f} s (goal 60 s), {rebuild['snapshot_mb']:.0f} MB"
    )
    print(
        f"meanwhile: the loop late by p99.9 {late_ms:.1f} ms (goal 20 ms; before it {idle_ms:.1f} ms), at most"
        f" {most_ms:.1f} ms; exact lookups p95 {rebuild['exact_lookup_p95_ms']:.3f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", default="1000,10000,100000", help="how many answers, in growing order")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--heal", action="store_true", help="damage a daemon that holds the largest number of them")
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.entries.split(",")]
    if arguments.heal:
        healed = cache_heal.measure(sizes[-1])
        if arguments.json:
            arguments.json.write_text(json.dumps(healed, indent=1) + "\n")
        return
    try:
        factory = importlib.import_module("uvloop").new_event_loop
    except ImportError:
        factory = asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        found = runner.run(run(sizes))
    show(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
