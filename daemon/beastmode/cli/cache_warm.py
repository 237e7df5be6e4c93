"""`beast cache warm`: answers what is likely asked before it is asked, or says what that would be."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from beastmode.cli import figures
from beastmode.cli.command import Command, pass_screen
from beastmode.cli.screen import CONTROLS, Screen
from beastmode.cli.warm_words import standing

if TYPE_CHECKING:
    from beastmode.client import Client

WATCH_S = 1.0
SHOWN_CHARS = 60
_BAR = 24
_WHY = {
    "stored": "stored already",
    "costs_money": "would cost money, and warming.remote allows none for this workspace",
    "price_unknown": "nobody knows the most that it may cost; set the model's price and limits.context_tokens",
    "over_budget": "would go over the day's budget, warming.remote",
    "daily_requests": "over warming.daily_requests",
    "limit": "over --limit",
    "large": "too large",
    "unsaved": "the editor's text is not saved",
    "gone": "what it is about is gone",
    "no_model": "no model can answer now",
    "failed": "the model failed",
    "failed_before": "failed a moment ago",
    "not_storable": "the answer can not be stored",
    "gave_way": "gave way to a person each time",
    "stopped": "stopped",
    "disabled": "warming.enabled is false",
    "no_cache": "cache.enabled is false",
    "would_ask": "would be asked",
    "stored_now": "stored",
}


@click.command("warm", cls=Command)
@click.option("--workspace", metavar="DIR", type=click.Path(), help="Only what is about this workspace.")
@click.option("--limit", metavar="N", type=click.IntRange(min=0), help="Ask a model at most so often.")
@click.option("--dry-run", is_flag=True, help="Ask nothing; list what would be asked, and what it may cost.")
@click.option("--watch", is_flag=True, help="Then stay, and show what is asked ahead as it happens.")
@pass_screen
def warm(screen: Screen, workspace: str | None, limit: int | None, dry_run: bool, watch: bool) -> None:
    """Make answers ready before they are asked for.

    Templates, what recurs and what is likely next are asked now, as far as they are not stored. People go first, and
    models that cost money are asked only where warming.remote allows it. Ctrl-C stops it; what is stored stays.
    """
    params: dict[str, Any] = {"dry_run": dry_run}
    if workspace is not None:
        params["workspace"] = str(Path(workspace).expanduser().resolve())
    if limit is not None:
        params["limit"] = limit
    progress = _Progress(screen)
    with screen.client() as client:
        try:
            reply = client.call("cache.warm", params, on_progress=None if dry_run else progress.show)
        finally:
            progress.end()
        if screen.as_json:
            screen.json(reply)
        elif dry_run:
            _list(screen, reply)
        else:
            _tell(screen, reply)
        if watch:
            _watch(screen, client)


class _Progress:
    """How far it is, on standard error."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._drawn = False

    def show(self, value: Any) -> None:
        """Takes one progress value."""
        if not isinstance(value, dict) or not value.get("total"):
            return
        done, total = value["done"], value["total"]
        if self._screen.can_overwrite:
            filled = int(_BAR * done / total)
            counts = f"{value['stored']} stored, {figures.usd(value['cost_usd'])}"
            self._screen.overwrite(f"[{'#' * filled}{'-' * (_BAR - filled)}] {done} of {total}, {counts}")
            self._drawn = True
        elif value["outcome"] == "stored_now":
            self._screen.note(f"{done} of {total}: {_name(value['wish'])}")

    def end(self) -> None:
        """Takes the bar off the terminal."""
        if self._drawn:
            self._screen.overwrite("")


def _name(wish: Mapping[str, Any]) -> str:
    """A request in a few words."""
    place = "::".join(wish[part] for part in ("path", "symbol") if wish.get(part))
    words = wish.get("question") or ""
    text = " ".join(part for part in (wish.get("kind") or "", place, words) if part).translate(CONTROLS)
    return " ".join(text.split())[:SHOWN_CHARS] or wish.get("method", "")


def _tell(screen: Screen, reply: Mapping[str, Any]) -> None:
    screen.say(f"stored {figures.count(reply['stored'], 'answer')}, for {figures.usd(reply['cost_usd'])}")
    for why, number in sorted(reply["skipped"].items(), key=lambda one: -one[1]):
        screen.note(f"{number} not asked: {_WHY.get(why, why)}")


def _list(screen: Screen, reply: Mapping[str, Any]) -> None:
    rows = [
        [
            one["source"],
            _name(one),
            one.get("model") or "",
            _may_cost(one),
            _WHY.get(one["outcome"], one["outcome"]),
        ]
        for one in reply["wishes"]
    ]
    empty = "There is nothing to ask ahead yet: nothing recurs, and there are no templates (warming.templates)."
    screen.table(["from", "request", "model", "at most", "what becomes of it"], rows, empty)
    asked = sum(one["outcome"] == "would_ask" for one in reply["wishes"])
    if rows:
        most = reply["may_cost_usd"]
        cost = "nobody knows what for" if most is None else f"for at most {figures.usd(most)}"
        screen.note(f"{figures.count(asked, 'request')} would be asked, {cost}")


def _may_cost(wish: Mapping[str, Any]) -> str:
    return figures.usd(wish["may_cost_usd"]) if wish["outcome"] == "would_ask" else ""


def _watch(screen: Screen, client: Client) -> None:
    """Shows each request that is asked ahead, and how the day stands, until Ctrl-C."""
    seen: set[str] = {row["request_id"] for row in _rows(client)}
    said = ""
    while True:
        for row in reversed(_rows(client)):
            if row["request_id"] not in seen and row["attempts"]:
                seen.add(row["request_id"])
                cost = figures.usd(row["cost_usd"])
                where = row["workspace"] or ""
                screen.say(" · ".join(part for part in (row["outcome"], row["model"], cost, where) if part))
                screen.flush()
        now = standing(client.call("status")["warming"])
        if now != said:
            screen.note(now)
            said = now
        time.sleep(WATCH_S)


def _rows(client: Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.call("requests.list", {"origin": "warming", "limit": 50})["requests"]
    return found
