"""`beast load-test`: how a model does under load: times, failures and costs, as somebody who waits sees them."""

from __future__ import annotations

import difflib
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from beastmode.cli import figures, life
from beastmode.cli.command import Command, pass_screen
from beastmode.cli.completing import model_names
from beastmode.cli.screen import Screen
from beastmode.core.errors import CODES, UnknownModelError

if TYPE_CHECKING:
    from beastmode.cli.load import Load
    from beastmode.client import Client

INTERRUPTED, FAILED = 130, 5
_BAR, _WIDTH = 30, 40
_REDRAW_S = 0.1
_PROMPTS = (
    "What does EAGAIN mean? Answer in one sentence.",
    "Write a regular expression for an ISO date. Only the expression.",
    "Name three ways to speed up a SQL query, briefly.",
    "What is the difference between a process and a thread? One sentence.",
    "Write a haiku about sockets.",
    "Explain idempotency to a new colleague in two sentences.",
    "Which HTTP status fits a request that comes too often? Only the number.",
    "Write a Python function that reverses a list in place.",
    "What is a race condition? One sentence and one example.",
    "Give a shell command that counts the lines of all Python files here.",
)
_EXAMPLES = """
\b
beast load-test --model custom:qwen --requests 100 --concurrency 10
beast load-test --model openai:gpt-4o-mini --requests 50 --stream --max-cost-usd 0.10
beast load-test --model custom:qwen --prompts prompts.txt --cache default
"""


def _most(context: click.Context, parameter: click.Parameter, value: str) -> float | None:
    """An amount of dollars; None for `any`."""
    if value == "any":
        return None
    try:
        amount = float(value)
    except ValueError:
        amount = -1.0
    if not 0 <= amount < 1e9:
        raise click.BadParameter(f"{value!r} is no amount of dollars; write it as 0.50, or `any`")
    return amount


@click.command("load-test", cls=Command, epilog=_EXAMPLES)
@click.option("-m", "--model", required=True, help="Whom to ask.", shell_complete=model_names)
@click.option(
    "-n", "--requests", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="How many requests."
)
@click.option(
    "-c", "--concurrency", type=click.IntRange(1, 1_000), default=10, show_default=True, help="How many at once."
)
@click.option(
    "--prompts", metavar="FILE", help="Ask these in turns, one a line; - is standard input [default: 10 of ours]."
)
@click.option(
    "--cache",
    type=click.Choice(("off", "default", "refresh", "only")),
    default="off",
    show_default=True,
    help="What the cache may do; off: the model answers every request.",
)
@click.option("--stream", is_flag=True, help="Stream the answers, and measure the time to the first text.")
@click.option("--max-tokens", type=click.IntRange(min=1), default=256, show_default=True, help="Longest answer.")
@click.option(
    "--max-cost-usd",
    "max_cost_usd",
    metavar="USD",
    callback=_most,
    default="1.00",
    show_default=True,
    help="Spend no more than this; `any`: no bound, also where no price is known.",
)
@pass_screen
def load_test(
    screen: Screen,
    model: str,
    requests: int,
    concurrency: int,
    prompts: str | None,
    cache: str,
    stream: bool,
    max_tokens: int,
    max_cost_usd: float | None,
) -> int:
    """Put a model under load and measure.

    Shows requests a second, how long they took (p50, p95, p99 and a histogram), failures by kind with what to do, and
    what it cost. Ctrl-C ends it and shows what was measured. The requests have the origin `test`: they count in no
    rate and in no health, and their costs are shown apart. The exit code is 5 where requests failed, and 6 where the
    bound of the costs ended it.
    """
    import asyncio

    from beastmode.cli import prompt_file
    from beastmode.cli.load import Load, Plan

    asked = list(_PROMPTS) if prompts is None else prompt_file.read(prompts)
    options = {"cache": cache, "stream": stream, "max_tokens": max_tokens, "origin": "test"}
    plan = Plan(model, requests, min(concurrency, requests), asked, options, max_cost_usd)
    with life.connected(screen) as client:
        require_models(client, [model])
    bar = _Bar(screen, requests)
    load = Load(str(screen.paths.rpc_socket), plan, lambda: bar.show(load))
    asyncio.run(load.run())
    bar.end()
    return _told(screen, load)


def require_models(client: Client, wanted: list[str]) -> None:
    """Says before anything is sent that a model is not registered.

    Args:
        client: A client.
        wanted: Ids of models, or `auto`.

    Raises:
        UnknownModelError: One is not, with the nearest names.
    """
    known = [one["id"] for one in client.call("models.list")["models"]]
    for model in wanted:
        if model == "auto" and known:
            continue
        if model not in known:
            near = difflib.get_close_matches(model, known, n=1, cutoff=0.5)
            tips = [f"did you mean {one}" for one in near] or [f"beast models add {model}"]
            raise UnknownModelError(f"There is no model `{model}`.", tips=[*tips, "beast models"], model=model)


def _told(screen: Screen, load: Load) -> int:
    report = load.measured.report(load.stopped)
    if screen.as_json:
        screen.json(report)
    else:
        show(screen, report)
    screen.flush()
    if load.stopped == "interrupted":
        screen.note(f"interrupted after {load.measured.ended:,} of {report['requests']:,} requests")
        return INTERRUPTED
    if load.problem is not None:
        screen.error(load.problem)
        return CODES[load.problem.kind].exit
    return FAILED if load.measured.failed else 0


def show(screen: Screen, report: Mapping[str, Any]) -> None:
    """Prints what was measured.

    Args:
        screen: Where.
        report: From `Load.report`.
    """
    of = "" if report["ended"] == report["requests"] else f" of {report['requests']:,}"
    rate = "unknown" if report["requests_per_s"] is None else f"{report['requests_per_s']:.1f}"
    took = figures.duration(1e3 * report["took_s"])
    screen.say(f"{report['model']}: {report['ended']:,} requests{of} in {took}, {report['concurrency']} at once")
    screen.say(f"success     {report['success']:,}, {rate} a second")
    if report["failure"]:
        screen.say(f"failed      {screen.paint(format(report['failure'], ','), 'red')}")
    if report["success"]:
        screen.say(f"latency     {_times(report['latency_ms'])}")
        if report["stream"]:
            screen.say(f"first text  {_times(report['ttft_ms'])}")
        screen.say(f"tokens      {_tokens(report)}")
        results = ", ".join(f"{count:,} {result}" for result, count in report["cache_results"].items())
        screen.say(f"cache       {results}")
    unknown = f", and {figures.count(report['unknown'], 'request')} of unknown cost" if report["unknown"] else ""
    screen.say(f"cost        {figures.usd(report['cost_usd'])}{unknown}")
    _show_histogram(screen, report["histogram"])
    for one in report["errors"]:
        screen.say(f"{screen.paint(one['kind'], 'red')}: {figures.count(one['count'], 'time')}, {one['message']}")
        for tip in one["tip"]:
            screen.say(f"  try: {tip}")


def _times(spread: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {figures.duration(spread[name])}" for name in ("p50", "p95", "p99", "max"))


def _tokens(report: Mapping[str, Any]) -> str:
    parts = ["unknown" if count is None else f"{count:,}" for count in report["tokens"].values()]
    speed = report["completion_tokens_per_s"]
    return f"{parts[0]} of prompts, {parts[1]} of answers" + (f", {speed:,.0f} a second" if speed else "")


def _show_histogram(screen: Screen, steps: list[dict[str, Any]]) -> None:
    if not steps:
        return
    most = max(step["count"] for step in steps)
    labels = [f"{figures.duration(one['from_ms'])} - {figures.duration(one['to_ms'])}" for one in steps]
    width = max(map(len, labels))
    screen.say()
    for label, step in zip(labels, steps, strict=True):
        bar = "█" * round(_WIDTH * step["count"] / most) or ("▏" if step["count"] else "")
        screen.say(f"{label:>{width}}  {bar} {step['count']:,}".rstrip())


class _Bar:
    """How far it is, on standard error: redrawn on a terminal, a line every ten percent elsewhere."""

    def __init__(self, screen: Screen, total: int) -> None:
        self._screen = screen
        self._total = total
        self._tenth = 0
        self._drawn_s = 0.0

    def show(self, load: Load) -> None:
        """Says how far it is now."""
        if self._screen.as_json:
            return
        now_s = time.monotonic()
        if self._screen.can_overwrite:
            if load.measured.ended < self._total and now_s - self._drawn_s < _REDRAW_S:
                return
            self._drawn_s = now_s
            filled = int(_BAR * load.measured.ended / self._total)
            self._screen.overwrite(f"[{'#' * filled}{'-' * (_BAR - filled)}] {self._text(load)}")
        elif (tenth := 10 * load.measured.ended // self._total) > self._tenth:
            self._tenth = tenth
            self._screen.note(self._text(load))

    def end(self) -> None:
        """Takes the bar off the terminal."""
        if self._drawn_s:
            self._screen.overwrite("")

    def _text(self, load: Load) -> str:
        rate = load.measured.ended / load.took_s if load.took_s else 0.0
        failed = f", {load.measured.failed:,} failed" if load.measured.failed else ""
        cost = f", {figures.usd(load.measured.cost_usd)}" if load.measured.cost_usd else ""
        return f"{load.measured.ended:,} of {self._total:,}, {rate:.1f}/s{failed}{cost}"
