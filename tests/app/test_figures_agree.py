"""Ten thousand requests of every kind, over every door: the callers' own count, and every place that shows figures."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from playwright.sync_api import expect
from prometheus_client.parser import text_string_to_metric_families

from beastmode.client import AsyncClient
from beastmode.core.errors import BeastError
from support.browser import Tab, chromium
from support.daemon import Daemon
from support.http_caller import Door, chat, message, response
from support.provider_server import ProviderServer
from support.waiting import until

REQUESTS = 10_000
WORKERS = 24
GONE_EVERY = 500
PRICE = {"prompt": 3.0, "completion": 15.0}
MODELS = ("ok", "e500", "e400", "no-usage")


@dataclass
class Count:
    """What the callers saw.

    Attributes:
        outcomes: By outcome.
        models: Successes by model.
        hits: Answers of the cache, those that waited for an identical request among them.
        costs_nusd: What was told as cost, in nano-dollars.
        saved_nusd: What was told as saved.
        unknown: Answers whose cost was not told.
        ids: Ids of requests.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    hits: int = 0
    costs_nusd: int = 0
    saved_nusd: int = 0
    unknown: int = 0
    ids: set[str] = field(default_factory=set)

    def success(self, model: str, hit: bool, cost: float | None, saved: float | None, request_id: str) -> None:
        """Counts an answer."""
        self.outcomes["success"] += 1
        self.models[model] += 1
        self.hits += hit
        self.unknown += cost is None
        self.costs_nusd += round((cost or 0.0) * 1e9)
        self.saved_nusd += round((saved or 0.0) * 1e9)
        self.ids.add(request_id)


@pytest.fixture(scope="module")
def provider() -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        yield server


@pytest.fixture(scope="module")
def daemon(provider: ProviderServer) -> Iterator[Daemon]:
    settings = "[cache]\nsemantic = 'off'\n[upstream]\nmax_attempts = 1\nbreaker_failures = 1000000\n"
    with Daemon(settings) as one:
        for name in MODELS:
            one.add(f"custom:{name}", f"{provider.url}/v1", upstream_model=name, price=PRICE)
        one.add("anthropic:ok", provider.url, upstream_model="ok", key="k", price=PRICE)
        one.add("custom:hang", f"{provider.url}/v1", upstream_model="hang")
        yield one


class Callers:
    """Sends requests and counts what comes back.

    Args:
        daemon: Whom they ask.
        count: What they count.
    """

    def __init__(self, daemon: Daemon, count: Count, http: aiohttp.ClientSession, socket: AsyncClient) -> None:
        self.door = Door.of(daemon)
        self.count = count
        self.http = http
        self.socket = socket
        self.random = random.Random(7)  # the same requests in every run

    async def send(self, number: int) -> None:
        """Sends one request of some kind."""
        model = self.random.choices(
            ("custom:ok", "anthropic:ok", "custom:no-usage", "custom:e500", "custom:e400"), (60, 25, 5, 5, 5)
        )[0]
        text = f"question {self.random.randrange(REQUESTS // 3)}"
        dear = {"x-beast-max-cost-usd": "0.000000001"} if number % 97 == 0 else {}
        stream = number % 5 == 0
        kind = number % 4
        if kind == 0 and not dear:
            await self._over_the_socket(model, text, stream)
        else:
            await self._over_http(kind, model, text, stream, dear)

    async def _over_the_socket(self, model: str, text: str, stream: bool) -> None:
        try:
            told = await self.socket.call("chat", {"message": text, "model": model, "stream": stream, "max_tokens": 64})
        except BeastError as error:
            assert error.request_id
            self.count.outcomes["failure"] += 1
            self.count.ids.add(error.request_id)
            return
        hit = told["cache"]["result"].startswith("hit")
        self.count.success(told["model"], hit, told["cost_usd"], told["saved_usd"], told["request_id"])

    async def _over_http(self, kind: int, model: str, text: str, stream: bool, headers: dict[str, str]) -> None:
        path, body = (
            ("/v1/chat/completions", chat(text, model, max_tokens=64, stream=stream)),
            ("/v1/messages", message(text, model, stream=stream)),
            ("/v1/responses", response(text, model, max_output_tokens=64, stream=stream)),
        )[kind % 3]
        async with self.http.post(self.door.url + path, json=body, headers=headers) as reply:
            await reply.read()
            told = reply.headers
        request_id = told["x-beast-request-id"]
        if reply.status != 200:
            self.count.outcomes["refused" if reply.status == 402 else "failure"] += 1
            self.count.ids.add(request_id)
        elif "x-beast-cost-usd" in told or not stream:
            cost, saved = told.get("x-beast-cost-usd"), told.get("x-beast-saved-usd")
            hit = told["x-beast-cache"].startswith("hit")
            self.count.success(told["x-beast-model"], hit, _usd(cost), _usd(saved), request_id)
        else:  # a stream's cost is not known when its head leaves: its own row is asked
            row = await self.socket.call("requests.get", {"request_id": request_id})
            hit = told["x-beast-cache"].startswith("hit")
            self.count.success(told["x-beast-model"], hit, row["cost_usd"], row["saved_usd"], request_id)

    async def leave(self, number: int) -> None:
        """Asks a model that never answers, and goes away."""
        body = chat(f"gone {number}", "custom:hang", stream=True)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), self.http.post(f"{self.door.url}/v1/chat/completions", json=body):
                pass
        self.count.outcomes["cancelled"] += 1


def _usd(text: str | None) -> float | None:
    return None if text is None else float(text)


async def drive(daemon: Daemon) -> Count:
    """Sends all requests, many at once."""
    count = Count()
    door = Door.of(daemon)
    numbers = iter(range(REQUESTS))
    async with (
        aiohttp.ClientSession(headers=door.all_headers()) as http,
        AsyncClient(daemon.socket) as socket,
    ):
        callers = Callers(daemon, count, http, socket)

        async def work() -> None:
            for number in numbers:
                await (callers.leave(number) if number % GONE_EVERY == 1 else callers.send(number))

        await asyncio.gather(*(work() for _ in range(WORKERS)))
    return count


@pytest.fixture(scope="module")
def count(daemon: Daemon) -> Count:
    seen = asyncio.run(drive(daemon))
    until(lambda: daemon.call("metrics.get", {"window": "1h"})["requests"]["total"] >= REQUESTS)
    return seen


def exported(daemon: Daemon) -> list[dict[str, Any]]:
    """Every row of the ledger, page by page."""
    rows: list[dict[str, Any]] = []
    with daemon.client() as client:
        while True:
            before = {"before": rows[-1]["request_id"]} if rows else {}
            page = client.call("requests.list", {"limit": 1000, "origin": "all", **before})["requests"]
            if not page:
                return rows
            rows += page


@pytest.mark.timeout(300)
class TestTheyAgree:
    def test_the_callers_saw_every_kind_of_end(self, count: Count) -> None:
        assert sum(count.outcomes.values()) == REQUESTS
        assert {"success", "failure", "refused", "cancelled"} == set(count.outcomes)
        assert count.hits > REQUESTS / 4

    def test_the_ledger_has_one_row_for_each(self, daemon: Daemon, count: Count) -> None:
        rows = exported(daemon)
        assert len(rows) == len({row["request_id"] for row in rows}) == REQUESTS
        assert Counter(row["outcome"] for row in rows) == count.outcomes
        assert count.ids <= {row["request_id"] for row in rows}
        successes = [row for row in rows if row["outcome"] == "success"]
        assert Counter(row["model_served"] for row in successes) == count.models
        assert sum(row["cache"]["result"] == "hit_exact" for row in successes) == count.hits
        assert sum(round((row["cost_usd"] or 0) * 1e9) for row in successes) == count.costs_nusd
        assert sum(row["cost_usd"] is None for row in successes) == count.unknown

    def test_metrics_get_agrees_to_the_unit_and_the_nano_dollar(self, daemon: Daemon, count: Count) -> None:
        for window in ("1h", "24h", "7d", "30d"):
            figures = daemon.call("metrics.get", {"window": window})
            assert {name: figures["requests"][name] for name in count.outcomes} == dict(count.outcomes)
            assert figures["cache"]["exact"] == count.hits
            assert round(figures["costs"]["total_usd"] * 1e9) == count.costs_nusd
            assert round(figures["costs"]["saved_usd"] * 1e9) == count.saved_nusd

    def test_the_cost_report_agrees(self, daemon: Daemon, count: Count) -> None:
        found = daemon.call("cost.report", {"by": "model", "window": "24h"})
        assert found["total"]["requests"] == REQUESTS
        assert round(found["total"]["cost_usd"] * 1e9) == count.costs_nusd
        assert sum(row["requests"] for row in found["rows"]) == REQUESTS
        assert round(sum(row["cost_usd"] or 0 for row in found["rows"]) * 1e9) == count.costs_nusd

    def test_the_older_monitoring_agrees(self, daemon: Daemon, count: Count) -> None:
        found = Door.of(daemon).get("/api/models/custom/monitoring").json
        assert found["metrics"]["requests"]["total"] == REQUESTS
        assert found["metrics"]["requests"]["success"] == count.outcomes["success"]
        assert found["metrics"]["costs"]["customModelCost"] == f"${count.costs_nusd / 1e9:.2f}"

    def test_prometheus_agrees(self, daemon: Daemon, count: Count) -> None:
        page = Door.of(daemon).get("/metrics").body.decode()
        samples = [one for family in text_string_to_metric_families(page) for one in family.samples]
        outcomes: Counter[str] = Counter()
        for one in samples:
            if one.name == "beast_requests_total":
                outcomes[one.labels["outcome"]] += int(one.value)
        assert outcomes == count.outcomes
        paid = sum(one.value for one in samples if one.name == "beast_cost_usd_total")
        assert round(paid * 1e9) == pytest.approx(
            count.costs_nusd, abs=100
        )  # sums of floats, a tenth of a micro-dollar

    def test_the_dashboard_agrees(self, daemon: Daemon, count: Count) -> None:
        with chromium() as browser, Tab(browser, daemon) as tab:
            page = tab.open()
            tile = page.locator("[data-tile=requests] .value")
            expect(tile).to_have_attribute("data-value", str(REQUESTS), timeout=20_000)
            assert tab.value("[data-tile=spent] .value") == pytest.approx(count.costs_nusd / 1e9)
            assert tab.value("[data-tile=saved] .value") == pytest.approx(count.saved_nusd / 1e9)

    def test_the_export_agrees(self, daemon: Daemon, count: Count) -> None:
        import subprocess
        import sys

        command = [sys.executable, "-m", "beastmode.cli", "requests", "export", "--origin", "all"]
        done = subprocess.run([*command, "--format", "ndjson"], env=daemon.environ, capture_output=True, check=True)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(rows) == REQUESTS
        assert sum(round((row["cost_usd"] or 0) * 1e9) for row in rows) == count.costs_nusd
        done = subprocess.run([*command, "--format", "csv"], env=daemon.environ, capture_output=True, check=True)
        table = list(csv.DictReader(io.StringIO(done.stdout.decode())))
        assert Counter(row["outcome"] for row in table) == count.outcomes
