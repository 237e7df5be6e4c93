"""`beast generate`: a feature from a request, shown as a diff, or written to the files, all of it or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from beastmode.cli import figures, life
from beastmode.cli.action import ROOT_MARKS
from beastmode.cli.command import Command, pass_screen
from beastmode.cli.completing import model_names
from beastmode.cli.generating import Asked
from beastmode.cli.screen import Screen
from beastmode.cli.undoing import Undo
from beastmode.core.errors import BadInputError, BeastError

NOT_RIGHT = 1
_LATEST = "latest"
_EXAMPLES = """
\b
beast generate "give the shelf a method that counts its books"
beast generate "add --json to the command" --file src/cli.py --check "pytest -q" --apply
beast generate --undo                       # takes back what was written last
beast generate --batch wishes.txt --apply   # one request a line
"""


@click.command(cls=Command, epilog=_EXAMPLES)
@click.argument("request", required=False)
@click.option(
    "-w",
    "--workspace",
    type=click.Path(file_okay=False),
    help="The folder that it is for [default: the nearest one from here up with .beastmode.toml or .git in it, else "
    "this one].",
)
@click.option(
    "-f", "--file", "files", metavar="FILE", multiple=True, help="A file that it is about; one alone needs no plan."
)
@click.option(
    "-m",
    "--model",
    help="Who is to write it [default: the setting routing.default_model].",
    shell_complete=model_names,
)
@click.option("--check", metavar="COMMAND", help="Run this, such as your tests, in a copy with the edits in it.")
@click.option(
    "--check-timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    help="Seconds that it may take [300].",
)
@click.option("--apply", "apply", is_flag=True, help="Write the edits to the files: all of them, or none.")
@click.option("--diff", "diff", is_flag=True, help="Print the edits alone, as a diff.")
@click.option("--resume", metavar="ID", help="Go on with a generation, or a batch, that was cut off.")
@click.option("--batch", metavar="FILE", help="Many requests: one a line, as text or JSON; - is standard input.")
@click.option("--undo", metavar="[ID]", is_flag=False, flag_value=_LATEST, help="Take back what --apply wrote.")
@click.option("--no-cache", "cache", flag_value="off", help="Ask the model, and store nothing.")
@click.option("--refresh", "cache", flag_value="refresh", help="Ask the model, and store the new answers.")
@click.option("--cache-only", "cache", flag_value="only", help="Never ask the model.")
@click.option(
    "--max-cost", "max_cost_usd", type=click.FloatRange(min=0), help="Most that one request may cost, in USD."
)
@pass_screen
def generate(screen: Screen, request: str | None, **options: Any) -> int:
    """Generate a feature, as edits of several files.

    REQUEST says what is wanted. The model plans which files it touches, writes them, and mends what a check finds:
    paths, diffs, syntax, the command that `generation.checks` names for this folder, and that of --check. What is right
    is shown as a diff; --apply writes it, and --undo takes that back. How far it is goes to standard error. Ends with 1
    where nothing came out right. Starts the daemon where none runs.
    """
    _require_sense(request, options)
    root = workspace_here(options["workspace"])
    undo = Undo(screen.paths.state / "undo")
    if options["undo"] is not None:
        return _undone(screen, undo, root, None if options["undo"] == _LATEST else options["undo"])
    if options["batch"] is not None:
        from beastmode.cli.generate_batch import run_batch

        return run_batch(screen, root, options, undo)
    shown = Stages(screen)
    with life.connected(screen) as client:
        asked = Asked(
            client, root, shown.take, options["check"], options["check_timeout"], undo if options["apply"] else None
        )
        try:
            result = asked.make(params_of(request, root, options))
        except (BeastError, KeyboardInterrupt):
            shown.say_how_to_go_on()
            raise
    show(screen, result, options)
    return 0 if result["edits"] else NOT_RIGHT


class Stages:
    """Shows how far a generation is.

    Args:
        screen: Where.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._id = ""

    def take(self, value: dict[str, Any]) -> None:
        """Takes one value of progress; pieces of a model's text are not shown.

        Args:
            value: `{id, stage, file, message}`.
        """
        self._id = value.get("id") or self._id
        if "message" in value and value.get("stage") != "done" and not self._screen.as_json:
            said = " ".join(value["message"].split())[:160]
            self._screen.note(": ".join(filter(None, (value["stage"], value.get("file"), said))))

    def say_how_to_go_on(self) -> None:
        """Names the command that goes on."""
        if self._id and not self._screen.as_json:
            self._screen.note(f"what was done is kept; go on with: beast generate --resume {self._id}")


def _require_sense(request: str | None, options: dict[str, Any]) -> None:
    """Says what does not go together, before anyone is asked."""
    ways = [name for name in ("batch", "undo") if options[name] is not None]
    ways += ["request"] if request is not None else ["resume"] if options["resume"] and not options["batch"] else []
    tips = ["beast generate --help"]
    if not ways or (request is not None and not request.strip()):
        raise BadInputError("What is wanted? Say it in words.", tips=['beast generate "add a --json option"', *tips])
    if len(ways) > 1:
        raise BadInputError(f"{' and '.join(sorted(ways))} do not go together.", tips=tips)
    if request is not None and options["resume"]:
        raise BadInputError("A generation that goes on has its request already.", tips=tips)
    if options["apply"] and options["diff"]:
        raise BadInputError("--apply and --diff do not go together.", tips=tips)


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


def params_of(request: str | None, root: Path, options: dict[str, Any]) -> dict[str, Any]:
    """What `generate` is asked.

    Args:
        request: In the person's words; None: one goes on.
        root: The workspace.
        options: Of the command.
    """
    if request is None:
        return {"resume": options["resume"]}
    given = {
        "request": request,
        "workspace": str(root),
        "files": [str(Path(one).absolute()) for one in options["files"]] or None,
        "client": "beast",
        **{name: options[name] for name in ("model", "cache", "max_cost_usd")},
    }
    return {name: value for name, value in given.items() if value is not None}


def show(screen: Screen, result: dict[str, Any], options: dict[str, Any]) -> None:
    """Shows what came of a request.

    Args:
        screen: Where.
        result: Of `Asked.make`.
        options: Of the command.
    """
    if screen.as_json:
        screen.json(result)
        return
    screen.note(result["summary"])
    for problem in result.get("problems", []):
        screen.note(problem)
    for path in result.get("applied", []):
        screen.note(f"wrote {path}")
    if "undo" in result:
        screen.note(f"take it back with: beast generate --undo {result['undo']}")
    else:
        for edit in result["edits"]:
            screen.write(edit["diff"])
    screen.note(figures.answer_line(result))


def _undone(screen: Screen, undo: Undo, root: Path, name: str | None) -> int:
    done = undo.undo(root, name)
    if screen.as_json:
        screen.json(done)
    else:
        for path in done["restored"]:
            screen.say(f"restored {path}")
        if not done["restored"]:
            screen.say("nothing had to be restored")
    return 0
