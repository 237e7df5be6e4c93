"""The tree of commands, the text of `beast --help`, and how click's own complaints are worded."""

from __future__ import annotations

import os

import click

from beastmode import __version__
from beastmode.cli.command import Group
from beastmode.cli.screen import Screen
from beastmode.core.errors import BadInputError

_HERE = "beastmode.cli"
_COMMANDS = {
    "start": "life_commands:start",
    "stop": "life_commands:stop",
    "restart": "life_commands:restart",
    "status": "life_commands:status",
    "health": "health:health",
    "ask": "ask:ask",
    "chat": "chat:chat",
    "context": "context:context",
    "action": "action:action",
    "complete": "action:complete",
    "generate": "generate:generate",
    "models": "models:models",
    "prices": "prices:prices",
    "workspace": "workspace:workspace",
    "dashboard": "dashboard:dashboard",
    "lsp": "lsp:lsp",
    "requests": "requests:requests",
    "errors": "requests:errors",
    "monitor": "monitor:monitor",
    "cost": "cost:cost",
    "load-test": "load_test:load_test",
    "sessions": "sessions:sessions",
    "cache": "cache:cache",
    "patterns": "patterns:patterns",
    "forget": "forget:forget",
    "config": "config:config",
    "plugins": "plugins:plugins",
    "token": "token:token",
    "rpc": "rpc:rpc",
    "completion": "completion:completion",
    "demo": "demo:demo",
}

_EPILOG = """
\b
Exit codes:
  0  ok                       5  upstream failed (network, provider)
  1  failure                  6  over budget
  2  wrong usage or input     7  timeout
  3  daemon not running       8  degraded   (beast health, beast status)
  4  key or access refused    9  unhealthy  (beast health, beast status)
  130  interrupted            141  the reader of standard output went away

\b
Begin with:
  beast demo                          see it work, leaving nothing behind
  beast models add openai:gpt-4o      register a model
  beast ask "What does EAGAIN mean?"
"""


@click.group(
    cls=Group,
    name="beast",
    lazy={name: f"{_HERE}.{place}" for name, place in _COMMANDS.items()},
    epilog=_EPILOG,
)
@click.version_option(__version__, prog_name="beast", message="%(prog)s %(version)s", help="Print the version.")
def beast() -> None:
    """One local daemon between your tools and every language model you use."""


def run(screen: Screen, words: list[str]) -> int:
    """Runs a command line through click.

    Args:
        screen: Where it prints.
        words: The words after `beast`.

    Returns:
        The exit code.

    Raises:
        BeastError: What went wrong; wrong usage comes as BadInputError.
        KeyboardInterrupt: Ctrl-C, also at a question.
    """
    if instruction := os.environ.get("_BEAST_COMPLETE"):
        from click.shell_completion import shell_complete

        return shell_complete(beast, {"obj": screen}, "beast", "_BEAST_COMPLETE", instruction)
    try:
        with beast.make_context("beast", list(words), obj=screen) as context:
            code = beast.invoke(context)
    except click.exceptions.NoArgsIsHelpError as error:
        screen.say(error.format_message())
        return 0
    except click.UsageError as error:
        raise _usage(error) from None
    except click.ClickException as error:
        raise BadInputError(error.format_message()) from None
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    return code if isinstance(code, int) else 0


def _usage(error: click.UsageError) -> BadInputError:
    command = error.ctx.command_path if error.ctx else "beast"
    return BadInputError(error.format_message(), tips=[f"{command} --help"])
