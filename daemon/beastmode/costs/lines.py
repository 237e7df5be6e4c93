"""The arithmetic of a request's cost, line by line, from its row in the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beastmode.core.deployments import Price
from beastmode.core.types import Usage
from beastmode.costs.arithmetic import FREE, Part, from_words, number, token_parts

MILLION = 1_000_000


def cost_lines(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """How a request's cost comes about.

    Args:
        row: As the ledger gives it; its `price` holds the price in words.

    Returns:
        Lines `{text, what, amount, rate_usd, per, usd}`, of which all but `text` are null where the line is no product;
        the last one is the sum.
    """
    cost, cache = row.get("cost_usd"), row.get("cache") or {}
    if str(cache.get("result")).startswith("hit"):
        return _of_hit(row.get("saved_usd"), cache.get("tier"))
    words = row.get("price")
    if words is None:
        return [_says(_without_price(row, cost), cost)]
    quoted = from_words(words)
    routed = _routed(row, quoted.baseline)
    if quoted.source == FREE:
        return [_says("a model that costs nothing, or has no price: $0", cost), *routed]
    usage = _usage(row)
    if cost is None:
        return [_says(f"cost unknown: {_missing(usage, quoted.price)}", None), _source(words)]
    by_second = quoted.price.per_second is not None
    lines = [
        _line(part) for part in _parts(quoted.price, usage, cost) if part.amount and (part.rate_usd or not by_second)
    ]
    return [*lines, _says(f"cost: ${number(cost)}", cost), _source(words), *routed]


def _of_hit(saved_usd: float | None, tier: str | None) -> list[dict[str, Any]]:
    where = "an identical request's answer" if tier == "flight" else "a stored answer"
    worth = "unknown" if saved_usd is None else f"${number(saved_usd)}"
    return [_says(f"{where}: $0; saved what it had cost: {worth}", 0.0)]


def _routed(row: Mapping[str, Any], baseline: str) -> list[dict[str, Any]]:
    """What routing saved, where the user named a model to measure that against."""
    saved, cost = row.get("saved_route_usd"), row.get("cost_usd")
    if not baseline:
        return []
    if saved is None or cost is None:
        return [_says(f"saved by routing: unknown, since a price of {baseline} is", None)]
    would = number(round(cost + saved, 9))
    sign = "saved" if saved >= 0 else "lost"
    return [_says(f"with {baseline} it would have cost ${would}: {sign} by routing ${number(abs(saved))}", saved)]


def _without_price(row: Mapping[str, Any], cost: float | None) -> str:
    if cost is not None:
        return "nothing was charged: $0" if cost == 0 else f"cost: ${number(cost)}, at a price that was not kept"
    if row.get("outcome") == "success":
        model = row.get("model_served") or row.get("model")
        return (
            f"cost unknown: no price is known for it; set one: beast prices set {model} --prompt USD --completion USD"
        )
    return "cost unknown: the call ended without an answer, and its provider did not say what it counted"


def _missing(usage: Usage, price: Price) -> str:
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return "the provider did not say how many tokens it counted"
    lacking = " and ".join(name for name in ("prompt", "completion") if getattr(price, name) is None)
    return f"the price has no rate for the {lacking or 'tokens'}"


def _usage(row: Mapping[str, Any]) -> Usage:
    counts = row.get("usage") or {}
    return Usage(**{name: counts.get(name) for name in Usage.__struct_fields__})


def _parts(price: Price, usage: Usage, cost: float) -> list[Part]:
    """The products; what the row does not hold (writes for an hour, seconds) is what is left of its cost."""
    parts = [*token_parts(price, usage, _written_1h(price, usage, cost))]
    if price.per_second is None:
        return parts
    left_usd = cost - sum(_usd(part) for part in parts)
    seconds = round(max(left_usd, 0.0) / price.per_second, 3) if price.per_second else 0.0
    return [*parts, Part("seconds", seconds, price.per_second, 1)]


def _written_1h(price: Price, usage: Usage, cost: float) -> int | None:
    if price.cache_write_1h is None or not usage.cache_write_tokens or price.per_second is not None:
        return None
    none, one = (sum(_usd(part) for part in token_parts(price, usage, tokens)) for tokens in (0, 1))
    return None if one == none else max(0, min(round((cost - none) / (one - none)), usage.cache_write_tokens))


def _usd(part: Part) -> float:
    return part.amount * (part.rate_usd or 0.0) / part.per


def _line(part: Part) -> dict[str, Any]:
    rate = number(part.rate_usd or 0.0)
    each = f"${rate}/s" if part.per == 1 else f"${rate}/M"
    text = f"{part.amount:,} {part.what} x {each} = ${number(_usd(part))}"
    return {
        "text": text,
        "what": part.what,
        "amount": part.amount,
        "rate_usd": part.rate_usd,
        "per": part.per,
        "usd": round(_usd(part), 12),
    }


def _says(text: str, usd: float | None) -> dict[str, Any]:
    return {"text": text, "what": None, "amount": None, "rate_usd": None, "per": None, "usd": usd}


def _source(words: str) -> dict[str, Any]:
    quoted = from_words(words)
    terms = "".join(f", {term}" for term in quoted.terms)
    whose = "your own" if quoted.source == "user" else quoted.source
    return _says(f"price: {whose}{terms}", None)
