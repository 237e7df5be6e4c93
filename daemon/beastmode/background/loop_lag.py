"""How late the event loop is: one timer, ten times a second, and what it found within the last minute."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from beastmode.core.clock import Clock
from beastmode.core.settings import HealthSettings
from beastmode.metrics.health import Issue

TICK_S = 0.1
KEPT = 600  # a minute
CONCLUDES_AT = 300  # half a minute: one hiccup at the start is no news


class LoopLag:
    """Measures how late a timer is called.

    A loop that was held up for a second is called late once, but would have been late for each of the ten ticks that it
    missed; these count too.

    Args:
        clock: Time.
        rules: Gives the threshold in force.
    """

    def __init__(self, clock: Clock, rules: Callable[[], HealthSettings]) -> None:
        self._clock = clock
        self._rules = rules
        self._late_s: deque[float] = deque(maxlen=KEPT)
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0

    def start(self) -> None:
        """Begins."""
        self._wait()

    def close(self) -> None:
        """Ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        self._due_s = self._clock.mono_s() + TICK_S
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self.note(max(0.0, self._clock.mono_s() - self._due_s))
        self._wait()

    def note(self, late_s: float) -> None:
        """Takes note of one measurement.

        Args:
            late_s: How late the timer was.
        """
        self._late_s.append(late_s)
        for _ in range(min(KEPT, int(late_s / TICK_S))):
            late_s -= TICK_S
            self._late_s.append(late_s)

    def quantile_s(self, share: float) -> float | None:
        """How late the loop was at most, for a share of the last minute.

        Args:
            share: 0.99 leaves the latest hundredth out.

        Returns:
            Seconds; None before the first measurement.
        """
        if not self._late_s:
            return None
        ranked = sorted(self._late_s)
        return ranked[min(len(ranked) - 1, int(share * len(ranked)))]

    def issue(self) -> Issue | None:
        """Says that the loop is too late; None where it is not, or was not watched for long enough."""
        limit_s = self._rules().loop_lag_ms / 1e3
        late_s = self.quantile_s(0.99)
        if late_s is None or len(self._late_s) < CONCLUDES_AT or late_s <= limit_s:
            return None
        return Issue(
            "event loop",
            "degraded",
            f"The daemon is held up: within the last minute its event loop was up to {late_s * 1e3:.0f} ms late "
            f"(99th percentile; more than {limit_s * 1e3:g} ms is too much).",
            "see what else uses this machine's processors (top), and whether a plugin blocks (beast plugins)",
        )

    def figures(self) -> dict[str, Any]:
        """Lateness within the last minute, in milliseconds; None before the first measurement."""
        found = {"p50": self.quantile_s(0.5), "p99": self.quantile_s(0.99), "max": self.quantile_s(1.0)}
        return {name: None if late_s is None else late_s * 1e3 for name, late_s in found.items()}
