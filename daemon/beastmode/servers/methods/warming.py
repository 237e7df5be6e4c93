"""`cache.warm`: what is likely asked is answered now, before anybody asks."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from beastmode.background.warm_round import Report
from beastmode.core.errors import BadInputError
from beastmode.servers.methods.table import method
from beastmode.servers.services import Caller, Services


class WarmParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What `cache.warm` takes.

    Attributes:
        workspace: Only what is about this workspace, an absolute path.
        dry_run: Ask nothing; say what would be asked, and what it may cost.
        limit: Ask a model at most so often.
    """

    workspace: str | None = None
    dry_run: bool = False
    limit: Annotated[int, Meta(ge=0)] | None = None


@method("cache.warm")
async def cache_warm(services: Services, caller: Caller, params: WarmParams) -> Report:
    """Asks ahead what is written in `warming.templates`, recurs, or is likely next, and is not stored yet.

    People go first: a request of theirs ends what is being asked, which is asked again later. Models that cost money
    are asked only within `warming.remote` of the workspace. Progress tells of each request: `{done, total, asked,
    stored, cost_usd, wish, outcome}`. `skipped` counts the others by their reason: `stored`, `costs_money`,
    `price_unknown`, `over_budget`, `daily_requests`, `limit`, `large`, `unsaved` (the editor's text is not on disk),
    `gone` (the file or the function), `no_model`, `failed`, `failed_before`, `not_storable`, `disabled`, `no_cache`.
    """
    if services.warming is None:
        raise BadInputError("Nothing can be warmed yet: the daemon is starting.", tips=["try again in a moment"])
    workspaces = None
    if params.workspace is not None:
        if not Path(params.workspace).is_absolute() or "\0" in params.workspace:
            raise BadInputError(
                f"The workspace {params.workspace!r} is no absolute path.", tips=["send its whole path"]
            )
        workspaces = {params.workspace, await asyncio.to_thread(os.path.realpath, params.workspace)}
    return await services.warming.warm(workspaces, dry_run=params.dry_run, limit=params.limit, tell=caller.progress)
