"""The request: look up, rank, reserve, call, settle, record. Every request of every door passes here, once."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from beastmode.accounts import (
    Ticket,
    failure_row,
    hit_answer,
    hit_row,
    missed,
    stored_entry,
    timed,
    told,
    told_row,
)
from beastmode.cache.flight import Flight, Flights
from beastmode.cache.keeper import Keeper, keys_for
from beastmode.cache.key import Key, make_key
from beastmode.cache.lookup import Found, Lookup
from beastmode.cache.variants import Truth, Variants
from beastmode.calling import Calling, with_findings
from beastmode.core.breaker import Breakers
from beastmode.core.clock import Clock
from beastmode.core.deltas import OnDelta, pieces_of
from beastmode.core.errors import (
    BeastError,
    BudgetError,
    CancelledError,
    InternalError,
    NotInCacheError,
    ShuttingDownError,
)
from beastmode.core.plugins import Provider
from beastmode.core.rows import Row, content_of
from beastmode.core.settings import RoutingSettings, Settings
from beastmode.core.types import Answer, CacheInfo, Entry, Gathered, Outcome, Request
from beastmode.costs.prices import Prices
from beastmode.metrics.ledger import Ledger
from beastmode.routing.models import Registry
from beastmode.routing.names import resolve
from beastmode.routing.settling import Settled
from beastmode.routing.vault import Vault

if TYPE_CHECKING:  # it needs numpy, which is there only where an embedder is
    from beastmode.cache.semantic import Semantic

log = logging.getLogger(__name__)

NOTHING_STORED = "Nothing is stored for this request."
SHUTTING_DOWN_TIPS = ("the daemon is stopping: beast start, then ask again",)


class Gateway:
    """Answers requests; `admitted` counts those that came in since the start, `recorded` their rows.

    Args:
        settings: The user's settings; replaced when they are reloaded.
        clock: Time and ids.
        lookup: Stored answers.
        semantic: Finds answers by meaning; None where no embedder is installed.
        registry: The models.
        breakers: Health of the deployments.
        vault: Keys of deployments.
        providers: Provider plugins by name.
        prices: What usage costs.
        ledger: One row for every request.
        truth: Knows what the files of open workspaces are now; None: nothing that was made from them is served.

    Attributes:
        variants: Chooses between stored answers that were made from pieces of a workspace.
        person_s: Monotonic clock at which a person asked last; what memory answers counts too.
        on_person: Told of a person's request that memory does not answer, before anything is done for it.
        adapt: Gives a request about a workspace what its project says, and the names of models that hold for it.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Clock,
        lookup: Lookup,
        semantic: Semantic | None,
        registry: Registry,
        breakers: Breakers,
        vault: Vault,
        providers: Mapping[str, Provider],
        prices: Prices,
        ledger: Ledger,
        truth: Truth | None = None,
    ) -> None:
        self.settings = settings
        self._clock = clock
        self.lookup = lookup
        self.semantic = semantic
        self.keeper = Keeper(lookup, semantic)
        self.variants = Variants(lookup, truth)
        self._registry = registry
        self._ledger = ledger
        self._calling = Calling(
            clock=clock,
            registry=registry,
            breakers=breakers,
            vault=vault,
            providers=providers,
            prices=prices,
            ledger=ledger,
        )
        self.flights: Flights[Settled] = Flights(clock.mono_s)
        self.admitted = self.recorded = 0
        self.person_s = clock.mono_s()
        self.on_person: Callable[[Ticket], None] | None = None
        self.adapt: Callable[[Request, RoutingSettings], RoutingSettings] | None = None
        self._draining = False
        self._asking: set[asyncio.Task[object]] = set()

    # -- the door's side ------------------------------------------------------------------------------------------

    def named(self, request: Request) -> Request:
        """Puts the id of a model in place of the name that the caller used for it, as its project has it."""
        routing = self.settings.routing
        if self.adapt is not None and request.workspace is not None:
            routing = self.adapt(request, routing)
        request.model = resolve(request.model, self._registry, routing)
        return request

    def admit(self, request: Request, key: Key | None = None) -> Ticket:
        """Takes a request in: from here on it leaves exactly one row.

        Args:
            request: What is asked.
            key: Its key, where that was computed already (of a request that is `named`).

        Raises:
            ShuttingDownError: The daemon drains; the refusal has its row.
        """
        self.admitted += 1
        request.request_id = self._clock.new_id()
        ticket = Ticket(request, key or make_key(self.named(request)), self._clock.mono_s(), self._clock.wall_s())
        if request.origin == "person":
            self.person_s = ticket.started_s
        if self._draining:
            error = ShuttingDownError("The daemon is stopping and takes no new work.", tips=SHUTTING_DOWN_TIPS)
            raise self._failed(ticket, error, "refused")
        return ticket

    def recall(self, ticket: Ticket) -> Answer | None:
        """Answers from memory, without waiting; None where memory does not have it, or files must be looked at."""
        request = ticket.request
        if not self.settings.cache.enabled or request.cache not in ("default", "only") or request.gather is not None:
            return None
        found = self.lookup.recall(ticket.key)
        return self._hit(ticket, found) if found is not None and not found.entry.pieces else None

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
        if self.on_person is not None and ticket.request.origin == "person":
            self.on_person(ticket)
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
        except BudgetError as error:
            raise self._failed(ticket, error, "refused") from error
        except BeastError as error:
            raise self._failed(ticket, error, "failure") from error
        except Exception as error:
            log.exception("request failed inside the daemon", extra={"fields": {"request_id": _id(ticket)}})
            ours = InternalError("The daemon failed at this request.", tips=["see the log: state/logs/beast.log"])
            raise self._failed(ticket, ours, "failure") from error
        finally:
            if task is not None:
                self._asking.discard(task)

    def record(self, ticket: Ticket, row: Row) -> None:
        """Writes the row of a request that was admitted and answered without a model."""
        self._write(ticket, row)

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
        while True:
            if mode in ("default", "only"):
                found = await self._find(ticket)
                if found is None:
                    found = await self._find_by_meaning(ticket)
                if found is not None:
                    return self.replay(ticket, found, on_delta)
            if mode == "only":
                self.variants.stale += ticket.stale
                what = "What is stored for this request is true no more." if ticket.stale else NOTHING_STORED
                raise NotInCacheError(what, tips=["ask again without cache=only"])
            if mode != "default" or (flight := self.flights.joinable(ticket.key.exact)) is None:
                if mode == "default" and self.variants.came_after(ticket.key, ticket.seen):
                    continue
                return await self._lead(ticket, mode, on_delta)
            with flight.boarding():
                if ticket.request.gather is not None:
                    ticket.sources = await self.variants.suiting(ticket.request, flight)
                if ticket.request.gather is None or ticket.sources is not None:
                    return await self._follow(ticket, flight, on_delta)
            if not flight.landed:  # else its answer may be stored by now
                return await self._lead(ticket, mode, on_delta)

    async def _find(self, ticket: Ticket) -> Found | None:
        """Asks the tiers; an answer that was made from pieces of a workspace only where they are still the same."""
        found = await self.lookup.find(ticket.key)
        if found is None or (ticket.request.gather is None and not found.entry.pieces):
            return found
        ticket.decision, ticket.seen = None, found.entry
        return await self._true_now(ticket, found)

    async def _true_now(self, ticket: Ticket, found: Found) -> Found | None:
        held = await self.variants.fitting(ticket.request, found)
        if held is None:
            ticket.stale = True
            return None
        ticket.sources = held.sources
        return held.found

    async def _find_by_meaning(self, ticket: Ticket) -> Found | None:
        """Asks the semantic step, where this request may be matched by meaning."""
        if self.semantic is None:
            return None
        ticket.exact_only = self.semantic.why_not(ticket.request, ticket.key)
        if ticket.exact_only is not None:
            return None
        if ticket.request.gather is None:
            decision = await self.semantic.find(ticket.key)
        else:
            decision = await self.semantic.find(ticket.key, partial(self._true_now, ticket))
        ticket.decision = decision
        if decision.result == "bypass":
            ticket.exact_only = decision.why
        return decision.found

    def replay(self, ticket: Ticket, found: Found, on_delta: OnDelta | None) -> Answer:
        """Answers from what is stored, as a stream where one was asked for."""
        answer = ticket.answer = self._hit(ticket, found)
        if on_delta is not None:
            for piece in pieces_of(found.entry.completion):
                on_delta(piece)
        return answer

    def _hit(self, ticket: Ticket, found: Found) -> Answer:
        latency_ms = (self._clock.mono_s() - ticket.started_s) * 1e3
        decision = ticket.decision
        if decision is not None and self.semantic is not None:
            self.semantic.served(ticket.request, ticket.key, found.entry, decision.group)
        ticket.completion = found.entry.completion
        self._write(ticket, hit_row(ticket, found, latency_ms))
        self.keeper.note(ticket.request.request_id, found.entry.key)
        if found.entry.pieces:
            self.keeper.note_variant(ticket.request.request_id, found.entry.request_id)
        return hit_answer(ticket, found, latency_ms)

    # -- flights --------------------------------------------------------------------------------------------------

    async def _lead(self, ticket: Ticket, mode: str, on_delta: OnDelta | None) -> Answer:
        """Starts the upstream call; its row is written when the call ends, whoever still waits."""
        ticket.leads = True
        self.variants.stale += ticket.stale
        key = ticket.key.exact if mode == "default" else None
        gathers = ticket.request.gather is not None
        ticket.flight = flight = self.flights.launch(key, lambda own: self._fly(ticket, mode, own), gathers=gathers)
        settled = await flight.wait(timed(ticket, on_delta, self._clock))
        ticket.completion = settled.completion
        assert ticket.brought is not None
        return ticket.brought

    async def _follow(self, ticket: Ticket, flight: Flight[Settled], on_delta: OnDelta | None) -> Answer:
        """Waits for an identical request; has its own row, the leader's outcome, and costs nothing."""
        ticket.follows, ticket.flight = True, flight
        settled = await flight.wait(timed(ticket, on_delta, self._clock))
        ticket.completion = settled.completion
        cache = CacheInfo(result="hit_exact", tier="flight", age_s=0.0, why="an identical request was being answered")
        answer = told(ticket, settled, cache, self._clock.mono_s(), 0.0, saved_usd=settled.cost_usd)
        self._write(ticket, told_row(ticket, "success", settled, answer, overhead_ms=None))
        return answer

    async def _fly(self, ticket: Ticket, mode: str, flight: Flight[Settled]) -> Settled:
        """Makes the call for everyone who waits, stores what it brings, and writes the leader's row."""
        try:
            sent = ticket.request if ticket.request.gather is None else await with_findings(ticket, flight)
            settled = await self._calling.call(ticket, sent, flight, self.settings)
        except asyncio.CancelledError:
            error = flight.stopped_by or CancelledError("The caller ended the request.")
            self._write_failure(ticket, error, "cancelled")
            raise
        except BeastError as error:
            outcome: Outcome = "refused" if isinstance(error, BudgetError) else "failure"
            self._write_failure(ticket, error, "cancelled" if ticket.gone else outcome)
            raise
        except Exception:
            ours = InternalError("The daemon failed at this request.", tips=["see the log: state/logs/beast.log"])
            self._write_failure(ticket, ours, "failure")
            raise
        if flight.watched and not flight.delivered:
            for piece in pieces_of(settled.completion):
                flight.delta(piece)
        if mode != "off" and flight.gathered is None:
            self._store(ticket, settled)
        ticket.completion = settled.completion
        answer = ticket.brought = told(ticket, settled, missed(ticket, mode), self._clock.mono_s(), settled.cost_usd)
        overhead_ms = ticket.overhead_ms = answer.latency_ms - settled.upstream_s * 1e3
        self._write(ticket, told_row(ticket, "cancelled" if ticket.gone else "success", settled, answer, overhead_ms))
        if mode != "off" and flight.gathered is not None:
            await self._store_made_from(ticket, settled, flight.gathered)
        return settled

    # -- store ----------------------------------------------------------------------------------------------------

    def _store(self, ticket: Ticket, settled: Settled) -> None:
        """Stores a complete answer under the model that gave it, and under `auto` when asked so."""
        for key in keys_for(ticket.request, ticket.key, settled.completion, settled.deployment.model):
            self.keeper.note(_id(ticket), key.exact)
            self._keep(ticket, stored_entry(ticket, key, settled, self._clock.wall_s()))

    async def _store_made_from(self, ticket: Ticket, settled: Settled, gathered: Gathered) -> None:
        """The same for an answer that was made from pieces of a workspace, beside those made from other pieces."""
        for key in keys_for(ticket.request, ticket.key, settled.completion, settled.deployment.model):
            self.keeper.note(_id(ticket), key.exact)
            self.keeper.note_variant(_id(ticket), _id(ticket))
            entry = stored_entry(ticket, key, settled, self._clock.wall_s(), gathered.pieces)
            await self.variants.keep(ticket.request, entry, lambda joined: self._keep(ticket, joined))

    def _keep(self, ticket: Ticket, entry: Entry) -> None:
        self.keeper.keep(entry, by_meaning=self.semantic is not None and ticket.exact_only is None)

    # -- record ---------------------------------------------------------------------------------------------------

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
        self._write(ticket, failure_row(ticket, error, outcome, self._clock.mono_s()))

    def _write(self, ticket: Ticket, row: Row) -> None:
        if not ticket.recorded:
            ticket.recorded = True
            self.recorded += 1
            if self.settings.retention.content:
                row.content = content_of(ticket.request, ticket.completion)
            self._ledger.record(row)


def _id(ticket: Ticket) -> str:
    return ticket.request.request_id
