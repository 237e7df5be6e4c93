"""OpenTelemetry: reads new rows of the ledger and hands them to the exporter, where the user has named a collector.

The ledger itself is the queue: nothing is added to a request's path, a collector that is away for a while misses
nothing, and one that stays away misses the oldest. A row holds no prompt and no answer, so none can leave.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from typing import TYPE_CHECKING

import msgspec

from beastmode.core.addresses import check_base_url
from beastmode.core.errors import BeastError
from beastmode.core.settings import OtelSettings
from beastmode.metrics.ledger import Ledger

if TYPE_CHECKING:  # it needs the extra `otel`
    from beastmode.metrics.telemetry_sdk import Exporter

log = logging.getLogger(__name__)

PAUSE_S = 2.0
BATCH = 500
QUEUE_MAX = 10_000
CLOSE_LIMIT_S = 3.0
MISSING = "OpenTelemetry's packages are not installed, so nothing is sent to otel.endpoint."
MISSING_TIP = "pip install 'beastmode[otel]', then beast restart; or take otel.endpoint out of config.toml"

_NEWEST = "SELECT coalesce(max(id), 0) FROM request"

_ROWS = """
    SELECT json_group_array(json(one)) FROM (
        SELECT json_object(
            'id', r.id, 'request_id', r.request_id, 'at_us', r.at_us, 'latency_us', r.latency_us,
            'ttft_us', r.ttft_us, 'overhead_us', r.overhead_us,
            'origin', k.origin, 'outcome', k.outcome, 'cache', k.cache, 'tier', k.tier, 'model', k.model,
            'model_served', k.model_served, 'deployment', k.deployment, 'provider', k.provider,
            'error_kind', k.error_kind, 'attempts', k.attempts, 'stream', json(iif(k.stream, 'true', 'false')),
            'client', k.client, 'prompt_tokens', r.prompt_tokens, 'completion_tokens', r.completion_tokens,
            'cached_tokens', r.cached_tokens, 'cache_write_tokens', r.cache_write_tokens,
            'reasoning_tokens', r.reasoning_tokens, 'cost_nusd', r.cost_nusd, 'saved_nusd', r.saved_nusd,
            'asked', r.asked, 'traceparent', r.traceparent) AS one
        FROM request r CROSS JOIN kind k ON k.id = r.kind WHERE r.id > :after ORDER BY r.id LIMIT :batch)"""


class Done(msgspec.Struct, kw_only=True):
    """A request that has ended, as the ledger has it; times in microseconds, money in nano-dollars."""

    id: int
    request_id: str
    at_us: int
    latency_us: int | None
    ttft_us: int | None
    overhead_us: int | None
    origin: str
    outcome: str
    cache: str | None
    tier: str | None
    model: str
    model_served: str | None
    deployment: str | None
    provider: str | None
    error_kind: str | None
    attempts: int
    stream: bool
    client: str
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    cost_nusd: int | None
    saved_nusd: int | None
    asked: int | None
    traceparent: str | None


_decode = msgspec.json.Decoder(list[Done]).decode


class Telemetry:
    """Sends what the ledger has.

    Args:
        settings: Where to, and how often.
        version: Of this program.
        ledger: Where the rows are.

    Attributes:
        sent: Spans that a collector has taken.
        dropped: Spans that were given up: the collector was away for too long.
    """

    def __init__(self, settings: OtelSettings, version: str, ledger: Ledger) -> None:
        self._settings = settings
        self._version = version
        self._ledger = ledger
        self._exporter: Exporter | None = None
        self._endpoint: str | None = None
        self._last = 0
        self._turning = asyncio.Lock()
        self._problem: str | None = None
        self.tip = "see whether the collector runs; what happened meanwhile is sent when it is back"
        self.sent = 0
        self.dropped = 0

    def problem(self) -> str | None:
        """What is wrong, in a sentence, or None."""
        return self._problem

    async def start(self) -> None:
        """Notes that the next request is the first to be sent; the SDK is imported at the first turn."""
        with contextlib.suppress(BeastError):
            self._last = await self._ledger.read(lambda connection: int(connection.execute(_NEWEST).fetchone()[0]))
        try:
            self._endpoint = check_base_url(self._settings.endpoint)
        except BeastError as error:
            why = error.message.replace("The base URL", "The setting otel.endpoint", 1)
            self._give_up(why, "mend otel.endpoint in config.toml, then beast restart")

    def _give_up(self, why: str, tip: str) -> None:
        self._endpoint, self._problem, self.tip = None, why, tip
        log.warning("telemetry is off", extra={"fields": {"why": why}})

    def _make(self, endpoint: str) -> Exporter:
        from beastmode.metrics.telemetry_sdk import Exporter

        return Exporter(endpoint, self._settings.interval_s, self._version)

    async def _ready(self) -> Exporter | None:
        """The exporter, made when it is first needed; where its packages are missing, says so."""
        if self._exporter is None and self._endpoint is not None:
            try:
                self._exporter = await asyncio.to_thread(self._make, self._endpoint)
            except ImportError:
                self._give_up(MISSING, MISSING_TIP)
        return self._exporter

    async def turn(self) -> None:
        """Sends what is new; what a collector does not take is kept for the next turn."""
        async with self._turning:
            exporter = await self._ready()
            if exporter is None:
                return
            while rows := await self._ledger.read(self._next):
                if not await asyncio.to_thread(exporter.send, rows):
                    self._problem = f"The collector of OpenTelemetry at {self._settings.endpoint} does not take spans."
                    return
                self._last = rows[-1].id
                self.sent += len(rows)
                self._problem = None

    def _next(self, connection: sqlite3.Connection) -> list[Done]:
        newest = int(connection.execute(_NEWEST).fetchone()[0])
        if newest < self._last:  # the ledger was set aside, or emptied
            self._last = 0
        if newest - self._last > QUEUE_MAX:
            self.dropped += newest - QUEUE_MAX - self._last
            self._last = newest - QUEUE_MAX
        return _decode(connection.execute(_ROWS, {"after": self._last, "batch": BATCH}).fetchone()[0])

    async def close(self) -> None:
        """Sends what is left, for a few seconds at most, and ends."""
        with contextlib.suppress(TimeoutError, BeastError):
            await asyncio.wait_for(self.turn(), CLOSE_LIMIT_S)
        if self._exporter is not None:
            await asyncio.to_thread(self._exporter.close, CLOSE_LIMIT_S)
