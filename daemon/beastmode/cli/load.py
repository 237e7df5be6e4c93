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
UNCHARGED = frozenset(
    (
        *("connection_refused", "dns", "tls", "unreachable", "authentication", "rate_limited", "rate_limited_here"),
        *("no_healthy_model", "not_in_cache", "unknown_model", "bad_input", "shutting_down"),
    )
)
"""Kinds of failures that nobody charges for; another one may have cost something, and nobody says what."""
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


class Measured:
    """What was measured so far.

    Args:
        plan: What is sent.

    Attributes:
        ended: How many requests have ended.
        failed: How many of them without an answer.
        cost_usd: What the answers cost, as far as that is known.
        took_s: How long it took, once it is over.
    """

    def __init__(self, plan: Plan) -> None:
        self.ended = self.failed = 0
        self.cost_usd = 0.0
        self.took_s: float | None = None
        self._plan = plan
        self._saved_usd, self._unknown = 0.0, 0
        self._latencies_ms: list[float] = []
        self._first_ms: list[float] = []
        self._tokens: list[tuple[int | None, int | None]] = []
        self._errors: dict[str, tuple[int, BeastError]] = {}
        self._caches: Counter[str] = Counter()

    def answered(self, latency_ms: float, answer: dict[str, Any]) -> None:
        """Notes an answer.

        Args:
            latency_ms: How long its caller waited.
            answer: The result of `chat`.
        """
        self.ended += 1
        self._latencies_ms.append(latency_ms)
        if answer.get("ttft_ms") is not None:
            self._first_ms.append(answer["ttft_ms"])
        usage = answer.get("usage") or {}
        self._tokens.append((usage.get("prompt_tokens"), usage.get("completion_tokens")))
        self._caches[answer["cache"]["result"]] += 1
        self._saved_usd += answer.get("saved_usd") or 0.0
        self._unknown += answer.get("cost_usd") is None
        self.cost_usd += answer.get("cost_usd") or 0.0

    def went_wrong(self, error: BeastError) -> None:
        """Notes a request without an answer."""
        self.ended += 1
        self.failed += 1
        count, _ = self._errors.get(error.kind, (0, error))
        self._errors[error.kind] = (count + 1, error)

    def report(self, stopped: str | None) -> dict[str, Any]:
        """Sums it up.

        Args:
            stopped: Why it ended early.
        """
        plan, good, took_s = self._plan, len(self._latencies_ms), self.took_s or 0.0
        prompt, completion = (self._sum(part) for part in (0, 1))
        return {
            "model": plan.model,
            "requests": plan.requests,
            "concurrency": plan.concurrency,
            "cache": plan.options.get("cache"),
            "stream": bool(plan.options.get("stream")),
            "stopped": stopped,
            "ended": self.ended,
            "success": good,
            "failure": self.failed,
            "took_s": round(took_s, 3),
            "requests_per_s": round(good / took_s, 3) if took_s else None,
            "latency_ms": spread(self._latencies_ms),
            "ttft_ms": spread(self._first_ms),
            "tokens": {"prompt": prompt, "completion": completion},
            "completion_tokens_per_s": round(completion / took_s, 1) if completion and took_s else None,
            "cost_usd": round(self.cost_usd, 9) if good > self._unknown or not good else None,
            "unknown": self._unknown,
            "saved_usd": round(self._saved_usd, 9),
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


class Purse:
    """What may still be spent: all that is under way together never may cost more than is left.

    Args:
        most_usd: The bound; None: there is none.
        shares: How many requests run at once.
    """

    def __init__(self, most_usd: float | None, shares: int) -> None:
        self._most_usd = most_usd
        self._shares = shares
        self._spent_usd = self._held_usd = 0.0

    def take(self) -> float | None:
        """What one more request may cost; it is held until `settle`."""
        if self._most_usd is None:
            return None
        left_usd = self._most_usd - self._spent_usd
        allowed_usd = max(0.0, min(left_usd / self._shares, left_usd - self._held_usd))
        self._held_usd += allowed_usd
        return allowed_usd

    def settle(self, allowed_usd: float | None, cost_usd: float | None) -> None:
        """A request has ended.

        Args:
            allowed_usd: From `take`.
            cost_usd: What it cost; None: unknown, at most what it was allowed.
        """
        if allowed_usd is not None:
            self._held_usd -= allowed_usd
            self._spent_usd += allowed_usd if cost_usd is None else cost_usd


class Load:
    """A load test.

    Args:
        socket_path: The daemon's socket.
        plan: What to send.
        tell: Called after every answer, and while none comes.

    Attributes:
        measured: What was measured.
        stopped: Why it ended early: `interrupted`, `budget` or `daemon`; None: it did not.
        problem: The error that ended it.
    """

    def __init__(self, socket_path: str, plan: Plan, tell: Callable[[], None]) -> None:
        self.measured = Measured(plan)
        self.stopped: str | None = None
        self.problem: BeastError | None = None
        self._plan = plan
        self._tell = tell
        self._purse = Purse(plan.max_cost_usd, plan.concurrency)
        self._clients = [AsyncClient(socket_path) for _ in range(min(plan.concurrency, LINKS_MAX))]
        self._next = 0
        self._began_s = time.monotonic()

    @property
    def took_s(self) -> float:
        """How long it has run."""
        return time.monotonic() - self._began_s if self.measured.took_s is None else self.measured.took_s

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
            self.measured.took_s = self.took_s
            for task in (*workers, telling):
                task.cancel()
            await asyncio.gather(*workers, telling, return_exceptions=True)
            await asyncio.gather(*(client.close() for client in self._clients))
            for number in signals:
                loop.remove_signal_handler(number)

    def _interrupt(self, own: asyncio.Task[Any] | None) -> None:
        if own is not None and self.stopped != "interrupted":  # a second Ctrl-C changes nothing: it is being ended
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
        allowed_usd = self._purse.take()
        cost_usd: float | None = 0.0
        options = self._plan.options if allowed_usd is None else {**self._plan.options, "max_cost_usd": allowed_usd}
        began_s = time.monotonic()
        try:
            answer = await client.call("chat", {"message": prompt, "model": self._plan.model, **options})
            cost_usd = answer.get("cost_usd")
            self.measured.answered((time.monotonic() - began_s) * 1e3, answer)
        except BudgetError as error:
            self._stop("budget", error)
        except DaemonNotRunningError as error:
            self._stop("daemon", error)
        except BeastError as error:
            cost_usd = 0.0 if error.kind in UNCHARGED else None
            self.measured.went_wrong(error)
        finally:
            self._purse.settle(allowed_usd, cost_usd)

    def _stop(self, why: str, error: BeastError) -> None:
        if self.stopped is None:
            self.stopped, self.problem = why, error


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
