"""`beast token`: what programs show to the HTTP door."""

from __future__ import annotations

import click

from beastmode.cli.command import Group, pass_screen
from beastmode.cli.screen import Screen
from beastmode.core.errors import AccessError, DaemonNotRunningError


@click.group(cls=Group, default="show")
def token() -> None:
    """Show and change the token of the HTTP door.

    Alone it prints the token, for `Authorization: Bearer` or `x-api-key`.
    """


@token.command()
@pass_screen
def show(screen: Screen) -> None:
    """Print the token."""
    file = screen.paths.token_file
    try:
        value = file.read_text("ascii").strip()
    except FileNotFoundError:
        raise DaemonNotRunningError(
            "There is no token yet: the daemon makes it when it starts.", tips=["beast start"]
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise AccessError(f"{file} can not be read: {error}.", tips=[f"ls -l {file}"]) from error
    if screen.as_json:
        screen.json({"token": value})
    else:
        screen.say(value)


@token.command()
@pass_screen
def rotate(screen: Screen) -> None:
    """Make a new token and print it.

    The old one is refused from now on: programs that use it need the new one.
    """
    with screen.client() as client:
        reply = client.call("token.rotate")
    if screen.as_json:
        screen.json(reply)
    else:
        screen.say(reply["token"])
