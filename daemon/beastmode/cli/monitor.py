"""`beast monitor`: what the models do now: the dashboard's numbers in the terminal, once or live."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING, Any

import click

from beastmode.cli import interrupts, monitor_view
from beastmode.cli.command import Command, pass_screen
from beastmode.cli.screen import Screen
from beastmode.core.errors import BeastError

if TYPE_CHECKING:
    from beastmode.client import Client

ROWS = 50
_CALL_S = 10.0
_EXAMPLES = """
\b
beast monitor                          once
beast monitor --watch                  live; q or Ctrl-C ends it
beast monitor --watch --json           one JSON object a line, for programs
beast monitor --window 24h
"""


@click.command(cls=Command, epilog=_EXAMPLES)
@click.option("-w", "--watch", is_flag=True, help="Go on until q or Ctrl-C.")
@click.option(
    "--window",
    type=click.Choice(("1h", "24h", "7d", "30d")),
    default="1h",
    show_default=True,
    help="How far back the figures go.",
)
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(0.25, 3600),
    default=1.0,
    show_default=True,
    metavar="S",
    help="Seconds between two looks, with --watch.",
)
@pass_screen
def monitor(screen: Screen, watch: bool, window: str, interval_s: float) -> int | None:
    """Show what the models do, cost and save.

    Health with its causes, requests and how they ended, times, the cache, costs, each model, the last errors with what
    to do, and the newest requests: the numbers of the dashboard. With --watch they are drawn anew in place; off a
    terminal they come one after another. What nobody knows is called unknown.
    """
    with screen.client() as client:
        if not watch:
            _print(screen, look(client, window))
            return None
        try:
            with interrupts.as_ctrl_c():
                if screen.as_json or not screen.is_terminal or screen.environ.get("TERM") == "dumb":
                    _follow(screen, client, window, interval_s)
                else:
                    _live(screen, client, window, interval_s)
        except KeyboardInterrupt:
            return 0  # the way to end it
    return None


def look(client: Client, window: str) -> dict[str, Any]:
    """Asks for all the numbers at once.

    Args:
        client: A client.
        window: How far back.

    Returns:
        `{at, window, metrics, before, models, errors, requests}`.

    Raises:
        BeastError: What the daemon answered.
    """
    answers = client.batch(
        [
            ("metrics.get", {"window": window, "before": True}),
            ("cost.report", {"window": window, "by": "model"}),
            ("errors.recent", {"limit": 10, "window": window}),
            ("requests.list", {"limit": ROWS}),
        ],
        _CALL_S,
    )
    for answer in answers:
        if isinstance(answer, BeastError):
            raise answer
    metrics, costs, errors, requests = answers
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "window": window,
        "before": metrics.pop("before", None),
        "metrics": metrics,
        "models": costs["rows"],
        "errors": errors["errors"],
        "requests": requests["requests"],
    }


def _print(screen: Screen, seen: dict[str, Any]) -> None:
    if screen.as_json:
        screen.say(json.dumps(seen, ensure_ascii=False, separators=(",", ":")))
    else:
        columns = shutil.get_terminal_size().columns if screen.is_terminal else None
        for line in monitor_view.lines(seen, monitor_view.Frame(columns, None), screen.paint):
            screen.say(line)
    screen.flush()


def _follow(screen: Screen, client: Client, window: str, interval_s: float) -> None:
    """Off a terminal: one look after another, at a steady pace."""
    next_s = time.monotonic()
    while True:
        _print(screen, look(client, window))
        if not screen.as_json:
            screen.say()
        next_s = max(next_s + interval_s, time.monotonic())
        time.sleep(max(0.0, next_s - time.monotonic()))


def _live(screen: Screen, client: Client, window: str, interval_s: float) -> None:
    from beastmode.cli.fullscreen import FullScreen

    seen: dict[str, Any] | None = None
    lost_s: float | None = None
    with FullScreen() as full:
        while True:
            try:
                seen, lost_s = look(client, window), None
            except BeastError as error:
                if seen is None:
                    raise
                lost_s, said = lost_s or time.monotonic(), error
            again_s = time.monotonic() + interval_s
            while True:
                columns, rows = full.size
                banner = "" if lost_s is None else monitor_view.lost(said, time.monotonic() - lost_s)
                full.draw(monitor_view.lines(seen, monitor_view.Frame(columns, rows, True, banner), screen.paint))
                if "q" in (keys := full.wait(max(0.0, again_s - time.monotonic()))):
                    return
                window = monitor_view.WINDOW_KEYS.get(keys, window)
                if time.monotonic() >= again_s or keys in monitor_view.WINDOW_KEYS:
                    break
