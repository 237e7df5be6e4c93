"""The sum of a call: each token once, at its own price; its parts for people, and the price in words for the ledger."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isnan, nan
from typing import NamedTuple

import msgspec

from beastmode.core.deployments import Price
from beastmode.core.rows import AGAINST
from beastmode.core.types import Usage

FREE = "free"
_RATES = ("prompt", "completion", "cached", "cache_write", "cache_write_1h", "reasoning", "per_second")
_RATE = re.compile(rf"({'|'.join(_RATES)}) (\d+(?:\.\d+)?(?:e-?\d+)?)")


class Part(NamedTuple):
    """A product in the sum of a call.

    Attributes:
        what: What is counted, such as `prompt tokens`.
        amount: How many.
        rate_usd: For a million of them; for one, where seconds are counted. None: unknown.
        per: 1,000,000 or 1.
    """

    what: str
    amount: float
    rate_usd: float | None
    per: int = 1_000_000


def cost_usd(
    price: Price, usage: Usage, *, written_1h_tokens: int | None = None, seconds: float | None = None
) -> float | None:
    """Multiplies tokens by prices, each token once.

    `prompt_tokens` has the cached and the written tokens in it, `completion_tokens` the reasoning:
    `(prompt - cached - written) * prompt price + cached * cached price + written * write price + completion * price`.

    Args:
        price: USD per million tokens; `batch` is no part of this.
        usage: Tokens; cached and written ones that are unknown count as prompt tokens.
        written_1h_tokens: Those of the written tokens that are kept for an hour.
        seconds: How long the call took, where it is charged by the second.

    Returns:
        USD, to nine decimals, or None where a count or a price that is needed is unknown.
    """
    micro_usd = 0.0
    if price.per_second is not None:
        if seconds is None:
            return None
        micro_usd = price.per_second * seconds * 1e6
        if price.prompt is None and price.completion is None:
            return round(micro_usd / 1e6, 9)
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    if prompt is None or completion is None:
        return None
    micro_usd += _micro_usd(price, usage, prompt, completion, written_1h_tokens)
    return None if isnan(micro_usd) else round(micro_usd / 1e6, 9)


def _micro_usd(price: Price, usage: Usage, prompt: int, completion: int, written_1h_tokens: int | None) -> float:
    """The sum of `token_parts`, at a fifth of the time; NaN where a rate that is needed is unknown."""
    unknown = nan if price.per_second is None else 0.0
    prompt_rate = unknown if price.prompt is None else price.prompt
    completion_rate = unknown if price.completion is None else price.completion
    total = 0.0
    cached, written = usage.cached_tokens or 0, usage.cache_write_tokens or 0
    if cached or written:
        cached = min(cached, prompt)
        written = min(written, prompt - cached)
        for_an_hour = min(written_1h_tokens or 0, written)
        prompt -= cached + written
        write_rate = prompt_rate if price.cache_write is None else price.cache_write
        hour_rate = write_rate if price.cache_write_1h is None else price.cache_write_1h
        total = cached * (prompt_rate if price.cached is None else price.cached) if cached else 0.0
        total += (written - for_an_hour) * write_rate if written > for_an_hour else 0.0
        total += for_an_hour * hour_rate if for_an_hour else 0.0
    if price.reasoning is not None and usage.reasoning_tokens:
        reasoning = min(usage.reasoning_tokens, completion)
        completion -= reasoning
        total += reasoning * price.reasoning
    return total + (prompt * prompt_rate if prompt else 0.0) + (completion * completion_rate if completion else 0.0)


def token_parts(price: Price, usage: Usage, written_1h_tokens: int | None = None) -> Iterator[Part]:
    """The products of tokens and prices, those of nothing among them.

    Args:
        price: USD per million tokens.
        usage: Tokens of the prompt and of the answer are known.
        written_1h_tokens: As for `cost_usd`.
    """
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    cached = min(usage.cached_tokens or 0, prompt)
    written = min(usage.cache_write_tokens or 0, prompt - cached)
    for_an_hour = min(written_1h_tokens or 0, written)
    reasoning = 0 if price.reasoning is None else min(usage.reasoning_tokens or 0, completion)
    free = None if price.per_second is None else 0.0
    prompt_rate = free if price.prompt is None else price.prompt
    write_rate = prompt_rate if price.cache_write is None else price.cache_write
    yield Part("prompt tokens", prompt - cached - written, prompt_rate)
    yield Part("tokens read from the prompt cache", cached, prompt_rate if price.cached is None else price.cached)
    yield Part("tokens written to the prompt cache", written - for_an_hour, write_rate)
    hour_rate = write_rate if price.cache_write_1h is None else price.cache_write_1h
    yield Part("tokens written to the prompt cache for an hour", for_an_hour, hour_rate)
    yield Part("completion tokens", completion - reasoning, free if price.completion is None else price.completion)
    yield Part("reasoning tokens", reasoning, price.reasoning)


def scaled(price: Price, share: float) -> Price:
    """A price of which only a share is taken.

    Args:
        price: The whole price.
        share: 0.5 for half.
    """
    rates = {name: getattr(price, name) for name in _RATES}
    return Price(**{name: round(rate * share, 12) for name, rate in rates.items() if rate is not None})


class Quoted(msgspec.Struct, frozen=True):
    """A price that was in force, as the ledger keeps it.

    Attributes:
        source: `user`, `free`, or the table with its date.
        price: USD per million tokens.
        terms: Why just this price held, such as `over 200000 prompt tokens` or `batch`.
        baseline: The model against which the saving of routing is told; empty: none.
    """

    source: str
    price: Price
    terms: tuple[str, ...] = ()
    baseline: str = ""


def in_words(source: str, price: Price, *terms: str) -> str:
    """Writes a price as one line, so that a row of the ledger can name it by one number, since many rows share it.

    Args:
        source: `user`, or the table with its date.
        price: USD per million tokens.
        terms: As in `Quoted`.

    Returns:
        Such as `user: prompt 3, completion 15, cached 0.3; batch`.
    """
    rates = [f"{name} {number(rate)}" for name in _RATES if (rate := getattr(price, name)) is not None]
    return "; ".join([f"{source}: {', '.join(rates)}", *(term for term in terms if term)])


def against(words: str, baseline: str) -> str:
    """Adds the model against which the saving of routing is told.

    Args:
        words: From `in_words`.
        baseline: Its id.
    """
    return f"{words}{AGAINST}{baseline}"


def from_words(words: str) -> Quoted:
    """Reads what `in_words` wrote.

    Args:
        words: The line; one that names only a source has no prices.
    """
    words, _, baseline = words.partition(AGAINST)
    source, _, rest = words.partition(": ")
    if source == FREE:
        return Quoted(FREE, Price(0.0, 0.0), baseline=baseline)
    rates, *terms = rest.split("; ")
    price = Price(**{name: float(text) for name, text in _RATE.findall(rates)})
    return Quoted(source, price, tuple(terms), baseline)


def number(value: float) -> str:
    """A number as short as it can be and never with an exponent: `3`, `0.15`, `0.0000005`."""
    text = repr(round(float(value), 12))
    if "e" in text:
        text = f"{value:.12f}".rstrip("0")
    return text.removesuffix(".0").removesuffix(".")
