"""A workspace of 100,000 files: how long it is read, what that takes, and how long others wait meanwhile.

Run `python -P bench/scan.py [--files N] [--json FILE]`. A real daemon opens a folder of small Python files. Pings over
the socket, one each two milliseconds, tell how late the event loop is while nothing happens and while the folder is
read; then new files are waited for, 5,000 files that go at once, and a restart, which only looks at what it knows.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # the daemon as tests have it
Daemon: Any = importlib.import_module("support.daemon").Daemon

FILES = 100_000
IN_A_FOLDER = 20
SWITCHED = 5_000
EDITS = 20
IDLE_S = 20.0
PING_PAUSE_S = 0.002
LIMIT_S = 3600.0
TICKS = os.sysconf("SC_CLK_TCK")


def make(root: Path, count: int) -> list[Path]:
    """Writes the files; returns them in the order of their names."""
    chance = random.Random(7)
    files = []
    for number in range(count):
        folder = root / f"part{number // (IN_A_FOLDER * 50)}" / f"package{number // IN_A_FOLDER}"
        if number % IN_A_FOLDER == 0:
            folder.mkdir(parents=True)
        file = folder / f"module{number}.py"
        file.write_text(source(number, chance.randrange(1 << 30)))
        files.append(file)
    return files


def source(number: int, value: int) -> str:
    """A small module: a docstring, a function, a class."""
    return (
        f'"""Module {number}: what it does is made up."""\n\nimport os\n\nLIMIT = {value}\n\n\n'
        f"def handle_{number}(items, limit=LIMIT):\n"
        f'    """Handles items up to a limit."""\n    return [item for item in items if item < limit + {number}]\n\n\n'
        f"class Store{number}:\n    def __init__(self, path):\n        self.path = os.fspath(path)\n\n"
        f"    def read(self):\n        with open(self.path) as file:\n            return file.read()\n"
    )


class Pings:
    """Asks for nothing, again and again, in a thread of its own, and notes how long each answer took."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._done = threading.Event()
        self._waits_s: list[float] = []
        self._late_ms: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Pings:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._late_ms = self._daemon.call("health.get")["loop_lag_ms"]

    def _run(self) -> None:
        with self._daemon.client() as client:
            while not self._done.is_set():
                began_s = time.perf_counter()
                client.call("ping")
                self._waits_s.append(time.perf_counter() - began_s)
                time.sleep(PING_PAUSE_S)

    def figures(self) -> dict[str, float]:
        """Percentiles in milliseconds; `loop_late` is what the daemon itself measured within the last minute."""
        waits = sorted(self._waits_s)
        at = {"p50": 0.5, "p99": 0.99, "p99_9": 0.999}
        return {
            **{f"{name}_ms": waits[min(len(waits) - 1, int(len(waits) * part))] * 1e3 for name, part in at.items()},
            "worst_ms": waits[-1] * 1e3,
            "pings": len(waits),
            "loop_late_p99_ms": self._late_ms["p99"],
            "load": os.getloadavg()[0],
        }


def reader_of(daemon: Daemon) -> int:
    """The process that reads workspaces for a daemon."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            except OSError:
                continue
            if b"beastmode.workspace.index" in words and int(parent) == daemon.pid:
                return int(entry.name)
    raise LookupError("nothing reads workspaces")


def memory_mb(pid: int, what: str = "VmHWM") -> float:
    """Memory of a process: the most it ever had, or `VmRSS`, what it has."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) / 1024
    return 0.0


def cpu_s(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def row(daemon: Daemon) -> dict[str, Any]:
    """The workspace as it is."""
    (found,) = daemon.call("workspace.list")["workspaces"]
    return dict(found)


def wait(holds: Any, pause_s: float = 0.002) -> float:
    """Waits for something; returns the seconds that took."""
    began_s = time.perf_counter()
    while not holds():
        assert time.perf_counter() - began_s < LIMIT_S, "it never came"
        time.sleep(pause_s)
    return time.perf_counter() - began_s


def scan(daemon: Daemon, root: Path) -> dict[str, Any]:
    """Reads the folder for the first time."""
    before_mb, before_s = memory_mb(daemon.pid, "VmRSS"), cpu_s(daemon.pid)
    with Pings(daemon) as pings:
        daemon.call("workspace.open", {"path": str(root)})
        took_s = wait(lambda: row(daemon)["state"] == "ready", 0.2)
    reader, found = reader_of(daemon), row(daemon)
    return {
        "took_s": took_s,
        "files": found["files"],
        "pieces": found["chunks"],
        "files_per_s": found["files"] / took_s,
        "reader_cpu_s": cpu_s(reader),
        "reader_peak_mb": memory_mb(reader),
        "daemon_grew_mb": memory_mb(daemon.pid, "VmRSS") - before_mb,
        "daemon_cpu_s": cpu_s(daemon.pid) - before_s,
        "ping": pings.figures(),
    }


def edits(daemon: Daemon, files: list[Path]) -> dict[str, float]:
    """New files, one after another: how long until each is known."""
    waits_ms = []
    for number in range(EDITS):
        known = row(daemon)["files"]
        files[number * len(files) // EDITS].with_name(f"fresh{number}.py").write_text(source(number, 1))
        waits_ms.append(wait(lambda: row(daemon)["files"] > known) * 1e3)  # noqa: B023 - called at once
        time.sleep(0.3)
    return {"p50_ms": sorted(waits_ms)[len(waits_ms) // 2], "worst_ms": max(waits_ms)}


def switch(daemon: Daemon, files: list[Path]) -> dict[str, Any]:
    """Files that go all at once, as when a branch is left: until that is known, and who waits meanwhile."""
    count = min(SWITCHED, len(files) // 2)
    known = row(daemon)["files"]
    with Pings(daemon) as pings:
        began_s = time.perf_counter()
        for file in files[:count]:
            file.unlink()
        wrote_s = time.perf_counter() - began_s
        after_s = wait(lambda: row(daemon)["files"] <= known - count)
    return {"files": count, "wrote_s": wrote_s, "known_after_s": after_s, "ping": pings.figures()}


def restart(daemon: Daemon) -> dict[str, float]:
    """A new daemon looks at what it knows."""
    daemon.stop()
    daemon.start()
    took_s = wait(lambda: row(daemon)["state"] == "ready", 0.05)
    reader = reader_of(daemon)
    return {"took_s": took_s, "reader_cpu_s": cpu_s(reader), "reader_peak_mb": memory_mb(reader)}


def measure(count: int) -> dict[str, Any]:
    """All of it, in a folder that is gone afterwards."""
    place = Path(tempfile.mkdtemp(prefix="beast-bench-"))
    try:
        files = make(place / "project", count)
        with Daemon("", {"BEAST_HTTP__ENABLED": "false", "BEAST_LSP__ENABLED": "false"}) as daemon:
            with Pings(daemon) as pings:
                time.sleep(IDLE_S)
            found: dict[str, Any] = {"idle": {"ping": pings.figures()}}
            found["scan"] = scan(daemon, place / "project")
            with Pings(daemon) as pings:
                time.sleep(IDLE_S)
            found["idle_again"] = {"ping": pings.figures()}
            found["new_file"] = edits(daemon, files)
            found["switch"] = switch(daemon, files)
            found["restart"] = restart(daemon)
            found["catalogue_mb"] = sum(one.stat().st_size for one in daemon.home.glob("cache/workspaces/*")) / 2**20
            return found
    finally:
        shutil.rmtree(place, ignore_errors=True)


def show(found: dict[str, Any], indent: str = "") -> None:
    """Prints the figures, one a line."""
    for name, value in found.items():
        if isinstance(value, dict):
            print(f"{indent}{name}")
            show(value, indent + "  ")
        else:
            print(f"{indent}{name:<24}{value:>14,.2f}")


def main() -> None:
    """Measures, prints, and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = measure(arguments.files)
    show(found)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
