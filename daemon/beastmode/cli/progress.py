"""How far a download is: a bar that is redrawn on a terminal, a line every ten percent elsewhere."""

from __future__ import annotations

import time
from typing import Any

from beastmode.cli import figures
from beastmode.cli.screen import Screen

_WIDTH = 30
_REDRAW_S = 0.1


class ProgressLine:
    """Shows `{phase, done_bytes, total_bytes}` on standard error.

    Args:
        screen: Where.
        name: What is fetched.
    """

    def __init__(self, screen: Screen, name: str) -> None:
        self._screen = screen
        self._name = name
        self._phase = ""
        self._tenth = -1
        self._drawn_s = 0.0
        self._began_s = time.monotonic()
        self._first_bytes: int | None = None

    def show(self, value: Any) -> None:
        """Takes one progress value.

        Args:
            value: `{phase, done_bytes, total_bytes}`; anything else is passed over.
        """
        if not isinstance(value, dict):
            return
        phase, done, total = str(value.get("phase", "")), value.get("done_bytes") or 0, value.get("total_bytes") or 0
        if self._first_bytes is None:
            self._first_bytes, self._began_s = done, time.monotonic()
        changed, self._phase = phase != self._phase, phase
        if self._screen.can_overwrite:
            self._draw(phase, done, total, changed)
        elif changed or (total and int(10 * done / total) != self._tenth):
            self._tenth = int(10 * done / total) if total else -1
            self._screen.note(f"{self._name}: {phase} {_part(done, total)}".rstrip())

    def end(self) -> None:
        """Takes the bar off the terminal."""
        if self._drawn_s:
            self._screen.overwrite("")

    def _draw(self, phase: str, done: int, total: int, changed: bool) -> None:
        now_s = time.monotonic()
        if not changed and done < total and now_s - self._drawn_s < _REDRAW_S:
            return
        self._drawn_s = now_s
        filled = int(_WIDTH * done / total) if total else 0
        bar = "#" * filled + "-" * (_WIDTH - filled)
        self._screen.overwrite(f"{self._name} [{bar}] {_part(done, total)} {phase}{self._rest(done, total, now_s)}")

    def _rest(self, done: int, total: int, now_s: float) -> str:
        fresh, spent_s = done - (self._first_bytes or 0), now_s - self._began_s
        if self._phase != "download" or fresh <= 0 or spent_s < 1 or done >= total:
            return ""
        return f", {figures.size(fresh / spent_s)}/s, {figures.span((total - done) * spent_s / fresh)} left"


def _part(done: int, total: int) -> str:
    return f"{figures.size(done)} of {figures.size(total)}" if total else ""
