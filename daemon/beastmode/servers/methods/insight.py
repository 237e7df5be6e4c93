"""`requests.*`, `errors.recent`, `metrics.get`, `cost.report`: what happened, what it cost and why."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from beastmode.core.clock import parse_rfc3339, rfc3339
from beastmode.core.errors import BadInputError
from beastmode.core.types import Origin, Outcome
from beastmode.costs.lines import cost_lines
from beastmode.metrics import content
from beastmode.metrics.figures import By, Filters
from beastmode.metrics.report import month_span
from beastmode.metrics.stats import WINDOWS_S
from beastmode.servers.methods.table import method
from beastmode.servers.services import Caller, Services

Window = Literal["1h", "24h", "7d", "30d"]


class ListParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which requests to list.

    Attributes:
        limit: How many at most.
        since: Only those that started at or after this time (RFC 3339).
        until: Only those that started before this time (RFC 3339).
        before: The last request of the page before: only those that come after it in the list.
        model: Only those that asked for this model, or that it answered.
        outcome: Only those with this outcome.
        origin: Only those of this origin; `all` for every origin.
        client: Only those of this door.
        workspace: Only those about this workspace.
        session: Only those of this session.
        user: Only those of this caller.
        error_kind: Only those that ended with this kind of error.
    """

    limit: Annotated[int, Meta(ge=1, le=1000)] = 50
    since: str | None = None
    until: str | None = None
    before: str | None = None
    model: str | None = None
    outcome: Outcome | None = None
    origin: Origin | Literal["all"] = "person"
    client: str | None = None
    workspace: str | None = None
    session: str | None = None
    user: str | None = None
    error_kind: str | None = None


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
        window: Only those of a window that ends now; absent: all.
    """

    limit: Annotated[int, Meta(ge=1, le=1000)] = 20
    window: Window | None = None


class MetricsParams(msgspec.Struct, forbid_unknown_fields=True):
    """Which figures to show.

    Attributes:
        window: How far back.
        origin: Whose requests; absent: those of persons, but the costs of every origin.
        model: Only those that asked for this model, or that it answered.
        project: Only those about this workspace.
        client: Only those of this door.
        user: Only those of this caller.
        before: Also the same figures of the period before, as `before`.
        series: Also points over time, as `series`.
    """

    window: Window = "24h"
    origin: Origin | None = None
    model: str | None = None
    project: str | None = None
    client: str | None = None
    user: str | None = None
    before: bool = False
    series: bool = False


class CostParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which costs to report.

    Attributes:
        by: One row for each value of this; days and months are of UTC.
        month: Those of a month, such as 2026-11.
        window: Those of a window that ends now.
        since: Those since this time (RFC 3339), or since this day (2026-11-20).
        until: Those before this time (RFC 3339), or before this day; absent: until now.
        origin: Whose requests; absent: those of persons, but tokens and costs of every origin.
        model: Only those that asked for this model, or that it answered.
        project: Only those about this workspace.
        client: Only those of this door.
        user: Only those of this caller.
    """

    by: By = "model"
    month: Annotated[str, Meta(pattern=r"^[12]\d{3}-(0[1-9]|1[0-2])$")] | None = None
    window: Window | None = None
    since: str | None = msgspec.field(name="from", default=None)
    until: str | None = msgspec.field(name="to", default=None)
    origin: Origin | None = None
    model: str | None = None
    project: str | None = None
    client: str | None = None
    user: str | None = None


@method("requests.list")
async def requests_list(services: Services, caller: Caller, params: ListParams) -> dict[str, Any]:
    """Lists requests, newest first, one row each, whatever happened to them."""
    if params.before is not None:
        await services.ledger.get(params.before)  # an unknown request is said to be unknown
    rows = await services.ledger.list(
        limit=params.limit,
        since_s=moment("since", params.since),
        until_s=moment("until", params.until),
        before=params.before,
        model=params.model,
        outcome=params.outcome,
        origin=None if params.origin == "all" else params.origin,
        client=params.client,
        workspace=params.workspace,
        session=params.session,
        user=params.user,
        error_kind=params.error_kind,
    )
    return {"requests": rows}


@method("requests.get")
async def requests_get(services: Services, caller: Caller, params: RequestParams) -> dict[str, Any]:
    """Shows one request's row, and the sum of its cost line by line.

    With the setting `retention.content` also what was said, as `content: {prompt, answer}`.
    """
    row = await services.ledger.get(params.request_id)
    found = {**row, "cost_lines": cost_lines(row)}
    if services.gateway.settings.retention.content:
        found["content"] = await services.ledger.read(lambda connection: content.read(connection, params.request_id))
    return found


@method("errors.recent")
async def errors_recent(services: Services, caller: Caller, params: ErrorsParams) -> dict[str, Any]:
    """Groups the last errors by kind and model: count, last_at, tip."""
    since_s = None if params.window is None else services.clock.wall_s() - WINDOWS_S[params.window]
    return {"errors": await services.ledger.errors(limit=params.limit, since_s=since_s)}


@method("metrics.get")
async def metrics_get(services: Services, caller: Caller, params: MetricsParams) -> dict[str, Any]:
    """Shows the figures of a window: requests, cache, latency_ms, ttft_ms, overhead_ms, costs, errors, health.

    `history: {complete, done}` tells whether an older ledger is still being added up; figures are right meanwhile.
    """
    figures = await services.stats.snapshot(
        params.window, params.origin, _filters(params), before=params.before, series=params.series
    )
    return {**figures, "history": await services.stats.history(), "health": await services.health.check()}


@method("cost.report")
async def cost_report(services: Services, caller: Caller, params: CostParams) -> dict[str, Any]:
    """Adds up requests, tokens, costs and savings by one dimension; where no time is named, of the current month."""
    require_one_span(params)
    stats, filters = services.stats, _filters(params)
    if params.window is not None:
        found = await stats.window(params.by, params.window, params.origin, filters)
    else:
        span = span_of(params, services.clock.wall_s())
        found = await stats.breakdown(params.by, *span, params.origin, filters)
    return {"by": params.by, **found}


def _filters(params: MetricsParams | CostParams) -> Filters:
    return Filters(params.model, params.project, params.client, params.user)


def require_one_span(params: CostParams) -> None:
    """Refuses parameters that name more than one span.

    Args:
        params: What was asked.

    Raises:
        BadInputError: They name a month, a window or a time of their own beside each other.
    """
    if sum(one is not None for one in (params.month, params.window, params.since or params.until)) > 1:
        raise BadInputError("`month`, `window` and `from` exclude each other.", tips=["name one of them"])


def span_of(params: CostParams, now_s: float) -> tuple[float, float]:
    """The span that is meant where no window is named, seconds since the epoch; its end is not in it.

    Args:
        params: What was asked; where it names no time, the current month is meant.
        now_s: Wall clock.

    Raises:
        BadInputError: A time is none, or the end is before the beginning.
    """
    if params.since is None and params.until is None:
        return month_span(params.month or rfc3339(now_s)[:7])
    since_s, until_s = moment("from", params.since), moment("to", params.until)
    since_s, until_s = since_s or 0.0, now_s if until_s is None else until_s
    if until_s < since_s:
        raise BadInputError("`to` is before `from`.", tips=["swap them"])
    return since_s, until_s


def moment(name: str, text: str | None) -> float | None:
    """Reads a time or a day (UTC), seconds since the epoch.

    Args:
        name: The parameter, for the error.
        text: RFC 3339, or YYYY-MM-DD.

    Raises:
        BadInputError: It is neither.
    """
    if text is None:
        return None
    try:
        return parse_rfc3339(text if len(text) > len("2026-11-20") else f"{text}T00:00:00Z")
    except ValueError:
        raise BadInputError(
            f"`{name}` is no time: {text[:40]!r}.", tips=["write it as 2026-11-20T09:00:00Z or 2026-11-20"]
        ) from None
