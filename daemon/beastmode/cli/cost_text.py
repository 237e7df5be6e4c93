"""A report on costs for the terminal: sums, bars over time, and a table."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any

from beastmode.cli import cost_words as words
from beastmode.cli.screen import Screen

_BARS = " ▁▂▃▄▅▆▇█"
_POINTS_MAX = 62
_HEAD = ("REQUESTS", "FAILED", "CACHED", "PROMPT TOKENS", "ANSWER TOKENS", "COST", "SAVED", "MEAN LATENCY")


def text(found: Mapping[str, Any]) -> str:
    """The report as plain text.

    Args:
        found: From `cost.statement`.
    """
    out = io.StringIO()
    show(Screen(out, out, {}), found)
    return out.getvalue()


def show(screen: Screen, found: Mapping[str, Any]) -> None:
    """Prints the report.

    Args:
        screen: Where.
        found: From `cost.statement`.
    """
    screen.say(screen.paint(words.title(found), "bold"))
    screen.say(words.scope(found))
    screen.say()
    for name, value in _sums(found):
        screen.say(f"{name:<10} {value}")
    if bars := _bars(found["over_time"]):
        screen.say()
        for line in bars:
            screen.say(line)
    screen.say()
    total = found["total"]
    rows = [words.cells(words.name(found, one["key"]), one) for one in found["rows"]]
    rows += [words.cells("total", total)] if rows else []
    screen.table((found["by"].upper(), *_HEAD), rows, 'no request in this time; try: beast ask "hello"')
    for note in _notes(found):
        screen.say(note)


def _sums(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    total = found["total"]
    kinds = " · ".join(f"{label} {words.money(found['kinds'][kind])}" for kind, label in words.KINDS.items())
    yield "spent", f"{words.money(total)}   {kinds}"
    if said := words.unknown(total):
        yield "unknown", said
    yield "saved", f"{words.percent(total['saved_percent'])}   {'; '.join(words.savings(found))}"
    yield "requests", f"{total['requests']:,}   {words.counted(total)}"
    if parts := words.origins(total):
        yield "caused by", " · ".join(f"{who} {words.dollars(one['usd'])} ({one['requests']:,})" for who, one in parts)


def _bars(over_time: Mapping[str, Any]) -> list[str]:
    """Cost of each day as a bar; days without requests between the first and the last are gaps."""
    points = over_time["points"]
    if not points:
        return []
    by_key = {point["key"]: point["cost_usd"] for point in points}
    keys = steps(points[0]["key"], points[-1]["key"])[-_POINTS_MAX:]
    costs = [by_key.get(key) or 0.0 for key in keys]
    most = max(costs)
    if not most:
        return []
    bars = "".join(_BARS[0 if not cost else max(1, round(8 * cost / most))] for cost in costs)
    highest = keys[costs.index(most)]
    ends = keys[0] if len(keys) == 1 else f"{keys[0]} to {keys[-1]}"
    return [bars, f"cost a {over_time['step']}, {ends}; most: {words.dollars(most)} on {highest}"]


def steps(first: str, last: str) -> list[str]:
    """Every day or month from the first to the last.

    Args:
        first: Such as 2026-11-20 or 2026-11.
        last: The same form.
    """
    from datetime import date, timedelta

    if len(first) == len("2026-11"):
        low, high = (int(key[:4]) * 12 + int(key[5:]) - 1 for key in (first, last))
        return [f"{number // 12:04}-{number % 12 + 1:02}" for number in range(low, high + 1)]
    begin = date.fromisoformat(first)
    return [str(begin + timedelta(days=number)) for number in range((date.fromisoformat(last) - begin).days + 1)]


def _notes(found: Mapping[str, Any]) -> Iterator[str]:
    if found["left_out"]:
        yield f"{found['left_out']:,} cheaper lines are left out; the total has them"
    if said := words.tags_note(found):
        yield said
