"""What an answer cost, in one short line for people."""

from __future__ import annotations

from typing import Any


def money(usd: float) -> str:
    """An amount of money.

    Args:
        usd: In US dollars.
    """
    if usd == 0:
        return "0 $"
    if abs(usd) < 0.0001:
        return "< 0.0001 $"
    return f"{usd:.4f} $" if abs(usd) < 1 else f"{usd:.2f} $"


def duration(ms: float) -> str:
    """A length of time.

    Args:
        ms: In milliseconds.
    """
    return f"{ms / 1000:.1f} s" if ms >= 10_000 else f"{round(ms)} ms"


def cost_line(answer: dict[str, Any]) -> str:
    """Who answered, what it cost or saved, and how long it took.

    Args:
        answer: As the daemon gave it.
    """
    cache = answer.get("cache") or {}
    cost, saved = answer.get("cost_usd"), answer.get("saved_usd")
    result = str(cache.get("result") or "")
    if result.startswith("hit"):
        how = ", ".join(str(one) for one in (result.removeprefix("hit_"), cache.get("tier")) if one)
        paid = f"from the cache ({how})" + (f", saved {money(saved)}" if saved is not None else "")
    else:
        paid = "cost unknown" if cost is None else money(cost)
    latency_ms = answer.get("latency_ms")
    parts = [str(answer.get("model") or ""), paid, duration(latency_ms) if latency_ms is not None else ""]
    return " · ".join(part for part in parts if part)
