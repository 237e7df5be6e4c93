"""Helix at a terminal of its own: a test types, and reads the screen."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyte

from support.tracked import ROOT

COLUMNS, ROWS = 140, 40
ESCAPE, DOWN, COMPLETE = "\x1b", "\x0e", "\x18"
LINE = re.compile(r"^[^\w~│]+?(\d+)(?: {2}(.*))?$")
_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
)


def program() -> str:
    """Finds Helix; `make test-clients` fetches it where it may."""
    for candidate in (os.environ.get("BEAST_TEST_HELIX"), str(ROOT / "build/clients/helix/hx"), shutil.which("hx")):
        if candidate and Path(candidate).is_file():
            return candidate
    raise AssertionError("Helix is not here: build/setup.log says why; BEAST_TEST_HELIX can name another")


class _Screen(pyte.Screen):
    """Answers what a program asks its terminal."""

    reply: Callable[[str], None] = staticmethod(lambda data: None)

    def write_process_input(self, data: str) -> None:
        self.reply(data)

    def report_device_status(self, mode: int, **more: Any) -> None:
        """Pyte does not know that programs ask it with a question mark."""


class Helix:
    """Runs Helix; use as a context manager.

    Args:
        environ: Its environment.
        folder: Where it runs.
        words: Its arguments.
    """

    def __init__(self, environ: dict[str, str], folder: Path, *words: str) -> None:
        self._screen = _Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self._terminal, inner = pty.openpty()
        self._screen.reply = lambda data: self.type(data, 0.0)
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, program(), *words],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env={**environ, "TERM": "xterm-256color"},
            cwd=folder,
            start_new_session=True,
        )
        os.close(inner)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._terminal)

    @property
    def text(self) -> str:
        """What the screen shows."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    @property
    def buffer(self) -> str:
        """The text that is edited, as far as the screen shows it."""
        found = [LINE.match(line) for line in self.text.splitlines()]
        return "\n".join((one[2] or "").rstrip() for one in found if one)

    def type(self, keys: str, pause_s: float = 0.15) -> None:
        """Types; two keys that make another one together, such as escape and a letter, need a pause between them."""
        os.write(self._terminal, keys.encode())
        self.look(pause_s)

    def command(self, line: str) -> None:
        """Runs a command of Helix."""
        self.type(ESCAPE)
        self.type(f":{line}")
        self.type("\r")

    def look(self, for_s: float) -> None:
        """Follows what is shown, for a while."""
        until_s = time.monotonic() + for_s
        while (left_s := until_s - time.monotonic()) > 0:
            if not self._read(left_s):
                return

    def see(self, holds: str | Callable[[], Any], limit_s: float = 20.0) -> Any:
        """Waits until the screen shows a text, or until something about it holds."""
        until_s = time.monotonic() + limit_s
        while True:
            found = holds in self.text if isinstance(holds, str) else holds()
            if found:
                return found
            assert time.monotonic() < until_s, f"this was not seen: {holds}; this is shown:\n{self.text}"
            self._read(0.05)

    def end(self) -> int:
        """Leaves it without saving; returns its exit code."""
        self.command("qa!")
        while self._read(5.0):
            pass
        return self.process.wait(10)

    def _read(self, limit_s: float) -> bool:
        """Takes what comes; False where it has ended."""
        if select.select([self._terminal], [], [], limit_s)[0]:
            with contextlib.suppress(OSError):
                data = os.read(self._terminal, 1 << 16)
                self._stream.feed(data)
                return bool(data)
            return False
        return self.process.poll() is None
