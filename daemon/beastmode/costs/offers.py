"""What one deployment takes: for each length of the prompt, mode of service and hour a price that is ready to use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from beastmode.core.deployments import Price
from beastmode.costs.arithmetic import FREE, in_words, scaled
from beastmode.costs.tariffs import Tariff, in_force

BATCHED = ("batch", "flex")
STANDARD = frozenset({"", "default", "standard", "standard_only", "auto", "on_demand", "scale"})
"""Modes of service that cost what a model costs."""


class Quote(msgspec.Struct, frozen=True):
    """A price and its words.

    Attributes:
        price: USD per million tokens.
        words: For the ledger, as `arithmetic.in_words` writes them.
    """

    price: Price
    words: str


class Mode(msgspec.Struct, frozen=True):
    """How a request is served.

    Attributes:
        told: As the provider said; empty: it did not.
        asked: As the request said.
    """

    told: str = ""
    asked: str = ""


PLAIN = Mode()


class _Steps:
    """The quotes of one tariff, by the length of the prompt."""

    def __init__(self, tariff: Tariff, base: Quote, over: Sequence[tuple[int, Quote]] = ()) -> None:
        self.tariff = tariff
        self.base = base
        self.over = over

    def at(self, prompt_tokens: int) -> Quote:
        """The quote for a prompt of this length."""
        found = self.base
        for start, quote in self.over:
            if prompt_tokens > start:
                found = quote
        return found


class _Standard(_Steps):
    """A tariff with those of its modes."""

    modes: dict[str, list[_Steps]]


class Offer:
    """What a deployment takes.

    Args:
        source: Where the price is from: `user`, `free`, or the table with its date.
        standard: Tariffs, of which the last one in force counts.
        own: It is the user's own price, which holds for every mode that it does not name.
    """

    def __init__(self, source: str, standard: Sequence[_Standard], own: bool) -> None:
        self.source = source
        self._standard = standard
        self._own = own
        self._always = standard[0] if len(standard) == 1 else None

    def quote(self, prompt_tokens: int, mode: Mode, at_s: float) -> Quote | None:
        """The price of a request.

        Args:
            prompt_tokens: All tokens of its prompt.
            mode: How it is served.
            at_s: Wall clock.

        Returns:
            None where it was served in a way whose price is unknown.
        """
        standard = self._always or in_force(self._standard, at_s, _tariff_of)
        if mode is PLAIN:
            return standard.at(prompt_tokens)
        name = mode.told or mode.asked
        found = standard.modes.get(name)
        if found is not None:
            return in_force(found, at_s, _tariff_of).at(prompt_tokens)
        return standard.at(prompt_tokens) if self._own or not mode.told else None

    def in_force(self, at_s: float) -> dict[str, list[tuple[int, Price]]]:
        """All prices of a time: by mode (empty: the standard), and by the prompt tokens above which each holds.

        Args:
            at_s: Wall clock.
        """
        standard = in_force(self._standard, at_s, _tariff_of)
        found: dict[str, _Steps] = {"": standard}
        found |= {mode: in_force(several, at_s, _tariff_of) for mode, several in standard.modes.items()}
        return {
            mode: [(0, steps.base.price), *((start, quote.price) for start, quote in steps.over)]
            for mode, steps in found.items()
        }

    @property
    def costs_nothing(self) -> bool:
        """All its prices are zero."""
        price = self._standard[0].base.price
        known = price.prompt is not None and price.completion is not None
        return self._own and known and not any(msgspec.structs.astuple(msgspec.structs.replace(price, batch=None)))


def of_price(price: Price, source: str) -> Offer:
    """The offer of a price of the user's own, or of what costs nothing.

    Args:
        price: USD per million tokens.
        source: `user` or `free`.
    """
    always = Tariff(usd=())
    standard = _Standard(always, Quote(price, FREE if source == FREE else in_words(source, price)))
    standard.modes = {}
    if price.batch is not None:
        part = scaled(price, price.batch)
        for mode in BATCHED:
            standard.modes[mode] = [_Steps(always, Quote(part, in_words(source, part, mode)))]
    return Offer(source, [standard], own=True)


def of_tariffs(tariffs: Iterable[Tariff], source: str) -> Offer:
    """The offer of the table.

    Args:
        tariffs: Of one model, at least one.
        source: The table with its date.
    """
    made = []
    for tariff in tariffs:
        standard = _Standard(*_quotes(tariff, source))
        standard.modes = {
            mode: [_Steps(*_quotes(one, source, mode)) for one in several] for mode, several in tariff.modes.items()
        }
        made.append(standard)
    return Offer(source, made, own=False)


def _quotes(tariff: Tariff, source: str, mode: str = "") -> tuple[Tariff, Quote, list[tuple[int, Quote]]]:
    base = Price(*tariff.usd)
    over = [(start, Price(*rates)) for start, rates in tariff.over]
    return (
        tariff,
        Quote(base, in_words(source, base, mode)),
        [(start, Quote(price, in_words(source, price, f"over {start} prompt tokens", mode))) for start, price in over],
    )


def _tariff_of(steps: _Steps) -> Tariff:
    return steps.tariff
