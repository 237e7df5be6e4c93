"""The shipped price table: tariffs by provider and model name, read from `prices.json` when first asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import msgspec

SCHEMA = 1
URLS_REMEMBERED = 1024
_COMPACT_DATE = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")
T = TypeVar("T")
SHIPPED = Path(__file__).with_name("prices.json")

Rates = tuple[float | None, ...]
"""USD per million tokens, in the order of the fields of `Price`: prompt, completion, read from the prompt cache,
written to it, written to it for an hour, reasoning; what is missing is None."""


class Tariff(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model costs while this tariff is in force.

    Attributes:
        usd: Rates.
        over: Rates that hold for all tokens of a request whose prompt has more than so many tokens, ascending.
        since: First day (UTC) on which it is in force, `YYYY-MM-DD`; empty: always.
        hours: From and until when each day (UTC) it is in force, `HH:MM:SS`; may run over midnight; None: always.
        modes: Tariffs that hold instead where a request is served as batch, flex, priority or fast.
    """

    usd: Rates
    over: list[tuple[int, Rates]] = []
    since: str = ""
    hours: tuple[str, str] | None = None
    modes: dict[str, list[Tariff]] = {}

    def in_force(self, at: datetime) -> bool:
        """Whether it holds at this time.

        Args:
            at: UTC.
        """
        if at.strftime("%Y-%m-%d") < self.since:
            return False
        if self.hours is None:
            return True
        start, end = self.hours
        now = at.strftime("%H:%M:%S")
        return start <= now < end if start <= end else now >= start or now < end

    def rates(self, prompt_tokens: int) -> Rates:
        """The rates for a prompt of this length.

        Args:
            prompt_tokens: All of them, cached ones too.
        """
        reached = [rates for tokens, rates in self.over if prompt_tokens > tokens]
        return reached[-1] if reached else self.usd


class ProviderTariffs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tariffs of one provider.

    Attributes:
        exact: Places in `tariffs` by model name in lower case.
        rules: Patterns of names and their place in `tariffs`; the first that holds wins. A pattern is `^begins`,
            `$ends`, `*contains`, `=equals` or `~regex`; of a list all must hold.
        tariffs: For each model its tariffs, of which the last one in force counts; empty for a model that is charged
            for more than tokens, whose cost is therefore unknown.
        others: Providers whose tariffs hold for models that are not listed here.
    """

    exact: dict[str, int]
    rules: list[tuple[str | list[str], int]]
    tariffs: list[list[Tariff]]
    others: list[str] = []

    def find(self, name: str) -> list[Tariff] | None:
        """The tariffs of a model, or None.

        Args:
            name: In lower case.
        """
        place = self.exact.get(name)
        if place is None:
            place = next((place for rule, place in self.rules if _holds(rule, name)), None)
        return None if place is None else self.tariffs[place]


class Table(msgspec.Struct, frozen=True):
    """A file of prices; what a provider takes is decoded when it is asked for.

    Attributes:
        source: Where the prices are from.
        date: The day on which the file was made, `YYYY-MM-DD`.
        urls: Patterns of providers' base URLs, by provider.
        providers: `ProviderTariffs` by provider, as JSON.
        schema: Of the file.
    """

    source: str
    date: str
    urls: dict[str, str]
    providers: dict[str, msgspec.Raw]
    schema: int = SCHEMA


class Tariffs:
    """The table.

    Args:
        path: A file made by `build_prices`.
        table: What such a file holds, where it was read already.
    """

    def __init__(self, path: Path = SHIPPED, table: Table | None = None) -> None:
        self._path = path
        self._shipped = path == SHIPPED and table is None
        if table is not None:
            self._table = table
        self._providers: dict[str, ProviderTariffs] = {}
        self._at: dict[str, str | None] = {}  # a URL is matched against some forty patterns, and asked for at each call

    @cached_property
    def _table(self) -> Table:
        return msgspec.json.decode(self._path.read_bytes(), type=Table)

    @property
    def source(self) -> str:
        """Where the prices are from."""
        return self._table.source

    @property
    def date(self) -> str:
        """The day on which the table was made."""
        return self._table.date

    @property
    def is_shipped(self) -> bool:
        """Whether it is the table that came with this version."""
        return self._shipped

    def provider_at(self, base_url: str) -> str | None:
        """The table's name of the provider whose endpoint this is, or None.

        Args:
            base_url: Such as `https://api.groq.com/openai/v1`.
        """
        if base_url not in self._at:
            if len(self._at) >= URLS_REMEMBERED:
                self._at.clear()
            urls = self._table.urls.items()
            self._at[base_url] = next((name for name, url in urls if re.match(url, base_url)), None)
        return self._at[base_url]

    def find(self, provider: str, name: str, at_s: float) -> Tariff | None:
        """The tariff of a model, or None where the table does not know it.

        Args:
            provider: The provider's name in the table.
            name: The model's name there.
            at_s: Wall clock of the request.
        """
        found = self.find_all(provider, name)
        return in_force(found, at_s, lambda tariff: tariff) if found else None

    def find_all(self, provider: str, name: str) -> list[Tariff]:
        """The tariffs of a model, of which the last one in force counts; empty where the table does not know it.

        Args:
            provider: The provider's name in the table.
            name: The model's name there.
        """
        name = name.lower()
        found = self._find(provider, name)
        if found is None:
            found = self._find(provider, _COMPACT_DATE.sub(r"-\1-\2-\3", name))
        return found or []

    def names(self) -> Iterator[tuple[str, str, list[Tariff]]]:
        """Everything in the table: provider, name or pattern of names (`gpt-4o*`), tariffs."""
        for provider in self._table.providers:
            known = self._provider(provider)
            if known is not None:
                named = [*known.exact.items(), *((_readable(rule), place) for rule, place in known.rules)]
                yield from ((provider, name, known.tariffs[place]) for name, place in named if known.tariffs[place])

    def _find(self, provider: str, name: str) -> list[Tariff] | None:
        known = self._provider(provider)
        asked = [known, *map(self._provider, known.others)] if known is not None else []
        for one in asked:
            found = one.find(name) if one is not None else None
            if found is not None:
                return found
        return None

    def _provider(self, name: str) -> ProviderTariffs | None:
        if name not in self._providers:
            raw = self._table.providers.get(name)
            if raw is None:
                return None
            self._providers[name] = msgspec.json.decode(raw, type=ProviderTariffs)
        return self._providers[name]


def in_force(offered: Sequence[T], at_s: float, tariff_of: Callable[[T], Tariff]) -> T:
    """The last of what is offered whose tariff is in force, else the first.

    Args:
        offered: At least one.
        at_s: Wall clock.
        tariff_of: The tariff of one.
    """
    if len(offered) == 1:
        return offered[0]
    at = datetime.fromtimestamp(at_s, UTC)
    return next((one for one in reversed(offered) if tariff_of(one).in_force(at)), offered[0])


def _readable(rule: str | list[str]) -> str:
    """A pattern of `ProviderTariffs.rules` as people write it."""
    if isinstance(rule, list):
        return " and ".join(map(_readable, rule))
    sign, text = rule[0], rule[1:]
    return {"^": f"{text}*", "$": f"*{text}", "*": f"*{text}*", "~": f"/{text}/"}.get(sign, text)


def _holds(rule: str | list[str], name: str) -> bool:
    """Whether a pattern of `ProviderTariffs.rules` holds for a name in lower case."""
    if isinstance(rule, list):
        return all(_holds(one, name) for one in rule)
    sign, text = rule[0], rule[1:]
    if sign == "^":
        return name.startswith(text)
    if sign == "$":
        return name.endswith(text)
    if sign == "*":
        return text in name
    if sign == "~":
        return re.search(text, name) is not None
    return name == text
