"""How long ago: `7d`, `2h30m`, or a time, as options take it."""

from __future__ import annotations

import re
import time

import click

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGE = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


class Age(click.ParamType):
    """A span such as `30m`, `2h30m`, `7d` or `2w`; its value is seconds."""

    name = "age"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Reads the option's text."""
        if not isinstance(value, str):
            return value
        seconds = span_s(value)
        if seconds is None:
            self.fail(f"{value!r} is no span of time; write it as 30m, 2h, 7d or 2w", param, ctx)
        return seconds


class Since(click.ParamType):
    """A time, or how long ago it was; its value is the time in RFC 3339."""

    name = "time"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Reads the option's text."""
        from beastmode.core.clock import parse_rfc3339, rfc3339

        ago_s = span_s(value)
        try:
            return rfc3339(max(0.0, time.time() - ago_s) if ago_s is not None else parse_rfc3339(value))
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time; write it as 2h, 3d or 2026-11-20T09:00:00Z", param, ctx)


def span_s(text: str) -> float | None:
    """The seconds of a span such as `2h30m`; None where it is none.

    Args:
        text: Numbers, each followed by s, m, h, d or w.
    """
    if not text.isascii() or not _AGE.fullmatch(text):
        return None
    return sum(float(count) * _UNITS_S[unit] for count, unit in _PART.findall(text))
