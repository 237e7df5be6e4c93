"""How often the next request is guessed, on drawn days at an editor, beside two simpler ways of guessing.

Run `python -P bench/prediction.py [--seeds 1,2,3] [--days 1,6] [--json FILE]`. Each request is guessed before it is
learned from; measured is the last of the days, so 1 is the first day with the program and 6 a day after a week.
What the predictor sees is what the daemon sees: symbols are found in the texts, by the daemon's own code. Recurring:
the same action on the same symbol, or the same question, was asked before.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))  # so that `bench` is found, however this file is run

from beastmode.background.accuracy import Accuracy
from beastmode.background.activity import Activity, digest_of
from beastmode.background.predicting import Predictor
from beastmode.background.symbols import Symbols, symbol_of
from bench.day import DAY_S, Day, Step, draw

RESULTS = Path(__file__).parent / "results" / "prediction.json"
BEGAN_S = 20_000 * DAY_S
WORKSPACE, USER = "/project", "me"
TOPS = ("top1", "top5")
WAYS = ("predictor", "frequency_only", "last_only")

OnFile = Callable[[str, str, list[str]], None]


class Seen:
    """What the daemon would note of a day.

    Args:
        day: The day.
        on_file: Is told the symbols of files.
    """

    def __init__(self, day: Day, on_file: OnFile) -> None:
        self._day = day
        self._texts = dict(day.files)
        self._symbols = Symbols()
        self._on_file = on_file

    def activities(self) -> Iterator[tuple[Step, Activity]]:
        """Every activity, with the step that it comes from, as they happen."""
        for step in self._day.steps:
            for one in self._of(step):
                yield step, one

    def _of(self, step: Step) -> Iterator[Activity]:
        def told(kind: Any, symbol: str = "", path: str = step.path) -> Activity:
            return Activity(at_s=BEGAN_S + step.at_s, kind=kind, workspace=WORKSPACE, path=path, symbol=symbol)

        if step.event == "request":
            yield self._request(step)
        elif step.event == "open":
            self._look(step.path)
            yield told("opened")
        elif step.event == "edit":
            if not self._symbols.known(WORKSPACE, step.path) and step.path in self._texts:
                self._look(step.path)
            self._texts[step.path] = step.text
            yield told("edited", self._symbols.at(WORKSPACE, step.path, step.first_line + 1))
        elif step.event == "save":
            yield from [told("saved", symbol) for symbol in self._look(step.path)] or [told("saved")]
        else:
            self._texts.update(step.files)
            yield told("switched")
            for path in step.files:
                if self._symbols.known(WORKSPACE, path):
                    yield from [told("switched", symbol, path) for symbol in self._look(path)]

    def _request(self, step: Step) -> Activity:
        symbol = ""
        if step.symbol:
            self._look(step.path)
            symbol = symbol_of(step.path, self._texts[step.path], step.first_line, step.last_line)
        return Activity(
            at_s=BEGAN_S + step.at_s,
            kind="chat" if step.action == "chat" else "action",
            action="" if step.action == "chat" else step.action,
            workspace=WORKSPACE,
            path=step.path,
            symbol=symbol,
            question=digest_of(step.text),
            user=USER,
        )

    def _look(self, path: str) -> list[str]:
        symbols, changed = self._symbols.look(WORKSPACE, path, self._texts[path])
        self._on_file(WORKSPACE, path, symbols)
        return changed


def measure(seed: int, days: int) -> dict[str, Any]:
    """Goes through the days of a seed; the last one counts.

    Returns:
        `{seed, days, requests, unforeseeable, recurring_unforeseeable, recurring_foreseen, predictor, ..., guess_ms,
        learn_ms}`, the last two in CPU time. `recurring_foreseen` is the share in the first five of those recurring
        requests that were not drawn without regard to what came before.
    """
    predictor, accuracy, before = Predictor(), Accuracy(), Accuracy()
    guess_ms, learn_ms = [], []
    noise = noisy_recurring = hits = 0
    for step, one in Seen(draw(seed, days), predictor.file).activities():
        counts = step.at_s >= (days - 1) * DAY_S
        if one.is_request:
            began_s = time.thread_time()
            guesses = [guess.identity for guess in predictor.guesses(one.at_s)]
            guess_ms.append((time.thread_time() - began_s) * 1e3)
            if counts:
                recurs = one.identity in before.counts or one.identity in accuracy.counts
                noise += step.noise
                noisy_recurring += step.noise and recurs
                hits += recurs and not step.noise and one.identity in guesses
            if not counts:
                before.measure(guesses, one.identity)
            else:
                accuracy.counts = accuracy.counts or dict(before.counts)
                accuracy.measure(guesses, one.identity)
        began_s = time.thread_time()
        predictor.observe(one)
        learn_ms.append((time.thread_time() - began_s) * 1e3)
    usual = accuracy.predictor.recurring.n - noisy_recurring
    return {
        "seed": seed,
        "days": days,
        "requests": accuracy.predictor.all.n,
        "unforeseeable": noise,
        "recurring_unforeseeable": noisy_recurring,
        "recurring_foreseen": round(hits / usual, 4) if usual else None,
        **{way: getattr(accuracy, way).shares() for way in WAYS},
        "guess_ms": _middle(guess_ms),
        "learn_ms": _middle(learn_ms),
    }


def _middle(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {"p50": round(ordered[len(ordered) // 2], 3), "p99": round(ordered[int(len(ordered) * 0.99)], 3)}


def together(rows: list[dict[str, Any]], way: str, part: str | None, name: str) -> float:
    """A share over several seeds, each request counting once."""
    found = [row[way] if part is None else row[way][part] for row in rows]
    return float(sum(one[name] * one["n"] for one in found if one["n"]) / max(1, sum(one["n"] for one in found)))


def in_sum(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The shares of all seeds together."""
    parts = ((None, ""), ("recurring", "recurring_"))
    return {
        way: {f"{prefix}{name}": round(together(rows, way, part, name), 4) for part, prefix in parts for name in TOPS}
        for way in WAYS
    }


def show(rows: list[dict[str, Any]], days: int) -> None:
    """Prints a table."""
    requests, noise = sum(row["requests"] for row in rows), sum(row["unforeseeable"] for row in rows)
    recurring = sum(row["predictor"]["recurring"]["n"] for row in rows)
    noisy = sum(row["recurring_unforeseeable"] for row in rows)
    print(f"\nday {days}: {requests} requests of {len(rows)} seeds, {noise} of them nobody could have known;")
    print(f"{recurring} recurring, {noisy} of them nobody could have known")
    print(f"{'':16}{'top 1':>8}{'top 5':>8}{'recurring: top 1':>20}{'top 5':>8}")
    for way in WAYS:
        shares = [together(rows, way, part, name) for part in (None, "recurring") for name in ("top1", "top5")]
        print(f"{way:16}{shares[0]:8.1%}{shares[1]:8.1%}{shares[2]:20.1%}{shares[3]:8.1%}")


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--days", default="1,6")
    parser.add_argument("--json", type=Path, default=RESULTS)
    asked = parser.parse_args()
    found: dict[str, dict[str, Any]] = {}
    for days in map(int, asked.days.split(",")):
        rows = [measure(int(seed), days) for seed in asked.seeds.split(",")]
        show(rows, days)
        found[f"day_{days}"] = {f"seed_{row['seed']}": row for row in rows} | {"together": in_sum(rows)}
    asked.json.parent.mkdir(exist_ok=True)
    asked.json.write_text(json.dumps(found, indent=1) + "\n")
    last = [row for table in found.values() for name, row in table.items() if name != "together"]
    slowest = max(row["guess_ms"]["p99"] for row in last), max(row["learn_ms"]["p99"] for row in last)
    print(f"\nCPU time of a guess: {last[-1]['guess_ms']['p50']} ms (p99 {slowest[0]})", end="; ")
    print(f"of learning from an event: p99 {slowest[1]} ms")


if __name__ == "__main__":
    main()
