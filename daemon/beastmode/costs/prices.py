"""What a call costs: the user's own price first, then the table; unknown is None and never zero."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from beastmode.core.clock import Clock
from beastmode.core.deployments import Deployment, Price
from beastmode.core.types import Billing, Request, Usage
from beastmode.costs.arithmetic import FREE, cost_usd
from beastmode.costs.bounds import bound_usd, completion_tokens_max, prompt_tokens_max
from beastmode.costs.offers import PLAIN, STANDARD, Mode, Offer, Quote, of_price, of_tariffs
from beastmode.costs.tariffs import Tariffs

__all__ = ("NOTHING", "Charge", "Prices", "cost_usd")

FREE_PROVIDERS = ("local", "echo")
NOTHING = Price(prompt=0.0, completion=0.0)
OFFERS_MAX = 4096


class Charge(msgspec.Struct, frozen=True):
    """What a call cost.

    Attributes:
        cost_usd: To nine decimals; None: unknown.
        words: The price that held, in words; None: none is known.
    """

    cost_usd: float | None
    words: str | None


_NO_CHARGE = Charge(0.0, FREE)


class Prices:
    """Prices of deployments.

    Args:
        clock: Some tariffs hold from a day on, or for hours of a day.
        user: The user's own prices by model id; they win over everything else.
        tariffs: The table; None: the shipped one.
    """

    def __init__(self, clock: Clock, user: Mapping[str, Price] | None = None, tariffs: Tariffs | None = None) -> None:
        self._clock = clock
        self._offers: dict[str, tuple[Deployment, Offer | None]] = {}
        self.configure(user or {}, tariffs or Tariffs())

    def configure(self, user: Mapping[str, Price], tariffs: Tariffs) -> None:
        """Takes other prices from now on; what was charged stays as it is.

        Args:
            user: The user's own prices by model id.
            tariffs: The table.
        """
        self.user = dict(user)
        self.tariffs = tariffs
        self._offers.clear()

    def charge(
        self,
        deployment: Deployment,
        usage: Usage,
        billing: Billing | None = None,
        *,
        asked: object = None,
        seconds: float | None = None,
    ) -> Charge:
        """Prices a call.

        Args:
            deployment: What was called.
            usage: Its tokens; what the provider did not send is None.
            billing: What else it said.
            asked: The `service_tier` of the request; it counts where the provider did not say how it served it.
            seconds: How long the call took, where it may be charged by the second.
        """
        offer = self.offer(deployment)
        if offer is None:
            return Charge(None, None)
        if offer.source == FREE:
            known = usage.prompt_tokens is not None and usage.completion_tokens is not None
            return _NO_CHARGE if known or deployment.provider in FREE_PROVIDERS else Charge(None, FREE)
        mode = PLAIN
        if billing is not None and billing.service_tier:
            mode = PLAIN if billing.service_tier in STANDARD else Mode(told=billing.service_tier)
        elif isinstance(asked, str) and asked not in STANDARD:
            mode = Mode(asked=asked)
        quote = offer.quote(usage.prompt_tokens or 0, mode, self._clock.wall_s())
        if quote is None:
            return Charge(None, None)
        written = billing.cache_write_1h_tokens if billing is not None else None
        return Charge(cost_usd(quote.price, usage, written_1h_tokens=written, seconds=seconds), quote.words)

    def cost(self, deployment: Deployment, usage: Usage, billing: Billing | None = None) -> float | None:
        """What a call cost.

        Args:
            deployment: What was called.
            usage: Its tokens.
            billing: What else the provider said.

        Returns:
            USD, to nine decimals; 0 for a model that can cost nothing; None where the price or the usage is unknown.
        """
        return self.charge(deployment, usage, billing).cost_usd

    def price(self, deployment: Deployment, prompt_tokens: int = 0) -> Price | None:
        """What a deployment takes for a prompt of this length now, or None where that is unknown.

        Args:
            deployment: A model at an endpoint.
            prompt_tokens: Some tariffs have tiers.
        """
        quote = self._quote(deployment, prompt_tokens)
        return None if quote is None else quote.price

    def source(self, deployment: Deployment) -> str | None:
        """Where a deployment's price is from: `user`, `free`, the table with its date, or None where it is unknown.

        Args:
            deployment: A model at an endpoint.
        """
        offer = self.offer(deployment)
        return None if offer is None else offer.source

    def is_free(self, deployment: Deployment) -> bool:
        """Whether a call costs nothing whatever came of it: it stays on this machine, and the user set no price.

        Args:
            deployment: A model at an endpoint.
        """
        return deployment.provider in FREE_PROVIDERS and self.source(deployment) == FREE

    def upper_bound(self, request: Request, deployment: Deployment) -> float | None:
        """The most that a call can cost.

        A token is at least one byte of the request, so its bytes bound the prompt; `max_tokens`, else the context,
        bounds the answer.

        Args:
            request: What will be asked.
            deployment: Where.

        Returns:
            USD, or None where the price or the longest answer is unknown.
        """
        offer = self.offer(deployment)
        if offer is None:
            return None
        if offer.costs_nothing:
            return 0.0
        prompt_tokens = prompt_tokens_max(request)
        completion_tokens = 0 if request.kind == "embedding" else completion_tokens_max(request, deployment)
        asked = request.params.get("service_tier")
        modes = [PLAIN] if not isinstance(asked, str) or asked in STANDARD else [PLAIN, Mode(told=asked)]
        quotes = [self._quote(deployment, tokens, mode) for tokens in (0, prompt_tokens) for mode in modes]
        prices = [None if quote is None else quote.price for quote in quotes]
        bounds = [bound_usd(price, prompt_tokens, completion_tokens) for price in prices]
        known = [bound for bound in bounds if bound is not None]
        return max(known) if len(known) == len(bounds) else None

    def offer(self, deployment: Deployment) -> Offer | None:
        """What a deployment takes; None where that is unknown.

        Args:
            deployment: A model at an endpoint.
        """
        known = self._offers.get(deployment.id)
        if known is not None and known[0] is deployment:
            return known[1]
        if len(self._offers) >= OFFERS_MAX:
            self._offers.clear()
        offer = self.find(deployment)
        self._offers[deployment.id] = (deployment, offer)
        return offer

    def _quote(self, deployment: Deployment, prompt_tokens: int, mode: Mode = PLAIN) -> Quote | None:
        offer = self.offer(deployment)
        return None if offer is None else offer.quote(prompt_tokens, mode, self._clock.wall_s())

    def find(self, deployment: Deployment) -> Offer | None:
        """As `offer`, for a deployment that is not going to be asked for again.

        Args:
            deployment: A model at an endpoint.
        """
        for price in (self.user.get(deployment.model), deployment.price):
            if price is not None and price != Price():
                return of_price(price, "user")
        if deployment.provider in FREE_PROVIDERS:
            return of_price(NOTHING, FREE)
        prefix, _, name = deployment.model.partition(":")
        provider: str | None = prefix
        if prefix == "custom":
            provider = self.tariffs.provider_at(deployment.base_url)
            if provider is None:
                return of_price(NOTHING, FREE)
        tariffs = self.tariffs.find_all(provider or "", deployment.upstream_model or name)
        return of_tariffs(tariffs, f"{self.tariffs.source}, {self.tariffs.date}") if tariffs else None
