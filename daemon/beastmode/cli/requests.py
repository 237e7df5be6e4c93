"""`beast requests` and `beast errors`: what was asked, what came of it, what it cost, and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from beastmode.cli import figures
from beastmode.cli.command import Command, Group, pass_screen
from beastmode.cli.completing import model_names
from beastmode.cli.screen import Screen

_OUTCOMES = ("success", "failure", "refused", "cancelled")
_ORIGINS = ("person", "warming", "shadow", "judge", "probe", "test", "all")
_HEAD = ("TIME", "REQUEST", "MODEL", "OUTCOME", "CACHE", "LATENCY", "TOKENS", "COST", "SAVED")


@click.group(cls=Group, default="list", lazy={"export": "beastmode.cli.export:export_rows"})
def requests() -> None:
    """Show the ledger: one row for every request.

    Alone it lists them.
    """


@requests.command("list")
@click.option(
    "-n", "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many rows at most."
)
@click.option("--since", metavar="TIME", help="Only from this time on (RFC 3339, such as 2026-11-20T09:00:00Z).")
@click.option("-m", "--model", help="Only those that asked for this model.", shell_complete=model_names)
@click.option("--outcome", type=click.Choice(_OUTCOMES), help="Only those that ended so.")
@click.option("--origin", type=click.Choice(_ORIGINS), help="Who caused them; a person, unless said otherwise.")
@pass_screen
def list_requests(screen: Screen, **filters: Any) -> None:
    """List requests, newest first."""
    with screen.client() as client:
        reply = client.call("requests.list", {name: value for name, value in filters.items() if value is not None})
    if screen.as_json:
        return screen.json(reply)
    return screen.table(_HEAD, [row(one) for one in reply["requests"]], 'no request yet; try: beast ask "hello"')


def row(one: Mapping[str, Any]) -> tuple[str, ...]:
    """A ledger row as the cells of a table."""
    cache = one.get("cache") or {}
    return (
        figures.moment(one.get("at", one.get("at_s"))),
        str(one.get("request_id", "")),
        str(one.get("model_served") or one.get("model") or ""),
        f"{one.get('outcome', '')}{': ' + one['error_kind'] if one.get('error_kind') else ''}",
        " ".join(part for part in (cache.get("result"), cache.get("tier")) if part) or "-",
        figures.duration(one.get("latency_ms")),
        figures.tokens(one.get("usage")).removesuffix(" tokens").removeprefix("tokens "),
        figures.usd(one.get("cost_usd")),
        figures.usd(one.get("saved_usd")),
    )


@requests.command()
@click.argument("id")
@pass_screen
def show(screen: Screen, id: str) -> None:
    """Show all that is known of the request ID."""
    with screen.client() as client:
        reply = client.call("requests.get", {"request_id": id})
    if screen.as_json:
        return screen.json(reply)
    sums, content = reply.pop("cost_lines", []), reply.pop("content", None) or {}
    for name, value in _flat(reply):
        screen.say(f"{name:<24} {'unknown' if value is None else value}")
    for place, line in enumerate(sums):
        screen.say(f"{'' if place else 'what it cost':<24} {line['text']}")
    for name, text in content.items():
        screen.say(f"\n{screen.paint(name, 'bold')}\n{text if text is not None else 'none'}")
    return None


def _flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, inner in value.items():
        if isinstance(inner, dict):
            found += _flat(inner, f"{prefix}{name}.")
        else:
            found.append((prefix + name, ", ".join(map(str, inner)) if isinstance(inner, list) else inner))
    return found


@click.command(cls=Command)
@click.option(
    "-n", "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many kinds at most."
)
@pass_screen
def errors(screen: Screen, limit: int) -> None:
    """Show the last errors and what to do.

    By kind and model: how often, when last, and the tip.
    """
    with screen.client() as client:
        reply = client.call("errors.recent", {"limit": limit})
    if screen.as_json:
        return screen.json(reply)
    if not reply["errors"]:
        return screen.say("no error")
    for one in reply["errors"]:
        _show_error(screen, one)
    return None


def _show_error(screen: Screen, one: Mapping[str, Any]) -> None:
    head = " · ".join(str(part) for part in (one.get("kind"), one.get("model")) if part)
    often = "once" if one.get("count") == 1 else f"{one.get('count')} times"
    screen.say(f"{screen.paint(head, 'bold')} · {often}, last {figures.moment(one.get('last_at'))}")
    if one.get("message"):
        screen.say(f"  {one['message']}")
    tips = one.get("tip") or []
    for tip in [tips] if isinstance(tips, str) else tips:
        screen.say(f"  try: {tip}" if one.get("message") else f"  {tip}")
