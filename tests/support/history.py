"""A ledger with a past: two days of requests of several models, projects and doors, as an office leaves them."""

from __future__ import annotations

import math
import random
import time
from pathlib import Path

from beastmode.core.clock import Clock
from beastmode.core.rows import Row, RowCache
from beastmode.core.types import Usage
from beastmode.metrics.ledger import Ledger

MODELS = {
    "openai:gpt-4o": (2.5, 10.0, 620.0),
    "anthropic:claude-sonnet-4-5": (3.0, 15.0, 940.0),
    "custom:qwen": (0.2, 0.6, 310.0),
    "local:smollm2": (0.0, 0.0, 1400.0),
}
PROJECTS = ("/srv/ada/compiler", "/srv/ada/website", None)
CLIENTS = ("http:chat", "http:messages", "socket", "http:responses")
ERRORS = {
    "rate_limited": "OpenAI takes no more requests for now (429). Tip: wait 20 s, or register a second key.",
    "timeout": "localhost:8000 did not answer within 60 s. Tip: is the model loaded? curl localhost:8000/v1/models",
    "authentication": "Anthropic refused the key (401). Tip: beast models add anthropic:claude-sonnet-4-5 --key-stdin",
}
NEWEST_S = 20.0


def write(home: Path, count: int = 4000, days: float = 2.0, seed: int = 7) -> list[Row]:
    """Writes requests into the ledger of a home whose daemon does not run.

    Args:
        home: `BEAST_HOME`.
        count: How many.
        days: Over how long, until a moment ago.
        seed: Of the random numbers.

    Returns:
        The rows, oldest first.
    """
    draw = random.Random(seed)
    now_s = time.time()
    ages_s = sorted((_age_s(draw, days) for _ in range(count)), reverse=True)
    rows = [_row(draw, number, now_s - age_s) for number, age_s in enumerate(ages_s)]
    (home / "state").mkdir(mode=0o700, parents=True, exist_ok=True)
    ledger = Ledger(home / "state" / "ledger", Clock())
    ledger.start()
    for row in rows:
        ledger.record(row)
    ledger.close()
    return rows


def _age_s(draw: random.Random, days: float) -> float:
    """More in the afternoon than at night, more today than yesterday."""
    while True:
        age_s = NEWEST_S + draw.random() ** 1.15 * (days * 86_400 - 60)
        hour = time.gmtime(time.time() - age_s).tm_hour
        if draw.random() < 0.25 + 0.75 * max(0.0, math.sin((hour - 5) / 15 * math.pi)):
            return age_s


def _row(draw: random.Random, number: int, at_s: float) -> Row:
    model = draw.choices([*MODELS], (5, 3, 4, 1))[0]
    prompt_usd, completion_usd, typical_ms = MODELS[model]
    words = f"user: prompt {prompt_usd:g}, completion {completion_usd:g}" if prompt_usd else "free"
    usage = Usage(prompt_tokens=draw.randint(80, 4000), completion_tokens=draw.randint(10, 900))
    cost_usd = round(
        ((usage.prompt_tokens or 0) * prompt_usd + (usage.completion_tokens or 0) * completion_usd) / 1e6, 9
    )
    row = Row(
        request_id=f"req_{seed_of(number)}",
        at_s=at_s,
        origin="person",
        outcome="success",
        cache=RowCache("miss"),
        model=model,
        user="uid:1000" if draw.random() < 0.8 else "grace",
        workspace=draw.choice(PROJECTS),
        client=draw.choice(CLIENTS),
        session_id=draw.choice((None, None, "refactoring", "release notes")),
        overhead_ms=draw.lognormvariate(0.1, 0.4),
    )
    luck = draw.random()
    if luck < 0.34:
        row.cache = RowCache("hit_semantic" if luck < 0.07 else "hit_exact", draw.choice(("L1", "L1", "L2")))
        if luck < 0.07:
            row.similarity, row.confidence = draw.uniform(0.93, 0.99), draw.uniform(0.97, 0.999)
        row.model_served, row.cost_usd, row.saved_usd = model, 0.0, cost_usd
        row.latency_ms = row.overhead_ms = draw.lognormvariate(-0.2, 0.6)
        return row
    row.model_served = row.deployment = model
    row.provider, row.attempts = model.split(":")[0], 1
    row.route = f"{model} was asked for by name."
    row.latency_ms = (row.overhead_ms or 0) + typical_ms * draw.lognormvariate(0, 0.55)
    row.usage, row.cost_usd, row.saved_usd, row.price_source = usage, cost_usd, 0.0, words
    if draw.random() < 0.6:
        row.stream, row.ttft_ms = True, (row.overhead_ms or 0) + row.latency_ms * draw.uniform(0.15, 0.4)
    if luck > 0.955:
        row.outcome, row.model_served = "failure", None
        row.usage = row.cost_usd = row.saved_usd = row.ttft_ms = row.price_source = None
        row.error_kind = draw.choice([*ERRORS])
        row.error_tip = ERRORS[row.error_kind]
    elif luck > 0.945:
        row.outcome, row.error_kind = "cancelled", "client_gone"
    elif luck > 0.935:
        row.usage = row.cost_usd = row.price_source = None
    return row


def seed_of(number: int) -> str:
    """The part of a request's id that tells it from others."""
    return f"{'5eed' * 4}{number:06x}"
