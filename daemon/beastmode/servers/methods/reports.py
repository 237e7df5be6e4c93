"""`cost.statement` and `requests.export`: the report on costs, and the whole ledger by the page."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from beastmode.core.clock import rfc3339
from beastmode.core.types import Origin, Outcome
from beastmode.metrics import export
from beastmode.metrics.figures import Filters
from beastmode.metrics.report import Reports
from beastmode.metrics.stats import WINDOWS_S
from beastmode.servers.methods.insight import CostParams, moment, require_one_span, span_of
from beastmode.servers.methods.table import method
from beastmode.servers.services import Caller, Services


class ExportRowsParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which page of the ledger to read.

    Attributes:
        after: `next` of the page before; absent: the first page.
        limit: How many rows.
        since: Only those that started at or after this time (RFC 3339).
        until: Only those that started before this time (RFC 3339).
        model: Only those that asked for this model, or that it answered.
        outcome: Only those with this outcome.
        origin: Only those of this origin; `all` for every origin.
        client: Only those of this door.
        workspace: Only those about this workspace.
        user: Only those of this caller.
        error_kind: Only those that ended with this kind of error.
    """

    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=export.PAGE_MAX)] = 500
    since: str | None = None
    until: str | None = None
    model: str | None = None
    outcome: Outcome | None = None
    origin: Origin | Literal["all"] = "all"
    client: str | None = None
    workspace: str | None = None
    user: str | None = None
    error_kind: str | None = None


@method("cost.statement")
async def cost_statement(services: Services, caller: Caller, params: CostParams) -> dict[str, Any]:
    """Reports costs: totals, custom and providers' models, savings, lines by a dimension and by model, and over time.

    All of it is of one moment, so that the sums agree with each other.
    """
    since_s, until_s = _span(params, services.clock.wall_s())
    filters = Filters(params.model, params.project, params.client, params.user)
    reports = Reports(services.ledger, services.clock)
    found = await reports.costs(since_s, until_s, params.by, params.origin, filters)
    return {"month": _month(params, services.clock.wall_s()), **found}


@method("requests.export")
async def requests_export(services: Services, caller: Caller, params: ExportRowsParams) -> dict[str, Any]:
    """Reads a page of the ledger, oldest first, of every origin; `next` names the next page, null after the last.

    What is recorded after the first page was read is on none. The first page says how many rows there are: `total`.
    """
    wanted = {name: getattr(params, name) for name in ("model", "outcome", "client", "workspace", "user", "error_kind")}
    wanted["origin"] = None if params.origin == "all" else params.origin
    since_s, until_s = moment("since", params.since), moment("until", params.until)
    found = await export.page(services.ledger, params.limit, params.after, since_s, until_s, wanted)
    return {"requests": found.rows, "next": found.following, "total": found.total}


def _month(params: CostParams, now_s: float) -> str | None:
    if params.window is not None or params.since is not None or params.until is not None:
        return None
    return params.month or rfc3339(now_s)[:7]


def _span(params: CostParams, now_s: float) -> tuple[float, float]:
    """The span that is meant, seconds since the epoch; its end is not in it."""
    require_one_span(params)
    if params.window is not None:
        now_us = int(now_s * 1e6)  # as metrics.get counts it, to the microsecond
        return (now_us - WINDOWS_S[params.window] * 1_000_000) / 1e6, (now_us + 1) / 1e6
    return span_of(params, now_s)
