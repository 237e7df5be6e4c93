"""`beast sessions`: the conversations that were kept."""

from __future__ import annotations

import click

from beastmode.cli import figures
from beastmode.cli.chat import transcript
from beastmode.cli.command import Group, pass_screen
from beastmode.cli.completing import session_names
from beastmode.cli.screen import Screen


@click.group(cls=Group, default="list")
def sessions() -> None:
    """List, show and remove chat sessions.

    Alone it lists them.
    """


@sessions.command("list")
@pass_screen
def list_sessions(screen: Screen) -> None:
    """List sessions, the last used first."""
    with screen.client() as client:
        reply = client.call("sessions.list")
    if screen.as_json:
        return screen.json(reply)
    rows = [
        (one["id"], figures.moment(one.get("updated_at")), str(one.get("messages", "")), one.get("title", ""))
        for one in reply["sessions"]
    ]
    return screen.table(("SESSION", "LAST USED", "MESSAGES", "TITLE"), rows, "no session yet; try: beast chat")


@sessions.command()
@click.argument("id", shell_complete=session_names)
@pass_screen
def show(screen: Screen, id: str) -> None:
    """Print the session ID: all that was said in it."""
    with screen.client() as client:
        reply = client.call("sessions.get", {"id": id})
    if screen.as_json:
        screen.json(reply)
    else:
        screen.write(transcript(reply["messages"]))


@sessions.command()
@click.argument("id", shell_complete=session_names)
@pass_screen
def remove(screen: Screen, id: str) -> None:
    """Remove the session ID for good."""
    with screen.client() as client:
        reply = client.call("sessions.remove", {"id": id})
    if screen.as_json:
        screen.json(reply)
    else:
        screen.say(f"removed {id}")
