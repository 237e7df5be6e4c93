"""`beast action` and `beast complete`: what editors do with code, from the command line."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from beastmode.cli import applying, figures, life
from beastmode.cli.command import Command, pass_screen
from beastmode.cli.completing import model_names
from beastmode.cli.screen import Screen
from beastmode.core.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from beastmode.client import Client

KINDS = ("explain", "fix", "refactor", "docstring", "tests", "generate", "ask")
ROOT_MARKS = (".beastmode.toml", ".git")
_EXAMPLES = """
\b
beast action explain src/shelf.py --lines 3-9
beast action fix src/shelf.py --diagnostic "12: undefined name 'math'" --apply
beast action refactor src/shelf.py -i "use a dict" --diff | git apply
"""
_COMPLETE_EXAMPLES = """
\b
beast complete src/shelf.py --at 12:9
"""


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of both commands."""
    options = [
        click.option("--stdin", is_flag=True, help="Take the file's text from standard input, as an editor holds it."),
        click.option(
            "-w",
            "--workspace",
            type=click.Path(file_okay=False),
            help="The folder that answers belong to [default: the nearest one above the file with .beastmode.toml or "
            ".git in it, else the file's own].",
        ),
        click.option(
            "-m",
            "--model",
            help="Who is to answer [default: the setting routing.default_model].",
            shell_complete=model_names,
        ),
        click.option("--no-cache", "cache", flag_value="off", help="Ask the model, and store nothing."),
        click.option("--refresh", "cache", flag_value="refresh", help="Ask the model, and store the new answer."),
        click.option("--cache-only", "cache", flag_value="only", help="Never ask the model."),
        click.option("--max-tokens", type=click.IntRange(min=1), help="Longest answer, in tokens."),
        click.option("--temperature", type=float, help="How free the answer is, as the model understands it."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command(cls=Command, epilog=_EXAMPLES)
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("path", type=click.Path(dir_okay=False))
@click.option("--lines", metavar="FIRST[-LAST]", help="The lines that are meant [default: the whole file].")
@click.option("--at", metavar="LINE[:COLUMN]", help="A cursor: the block around it, or where `generate` writes.")
@click.option("-i", "--instruction", help="What is wanted, in your words.")
@click.option("--diagnostic", "diagnostics", metavar="[LINE:]MESSAGE", multiple=True, help="A problem to be mended.")
@click.option("--apply", "apply", is_flag=True, help="Write the edits to the files.")
@click.option("--diff", "diff", is_flag=True, help="Print the edits alone, as a diff.")
@_shared
@pass_screen
def action(
    screen: Screen, kind: str, path: str, instruction: str | None, apply: bool, diff: bool, **options: Any
) -> None:
    """Explain, fix, refactor, document, test or write code.

    KIND is what is wanted, PATH the file. `explain` and `ask` answer with text; the others with a diff, which is shown
    and changes nothing unless --apply is given. The same action on the same text is one request to the model, from
    here and from every editor. Lines and columns count from 1. Starts the daemon where none runs; the line after the
    answer (model, time, tokens, cost, cache) goes to standard error.
    """
    if apply and diff:
        raise BadInputError("--apply and --diff do not go together.", tips=["beast action --help"])
    params = {
        **_asked(screen, path, options),
        "kind": kind,
        "range": _range(options["lines"], options["at"]),
        "instruction": instruction,
        "diagnostics": [_diagnostic(one) for one in options["diagnostics"]] or None,
    }
    _require_lines(params)
    talks = kind in ("explain", "ask")
    with life.connected(screen) as client:
        result = _answer(screen, client, "action", params, shown=talks and not screen.as_json)
    if apply:
        result["applied"] = applying.apply(Path(params["workspace"]), result["edits"])
    if screen.as_json:
        screen.json(result)
    elif not talks:
        _show_edits(screen, result, diff)
    if not screen.as_json:
        screen.note(figures.answer_line(result))


@click.command(cls=Command, epilog=_COMPLETE_EXAMPLES)
@click.argument("path", type=click.Path(dir_okay=False))
@click.option("--at", metavar="LINE[:COLUMN]", help="Where to write on [default: the end of the file].")
@_shared
@pass_screen
def complete(screen: Screen, path: str, at: str | None, **options: Any) -> None:
    """Write on at a place in a file, and print what belongs there.

    PATH is the file; it stays as it is. Lines and columns count from 1. Starts the daemon where none runs.
    """
    params = _asked(screen, path, options)
    documents = params.pop("documents")
    text = documents[0]["text"] if documents else applying.read(Path(path))
    split = _offset(text, at)
    params |= {"prefix": text[:split], "suffix": text[split:]}
    with life.connected(screen) as client:
        result = _answer(screen, client, "complete", params, shown=False)
    if screen.as_json:
        screen.json(result)
        return
    screen.write(result["text"] if result["text"].endswith("\n") else result["text"] + "\n")
    screen.note(figures.answer_line(result))


def _asked(screen: Screen, path: str, options: dict[str, Any]) -> dict[str, Any]:
    """What both methods take."""
    file = Path(path).absolute()
    workspace = Path(options["workspace"]).absolute() if options["workspace"] else workspace_of(file)
    documents = None
    if options["stdin"]:
        documents = [{"path": str(file), "text": sys.stdin.buffer.read().decode(errors="replace")}]
    shaping = {name: options[name] for name in ("model", "cache", "max_tokens", "temperature")}
    return {"path": str(file), "workspace": str(workspace), "documents": documents, "client": "beast", **shaping}


def workspace_of(file: Path) -> Path:
    """The workspace that a file is taken to belong to.

    Args:
        file: An absolute path.

    Returns:
        The nearest folder above it that holds `.beastmode.toml` or `.git`, else its own.
    """
    marked = (folder for folder in file.parents if any((folder / mark).exists() for mark in ROOT_MARKS))
    return next(marked, file.parent)


def _answer(screen: Screen, client: Client, method: str, params: dict[str, Any], shown: bool) -> dict[str, Any]:
    """Asks, and shows the text as it comes where it is for a person."""
    said, streamed = "", False

    def show(value: Any) -> None:
        nonlocal said, streamed
        said, streamed = value.get("delta") or said, True
        screen.write(said)

    given = {name: value for name, value in params.items() if value is not None}
    try:
        result: dict[str, Any] = client.call(method, {**given, "stream": shown}, show if shown else None)
    except BaseException:
        if said and not said.endswith("\n"):
            screen.write("\n")
        raise
    if shown:
        said = said or result["text"]
        screen.write(("" if streamed else said) + ("" if said.endswith("\n") else "\n"))
    return result


def _show_edits(screen: Screen, result: dict[str, Any], diff: bool) -> None:
    """The edits as a diff; the answer itself where there are none."""
    screen.note(result["summary"])
    for path in result.get("applied", []):
        screen.note(f"wrote {path}")
    if "applied" in result and result["edits"]:
        return
    for edit in result["edits"]:
        screen.write(edit["diff"])
    if not result["edits"] and not diff:
        screen.write(result["text"] if result["text"].endswith("\n") else result["text"] + "\n")


def _range(lines: str | None, at: str | None) -> dict[str, Any] | None:
    if lines is not None and at is not None:
        raise BadInputError("--lines and --at do not go together.", tips=["beast action --help"])
    if lines is not None:
        found = re.fullmatch(r"(\d+)(?:[-:,](\d+))?", lines.strip())
        if found is None or int(found[1]) < 1 or int(found[2] or found[1]) < int(found[1]):
            raise BadInputError(f"--lines {lines!r} names no lines.", tips=["--lines 3-9"])
        first, last = int(found[1]), int(found[2] or found[1])
        return {"start": {"line": first - 1, "character": 0}, "end": {"line": last, "character": 0}}
    if at is None:
        return None
    line, column = _place(at)
    place = {"line": line - 1, "character": column - 1}
    return {"start": place, "end": place}


def _require_lines(params: dict[str, Any]) -> None:
    """Lines that a file does not have would mean others."""
    if params["range"] is None:
        return
    documents, first = params["documents"], params["range"]["start"]["line"]
    text = documents[0]["text"] if documents else applying.read(Path(params["path"]))
    ends = len(re.findall(r"\r\n|\r|\n", text))
    cursor = params["range"]["start"] == params["range"]["end"]
    count = ends if ends and text.endswith(("\r", "\n")) and not cursor else ends + 1
    if first >= count:
        raise BadInputError(f"{params['path']} has no line {first + 1}.", tips=[f"name a line from 1 to {count}"])


def _place(at: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)(?::(\d+))?", at.strip())
    if found is None or int(found[1]) < 1 or int(found[2] or 1) < 1:
        raise BadInputError(f"--at {at!r} names no place.", tips=["--at 12:5"])
    return int(found[1]), int(found[2] or 1)


def _diagnostic(said: str) -> dict[str, Any]:
    found = re.fullmatch(r"\s*(\d+)\s*:\s*(.+)", said, re.DOTALL)
    if found is None or int(found[1]) < 1:
        return {"message": said}
    start = {"line": int(found[1]) - 1, "character": 0}
    return {"message": found[2], "range": {"start": start, "end": start}}


def _offset(text: str, at: str | None) -> int:
    """The offset of a place; beyond the end of a line, or of the text, it is that end."""
    if at is None:
        return len(text)
    line, column = _place(at)
    starts = [0, *(found.end() for found in re.finditer(r"\r\n|\r|\n", text))]
    if line > len(starts):
        return len(text)
    end = re.compile(r"[\r\n]|$").search(text, starts[line - 1])
    return min(starts[line - 1] + column - 1, end.start() if end is not None else len(text))
