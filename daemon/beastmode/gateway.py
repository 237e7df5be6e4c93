"""The request: look up, rank, reserve, call, settle, record. Every request of every door passes here, once."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Mapping

import msgspec

from beastmode.cache.flight import Flight, Flights
from beastmode.cache.key import Key, make_key
from beastmode.cache.lookup import Found, Lookup
from beastmode.core.breaker import Breakers
from beastmode.core.clock import Clock
from beastmode.core.config import Settings
from beastmode.core.errors import BeastError, CancelledError, InternalError, NotInCacheError, ShuttingDownError
from beastmode.core.plugins import Call, OnDelta, Provider
from beastmode.core.types import (
    Answer,
    CacheInfo,
    Completion,
    Deployment,
    Entry,
    Outcome,
    Request,
    Route,
    Row,
    RowCache,
)
from beastmode.costs.prices import Prices
from beastmode.metrics.ledger import Ledger
from beastmode.routing.fallback import Served, run
from beastmode.routing.limits import Slots
from beastmode.routing.models import Registry
from beastmode.routing.selector import Ranked, rank
from beastmode.routing.vault import Vault

log = logging.getLogger(__name__)

UNCHARGED_KINDS = frozenset({"connection_refused", "dns", "tls", "unreachable", "authentication", "rate_limited"})
STORABLE_FINISHES = frozenset({"stop", "tool_calls"})
SHUTTING_DOWN_TIPS = ("the daemon is stopping: beast start, then ask again",)


class Ticket:
    """One request on its way: what was asked, when, and whether its row is written.

    Attributes:
        request: What was asked; its `request_id` is set.
        key: Its cache key.
        started_s: Monotonic clock at its arrival.
        at_s: Wall clock at its arrival.
        leads: Its row is written by the upstream call that it started.
        follows: It waits for an identical request's call.
        attempts: Upstream calls made for it so far.
        deployment: The deployment that was called last.
        gone: The kind of its end, where the caller left before the answer came.
    """

    __slots__ = (
        "at_s",
        "attempts",
        "deployment",
        "first_delta_s",
        "follows",
        "gone",
        "key",
        "leads",
        "recorded",
        "request",
        "started_s",
    )

    def __init__(self, request: Request, key: Key, started_s: float, at_s: float) -> None:
        self.request = request
        self.key = key
        self.started_s = started_s
        self.at_s = at_s
        self.first_delta_s: float | None = None
        self.leads = False
        self.follows = False
        self.attempts = 0
        self.deployment: Deployment | None = None
        self.recorded = False
        self.gone: str | None = None


class Settled(msgspec.Struct, kw_only=True):
    """A finished upstream call, as all who waited for it share it."""

    completion: Completion
    deployment: Deployment
    route: Route
    cost_usd: float | None
    upstream_s: float


class Gateway:
    """Answers requests.

    Args:
        settings: The user's settings; replaced when they are reloaded.
        clock: Time and ids.
        lookup: Stored answers.
        registry: The models.
        breakers: Health of the deployments.
        vault: Keys of deployments.
        providers: Provider plugins by name.
        prices: What usage costs.
        ledger: One row for every request.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        lookup: Lookup,
        registry: Registry,
        breakers: Breakers,
        vault: Vault,
        providers: Mapping[str, Provider],
        prices: Prices,
        ledger: Ledger,
    ) -> None:
        self.settings = settings
        self._clock = clock
        self.lookup = lookup
        self._registry = registry
        self._breakers = breakers
        self._slots = Slots()
        self._vault = vault
        self._providers = providers
        self._prices = prices
        self._ledger = ledger
        self.flights: Flights[Settled] = Flights(clock.mono_s)
        self._draining = False
        self._asking: set[asyncio.Task[object]] = set()

    # -- the door's side ------------------------------------------------------------------------------------------

    def admit(self, request: Request) -> Ticket:
        """Takes a request in: from here on it leaves exactly one row.

        Raises:
            ShuttingDownError: The daemon drains; the refusal has its row.
        """
        request.request_id = self._clock.new_id()
        ticket = Ticket(request, make_key(request), self._clock.mono_s(), self._clock.wall_s())
        if self._draining:
            error = ShuttingDownError("The daemon is stopping and takes no new work.", tips=SHUTTING_DOWN_TIPS)
            raise self._failed(ticket, error, "refused")
        return ticket

    def recall(self, ticket: Ticket) -> Answer | None:
        """Answers from memory, without waiting; None where memory does not have it."""
        if not self.settings.cache.enabled or ticket.request.cache not in ("default", "only"):
            return None
        found = self.lookup.recall(ticket.key)
        return self._hit(ticket, found) if found is not None else None

    async def ask(self, ticket: Ticket, on_delta: OnDelta | None = None) -> Answer:
        """Answers a request that memory did not have.

        Args:
            ticket: From `admit`.
            on_delta: Gets the text as it comes; None: only the whole answer is wanted.

        Returns:
            The whole answer.

        Raises:
            BeastError: With the request's id; its row is written.
        """
        task = asyncio.current_task()
        if task is not None:
            self._asking.add(task)
        try:
            return await self._answer(ticket, on_delta)
        except asyncio.CancelledError as error:
            ticket.gone = str(error) or "cancelled"
            self._failed(ticket, CancelledError("The caller ended the request."), "cancelled")
            raise
        except ShuttingDownError as error:
            raise self._failed(ticket, error, "cancelled") from error
        except BeastError as error:
            raise self._failed(ticket, error, "failure") from error
        except Exception as error:
            log.exception("request failed inside the daemon", extra={"fields": {"request_id": _id(ticket)}})
            ours = InternalError("The daemon failed at this request.", tips=["see the log: state/logs/beast.log"])
            raise self._failed(ticket, ours, "failure") from error
        finally:
            if task is not None:
                self._asking.discard(task)

    async def drain(self, limit_s: float) -> None:
        """Takes no new work, lets what runs finish, and after `limit_s` seconds tells the rest why it ends."""
        self._draining = True
        until = self._clock.mono_s() + limit_s
        while self._asking and self._clock.mono_s() < until:
            await asyncio.wait(list(self._asking), timeout=until - self._clock.mono_s())
        self.flights.stop(ShuttingDownError("The daemon stopped before the answer came.", tips=SHUTTING_DOWN_TIPS))
        if self._asking:
            await asyncio.wait(list(self._asking), timeout=1.0)
        await self.flights.landed()

    # -- look up --------------------------------------------------------------------------------------------------

    async def _answer(self, ticket: Ticket, on_delta: OnDelta | None) -> Answer:
        mode = ticket.request.cache if self.settings.cache.enabled else "off"
        if mode in ("default", "only"):
            # Asked again after the wait: an identical request may have been answered meanwhile.
            found = await self.lookup.find(ticket.key) or self.lookup.recall(ticket.key)
            if found is not None:
                return self.replay(ticket, found, on_delta)
        if mode == "only":
            raise NotInCacheError("Nothing is stored for this request.", tips=["ask again without cache=only"])
        flight = self.flights.joinable(ticket.key.exact) if mode == "default" else None
        if flight is not None:
            return await self._follow(ticket, flight, on_delta)
        return await self._lead(ticket, mode, on_delta)

    def replay(self, ticket: Ticket, found: Found, on_delta: OnDelta | None) -> Answer:
        """Answers from what is stored, as a stream where one was asked for."""
        answer = self._hit(ticket, found)
        if on_delta is not None and answer.text:
            on_delta(answer.text)
        return answer

    def _hit(self, ticket: Ticket, found: Found) -> Answer:
        entry = found.entry
        latency_ms = (self._clock.mono_s() - ticket.started_s) * 1e3
        request = ticket.request
        ticket.recorded = True
        self._ledger.record(
            Row(
                request_id=request.request_id,
                at_s=ticket.at_s,
                origin=request.origin,
                outcome="success",
                cache=RowCache("hit_exact", found.tier),
                model=request.model,
                model_served=entry.model,
                provider=entry.provider,
                usage=entry.completion.usage,
                cost_usd=0.0,
                saved_usd=entry.cost_usd,
                latency_ms=latency_ms,
                overhead_ms=latency_ms,
                stream=request.stream,
                user=request.user,
                workspace=request.workspace,
                client=request.client,
                session_id=request.session_id,
                tags=request.tags,
            )
        )
        return Answer(
            request_id=request.request_id,
            text=entry.completion.text,
            model=entry.model,
            provider=entry.provider,
            usage=entry.completion.usage,
            cost_usd=0.0,
            saved_usd=entry.cost_usd,
            latency_ms=latency_ms,
            ttft_ms=None,
            finish_reason=entry.completion.finish_reason,
            cache=CacheInfo(
                result="hit_exact",
                tier=found.tier,
                age_s=max(0.0, ticket.at_s - entry.stored_at_s),
                why="the same request was answered before",
            ),
            route=Route(reason="stored answer"),
            tool_calls=entry.completion.tool_calls,
            session_id=request.session_id,
        )

    # -- flights --------------------------------------------------------------------------------------------------

    async def _lead(self, ticket: Ticket, mode: str, on_delta: OnDelta | None) -> Answer:
        """Starts the upstream call; its row is written when the call ends, whoever still waits."""
        ticket.leads = True
        key = ticket.key.exact if mode == "default" else None
        flight = self.flights.launch(key, lambda own: self._fly(ticket, mode, own))
        settled = await flight.wait(_timed(ticket, on_delta, self._clock))
        return self._told(ticket, settled, _cache_of(mode), settled.cost_usd)

    async def _follow(self, ticket: Ticket, flight: Flight[Settled], on_delta: OnDelta | None) -> Answer:
        """Waits for an identical request; has its own row, the leader's outcome, and costs nothing."""
        ticket.follows = True
        settled = await flight.wait(_timed(ticket, on_delta, self._clock))
        cache = CacheInfo(result="hit_exact", tier="flight", age_s=0.0, why="an identical request was being answered")
        answer = self._told(ticket, settled, cache, 0.0, saved_usd=settled.cost_usd)
        self._record(ticket, "success", settled, answer, overhead_ms=None)
        return answer

    async def _fly(self, ticket: Ticket, mode: str, flight: Flight[Settled]) -> Settled:
        """Makes the call for everyone who waits, stores what it brings, and writes the leader's row."""
        try:
            settled = await self._call(ticket, flight)
        except asyncio.CancelledError:
            error = flight.stopped_by or CancelledError("The caller ended the request.")
            self._write_failure(ticket, error, "cancelled")
            raise
        except BeastError as error:
            self._write_failure(ticket, error, "cancelled" if ticket.gone else "failure")
            raise
        except Exception:
            ours = InternalError("The daemon failed at this request.", tips=["see the log: state/logs/beast.log"])
            self._write_failure(ticket, ours, "failure")
            raise
        if not flight.delivered:
            flight.delta(settled.completion.text)
        if mode != "off":
            self._store(ticket, settled)
        answer = self._told(ticket, settled, _cache_of(mode), settled.cost_usd)
        overhead_ms = answer.latency_ms - settled.upstream_s * 1e3
        self._record(ticket, "cancelled" if ticket.gone else "success", settled, answer, overhead_ms)
        return settled

    # -- rank, reserve, call, settle ------------------------------------------------------------------------------

    async def _call(self, ticket: Ticket, flight: Flight[Settled]) -> Settled:
        request = ticket.request
        ranked = rank(
            request, request.model, self._registry, self._breakers, self._vault, self._providers, self.settings
        )
        upstream_s = 0.0

        async def attempt(deployment: Deployment, number: int) -> Completion:
            nonlocal upstream_s
            ticket.attempts, ticket.deployment = number, deployment
            self._reserve(ticket, deployment)
            began_s = self._clock.mono_s()
            try:
                return await self._provider_call(request, deployment, flight)
            finally:
                upstream_s += self._clock.mono_s() - began_s

        served = await run(
            ranked,
            attempt,
            budget=self.settings.upstream,
            clock=self._clock,
            started=lambda: flight.delivered,
            breakers=self._breakers,
            slots=self._slots,
        )
        return Settled(
            completion=served.result,
            deployment=served.deployment,
            route=_route(request, ranked, served),
            cost_usd=self._prices.cost(served.deployment, served.result.usage),
            upstream_s=upstream_s,
        )

    def _reserve(self, ticket: Ticket, deployment: Deployment) -> None:
        """Journals the call before it is sent, so that a killed daemon still accounts for it."""
        row = self._row(ticket, "failure")
        row.cache = RowCache(_cache_of(ticket.request.cache).result)
        row.deployment, row.provider, row.attempts = deployment.id, deployment.provider, ticket.attempts
        self._ledger.intend(row)

    async def _provider_call(self, request: Request, deployment: Deployment, flight: Flight[Settled]) -> Completion:
        provider = self._providers[deployment.provider]
        call = Call(
            request=request,
            deployment=deployment,
            key=self._vault.key_for(deployment),
            timeout_s=self.settings.upstream.timeout_s,
        )
        try:
            return await provider.call(call, flight.delta if request.stream else None)
        except (BeastError, asyncio.CancelledError):
            raise
        except Exception as error:
            log.exception("provider plugin failed", extra={"fields": {"provider": deployment.provider}})
            raise InternalError(
                f"The provider plugin `{deployment.provider}` failed with {type(error).__name__}.",
                tips=[
                    f"see the log, and `beast plugins`; disable it with plugins.disabled = ['{deployment.provider}']"
                ],
                model=deployment.model,
            ) from error

    def _store(self, ticket: Ticket, settled: Settled) -> None:
        """Stores a complete answer under the model that gave it, and under `auto` when asked so."""
        completion, request = settled.completion, ticket.request
        served = settled.deployment.model
        if completion.finish_reason not in STORABLE_FINISHES or not (completion.text or completion.tool_calls):
            return
        keys = [ticket.key] if request.model in ("auto", served) else []
        if request.model != served:
            keys.append(make_key(request, served))
        for key in keys:
            self.lookup.store(
                Entry(
                    key=key.exact,
                    scope=key.scope,
                    text=key.text,
                    completion=completion,
                    model=served,
                    provider=settled.deployment.provider,
                    cost_usd=settled.cost_usd,
                    stored_at_s=self._clock.wall_s(),
                    digests=request.digests,
                    workspace=request.workspace,
                    tags=request.tags,
                    request_id=request.request_id,
                )
            )

    # -- tell and record ------------------------------------------------------------------------------------------

    def _told(
        self,
        ticket: Ticket,
        settled: Settled,
        cache: CacheInfo,
        cost_usd: float | None,
        saved_usd: float | None = 0.0,
    ) -> Answer:
        first_s = ticket.first_delta_s if ticket.request.stream else None
        return Answer(
            request_id=ticket.request.request_id,
            text=settled.completion.text,
            model=settled.deployment.model,
            provider=settled.deployment.provider,
            usage=settled.completion.usage,
            cost_usd=cost_usd,
            saved_usd=saved_usd,
            latency_ms=(self._clock.mono_s() - ticket.started_s) * 1e3,
            ttft_ms=(first_s - ticket.started_s) * 1e3 if first_s is not None else None,
            finish_reason=settled.completion.finish_reason,
            cache=cache,
            route=settled.route,
            tool_calls=settled.completion.tool_calls,
            session_id=ticket.request.session_id,
        )

    def _record(
        self, ticket: Ticket, outcome: Outcome, settled: Settled, answer: Answer, overhead_ms: float | None
    ) -> None:
        row = self._row(ticket, outcome)
        row.cache = RowCache(answer.cache.result, answer.cache.tier)
        row.model_served = answer.model
        row.deployment = settled.deployment.id
        row.provider = answer.provider
        row.usage = answer.usage
        row.cost_usd = answer.cost_usd
        row.saved_usd = answer.saved_usd
        row.ttft_ms = answer.ttft_ms
        row.overhead_ms = overhead_ms
        row.attempts = settled.route.attempts if answer.cache.tier != "flight" else 0
        row.fell_back = settled.route.fell_back
        row.route = settled.route.reason
        row.error_kind = ticket.gone
        self._write(ticket, row)

    def _failed(self, ticket: Ticket, error: BeastError, outcome: Outcome) -> BeastError:
        """Writes the row of a request that ends without an answer, unless its own upstream call writes it.

        Returns:
            The error as this caller gets it: those who waited together do not share one object.
        """
        error = copy.copy(error)
        error.request_id = _id(ticket)
        if not ticket.leads:
            self._write_failure(ticket, error, outcome)
        return error

    def _write_failure(self, ticket: Ticket, error: BeastError, outcome: Outcome) -> None:
        row = self._row(ticket, outcome)
        row.error_kind = ticket.gone or error.kind
        row.error_tip = " ".join([error.message, *error.tips[:1]])
        row.attempts = ticket.attempts
        if not ticket.attempts or error.kind in UNCHARGED_KINDS:
            row.cost_usd = 0.0
        if ticket.deployment is not None:
            row.deployment, row.provider = ticket.deployment.id, ticket.deployment.provider
        if ticket.leads:
            row.cache = RowCache(_cache_of(ticket.request.cache).result)
        elif ticket.follows:
            row.cache, row.cost_usd = RowCache("hit_exact", "flight"), 0.0
        self._write(ticket, row)

    def _row(self, ticket: Ticket, outcome: Outcome) -> Row:
        request = ticket.request
        return Row(
            request_id=request.request_id,
            at_s=ticket.at_s,
            origin=request.origin,
            outcome=outcome,
            model=request.model,
            latency_ms=(self._clock.mono_s() - ticket.started_s) * 1e3,
            stream=request.stream,
            user=request.user,
            workspace=request.workspace,
            client=request.client,
            session_id=request.session_id,
            tags=request.tags,
        )

    def _write(self, ticket: Ticket, row: Row) -> None:
        if not ticket.recorded:
            ticket.recorded = True
            self._ledger.record(row)


def _id(ticket: Ticket) -> str:
    return ticket.request.request_id


def _cache_of(mode: str) -> CacheInfo:
    if mode == "default":
        return CacheInfo(result="miss", why="no stored answer for this request")
    return CacheInfo(result="bypass", why=f"the request said cache={mode}")


def _route(request: Request, ranked: Ranked, served: Served[Completion]) -> Route:
    fell_back = served.fell_back or request.model not in ("auto", served.deployment.model)
    reason = f"{ranked.reason} It failed; {served.deployment.id} answered." if served.fell_back else ranked.reason
    return Route(reason=reason, candidates=ranked.candidates, attempts=served.attempts, fell_back=fell_back)


def _timed(ticket: Ticket, on_delta: OnDelta | None, clock: Clock) -> OnDelta | None:
    """Notes when this caller's own first text came."""
    if on_delta is None:
        return None

    def timed(piece: str) -> None:
        if ticket.first_delta_s is None:
            ticket.first_delta_s = clock.mono_s()
        on_delta(piece)

    return timed
