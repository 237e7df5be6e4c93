"""`beast health`: is the daemon well, are its models; made for cron: the exit code says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from beastmode.cli import figures
from beastmode.cli.command import Command, pass_screen
from beastmode.cli.screen import Screen

EXIT_CODES = {"healthy": 0, "degraded": 8, "unhealthy": 9}
_COLOURS = {"healthy": "green", "degraded": "yellow", "unhealthy": "red"}
_PROBE_LIMIT_S = 15.0
_HEAD = ("MODEL", "HEALTH", "SUCCESS", "FAILURE", "MEDIAN WAIT", "WHY")


@click.command(cls=Command)
@click.option("--probe", is_flag=True, help="Ask every endpoint whether it answers; takes up to five seconds.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing while all is well.")
@pass_screen
def health(screen: Screen, probe: bool, quiet: bool) -> int:
    """Say whether all is well, and if not, why.

    Exits with 0 when it is healthy, 8 when it is degraded, 9 when it is unhealthy, 3 when no daemon runs.
    """
    with screen.client() as client:
        reply = client.call("health.get", {"probe": True} if probe else {}, timeout_s=_PROBE_LIMIT_S)
    status = str(reply.get("status", "unhealthy"))
    code = EXIT_CODES.get(status, 9)
    if code or not quiet:
        if screen.as_json:
            screen.json(reply)
        else:
            _show(screen, status, reply)
    return code


def _show(screen: Screen, status: str, reply: Mapping[str, Any]) -> None:
    screen.say(f"{screen.paint(status, _COLOURS.get(status, 'red'))}  {reply.get('why', '')}".rstrip())
    for issue in reply.get("issues") or []:
        screen.say(f"  {issue.get('part')}: {issue.get('cause')}")
        if issue.get("tip"):
            screen.say(f"    try: {issue['tip']}")
    probes = reply.get("probes") or []
    for one in probes:
        _show_probe(screen, one)
    rows = [_row(model, one) for model, one in (reply.get("models") or {}).items()]
    if rows:
        screen.say()
        screen.table(_HEAD, rows, "")
    elif not probes:
        screen.note("no model yet; try: beast models add")


def _show_probe(screen: Screen, one: Mapping[str, Any]) -> None:
    if one.get("ok"):
        latency = figures.duration(one.get("latency_ms"))
        screen.say(f"  {screen.paint('answers', 'green')}  {one.get('deployment')}, {latency}")
    else:
        screen.say(f"  {screen.paint('fails', 'red')}    {one.get('deployment')}: {one.get('message')}")


def _row(model: str, one: Mapping[str, Any]) -> tuple[str, ...]:
    latency_s = one.get("latency_s")
    return (
        model,
        str(one.get("status")),
        str(one.get("success")),
        str(one.get("failure")),
        figures.duration(None if latency_s is None else latency_s * 1e3),
        str(one.get("why")),
    )
