"""`beast generate`: a feature from a request, shown as a diff, or written to the files, all of it or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from beastmode.cli import applying, figures, life
from beastmode.cli.action import ROOT_MARKS
from beastmode.cli.command import Command, pass_screen
from beastmode.cli.completing import model_names
from beastmode.cli.screen import Screen
from beastmode.core.errors import BadInputError

if TYPE_CHECKING:
    from beastmode.client import Client

NOT_RIGHT = 1
_EXAMPLES = """
\b
beast generate "give the shelf a method that counts its books"
beast generate "add a --json option to the command" --file src/cli.py --check "pytest -q" --apply
beast generate --batch wishes.txt --apply
"""


@click.command(cls=Command, epilog=_EXAMPLES)
@click.argument("request", required=False)
@click.option(
    "-w",
    "--workspace",
    type=click.Path(file_okay=False),
    help="The folder that it is for [default: the nearest one above with .beastmode.toml or .git in it, else this one].",
)
@click.option(
    "-f",
    "--file",
    "files",
    metavar="FILE",
    multiple=True,
    help="A file that it is about; with one alone, nothing is planned.",
)
@click.option(
    "-m", "--model", help="Who is to write it [default: the setting routing.default_model].", shell_complete=model_names
)
@click.option("--apply", "apply", is_flag=True, help="Write the edits to the files.")
@click.option("--diff", "diff", is_flag=True, help="Print the edits alone, as a diff.")
@pass_screen
def generate(
    screen: Screen,
    request: str | None,
    workspace: str | None,
    files: tuple[str, ...],
    model: str | None,
    apply: bool,
    diff: bool,
) -> int:
    """Generate a feature, as edits of several files.

    REQUEST says what is wanted.
    """
    if not request:
        raise BadInputError("What is wanted? Say it in words.", tips=["beast generate --help"])
    root = workspace_here(workspace)
    params: dict[str, Any] = {"request": request, "workspace": str(root), "client": "beast"}
    if files:
        params["files"] = [str(Path(one).absolute()) for one in files]
    if model:
        params["model"] = model
    with life.connected(screen) as client:
        result = _made(screen, client, params)
    if apply and result["edits"]:
        result["applied"] = applying.apply(root, result["edits"])
    if screen.as_json:
        screen.json(result)
    else:
        screen.note(result["summary"])
        for path in result.get("applied", []):
            screen.note(f"wrote {path}")
        if not apply:
            for edit in result["edits"]:
                screen.write(edit["diff"])
        screen.note(figures.answer_line(result))
    return 0 if result["edits"] else NOT_RIGHT


def workspace_here(named: str | None) -> Path:
    """The folder that is meant.

    Args:
        named: By the caller; None: the nearest one above this that holds a mark of a project, else this one.
    """
    if named is not None:
        return Path(named).absolute()
    here = Path.cwd()
    marked = (one for one in (here, *here.parents) if any((one / mark).exists() for mark in ROOT_MARKS))
    return next(marked, here)


def _made(screen: Screen, client: Client, params: dict[str, Any]) -> dict[str, Any]:
    def show(value: Any) -> None:
        if "message" in value and not screen.as_json:
            screen.note(": ".join(filter(None, (value["stage"], value["file"], value["message"]))))

    result: dict[str, Any] = client.call("generate", {**params, "stream": True}, show)
    return result
