"""`beast context`: what of an open workspace would go along with a question; nothing is sent to any model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from beastmode.cli import figures, life, sources
from beastmode.cli.command import Command, pass_screen
from beastmode.cli.screen import Screen
from beastmode.client import Client

_EXAMPLES = """
\b
beast context "Where is a stale answer detected?"
beast context "How are settings merged?" --full --budget 2000
"""


@click.command(cls=Command, epilog=_EXAMPLES)
@click.argument("question", nargs=-1, required=True)
@click.option(
    "-w",
    "--workspace",
    type=click.Path(exists=True, file_okay=False),
    help="The open workspace [default: the nearest folder from here upwards with .beastmode.toml or .git in it].",
)
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False),
    help="A file that would be attached.",
)
@click.option("--budget", type=click.IntRange(min=0), help="Most tokens that what is found may take.")
@click.option("--full", is_flag=True, help="Print the pieces themselves, too.")
@pass_screen
def context(
    screen: Screen,
    question: tuple[str, ...],
    workspace: str | None,
    files: tuple[str, ...],
    budget: int | None,
    full: bool,
) -> None:
    """Show what would go along with a question.

    QUESTION is looked up in the workspace as `beast ask` does it, and what would be sent is listed: where it lies, how
    many tokens it takes and what spoke for it. No model is asked, and it costs nothing.
    """
    root = sources.workspace_here(workspace)
    with life.connected(screen) as client:
        found = preview(client, " ".join(question), root, files, budget)
    if screen.as_json:
        screen.json(found)
        return
    if full:
        for one in found["pieces"]:
            screen.note(_line(one))
            screen.write(one["text"].rstrip("\n") + "\n\n")
    else:
        rows = [[sources.place(one), str(one["tokens"]), ", ".join(one["why"])] for one in found["pieces"]]
        screen.table(["piece", "tokens", "found by"], rows, "Nothing in this workspace fits the question.")
    _sum(screen, found)


def preview(
    client: Client, question: str, root: Path, files: tuple[str, ...] = (), budget: int | None = None
) -> dict[str, Any]:
    """Asks what would go along with a question.

    Args:
        client: A client.
        question: The question.
        root: The workspace.
        files: Files that would be attached, from the current folder.
        budget: Most tokens that what is found may take; None: as the settings say.

    Raises:
        BeastError: The workspace is not open, or a file can not be attached.
    """
    params: dict[str, Any] = {"workspace": str(root), "question": question.encode(errors="replace").decode()}
    if files:
        params["files"] = [str(Path(file).absolute()) for file in files]
    if budget is not None:
        params["budget_tokens"] = budget
    found: dict[str, Any] = client.call("workspace.context", params)
    return found


def show(screen: Screen, found: dict[str, Any]) -> None:
    """Lists beside the result what goes along with a question.

    Args:
        screen: Where.
        found: Of `preview`.
    """
    for one in found["pieces"]:
        screen.note(_line(one))
    _sum(screen, found)


def _line(one: dict[str, Any]) -> str:
    return f"{sources.place(one)} · {figures.count(one['tokens'], 'token')} · {', '.join(one['why'])}"


def _sum(screen: Screen, found: dict[str, Any]) -> None:
    pieces = figures.count(len(found["pieces"]), "piece")
    state = " · the workspace is still being read" if found["context"]["state"] == "scanning" else ""
    screen.note(f"{pieces} · about {found['tokens']:,} of {found['budget_tokens']:,} tokens{state}")
