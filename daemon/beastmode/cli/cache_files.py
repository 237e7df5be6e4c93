"""`beast cache export | import`: stored answers as a file, one JSON object a line."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import click

from beastmode.cli import figures
from beastmode.cli.command import Command, pass_screen
from beastmode.cli.outfile import replacing
from beastmode.cli.screen import Screen
from beastmode.core.errors import BadInputError

if TYPE_CHECKING:
    from beastmode.client import Client

BATCH = 200
BATCH_MAX_BYTES = 1 << 20
LINE_MAX_BYTES = 4 << 20
LEFT_OUT_MAX = 20
_REDRAW_S = 0.1


class Counting:
    """Shows on a terminal how far it is.

    Args:
        screen: Where.
        verb: What is done, such as `exported`.
    """

    def __init__(self, screen: Screen, verb: str) -> None:
        self._screen = screen
        self._verb = verb
        self._drawn_s: float | None = None

    def show(self, answers: int, part: float | None) -> None:
        """Says how many it is now.

        Args:
            answers: How many are done.
            part: Which part of all that is, from 0 to 1; None where nobody knows.
        """
        now_s = time.monotonic()
        if not self._screen.can_overwrite or (self._drawn_s is not None and now_s - self._drawn_s < _REDRAW_S):
            return
        self._drawn_s = now_s
        percent = "" if part is None else f", {100 * min(part, 1):.0f}%"
        self._screen.overwrite(f"{self._verb} {figures.count(answers, 'answer')}{percent}")

    def end(self) -> None:
        """Takes the line off the terminal."""
        if self._drawn_s is not None:
            self._screen.overwrite("")


@click.command("export", cls=Command)
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@pass_screen
def export_entries(screen: Screen, file: str) -> None:
    """Write all stored answers to FILE.

    `-` is standard output. One JSON object a line: prompts, answers, and where they belong. Only you can read FILE; it
    is replaced when everything is written, and not before.
    """
    with screen.client() as client:
        if file == "-":
            for _, text in _pages(screen, client):
                screen.write(text)
            return
        target = Path(file)
        with replacing(target, f"beast cache export - > {file}") as out:
            answers = 0
            for number, text in _pages(screen, client):
                answers += number
                out.write(text.encode())
            written = out.tell()
    if screen.as_json:
        screen.json({"path": str(target.absolute()), "entries": answers, "bytes": written})
    else:
        screen.say(f"exported {figures.count(answers, 'answer')} to {file}, {figures.size(written)}")


def _pages(screen: Screen, client: Client) -> Iterator[tuple[int, str]]:
    """Each page of the cache: how many answers, and their lines."""
    tiers = client.call("cache.stats")
    total = (tiers.get("l2") or tiers.get("l1") or {}).get("entries")
    progress, answers, after = Counting(screen, "exported"), 0, ""
    try:
        while True:
            page = client.call("cache.export", {"after": after, "limit": BATCH})
            entries = page["entries"]
            yield len(entries), "".join(_line(entry) for entry in entries)
            answers += len(entries)
            progress.show(answers, answers / total if total else None)
            after = page["next"]
            if after is None:
                return
    finally:
        progress.end()


def _line(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n"


class LeftOut(NamedTuple):
    """A line that was not imported.

    Attributes:
        line: Its number, from 1.
        why: What is wrong with it.
    """

    line: int
    why: str


@click.command("import", cls=Command)
@click.argument("file", type=click.File("rb"))
@pass_screen
def import_entries(screen: Screen, file: IO[bytes]) -> int:
    """Store the answers of an exported FILE.

    `-` is standard input. An answer that is there already is replaced. A line that is no answer is named and left out;
    the exit code is 1 then. After 20 of them the import stops, and what was imported stays.
    """
    progress = Counting(screen, "imported")
    with screen.client() as client:
        work = Import(screen, client, progress, file)
        try:
            work.run()
        finally:
            progress.end()
    if screen.as_json:
        screen.json({"imported": work.imported, "left_out": [one._asdict() for one in sorted(work.left_out)]})
    else:
        screen.say(f"imported {figures.count(work.imported, 'answer')} from {file.name}")
        if work.left_out:
            screen.note(f"{figures.count(len(work.left_out), 'line')} left out")
    return 1 if work.left_out else 0


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


class Import:
    """One import: reads lines, sends them in batches, and finds the line that a refused batch was refused for.

    Args:
        screen: Where lines that are left out are named.
        client: A client.
        progress: Where to show how far it is.
        source: The file.
    """

    def __init__(self, screen: Screen, client: Client, progress: Counting, source: IO[bytes]) -> None:
        self.imported = 0
        self.left_out: list[LeftOut] = []
        self._screen = screen
        self._client = client
        self._progress = progress
        self._source = source
        self._read_bytes = 0

    def run(self) -> None:
        """Imports everything.

        Raises:
            BadInputError: Too many lines are no answers.
        """
        batch: list[tuple[int, dict[str, Any]]] = []
        size_bytes = 0
        total_bytes = os.fstat(self._source.fileno()).st_size
        for number, line in enumerate(self._lines(), 1):
            if len(batch) == BATCH or size_bytes + len(line) > BATCH_MAX_BYTES:
                self._send(batch)
                batch, size_bytes = [], 0
                self._progress.show(self.imported, self._read_bytes / total_bytes if total_bytes else None)
            if (entry := self._parsed(number, line)) is not None:
                batch.append((number, entry))
                size_bytes += len(line)
        self._send(batch)

    def _lines(self) -> Iterator[bytes]:
        """Each line; of one that is far too long only its beginning, which is longer than a line may be."""
        while line := self._source.readline(LINE_MAX_BYTES + 1):
            rest = line
            while rest and not rest.endswith(b"\n"):
                self._read_bytes += len(rest)
                rest = self._source.readline(LINE_MAX_BYTES)
            self._read_bytes += len(rest)
            yield line

    def _parsed(self, number: int, line: bytes) -> dict[str, Any] | None:
        if not line.strip():
            return None
        if len(line) > LINE_MAX_BYTES:
            self._leave_out(number, f"it has over {figures.size(LINE_MAX_BYTES)}")
            return None
        try:
            entry = json.loads(line, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            entry = None
        if not isinstance(entry, dict):
            self._leave_out(number, "it is no JSON object")
            return None
        return entry

    def _send(self, batch: list[tuple[int, dict[str, Any]]]) -> None:
        """Sends a batch; one that is refused is halved until the bad line is alone."""
        if not batch:
            return
        try:
            self.imported += self._client.call("cache.import", {"entries": [entry for _, entry in batch]})["imported"]
        except BadInputError as error:
            if error.kind != "bad_input":
                raise
            if len(batch) == 1:
                self._leave_out(batch[0][0], error.message.partition(": ")[2] or error.message)
            else:
                middle = len(batch) // 2
                self._send(batch[:middle])
                self._send(batch[middle:])

    def _leave_out(self, line: int, why: str) -> None:
        self.left_out.append(LeftOut(line, why))
        if not self._screen.as_json:
            self._progress.end()
            self._screen.note(f"line {line} is left out: {why}")
        if len(self.left_out) >= LEFT_OUT_MAX:
            raise BadInputError(
                f"Stopped at line {line} of {self._source.name}: {LEFT_OUT_MAX} lines are no exported answers. "
                f"{figures.count(self.imported, 'answer')} imported before.",
                tips=["import what beast cache export wrote"],
                details={"imported": self.imported, "left_out": [one._asdict() for one in sorted(self.left_out)]},
            )
