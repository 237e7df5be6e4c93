"""`beast rpc`: any method of the socket, by hand."""

from __future__ import annotations

import json
from typing import Any

import click

from beastmode.cli import prompts
from beastmode.cli.command import Command, pass_screen
from beastmode.cli.completing import method_names
from beastmode.cli.screen import Screen
from beastmode.core.errors import BadInputError

_EXAMPLES = """
\b
beast rpc chat '{"message": "hello"}'
"""


@click.command(cls=Command, epilog=_EXAMPLES)
@click.argument("method", shell_complete=method_names)
@click.argument("params", metavar="[JSON]", required=False)
@click.option("--progress", is_flag=True, help="Print progress too, as one JSON value a line on standard error.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0, min_open=True), help="Longest wait, in seconds.")
@pass_screen
def rpc(screen: Screen, method: str, params: str | None, progress: bool, timeout_s: float | None) -> None:
    """Call any METHOD of the daemon.

    [JSON] holds the parameters; the result is printed as JSON. Without [JSON], or with `-`, the parameters come from
    standard input, where something is piped in. `beast rpc rpc.discover` describes all methods.
    """
    given = params if params not in (None, "-") else prompts.piped(screen, required=params == "-")

    def show(value: Any) -> None:
        screen.note(json.dumps(value, ensure_ascii=False))

    with screen.client() as client:
        screen.json(client.call(method, _parsed(given), show if progress else None, timeout_s))


def _parsed(text: str | None) -> dict[str, Any] | list[Any] | None:
    if text is None or not text.strip():
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInputError(
            f"The parameters are no JSON: {error}.", tips=["""beast rpc chat '{"message": "hello"}'"""]
        ) from None
    if not isinstance(value, dict | list):
        raise BadInputError(
            "The parameters are a JSON object or array.", tips=["""beast rpc chat '{"message": "hello"}'"""]
        )
    return value
