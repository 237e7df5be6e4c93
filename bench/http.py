"""Hits, misses and streams over HTTP, beside the provider itself, a thirty-line pass-through, LiteLLM and Portkey.

usage: python -P bench/http.py [--seconds 2] [--rounds 3] [--connections 1 16 64] [--only NAME ...] [--json FILE]
                               [--picture FILE] [--long [STREAMS]]

The gateways share the first core, asked one after another; generator and provider share the last one. A figure is the
median of its rounds, which take turns. `paced` is misses at 500 a second, which shows what a gateway adds when it is
not saturated. Streams have 20 chunks, 5 ms apart. CPU is user and system time of the gateway's processes. Added times
are medians less those of calling the provider directly, in the same run. Hits and misses come from `wrk` where it is
installed. LITELLM=/path/to/litellm and PORTKEY=/path/to/start-server.js say where those two are.
"""

from __future__ import annotations

import sys

sys.path[:] = [place for place in sys.path if not place.endswith("bench")]  # this file must not stand for `http`

# ruff: noqa: E402  # imports come after the line above on purpose
import argparse
import contextlib
import itertools
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # so that `bench` is found, however this file is run

from bench.http_contenders import ALL, Contender, cores, cpu_s, memory_mb, provider, start
from bench.http_picture import picture

HERE = Path(__file__).parent
CHUNKS, PAUSE_MS = 20, 5.0
QUESTION = "How do I reverse a string in Python?"
UNIQUE = "Question 00000000 of the benchmark"
KINDS = {"hit": (QUESTION, False), "miss": (UNIQUE, False), "paced": (UNIQUE, False), "stream": (UNIQUE, True)}
PACED_PER_S = 500
"""Of all connections together, in `paced`: misses at a pace that leaves everyone time, since at full speed a time is
nothing but the number of connections divided by the rate."""
LONG_CONNECTIONS = 64
LONG_CACHES_MB = (8, 64)
"""Of the tier in memory, a small one and the usual one; both are full before the second half of 100,000 streams."""
NOISE_MB = 2.0
WARM_UP_S = 3.0
UNCACHED_HITS = ("direct", "pass-through")  # they have no cache: what the same question costs without one
GOALS_AT = "16"
Figures = dict[str, float]


class Load:
    """The generators.

    Args:
        folder: Where they are compiled to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("http_load", "http_provider"):
            subprocess.run(["gcc", "-O2", "-o", folder / name, HERE / f"{name}.c"], check=True)
        self.provider = folder / "http_provider"
        self.wrk = shutil.which("wrk")

    def run(self, one: Contender, kind: str, connections: int, seconds: float, most: int = 0) -> Figures:
        """Asks for a while, and measures."""
        text, stream = KINDS[kind]
        template, out = self._folder / "template", self._folder / "out.json"
        template.write_bytes(one.request(text, stream))
        before_s = cpu_s(one.pid) if one.pid is not None else 0.0
        if kind not in ("hit", "miss") or self.wrk is None:
            numbers = (one.port, connections, seconds, most, PACED_PER_S if kind == "paced" else 0)
            command = [str(self._folder / "http_load"), *map(str, numbers)]
            done = start([*command, str(template)], cores()[1], stdout=subprocess.PIPE)
            found: Figures = json.loads(done.communicate()[0])
        else:
            command = [self.wrk, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s"]
            command += ["-s", str(HERE / "http_load.lua"), f"http://127.0.0.1:{one.port}/v1/chat/completions"]
            environment = {**os.environ, "TEMPLATE": str(template), "OUT": str(out)}
            start(command, cores()[1], env=environment, stdout=subprocess.DEVNULL).wait()
            found = json.loads(out.read_text())
        found["per_s"] = found["requests"] / found["seconds"]
        if one.pid is not None:
            found["cpu_us"] = (cpu_s(one.pid) - before_s) / max(1.0, found["requests"]) * 1e6
        return found


def median(rounds: list[Figures]) -> Figures:
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def contend(
    load: Load, contenders: list[Contender], connections: list[int], seconds: float, rounds: int
) -> dict[str, Any]:
    """All figures of all contenders, by name, kind and connections; the rounds take turns."""
    found: dict[str, Any] = {one.name: {} for one in contenders}
    idle_mb = {one.name: memory_mb(one.pid) for one in contenders if one.pid is not None}
    for one in contenders:
        load.run(one, "hit", 1, 1.0)  # the answer is stored from here on, where somebody stores it
        load.run(one, "miss", 16, WARM_UP_S)
    for kind, count in itertools.product(KINDS, connections):
        taking = [one for one in contenders if kind != "hit" or one.caches or one.name in UNCACHED_HITS]
        taken: dict[str, list[Figures]] = {one.name: [] for one in taking}
        for _, one in itertools.product(range(rounds), taking):
            taken[one.name].append(load.run(one, kind, count, seconds))
        for name, figures in taken.items():
            middle = median(figures)
            good = middle["requests"] > middle["errors"]
            found[name].setdefault(kind, {})[str(count)] = middle if good else {"errors": middle["errors"]}
    for one in contenders:
        if one.pid is not None:
            after_mb, peak_mb = memory_mb(one.pid), memory_mb(one.pid, "VmHWM")
            found[one.name]["memory"] = {"idle_mb": idle_mb[one.name], "after_mb": after_mb, "peak_mb": peak_mb}
    return found


def add_differences(found: dict[str, Any]) -> None:
    """What each adds to the provider's own times, and its rate beside the pass-through's."""
    for name, table in found.items():
        for kind in KINDS:
            for count, one in table.get(kind, {}).items():
                direct, reference = found["direct"][kind][count], found.get("pass-through", {}).get(kind, {}).get(count)
                if "per_s" in one and reference is not None:
                    one["of_pass_through"] = one["per_s"] / reference["per_s"]
                if name == "direct" or "per_s" not in one:
                    continue
                one["added_us"] = one["p50_us"] - direct["p50_us"]
                if "first_p50_us" in one:
                    one["added_first_us"] = one["first_p50_us"] - direct["first_p50_us"]


def run(only: list[str], connections: list[int], seconds: float, rounds: int) -> dict[str, Any]:
    """Measures everyone who is installed."""
    missing: list[str] = []
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(scratch())
        load = Load(folder)
        port = stack.enter_context(provider(load.provider, CHUNKS, PAUSE_MS))
        contenders = [Contender("direct", port, {}, None)]
        for name, begin in ALL.items():
            one = stack.enter_context(begin(port, folder)) if not only or name in only else None
            if one is not None:
                contenders.append(one)
            elif not only or name in only:
                missing.append(name)
        time.sleep(1)
        found = contend(load, contenders, connections, seconds, rounds)
    add_differences(found)
    return {"generator": "wrk" if load.wrk else "http_load", "missing": missing, "contenders": found}


def run_long(streams: int) -> dict[str, Any]:
    """The daemon's memory over many streams, all different, which come as fast as they can; by size of its cache."""
    return {f"L1 of {size_mb} MB": run_long_with(size_mb, streams) for size_mb in LONG_CACHES_MB}


def run_long_with(cache_mb: int, streams: int) -> dict[str, Any]:
    """As `run_long`, with one size of the cache in memory: once that is full, what grows is something else."""
    os.environ["BEAST_CACHE__L1__MAX_BYTES"] = str(cache_mb << 20)
    print(f"L1 of {cache_mb} MB")
    with scratch() as folder:
        load = Load(folder)
        with provider(load.provider, CHUNKS, 0) as port, ALL["beast"](port, folder) as one:
            assert one is not None and one.pid is not None
            course = [_memory(0, one.pid)]
            errors = 0.0
            began_s = time.monotonic()
            for part in range(1, 21):
                errors += load.run(one, "stream", LONG_CONNECTIONS, 0, streams // 20)["errors"]
                course.append(_memory(part * (streams // 20), one.pid))
                print(
                    "{streams:>9,.0f} streams  {mb:>7.1f} MB, of which {own_mb:>7.1f} MB its own".format(**course[-1])
                )
            took_s = time.monotonic() - began_s
            half = course[len(course) // 2]
            return {
                "course": course,
                "peak_mb": memory_mb(one.pid, "VmHWM"),
                "second_half_mb": course[-1]["own_mb"] - half["own_mb"],
                "errors": errors,
                "per_s": streams / took_s,
            }


def show_long(found: dict[str, Any]) -> None:
    """How much own memory grew in the second half, beside the goal of none."""
    for name, one in found.items():
        flat = "flat" if abs(one["second_half_mb"]) <= NOISE_MB else "NOT flat"
        grew = f"{one['second_half_mb']:+.1f} MB in the second half, {one['errors']:.0f} errors"
        print(f"{name}: {grew}, {one['per_s']:,.0f} streams/s: {flat} (within {NOISE_MB:g} MB)")


def _memory(streams: int, pid: int) -> Figures:
    """Memory after so many streams; `own_mb` is without the pages of files, such as those of the cache on disk."""
    return {"streams": streams, "mb": memory_mb(pid), "own_mb": memory_mb(pid, "RssAnon")}


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="beast-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def show(found: dict[str, Any]) -> None:
    names = [f"{'':>6} {'conn':>4} {'':>12} {'per s':>9} {'of p-t':>7} {'CPU us':>8} {'p50 ms':>8} {'p95 ms':>8}"]
    print(f"{names[0]} {'p99 ms':>8} {'added ms':>9} {'1st ms':>7} {'added 1st':>9}")
    contenders = found["contenders"]
    for kind in KINDS:
        for count in next(iter(contenders.values()))[kind]:
            for name, table in contenders.items():
                if kind in table:
                    print(_line(kind, count, name, table[kind][count]))
        print()
    for name, table in contenders.items():
        if "memory" in table:
            idle, after, peak = (table["memory"][key] for key in ("idle_mb", "after_mb", "peak_mb"))
            print(f"{name}: memory {idle:.0f} MB idle, {after:.0f} after, {peak:.0f} at most")
    for name in found["missing"]:
        print(f"{name}: not installed")
    if found["generator"] != "wrk":
        print("wrk is not installed (apt-get install wrk): hits and misses were asked for by bench/http_load.c")


def _line(kind: str, count: str, name: str, one: Figures) -> str:
    def cell(key: str, width: int, places: int, scale: float = 1.0) -> str:
        return f"{one[key] / scale:>{width},.{places}f}" if key in one else " " * width

    share = f"{one['of_pass_through']:>7.2f}" if "of_pass_through" in one else " " * 7
    line = f"{kind:>6} {count:>4} {name:>12} {cell('per_s', 9, 0)} {share} {cell('cpu_us', 8, 0)}"
    line += "".join(f" {cell(key, 8, 2, 1e3)}" for key in ("p50_us", "p95_us", "p99_us"))
    line += f" {cell('added_us', 9, 2, 1e3)} {cell('first_p50_us', 7, 2, 1e3)} {cell('added_first_us', 9, 2, 1e3)}"
    errors = f"  {one['errors']:.0f} errors" if "per_s" in one else "  no good answer"
    return line + (errors if one["errors"] or "per_s" not in one else "")


def show_goals(found: dict[str, Any]) -> None:
    """The goals of the project beside what was found, at 16 connections."""
    table = found["contenders"].get("beast")
    if table is None or GOALS_AT not in table["hit"]:
        return
    hit, miss, paced, stream = (table[kind][GOALS_AT] for kind in KINDS)
    goals = [
        ("exact hits/s", hit["per_s"], ">=", 10_000.0),
        ("relayed misses/s", miss["per_s"], ">=", 5_000.0),
        ("added to a paced miss, median, ms", paced["added_us"] / 1e3, "<", 0.5),
        ("streams, of the pass-through's rate", stream.get("of_pass_through", 0.0), ">=", 0.5),
        ("added to the first chunk, ms", stream["added_first_us"] / 1e3, "<", 1.0),
    ]
    print("\ngoals, on one core at 16 connections:")
    for what, value, sign, goal in goals:
        met = value >= goal if sign == ">=" else value < goal
        print(f"  {what:<40} {value:>10,.2f}   goal {sign} {goal:,.2f}   {'met' if met else 'NOT met'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each kind; the median counts")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64], help="how many at once")
    parser.add_argument("--only", nargs="+", default=[], choices=list(ALL), help="these alone, beside the provider")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--picture", type=Path, help="draw them to this file, as SVG")
    parser.add_argument("--long", type=int, nargs="?", const=100_000, help="memory of the daemon over so many streams")
    arguments = parser.parse_args()
    if arguments.long:
        found = run_long(arguments.long)
        show_long(found)
    else:
        found = run(arguments.only, arguments.connections, arguments.seconds, arguments.rounds)
        show(found)
        show_goals(found)
    if arguments.picture and not arguments.long:
        arguments.picture.write_text(picture(found["contenders"]), "utf-8")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
