"""`beast cost`: what the models cost, and what was saved."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import click

from beastmode.cli import tabular
from beastmode.cli.command import Command, Group, pass_screen
from beastmode.cli.completing import model_names
from beastmode.cli.outfile import put
from beastmode.cli.screen import Screen

BY = ("model", "project", "user", "session", "tag", "day", "client", "provider", "month")
_MONTH = re.compile(r"[12]\d{3}-(0[1-9]|1[0-2])")
_TOKENS = ("prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
_COLUMNS = (
    *("requests", "success", "failure", "refused", "cancelled", "hits"),
    *(f"tokens.{name}" for name in _TOKENS),
    *("cost_usd", "unknown", "saved_usd", "saved_route_usd", "baseline", "latency_ms"),
)
_EXAMPLES = """
\b
beast cost report                                    this month so far
beast cost report --month 2026-11 --html -o november.html
beast cost report --window 7d --by project
beast cost report --month 2026-11 --by tag --csv
"""


def _month(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not _MONTH.fullmatch(value):
        raise click.BadParameter(f"{value!r} is no month; write it as 2026-11")
    return value


@click.group(cls=Group, default="report")
def cost() -> None:
    """Show what the models cost, and what was saved.

    Alone it reports the current month.
    """


@cost.command(cls=Command, epilog=_EXAMPLES)
@click.option(
    "--month", metavar="YYYY-MM", callback=_month, help="Costs of a month, in UTC [default: the current one]."
)
@click.option("--window", type=click.Choice(("1h", "24h", "7d", "30d")), help="Costs of a window that ends now.")
@click.option("--from", "since", metavar="TIME", help="Costs since this day or time: 2026-11-20, 2026-11-20T09:00:00Z.")
@click.option("--to", "until", metavar="TIME", help="Costs before this day or time.")
@click.option("--by", type=click.Choice(BY), default="model", show_default=True, help="One line for each of these.")
@click.option("-m", "--model", help="Only what this model was asked, or answered.", shell_complete=model_names)
@click.option("--project", metavar="DIR", help="Only what is about this workspace.")
@click.option("--user", metavar="NAME", help="Only what this caller asked.")
@click.option("--html", "form", flag_value="html", help="As one page that needs nothing else, to keep, print or send.")
@click.option("--csv", "form", flag_value="csv", help="As a table for a spreadsheet, the total in its last line.")
@click.option("-o", "--output", metavar="FILE", help="Write to FILE, which only you can read; else to standard output.")
@pass_screen
def report(screen: Screen, form: str | None, output: str | None, **wanted: Any) -> None:
    """Report the costs of a month.

    Costs of every origin count, also of what the daemon does by itself; requests are those of persons. A cost that
    nobody knows is counted apart and is in no sum. Savings are what stored answers had cost. The sums are those of the
    dashboard and of `beast rpc metrics.get`, for the same time.
    """
    if form and screen.as_json:
        raise click.UsageError("--json, --html and --csv exclude each other.", click.get_current_context())
    names = {"since": "from", "until": "to"}
    params = {names.get(name, name): value for name, value in wanted.items() if value is not None}
    with screen.client() as client:
        found = client.call("cost.statement", params)
    if form == "html":
        from beastmode.cli import cost_html

        put(screen, output, [cost_html.page(found)], "the report")
    elif form == "csv":
        put(screen, output, table(found), "the report")
    elif screen.as_json:
        _put_json(screen, found, output)
    else:
        from beastmode.cli import cost_text

        if output is None or output == "-":
            cost_text.show(screen, found)
        else:
            put(screen, output, [cost_text.text(found)], "the report")


def _put_json(screen: Screen, found: Mapping[str, Any], output: str | None) -> None:
    import json

    if output is None or output == "-":
        return screen.json(found)
    screen.as_json = False
    return put(screen, output, [json.dumps(found, indent=2, ensure_ascii=False) + "\n"], "the report")


def table(found: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a report as CSV; the total has an empty name and `total` before it.

    Args:
        found: From `cost.statement`.
    """
    yield tabular.line(("line", found["by"], *_COLUMNS))
    for kind, one in [*(("row", row) for row in found["rows"]), ("total", found["total"])]:
        key = one.get("key")
        yield tabular.line((kind, key, *(tabular.picked(one, name.split(".")) for name in _COLUMNS)))
