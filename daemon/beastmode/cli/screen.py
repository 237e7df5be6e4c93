"""What a person, or a script, sees: text, tables, JSON and errors; colour only where a terminal wants it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from beastmode.client import Client
from beastmode.core.errors import BeastError
from beastmode.core.paths import Paths

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
# A model's answer must not be able to drive the terminal: everything but tab and line feed is shown, not obeyed.
CONTROLS = {code: 0x2400 + code for code in range(32) if code not in (9, 10)} | {127: 0x2421}
CONTROLS |= dict.fromkeys(range(128, 160), 0xFFFD)


class Screen:
    """Standard output for results, standard error for everything else.

    Args:
        out: Standard output.
        err: Standard error.
        environ: `BEAST_HOME`, `NO_COLOR` and `TERM` count; `--home` writes `BEAST_HOME` into it.
    """

    def __init__(self, out: TextIO, err: TextIO, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.as_json = False
        self._out = out
        self._err = err
        for stream in (out, err):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")  # a terminal that lacks a sign shows another one

    @property
    def paths(self) -> Paths:
        """The folders of the home that this command is about."""
        return Paths.from_environment(self.environ)

    @property
    def is_terminal(self) -> bool:
        """A person reads standard output."""
        return self._out.isatty()

    def client(self) -> Client:
        """A client of this home's daemon; it connects at the first call."""
        return Client(self.paths.rpc_socket)

    def say(self, text: str = "") -> None:
        """A line of the result."""
        self._out.write(text + "\n")

    def write(self, text: str) -> None:
        """A piece of an answer, at once; on a terminal, control characters are made visible."""
        self._out.write(text.translate(CONTROLS) if self.is_terminal else text)
        self._out.flush()

    def note(self, text: str) -> None:
        """A line beside the result, on standard error."""
        self.flush()
        with contextlib.suppress(BrokenPipeError):
            self._err.write(self.paint(text, "dim", error=True) + "\n")
            self._err.flush()

    def overwrite(self, text: str) -> None:
        """Replaces the last line on standard error; only for a terminal."""
        self._err.write(f"\r\x1b[2K{text}")
        self._err.flush()

    @property
    def can_overwrite(self) -> bool:
        """Standard error is a terminal that can redraw a line."""
        return self._err.isatty() and self.environ.get("TERM") != "dumb"

    def json(self, value: Any) -> None:
        """A result for a program."""
        self.say(json.dumps(value, indent=2, ensure_ascii=False))

    def error(self, error: BeastError) -> None:
        """What went wrong and what to do next, on standard error."""
        with contextlib.suppress(BrokenPipeError):
            self.flush()
            if self.as_json:
                fault = {"message": error.message, **error.data()}
                self._err.write(json.dumps({"error": fault}, ensure_ascii=False) + "\n")
            else:
                tips = "".join(f"  try: {tip}\n" for tip in error.tips)
                self._err.write(f"{self.paint('error:', 'red', error=True)} {error.message}\n{tips}")
            self._err.flush()

    def paint(self, text: str, style: str, error: bool = False) -> str:
        """Text in a style (bold, dim, red, green, yellow), where colour is wanted."""
        stream = self._err if error else self._out
        if not stream.isatty() or self.environ.get("NO_COLOR") or self.environ.get("TERM") == "dumb":
            return text
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
        """Columns as wide as they need to be.

        Args:
            head: Names of the columns.
            rows: Their cells.
            empty: What to say instead of a table without rows.
        """
        if not rows:
            self.say(empty)
            return
        lines = [[" ".join(cell.translate(CONTROLS).split()) for cell in row] for row in rows]
        widths = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]
        self.say(self.paint(_aligned(head, widths), "bold"))
        for line in lines:
            self.say(_aligned(line, widths))

    def flush(self) -> None:
        """Hands over what was written.

        Raises:
            BrokenPipeError: Nobody reads any more.
        """
        self._out.flush()

    def give_up_stdout(self) -> None:
        """Nobody reads: what is still buffered goes nowhere, and the interpreter's last flush stays quiet."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
