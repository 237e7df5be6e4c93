"""`beast start | stop | restart | status`."""

from __future__ import annotations

import os

import click

from beastmode.cli import figures, life
from beastmode.cli import status as status_text
from beastmode.cli.command import Command, pass_screen
from beastmode.cli.screen import Screen


@click.command(cls=Command)
@click.option("--foreground", is_flag=True, help="Run it in this terminal; Ctrl-C ends it.")
@pass_screen
def start(screen: Screen, foreground: bool) -> None:
    """Start the daemon and wait until it answers.

    Where it runs already, that is said, and nothing else happens.
    """
    if foreground:
        screen.flush()
        os.execv(life.DAEMON[0], life.DAEMON)  # noqa: S606 - its own interpreter, fixed words
    _show_started(screen, life.start(screen.paths))


@click.command(cls=Command)
@pass_screen
def stop(screen: Screen) -> None:
    """Stop the daemon.

    What is running finishes, or is told within 10 s why it does not. Where no daemon runs, that is said, and nothing
    else happens.
    """
    state = life.stop(screen.paths)
    if screen.as_json:
        screen.json({"state": state})
    else:
        screen.say(f"beast is {state}" if state == "not running" else "beast has stopped")


@click.command(cls=Command)
@pass_screen
def restart(screen: Screen) -> None:
    """Stop the daemon, if it runs, and start it."""
    life.stop(screen.paths)
    _show_started(screen, life.start(screen.paths))


@click.command(cls=Command)
@pass_screen
def status(screen: Screen) -> int:
    """Show whether the daemon runs and is well.

    Version, uptime, health with its causes, models, cache and sockets. Ends with exit code 8 when the daemon is
    degraded, and 9 when it is unhealthy.
    """
    return status_text.show(screen)


def _show_started(screen: Screen, begun: life.Started) -> None:
    if screen.as_json:
        return screen.json(begun._asdict())
    if begun.state == "already running":
        return screen.say(f"beast is already running: pid {begun.pid}, socket {begun.socket}")
    screen.say(f"beast has started: pid {begun.pid}, socket {begun.socket}, {figures.duration(begun.took_ms)}")
    return None
