"""A real daemon in a private home, as a test needs it: started, asked, killed, started again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from beastmode.client import Client


class Daemon:
    """A daemon process of its own home.

    Args:
        settings: Becomes its config.toml.
        environ: More environment variables.
    """

    def __init__(self, settings: str = "", environ: dict[str, str] | None = None) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="bt-"))
        self.socket = self.home / "run" / "rpc.sock"
        self.environ = {**os.environ, "BEAST_HOME": str(self.home), "BEAST_KEYS__STORE": "file", **(environ or {})}
        if settings:
            (self.home / "config.toml").write_text(settings)
        self.program = [sys.executable, "-m", "beastmode"]
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Daemon:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def start(self) -> float:
        """Starts it and waits until it answers; returns the seconds that took."""
        began = time.monotonic()
        self.process = subprocess.Popen(
            self.program,
            env=self.environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
        )
        while not self._answers():
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon ended with {self.process.returncode}: {self.errors()}")
            assert time.monotonic() - began < 30, "the daemon did not start"
            time.sleep(0.005)
        return time.monotonic() - began

    def _answers(self) -> bool:
        try:
            with Client(self.socket) as client:
                return bool(client.call("ping", timeout_s=5)["pid"] == self.pid)
        except Exception:
            return False

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def errors(self) -> str:
        """What it wrote to stderr, once it has ended."""
        assert self.process is not None and self.process.stderr is not None
        with self.process.stderr as said:
            return said.read()

    def stop(self) -> int:
        """Drains and ends it; returns its exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        if self.process.stderr is not None:
            self.process.stderr.close()  # a second time, where `errors` was asked, does nothing
        self.process = None
        return code

    def kill(self) -> None:
        """Kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()
        self.process = None

    def client(self) -> Client:
        """A client of it."""
        return Client(self.socket)

    def call(self, method: str, params: dict[str, Any] | None = None) -> Any:
        """One call over a connection of its own."""
        with self.client() as client:
            return client.call(method, params or {})

    @property
    def url(self) -> str:
        """Where its HTTP door is."""
        url = self.call("status")["sockets"]["http"]
        assert isinstance(url, str), "the HTTP door is shut"
        return url

    @property
    def token(self) -> str:
        """What its HTTP door asks for."""
        return (self.home / "state" / "token").read_text().strip()

    def add(self, id: str, base_url: str | None = None, **more: Any) -> Any:
        """Registers a model without testing it."""
        return self.call("models.add", {"id": id, "base_url": base_url, "test": False, **more})

    def rows(self, **params: Any) -> list[dict[str, Any]]:
        """Rows of its ledger, newest first."""
        return self.call("requests.list", {"limit": 1000, **params})["requests"]  # type: ignore[no-any-return]  # JSON

    def raw(self) -> Wire:
        """A connection that sends what it is told to, well-formed or not."""
        return Wire(self.socket)


class Wire:
    """A bare connection to the socket."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(20)
        self.socket.connect(str(path))
        self._read = self.socket.makefile("rb")

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._read.close()
        self.socket.close()

    def send(self, *lines: bytes | dict[str, Any] | list[Any]) -> Wire:
        """Sends lines; objects become JSON."""
        for line in lines:
            self.socket.sendall(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
        return self

    def line(self) -> Any:
        """The next line, as JSON; None when the daemon has closed the connection."""
        raw = self._read.readline()
        return json.loads(raw) if raw else None

    def lines(self) -> Iterator[Any]:
        """All lines until the daemon closes the connection."""
        while (line := self.line()) is not None:
            yield line


def rpc(method: str, params: dict[str, Any] | None = None, id: Any = 1) -> dict[str, Any]:
    """A request object."""
    return {"jsonrpc": "2.0", "id": id, "method": method, "params": params or {}}
