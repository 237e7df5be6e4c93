"""The words of a report on costs, for the terminal and for the page: one place, so that both say the same."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from beastmode.cli import figures

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
KINDS = {"custom": "custom models", "local": "local models", "provider": "providers"}
NAMELESS = {
    "project": "no project",
    "session": "no session",
    "tag": "no tag",
    "user": "no user",
    "client": "no door",
    "provider": "none was asked",
}


def title(found: Mapping[str, Any]) -> str:
    """What it is about: `Costs of November 2026`.

    Args:
        found: From `cost.statement`.
    """
    if found.get("month"):
        year, month = found["month"].split("-")
        return f"Costs of {_MONTHS[int(month) - 1]} {year}"
    return "Costs"


def scope(found: Mapping[str, Any]) -> str:
    """When it begins and ends, and whether that is over."""
    ends = f"so far, until {_minute(time.time())}" if found["so_far"] else f"to {_minute(found['to'])}"
    return f"from {_minute(found['from'])} {ends}, UTC"


def _minute(at: str | float) -> str:
    if isinstance(at, str):
        return at[:16].replace("T", " ")
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(at))


def name(found: Mapping[str, Any], key: str | None) -> str:
    """The name of a line."""
    return str(key) if key not in (None, "") else NAMELESS.get(found["by"], "none")


def percent(value: float | None) -> str:
    """A share, `30.9%`; `-` where there is nothing to take it of."""
    return "-" if value is None else f"{value:.1f}%"


def tokens(line: Mapping[str, Any], which: str) -> str:
    """How many tokens, or unknown."""
    count = (line.get("tokens") or {}).get(which)
    return "unknown" if count is None else f"{count:,}"


def money(line: Mapping[str, Any], of: str = "cost_usd") -> str:
    """An amount; one that leaves unknown costs out says so with a plus."""
    amount = line.get(of)
    if amount is None:
        return "unknown"
    return dollars(amount) + ("+" if of == "cost_usd" and line.get("unknown") else "")


def dollars(amount: float | None) -> str:
    """An amount to the cent, and a small one to the digit that says something."""
    return (
        figures.usd(amount)
        if amount is None or abs(amount) < 0.095
        else f"{'-' if amount < 0 else ''}${abs(amount):,.2f}"
    )


def unknown(total: Mapping[str, Any]) -> str:
    """What is said of costs that nobody knows; nothing where there are none."""
    count = total.get("unknown") or 0
    if not count:
        return ""
    verb = "has" if count == 1 else "have"
    return f"{figures.count(count, 'request')} {verb} an unknown cost, which is in no sum; a + marks those"


def savings(found: Mapping[str, Any]) -> list[str]:
    """Each saving with what it is measured against."""
    said = []
    for source, one in found["savings"].items():
        by = "by the cache" if source == "cache" else f"by {source}"
        said.append(f"{money(one, 'usd')} {by}, against {one['baseline']}")
    return said


def counted(total: Mapping[str, Any]) -> str:
    """How the requests ended."""
    parts = [f"{total[name]:,} {name}" for name in ("success", "failure", "refused", "cancelled")]
    return " · ".join([*parts, f"{total['hits']:,} from the cache"])


def origins(total: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Who caused costs, where it was not persons alone."""
    found = list((total.get("by_origin") or {}).items())
    return found if [origin for origin, _ in found] not in ([], ["person"]) else []


def tags_note(found: Mapping[str, Any]) -> str:
    """Why the lines of tags add up to more than the total."""
    return "a request with several tags counts for each of them" if found["by"] == "tag" else ""


def cells(name: str, one: Mapping[str, Any]) -> tuple[str, ...]:
    """One line of a table of costs.

    Args:
        name: What the line is of.
        one: Its figures.
    """
    return (
        name,
        f"{one['requests']:,}",
        f"{one['failure'] + one['refused']:,}",
        f"{one['hits']:,}",
        tokens(one, "prompt_tokens"),
        tokens(one, "completion_tokens"),
        money(one),
        money(one, "saved_usd"),
        figures.duration(one["latency_ms"]) if one["success"] else "-",
    )
