"""Where a question comes from: the command line, a pipe, attached files; and how its answer is shown."""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beastmode.cli import figures, sources
from beastmode.cli.screen import Screen
from beastmode.core.errors import BadInputError

if TYPE_CHECKING:
    from beastmode.client import ChatResult, Client

PIPE_WAIT_S = 3.0


def piped(screen: Screen, required: bool) -> str | None:
    """What was piped in, or None.

    A pipe that stays silent is left alone after a while, unless its text is required: it is often one that a
    program inherited and nobody will ever close.

    Args:
        screen: Where to say that a pipe is ignored.
        required: Wait for its end, however long that takes.
    """
    source = sys.stdin
    if source is None or source.closed or (source.isatty() and not required):
        return None
    if not required and not _has_something(source.fileno()):
        screen.note(f"nothing came through the pipe within {PIPE_WAIT_S:g} s; going on without it")
        return None
    return source.buffer.read().decode(errors="replace")


def _has_something(file: int) -> bool:
    kind = os.fstat(file).st_mode
    if stat.S_ISREG(kind):
        return True
    if not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)):
        return stat.S_ISCHR(kind)  # /dev/null and its like answer at once
    return bool(select.select([file], [], [], PIPE_WAIT_S)[0])


def question(screen: Screen, words: Sequence[str]) -> str:
    """The prompt: the words of the command line, what was piped in, or both.

    Args:
        screen: Where to say that a pipe is ignored.
        words: From the command line; a single `-` stands for standard input.

    Raises:
        BadInputError: There is neither.
    """
    typed = " ".join(words).encode(errors="replace").decode()  # bytes that are no UTF-8 become question marks
    if typed == "-":
        text = piped(screen, required=True) or ""
    else:
        through = piped(screen, required=not typed)
        text = "\n\n".join(part for part in (typed, (through or "").strip("\n")) if part)
    if not text.strip():
        raise BadInputError(
            "There is no question.", tips=['beast ask "What does EAGAIN mean?"', "git diff | beast ask review this"]
        )
    return text


def attached(files: Sequence[str], workspace: str | None = None) -> dict[str, Any]:
    """The options of `chat` that attach files, whose paths must lie in one workspace.

    Args:
        files: Paths, relative to the current folder.
        workspace: The one that the caller names.

    Returns:
        Nothing without files; else the project around the current folder where they all lie in it, or the folder
        that they share.
    """
    if not files:
        return {}
    paths = [Path(file).resolve() for file in files]
    root = Path(workspace).resolve() if workspace is not None else _project(Path.cwd())
    if workspace is None and not all(path.is_relative_to(root) for path in paths):
        root = Path(os.path.commonpath([path.parent for path in paths]))
    return {"workspace": str(root), "files": [os.path.relpath(path, root) for path in paths]}


def _project(folder: Path) -> Path:
    return next((one for one in (folder, *folder.parents) if (one / ".git").exists()), folder).resolve()


def answer(screen: Screen, client: Client, text: str, stream: bool, **options: Any) -> ChatResult:
    """Asks, shows the answer as it comes, and says in one line what it took.

    Args:
        screen: Where to show it.
        client: Whom to ask.
        text: The question.
        stream: Show the answer as it comes.
        options: As `Client.chat`.

    Raises:
        BeastError: There is no answer.
        KeyboardInterrupt: Ctrl-C; the request was cancelled.
    """
    shown = ""

    def show(piece: str) -> None:
        nonlocal shown
        shown = piece
        screen.write(piece)

    try:
        result = client.chat(text, on_delta=show if stream else None, **options)
    except BaseException:
        if shown and not shown.endswith("\n"):
            screen.write("\n")
        raise
    if not shown:
        shown = result.get("text") or ""
        screen.write(shown)
    if not shown.endswith("\n"):
        screen.write("\n")
    for call in result.get("tool_calls") or []:
        screen.json(call)
    sources.tell(screen, result, asked="workspace" in options and "files" not in options)
    screen.note(figures.answer_line(result))
    return result
