"""`beast dashboard`: opens the page that shows what the models do, cost and saved."""

from __future__ import annotations

import webbrowser

import click

from beastmode.cli.command import Command, pass_screen
from beastmode.cli.screen import Screen


@click.command(cls=Command)
@click.option("--no-open", is_flag=True, help="Only print the address.")
@pass_screen
def dashboard(screen: Screen, no_open: bool) -> None:
    """Open the dashboard in a browser.

    The address works once and for one minute; the browser stays signed in after that, until the token changes.
    """
    with screen.client() as client:
        reply = client.call("dashboard.open")
    if screen.as_json:
        screen.json(reply)
        return
    screen.say(reply["url"])
    screen.note(f"it works once, within {reply['expires_s']:g} seconds")
    if not no_open and not webbrowser.open(reply["url"]):
        screen.note("no browser was found here: open the address yourself")
