"""A program at a terminal, typed at by a test."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from types import TracebackType
from typing import Self

from support.waiting import until

# Ctrl-C reaches only programs whose controlling terminal this is.
_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
)
_STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Terminal:
    """Runs a program whose terminal is a pseudo-terminal; use as a context manager.

    Args:
        program: Its words.
        environ: Its environment.
    """

    def __init__(self, program: list[str], environ: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        self.raw = ""
        self._read_chars = 0
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, *program],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={"TERM": "xterm", **environ},
            start_new_session=True,
        )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)

    @property
    def text(self) -> str:
        """All that was shown, without colours."""
        return _STYLE.sub("", self.raw)

    def see(self, text: str, limit_s: float = 20.0) -> None:
        """Waits until a text is shown after what was seen before."""
        deadline_s = time.monotonic() + limit_s
        while (at := self.text.find(text, self._read_chars)) < 0:
            assert self._read(deadline_s - time.monotonic()), f"{text!r} was not shown in: {self.text!r}"
        self._read_chars = at + len(text)

    def see_hidden(self, text: str) -> None:
        """Waits until a text is shown and what is typed is not: what came before that is thrown away."""
        self.see(text)
        until(lambda: not termios.tcgetattr(self._master)[3] & termios.ECHO)

    def type(self, text: str) -> None:
        """Types: a line feed is the enter key, character 3 is Ctrl-C, character 4 is Ctrl-D."""
        os.write(self._master, text.encode())

    def insist(self, text: str, answer: str) -> None:
        """Types again and again until the answer is shown: a key that comes just before a program waits can be lost."""
        for _ in range(10):
            self.type(text)
            try:
                return self.see(answer, 2.0)
            except AssertionError:
                continue
        raise AssertionError(f"{answer!r} was not shown in: {self.text!r}")

    def end_with(self, text: str) -> int:
        """Types again and again until the program has ended; returns its exit code."""
        for _ in range(10):
            with contextlib.suppress(OSError):  # it has ended
                self.type(text)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.end(2.0)
        raise AssertionError(f"it did not end: {self.text!r}")

    def end(self, limit_s: float = 20.0) -> int:
        """Waits for the program's end and returns its exit code."""
        deadline_s = time.monotonic() + limit_s
        while self._read(deadline_s - time.monotonic()):
            pass
        return self.process.wait(max(0.1, deadline_s - time.monotonic()))

    def _read(self, limit_s: float) -> bool:
        if limit_s <= 0 or not select.select([self._master], [], [], limit_s)[0]:
            return False
        try:
            chunk = os.read(self._master, 1 << 16)
        except OSError:  # Linux: the program has closed its end
            return False
        self.raw += chunk.decode(errors="replace")
        return bool(chunk)
