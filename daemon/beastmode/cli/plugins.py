"""`beast plugins`: what is loaded, and what is not and why."""

from __future__ import annotations

from typing import Any

import click

from beastmode.cli.command import Command, pass_screen
from beastmode.cli.screen import Screen


@click.command(cls=Command)
@pass_screen
def plugins(screen: Screen) -> None:
    """List plugins and how they are."""
    with screen.client() as client:
        reply = client.call("plugins.list")
    if screen.as_json:
        return screen.json(reply)
    rows = [_row(one) for one in reply["plugins"]]
    return screen.table(("PLUGIN", "STATE", "PACKAGE", "VERSION", "HOOKS", "ERROR"), rows, "no plugin is installed")


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    hooks = ", ".join(one.get("hooks") or [])
    return (
        *(str(one.get(name) or "") for name in ("name", "state", "package", "version")),
        hooks,
        one.get("error") or "",
    )
