"""`beast prices`: what models cost, where that is known from, and prices of your own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from beastmode.cli import figures
from beastmode.cli.command import Group, pass_screen
from beastmode.cli.completing import model_names
from beastmode.cli.screen import Screen
from beastmode.core.errors import BadInputError

_HEAD = ("MODEL", "PROMPT", "COMPLETION", "CACHED", "CACHE WRITE", "OTHER", "SOURCE", "DATE")
_USD = click.FloatRange(min=0)
_EXAMPLES = """
\b
beast prices list gpt-4o
beast prices set custom:qwen --prompt 0.15 --completion 0.6
beast prices set local:smollm2 --per-second 0.0002
beast prices set openai:gpt-4o --remove
"""


@click.group(cls=Group, default="list", epilog=_EXAMPLES)
def prices() -> None:
    """Show and set what models cost.

    In USD per million tokens. Your own prices win over the table. Alone it lists the registered models.
    """


@prices.command("list")
@click.argument("model", required=False, shell_complete=model_names)
@click.option("--all", "everything", is_flag=True, help="The models of the table, too.")
@pass_screen
def list_prices(screen: Screen, model: str | None, everything: bool) -> None:
    """List prices, each with its source and date.

    MODEL narrows the list to ids that hold it; an id that is not registered is looked up in the table.
    """
    params = {"model": model, "all": everything or None}
    with screen.client() as client:
        reply = client.call("prices.list", {name: value for name, value in params.items() if value is not None})
    if screen.as_json:
        return screen.json(reply)
    table = reply["table"]
    empty = f"no price of {model}; try: beast prices list --all" if model else "no model yet; try: beast models add"
    rows = [row for one in reply["prices"] for row in _rows(one)]
    screen.table(_HEAD, rows, empty)
    for tip in dict.fromkeys(one["tip"] for one in reply["prices"] if one.get("tip")):
        screen.note(f"unknown; try: {tip}")
    screen.note(f"USD per million tokens; table: {table['source']}, {table['date']}")
    return None


@prices.command("set")
@click.argument("model", shell_complete=model_names)
@click.option("--prompt", type=_USD, metavar="USD", help="A million prompt tokens.")
@click.option("--completion", type=_USD, metavar="USD", help="A million tokens of the answer.")
@click.option("--cached", type=_USD, metavar="USD", help="A million tokens read from the prompt cache [as --prompt].")
@click.option("--cache-write", type=_USD, metavar="USD", help="A million tokens written to it [as --prompt].")
@click.option("--cache-write-1h", type=_USD, metavar="USD", help="The same for an hour [as --cache-write].")
@click.option("--reasoning", type=_USD, metavar="USD", help="A million reasoning tokens [as --completion].")
@click.option("--per-second", type=_USD, metavar="USD", help="Each second of the call.")
@click.option(
    "--batch",
    type=click.FloatRange(min=0, max=1),
    metavar="SHARE",
    help="Share of all this that a batch or flex request costs, such as 0.5.",
)
@click.option("--remove", is_flag=True, help="Take your own price back; the table counts again.")
@pass_screen
def set_price(screen: Screen, model: str, remove: bool, **rates: float | None) -> None:
    """Set your own price of MODEL, in place of any other.

    It counts from the next request on; what was charged stays as it is.
    """
    params = {"model": model, **{name: rate for name, rate in rates.items() if rate is not None}}
    if remove:
        params["remove"] = True
    with screen.client() as client:
        reply = client.call("prices.set", params)
    if screen.as_json:
        return screen.json(reply)
    screen.table(_HEAD, _rows(reply), "")
    if reply.get("note"):
        screen.note(reply["note"])
    return None


@prices.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--shipped", is_flag=True, help="Go back to the table that came with this version.")
@pass_screen
def update(screen: Screen, file: Path | None, shipped: bool) -> None:
    """Take a newer price table from FILE.

    Made by `python -m beastmode.costs.build_prices --out FILE`, here or on another machine; nothing is fetched.
    """
    if file is None and not shipped:
        raise BadInputError(
            "Which file? Nothing is fetched by itself.",
            tips=[
                "pip install --upgrade genai-prices; python -m beastmode.costs.build_prices --out prices.json",
                "beast prices update prices.json",
            ],
        )
    params: dict[str, Any] = {"shipped": True} if shipped else {}
    if file is not None:
        params["file"] = str(file.absolute())
    with screen.client() as client:
        reply = client.call("prices.update", params)
    if screen.as_json:
        return screen.json(reply)
    before = reply["before"]
    screen.say(f"table: {reply['source']}, {reply['date']} (before: {before['source']}, {before['date']})")
    return None


def _rows(one: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A model's price as rows: the standard one, its tiers, and its modes of service."""
    name = str(one["model"])
    deployment = one.get("deployment")
    shown = name if deployment in (None, name) or not str(deployment).startswith(name) else str(deployment)
    origin = (one.get("source") or "unknown", figures.day(one.get("date")))
    rows = [(shown, *_rates(one["price"]), *origin)]
    rows += [(f"+ over {_tokens(tier)}", *_rates(tier["price"]), "", "") for tier in one["tiers"]]
    for mode, price in one["modes"].items():
        rows.append((f"+ {mode}", *_rates(price["price"]), "", ""))
        rows += [(f"+ {mode}, over {_tokens(tier)}", *_rates(tier["price"]), "", "") for tier in price["tiers"]]
    return rows


def _tokens(tier: Mapping[str, Any]) -> str:
    return f"{tier['over_prompt_tokens']:,} tokens"


def _rates(price: Mapping[str, Any] | None) -> tuple[str, ...]:
    if price is None:
        return ("unknown", "unknown", "unknown", "unknown", "")
    prompt, write = price.get("prompt"), price.get("cache_write")
    other = (("1 h write", "cache_write_1h"), ("reasoning", "reasoning"), ("per s", "per_second"))
    said = [f"{name} {figures.rate(price[field])}" for name, field in other if price.get(field) is not None]
    if price.get("batch") is not None:
        said.append(f"batch x {price['batch']:g}")
    by_second = price.get("per_second") is not None
    return (
        _usd(prompt, by_second),
        _usd(price.get("completion"), by_second),
        _usd(prompt if price.get("cached") is None else price["cached"], by_second),
        _usd(prompt if write is None else write, by_second),
        ", ".join(said),
    )


def _usd(rate: float | None, by_second: bool) -> str:
    return "-" if rate is None and by_second else figures.rate(rate)
