"""`requests.*`, `errors.recent`, `metrics.get`, `health.get`: what happened, what it cost, what is wrong."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from beastmode.core.clock import parse_rfc3339
from beastmode.core.errors import BadInputError
from beastmode.core.types import Origin, Outcome
from beastmode.servers.methods.table import Nothing, method
from beastmode.servers.services import Caller, Services


class ListParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which requests to list.

    Attributes:
        limit: How many at most.
        since: Only those that started at or after this time (RFC 3339).
        model: Only those that asked for this model.
        outcome: Only those with this outcome.
        origin: Only those of this origin; `all` for every origin.
    """

    limit: Annotated[int, Meta(ge=1, le=1000)] = 50
    since: str | None = None
    model: str | None = None
    outcome: Outcome | None = None
    origin: Origin | Literal["all"] = "person"


class RequestParams(msgspec.Struct, forbid_unknown_fields=True):
    """Names a request.

    Attributes:
        request_id: As its answer or its error said.
    """

    request_id: str


class ErrorsParams(msgspec.Struct, forbid_unknown_fields=True):
    """Which errors to show.

    Attributes:
        limit: How many kinds at most.
    """

    limit: Annotated[int, Meta(ge=1, le=1000)] = 20


class MetricsParams(msgspec.Struct, forbid_unknown_fields=True):
    """Which figures to show.

    Attributes:
        window: How far back.
        origin: Whose requests; absent: those of persons, but the costs of every origin.
    """

    window: Literal["1h", "24h", "7d", "30d"] = "24h"
    origin: Origin | None = None


@method("requests.list")
async def requests_list(services: Services, caller: Caller, params: ListParams) -> dict[str, Any]:
    """Lists requests, newest first, one row each, whatever happened to them."""
    rows = await services.ledger.list(
        limit=params.limit,
        since_s=_time(params.since),
        model=params.model,
        outcome=params.outcome,
        origin=None if params.origin == "all" else params.origin,
    )
    return {"requests": rows}


@method("requests.get")
async def requests_get(services: Services, caller: Caller, params: RequestParams) -> dict[str, Any]:
    """Shows one request's row."""
    return await services.ledger.get(params.request_id)


@method("errors.recent")
async def errors_recent(services: Services, caller: Caller, params: ErrorsParams) -> dict[str, Any]:
    """Groups the last errors by kind and model: count, last_at, tip."""
    return {"errors": await services.ledger.errors(limit=params.limit)}


@method("metrics.get")
async def metrics_get(services: Services, caller: Caller, params: MetricsParams) -> dict[str, Any]:
    """Shows the figures of a window: requests, cache, latency_ms, ttft_ms, costs, errors, health."""
    figures = await services.stats.snapshot(params.window, params.origin)
    return {**figures, "health": await services.health.check()}


@method("health.get")
async def health_get(services: Services, caller: Caller, params: Nothing) -> dict[str, Any]:
    """Says whether the daemon is healthy, and if not, every cause with a tip."""
    return await services.health.check()


def _time(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parse_rfc3339(text)
    except ValueError:
        raise BadInputError(f"`since` is no time: {text[:40]!r}.", tips=["write it as 2026-11-20T09:00:00Z"]) from None
