"""What of a workspace an answer was made from, told after it, and the options of commands that ask about one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from beastmode.cli.screen import Screen

ROOT_MARKS = (".beastmode.toml", ".git")
SHOWN_MAX = 12


def about_workspace(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of a question about a workspace.

    Args:
        command: A command.
    """
    options = [
        click.option(
            "-w",
            "--workspace",
            type=click.Path(exists=True, file_okay=False),
            help="Ask about this folder, which `beast workspace open` opens: what belongs to the question goes along.",
        ),
        click.option("--no-context", is_flag=True, help="Let nothing go along that is found in the workspace."),
        click.option("--show-context", is_flag=True, help="Show what goes along, before it is sent."),
        click.option("--no-model", is_flag=True, help="Answer from the index of the workspace alone, at no cost."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def options_of(workspace: str | None, *, no_context: bool, no_model: bool) -> dict[str, Any]:
    """What `chat` is told of it; nothing where nothing is asked for.

    Args:
        workspace: The folder; None: the project around the current one, where one is needed.
        no_context: Nothing goes along.
        no_model: No model is asked.
    """
    found: dict[str, Any] = {}
    if workspace is not None or no_model:
        found["workspace"] = str(workspace_here(workspace))
    if no_context:
        found["retrieve"] = False
    if no_model:
        found["use_llm"] = False
    return found


def workspace_here(named: str | None) -> Path:
    """The folder that is meant.

    Args:
        named: By the caller; None: the nearest one from here upwards with a mark of a project, else this one.
    """
    if named is not None:
        return Path(named).absolute()
    here = Path.cwd()
    marked = (one for one in (here, *here.parents) if any((one / mark).exists() for mark in ROOT_MARKS))
    return next(marked, here)


def tell(screen: Screen, answer: Mapping[str, Any], asked: bool) -> None:
    """Says beside an answer what it was made from, or why from nothing.

    Args:
        screen: Where.
        answer: The result of `chat` or `action`.
        asked: The caller named a workspace: it is told where that could not be looked into.
    """
    sources = answer.get("sources") or []
    for one in sources[:SHOWN_MAX]:
        screen.note(f"from {place(one)}")
    if len(sources) > SHOWN_MAX:
        screen.note(f"and {len(sources) - SHOWN_MAX} more")
    context = answer.get("context") or {}
    if asked and context.get("state") == "closed":
        screen.note(f"nothing was looked up: this workspace is not open; try: {context.get('tip')}")
    elif asked and context.get("state") == "away":
        screen.note("nothing was looked up: the folder of this workspace can not be read")
    elif asked and context.get("state") == "scanning":
        screen.note("the workspace is still being read: more may be found later")


def place(source: Mapping[str, Any]) -> str:
    """A piece of a workspace in words: `path:first-last symbol`.

    Args:
        source: With path, lines and symbol.
    """
    first, last = source.get("first_line") or 0, source.get("last_line") or 0
    lines = "" if not first else f":{first}" if first == last else f":{first}-{last}"
    symbol = f" {source['symbol']}" if source.get("symbol") else ""
    return f"{source['path']}{lines}{symbol}"
