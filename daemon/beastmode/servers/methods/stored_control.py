"""`cache.invalidate/clear/export/import` and `forget`: taking stored answers out, and moving them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from beastmode.core.clock import parse_rfc3339
from beastmode.core.errors import BadInputError
from beastmode.core.types import Entry
from beastmode.servers.methods.table import Nothing, method
from beastmode.servers.services import Caller, Services

PAGE = 200


class InvalidateParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which answers to take out; all that is given must hold.

    Attributes:
        model: Given by this model.
        workspace: Of this workspace.
        path: Made from this file, as the workspace names it.
        tag: With this label.
        older_than_s: At least as old as this.
        dry_run: Only count them.
    """

    model: str | None = None
    workspace: str | None = None
    path: str | None = None
    tag: str | None = None
    older_than_s: Annotated[float, Meta(ge=0)] | None = None
    dry_run: bool = False


class ForgetParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What to forget.

    Attributes:
        workspace: Everything of this workspace.
        since: Everything since this time (RFC 3339).
        all: Everything.
        dry_run: Only count.
    """

    workspace: str | None = None
    since: str | None = None
    all: bool = False
    dry_run: bool = False


class ExportParams(msgspec.Struct, forbid_unknown_fields=True):
    """Which page of the cache to read.

    Attributes:
        after: The last entry of the page before, in hex; empty for the first page.
        limit: How many entries.
    """

    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = PAGE


class ImportParams(msgspec.Struct, forbid_unknown_fields=True):
    """Entries as `cache.export` gave them.

    Attributes:
        entries: The entries.
    """

    entries: list[dict[str, Any]]


@method("cache.invalidate")
async def cache_invalidate(services: Services, caller: Caller, params: InvalidateParams) -> dict[str, Any]:
    """Takes answers out of every tier by model, workspace, file, tag or age."""
    if params == InvalidateParams(dry_run=params.dry_run):
        raise BadInputError("`cache.invalidate` wants to know which answers.", tips=["all of them: cache.clear"])
    now_s = services.clock.wall_s()

    def matches(entry: Entry) -> bool:
        return (
            params.model in (None, entry.model)
            and params.workspace in (None, entry.workspace)
            and (params.path is None or any(digest.path == params.path for digest in entry.digests))
            and (params.tag is None or params.tag in entry.tags)
            and (params.older_than_s is None or now_s - entry.stored_at_s >= params.older_than_s)
        )

    keys = await _matching(services, matches)
    if not params.dry_run:
        await services.forget_entries(keys)
    return {"entries": len(keys), "dry_run": params.dry_run}


@method("cache.clear")
async def cache_clear(services: Services, caller: Caller, params: Nothing) -> dict[str, Any]:
    """Forgets every stored answer, in every tier; pairs that were rejected stay rejected."""
    services.lookup.clear()
    if services.semantic is not None:
        await services.semantic.clear()
    return {"cleared": True}


@method("cache.export")
async def cache_export(services: Services, caller: Caller, params: ExportParams) -> dict[str, Any]:
    """Reads one page of the stored answers, as JSON; `next` names where the next one begins, null after the last."""
    try:
        after = bytes.fromhex(params.after)
    except ValueError:
        raise BadInputError(
            f"`after` is no entry: {params.after[:40]!r}.", tips=["use `next` of the page before"]
        ) from None
    entries, following = await services.lookup.page(after, params.limit)
    return {
        "entries": [_outward(entry) for entry in entries],
        "next": following.hex() if following is not None else None,
    }


@method("cache.import")
async def cache_import(services: Services, caller: Caller, params: ImportParams) -> dict[str, Any]:
    """Stores entries that `cache.export` gave; one that is already there is replaced."""
    entries = [_inward(number, one) for number, one in enumerate(params.entries)]
    for entry, by_meaning in entries:
        services.gateway.keeper.keep(entry, by_meaning=by_meaning)
    return {"imported": len(entries)}


@method("forget")
async def forget(services: Services, caller: Caller, params: ForgetParams) -> dict[str, Any]:
    """Forgets prompts, answers, vectors and sessions, in every tier: of a workspace, since a time, or all of them.

    `everywhere` is false where the disk or a shared tier was away; what it still holds ends by its age.
    """
    if [params.workspace is not None, params.since is not None, params.all].count(True) != 1:
        raise BadInputError(
            "`forget` takes one of `workspace`, `since` and `all`.", tips=["beast forget --since 2026-11-20T09:00:00Z"]
        )
    since_s = _time(params.since)

    def matches(entry: Entry) -> bool:
        if params.workspace is not None:
            return entry.workspace == params.workspace
        return since_s is None or entry.stored_at_s >= since_s

    keys = await _matching(services, matches)
    sessions = [] if params.workspace is not None else await services.sessions.between(since_s or 0.0)
    said = await services.ledger.forget_content(since_s, params.workspace, dry_run=params.dry_run)
    gone: dict[str, Any] = {
        "entries": len(keys),
        "sessions": len(sessions),
        "contents": said,
        "dry_run": params.dry_run,
    }
    if not params.dry_run:
        await services.forget_entries(keys)
        if params.all:
            await cache_clear(services, caller, Nothing())
            services.comparison.forget()
        for name in sessions:
            await services.sessions.remove(name)
        gone["everywhere"] = await services.lookup.settle()
        if services.semantic is not None:
            services.semantic.purge()
    return gone


async def _matching(services: Services, matches: Callable[[Entry], bool]) -> list[bytes]:
    found: list[bytes] = []
    after: bytes | None = b""
    while after is not None:
        entries, after = await services.lookup.page(after, PAGE)
        found += [entry.key for entry in entries if matches(entry)]
    return found


def _outward(entry: Entry) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(entry, vector=b""), builtin_types=(bytes,))
    shown |= {"key": entry.key.hex(), "scope": entry.scope.hex(), "by_meaning": bool(entry.vector)}
    del shown["vector"], shown["embedder"]
    return shown


def _inward(number: int, shown: dict[str, Any]) -> tuple[Entry, bool]:
    try:
        fields = {name: value for name, value in shown.items() if name not in ("by_meaning", "vector", "embedder")}
        fields |= {"key": bytes.fromhex(shown["key"]), "scope": bytes.fromhex(shown["scope"])}
        entry = msgspec.convert(fields, Entry, builtin_types=(bytes,))
        if len(entry.key) != 16 or len(entry.scope) != 16:
            raise ValueError("a key has 16 bytes")
    except (KeyError, TypeError, ValueError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise BadInputError(
            f"Entry {number} is not one that was exported: {what}.", tips=["import what beast cache export wrote"]
        ) from None
    return entry, shown.get("by_meaning") is True


def _time(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parse_rfc3339(text)
    except ValueError:
        raise BadInputError(f"`since` is no time: {text[:40]!r}.", tips=["write it as 2026-11-20T09:00:00Z"]) from None
