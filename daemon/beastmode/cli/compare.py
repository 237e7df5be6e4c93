"""`beast models compare`: the same prompts for several models, side by side."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import click

from beastmode.cli import figures, life, prompt_file
from beastmode.cli.command import Command, pass_screen
from beastmode.cli.completing import model_names
from beastmode.cli.outfile import put
from beastmode.cli.screen import Screen

INTERRUPTED, FAILED = 130, 5
_TEXT_LINES = 12
_HEAD = ("MODEL", "ANSWERED", "LATENCY", "FIRST TEXT", "PROMPT TOKENS", "ANSWER TOKENS", "COST")
_EXAMPLES = """
\b
beast models compare custom:qwen openai:gpt-4o-mini --prompts prompts.txt
beast models compare custom:qwen local:smollm2 --prompt "Write a haiku about sockets"
beast models compare custom:qwen openai:gpt-4o --prompts prompts.txt --html -o compared.html
"""


@click.command("compare", cls=Command, epilog=_EXAMPLES)
@click.argument("models", nargs=-1, required=True, metavar="A B...", shell_complete=model_names)
@click.option("--prompts", metavar="FILE", help="Ask these, one a line; - is standard input.")
@click.option("--prompt", "prompt", multiple=True, metavar="TEXT", help="Ask this; may be repeated.")
@click.option("--system", metavar="TEXT", help="What each model is told before every prompt.")
@click.option("--max-tokens", type=click.IntRange(min=1), default=1024, show_default=True, help="Longest answer.")
@click.option("--temperature", type=float, help="How free the answers are, as the models understand it.")
@click.option(
    "--cache",
    type=click.Choice(("off", "default", "refresh", "only")),
    default="off",
    show_default=True,
    help="What the cache may do; off: every model answers.",
)
@click.option("--full", is_flag=True, help="Show answers whole, however long they are.")
@click.option("--html", "as_html", is_flag=True, help="As one page that needs nothing else.")
@click.option("-o", "--output", metavar="FILE", help="Write to FILE, which only you can read; else to standard output.")
@pass_screen
def compare(
    screen: Screen,
    models: tuple[str, ...],
    prompts: str | None,
    prompt: tuple[str, ...],
    full: bool,
    as_html: bool,
    output: str | None,
    **options: Any,
) -> int:
    """Ask the models A B... the same, and show what they say, take and cost.

    The models work side by side, the prompts come one after another. An answer that fails is shown with its cause, and
    the rest goes on. Ctrl-C ends it and shows what there is. The requests have the origin `test`: they count in no rate
    and in no health, and their costs are shown apart. The exit code is 5 where an answer failed.
    """
    context = click.get_current_context()
    asked = [*prompt, *(prompt_file.read(prompts) if prompts is not None else [])]
    if not asked:
        raise click.UsageError("What are they to be asked? Give --prompts FILE or --prompt TEXT.", context)
    if len(set(models)) < 2 or len(set(models)) < len(models):
        raise click.UsageError("Name two or more models, each once.", context)
    if as_html and screen.as_json:
        raise click.UsageError("--json and --html exclude each other.", context)
    params = {"models": list(models), "prompts": asked, **{k: v for k, v in options.items() if v is not None}}
    found, interrupted = _compared(screen, params)
    if as_html:
        from beastmode.cli import compare_html

        put(screen, output, [compare_html.page(found)], "the comparison")
    elif screen.as_json and output in (None, "-"):
        screen.json(found)
    elif screen.as_json:
        import json

        screen.as_json = False
        put(screen, output, [json.dumps(found, indent=2, ensure_ascii=False) + "\n"], "the comparison")
    else:
        show(screen, found, full)
    if interrupted:
        screen.note("interrupted; this is what there was")
        return INTERRUPTED
    return FAILED if any(one["failed"] for one in found["models"]) else 0


def _compared(screen: Screen, params: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """The whole comparison, or what there was of it when it was interrupted."""
    heard = Heard(screen, params)
    with life.connected(screen) as client:
        try:
            return client.call("models.compare", params, heard.take), False
        except KeyboardInterrupt:
            return heard.so_far(), True
        finally:
            heard.end()


class Heard:
    """The answers as they come, so that none is lost.

    Args:
        screen: Where it says how far it is.
        params: Of `models.compare`.
    """

    def __init__(self, screen: Screen, params: dict[str, Any]) -> None:
        self._screen = screen
        self._models: list[str] = params["models"]
        self._prompts: list[str] = params["prompts"]
        self._answers: dict[tuple[int, str], dict[str, Any]] = {}
        self._is_drawn = False

    def take(self, value: Any) -> None:
        """Takes one progress value."""
        if not isinstance(value, dict) or "answer" not in value:
            return
        self._answers[value["prompt"], value["model"]] = value["answer"]
        if self._screen.as_json:
            return
        text = f"{value['done']} of {value['total']}: {value['model']} {_ended(value['answer'])}"
        if self._screen.can_overwrite:
            self._is_drawn = True
            self._screen.overwrite(text[:79])
        else:
            self._screen.note(text)

    def end(self) -> None:
        """Takes the line off the terminal."""
        if self._is_drawn:
            self._screen.overwrite("")

    def so_far(self) -> dict[str, Any]:
        """What came, in the shape of the whole result; answers that did not come are left out."""
        prompts = []
        for number, prompt in enumerate(self._prompts):
            answers = [self._answers[number, model] for model in self._models if (number, model) in self._answers]
            if answers:
                prompts.append({"prompt": prompt, "answers": answers})
        models = [
            _summary(model, [one for (_, who), one in self._answers.items() if who == model]) for model in self._models
        ]
        return {"models": models, "prompts": prompts, "interrupted": True}


def _summary(model: str, answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    import statistics

    good = [one for one in answers if one["ok"]]
    costs = [one["cost_usd"] for one in good]
    known = [cost for cost in costs if cost is not None]

    def median(name: str) -> float | None:
        values = [one[name] for one in good if one[name] is not None]
        return statistics.median(values) if values else None

    def total(name: str) -> int | None:
        values = [(one.get("usage") or {}).get(name) for one in good]
        known = [value for value in values if value is not None]
        return sum(known) if known and len(known) == len(values) else None

    return {
        "model": model,
        "answered": len(good),
        "failed": len(answers) - len(good),
        "latency_ms": median("latency_ms"),
        "ttft_ms": median("ttft_ms"),
        "prompt_tokens": total("prompt_tokens"),
        "completion_tokens": total("completion_tokens"),
        "cost_usd": round(sum(known), 9) if known or not costs else None,
        "unknown": len(costs) - len(known),
    }


def _ended(answer: Mapping[str, Any]) -> str:
    return figures.duration(answer["latency_ms"]) if answer["ok"] else f"failed: {answer['error']['message']}"


def show(screen: Screen, found: Mapping[str, Any], full: bool) -> None:
    """Prints the answers to each prompt, then what they add up to.

    Args:
        screen: Where.
        found: From `models.compare`.
        full: Cut no answer.
    """
    columns = shutil.get_terminal_size((100, 24)).columns if screen.is_terminal else 100
    for number, one in enumerate(found["prompts"], 1):
        screen.say(screen.paint(f"{number}. {' '.join(one['prompt'].split())}", "bold"))
        for answer in one["answers"]:
            _show_answer(screen, answer, columns, full)
        screen.say()
    screen.table(_HEAD, [cells(one) for one in found["models"]], "nothing was compared")


def _show_answer(screen: Screen, answer: Mapping[str, Any], columns: int, full: bool) -> None:
    if not answer["ok"]:
        screen.say(f"  {screen.paint(answer['model'], 'red')}: {answer['error']['message']}")
        for tip in answer["error"].get("tip") or []:
            screen.say(f"    try: {tip}")
        return
    parts = [figures.duration(answer["latency_ms"]), f"first text {figures.duration(answer['ttft_ms'])}"]
    parts += [figures.tokens(answer["usage"]), figures.cost(answer["cost_usd"])]
    screen.say(f"  {screen.paint(answer['model'], 'green')}  {' · '.join(parts)}")
    lines = [
        piece for line in answer["text"].splitlines() for piece in textwrap.wrap(line, max(20, columns - 4)) or [""]
    ]
    for line in lines if full else lines[:_TEXT_LINES]:
        screen.write(f"    {line}\n")
    if not full and len(lines) > _TEXT_LINES:
        screen.say(f"    and {figures.count(len(lines) - _TEXT_LINES, 'line')} more: --full")


def cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    """The sums of a model as the cells of a table.

    Args:
        one: From `models` of the result.
    """
    tokens = ["unknown" if one[name] is None else f"{one[name]:,}" for name in ("prompt_tokens", "completion_tokens")]
    answered = f"{one['answered']} of {one['answered'] + one['failed']}"
    if not one["answered"]:
        return (one["model"], answered, "-", "-", "-", "-", figures.usd(one["cost_usd"]))
    more = "+" if one["unknown"] and one["cost_usd"] is not None else ""
    times = figures.duration(one["latency_ms"]), figures.duration(one["ttft_ms"])
    return (one["model"], answered, *times, *tokens, figures.usd(one["cost_usd"]) + more)
