"""`beast forget`: prompts, answers, vectors and sessions, gone from every tier."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from beastmode.cli import figures
from beastmode.cli.ages import since as since_option
from beastmode.cli.command import Command, pass_screen
from beastmode.cli.confirm import confirmed
from beastmode.cli.screen import Screen
from beastmode.core.errors import BadInputError

_EXAMPLES = """
\b
beast forget --since 2h                  # what was asked in the last two hours
beast forget --workspace . --dry-run     # how much there is of this project
beast forget --all --yes
"""


@click.command(cls=Command, epilog=_EXAMPLES)
@click.option("--workspace", metavar="DIR", type=click.Path(), help="Everything of this workspace.")
@click.option(
    "--since",
    metavar="TIME",
    type=since_option,
    help="Everything since this time: 2h, 3d, or 2026-11-20T09:00:00Z (UTC, unless a zone is named).",
)
@click.option("--all", "everything", is_flag=True, help="Everything.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_screen
def forget(screen: Screen, workspace: str | None, since: str | None, everything: bool, dry_run: bool, yes: bool) -> int:
    """Forget prompts, answers, vectors and sessions.

    Of a workspace, since a time, or all of them, in every tier. Counts first, and asks at a terminal.
    """
    params = _what(workspace, since, everything)
    with screen.client() as client:
        if dry_run or not yes:
            counted = client.call("forget", {**params, "dry_run": True})
            if dry_run:
                _show(screen, counted, "would forget")
                return 0
            question = f"Forget {_counts(counted)}{_of(params)}, for good?"
            if not confirmed(screen, question, yes, _command(params)):
                screen.note("nothing was forgotten")
                return 1
        _show(screen, client.call("forget", {**params, "dry_run": False}), "forgot")
    return 0


def _what(workspace: str | None, since: str | None, everything: bool) -> dict[str, Any]:
    params: dict[str, Any] = {}
    if workspace is not None:
        params["workspace"] = str(Path(workspace).expanduser().resolve())
    if since is not None:
        params["since"] = since
    if everything:
        params["all"] = True
    if len(params) != 1:
        raise BadInputError(
            "Forget what? One of --workspace, --since and --all says it.",
            tips=["beast forget --since 2h --dry-run", "beast forget --workspace . --dry-run", "beast forget --help"],
        )
    return params


def _of(params: Mapping[str, Any]) -> str:
    if "workspace" in params:
        return f" of {params['workspace']}"
    return f" since {figures.moment(params['since'])}" if "since" in params else ""


def _command(params: Mapping[str, Any]) -> str:
    ((name, value),) = params.items()
    return f"beast forget --{name}" + ("" if value is True else f" {shlex.quote(value)}")


def _counts(reply: Mapping[str, Any]) -> str:
    answers, sessions = figures.count(reply["entries"], "stored answer"), figures.count(reply["sessions"], "session")
    return f"{answers} and {sessions}"


def _show(screen: Screen, reply: Mapping[str, Any], verb: str) -> None:
    if screen.as_json:
        screen.json(reply)
    else:
        screen.say(f"{verb} {_counts(reply)}")
