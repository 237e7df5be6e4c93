"""The questions of `beast models add` at a terminal: only about what was not said, each with a default."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from beastmode.cli.models_add import KEYED, clean_key
from beastmode.cli.screen import Screen
from beastmode.core.errors import BeastError

if TYPE_CHECKING:
    from beastmode.client import Client

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_USUAL = {"openai": "gpt-4o", "anthropic": "claude-sonnet-4-5"}
_TITLES = {"openai": "OpenAI, with a key", "anthropic": "Anthropic, with a key"}
_SHOWN_MODELS = 4


def complete(screen: Screen, client: Client, params: dict[str, Any]) -> dict[str, Any]:
    """Asks for what is missing.

    Args:
        screen: Where to ask.
        client: To look for servers on this machine.
        params: What was said on the command line, as `models.add` takes it.

    Returns:
        The parameters of `models.add`.
    """
    params = dict(params)
    if "id" not in params:
        params.update(_choose(screen, client, params))
    provider = params["id"].partition(":")[0]
    if provider == "custom" and "base_url" not in params:
        params["base_url"] = _ask("Base URL of an OpenAI-compatible endpoint", "http://127.0.0.1:11434/v1")
    if "key" not in params and (key := _ask_key(provider, params.get("base_url"))):
        params["key"] = key
    if provider == "custom" and "price" not in params and (price := _ask_price()):
        params["price"] = price
    return params


def _choose(screen: Screen, client: Client, params: dict[str, Any]) -> dict[str, Any]:
    """Which model, from a menu that begins with what runs on this machine."""
    servers = [] if "base_url" in params else _servers(screen, client)
    for number, server in enumerate(servers, 1):
        names = ", ".join(server["models"][:_SHOWN_MODELS])
        more = len(server["models"]) - _SHOWN_MODELS
        names += f" and {more} more" if more > 0 else ""
        screen.note(f"  {number}  {server.get('kind') or 'server'} at {server['base_url']}: {names}")
    others = ["custom"] if "base_url" in params else [*KEYED, "custom"]
    for number, provider in enumerate(others, len(servers) + 1):
        screen.note(f"  {number}  {_TITLES.get(provider, 'another OpenAI-compatible endpoint')}")
    last = len(servers) + len(others)
    chosen = click.prompt("Which one", default=1, type=click.IntRange(1, last), err=True) if last > 1 else 1
    if chosen <= len(servers):
        return _of_server(screen, servers[chosen - 1])
    provider = others[chosen - len(servers) - 1]
    if provider in KEYED:
        return {"id": f"{provider}:{_ask('Model', _USUAL[provider])}"}
    there = params.get("upstream_model") or _ask("Name of the model there", None)
    return {"upstream_model": there, "id": _ask_id(there)}


def _servers(screen: Screen, client: Client) -> list[dict[str, Any]]:
    screen.note("looking for model servers on this machine ...")
    try:
        found = client.call("models.discover", timeout_s=10)["servers"]
    except BeastError as error:
        screen.note(f"none found: {error.message}")
        return []
    return [server for server in found if server.get("models")]


def _of_server(screen: Screen, server: dict[str, Any]) -> dict[str, Any]:
    names = server["models"]
    for number, name in enumerate(names, 1):
        screen.note(f"  {number}  {name}")
    number = click.prompt("Model", default=1, type=click.IntRange(1, len(names)), err=True) if len(names) > 1 else 1
    there = names[number - 1]
    return {"base_url": server["base_url"], "upstream_model": there, "id": _ask_id(there)}


def _ask_id(there: str) -> str:
    default = re.sub(r"[^A-Za-z0-9._-]+", "-", there.rpartition("/")[2]).strip("-.") or "model"
    name = _ask("Call it here", f"custom:{default}")
    return name if ":" in name else f"custom:{name}"


def _ask_key(provider: str, base_url: str | None) -> str | None:
    """The key: needed by the known providers, offered elsewhere but on this machine."""
    needed = provider in KEYED and base_url is None
    if provider == "local" or (base_url and urlsplit(base_url).hostname in _LOOPBACK):
        return None
    text = "API key (not shown)" if needed else "API key (not shown; empty for none)"
    typed = click.prompt(text, default=None if needed else "", hide_input=True, show_default=False, err=True)
    return clean_key(typed) if typed.strip() else None


def _ask_price() -> dict[str, float] | None:
    text = "Price in USD per million tokens, prompt and answer, such as 0.15 0.6 (empty: unknown)"
    price: dict[str, float] | None = click.prompt(text, default="", show_default=False, err=True, value_proc=_price)
    return price


def _price(text: str) -> dict[str, float] | None:
    try:
        values = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        values = [-1]
    if not values:
        return None
    if len(values) != 2 or not all(0 <= value < math.inf for value in values):
        raise click.BadParameter("two amounts, such as 0.15 0.6, or nothing")
    return {"prompt": values[0], "completion": values[1]}


def _ask(text: str, default: str | None) -> str:
    answer: str = click.prompt(text, default=default, show_default=bool(default), err=True)
    return answer.strip()
