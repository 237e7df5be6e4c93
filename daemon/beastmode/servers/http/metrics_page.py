"""`GET /metrics`: the ledger's totals and how the daemon is, for Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from beastmode.core.errors import BeastError
from beastmode.metrics.exposition import OPENMETRICS, TEXT, Family, render, wants_openmetrics
from beastmode.metrics.families import of_ledger
from beastmode.metrics.totals import LedgerTotals, Totals
from beastmode.servers.http.exchange import Exchange
from beastmode.servers.services import Services

PROC = Path("/proc/self")
_STATUSES = ("healthy", "degraded", "unhealthy")
_BREAKER_STATES = ("closed", "half-open", "open")
_TIER_COUNTERS = {
    "hits": "Lookups that this tier answered, since the start.",
    "misses": "Lookups that this tier did not answer, since the start.",
    "evictions": "Answers that made room for others, since the start.",
}
_TIER_GAUGES = {"entries": "Answers in a tier.", "bytes": "Room that a tier takes.", "max_bytes": "Room it may take."}


class MetricsPage:
    """Answers scrapes.

    Args:
        services: The daemon's parts.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._totals = LedgerTotals(services.ledger, lambda: [model.id for model in services.registry.list()])
        self._started_s = services.clock.wall_s() - (services.clock.mono_s() - services.started_s)

    async def page(self, exchange: Exchange) -> None:
        """Answers `GET /metrics`; where the ledger can not be read, with what is known without it."""
        openmetrics = wants_openmetrics(exchange.headers.get("accept", ""))
        health = await self._services.health.check()
        totals, readable = Totals(), True
        try:
            totals = await self._totals.read()
        except BeastError:
            readable = False
        families = [*self._about(readable), *_of_health(health), *self._of_parts(), *_of_disks(health)]
        body = await asyncio.to_thread(
            lambda: render([*of_ledger(totals), *families, *_of_process(self._started_s)], openmetrics)
        )
        exchange.reply(200, body, content_type=OPENMETRICS if openmetrics else TEXT)

    def _about(self, readable: bool) -> list[Family]:
        build = Family("beast_build_info", "gauge", "Always 1; its labels say what runs.", [])
        build.add(1, version=self._services.version, python=platform.python_version())
        up = Family("beast_ledger_readable", "gauge", "1 where the ledger could be read for this page, else 0.", [])
        up.add(int(readable))
        return [build, up]

    def _of_parts(self) -> list[Family]:
        flights = Family("beast_upstream_calls_in_flight", "gauge", "Calls of providers that run now.", [])
        flights.add(len(self._services.gateway.flights))
        models = Family("beast_models", "gauge", "Registered models.", [])
        models.add(len(self._services.registry.list()))
        return [flights, models, *self._of_cache(), self._of_breakers()]

    def _of_cache(self) -> list[Family]:
        gauges = {name: Family(f"beast_cache_{name}", "gauge", said, []) for name, said in _TIER_GAUGES.items()}
        counters = {name: Family(f"beast_cache_{name}", "counter", said, []) for name, said in _TIER_COUNTERS.items()}
        for tier, stats in self._services.lookup.stats().items():
            numbers = msgspec.to_builtins(stats)
            for name, family in (gauges | counters).items():
                if isinstance(numbers.get(name), int):
                    family.add(numbers[name], tier=tier)
        index = Family("beast_semantic_index_entries", "gauge", "Prompts that can be found by meaning.", [])
        if self._services.semantic is not None:
            index.add(self._services.semantic.index.stats().entries)
        return [*gauges.values(), *counters.values(), index]

    def _of_breakers(self) -> Family:
        family = Family("beast_breaker_state", "gauge", "1 for the state that a deployment's breaker is in.", [])
        for model in self._services.registry.list():
            for one in model.deployments:
                now = self._services.breakers.get(one.id).state
                for state in _BREAKER_STATES:
                    family.add(int(state == now), deployment=one.id, state=state)
        return family


def _of_health(health: Mapping[str, Any]) -> list[Family]:
    status = Family("beast_health_status", "gauge", "1 for the status that the daemon's health has.", [])
    models = Family("beast_model_health_status", "gauge", "1 for the status that a model's health has.", [])
    parts = Family("beast_part_ok", "gauge", "1 where a part of the daemon is well, else 0.", [])
    for name in _STATUSES:
        status.add(int(name == health["status"]), status=name)
    for model, one in health["models"].items():
        if not one["registered"] and not one["success"]:
            continue  # a name that a caller made up
        for name in _STATUSES:
            models.add(int(name == one["status"]), model=model, status=name)
    for part, state in health["parts"].items():
        parts.add(int(state == "ok"), part=part)
    lag = Family("beast_event_loop_lag_seconds", "gauge", "Lateness of the event loop within the last minute.", [])
    for quantile, late_ms in health.get("loop_lag_ms", {}).items():
        if late_ms is not None:
            lag.add(late_ms / 1e3, quantile=quantile)
    return [status, models, parts, lag]


def _of_disks(health: Mapping[str, Any]) -> list[Family]:
    free = Family("beast_disk_free_bytes", "gauge", "Room left on the disk of a folder.", [])
    size = Family("beast_disk_size_bytes", "gauge", "Size of the disk of a folder.", [])
    for folder, space in health.get("disks", {}).items():
        if space is not None:
            free.add(space["free_bytes"], folder=folder)
            size.add(space["total_bytes"], folder=folder)
    return [free, size]


def _of_process(started_s: float) -> list[Family]:
    """What every program tells, under the names that they all use; what the system does not show is left out."""
    start = Family("process_start_time_seconds", "gauge", "When the daemon started, since the epoch.", [])
    start.add(round(started_s, 3))
    cpu = Family("process_cpu_seconds", "counter", "Processor time.", [])
    cpu.add(time.process_time())
    resident = Family("process_resident_memory_bytes", "gauge", "Memory.", [])
    handles = Family("process_open_fds", "gauge", "Open files and connections.", [])
    with contextlib.suppress(OSError, ValueError, IndexError):
        resident.add(int((PROC / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        handles.add(sum(1 for _ in (PROC / "fd").iterdir()))
    return [start, cpu, resident, handles]
