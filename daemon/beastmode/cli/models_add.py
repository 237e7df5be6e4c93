"""`beast models add`: flags and standard input for scripts, questions for what is missing at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from beastmode.cli import life
from beastmode.cli.command import Command, pass_screen
from beastmode.cli.completing import model_names
from beastmode.cli.models import show_test
from beastmode.cli.screen import Screen
from beastmode.core.errors import BadInputError, BeastError

if TYPE_CHECKING:
    from beastmode.client import Client

KEYED = ("openai", "anthropic")
_EXAMPLES = """
\b
beast models add                                    asks for everything
beast models add openai:gpt-4o                      asks for the key
beast models add custom:qwen --base-url http://127.0.0.1:11434/v1 --model qwen2.5-coder:7b
beast models add anthropic:claude-sonnet-4-5 --key-stdin < key.txt
"""


def _refuse_key(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    raise BadInputError(
        "A key on the command line can be read by every user of this machine and stays in the shell's history; "
        "it was not used.",
        tips=[
            "beast models add ID              (asks for the key without showing it)",
            "beast models add ID --key-stdin  (reads it from standard input)",
            "replace that key at its provider if others use this machine",
        ],
    )


@click.command(cls=Command, epilog=_EXAMPLES)
@click.argument("id", required=False)
@click.option("--base-url", metavar="URL", help="Where it is served; needed for custom:NAME only.")
@click.option("--key-stdin", is_flag=True, help="Read its API key from standard input.")
@click.option(
    "--key", "--api-key", "_key", hidden=True, is_flag=False, flag_value="", callback=_refuse_key, expose_value=False
)
@click.option(
    "--model",
    "--upstream-model",
    "upstream_model",
    metavar="NAME",
    help="Its name there [default: the part of ID after the colon].",
)
@click.option("--price-prompt", type=click.FloatRange(min=0), metavar="USD", help="Price of a million prompt tokens.")
@click.option(
    "--price-completion", type=click.FloatRange(min=0), metavar="USD", help="Price of a million answer tokens."
)
@click.option(
    "--context", "context_tokens", type=click.IntRange(min=1), metavar="N", help="Longest prompt and answer, in tokens."
)
@click.option("--max-concurrent", type=click.IntRange(min=1), metavar="N", help="Most requests at once.")
@click.option(
    "--fallback",
    multiple=True,
    metavar="ID",
    help="A model that may stand in for it; may be repeated.",
    shell_complete=model_names,
)
@click.option("--another", is_flag=True, help="Keep the endpoints that the model has, and add this one.")
@click.option("--no-test", is_flag=True, help="Register it without testing the endpoint.")
@pass_screen
def add(screen: Screen, id: str | None, **given: Any) -> None:
    """Register the model ID, and test it first.

    ID is `custom:NAME`, `openai:NAME`, `anthropic:NAME` or `local:NAME`. The test (reachable, key valid, model known,
    reply well-formed) says exactly what failed. At a terminal it asks for what is missing. A key goes to the system's
    keyring, or encrypted to disk, and nowhere else.
    """
    asks = sys.stdin.isatty() and screen.can_overwrite and not given["key_stdin"] and not screen.as_json
    params = _params(id, given)
    if given["key_stdin"]:
        params["key"] = clean_key(sys.stdin.read())
    with life.connected(screen) as client:
        if asks:
            from beastmode.cli import wizard

            params = wizard.complete(screen, client, params)
        _check(params)
        _register(screen, client, params, asks)


def _params(id: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of `models.add`, without those that were not given."""
    price = {"prompt": given["price_prompt"], "completion": given["price_completion"]}
    limits = {"context_tokens": given["context_tokens"], "max_concurrent": given["max_concurrent"]}
    params = {
        "id": id,
        "base_url": given["base_url"],
        "upstream_model": given["upstream_model"],
        "price": price if any(value is not None for value in price.values()) else None,
        "limits": limits if any(limits.values()) else None,
        "fallback": list(given["fallback"]) or None,
        "another": given["another"] or None,
        "test": False if given["no_test"] else None,
    }
    return {name: value for name, value in params.items() if value is not None}


def clean_key(text: str) -> str:
    """A key as it was pasted or piped, without the blank space around it.

    Raises:
        BadInputError: It is empty or more than one word.
    """
    words = text.split()
    if len(words) != 1 or not words[0].isascii() or not words[0].isprintable():
        what = "empty" if not words else "no single word of printable ASCII"
        raise BadInputError(f"The key is {what}.", tips=["beast models add ID --key-stdin < file-with-the-key"])
    return words[0]


def _check(params: Mapping[str, Any]) -> None:
    model = params.get("id")
    if not model:
        raise BadInputError(
            "Which model?",
            tips=[
                "beast models add openai:gpt-4o --key-stdin < key.txt",
                "beast models add custom:NAME --base-url URL",
            ],
        )
    needs_key = model.partition(":")[0] in KEYED and "base_url" not in params and params.get("test", True)
    if needs_key and "key" not in params:
        raise BadInputError(
            f"{model} needs a key, and there is no terminal to ask for it.",
            tips=[f"beast models add {model} --key-stdin < file-with-the-key"],
        )


def _register(screen: Screen, client: Client, params: dict[str, Any], asks: bool) -> None:
    try:
        reply = client.call("models.add", params)
    except BeastError as error:
        tested = error.details.get("test")
        if not tested or screen.as_json:
            raise
        show_test(screen, tested)
        screen.flush()
        if not asks:
            raise
        screen.error(error)
        if not click.confirm("Register it anyway?", default=False, err=True):
            raise BadInputError(f"{params['id']} was not registered.") from None
        reply = client.call("models.add", {**params, "test": False})
    _show_added(screen, reply, params["id"])


def _show_added(screen: Screen, reply: Mapping[str, Any], id: str) -> None:
    if screen.as_json:
        return screen.json(reply)
    if reply.get("test"):
        show_test(screen, reply["test"])
    screen.say(f"registered {id}{'' if reply.get('test') else ' (untested)'}")
    if reply.get("note"):
        screen.note(reply["note"])
    screen.note(f'try: beast ask "Write a haiku about sockets" -m {id}')
    return None
