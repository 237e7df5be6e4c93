"""`beast config`: the settings in force, where each comes from, and where to change them."""

from __future__ import annotations

import difflib
import os
import shlex
import subprocess
from collections.abc import Mapping
from typing import Any

import click

from beastmode.cli.command import Group, pass_screen
from beastmode.cli.screen import Screen
from beastmode.core.errors import BadInputError, DaemonNotRunningError


@click.group(cls=Group, default="show")
def config() -> None:
    """Show and change the settings.

    Alone it shows them.
    """


@config.command()
@pass_screen
def show(screen: Screen) -> None:
    """Show every setting, its value and its source."""
    reply = _fetched(screen)
    if screen.as_json:
        return screen.json(reply)
    sources = reply.get("sources") or {}
    rows = [(name, _text(value), sources.get(name, "default")) for name, value in flat(reply["settings"])]
    screen.table(("SETTING", "VALUE", "SOURCE"), rows, "no setting")
    for warning in reply.get("warnings") or []:
        screen.note(f"warning: {warning}")
    return None


@config.command()
@click.argument("name")
@pass_screen
def get(screen: Screen, name: str) -> None:
    """Print the value of the setting NAME, such as `cache.l1.ttl_s`."""
    reply = _fetched(screen)
    value: Any = reply["settings"]
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            raise _unknown(name, reply["settings"])
        value = value[part]
    if screen.as_json or isinstance(value, dict | list):
        screen.json(value)
    else:
        screen.say(_text(value))


@config.command()
@pass_screen
def path(screen: Screen) -> None:
    """Print the path of the settings file.

    The file need not be there.
    """
    file = str(screen.paths.config_file)
    if screen.as_json:
        screen.json({"path": file})
    else:
        screen.say(file)


@config.command()
@pass_screen
def reload(screen: Screen) -> None:
    """Make the daemon read its settings anew.

    Wrong ones are refused, and the old ones stay in force.
    """
    with screen.client() as client:
        reply = client.call("config.reload")
    _show_reload(screen, reply)


@config.command()
@pass_screen
def edit(screen: Screen) -> None:
    """Open the settings in an editor.

    That is $VISUAL or $EDITOR. Afterwards the daemon, where it runs, reads them anew.
    """
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    screen.paths.make()
    try:
        done = subprocess.run([*shlex.split(editor), str(screen.paths.config_file)], check=False)  # noqa: S603 - theirs
    except OSError as error:
        raise BadInputError(
            f"The editor {editor!r} does not start: {error.strerror}.",
            tips=["set EDITOR to an editor of yours", f"edit {screen.paths.config_file}"],
        ) from None
    if done.returncode != 0:
        raise BadInputError(f"The editor {editor!r} ended with exit code {done.returncode}; nothing was reloaded.")
    try:
        with screen.client() as client:
            reply = client.call("config.reload")
    except DaemonNotRunningError:
        return screen.note("the daemon does not run; it will read them at its start")
    return _show_reload(screen, reply)


def flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Settings by their dotted names."""
    found: list[tuple[str, Any]] = []
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            found += flat(value, f"{prefix}{name}.")
        else:
            found.append((prefix + name, value))
    return found


def _fetched(screen: Screen) -> dict[str, Any]:
    with screen.client() as client:
        reply: dict[str, Any] = client.call("config.get")
    return reply


def _unknown(name: str, settings: Mapping[str, Any]) -> BadInputError:
    near = difflib.get_close_matches(name, [known for known, _ in flat(settings)], n=2, cutoff=0.5)
    return BadInputError(
        f"There is no setting {name!r}.", tips=[*(f"beast config get {one}" for one in near), "beast config show"]
    )


def _text(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _show_reload(screen: Screen, reply: Mapping[str, Any]) -> None:
    if screen.as_json:
        return screen.json(reply)
    changed = ", ".join(reply.get("changed") or [])
    screen.say(f"reloaded; changed: {changed}" if changed else "reloaded; nothing has changed")
    if waiting := ", ".join(reply.get("restart") or []):
        screen.note(f"{waiting}: in force after beast restart")
    for warning in reply.get("warnings") or []:
        screen.note(f"warning: {warning}")
    return None
