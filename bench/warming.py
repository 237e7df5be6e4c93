"""Warming: the same days at an editor with it and without, through a real daemon and a model server of usual slowness.

`python -P bench/warming.py [--seeds 1 2 3] [--days 1] [--pace 12] [--json FILE]`. The days are drawn by `bench/day.py`,
which knows nothing of the daemon. The figures are those of the last day; with one day, all that is known of the person
is what the day itself has shown so far. All replays run side by side.

Time is compressed: the daemon's own clock runs `pace` times faster (`bench/warming_clock.py`), so that its settings are
those that a user has; a step that comes after t seconds is made after t / pace, and the model takes its time divided by
the pace. What the daemon computes is not compressed: it weighs `pace` times what it would. Pauses of over a minute
are cut to one, and the wall clock jumps over the rest: warming has less idle time than there would be. Latencies are
told as they would be at the usual pace.

A first request is one that the daemon without warming could not answer from its cache. Recurring: the same action on
the same symbol was seen before.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib
import json
import math
import random
import statistics
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]  # the days, and the daemon as tests have it

draw = importlib.import_module("bench.day").draw
Daemon = importlib.import_module("support.daemon").Daemon

STARTING = threading.Lock()  # on few cores, daemons that start at once keep each other from it
MODEL = "custom:coder"
PAUSE_MAX_S = 60.0
MEDIAN_S, SPREAD = 6.0, 0.5
MONDAY_S = 1_795_392_000.0  # midnight before the first day, UTC
WORDS = "def done(found):\n    return found\n"


class Model:
    """A model server that takes about as long as a small model on a desktop, for one caller at a time.

    Args:
        pace: How much faster than usual it is.
        seed: Draws how long each answer takes; the same prompt takes as long again.
    """

    def __init__(self, pace: float, seed: int) -> None:
        self._pace = pace
        self._seed = seed
        self.url = ""
        self.calls = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)

    def __enter__(self) -> Model:
        self._thread.start()
        assert self._ready.wait(10), "the model server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _main(self) -> None:
        self._loop, self._stop, self._one = asyncio.get_running_loop(), asyncio.Event(), asyncio.Lock()
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/chat/completions", self._chat)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    def _takes_s(self, body: dict[str, Any]) -> float:
        digest = hashlib.sha256(f"{self._seed} {json.dumps(body['messages'])}".encode()).hexdigest()
        return MEDIAN_S * math.exp(SPREAD * random.Random(digest).gauss(0, 1)) / self._pace

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        async with self._one:
            self.calls += 1
            await asyncio.sleep(self._takes_s(body))
        usage = {"prompt_tokens": len(json.dumps(body["messages"])) // 4, "completion_tokens": 120, "total_tokens": 120}
        head = {"id": "c1", "created": 1, "model": body["model"]}
        if not body.get("stream"):
            message = {"role": "assistant", "content": f"```python\n{WORDS}```"}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            return web.json_response({**head, "object": "chat.completion", "choices": choices, "usage": usage})
        delta = {"index": 0, "delta": {"role": "assistant", "content": f"```python\n{WORDS}```"}, "finish_reason": None}
        end = {"index": 0, "delta": {}, "finish_reason": "stop"}
        reply = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await reply.prepare(request)
        for part in ({"choices": [delta]}, {"choices": [end]}, {"choices": [], "usage": usage}):
            event = {**head, "object": "chat.completion.chunk", **part}
            await reply.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        await reply.write(b"data: [DONE]\n\n")
        return reply


@dataclass
class Asked:
    """One request of the day and what became of it."""

    number: int
    day: int
    action: str
    recurring: bool
    noise: bool
    latency_s: float
    result: str


class Skipping:
    """The wall clock of a hastened daemon, from outside.

    Args:
        file: Where it reads what to add.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._skipped_s = MONDAY_S + 9 * 3600.0
        self.skip(0.0)

    def skip(self, seconds: float) -> None:
        """Lets it jump."""
        self._skipped_s += max(0.0, seconds)
        with self.file.open("r+b" if self.file.exists() else "wb") as file:
            file.write(struct.pack("d", self._skipped_s))


class Replay:
    """One developer's days, played into a daemon as an editor would.

    Args:
        day: Drawn.
        daemon: Asked.
        clock: Its wall clock.
        folder: Becomes the workspace.
        pace: How much faster than usual.
    """

    def __init__(self, day: Any, daemon: Any, clock: Skipping, folder: Path, pace: float) -> None:
        self._day = day
        self._clock = clock
        self._client = daemon.client()
        self._folder = folder
        self._pace = pace
        self._held: dict[str, str] = {}
        self._seen: set[tuple[str, str, str, str]] = set()
        self.asked: list[Asked] = []

    def run(self) -> None:
        """Plays all steps."""
        for path, text in self._day.files.items():
            self._write(path, text)
        self._client.call("workspace.open", {"path": str(self._folder), "wait": True})
        last_s = self._day.steps[0].at_s
        for number, step in enumerate(self._day.steps):
            gap_s = min(step.at_s - last_s, PAUSE_MAX_S)
            self._clock.skip(step.at_s - last_s - gap_s)
            time.sleep(gap_s / self._pace)
            last_s = step.at_s
            getattr(self, f"_{step.event}")(number, step)

    def _open(self, number: int, step: Any) -> None:
        self._active(step, "opened")

    def _edit(self, number: int, step: Any) -> None:
        self._held[step.path] = step.text
        self._active(step, "edited")

    def _save(self, number: int, step: Any) -> None:
        if step.path in self._held:
            self._write(step.path, self._held.pop(step.path))
        self._active(step, "saved")

    def _branch(self, number: int, step: Any) -> None:
        for path, text in step.files.items():
            self._write(path, text)

    def _request(self, number: int, step: Any) -> None:
        name = (step.action, step.path, step.symbol, step.text)
        params: dict[str, Any] = {"workspace": str(self._folder), "client": "bench"}
        if step.action == "chat":
            method, params = "chat", {**params, "message": step.text}
        else:
            method, params = "action", {**params, **self._action(step)}
        began_s = time.perf_counter()
        answer = self._client.call(method, params)
        took_s = (time.perf_counter() - began_s) * self._pace
        result = answer["cache"]["result"]
        asked = Asked(number, int(step.at_s // 86_400), step.action, name in self._seen, step.noise, took_s, result)
        self.asked.append(asked)
        self._seen.add(name)

    def _action(self, step: Any) -> dict[str, Any]:
        cursor = {"line": max(step.first_line, 0), "character": 0}
        params: dict[str, Any] = {"kind": step.action, "path": step.path, "range": {"start": cursor, "end": cursor}}
        if step.text:
            params["instruction"] = step.text
        if step.diagnostic:
            params["diagnostics"] = [{"message": step.diagnostic, "range": params["range"]}]
        if step.path in self._held:
            params["documents"] = [{"path": step.path, "text": self._held[step.path], "version": 1}]
        return params

    def _active(self, step: Any, event: str) -> None:
        params: dict[str, Any] = {"workspace": str(self._folder), "path": step.path, "event": event}
        if step.first_line >= 0:
            cursor = {"line": step.first_line, "character": 0}
            params["range"] = {"start": cursor, "end": cursor}
        self._client.call("workspace.active", params)

    def _write(self, path: str, text: str) -> None:
        file = self._folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def settings(warm: bool, remote_usd: float, folder: str) -> str:
    """The daemon's settings: as they are for everybody, but for what is compared."""
    lines = [f'routing.default_model = "{MODEL}"', "http.enabled = false", "lsp.enabled = false"]
    lines += ["[warming]", f"enabled = {str(warm).lower()}"]
    if remote_usd:
        lines += ["[warming.remote]", f'"{folder}" = {remote_usd}']
    return "\n".join(lines) + "\n"


def play(seed: int, days: int, pace: float, warm: bool, remote_usd: float = 0.0) -> dict[str, Any]:
    """One replay; what was asked, and how warming stood at its end."""
    with tempfile.TemporaryDirectory(prefix="day-") as name, Model(pace, seed) as model:
        folder = Path(name).resolve() / "project"
        folder.mkdir()
        clock = Skipping(Path(name, "clock"))
        environ = {"BENCH_PACE": str(pace), "BENCH_CLOCK": str(clock.file), "TZ": "UTC"}
        daemon = Daemon(settings(warm, remote_usd, str(folder)), environ)
        daemon.program = [sys.executable, "-P", str(ROOT / "bench" / "warming_clock.py")]
        with STARTING:
            daemon.start()
        try:
            price = {"price": {"prompt": 0.5, "completion": 1.5}} if remote_usd else {}
            daemon.add(MODEL, model.url, upstream_model="coder", limits={"context_tokens": 16_384}, **price)
            replay = Replay(draw(seed, days), daemon, clock, folder, pace)
            replay.run()
            status = daemon.call("status")["warming"]
            rows = daemon.rows(origin="warming")
            guesses = daemon.call("patterns.get")["accuracy"]
        finally:
            daemon.__exit__()
    cancelled = sum(row["outcome"] == "cancelled" for row in rows)
    costs: dict[str, float] = {}
    for row in rows:
        costs[row["at"][:10]] = costs.get(row["at"][:10], 0.0) + (row["cost_usd"] or 0.0)
    found = {"warming": status, "calls": model.calls, "cancelled": cancelled, "accuracy": guesses, "costs": costs}
    return {"asked": [asdict(one) for one in replay.asked], **found}


def compare(seed: int, days: int, without: dict[str, Any], with_it: dict[str, Any]) -> dict[str, Any]:
    """The figures of the last day."""
    pairs = zip(without["asked"], with_it["asked"], strict=True)
    last = [(off, on) for off, on in pairs if off["day"] == days - 1]
    first = [(off, on) for off, on in last if not is_hit(off)]
    again = [(off, on) for off, on in last if on["recurring"]]
    before, after = (statistics.median(one[side]["latency_s"] for one in first) for side in (0, 1))
    warming = with_it["warming"]
    fresh = [(off, on) for off, on in again if not is_hit(off)]
    return {
        "seed": seed,
        "requests": len(last),
        "first_requests": len(first),
        "first_median_without_s": round(before, 2),
        "first_median_with_s": round(after, 2),
        "first_median_lower": round(1 - after / before, 3),
        "hit_rate_without": share([off for off, _ in last]),
        "hit_rate_with": share([on for _, on in last]),
        "recurring": len(again),
        "recurring_hits_without": share([off for off, _ in again]),
        "recurring_hits_with": share([on for _, on in again]),
        "recurring_first_ready": share([on for _, on in fresh]),
        "of_first_ready": share([on for _, on in first]),
        "precision": warming["precision"],
        "made": warming["made"],
        "used": warming["used"],
        "asked_ahead": warming["asked_today"],
        "gave_way": with_it["cancelled"],
        "cost_usd_a_day": with_it["costs"],
        "budget_usd": warming["budget_usd"],
        "model_calls": {"without": without["calls"], "with": with_it["calls"]},
        "predicted": with_it["accuracy"],
    }


def is_hit(one: dict[str, Any]) -> bool:
    """Whether the cache answered."""
    return bool(one["result"].startswith("hit"))


def share(asked: Sequence[dict[str, Any]]) -> float | None:
    """The share of hits; None of nothing."""
    return round(sum(map(is_hit, asked)) / len(asked), 3) if asked else None


def by_action(without: dict[str, Any], with_it: dict[str, Any]) -> dict[str, list[Any]]:
    """For each action: requests, hits without, hits with."""
    found: dict[str, list[Any]] = {}
    for off, on in zip(without["asked"], with_it["asked"], strict=True):
        row = found.setdefault(on["action"], [0, 0, 0])
        row[0] += 1
        row[1] += is_hit(off)
        row[2] += is_hit(on)
    return found


def both(seed: int, days: int, pace: float, remote_usd: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same days without warming and with it, side by side."""
    with ThreadPoolExecutor(2) as pool:
        without, with_it = pool.map(lambda warm: play(seed, days, pace, warm, remote_usd), (False, True))
    return without, with_it


def main() -> None:
    """Plays all seeds side by side, and prints a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--days", type=int, default=1)
    parser.add_argument("--pace", type=float, default=12.0)
    parser.add_argument("--remote-usd", type=float, default=0.0, help="the model has a price, and this is the budget")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with ThreadPoolExecutor(len(asked.seeds)) as pool:
        played = pool.map(lambda seed: both(seed, asked.days, asked.pace, asked.remote_usd), asked.seeds)
        results = []
        for seed, runs in zip(asked.seeds, played, strict=True):
            results.append({**compare(seed, asked.days, *runs), "by_action": by_action(*runs)})
            print(json.dumps(results[-1]), flush=True)
    if asked.json is not None:
        settings_used = {"pace": asked.pace, "days": asked.days, "pause_max_s": PAUSE_MAX_S, "median_s": MEDIAN_S}
        asked.json.write_text(json.dumps({"settings": settings_used, "days": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
