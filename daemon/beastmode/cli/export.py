"""`beast requests export`: the ledger as NDJSON or CSV, oldest first, a page at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from beastmode.cli import ages, figures, tabular
from beastmode.cli.command import Command, pass_screen
from beastmode.cli.completing import model_names
from beastmode.cli.outfile import replacing
from beastmode.cli.screen import Screen

if TYPE_CHECKING:
    from beastmode.client import Client

PAGE = 500
_REDRAW_S = 0.1
_TELL_S = 5.0
_OUTCOMES = ("success", "failure", "refused", "cancelled")
_ORIGINS = ("person", "warming", "shadow", "judge", "probe", "test", "all")
COLUMNS = (
    *("request_id", "at", "origin", "outcome", "error_kind", "model", "model_served", "deployment", "provider"),
    *("cache.result", "cache.tier", "similarity", "confidence"),
    *("usage.prompt_tokens", "usage.completion_tokens", "usage.cached_tokens", "usage.cache_write_tokens"),
    *("usage.reasoning_tokens", "cost_usd", "price_source", "price", "saved_usd", "saved_route_usd"),
    *("latency_ms", "ttft_ms", "overhead_ms"),
    *("attempts", "fell_back", "stream", "user", "workspace", "client", "session_id", "tags", "route", "error_tip"),
)
_EXAMPLES = """
\b
beast requests export > requests.ndjson
beast requests export --since 2026-11-01 --until 2026-12-01 --format csv -o november.csv
beast requests export --outcome failure --since 7d | jq .error_kind
"""


@click.command("export", cls=Command, epilog=_EXAMPLES)
@click.option("--since", metavar="TIME", help="Only from this time on: 7d, 2026-11-20, or 2026-11-20T09:00:00Z.")
@click.option("--until", metavar="TIME", help="Only before this time, written alike.")
@click.option(
    "-m", "--model", help="Only those that asked for this model, or that it answered.", shell_complete=model_names
)
@click.option("--outcome", type=click.Choice(_OUTCOMES), help="Only those that ended so.")
@click.option(
    "--origin", type=click.Choice(_ORIGINS), default="all", show_default=True, help="Only those that this caused."
)
@click.option("--client", metavar="DOOR", help="Only those of this door.")
@click.option("--workspace", metavar="DIR", help="Only those about this workspace.")
@click.option("--user", metavar="NAME", help="Only those of this caller.")
@click.option("--error-kind", metavar="KIND", help="Only those that ended with this kind of error.")
@click.option(
    "--format",
    "form",
    type=click.Choice(("ndjson", "csv")),
    default="ndjson",
    show_default=True,
    help="One JSON object a line, or a table.",
)
@click.option("-o", "--output", metavar="FILE", help="Write to FILE, which only you can read; else to standard output.")
@pass_screen
def export_rows(screen: Screen, form: str, output: str | None, **filters: Any) -> None:
    """Write all rows of the ledger, oldest first.

    Every origin is in it unless --origin says otherwise. Rows that come while it runs are not. An export goes on from
    an earlier one with --since and the `at` of its last row; that row comes again, and its `request_id` tells.
    An -o FILE is replaced when everything is written, and not before.
    """
    for name in ("since", "until"):
        if filters[name] is not None:
            filters[name] = ages.since(filters[name])
    params = {name: value for name, value in filters.items() if value is not None}
    with screen.client() as client:
        export = Export(screen, client, params, form == "csv")
        try:
            if output is None or output == "-":
                for piece in export.pieces():
                    screen.write(piece)
                return
            target = Path(output)
            with replacing(target, f"beast requests export > {output}") as out:
                for piece in export.pieces():
                    out.write(piece.encode(errors="replace"))
                written = out.tell()
        except KeyboardInterrupt:  # while a page was awaited, or while one was written
            export.tell_where_to_go_on()
            raise
    if screen.as_json:
        screen.json({"path": str(target.absolute()), "requests": export.done, "bytes": written})
    else:
        screen.say(f"exported {figures.count(export.done, 'request')} to {output}, {figures.size(written)}")


class Export:
    """One export.

    Args:
        screen: Where progress goes.
        client: A client.
        params: Which rows, as `requests.export` takes it.
        as_csv: As a table; else as one JSON object a line.

    Attributes:
        done: How many rows were written.
        last_at: When the last of them started.
    """

    def __init__(self, screen: Screen, client: Client, params: dict[str, Any], as_csv: bool) -> None:
        self.done = 0
        self.last_at: str | None = None
        self._screen = screen
        self._client = client
        self._params = params
        self._as_csv = as_csv
        self._shown_s = time.monotonic()
        self._is_drawn = False

    def pieces(self) -> Iterator[str]:
        """The text, a page at a time."""
        total, after = None, None
        try:
            if self._as_csv:
                yield tabular.line(COLUMNS)
            while True:
                params = self._params if after is None else {**self._params, "after": after}
                page = self._client.call("requests.export", {**params, "limit": PAGE})
                yield "".join(self._line(row) for row in page["requests"])
                self._count(page["requests"])
                total = page.get("total") if after is None else total
                self._tell(total)
                after = page["next"]
                if after is None:
                    return
        finally:
            self._end()

    def tell_where_to_go_on(self) -> None:
        """Says what was written when it is interrupted, and how to have the rest."""
        self._end()
        self._screen.note(f"stopped after {figures.count(self.done, 'request')}; go on with: {self._resume()}")

    def _count(self, rows: list[dict[str, Any]]) -> None:
        self.done += len(rows)
        if rows:
            self.last_at = rows[-1]["at"]

    def _resume(self) -> str:
        return f"beast requests export --since {self.last_at}" if self.last_at else "beast requests export"

    def _line(self, row: dict[str, Any]) -> str:
        if self._as_csv:
            return tabular.line(tabular.picked(row, name.split(".")) for name in COLUMNS)
        return json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"

    def _tell(self, total: int | None) -> None:
        now_s = time.monotonic()
        if now_s - self._shown_s < (_REDRAW_S if self._screen.can_overwrite else _TELL_S):
            return
        self._shown_s = now_s
        of = f" of {total:,}, {100 * self.done / total:.0f}%" if total else ""
        text = f"exported {self.done:,}{of}"
        if not self._screen.can_overwrite:
            self._screen.note(text)
        elif not self._screen.is_terminal:  # rows on the same terminal are progress enough
            self._is_drawn = True
            self._screen.overwrite(text)

    def _end(self) -> None:
        if self._is_drawn:
            self._screen.overwrite("")
            self._is_drawn = False
