"""The parts of the dashboard: each made from the same methods and figures that every other door shows."""

from __future__ import annotations

import asyncio
import functools
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from beastmode.metrics.figures import By
from beastmode.metrics.queries import grouped_errors
from beastmode.metrics.stats import WINDOWS_S, Stats
from beastmode.servers.live import Part
from beastmode.servers.methods.models import models_list
from beastmode.servers.methods.stored import cache_stats
from beastmode.servers.methods.table import Nothing
from beastmode.servers.services import Caller, Services
from beastmode.servers.view import TEXT_MAX_CHARS, View

FEED_ROWS = 25
ERROR_GROUPS = 12
COST_ROWS = 12
CHOICES = 200
TOP_ENTRIES = 8
LAG_STEP_MS = 10
COST_KEYS: tuple[By, ...] = ("model", "project", "user", "session")
CHOICE_KEYS: tuple[By, ...] = ("model", "project", "client")
_FEED_FIELDS = (
    *("request_id", "at", "origin", "outcome", "cache", "model", "model_served", "error_kind", "cost_usd"),
    *("saved_usd", "latency_ms", "ttft_ms", "client", "stream"),
)


class BoardParts:
    """Makes the parts of a view.

    Args:
        services: The daemon's parts.
        build: Gives the digest of the page's files.
    """

    def __init__(self, services: Services, build: Callable[[], str]) -> None:
        self._services = services
        self._stats = Stats(services.ledger, services.clock, newest=False)
        self._build = build
        self._caller = Caller(f"uid:{os.getuid()}", client="dashboard")
        self._started_at_s = services.clock.wall_s()

    def shared(self) -> list[Part]:
        """What is the same in every view."""
        return [
            Part("daemon", self._daemon, (0.0, 0.25), always=True),
            Part("health", self._health, (1.0, 3.0), share=0.005, always=True),
            Part("models", self._models, (1.0, 10.0), always=True),
            Part("cache", self._cache, (2.0, 5.0)),
            Part("compare", self._compare, (0.0, 0.25), always=True),
        ]

    def of(self, view: View) -> Sequence[Part]:
        """What a view has for itself.

        Args:
            view: The view.
        """
        figures = Part("figures", lambda: self._figures(view), (0.0, 4.0), share=0.01)
        if not view.page:
            return [figures]
        return [
            figures,
            Part("feed", lambda: self._feed(view), (0.0, 0.5), share=0.006),
            Part("trend", lambda: self._trend(view), (0.75, 30.0), share=0.003),
            Part("errors", lambda: self._errors(view), (0.75, 30.0), share=0.0015),
            *(
                Part(f"cost_{by}", functools.partial(self._costs, view, by), (0.75, 60.0), share=0.001)
                for by in COST_KEYS
            ),
            Part("choices", lambda: self._choices(view), (2.0, 120.0), share=0.001),
        ]

    async def _daemon(self) -> dict[str, Any]:
        services = self._services
        sent, recorded = services.gateway.admitted, services.gateway.recorded
        return {
            "version": services.version,
            "pid": os.getpid(),
            "started_at_s": self._started_at_s,
            "build": self._build(),
            "sent": sent,
            "recorded": recorded,
            "in_flight": sent - recorded,
        }

    async def _compare(self) -> dict[str, Any] | None:
        return self._services.comparison.shown()

    async def _health(self) -> dict[str, Any]:
        """What `health.get` says, with what always moves told no finer than it is worth a frame."""
        found = await self._services.health.check()
        shown = {name: found.get(name) for name in ("status", "why", "issues", "parts")}
        models = {name: {key: one[key] for key in ("status", "why", "tip")} for name, one in found["models"].items()}
        free_gb = [round(one["free_bytes"] / 1e9) for one in found["disks"].values()]
        lag_ms = found["loop_lag_ms"]["p99"]
        return {
            **shown,
            "models": models,
            "disk_free_gb": min(free_gb, default=None),
            "loop_lag_ms": None if lag_ms is None else math.ceil(lag_ms / LAG_STEP_MS) * LAG_STEP_MS,
        }

    async def _models(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await models_list(self._services, self._caller, Nothing()))["models"]
        return found

    async def _cache(self) -> dict[str, Any]:
        stats: dict[str, Any] = cache_stats(self._services, self._caller, Nothing())
        warming = self._services.warming
        ahead = await warming.status() if warming is not None else None
        return {**stats, "top": await self._most_served(), "warming": ahead}

    async def _most_served(self) -> list[dict[str, Any]]:
        """The stored answers that the newest requests got most often."""
        services, found = self._services, []
        keys = services.gateway.keeper.answered()
        for key, count in await asyncio.to_thread(lambda: Counter(keys).most_common(2 * TOP_ENTRIES)):
            entry = await services.lookup.peek(key)
            if entry is None:
                continue
            hits = count - (services.gateway.keeper.entry_of(entry.request_id) == key)
            if hits:
                text = entry.text[:TEXT_MAX_CHARS]
                found.append({"entry": key.hex(), "text": text, "model": entry.model, "hits": hits})
        return found[:TOP_ENTRIES]

    async def _figures(self, view: View) -> dict[str, Any]:
        found = await self._stats.snapshot(view.window, view.origin, view.filters)
        return {**found, "history": await self._stats.history()}

    async def _trend(self, view: View) -> dict[str, Any]:
        found = await self._stats.snapshot(view.window, view.origin, view.filters, before=True, series=True)
        return {"window": view.window, "before": found["before"], "series": found["series"]}

    async def _feed(self, view: View) -> list[dict[str, Any]]:
        wanted = view.filters
        rows = await self._services.ledger.list(
            limit=FEED_ROWS,
            model=wanted.model,
            workspace=wanted.project,
            client=wanted.client,
            user=wanted.user,
            wait=False,
        )
        return [{name: row[name] for name in _FEED_FIELDS} for row in rows]

    async def _errors(self, view: View) -> list[dict[str, Any]]:
        filters = view.filters
        wanted = {"model": filters.model, "workspace": filters.project, "client": filters.client, "user": filters.user}
        where = {**wanted, "origin": "person", "errors_only": True}
        since_us = int((self._services.clock.wall_s() - WINDOWS_S[view.window]) * 1e6)
        values = {**where, "since_us": since_us, "limit": ERROR_GROUPS}
        found: list[dict[str, Any]] = await self._services.ledger.ask(grouped_errors(where), values, newest=False)
        return found

    async def _costs(self, view: View, by: By) -> dict[str, Any]:
        found = await self._stats.window(by, view.window, view.origin, view.filters)
        left_out = found["left_out"] + max(0, len(found["rows"]) - COST_ROWS)
        return {"rows": found["rows"][:COST_ROWS], "left_out": left_out, "total": found["total"]}

    async def _choices(self, view: View) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key in CHOICE_KEYS:
            rows = (await self._stats.window(key, view.window, view.origin))["rows"]
            found[key] = [row["key"] for row in rows[:CHOICES] if row["key"]]
        return found
