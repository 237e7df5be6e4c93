"""`beast generate --batch`: many requests one after another, with totals; what fails does not stop the rest."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any, NamedTuple

from beastmode.cli import figures, life
from beastmode.cli.generating import Asked
from beastmode.cli.screen import Screen
from beastmode.cli.undoing import Undo
from beastmode.core.errors import AccessError, BadInputError, BeastError, NotFoundError

REQUESTS_MAX = 10_000
FAILED = 1
_WIDTH = 30
_TIPS = ["one request a line", 'or JSON: {"request": "...", "files": ["src/a.py"]}']


class Wanted(NamedTuple):
    """One request of a batch.

    Attributes:
        line: Where it stands in the file.
        request: In words.
        more: What else its line says: files, model.
    """

    line: int
    request: str
    more: dict[str, Any]


def read_batch(file: str) -> list[Wanted]:
    """Reads requests; blank lines and lines that begin with # are none.

    Args:
        file: Its path; `-` is standard input. A line is a request as it stands, or a JSON object with `request` and,
            if wanted, `files` and `model`.

    Raises:
        AccessError: It can not be read.
        BadInputError: It is no text, or there is no request in it.
    """
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise AccessError(f"{file} can not be read: {error.strerror}.", tips=["name a file with requests"]) from None
    except UnicodeDecodeError:
        raise BadInputError(f"{file} is no UTF-8 text.", tips=_TIPS) from None
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1)]
    found = [_wanted(file, number, line) for number, line in lines if line and not line.startswith("#")]
    if not found:
        raise BadInputError(f"There is no request in {file}.", tips=_TIPS)
    if len(found) > REQUESTS_MAX:
        raise BadInputError(f"{file} has {len(found):,} requests; {REQUESTS_MAX:,} are the most.", tips=["take fewer"])
    return found


def _wanted(file: str, number: int, line: str) -> Wanted:
    if not line.startswith(("{", '"')):
        return Wanted(number, line, {})
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise BadInputError(f"Line {number} of {file} is no JSON.", tips=_TIPS) from None
    value = {"request": value} if isinstance(value, str) else value
    request = next((value[name] for name in ("request", "prompt", "message", "text") if name in value), None)
    files, model = value.get("files", []), value.get("model")
    named = isinstance(files, list) and all(isinstance(one, str) for one in files)
    if not isinstance(request, str) or not request.strip() or not named or not isinstance(model, str | None):
        raise BadInputError(f"Line {number} of {file} is JSON without a request.", tips=_TIPS)
    more = {"files": files, "model": model}
    return Wanted(number, request.strip(), {name: given for name, given in more.items() if given})


class Kept:
    """How far a batch came: a private file under `state/batches/`, so that one that was cut off goes on.

    Args:
        folder: `state/batches`.
        id: Its name; None: a new one.

    Raises:
        NotFoundError: There is none of that name.
    """

    def __init__(self, folder: Path, id: str | None) -> None:
        self.id = id or f"batch_{secrets.token_hex(8)}"
        self._file = folder / f"{self.id}.json"
        self.done: dict[str, dict[str, Any]] = {}
        if id is not None:
            try:
                if not id.removeprefix("batch_").isalnum():
                    raise FileNotFoundError(id)
                self.done = json.loads(self._file.read_bytes())["done"]
            except (OSError, ValueError, KeyError, TypeError):
                raise NotFoundError(f"There is no batch {id!r}.", tips=["begin it anew, without --resume"]) from None

    def add(self, wanted: Wanted, told: dict[str, Any]) -> None:
        """Notes one that is done."""
        self.done[f"{wanted.line}:{wanted.request}"] = told
        fresh = self._file.with_suffix(".new")
        with contextlib.suppress(OSError):  # a batch that can not be resumed is better than none
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump({"version": 1, "done": self.done}, file)
            fresh.replace(self._file)

    def has(self, wanted: Wanted) -> dict[str, Any] | None:
        """What came of one, where it came out right."""
        told = self.done.get(f"{wanted.line}:{wanted.request}")
        return told if told is not None and told["ok"] else None

    def end(self) -> None:
        """All came out right: there is nothing to go on with."""
        with contextlib.suppress(OSError):
            self._file.unlink()


def run_batch(screen: Screen, root: Path, options: dict[str, Any], undo: Undo) -> int:
    """Makes one after another.

    Args:
        screen: Where it is shown.
        root: The workspace.
        options: Of the command.
        undo: Where what is written over is kept.

    Returns:
        0 where all came out right, else 1.

    Raises:
        BeastError: The file can not be read, or the daemon has gone.
    """
    wishes = read_batch(options["batch"])
    kept = Kept(screen.paths.state / "batches", options["resume"])
    bar = Bar(screen, len(wishes))
    told: list[dict[str, Any]] = []
    with life.connected(screen) as client:
        asked = Asked(
            client, root, bar.take, options["check"], options["check_timeout"], undo if options["apply"] else None
        )
        try:
            for number, wanted in enumerate(wishes):
                bar.begin(number, wanted.request)
                told.append(kept.has(wanted) or _one(screen, asked, bar, wanted, root, options))
                kept.add(wanted, told[-1])
        except (BeastError, KeyboardInterrupt):
            bar.end()
            if kept.done and not screen.as_json:
                screen.note(f"go on with: beast generate --batch {options['batch']} --resume {kept.id}")
            raise
    bar.end()
    return _totalled(screen, kept, told)


def _one(screen: Screen, asked: Asked, bar: Bar, wanted: Wanted, root: Path, options: dict[str, Any]) -> dict[str, Any]:
    """One request; what is wrong with it alone is told and not raised."""
    from beastmode.cli.generate import params_of

    given = {**options, **wanted.more}
    if "files" in wanted.more:
        given["files"] = [str(root / one) for one in wanted.more["files"]]
    try:
        result = asked.make(params_of(wanted.request, root, given))
    except BeastError as error:
        if error.kind in ("daemon_not_running", "shutting_down"):
            raise
        result = {"summary": error.message, "edits": [], "error": error.data(), "cost_usd": 0.0, "saved_usd": 0.0}
    bar.end()
    if not screen.as_json:
        mark = screen.paint("ok    ", "green") if result["edits"] else screen.paint("failed", "red")
        screen.note(f"{mark}  line {wanted.line}: {result['summary']}")
        for edit in result["edits"] if "undo" not in result else ():
            screen.write(edit["diff"])
    names = (
        "id",
        "summary",
        "cost_usd",
        "saved_usd",
        "calls",
        "repairs",
        "edits",
        "problems",
        "applied",
        "undo",
        "error",
    )
    found = {name: result[name] for name in names if name in result}
    return {"line": wanted.line, "request": wanted.request, "ok": bool(result["edits"]), **found}


def _totalled(screen: Screen, kept: Kept, told: list[dict[str, Any]]) -> int:
    right = sum(one["ok"] for one in told)
    total: dict[str, Any] = {
        "requests": len(told),
        "ok": right,
        "failed": len(told) - right,
        "calls": sum(one.get("calls", 0) for one in told),
        "cost_usd": _sum([one.get("cost_usd") for one in told]),
        "saved_usd": _sum([one.get("saved_usd") for one in told]),
    }
    if right == len(told):
        kept.end()
    else:
        total["resume"] = kept.id
    if screen.as_json:
        screen.json({"results": told, "total": total})
    else:
        screen.note(
            f"{right} of {figures.count(len(told), 'request')} came out right · "
            f"{figures.count(total['calls'], 'call')} · {figures.cost(total['cost_usd'])} · "
            f"saved {figures.usd(total['saved_usd'])}"
        )
        if right < len(told):
            screen.note(f"try the others again with: --resume {kept.id}")
    return 0 if right == len(told) else FAILED


def _sum(amounts: list[float | None]) -> float | None:
    """Together; what one of them did not tell is unknown."""
    known = [one for one in amounts if one is not None]
    return sum(known) if len(known) == len(amounts) else None


class Bar:
    """How far a batch is: a bar that is redrawn on a terminal, nothing elsewhere.

    Args:
        screen: Where.
        total: How many requests there are.
    """

    def __init__(self, screen: Screen, total: int) -> None:
        self._screen = screen
        self._total = total
        self._done = 0
        self._what = ""
        self._drawn = False

    def begin(self, done: int, what: str) -> None:
        """Begins the next one."""
        self._done, self._what = done, " ".join(what.split())
        self._draw("")

    def take(self, value: dict[str, Any]) -> None:
        """Takes the progress of one."""
        if "message" in value:
            self._draw(" ".join(filter(None, (value.get("stage"), value.get("file")))))

    def end(self) -> None:
        """Takes the bar off the terminal."""
        if self._drawn:
            self._screen.overwrite("")
            self._drawn = False

    def _draw(self, stage: str) -> None:
        if not self._screen.can_overwrite or self._screen.as_json:
            return
        filled = _WIDTH * self._done // self._total
        bar = "#" * filled + "-" * (_WIDTH - filled)
        self._screen.overwrite(f"[{bar}] {self._done} of {self._total}  {self._what[:40]}  {stage}"[:110])
        self._drawn = True
