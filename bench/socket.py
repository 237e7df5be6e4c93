"""Requests per second over the Unix socket: exact hits and misses, beside a bare echo server, in one run.

usage: python bench/socket.py [--seconds 2] [--rounds 3] [--json FILE]

The daemon and the echo server run on the first core, generator and upstream on the second. Every figure is the median
of the rounds, which take turns. CPU per request is user and system time of the server's process.
"""

from __future__ import annotations

import sys

sys.path[:] = [place for place in sys.path if not place.endswith("bench")]  # this file must not stand for `socket`

# ruff: noqa: E402  # imports come after the line above on purpose
import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from beastmode.client import Client

HERE = Path(__file__).parent
CONNECTIONS = (1, 16, 64)
QUESTION = "How do I reverse a string in Python?"


def chat_line(message: str, model: str) -> bytes:
    call = {"jsonrpc": "2.0", "id": 1, "method": "chat", "params": {"message": message, "model": model}}
    return json.dumps(call).encode() + b"\n"


def cores() -> tuple[set[int], set[int]]:
    usable = sorted(os.sched_getaffinity(0))
    return {usable[0]}, {usable[-1]}


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def start(command: list[str], core: set[int], **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, preexec_fn=lambda: os.sched_setaffinity(0, core), **options)


def wait_for(ready: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + 10
    while not ready():
        if time.monotonic() > until:
            raise SystemExit(f"{what} did not start")
        time.sleep(0.005)


@contextlib.contextmanager
def compiled(folder: Path) -> Iterator[dict[str, Path]]:
    programs = {}
    for name in ("loadgen", "upstream"):
        programs[name] = folder / name
        subprocess.run(["gcc", "-O2", "-o", programs[name], HERE / f"{name}.c"], check=True)
    yield programs


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        yield process
    finally:
        process.terminate()
        process.wait(15)


def measure(programs: dict[str, Path], pid: int, path: Path, line: bytes, connections: int, seconds: float) -> Any:
    with tempfile.NamedTemporaryFile() as file:
        file.write(line)
        file.flush()
        before = cpu_s(pid)
        command = [str(programs["loadgen"]), str(path), str(connections), str(seconds), file.name]
        done = start(command, cores()[1], stdout=subprocess.PIPE)
        out = json.loads(done.communicate()[0])
    out["per_s"] = out["requests"] / out["seconds"]
    out["cpu_us"] = (cpu_s(pid) - before) / max(1, out["requests"]) * 1e6
    return out


def median(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def run(seconds: float, rounds: int) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="beast-bench-"))
    first, second = cores()
    environment = {**os.environ, "BEAST_HOME": str(folder / "home"), "BEAST_HTTP__PORT": "0"}
    daemon_socket, echo_socket = folder / "home" / "run" / "rpc.sock", folder / "echo.sock"
    try:
        with contextlib.ExitStack() as stack:
            programs = stack.enter_context(compiled(folder))
            upstream = stack.enter_context(ended(start([str(programs["upstream"]), "0"], second, stdout=-1)))
            assert upstream.stdout is not None
            port = int(upstream.stdout.readline())
            echo = stack.enter_context(
                ended(start([sys.executable, "-P", str(HERE / "socket_echo.py"), str(echo_socket)], first))
            )
            began = time.monotonic()
            daemon = stack.enter_context(ended(start([sys.executable, "-m", "beastmode"], first, env=environment)))
            wait_for(daemon_socket.exists, "the daemon")
            ready_s = time.monotonic() - began
            wait_for(echo_socket.exists, "the echo server")
            time.sleep(1)
            idle_mb = memory_mb(daemon.pid)
            with Client(daemon_socket) as client:
                base_url = f"http://127.0.0.1:{port}/v1"
                client.call("models.add", {"id": "custom:bench", "base_url": base_url, "test": False})
                client.chat(QUESTION, model="custom:bench")
            cases: dict[str, tuple[int, Path, bytes]] = {
                "echo": (echo.pid, echo_socket, chat_line(QUESTION, "custom:bench")),
                "hit": (daemon.pid, daemon_socket, chat_line(QUESTION, "custom:bench")),
                "miss": (daemon.pid, daemon_socket, chat_line("Question 00000000 of the benchmark", "custom:bench")),
            }
            table = {}
            for connections in CONNECTIONS:
                taken: dict[str, list[Any]] = {name: [] for name in cases}
                for _ in range(rounds):
                    for name, (pid, path, line) in cases.items():
                        taken[name].append(measure(programs, pid, path, line, connections, seconds))
                table[str(connections)] = {name: median(found) for name, found in taken.items()}
            busy_mb = memory_mb(daemon.pid)
        return {"ready_s": ready_s, "idle_mb": idle_mb, "after_mb": busy_mb, "connections": table}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def show(found: dict[str, Any]) -> None:
    print(
        f"{'connections':>11} {'what':>5} {'requests/s':>11} {'of echo':>8} {'CPU us':>7} {'p50 us':>8} {'p99 us':>9}"
    )
    for connections, cases in found["connections"].items():
        for name, one in cases.items():
            share = one["per_s"] / cases["echo"]["per_s"]
            print(
                f"{connections:>11} {name:>5} {one['per_s']:>11,.0f} {share:>8.0%} {one['cpu_us']:>7.1f}"
                f" {one['p50_us']:>8.0f} {one['p99_us']:>9.0f}"
                + (f"  {one['errors']:.0f} errors" if one["errors"] else "")
            )
    print(
        f"ready after {found['ready_s']:.2f} s; memory {found['idle_mb']:.0f} MB idle, {found['after_mb']:.0f} MB after"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each kind; the median counts")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    found = run(arguments.seconds, arguments.rounds)
    show(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
