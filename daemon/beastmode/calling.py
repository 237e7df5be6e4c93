"""The upstream call of a request: rank, reserve, call, settle."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import msgspec

from beastmode.accounts import Ticket, bare_row, missed
from beastmode.cache.flight import Flight
from beastmode.core.breaker import Breakers
from beastmode.core.clock import Clock
from beastmode.core.deltas import Begun
from beastmode.core.deployments import Deployment
from beastmode.core.errors import BadInputError, BeastError, InternalError
from beastmode.core.plugins import Call, Provider
from beastmode.core.rows import RowCache
from beastmode.core.settings import Settings, UpstreamSettings
from beastmode.core.types import Completion, Gathered, Request
from beastmode.costs.bounds import require_within
from beastmode.costs.prices import Prices
from beastmode.metrics.ledger import Ledger
from beastmode.routing.fallback import run
from beastmode.routing.limits import Slots
from beastmode.routing.models import Registry
from beastmode.routing.selector import rank
from beastmode.routing.settling import Settled, baseline_of, settle
from beastmode.routing.vault import Vault

log = logging.getLogger(__name__)


async def with_findings(ticket: Ticket, flight: Flight[Settled]) -> Request:
    """Finds what of the workspace belongs to a question; where that fails, it is asked without.

    Args:
        ticket: A request that has a `gather`.
        flight: Told what was found.

    Returns:
        What is sent.

    Raises:
        BeastError: The request can not be answered at all.
    """
    request = ticket.request
    assert request.gather is not None
    try:
        gathered = await request.gather()
    except BeastError:
        raise
    except Exception:
        log.exception("nothing was found for a question", extra={"fields": {"request_id": request.request_id}})
        gathered = Gathered(request.messages, [])
    flight.found(gathered)
    ticket.sources = gathered.pieces
    return msgspec.structs.replace(request, messages=gathered.messages, native=None)


class Calling:
    """Calls providers.

    Args:
        clock: Time.
        registry: The models.
        breakers: Health of the deployments.
        vault: Keys of deployments.
        providers: Provider plugins by name.
        prices: What usage costs.
        ledger: Told of each call before it is sent.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        registry: Registry,
        breakers: Breakers,
        vault: Vault,
        providers: Mapping[str, Provider],
        prices: Prices,
        ledger: Ledger,
    ) -> None:
        self._clock = clock
        self._registry = registry
        self._breakers = breakers
        self._slots = Slots()
        self._vault = vault
        self._providers = providers
        self._prices = prices
        self._ledger = ledger

    async def call(self, ticket: Ticket, request: Request, flight: Flight[Settled], settings: Settings) -> Settled:
        """Asks the best deployment, and others where it fails.

        Args:
            ticket: The request's papers; told what is tried.
            request: What is sent: the ticket's request, with what was found for it.
            flight: Gets the pieces of the answer.
            settings: The settings in force.

        Raises:
            BeastError: No deployment answered.
        """
        ranked = rank(request, request.model, self._registry, self._breakers, self._vault, self._providers, settings)
        upstream_s = call_s = 0.0

        async def attempt(deployment: Deployment, number: int) -> Completion:
            nonlocal upstream_s, call_s
            if request.max_cost_usd is not None:
                require_within(request.max_cost_usd, self._prices.upper_bound(request, deployment), deployment)
            ticket.attempts, ticket.deployment = number, deployment
            ticket.free = (number == 1 or ticket.free) and self._prices.is_free(deployment)
            flight.deployment = deployment
            if number > 1:
                flight.delta(Begun())  # what an attempt that failed had begun is over
            self._reserve(ticket, deployment)
            began_s = self._clock.mono_s()
            ticket.overhead_ms = ticket.overhead_ms or (began_s - ticket.started_s) * 1e3  # a stream's head tells it
            try:
                return await self._provider_call(request, deployment, flight, settings)
            finally:
                call_s = self._clock.mono_s() - began_s
                upstream_s += call_s

        served = await run(
            ranked,
            attempt,
            budget=settings.upstream if request.origin != "warming" else _once(settings.upstream),
            clock=self._clock,
            started=lambda: flight.delivered,
            breakers=self._breakers,
            slots=self._slots,
        )
        baseline = baseline_of(settings, request, self._registry, ranked, self._prices)
        times = {"call_s": call_s, "upstream_s": upstream_s}
        return settle(self._prices, request, ranked, served, **times, baseline=baseline)

    def _reserve(self, ticket: Ticket, deployment: Deployment) -> None:
        """Journals the call before it is sent, so that a killed daemon still accounts for it."""
        row = bare_row(ticket, "failure", 0.0)
        row.cache = RowCache(missed(ticket, ticket.request.cache).result)
        row.deployment, row.provider, row.attempts = deployment.id, deployment.provider, ticket.attempts
        self._ledger.intend(row)

    async def _provider_call(
        self, request: Request, deployment: Deployment, flight: Flight[Settled], settings: Settings
    ) -> Completion:
        provider = self._providers[deployment.provider]
        call = Call(
            request=request,
            deployment=deployment,
            key=self._vault.key_for(deployment),
            timeout_s=settings.upstream.timeout_s,
        )
        try:
            completion = await provider.call(call, flight.delta if request.stream else None)
            if request.kind == "embedding" and completion.reply is None:
                raise BadInputError(f"{deployment.model} gives no embeddings.", tips=["ask a model that does"])
            return completion
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


def _once(settings: UpstreamSettings) -> UpstreamSettings:
    """For what is asked ahead: a second attempt might cost as much again as was held for the first."""
    return msgspec.structs.replace(settings, max_attempts=1)
