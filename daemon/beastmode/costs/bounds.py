"""The most that a call can cost, before it is made, and its refusal where that is too much."""

from __future__ import annotations

import msgspec

from beastmode.core.deployments import Deployment, Price
from beastmode.core.errors import BudgetError
from beastmode.core.types import Request

IMAGE_TOKENS = 10_000


def require_within(most_usd: float, bound_usd: float | None, deployment: Deployment) -> None:
    """Refuses a call that may cost more than its caller allows.

    Args:
        most_usd: What the caller allows.
        bound_usd: The most that the call can cost; None: nobody knows.
        deployment: What would be called.

    Raises:
        BudgetError: It may cost more, or nobody knows.
    """
    if bound_usd is not None and bound_usd <= most_usd:
        return
    may = "has no known price or bound" if bound_usd is None else f"may cost up to ${_money(bound_usd)}"
    raise BudgetError(
        f"{deployment.model} {may}; the request allows ${_money(most_usd)}.",
        tips=["allow more (x-beast-max-cost-usd), set a lower max_tokens, or ask a cheaper model"],
        model=deployment.model,
    )


def _money(usd: float) -> str:
    """As many decimals as it takes, without an exponent."""
    return f"{usd:.12f}".rstrip("0").rstrip(".")


def bound_usd(price: Price | None, prompt_tokens: int, completion_tokens: int | None) -> float | None:
    """The most that a call costs at a price.

    Args:
        price: USD per million tokens; None: unknown.
        prompt_tokens: At most.
        completion_tokens: At most; None: nobody knows.

    Returns:
        USD, or None where nobody knows; a price by the second bounds nothing.
    """
    if price is None or price.per_second is not None or price.prompt is None:
        return None
    dearest = max(price.prompt, price.cached or 0.0, price.cache_write or 0.0, price.cache_write_1h or 0.0)
    if completion_tokens == 0:
        return round(prompt_tokens * dearest / 1e6, 9)
    if completion_tokens is None or price.completion is None:
        return None
    dearest_answer = max(price.completion, price.reasoning or 0.0)
    return round((prompt_tokens * dearest + completion_tokens * dearest_answer) / 1e6, 9)


def prompt_tokens_max(request: Request) -> int:
    """The most tokens that a prompt can have: each is at least one byte of the request.

    Args:
        request: What will be asked.
    """
    size = len(msgspec.json.encode(request.messages)) + len(msgspec.json.encode(request.params))
    parts = [part for message in request.messages if isinstance(message.content, list) for part in message.content]
    return size + IMAGE_TOKENS * sum("image" in str(part.get("type", "")) for part in parts)


def completion_tokens_max(request: Request, deployment: Deployment) -> int | None:
    """The most tokens that the answers can have; None where nothing bounds them.

    Args:
        request: What will be asked.
        deployment: Where.
    """
    asked = request.params.get("max_completion_tokens", request.params.get("max_tokens"))
    longest = asked if isinstance(asked, int) else deployment.limits.context_tokens
    answers = request.params.get("n", 1)
    return None if longest is None else longest * (answers if isinstance(answers, int) else 1)
