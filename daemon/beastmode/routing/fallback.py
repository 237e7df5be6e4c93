"""Calling upstream: one budget of attempts for the whole request, spent on retries and on falling back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from beastmode.core.breaker import Breaker, Breakers
from beastmode.core.clock import Clock
from beastmode.core.deployments import Deployment
from beastmode.core.errors import (
    AuthenticationError,
    BadInputError,
    BadRequestError,
    BeastError,
    BudgetError,
    ContextTooLongError,
    DNSError,
    EndpointNotFoundError,
    InternalError,
    NoHealthyModelError,
    ProviderError,
    RateLimitedError,
    RateLimitError,
    RefusedConnectionError,
    RefusedEndpointError,
    TLSError,
)
from beastmode.core.settings import UpstreamSettings
from beastmode.routing.limits import Slots
from beastmode.routing.selector import Ranked, cooling_down

T = TypeVar("T")
Attempt = Callable[[Deployment, int], Awaitable[T]]
Policy = Literal["raise", "fall_back", "retry"]

FIRST_BACKOFF_S = 0.25
TIMER_SLACK_S = 0.005  # a timer may ring a little early, and the breaker counts exactly

_ONLY_ELSEWHERE = (
    AuthenticationError,
    BudgetError,
    ContextTooLongError,
    DNSError,
    EndpointNotFoundError,
    InternalError,
    NoHealthyModelError,
    RateLimitError,
    RefusedConnectionError,
    RefusedEndpointError,
    TLSError,
)


class Trail:
    """What was done for a request so far; tells the truth also after an error or a cancellation.

    Attributes:
        attempts: Upstream calls that were made.
        deployment: The one that was called last.
        fell_back: It was not the first of the ranking, or stood in for the model that was asked for.
        errors: Every failed attempt, oldest first.
    """

    __slots__ = ("attempts", "deployment", "errors", "fell_back")

    def __init__(self) -> None:
        self.attempts = 0
        self.deployment: Deployment | None = None
        self.fell_back = False
        self.errors: list[tuple[Deployment, BeastError]] = []


class Served(NamedTuple, Generic[T]):
    """What `run` gives back.

    Attributes:
        result: What the attempt returned.
        deployment: The deployment that gave it.
        attempts: Upstream calls that were made.
        fell_back: Another deployment than the first of the ranking answered.
    """

    result: T
    deployment: Deployment
    attempts: int
    fell_back: bool


def policy(error: BeastError) -> Policy:
    """What may be done about an error, before any text was delivered.

    Args:
        error: What an attempt ended with.

    Returns:
        `raise`: the request itself is wrong (400, 422) or is over. `fall_back`: the same endpoint would say the same
        again (401, 403, 404, nobody listens). `retry`: a second try may succeed (429, 5xx, silence, a broken reply).
    """
    if isinstance(error, _ONLY_ELSEWHERE):
        return "fall_back"
    if isinstance(error, BadRequestError | BadInputError) or not isinstance(error, ProviderError):
        return "raise"
    return "retry"


def run(
    ranked: Ranked,
    attempt: Attempt[T],
    *,
    budget: UpstreamSettings,
    clock: Clock,
    started: Callable[[], bool],
    breakers: Breakers,
    slots: Slots | None = None,
    trail: Trail | None = None,
) -> Coroutine[Any, Any, Served[T]]:
    """Calls the deployments of a ranking until one answers; to be awaited.

    Args:
        ranked: The order.
        attempt: Makes one call; gets the deployment and the number of the attempt, from 1.
        budget: `max_attempts`, `retry_wait_s` and `timeout_s`.
        clock: Waiting and jitter.
        started: Says whether the caller has had any text: from then on nothing is tried again.
        breakers: Told of every attempt; one that opened meanwhile is passed over.
        slots: Limits of requests at once.
        trail: Filled in as it goes.

    Raises:
        BeastError: The last error of `ranked.model`, with what was tried among its tips.
    """
    return _Run(ranked, attempt, budget, clock, started, breakers, slots or Slots(), trail or Trail()).answer()


class _Run(Generic[T]):
    """One request on its way through a ranking."""

    def __init__(
        self,
        ranked: Ranked,
        attempt: Attempt[T],
        budget: UpstreamSettings,
        clock: Clock,
        started: Callable[[], bool],
        breakers: Breakers,
        slots: Slots,
        trail: Trail,
    ) -> None:
        self._ranked = ranked
        self._attempt = attempt
        self._budget = budget
        self._clock = clock
        self._started = started
        self._breakers = breakers
        self._slots = slots
        self._trail = trail
        self._retried = False

    async def answer(self) -> Served[T]:
        """Goes through the ranking."""
        waiting = list(self._ranked.deployments)
        current: Deployment | None = self._next(waiting)
        while current is not None:
            try:
                result = await self._call(current)
            except BeastError as error:
                self._trail.errors.append((current, error))
                current = await self._after(error, current, waiting)
            else:
                return Served(result, current, self._trail.attempts, self._trail.fell_back)
        raise self._verdict()

    def _next(self, waiting: list[Deployment]) -> Deployment | None:
        """Takes the next deployment whose breaker lets a call through."""
        while waiting:
            one = waiting.pop(0)
            if self._breakers.get(one.id).allows():
                return one
        return None

    def _call(self, deployment: Deployment) -> Coroutine[Any, Any, T]:
        limited = deployment.limits.max_concurrent is not None
        return self._in_turn(deployment) if limited else self._guarded(deployment)

    async def _in_turn(self, deployment: Deployment) -> T:
        slot = await self._slots.take(deployment, self._budget.timeout_s)
        try:
            return await self._guarded(deployment)
        finally:
            if slot is not None:
                slot.release()

    async def _guarded(self, deployment: Deployment) -> T:
        """One attempt, of which the breaker hears whatever happens."""
        breaker = self._breakers.get(deployment.id)
        ticket = breaker.enter()
        if ticket is None:
            raise cooling_down(deployment.model, [_absence(deployment, breaker)])
        trail = self._trail
        trail.attempts += 1
        trail.deployment = deployment
        first = self._ranked.deployments[0]
        trail.fell_back = deployment.id != first.id or deployment.model != self._ranked.model
        try:
            result = await self._attempt(deployment, trail.attempts)
        except BeastError as error:
            error.attempt = trail.attempts
            breaker.fail(ticket, error)
            raise
        except Exception as error:
            fault = _fault(deployment, error)
            breaker.fail(ticket, fault)
            raise fault from error
        except BaseException:
            breaker.leave(ticket)
            raise
        breaker.succeed(ticket)
        return result

    async def _after(self, error: BeastError, current: Deployment, waiting: list[Deployment]) -> Deployment | None:
        """Decides who is called next; None: nobody."""
        what = policy(error)
        if what == "raise" or self._started() or self._trail.attempts >= self._budget.max_attempts:
            return None
        other = self._next(waiting)
        if other is not None or what != "retry" or self._retried:
            return other
        self._retried = True
        if (error.retry_after_s or 0.0) > self._budget.retry_wait_s:
            return None
        await self._clock.sleep(self._wait_s(error))
        return current if self._breakers.get(current.id).allows() else None

    def _wait_s(self, error: BeastError) -> float:
        """Full jitter, so that those who failed together do not come back together; a 429 is taken at its word."""
        if isinstance(error, RateLimitedError) and error.retry_after_s is not None:
            return max(0.0, error.retry_after_s) + TIMER_SLACK_S
        return self._clock.uniform(0.0, min(FIRST_BACKOFF_S, self._budget.retry_wait_s))

    def _verdict(self) -> BeastError:
        """The error that the caller sees."""
        errors = self._trail.errors
        if not errors:
            away = [_absence(one, self._breakers.get(one.id)) for one in self._ranked.deployments]
            return cooling_down(self._ranked.model, away)
        own = [(one, error) for one, error in errors if one.model == self._ranked.model]
        chosen_at, chosen = (own or errors)[-1]
        others = [(one, error) for one, error in errors if error is not chosen]
        if others:
            chosen.tips = [
                *chosen.tips,
                *(f"{one.id} failed too: {error.message}" for one, error in others if one.id != chosen_at.id),
                f"{self._trail.attempts} attempts were made (upstream.max_attempts is {self._budget.max_attempts})",
            ]
        return chosen


def _absence(deployment: Deployment, breaker: Breaker) -> tuple[str, str, BeastError | None, float | None]:
    cause = breaker.last_error
    why = f"is cooling down after: {cause.message}" if cause else "is being tried by another request"
    return deployment.model, why, cause, breaker.remaining_s()


def _fault(deployment: Deployment, error: Exception) -> InternalError:
    """An exception that no provider should raise; its text is left out, it may hold a key."""
    return InternalError(
        f"The provider plugin {deployment.provider} failed with {type(error).__name__}.",
        tips=[
            f"this is a fault of the plugin {deployment.provider}; see its traceback in the log",
            f'switch it off: plugins.disabled = ["{deployment.provider}"] in config.toml',
        ],
        model=deployment.model,
        endpoint=deployment.base_url or None,
    )
