"""How warming stands, in a line; loads nothing that `beast status` would have to wait for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beastmode.cli import figures


def standing(warming: Mapping[str, Any] | None) -> str:
    """How warming stands today, in a line.

    Args:
        warming: As `status` has it.
    """
    if warming is None or not warming["enabled"]:
        return "nothing is asked ahead: warming.enabled is false"
    asked = f"{warming['asked_today']} of {warming['daily_requests']} asked ahead today"
    spent = f"{figures.usd(warming['spent_usd'])} of {figures.usd(warming['budget_usd'])}"
    used = "precision not known yet" if warming["precision"] is None else f"{warming['precision']:.0%} of them used"
    parts = [asked, spent, used, "throttled" if warming["throttled"] else "", warming["problem"] or ""]
    return " · ".join(part for part in parts if part)
