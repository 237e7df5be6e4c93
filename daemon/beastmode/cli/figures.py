"""How figures are written for a person; what is unknown says so and is never a zero."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

_UNITS = ("B", "kB", "MB", "GB", "TB")
_MAX_PLACES = 12


def duration(ms: float | None) -> str:
    """Milliseconds as `26 µs`, `0.4 ms`, `35 ms`, `1.24 s`, `3 min 5 s`."""
    if ms is None:
        return "unknown"
    if ms < 0.0995:
        return f"{ms * 1000:.0f} µs"
    if ms < 10:
        return f"{ms:.1f} ms"
    if ms < 999.5:
        return f"{ms:.0f} ms"
    return f"{ms / 1000:.2f} s" if ms < 60_000 else span(ms / 1000)


def span(seconds: float) -> str:
    """Seconds as `12 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`."""
    whole = int(seconds)
    for size, name, smaller, smaller_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {name}" + (f" {rest} {smaller_name}" if rest else "")
    return f"{whole} s"


def size(count: float | None) -> str:
    """Bytes as `512 B`, `1.5 kB`, `98.1 MB`."""
    if count is None:
        return "unknown"
    amount = float(count)
    for unit in _UNITS:
        if amount < 999.5 or unit == _UNITS[-1]:
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"


def count(number: int, name: str) -> str:
    """How many of what: `1 answer`, `1,200 answers`."""
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def usd(amount: float | None) -> str:
    """Dollars, with two digits that say something: `$0`, `$0.0003`, `$1.25`."""
    if amount is None:
        return "unknown"
    if amount == 0:
        return "$0"
    if abs(amount) >= 0.995:
        return f"${amount:,.2f}"
    if abs(amount) < 10**-_MAX_PLACES:
        return f"under ${10**-_MAX_PLACES:.{_MAX_PLACES}f}"
    places = min(1 - math.floor(math.log10(abs(amount))), _MAX_PLACES)
    return f"${amount:.{places}f}".rstrip("0")


def rate(amount: float | None) -> str:
    """A price, with all its digits: `$2.125`."""
    if amount is None:
        return "unknown"
    return "$" + f"{amount:,.{_MAX_PLACES}f}".rstrip("0").removesuffix(".")


def price(value: Mapping[str, Any] | None) -> str:
    """A price in USD per million tokens: `$0.15 / $0.6`."""
    if not value or (value.get("prompt") is None and value.get("completion") is None):
        return "unknown"
    return f"{usd(value.get('prompt'))} / {usd(value.get('completion'))}"


def tokens(usage: Mapping[str, Any] | None) -> str:
    """Tokens of the prompt and of the answer: `20+10 tokens`."""
    parts = [(usage or {}).get("prompt_tokens"), (usage or {}).get("completion_tokens")]
    if parts == [None, None]:
        return "tokens unknown"
    return "+".join("?" if part is None else str(part) for part in parts) + " tokens"


def cost(amount: float | None) -> str:
    """What a request cost: `$0.0003`, or `cost unknown`."""
    return "cost unknown" if amount is None else usd(amount)


def cache(info: Mapping[str, Any] | None, saved_usd: float | None) -> str:
    """What the cache did: `miss`, or `hit_exact L1, saved $0.0003`."""
    result = (info or {}).get("result") or "cache unknown"
    if not result.startswith("hit"):
        return str(result)
    tier = (info or {}).get("tier")
    return f"{result}{f' {tier}' if tier else ''}, saved {usd(saved_usd)}"


def answer_line(answer: Mapping[str, Any]) -> str:
    """The line after an answer: model, time, tokens, cost, cache."""
    parts = [
        str(answer.get("model") or "model unknown"),
        duration(answer.get("latency_ms")),
        tokens(answer.get("usage")),
        cost(answer.get("cost_usd")),
        cache(answer.get("cache"), answer.get("saved_usd")),
    ]
    return " · ".join(parts)


def moment(at: float | str | None) -> str:
    """A time in the local zone, from seconds since the epoch or RFC 3339."""
    if at is None:
        return "unknown"
    if isinstance(at, str):
        from datetime import datetime

        try:
            at = datetime.fromisoformat(at).timestamp()
        except ValueError:
            return str(at)
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def day(at: str | None) -> str:
    """The day of a date or a time in RFC 3339: `2026-11-21`; nothing where there is none."""
    return "" if at is None else at[:10]
