"""The `beast` command: a thin client of the daemon; one file a group of commands, loaded when asked for."""

from __future__ import annotations

import os
import sys

from beastmode.cli.screen import Screen
from beastmode.core.errors import CODES, BeastError

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
    screen = Screen(sys.stdout, sys.stderr, os.environ)
    try:
        code = _run(screen, sys.argv[1:] if args is None else args)
        screen.flush()
    except BeastError as error:
        screen.error(error)
        return CODES[error.kind].exit
    except KeyboardInterrupt:
        if args is None:
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
