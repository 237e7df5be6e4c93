"""Circuit breakers: a deployment that keeps failing rests, then one request tries it again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from beastmode.core.clock import Clock
from beastmode.core.errors import (
    BeastError,
    EndpointUnreachableError,
    InternalError,
    MalformedReplyError,
    ProviderError,
    RateLimitedError,
    UpstreamError,
    UpstreamTimeoutError,
)

State = Literal["closed", "open", "half-open"]

MAX_COOLDOWN_S = 300.0
JITTER = 0.9

_FAILURES = (EndpointUnreachableError, UpstreamTimeoutError, UpstreamError, MalformedReplyError, InternalError)


def is_failure(error: BeastError) -> bool:
    """Says whether an error speaks against the deployment, rather than against the request or the key.

    Args:
        error: What a call ended with.
    """
    return isinstance(error, _FAILURES) or type(error) is ProviderError


class Breaker:
    """The breaker of one deployment.

    A call enters with a ticket and reports how it ended. A ticket from before the breaker last changed its state
    says nothing about the state now and is ignored.

    Args:
        clock: Time and jitter.
        failures: Failures in a row that open it.
        cooldown_s: How long it stays open the first time; each failed trial doubles that, up to five minutes.
    """

    __slots__ = (
        "_clock",
        "_cooldown_s",
        "_count",
        "_generation",
        "_limit",
        "_openings",
        "_probing",
        "_until_s",
        "last_error",
    )

    def __init__(self, clock: Clock, failures: int, cooldown_s: float) -> None:
        self._clock = clock
        self._limit = failures
        self._cooldown_s = cooldown_s
        self._count = 0
        self._openings = 0
        self._generation = 1
        self._probing = False
        self._until_s: float | None = None
        self.last_error: BeastError | None = None

    @property
    def state(self) -> State:
        """Closed: calls go through. Open: none does. Half-open: one may try."""
        if self._until_s is not None and self._clock.mono_s() < self._until_s:
            return "open"
        return "half-open" if self._openings else "closed"

    def allows(self) -> bool:
        """Says whether `enter` would let a call through now."""
        if self._until_s is not None and self._clock.mono_s() < self._until_s:
            return False
        return not (self._openings and self._probing)

    def remaining_s(self) -> float | None:
        """Seconds until the next call may try; None while calls go through."""
        if self.allows():
            return None
        return max(0.0, (self._until_s or 0.0) - self._clock.mono_s())

    def enter(self) -> int | None:
        """Lets a call through.

        Returns:
            A ticket for exactly one of `succeed`, `fail` and `leave`; None when no call is let through.
        """
        if not self.allows():
            return None
        self._until_s = None
        self._probing = bool(self._openings)
        return self._generation

    def succeed(self, ticket: int) -> None:
        """Takes note of an answer: it closes the breaker.

        Args:
            ticket: From `enter`.
        """
        if ticket != self._generation:
            return
        if self._openings:
            self._generation += 1
        self._count = self._openings = 0
        self._probing = False
        if self._until_s is None:  # a pause that another call was asked for keeps its cause
            self.last_error = None

    def fail(self, ticket: int, error: BeastError) -> None:
        """Takes note of an error, whatever it was.

        Args:
            ticket: From `enter`.
            error: A refused request or key proves that somebody answers; a 429 asks for a pause and is no failure;
                what is no error of a provider says nothing.
        """
        if ticket != self._generation:
            return
        if isinstance(error, RateLimitedError):
            self._rest(error)
        elif is_failure(error):
            self._count_failure(error)
        elif isinstance(error, ProviderError):
            self.succeed(ticket)
        else:
            self.leave(ticket)

    def leave(self, ticket: int) -> None:
        """Gives a ticket back without a verdict: the call was cancelled.

        Args:
            ticket: From `enter`.
        """
        if ticket == self._generation:
            self._probing = False

    def _rest(self, error: RateLimitedError) -> None:
        self._probing = False
        self.last_error = error
        if error.retry_after_s is not None and error.retry_after_s > 0:
            self._until_s = self._clock.mono_s() + min(error.retry_after_s, MAX_COOLDOWN_S)

    def _count_failure(self, error: BeastError) -> None:
        self.last_error = error
        self._count += 1
        if not self._openings and self._count < self._limit:
            return
        # The exponent is bounded: a deployment may be away for years.
        pause_s = min(self._cooldown_s * 2 ** min(self._openings, 32), MAX_COOLDOWN_S)
        self._until_s = self._clock.mono_s() + pause_s * self._clock.uniform(JITTER, 1.0)
        self._openings += 1
        self._generation += 1
        self._probing = False


class Breakers:
    """The breakers of all deployments, made when first asked for.

    Args:
        clock: Time and jitter.
        failures: Failures in a row that open one.
        cooldown_s: How long it stays open the first time.
    """

    def __init__(self, clock: Clock, failures: int, cooldown_s: float) -> None:
        self._clock = clock
        self._failures = failures
        self._cooldown_s = cooldown_s
        self._all: dict[str, Breaker] = {}

    def get(self, deployment_id: str) -> Breaker:
        """The breaker of a deployment.

        Args:
            deployment_id: Its id.
        """
        breaker = self._all.get(deployment_id)
        if breaker is None:
            breaker = self._all[deployment_id] = Breaker(self._clock, self._failures, self._cooldown_s)
        return breaker

    def forget(self, deployment_id: str) -> None:
        """Drops a deployment's past: it was removed, or registered anew.

        Args:
            deployment_id: Its id.
        """
        self._all.pop(deployment_id, None)

    def configure(self, failures: int, cooldown_s: float) -> None:
        """Takes new settings; open breakers stay as they are.

        Args:
            failures: Failures in a row that open a breaker.
            cooldown_s: How long it stays open the first time.
        """
        self._failures = failures
        self._cooldown_s = cooldown_s
        for breaker in self._all.values():
            breaker._limit = failures
            breaker._cooldown_s = cooldown_s

    def __iter__(self) -> Iterator[tuple[str, Breaker]]:
        """Every breaker with its deployment's id."""
        return iter(self._all.items())
