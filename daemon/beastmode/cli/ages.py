"""How long ago: `7d`, `2h30m`, or a time, as options take it."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

import click

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?[smhdw])+")
_PART = re.compile(r"([0-9.]+)([smhdw])")


def age_s(text: str) -> float:
    """Reads the value of an option such as `--older-than 7d`.

    Args:
        text: Numbers, each followed by s, m, h, d or w.

    Returns:
        Seconds.

    Raises:
        click.BadParameter: It is no span of time.
    """
    found = _span_s(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is no span of time; write it as 30m, 2h, 7d or 2w")
    return found


def since(text: str) -> str:
    """Reads the value of an option such as `--since 2h`.

    Args:
        text: How long ago, or a time in RFC 3339; without a zone that is UTC.

    Returns:
        The time in RFC 3339.

    Raises:
        click.BadParameter: It is neither.
    """
    ago_s = _span_s(text)
    try:
        at = (
            datetime.fromisoformat(text)
            if ago_s is None
            else datetime.fromtimestamp(max(0.0, time.time() - ago_s), UTC)
        )
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{text!r} is no time; write it as 2h, 3d or 2026-11-20T09:00:00Z") from None


def _span_s(text: str) -> float | None:
    if not _SPAN.fullmatch(text):
        return None
    return sum(float(count) * _UNITS_S[unit] for count, unit in _PART.findall(text))
