"""Makes `prices.json` from genai-prices: `python -m beastmode.costs.build_prices` (development only, extra `dev`)."""

from __future__ import annotations

import argparse
import json
import sys
from copy import copy
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

from beastmode.costs.tariffs import SCHEMA

RATES = (
    *("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok"),
    *("cache_write_1h_mtok", "output_reasoning_mtok"),
)
CHARGED_ALWAYS = ("requests_kcount", "output_citation_mtok", "input_text_messages_kcount")
MODES = {"processing": ("batch",), "service_tier": ("flex", "priority", "fast"), "speed": ("fast",)}
SIGNS = {"starts_with": "^", "ends_with": "$", "contains": "*", "equals": "=", "regex": "~"}

Leaf = str | list[str]


def leaves(clause: Any) -> list[Leaf]:
    """Flattens a match clause: each item alone is enough; of an item that is a list all must hold.

    Args:
        clause: One of the clauses of `genai_prices.types`.

    Raises:
        ValueError: An "or" inside an "and", which the flat form can not say.
    """
    if hasattr(clause, "or_"):
        return [leaf for one in clause.or_ for leaf in leaves(one)]
    if hasattr(clause, "and_"):
        parts = [leaves(one) for one in clause.and_]
        if any(len(part) != 1 or isinstance(part[0], list) for part in parts):
            raise ValueError(f"not flat: {clause}")
        return [[str(part[0]) for part in parts]]
    ((kind, text),) = vars(clause).items()
    return [SIGNS[kind] + (text if kind == "regex" else text.lower())]


def rates(prices: Any, prompt_tokens: int) -> list[float | None]:
    """The rates for prompts of more than so many tokens, without unknown ones at the end.

    Args:
        prices: A `ModelPrice`.
        prompt_tokens: A tier's start; 0 for the base.
    """
    found = [_rate(getattr(prices, name), prompt_tokens) for name in RATES]
    while found and found[-1] is None:
        found.pop()
    return found


def _rate(price: Any, prompt_tokens: int) -> float | None:
    if price is None:
        return None
    if not isinstance(price, Decimal):
        reached = [tier.price for tier in price.tiers if tier.start <= prompt_tokens]
        price = reached[-1] if prompt_tokens and reached else price.base
    number = float(price)
    return int(number) if number.is_integer() else number


def tariff(prices: Any, constraint: Any) -> dict[str, Any]:
    """One tariff in the form of `beastmode.costs.tariffs.Tariff`, without its modes.

    Args:
        prices: A `ModelPrice`.
        constraint: When it is in force, or None.
    """
    made: dict[str, Any] = {"usd": rates(prices, 0)}
    tiers = {tier.start for name in RATES for tier in getattr(getattr(prices, name), "tiers", [])}
    if tiers:
        made["over"] = [[start, rates(prices, start)] for start in sorted(tiers)]
    start_date: date | None = getattr(constraint, "start_date", None)
    if start_date is not None:
        made["since"] = start_date.isoformat()
    if hasattr(constraint, "start_time"):
        made["hours"] = [_utc(constraint.start_time), _utc(constraint.end_time)]
    return made


def modes(standard: Any, variants: list[Any], today: str) -> dict[str, list[dict[str, Any]]]:
    """The tariffs of the modes of service, by mode; of each those in force from today on.

    Args:
        standard: The `ModelPrice` whose rates hold where a variant says nothing.
        variants: `PriceVariant`s; for each rate the first one in force counts.
        today: `YYYY-MM-DD`.
    """
    made: dict[str, list[dict[str, Any]]] = {}
    for mode in dict.fromkeys(mode for variant in variants if (mode := _mode(variant.when))):
        mine = [one for one in variants if _mode(one.when) == mode]
        days = {"", *(day for one in mine if (day := _since(one)) > today)}
        for day in sorted(days):
            valid = [one for one in mine if _since(one) <= (day or today)]
            rated = _overridden(standard, valid)
            if rated is not None:
                made.setdefault(mode, []).append(tariff(rated, None) | ({"since": day} if day else {}))
    return made


def _mode(when: dict[str, str]) -> str:
    """The mode of service that a variant is for; empty: none that a request here can have."""
    ((key, value),) = when.items() if len(when) == 1 else (("", ""),)
    return value if value in MODES.get(key, ()) else ""


def _since(variant: Any) -> str:
    start_date: date | None = getattr(variant.constraint, "start_date", None)
    return "" if start_date is None else start_date.isoformat()


def _overridden(standard: Any, variants: list[Any]) -> Any:
    """The prices of the first variants over the standard; None where they say nothing of tokens."""
    found = copy(standard)
    said = {name: price for one in reversed(variants) for name, price in vars(one.prices).items() if price is not None}
    vars(found).update(said)
    return found if any(name in said for name in RATES) else None


def _utc(at: time) -> str:
    if at.tzinfo is not None:
        at = datetime.combine(date(2000, 1, 1), at).astimezone(UTC).time()
    return at.strftime("%H:%M:%S")


def tariffs(model: Any, today: str) -> list[dict[str, Any]]:
    """The tariffs of a model from today on; none where it is charged for more than tokens.

    A model of vectors has no price of an answer; one that speaks or hears has none for that, so its cost is unknown.

    Args:
        model: A `ModelInfo`.
        today: `YYYY-MM-DD`.
    """
    listed = model.prices if isinstance(model.prices, list) else None
    pairs = [(one.prices, one.constraint) for one in listed] if listed else [(model.prices, None)]
    if any(getattr(prices, name) is not None for prices, _ in pairs for name in CHARGED_ALWAYS):
        return []
    if any(prices.input_mtok is None for prices, _ in pairs):
        return []
    made = []
    for prices, constraint in pairs:
        served = modes(prices, model.price_variants or [], today)
        made.append(tariff(prices, constraint) | ({"modes": served} if served else {}))
    past = [place for place, one in enumerate(made) if "hours" not in one and one.get("since", "") <= today]
    return made[past[-1] :] if past else made


def provider(source: Any, today: str) -> dict[str, Any]:
    """The tariffs of one provider in the form of `beastmode.costs.tariffs.ProviderTariffs`.

    Args:
        source: A `Provider` of genai-prices.
        today: `YYYY-MM-DD`.
    """
    exact: dict[str, int] = {}
    rules: list[tuple[Leaf, int]] = []
    distinct: list[list[dict[str, Any]]] = []
    for model in source.models:
        made = tariffs(model, today)
        if made not in distinct:
            distinct.append(made)
        place = distinct.index(made)
        for leaf in leaves(model.match):
            if isinstance(leaf, str) and leaf[0] == "=":
                exact.setdefault(leaf[1:], place)
            else:
                rules.append((leaf, place))
    flat = {"exact": dict(sorted(exact.items())), "rules": rules, "tariffs": distinct}
    return flat | ({"others": source.fallback_model_providers} if source.fallback_model_providers else {})


def table(today: str) -> dict[str, Any]:
    """The whole table.

    Args:
        today: `YYYY-MM-DD`.
    """
    from genai_prices.data import providers

    made = {one.id: provider(one, today) for one in sorted(providers, key=lambda one: one.id)}
    made = {name: one for name, one in made.items() if any(one["tariffs"]) or one.get("others")}
    return {
        "schema": SCHEMA,
        "source": f"genai-prices {version('genai-prices')}",
        "date": today,
        "urls": {one.id: one.api_pattern for one in providers if one.id in made},
        "providers": made,
    }


def main(arguments: list[str]) -> None:
    """Writes the table.

    Args:
        arguments: `--date YYYY-MM-DD` (today), `--out PATH` (the shipped file).
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--date", default=datetime.now(UTC).date().isoformat())
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("prices.json"))
    options = parser.parse_args(arguments)
    text = json.dumps(table(options.date), separators=(",", ":"), ensure_ascii=False)
    options.out.write_text(text.replace('},"', '},\n"') + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
