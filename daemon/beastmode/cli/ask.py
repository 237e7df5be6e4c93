"""`beast ask`: one question, one answer."""

from __future__ import annotations

import click

from beastmode.cli import context, life, prompts, sources
from beastmode.cli.command import Command, pass_screen
from beastmode.cli.completing import model_names
from beastmode.cli.screen import Screen

_EXAMPLES = """
\b
beast ask "Write a regex for ISO dates"
git diff | beast ask "Review this" -m openai:gpt-4o
beast ask "Where is a stale answer detected?" --workspace .
"""


@click.command(cls=Command, epilog=_EXAMPLES)
@click.argument("prompt", nargs=-1)
@click.option(
    "-m", "--model", help="Who is to answer [default: the setting routing.default_model].", shell_complete=model_names
)
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False),
    help="Show the model this file.",
)
@sources.about_workspace
@click.option("--no-cache", "cache", flag_value="off", help="Ask the model, and store nothing.")
@click.option("--refresh", "cache", flag_value="refresh", help="Ask the model, and store the new answer.")
@click.option("--cache-only", "cache", flag_value="only", help="Never ask the model.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Longest answer, in tokens.")
@click.option("--temperature", type=float, help="How free the answer is, as the model understands it.")
@click.option("--no-stream", is_flag=True, help="Print the answer when it is whole.")
@pass_screen
def ask(
    screen: Screen,
    prompt: tuple[str, ...],
    model: str | None,
    files: tuple[str, ...],
    workspace: str | None,
    no_context: bool,
    show_context: bool,
    no_model: bool,
    cache: str | None,
    max_tokens: int | None,
    temperature: float | None,
    no_stream: bool,
) -> None:
    """Ask one question and print the answer.

    PROMPT is the question; `-`, or none, reads it from standard input, and what is piped in beside it goes along.
    Starts the daemon where none runs. The line after the answer (model, time, tokens, cost, cache) goes to standard
    error.
    """
    text = prompts.question(screen, prompt)
    options = {
        "model": model,
        "cache": cache,
        "max_tokens": max_tokens,
        "temperature": temperature,
        **prompts.attached(files, workspace),
        **sources.options_of(workspace, no_context=no_context, no_model=no_model),
    }
    with life.connected(screen) as client:
        if show_context:
            root = sources.workspace_here(options.get("workspace"))
            context.show(screen, context.preview(client, text, root, files))
        if screen.as_json:
            screen.json(client.chat(text, **options))
        else:
            prompts.answer(screen, client, text, not no_stream, **options)
