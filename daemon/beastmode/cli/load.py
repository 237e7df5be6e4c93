"""Load: many requests at once over the socket, each one timed, within a bound of what they may cost."""

from __future__ import annotations

import asyncio
import math
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from beastmode.cli.interrupts import ENDING
from beastmode.client import AsyncClient
from beastmode.core.errors import BeastError, BudgetError, DaemonNotRunningError

LINKS_MAX = 16
TELL_S = 0.25
_STEPS = ((1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0), (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0))
_ROWS = 6, 14


class Plan(NamedTuple):
    """What to send.

    Attributes:
        model: Whom to ask.
        requests: How many.
        concurrency: How many at once.
        prompts: What to ask, in turns.
        options: Further parameters of `chat`.
        max_cost_usd: Most that all of it may cost; None: no bound.
    """

    model: str
    requests: int
    concurrency: int
    prompts: Sequence[str]
    options: dict[str, Any]
    max_cost_usd: float | None


class Load:
    """A load test.

    Args:
        socket_path: The daemon's socket.
        plan: What to send.
        tell: Called after every answer, and while none comes.

    Attributes:
        stopped: Why it ended early: `interrupted`, `budget` or `daemon`; None: it did not.
        problem: The error that ended it.
        ended: How many requests have ended.
        failed: How many of them without an answer.
    """

    def __init__(self, socket_path: str, plan: Plan, tell: Callable[[], None]) -> None:
        self.stopped: str | None = None
        self.problem: BeastError | None = None
        self.ended = self.failed = 0
        self.cost_usd, self.saved_usd, self.unknown = 0.0, 0.0, 0
        self._plan = plan
        self._tell = tell
        count = min(plan.concurrency, LINKS_MAX)
        self._clients = [AsyncClient(socket_path) for _ in range(count)]
        self._next = 0
        self._held_usd = self._sure_usd = 0.0
        self._latencies_ms: list[float] = []
        self._first_ms: list[float] = []
        self._tokens: list[tuple[int | None, int | None]] = []
        self._errors: dict[str, tuple[int, BeastError]] = {}
        self._caches: Counter[str] = Counter()
        self._began_s = time.monotonic()
        self._took_s: float | None = None

    @property
    def took_s(self) -> float:
        """How long it has run."""
        return time.monotonic() - self._began_s if self._took_s is None else self._took_s

    async def run(self) -> None:
        """Sends everything; Ctrl-C ends it, and what was measured stays. For the main thread."""
        self._began_s = time.monotonic()
        loop, own = asyncio.get_running_loop(), asyncio.current_task()
        signals = [number for number in ENDING if signal.getsignal(number) != signal.SIG_IGN]
        for number in signals:
            loop.add_signal_handler(number, self._interrupt, own)
        workers = [asyncio.ensure_future(self._work(number)) for number in range(self._plan.concurrency)]
        telling = asyncio.ensure_future(self._keep_telling())
        try:
            await asyncio.gather(*workers)
        except asyncio.CancelledError:
            self.stopped = "interrupted"
        finally:
            self._took_s = self.took_s
            for task in (*workers, telling):
                task.cancel()
            await asyncio.gather(*workers, telling, return_exceptions=True)
            await asyncio.gather(*(client.close() for client in self._clients))
            for number in signals:
                loop.remove_signal_handler(number)

    def _interrupt(self, own: asyncio.Task[Any] | None) -> None:
        if (
            own is not None and self.stopped != "interrupted"
        ):  # a second Ctrl-C changes nothing: what runs is being ended
            self.stopped = "interrupted"
            own.cancel()

    async def _keep_telling(self) -> None:
        while True:
            await asyncio.sleep(TELL_S)
            self._tell()

    async def _work(self, number: int) -> None:
        client = self._clients[number % len(self._clients)]
        while self.stopped is None and self._next < self._plan.requests:
            prompt = self._plan.prompts[self._next % len(self._plan.prompts)]
            self._next += 1
            await self._one(client, prompt)
            self._tell()

    async def _one(self, client: AsyncClient, prompt: str) -> None:
        allowed_usd = self._allowance()
        self._held_usd += allowed_usd or 0.0
        options = self._plan.options if allowed_usd is None else {**self._plan.options, "max_cost_usd": allowed_usd}
        began_s = time.monotonic()
        try:
            answer = await client.call("chat", {"message": prompt, "model": self._plan.model, **options})
            self._note((time.monotonic() - began_s) * 1e3, answer, allowed_usd)
        except BudgetError as error:
            self._stop("budget", error)
        except DaemonNotRunningError as error:
            self._stop("daemon", error)
        except BeastError as error:
            self.ended += 1
            self.failed += 1
            count, _ = self._errors.get(error.kind, (0, error))
            self._errors[error.kind] = (count + 1, error)
        finally:
            self._held_usd -= allowed_usd or 0.0

    def _stop(self, why: str, error: BeastError) -> None:
        if self.stopped is None:
            self.stopped, self.problem = why, error

    def _allowance(self) -> float | None:
        """What one request may cost, so that all that are under way together stay within the bound."""
        most = self._plan.max_cost_usd
        if most is None:
            return None
        left_usd = most - self._sure_usd
        return max(0.0, min(left_usd / self._plan.concurrency, left_usd - self._held_usd))

    def _note(self, latency_ms: float, answer: dict[str, Any], allowed_usd: float | None) -> None:
        self.ended += 1
        self._latencies_ms.append(latency_ms)
        if answer.get("ttft_ms") is not None:
            self._first_ms.append(answer["ttft_ms"])
        usage = answer.get("usage") or {}
        self._tokens.append((usage.get("prompt_tokens"), usage.get("completion_tokens")))
        self._caches[answer["cache"]["result"]] += 1
        self.saved_usd += answer.get("saved_usd") or 0.0
        cost_usd = answer.get("cost_usd")
        if cost_usd is None:
            self.unknown += 1
            self._sure_usd += allowed_usd or 0.0  # at most that
        else:
            self.cost_usd += cost_usd
            self._sure_usd += cost_usd

    def report(self) -> dict[str, Any]:
        """What was measured."""
        plan, good = self._plan, len(self._latencies_ms)
        prompt, completion = (self._sum(part) for part in (0, 1))
        return {
            "model": plan.model,
            "requests": plan.requests,
            "concurrency": plan.concurrency,
            "cache": plan.options.get("cache"),
            "stream": bool(plan.options.get("stream")),
            "stopped": self.stopped,
            "ended": self.ended,
            "success": good,
            "failure": self.failed,
            "took_s": round(self.took_s, 3),
            "requests_per_s": round(good / self.took_s, 3) if self.took_s else None,
            "latency_ms": spread(self._latencies_ms),
            "ttft_ms": spread(self._first_ms),
            "tokens": {"prompt": prompt, "completion": completion},
            "completion_tokens_per_s": round(completion / self.took_s, 1) if completion and self.took_s else None,
            "cost_usd": round(self.cost_usd, 9) if good > self.unknown or not good else None,
            "unknown": self.unknown,
            "saved_usd": round(self.saved_usd, 9),
            "cache_results": dict(self._caches.most_common()),
            "errors": [
                {"kind": kind, "count": count, "message": error.message, "tip": error.tips}
                for kind, (count, error) in sorted(self._errors.items(), key=lambda one: -one[1][0])
            ],
            "histogram": histogram(self._latencies_ms),
        }

    def _sum(self, part: int) -> int | None:
        known = [tokens[part] for tokens in self._tokens]
        return None if not known or None in known else sum(count or 0 for count in known)


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """Mean, percentiles and ends of some times; all None where there are none.

    Args:
        values: Milliseconds.
    """
    ranked = sorted(values)

    def at(percent: float) -> float | None:
        return round(ranked[max(0, math.ceil(percent / 100 * len(ranked)) - 1)], 3) if ranked else None

    mean = round(sum(ranked) / len(ranked), 3) if ranked else None
    return {"min": at(0), "mean": mean, "p50": at(50), "p95": at(95), "p99": at(99), "max": at(100)}


def histogram(values: Sequence[float]) -> list[dict[str, Any]]:
    """Counts times in steps that grow with them, from the shortest to the longest without a gap.

    Args:
        values: Milliseconds.

    Returns:
        `{from_ms, to_ms, count}`; `to_ms` is not in it.
    """
    if not values:
        return []
    found: list[dict[str, Any]] = []
    for steps in _STEPS:
        counted = _counted(values, steps)
        if found and len(counted) > _ROWS[1]:
            break
        found = counted
        if len(found) >= _ROWS[0]:
            break
    return found


def _counted(values: Sequence[float], steps: Sequence[float]) -> list[dict[str, Any]]:
    counts = Counter(_place(value, steps) for value in values)
    return [
        {"from_ms": _edge(place, steps), "to_ms": _edge(place + 1, steps), "count": counts[place]}
        for place in range(min(counts), max(counts) + 1)
    ]


def _place(value: float, steps: Sequence[float]) -> int:
    value = max(value, 1e-3)
    place = (math.floor(math.log10(value)) - 1) * len(steps)  # one lower: the logarithm is rounded
    while value >= _edge(place + 1, steps):
        place += 1
    return place


def _edge(place: int, steps: Sequence[float]) -> float:
    power, step = divmod(place, len(steps))
    return float(f"{steps[step] * 10.0**power:.6g}")
