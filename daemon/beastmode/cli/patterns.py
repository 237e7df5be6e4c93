"""`beast patterns`: which requests are likely next, and how often such guesses were right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from beastmode.cli import figures
from beastmode.cli.command import Command, pass_screen
from beastmode.cli.screen import Screen

_HEAD = ("CHANCE", "REQUEST", "ABOUT", "ASKED BEFORE")
_ACCURACY = ("GUESSED BY", "FIRST", "IN FIVE", "RECURRING: FIRST", "IN FIVE")
_WAYS = (("the predictor", None), ("frequency alone", "frequency_only"), ("the last requests", "last_only"))

_EXAMPLES = """
\b
beast patterns                       # what is likely next, anywhere
beast patterns --workspace . -n 10   # in this project
"""


@click.command(cls=Command, epilog=_EXAMPLES)
@click.option("--workspace", metavar="DIR", type=click.Path(), help="Only what is about this workspace.")
@click.option("-n", "--limit", type=click.IntRange(1, 100), default=5, show_default=True, help="How many guesses.")
@pass_screen
def patterns(screen: Screen, workspace: str | None, limit: int) -> int:
    """Guess which requests come next, and say how often that was right.

    Each request of yours was guessed before it was learned from; beside the predictor stand two simpler ways of
    guessing, on the same requests. Recurring: the same action on the same symbol, or the same question, was asked
    before.
    """
    params: dict[str, Any] = {"limit": limit}
    if workspace is not None:
        params["workspace"] = str(Path(workspace).expanduser().resolve())
    with screen.client() as client:
        reply = client.call("patterns.get", params)
    if screen.as_json:
        screen.json(reply)
        return 0
    _show(screen, reply)
    return 0


def _show(screen: Screen, reply: Mapping[str, Any]) -> None:
    learned, accuracy = reply["learned"], reply["accuracy"]
    if not learned["enabled"]:
        screen.note("nothing is learned: warming.enabled is false")
    rows = [_guess(one) for one in reply["guesses"]]
    screen.table(_HEAD, rows, "no guesses yet: they come with what you ask")
    if not learned["events"]:
        return
    screen.say()
    screen.table(_ACCURACY, [_way(name, accuracy if key is None else accuracy[key]) for name, key in _WAYS], "")
    screen.note(
        f"{figures.count(accuracy['n'], 'request')} guessed, {accuracy['recurring']['n']:,} of them recurring; "
        f"learned since {figures.moment(learned['since'])}"
    )


def _guess(one: Mapping[str, Any]) -> tuple[str, ...]:
    place = "::".join(part for part in (one["path"], one["symbol"]) if part)
    about = f"{place}  {one['question']}" if place and one["question"] else place or one["question"] or ""
    return _percent(one["probability"]), one["action"], about, "yes" if one["seen"] else "no"


def _way(name: str, way: Mapping[str, Any]) -> tuple[str, ...]:
    recurring = way["recurring"]
    return name, *(_percent(share) for share in (way["top1"], way["top5"], recurring["top1"], recurring["top5"]))


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.1%}" if share < 0.1 else f"{share:.0%}"
