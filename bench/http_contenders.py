"""Who takes part in the HTTP benchmark: how each is started, where it listens, and what a request to it looks like."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from beastmode.client import Client

HERE = Path(__file__).parent
MODEL = "custom:bench"
START_S = 120.0


class Contender(NamedTuple):
    """Somebody who answers requests.

    Attributes:
        name: How it is shown.
        port: Where it listens.
        headers: What it wants to hear beside the usual.
        pid: Its first process; None for the provider itself.
        caches: It answers from a cache of its own.
        model: What it calls the model.
    """

    name: str
    port: int
    headers: dict[str, str]
    pid: int | None
    caches: bool = False
    model: str = "bench"

    def request(self, text: str, stream: bool = False) -> bytes:
        """A whole request, as it goes over the wire."""
        asked: dict[str, Any] = {"model": self.model, "messages": [{"role": "user", "content": text}], "max_tokens": 64}
        if stream:
            asked["stream"] = True
        body = json.dumps(asked, separators=(",", ":")).encode()
        usual = {"Host": f"127.0.0.1:{self.port}", "Content-Type": "application/json", "Content-Length": str(len(body))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in {**usual, **self.headers}.items())
        return f"POST /v1/chat/completions HTTP/1.1\r\n{lines}\r\n".encode() + body


def cores() -> tuple[set[int], set[int]]:
    """The core of the gateways, and the one of generator and provider."""
    usable = sorted(os.sched_getaffinity(0))
    return {usable[0]}, {usable[-1]}


def start(command: list[str], core: set[int], **options: Any) -> subprocess.Popen[bytes]:
    """Starts a program on one core, in a group of its own."""
    return subprocess.Popen(
        command, preexec_fn=lambda: os.sched_setaffinity(0, core), start_new_session=True, **options
    )


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Ends a program, and what it started, with the block."""
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait(15)


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[bytes], what: str) -> None:
    """Waits until a program is ready."""
    until = time.monotonic() + START_S
    while not ready():
        if time.monotonic() > until or process.poll() is not None:
            raise SystemExit(f"{what} did not start")
        time.sleep(0.02)


@contextlib.contextmanager
def provider(program: Path, chunks: int, pause_ms: float) -> Iterator[int]:
    """The provider that all of them call; gives its port."""
    command = [str(program), "0", str(chunks), str(pause_ms)]
    with ended(start(command, cores()[1], stdout=subprocess.PIPE)) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


@contextlib.contextmanager
def passthrough(upstream: int, folder: Path) -> Iterator[Contender]:
    """Thirty lines of aiohttp."""
    command = [sys.executable, "-P", str(HERE / "http_passthrough.py"), f"http://127.0.0.1:{upstream}"]
    with ended(start(command, cores()[0], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)) as process:
        assert process.stdout is not None
        yield Contender("pass-through", int(process.stdout.readline()), {}, process.pid)


@contextlib.contextmanager
def beast(upstream: int, folder: Path) -> Iterator[Contender]:
    """The daemon, in a home of its own."""
    home = folder / "home"
    environment = {**os.environ, "BEAST_HOME": str(home), "BEAST_HTTP__PORT": "0"}
    command = [sys.executable, "-m", "beastmode"]
    with ended(start(command, cores()[0], env=environment)) as process:
        rpc = home / "run" / "rpc.sock"
        wait_for(rpc.exists, process, "the daemon")
        with Client(rpc) as client:
            base_url = f"http://127.0.0.1:{upstream}/v1"
            client.call("models.add", {"id": MODEL, "base_url": base_url, "upstream_model": "bench", "test": False})
            url: str = client.call("status", {})["sockets"]["http"]
        token = (home / "state" / "token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        yield Contender("beast", int(url.rsplit(":", 1)[1]), headers, process.pid, caches=True, model=MODEL)


LITELLM = """\
model_list:
  - model_name: bench
    litellm_params: {{model: openai/bench, api_base: "http://127.0.0.1:{upstream}/v1", api_key: none}}
litellm_settings: {{cache: true, cache_params: {{type: local}}, telemetry: false}}
general_settings: {{master_key: {key}}}
"""


@contextlib.contextmanager
def litellm(upstream: int, folder: Path) -> Iterator[Contender | None]:
    """LiteLLM's proxy, from the program that LITELLM names, or PATH."""
    program = os.environ.get("LITELLM") or shutil.which("litellm")
    if program is None:
        yield None
        return
    config, port, key = folder / "litellm.yaml", _free_port(), f"sk-{secrets.token_hex(24)}"
    config.write_text(LITELLM.format(upstream=upstream, key=key))
    command = [program, "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    environment = {**os.environ, "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_DOCS": "True"}
    with ended(start(command, cores()[0], env=environment, **quiet)) as process:
        one = Contender("LiteLLM", port, {"Authorization": f"Bearer {key}"}, process.pid, caches=True)
        wait_for(lambda: _answers(one), process, "LiteLLM")
        yield one


@contextlib.contextmanager
def portkey(upstream: int, folder: Path) -> Iterator[Contender | None]:
    """Portkey's gateway, from the built `start-server.js` that PORTKEY names, by `node`."""
    script, node = os.environ.get("PORTKEY"), shutil.which("node")
    if script is None or node is None:
        yield None
        return
    port = _free_port()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    with ended(start([node, script, f"--port={port}", "--headless"], cores()[0], **quiet)) as process:
        where = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1"}
        one = Contender("Portkey", port, {"Authorization": "Bearer none", **where}, process.pid)
        wait_for(lambda: _answers(one), process, "Portkey")
        yield one


ALL = {"pass-through": passthrough, "beast": beast, "LiteLLM": litellm, "Portkey": portkey}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _answers(contender: Contender) -> bool:
    """Whether it answers a question."""
    raw = contender.request("Are you there?")
    body = raw.partition(b"\r\n\r\n")[2]
    headers = {"Content-Type": "application/json", **contender.headers}
    url = f"http://127.0.0.1:{contender.port}/v1/chat/completions"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=5) as reply:
            return bool(reply.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def processes(pid: int) -> list[int]:
    """A process and all that came from it."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    with contextlib.suppress(OSError):
        return [pid, *(one for child in children.read_text().split() for one in processes(int(child)))]
    return []


def cpu_s(pid: int) -> float:
    """User and system time of a process and all that came from it."""
    ticks = 0
    for one in processes(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int, what: str = "VmRSS") -> float:
    """Memory of a process and all that came from it; `VmHWM` is the most it had."""
    total = 0
    for one in processes(pid):
        with contextlib.suppress(OSError, IndexError):
            status = Path(f"/proc/{one}/status").read_text()
            total += int(status.split(f"{what}:")[1].split()[0])
    return total / 1024
