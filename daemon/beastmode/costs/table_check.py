"""Reads a price table that someone hands in: whole and sound, or refused with the place where it is not."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import date

import msgspec

from beastmode.core.errors import BadInputError
from beastmode.costs.tariffs import SCHEMA, ProviderTariffs, Rates, Table, Tariff

TIPS = (
    "make it with: python -m beastmode.costs.build_prices --out FILE  (needs the package genai-prices)",
    "the table in use stays as it is: beast prices list",
)
_SIGNS = "^$*=~"
_SOURCE = re.compile(r"[^:;\x00-\x1f]{1,100}")


def checked(content: bytes, name: str) -> Table:
    """Reads a table and every price in it; blocks for some milliseconds, so call it in a thread.

    Args:
        content: The file.
        name: What to call it in an error.

    Raises:
        BadInputError: It is damaged, no table, or of a newer schema; says where.
    """
    try:
        table = msgspec.json.decode(content, type=Table)
    except (ValueError, RecursionError) as error:
        raise _refused(name, str(error)) from None
    if table.schema > SCHEMA:
        raise BadInputError(
            f"{name} is a price table of schema {table.schema}; this BEAST MODE reads up to {SCHEMA}.",
            tips=["upgrade BEAST MODE, or make the table with the build_prices of this version"],
        )
    for fault in _faults(table):
        raise _refused(name, fault)
    return table


def _refused(name: str, fault: str) -> BadInputError:
    return BadInputError(f"{name} is no price table that can be used: {fault}.", tips=[*TIPS])


def _faults(table: Table) -> Iterator[str]:
    if not _SOURCE.fullmatch(table.source):
        yield "`source` must be a short line without colons and semicolons"
    if not _is_day(table.date):
        yield f"`date` must be a day such as 2026-11-21, not {table.date[:40]!r}"
    if not table.providers:
        yield "it holds no provider"
    for name, url in table.urls.items():
        if not _compiles(url):
            yield f"`urls.{name}` is no regular expression"
    for name, raw in table.providers.items():
        yield from (f"`providers.{name}`: {fault}" for fault in _provider_faults(raw))


def _provider_faults(raw: msgspec.Raw) -> Iterator[str]:
    try:
        provider = msgspec.json.decode(raw, type=ProviderTariffs)
    except (ValueError, RecursionError) as error:
        yield str(error)
        return
    for name, place in [*provider.exact.items(), *((str(rule), place) for rule, place in provider.rules)]:
        if not 0 <= place < len(provider.tariffs):
            yield f"{name} has no tariff of number {place}"
    for rule, _ in provider.rules:
        if not _is_rule(rule):
            yield f"{rule!r} is no pattern of names"
    for number, several in enumerate(provider.tariffs):
        for tariff in several:
            yield from (f"tariff {number}: {fault}" for fault in _tariff_faults(tariff))


def _tariff_faults(tariff: Tariff) -> Iterator[str]:
    yield from _rate_faults(tariff.usd)
    for start, rates in tariff.over:
        if start <= 0:
            yield f"a tier begins at {start} tokens"
        yield from _rate_faults(rates)
    if tariff.since and not _is_day(tariff.since):
        yield f"`since` is no day: {tariff.since[:40]!r}"
    for several in tariff.modes.values():
        for one in several:
            yield from _tariff_faults(one)


def _rate_faults(rates: Rates) -> Iterator[str]:
    if not 1 <= len(rates) <= 6:
        yield f"{len(rates)} prices where 1 to 6 belong"
    for rate in rates:
        if rate is not None and not (math.isfinite(rate) and rate >= 0):
            yield f"a price of {rate}"


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _is_rule(rule: str | list[str]) -> bool:
    if isinstance(rule, list):
        return all(map(_is_rule, rule))
    return len(rule) > 1 and rule[0] in _SIGNS and (rule[0] != "~" or _compiles(rule[1:]))


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True
