"""What a call costs: the user's own price first, then the shipped table; unknown is None and never zero."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from beastmode.core.clock import Clock
from beastmode.core.types import Deployment, Price, Request, Usage
from beastmode.costs.tariffs import Rates, Tariff, Tariffs

FREE_PROVIDERS = ("local", "echo")
FREE = Price(prompt=0.0, completion=0.0)
IMAGE_TOKENS = 10_000


class Prices:
    """Prices of deployments.

    Args:
        clock: Some tariffs hold from a day on, or for hours of a day.
        user: The user's own prices by model id; a deployment's own price wins over them.
        tariffs: The table; None: the shipped one.
    """

    def __init__(self, clock: Clock, user: Mapping[str, Price] | None = None, tariffs: Tariffs | None = None) -> None:
        self._clock = clock
        self._user = dict(user or {})
        self._tariffs = tariffs or Tariffs()

    def cost(self, deployment: Deployment, usage: Usage) -> float | None:
        """What a call cost.

        Args:
            deployment: What was called.
            usage: Its tokens; what the provider did not send is None.

        Returns:
            USD, to nine decimals; 0 for a model that can cost nothing; None where the price or the usage is unknown.
        """
        if deployment.provider in FREE_PROVIDERS:
            return 0.0
        if usage.prompt_tokens is None or usage.completion_tokens is None:
            return None
        price = self.price(deployment, usage.prompt_tokens)
        return None if price is None else cost_usd(price, usage)

    def price(self, deployment: Deployment, prompt_tokens: int = 0) -> Price | None:
        """What a deployment takes for a prompt of this length now, or None where that is unknown.

        Args:
            deployment: A model at an endpoint.
            prompt_tokens: Some tariffs have tiers.
        """
        own = self._own(deployment)
        if own is not None:
            return own
        tariff = self._tariff(deployment)
        return None if tariff is None else _as_price(tariff.rates(prompt_tokens))

    def source(self, deployment: Deployment) -> str | None:
        """Where a deployment's price is from: `user`, `free`, the table with its date, or None where it is unknown.

        Args:
            deployment: A model at an endpoint.
        """
        own = self._own(deployment)
        if own is not None:
            return "free" if own is FREE else "user"
        return None if self._tariff(deployment) is None else f"{self._tariffs.source}, {self._tariffs.date}"

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
        if deployment.provider in FREE_PROVIDERS:
            return 0.0
        prompt_tokens = _prompt_tokens_max(request)
        completion_tokens = _completion_tokens_max(request, deployment)
        prices = [self.price(deployment, tokens) for tokens in (0, prompt_tokens)]
        if completion_tokens is None:
            return 0.0 if all(price == FREE for price in prices) else None
        bounds = [_bound_usd(price, prompt_tokens, completion_tokens) for price in prices]
        known = [bound for bound in bounds if bound is not None]
        return max(known) if len(known) == len(bounds) else None

    def _own(self, deployment: Deployment) -> Price | None:
        """The user's price, or `FREE` where nobody asks for money."""
        for price in (deployment.price, self._user.get(deployment.model)):
            if price is not None and price != Price():
                return price
        nobody_known = deployment.model.startswith("custom:") and self._tariffs.provider_at(deployment.base_url) is None
        return FREE if deployment.provider in FREE_PROVIDERS or nobody_known else None

    def _tariff(self, deployment: Deployment) -> Tariff | None:
        prefix, _, name = deployment.model.partition(":")
        provider = self._tariffs.provider_at(deployment.base_url) if prefix == "custom" else prefix
        if provider is None:
            return None
        return self._tariffs.find(provider, deployment.upstream_model or name, self._clock.wall_s())


def cost_usd(price: Price, usage: Usage) -> float | None:
    """Multiplies tokens by prices, each token once.

    `prompt_tokens` has the cached and the written tokens in it, `completion_tokens` the reasoning:
    `(prompt - cached - written) * prompt price + cached * cached price + written * write price + completion * price`.

    Args:
        price: USD per million tokens.
        usage: Tokens; cached and written ones that are unknown count as prompt tokens.

    Returns:
        USD, to nine decimals, or None where a count or a price that is needed is unknown.
    """
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    cached = min(usage.cached_tokens or 0, usage.prompt_tokens)
    written = min(usage.cache_write_tokens or 0, usage.prompt_tokens - cached)
    parts = (
        (usage.prompt_tokens - cached - written, price.prompt),
        (cached, price.prompt if price.cached is None else price.cached),
        (written, price.prompt if price.cache_write is None else price.cache_write),
        (usage.completion_tokens, price.completion),
    )
    total = 0.0
    for tokens, rate in parts:
        if tokens and rate is None:
            return None
        total += tokens * (rate or 0.0)
    return round(total / 1e6, 9)


def _as_price(rates: Rates) -> Price:
    return Price(*rates)


def _bound_usd(price: Price | None, prompt_tokens: int, completion_tokens: int) -> float | None:
    if price is None or price.prompt is None or price.completion is None:
        return None
    dearest = max(price.prompt, price.cached or 0.0, price.cache_write or 0.0)
    return round((prompt_tokens * dearest + completion_tokens * price.completion) / 1e6, 9)


def _prompt_tokens_max(request: Request) -> int:
    size = len(msgspec.json.encode(request.messages)) + len(msgspec.json.encode(request.params))
    parts = [part for message in request.messages if isinstance(message.content, list) for part in message.content]
    return size + IMAGE_TOKENS * sum("image" in str(part.get("type", "")) for part in parts)


def _completion_tokens_max(request: Request, deployment: Deployment) -> int | None:
    asked = request.params.get("max_completion_tokens", request.params.get("max_tokens"))
    longest = asked if isinstance(asked, int) else deployment.limits.context_tokens
    answers = request.params.get("n", 1)
    return None if longest is None else longest * (answers if isinstance(answers, int) else 1)
