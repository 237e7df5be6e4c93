"""Out of descriptors: the daemon stays up and at rest, serves whom it has, and takes the others once there is room."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import Daemon, Wire, rpc
from support.provider_server import ProviderServer
from support.waiting import until

CLIENTS = 200
LIMIT = 64


@pytest.fixture(scope="module")
def upstream() -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        yield server


@pytest.fixture
def daemon(upstream: ProviderServer) -> Iterator[Daemon]:
    """A daemon with few descriptors, and no right to take more."""
    daemon = Daemon()
    daemon.program = ["sh", "-c", f'ulimit -n {LIMIT}; exec "$@"', "sh", *daemon.program]
    with daemon:
        daemon.add("custom:ok", f"{upstream.url}/v1", upstream_model="ok")
        yield daemon


@contextlib.contextmanager
def flood(path: Path) -> Iterator[list[socket.socket]]:
    """Clients that connect without waiting, as many as the system lets them."""
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(CLIENTS):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError, ConnectionRefusedError):  # the queue of the system is full
                client.connect(str(path))
                clients.append(client)
        yield clients


def cpu_s(pid: int) -> float:
    """Processor time of a process so far."""
    if sys.platform == "linux":
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100
    shown = subprocess.run(["ps", "-o", "time=", "-p", str(pid)], capture_output=True, check=True, text=True).stdout
    minutes, seconds = shown.strip().rsplit(":", 1)
    return int(minutes.split(":")[-1]) * 60 + float(seconds)


def waiting_said(daemon: Daemon) -> int:
    """How often the log says that clients wait."""
    lines = (daemon.home / "state" / "logs" / "beast.log").read_text().splitlines()
    return sum(json.loads(line)["event"] == "connections wait" for line in lines)


def chat(wire: Wire, message: str) -> str:
    return str(wire.send(rpc("chat", {"message": message, "model": "custom:ok"})).line()["result"]["text"])


def test_who_is_connected_is_served_on_and_the_others_wait_at_no_cost(daemon: Daemon) -> None:
    with daemon.raw() as early:
        with flood(daemon.socket) as clients:
            assert len(clients) > LIMIT
            until(lambda: waiting_said(daemon) == 1)
            before_s = cpu_s(daemon.pid)
            time.sleep(2)
            assert cpu_s(daemon.pid) - before_s < 0.5
            assert chat(early, "Is there a descriptor left for an upstream call?").startswith("You said: Is there")
            assert waiting_said(daemon) == 1
        assert daemon.call("ping")["pid"] == daemon.pid
        assert chat(early, "And now?") == "You said: And now?"


def test_who_waits_is_served_once_others_leave(daemon: Daemon) -> None:
    with flood(daemon.socket) as clients:
        until(lambda: waiting_said(daemon) == 1)
        last = clients[-1]
        last.setblocking(True)
        last.settimeout(20)
        last.sendall(json.dumps(rpc("ping")).encode() + b"\n")
        for client in clients[:-1]:
            client.close()
        assert json.loads(last.makefile().readline())["result"]["pid"] == daemon.pid
