"""How long a daemon's cache takes to heal, seen from its socket: index or store damaged while it runs, or is off.

usage: python -P bench/cache_latency.py --heal [--entries 100000] [--json FILE]

The store is filled with `cache.put`. Then, each on a copy of that home: the index's files are cut in half, the store's
file is flipped, cut in half, or merely touched (which is checked as well), the daemon is killed. It is asked every few
milliseconds until for good: an exact hit answers, a semantic hit answers (of a stored wording, or where the store
itself was lost, of one that is put then), the index holds everything again, and health is fine. The daemon has one
core, this program the other one. As a reference, the same machine writes 64 MB and multiplies matrices.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))  # the daemon as tests start it

_support = importlib.import_module("support.daemon")
Daemon, rpc = _support.Daemon, _support.rpc

WEIGHTS = os.environ.get("BEAST_TEST_WEIGHTS") or str(Path("~/.cache/beastmode-tests").expanduser())
SETTINGS = f"""
[plugins.options.minilm]
weights_dir = "{WEIGHTS}"
[cache.l1]
max_bytes = 100000
"""
BATCH = 100
POLL_S = 0.02
LIMIT_S = 300.0
PAUSE_S = 6.0
"""A build follows another one after five seconds at the earliest."""
VERBS = ("sort", "reverse", "filter", "merge", "parse", "print", "copy", "split", "count", "validate")
NOUNS = ("a list", "a string", "a dictionary", "two files", "a CSV file", "a JSON object", "a tree", "a date", "rows")
WAYS = ("in Python", "in Rust", "in bash", "with SQL", "in Go", "by length", "recursively", "lazily", "by key")
STORED = "Write a haiku about the keeper of a lighthouse in winter"
REWORDED = "Could you please write a haiku about the keeper of a lighthouse in winter?"
LATER = "Explain why the sky over a desert turns violet after sunset"
LATER_REWORDED = "Hi, please explain why the sky over a desert turns violet after sunset"
MODEL = "m"


def prompt(number: int) -> str:
    draw = random.Random(number)
    words = [draw.choice(part) for part in (VERBS, NOUNS, WAYS)]
    return f"How do I {' '.join(words)}, as in example {number}?"


class Home:
    """A daemon with a filled cache, and a copy of its files as they were when it had stopped."""

    def __init__(self, entries: int) -> None:
        self.entries = entries
        self.daemon = Daemon(SETTINGS)
        self.copy = Path(tempfile.mkdtemp(prefix="beast-heal-"))
        cores = sorted(os.sched_getaffinity(0))
        self.daemon.program = ["taskset", "-c", str(cores[0]), *self.daemon.program]
        os.sched_setaffinity(0, {cores[-1]})

    def fill(self) -> float:
        began_s = time.perf_counter()
        self.daemon.start()
        self.put(STORED, "stored")
        with self.daemon.raw() as wire:
            wire.socket.settimeout(120)
            for first in range(0, self.entries, BATCH):
                numbers = range(first, min(first + BATCH, self.entries))
                wire.send(*(rpc("cache.put", put_of(prompt(number), str(number)), number) for number in numbers))
                for _ in numbers:
                    assert "result" in wire.line()
        filled_s = time.perf_counter() - began_s
        self.wait_for_index()
        self.daemon.stop()
        for folder in ("state", "cache"):
            shutil.copytree(self.daemon.home / folder, self.copy / folder)
        return filled_s

    def restore(self) -> None:
        for folder in ("state", "cache"):
            shutil.rmtree(self.daemon.home / folder)
            shutil.copytree(self.copy / folder, self.daemon.home / folder)

    def put(self, text: str, answer: str) -> None:
        self.daemon.call("cache.put", put_of(text, answer))

    def index(self) -> dict[str, Any]:
        return dict(self.daemon.call("cache.stats")["semantic"]["index"])

    def whole(self) -> bool:
        """The index holds everything, and none is being built."""
        found = self.index()
        return bool(found["ready"] and not found["building"] and found["entries"] > self.entries)

    def wait_for_index(self) -> None:
        wait_for(lambda: self.daemon.call("cache.stats")["l2"]["waiting"] == 0)
        wait_for(self.whole)
        time.sleep(PAUSE_S)
        wait_for(self.whole)

    def store_is_ready(self) -> bool:
        return bool(self.daemon.call("cache.stats")["l2"]["ready"])

    def files(self, what: str) -> list[Path]:
        found = [path for path in (self.daemon.home / "cache").rglob("*") if path.is_file() and path.stat().st_size]
        if what == "store":
            return [path for path in found if path.name == "data.mdb"]
        return [path for path in found if path.name in ("manifest", "matrix", "keys") or path.suffix == ".hnsw"]

    def hits(self, text: str, kind: str) -> bool:
        try:
            return bool(self.daemon.call("cache.lookup", {"prompt": text, "model": MODEL})["result"] == kind)
        except Exception:  # not there yet
            return False

    def is_fine(self) -> bool:
        """No part but those that have nothing to do with the cache has an issue."""
        issues = self.daemon.call("health.get")["issues"]
        return all(issue["part"] in ("requests", "ledger") for issue in issues)

    def close(self) -> None:
        self.daemon.stop()
        shutil.rmtree(self.daemon.home, ignore_errors=True)
        shutil.rmtree(self.copy, ignore_errors=True)


def put_of(text: str, answer: str) -> dict[str, str]:
    return {"prompt": text, "response": answer, "model": MODEL}


def wait_for(ready: Callable[[], bool], limit_s: float = LIMIT_S) -> float | None:
    """Returns the seconds it took; None where the time was up."""
    began_s = time.perf_counter()
    while not ready():
        if time.perf_counter() - began_s > limit_s:
            return None
        time.sleep(POLL_S)
    return time.perf_counter() - began_s


def cut(paths: list[Path]) -> None:
    for path in paths:
        os.truncate(path, path.stat().st_size // 2)


def flip(paths: list[Path]) -> None:
    for path in paths:
        with path.open("r+b") as file:
            for at in range(1000, path.stat().st_size, max(1000, path.stat().st_size // 50)):
                file.seek(at)
                byte = file.read(1)
                file.seek(at)
                file.write(bytes([byte[0] ^ 4]))


def heal(home: Home, damage: Callable[[], None], running: bool, lost: bool, noticed: bool) -> dict[str, Any]:
    """Damages, and measures from then on, or from the start of a daemon that was off.

    Args:
        home: A filled home.
        damage: What happens to it.
        running: The daemon is running then.
        lost: The answers are gone with it; a new one is put.
        noticed: Health is to say so first.

    Returns:
        For each thing that must work, the seconds until it did so for good.
    """
    home.restore()
    if running:
        home.daemon.start()
        wait_for(lambda: home.hits(REWORDED, "hit_semantic"))
        wait_for(home.whole)
        time.sleep(PAUSE_S)
        wait_for(home.whole)
    damage()
    began_s = time.perf_counter()
    found: dict[str, Any] = {}
    if home.daemon.process is None:
        found["answers_s"] = round(home.daemon.start(), 3)
    if lost:
        home.put(LATER, "later")
    exact, semantic = (LATER, LATER_REWORDED) if lost else (prompt(7), REWORDED)
    checks: dict[str, Callable[[], bool]] = {
        "exact_s": lambda: home.hits(exact, "hit_exact"),
        "semantic_s": lambda: home.hits(semantic, "hit_semantic"),
        "store_s": home.store_is_ready,
        "whole_index_s": lambda: lost or home.whole(),
        "healthy_s": home.is_fine,
    }
    since_s: dict[str, float | None] = dict.fromkeys(checks)
    degraded = False
    while time.perf_counter() - began_s < LIMIT_S:
        home.hits(prompt(11), "hit_exact")  # so that the store is read
        for name, check in checks.items():
            is_so = check()
            if not is_so or since_s[name] is None:
                since_s[name] = round(time.perf_counter() - began_s, 3) if is_so else None
        degraded |= since_s["healthy_s"] is None
        waiting = [name for name, at_s in since_s.items() if at_s is None]
        if degraded >= noticed and (not waiting or (lost and waiting == ["healthy_s"])):
            break  # what was lost is named for ten minutes
        time.sleep(POLL_S)
    return {**found, **since_s, "seen_degraded": degraded, "stop": home.daemon.stop()}


def reference() -> dict[str, float]:
    """What this machine does now, to compare runs by."""
    data = os.urandom(64 << 20)
    with tempfile.NamedTemporaryFile() as file:
        began_s = time.perf_counter()
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        file.read()
        disk_s = time.perf_counter() - began_s
    matrix = np.ones((1000, 1000), np.float32)
    began_s = time.perf_counter()
    for _ in range(10):
        matrix @ matrix
    return {"write_64mb_s": round(disk_s, 3), "ten_products_s": round(time.perf_counter() - began_s, 3)}


def measure(entries: int) -> dict[str, Any]:
    home = Home(entries)
    found: dict[str, Any] = {"entries": entries, "reference": reference()}
    try:
        found["fill_s"] = round(home.fill(), 1)
        found["store_mb"] = round(sum(path.stat().st_size for path in home.files("store")) / 1e6)

        def touched() -> None:
            for path in home.files("store"):
                path.touch()

        scenes: dict[str, tuple[Callable[[], None], bool, bool, bool]] = {
            "index cut in half, running": (lambda: cut(home.files("index")), True, False, True),
            "index cut in half, off": (lambda: cut(home.files("index")), False, False, True),
            "store touched, running": (touched, True, False, False),
            "store's pages flipped, running": (lambda: flip(home.files("store")), True, True, True),
            "store cut in half, off": (lambda: cut(home.files("store")), False, True, True),
            "killed": (home.daemon.kill, True, False, False),
        }
        found["scenes"] = {}
        for name, scene in scenes.items():
            found["scenes"][name] = one = heal(home, *scene)
            print(f"{name}: {json.dumps(one)}", flush=True)
        found["reference_after"] = reference()
    finally:
        home.close()
    return found
