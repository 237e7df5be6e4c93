"""`beast workspace`: folders that the daemon reads and watches, so that questions are answered from what is in them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from beastmode.cli import figures, life
from beastmode.cli.command import Group, pass_screen
from beastmode.cli.screen import Screen

_WIDTH = 30
_REDRAW_S, _NOTE_S = 0.1, 5.0
_HEAD = ("WORKSPACE", "STATE", "FILES", "PIECES", "LEFT OUT", "CHANGES")
_REASONS = {
    "secret": "like a secret",
    "binary": "no text",
    "large": "too large",
    "link": "a link",
    "special": "no file",
    "name": "a name that can not be shown",
    "unreadable": "not readable",
    "deep": "too deep",
    "many": "over workspace.max_files",
    "poison": "the reader failed on it",
    "ignored": "ignored",
}


@click.group(cls=Group, default="list")
def workspace() -> None:
    """Open, close and list workspaces.

    Alone it lists them. Starts the daemon where none runs.
    """


@workspace.command("open")
@click.argument("path", type=click.Path(), default=".")
@click.option("--no-wait", is_flag=True, help="Return at once; the folder is read in the background.")
@pass_screen
def open_workspace(screen: Screen, path: str, no_wait: bool) -> None:
    """Read the folder PATH (default: here), watch it, and keep it open.

    To open it is to agree that its files are read; that is remembered. What .gitignore or .beastignore name, links and
    what looks like a secret are not read. Ctrl-C ends the waiting: the reading goes on.
    """
    root = _absolute(path)
    bar = ScanBar(screen, root)
    with life.connected(screen) as client:
        try:
            show = None if screen.as_json or no_wait else bar.show
            reply = client.call("workspace.open", {"path": root, "wait": not no_wait}, show)
        except KeyboardInterrupt:
            bar.end()
            screen.note(f"it is read on in the background; to end that: beast workspace close {path}")
            raise
        finally:
            bar.end()
    if screen.as_json:
        return screen.json(reply)
    _tell_opened(screen, reply)
    return None


@workspace.command("close")
@click.argument("path", type=click.Path(), default=".")
@click.option("--forget", is_flag=True, help="Delete what is known of it, and that you agreed.")
@pass_screen
def close_workspace(screen: Screen, path: str, forget: bool) -> None:
    """Stop reading and watching the folder PATH (default: here)."""
    with life.connected(screen) as client:
        reply = client.call("workspace.close", {"path": _absolute(path), "forget": forget})
    if screen.as_json:
        return screen.json(reply)
    screen.say(f"closed {reply['path']}" + (", and forgotten" if forget else ""))
    return None


@workspace.command("list")
@pass_screen
def list_workspaces(screen: Screen) -> None:
    """List the open workspaces and how they are."""
    with life.connected(screen) as client:
        reply = client.call("workspace.list")
    if screen.as_json:
        return screen.json(reply)
    rows = [_row(one) for one in reply["workspaces"]]
    screen.table(_HEAD, rows, "no workspace is open; try: beast workspace open")
    for one in reply["workspaces"]:
        _tell_problem(screen, {**one, "missing": []})
    for missing in reply["workspaces"][0].get("missing", []) if reply["workspaces"] else []:
        screen.note(missing)
    return None


class ScanBar:
    """Shows `{phase, files, total}` on standard error: a bar on a terminal, a line from time to time elsewhere.

    Args:
        screen: Where.
        root: What is read.
    """

    def __init__(self, screen: Screen, root: str) -> None:
        self._screen = screen
        self._name = Path(root).name or root
        self._shown_s = time.monotonic()
        self._drawn = False

    def show(self, value: Any) -> None:
        """Takes one progress value.

        Args:
            value: `total` is None where nobody knows how many files there are; anything else is passed over.
        """
        if not isinstance(value, dict) or not isinstance(value.get("files"), int):
            return
        files, total = value["files"], value.get("total")
        now_s = time.monotonic()
        if now_s - self._shown_s < (_REDRAW_S if self._screen.can_overwrite else _NOTE_S):
            return
        self._shown_s = now_s
        many = figures.count(files, "file")
        if not self._screen.can_overwrite:
            self._screen.note(f"{self._name}: {many} read" + (f" of {total}" if total else ""))
            return
        self._drawn = True
        filled = int(_WIDTH * files / total) if total else 0
        bar = f"[{'#' * filled}{'-' * (_WIDTH - filled)}] " if total else ""
        self._screen.overwrite(f"{self._name} {bar}{many} read" + (f" of {total}" if total else ""))

    def end(self) -> None:
        """Takes the bar off the terminal."""
        if self._drawn:
            self._screen.overwrite("")
            self._drawn = False


def _absolute(path: str) -> str:
    return str(Path(os.path.abspath(Path(path).expanduser())))  # noqa: PTH100 - links are the daemon's to resolve


def _tell_opened(screen: Screen, row: Mapping[str, Any]) -> None:
    if row["state"] == "ready":
        known = f"{figures.count(row['files'], 'file')} in {figures.count(row['chunks'], 'piece')}"
        screen.say(f"{row['path']} is open: {known}")
        if left_out := _left_out(row):
            screen.note(f"left out: {left_out}")
    else:
        screen.say(f"{row['path']} is open and being read; how far that is: beast workspace list")
    _tell_problem(screen, row)


def _tell_problem(screen: Screen, row: Mapping[str, Any]) -> None:
    if row.get("problem"):
        screen.note(str(row["problem"]))
    if row.get("tip"):
        screen.note(f"  try: {row['tip']}")
    for missing in row.get("missing") or []:
        screen.note(str(missing))


def _left_out(row: Mapping[str, Any]) -> str:
    counts = row.get("left_out") or {}
    return ", ".join(f"{counts[reason]} {words}" for reason, words in _REASONS.items() if counts.get(reason))


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    state = str(one["state"])
    if state == "scanning" and one.get("seen"):
        state = f"scanning ({one['seen']})"
    left_out = sum(count for reason, count in (one.get("left_out") or {}).items() if reason != "ignored")
    watching = "looked for" if one.get("watching") == "polling" else "seen at once"
    return (str(one["path"]), state, str(one["files"]), str(one["chunks"]), str(left_out), watching)
