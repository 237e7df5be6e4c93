"""The `beast` command: a thin client of the daemon; one file a group of commands, loaded when asked for."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from beastmode.cli.screen import Screen

INTERRUPTED = 130
BROKEN_PIPE = 141


def main(args: list[str] | None = None) -> int:
    """Runs one command line.

    Args:
        args: The words after `beast`; by default those of this process.

    Returns:
        The exit code; `beast --help` lists them.
    """
    if sys.platform == "win32":
        sys.stderr.write("error: BEAST MODE runs on Linux and macOS; on Windows, install it inside WSL 2.\n")
        return 1
    words = sys.argv[1:] if args is None else args
    if words[:1] == ["lsp"] and not set(words[1:]) - {"--stdio"}:
        # Every window of every editor keeps one of these: it goes past everything else, for the sake of its memory.
        from beastmode.cli import lsp_shim

        return lsp_shim.run()
    return _answer(words, own_process=args is None)


def _answer(words: list[str], own_process: bool) -> int:
    from beastmode.cli.screen import Screen
    from beastmode.core.errors import CODES, BeastError

    screen = Screen(sys.stdout, sys.stderr, os.environ)
    try:
        code = _run(screen, words)
        screen.flush()
    except BeastError as error:
        screen.error(error)
        return CODES[error.kind].exit
    except KeyboardInterrupt:
        if own_process:
            _ignore_more()
        screen.note("\ninterrupted")
        return INTERRUPTED
    except BrokenPipeError:
        screen.give_up_stdout()
        return BROKEN_PIPE
    return code


def _ignore_more() -> None:
    """A second Ctrl-C while the first one ends this process would only show a traceback."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run(screen: Screen, words: list[str]) -> int:
    if words in (["status"], ["status", "--json"], ["--json", "status"]):
        # Prompts and editors' status lines ask this all day: it goes past click, whose import costs 30 ms.
        from beastmode.cli import status

        screen.as_json = len(words) > 1
        return status.show(screen)
    from beastmode.cli import root

    return root.run(screen, words)
