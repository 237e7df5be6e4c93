"""A terminal's second screen: drawn over in one write, left as it was found, whatever ends the program."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import sys
import termios
import time
import tty
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Any, Self

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_BEGIN, _END = "\x1b[?2026h\x1b[H", "\x1b[J\x1b[?2026l"
_LINE_END = "\x1b[K"


class FullScreen:
    """The second screen of the terminal that standard output is; use as a context manager.

    Each picture is one write, from the top left corner, and every line ends by clearing its rest: nothing is erased
    before it is drawn anew, so nothing flickers.
    """

    def __init__(self) -> None:
        self._out = sys.stdout
        self._before: list[Any] | None = None
        self._handlers: dict[int, Any] = {}
        self._woken, self._wake = os.pipe()
        self._size = (0, 0)

    def __enter__(self) -> Self:
        os.set_blocking(self._wake, False)
        self._handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, self._resized)
        with contextlib.suppress(termios.error, OSError):
            if sys.stdin.isatty():
                self._before = termios.tcgetattr(sys.stdin)
                tty.setcbreak(sys.stdin)
        self._write(_ENTER)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(OSError, ValueError):  # the terminal may be gone
            self._write(_LEAVE)
        if self._before is not None:
            with contextlib.suppress(termios.error, OSError):
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        os.close(self._woken)
        os.close(self._wake)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines, as they are now."""
        size = shutil.get_terminal_size((80, 24)) if "COLUMNS" not in os.environ else self._asked()
        return max(20, size[0]), max(5, size[1])

    def _asked(self) -> tuple[int, int]:
        """What the terminal says; the variables of a shell are not told of a new size."""
        try:
            columns, lines = os.get_terminal_size(self._out.fileno())
        except (OSError, ValueError):
            return 80, 24
        return columns or 80, lines or 24

    def draw(self, lines: Sequence[str]) -> None:
        """Shows a picture.

        Args:
            lines: No more, and none wider, than fit.
        """
        first = ""
        if self._size != self.size:
            self._size, first = self.size, "\x1b[2J"
        self._write(f"{_BEGIN}{first}" + "\n".join(line + _LINE_END for line in lines) + _END)

    def wait(self, limit_s: float) -> str:
        """Waits for a key or another size.

        Args:
            limit_s: So long at most.

        Returns:
            The keys that were pressed; empty where there was none.
        """
        until_s = time.monotonic() + limit_s
        sources = [self._woken, *([sys.stdin.fileno()] if self._before is not None else [])]
        ready = select.select(sources, [], [], max(0.0, until_s - time.monotonic()))[0]
        if self._woken in ready:
            os.read(self._woken, 4096)
        if len(sources) > 1 and sources[1] in ready:
            return os.read(sources[1], 64).decode(errors="replace") or "q"  # its end: nobody is there any more
        return ""

    def _resized(self, number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(OSError):  # full: it wakes anyway
            os.write(self._wake, b".")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
