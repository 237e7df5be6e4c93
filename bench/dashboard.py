"""What open dashboards cost: CPU of the daemon beside 1,000 requests a second with 8 viewers, and without.

Run `python -P bench/dashboard.py [--viewers 8] [--rate 1000] [--seconds 20] [--rows N] [--json FILE]`. CPU is what the
kernel accounts to the daemon's process, all threads; the cost of the viewers is the difference. The step by meaning is
off: its search grows with every new question, which would be taken for the viewers' cost.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import importlib
import json
import os
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.append(str(Path(__file__).parents[1]))  # so that `bench` is found, however this file is run
sys.path.append(str(Path(__file__).parents[1] / "tests"))  # the daemon as tests start it

from beastmode.client import AsyncClient
from beastmode.core.clock import Clock
from beastmode.metrics.ledger import Ledger

Daemon = importlib.import_module("support.daemon").Daemon
rows = importlib.import_module("bench.metrics").rows
TICKS = os.sysconf("SC_CLK_TCK")
TURN_S = 0.01


def cpu_s(pid: int) -> float:
    """CPU that a process has used, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Viewer(threading.Thread):
    """A page that listens, and notes how old each frame is."""

    def __init__(self, address: str, cookie: str) -> None:
        super().__init__(daemon=True)
        parts = urlsplit(address)
        assert parts.hostname is not None
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
        self.connection.request("GET", "/dashboard/events?window=1h", headers={"cookie": cookie})
        self.response = self.connection.getresponse()
        self.frames = self.bytes = 0
        self.over = False

    def run(self) -> None:
        """Reads until it is told to stop."""
        while not self.over and (line := self.response.fp.readline()):
            self.bytes += len(line)
            self.frames += line.startswith(b"data:")

    def stop(self) -> None:
        """Leaves."""
        self.over = True
        self.join(5)
        self.connection.close()


async def ask(client: AsyncClient, rate: int, seconds: float) -> int:
    """Asks so often, half of it anew; gives how many were answered."""
    done = 0
    began_s, sent = time.monotonic(), 0
    waiting: set[asyncio.Task[Any]] = set()
    while (now_s := time.monotonic() - began_s) < seconds:
        while sent < now_s * rate and len(waiting) < rate:
            text = f"question {sent if sent % 2 else sent % 100} {began_s}"
            waiting.add(asyncio.create_task(client.call("chat", {"message": text, "model": "echo:echo"})))
            sent += 1
        await asyncio.sleep(TURN_S)
        finished = {task for task in waiting if task.done()}
        done += len(finished)
        waiting -= finished
    await asyncio.gather(*waiting)
    return done + len(waiting)


def sign_in(daemon: Any) -> str:
    """The cookie of a session."""
    parts = urlsplit(daemon.call("dashboard.open")["url"])
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    connection.request("GET", f"{parts.path}?{parts.query}")
    response = connection.getresponse()
    response.read()
    connection.close()
    return (response.getheader("set-cookie") or "").partition(";")[0]


def measure(daemon: Any, viewers: int, rate: int, seconds: float) -> dict[str, float]:
    """One run."""
    cookie = sign_in(daemon)
    pages = [Viewer(daemon.url, cookie) for _ in range(viewers)]
    for page in pages:
        page.start()

    async def run() -> int:
        async with AsyncClient(daemon.socket) as client:
            await ask(client, rate, 3.0)
            marks.append((time.monotonic(), cpu_s(daemon.pid)))
            done = await ask(client, rate, seconds)
            marks.append((time.monotonic(), cpu_s(daemon.pid)))
            return done

    marks: list[tuple[float, float]] = []
    done = asyncio.run(run())
    for page in pages:
        page.stop()
    (from_s, from_cpu_s), (to_s, to_cpu_s) = marks
    took_s = to_s - from_s
    return {
        "requests_per_s": round(done / took_s, 1),
        "cpu_percent": round(100 * (to_cpu_s - from_cpu_s) / took_s, 2),
        "frames_per_s_each": round(statistics.mean(page.frames for page in pages) / (seconds + 3), 2) if pages else 0.0,
        "kilobytes_per_s_each": round(statistics.mean(page.bytes for page in pages) / (seconds + 3) / 1e3, 1)
        if pages
        else 0.0,
    }


def fill(home: Path, count: int) -> None:
    """Writes a past of thirty days, and adds it up, so that the daemon has not to."""
    (home / "state").mkdir(mode=0o700, exist_ok=True)
    ledger = Ledger(home / "state" / "ledger", Clock())
    ledger.start()
    now_s = time.time()
    for row in rows(count, now_s - 30 * 86_400, now_s, "past"):
        ledger.record(row)
    asyncio.run(ledger.written())
    ledger.roll_up()
    ledger.close()


def main() -> None:
    """Measures in turns, so that what else the machine does falls on both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, default=8)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("BEAST_HTTP__PORT", "0")
    daemon = Daemon('[cache]\nsemantic = "off"\n')
    fill(daemon.home, options.rows)
    alone, watched = [], []
    with daemon:
        daemon.add("echo:echo")
        for _ in range(options.turns):
            alone.append(measure(daemon, 0, options.rate, options.seconds))
            watched.append(measure(daemon, options.viewers, options.rate, options.seconds))
    cost = statistics.mean(one["cpu_percent"] for one in watched) - statistics.mean(one["cpu_percent"] for one in alone)
    found = {"alone": alone, "watched": watched, "viewers": options.viewers, "viewers_cpu_percent": round(cost, 2)}
    print(f"alone    {alone}\nwatched  {watched}\n{options.viewers} viewers cost {cost:.1f}% of a core")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
