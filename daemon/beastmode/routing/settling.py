"""What an upstream call that brought an answer comes to: its route, its cost, and what routing saved."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from beastmode.core.deployments import Deployment
from beastmode.core.settings import Settings
from beastmode.core.types import Completion, Request, Route
from beastmode.costs.arithmetic import against
from beastmode.costs.prices import FREE_PROVIDERS, Prices
from beastmode.routing.fallback import Served
from beastmode.routing.models import Registry
from beastmode.routing.names import resolve
from beastmode.routing.selector import Ranked


class Settled(msgspec.Struct, kw_only=True):
    """A finished upstream call, as all who waited for it share it."""

    completion: Completion
    deployment: Deployment
    route: Route
    cost_usd: float | None
    upstream_s: float
    price_source: str | None = None
    saved_route_usd: float | None = None


def route_of(request: Request, ranked: Ranked, served: Served[Completion]) -> Route:
    """Why the request went where it went.

    Args:
        request: What was asked.
        ranked: The order in which deployments could be called.
        served: Who answered.
    """
    fell_back = served.fell_back or request.model not in ("auto", served.deployment.model)
    reason = f"{ranked.reason} It failed; {served.deployment.id} answered." if served.fell_back else ranked.reason
    return Route(reason=reason, candidates=ranked.candidates, attempts=served.attempts, fell_back=fell_back)


def settle(
    prices: Prices,
    request: Request,
    ranked: Ranked,
    served: Served[Completion],
    *,
    call_s: float,
    upstream_s: float,
    baseline: Deployment | None = None,
) -> Settled:
    """Prices a call that brought an answer.

    Args:
        prices: What usage costs.
        request: What was asked.
        ranked: The order in which deployments could be called.
        served: Who answered.
        call_s: How long that call took.
        upstream_s: How long all calls took.
        baseline: What would have answered without routing; None: nobody said.
    """
    brought, asked = served.result, request.params.get("service_tier")
    charge = prices.charge(served.deployment, brought.usage, brought.billing, asked=asked, seconds=call_s)
    settled = Settled(
        completion=brought,
        deployment=served.deployment,
        route=route_of(request, ranked, served),
        cost_usd=charge.cost_usd,
        upstream_s=upstream_s,
        price_source=charge.words,
    )
    if baseline is not None and charge.words is not None:
        settled.price_source = against(charge.words, baseline.model)
        would_usd = prices.cost(baseline, brought.usage)
        if would_usd is not None and charge.cost_usd is not None:
            settled.saved_route_usd = round(would_usd - charge.cost_usd, 9)
    return settled


def baseline_of(
    settings: Settings, request: Request, registry: Registry, ranked: Ranked, prices: Prices
) -> Deployment | None:
    """The model against which the saving of routing is told; a named model has none.

    It is `costs.baseline`: an id or an alias, registered or only in the price table. Where that is empty, it is what
    `auto` would pick with quality first: the first of `routing.auto` that could be called and has a known price.

    Args:
        settings: For both, and for the aliases.
        request: What was asked.
        registry: The models.
        ranked: What could be called.
        prices: What is known of prices.
    """
    if request.model != "auto":
        return None
    if not settings.costs.baseline:
        return _preferred(settings.routing.auto, ranked, prices)
    wanted = resolve(settings.costs.baseline, registry, settings.routing)
    model = registry.find(wanted)
    if model is not None and model.deployments:
        return model.deployments[0]
    provider = wanted.partition(":")[0]
    return None if provider in ("custom", *FREE_PROVIDERS) else _unregistered(wanted)


def _preferred(order: list[str], ranked: Ranked, prices: Prices) -> Deployment | None:
    found = (one for name in order for one in ranked.deployments if one.model == name)
    return next((one for one in found if prices.price(one) is not None), None)


@lru_cache(maxsize=16)
def _unregistered(model: str) -> Deployment:
    """One object for each name, by which its price is remembered."""
    return Deployment(id=f"baseline {model}", model=model, provider=model.partition(":")[0])
