"""`cache.invalidate/clear/export/import` and `forget`: taking stored answers out, and moving them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from beastmode.cache.variants import VARIANTS_MAX
from beastmode.core.clock import parse_rfc3339
from beastmode.core.errors import BadInputError
from beastmode.core.types import Entry, Variant
from beastmode.servers.methods.table import Nothing, method
from beastmode.servers.services import Caller, Services
from beastmode.workspace.features.resuming import Shelf

PAGE = 200

Answered = Entry | Variant
"""The answer of an entry, or one of its further ones."""
Meant = Callable[[Entry, Answered], bool]
"""Says of an entry and one of its answers whether that is to go."""


class Counted(msgspec.Struct, frozen=True):
    """An entry that answers are to be taken out of.

    Attributes:
        key: Its exact key.
        is_all: It has no others.
    """

    key: bytes
    is_all: bool


class InvalidateParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which answers to take out; all that is given must hold.

    Attributes:
        model: Given by this model.
        workspace: Of this workspace.
        path: Made from this file, or from files in this folder: as the workspace names it, or absolute.
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
    """Takes answers out of every tier by model, workspace, file, tag or age.

    Of an entry that has several answers, made from other pieces of a workspace each, those that are meant are taken
    out. `entries` counts the entries that lose something.
    """
    if params == InvalidateParams(dry_run=params.dry_run):
        raise BadInputError("`cache.invalidate` wants to know which answers.", tips=["all of them: cache.clear"])
    now_s = services.clock.wall_s()
    roots = await asyncio.to_thread(_names_of, params.workspace)

    def meant(entry: Entry, answer: Answered) -> bool:
        return (
            params.model in (None, answer.model)
            and (roots is None or entry.workspace in roots)
            and (params.path is None or _made_from(entry, answer, params.path))
            and (params.tag is None or params.tag in entry.tags)
            and (params.older_than_s is None or now_s - answer.stored_at_s >= params.older_than_s)
        )

    counted = await _matching(services, meant)
    if not params.dry_run:
        await _take_out(services, counted, meant)
    return {"entries": len(counted), "dry_run": params.dry_run}


def _names_of(workspace: str | None) -> frozenset[str] | None:
    """The names that one workspace goes by: as it was given, and its real path."""
    if workspace is None:
        return None
    return frozenset((workspace, workspace.rstrip("/"), os.path.realpath(workspace) if workspace else ""))


def _made_from(entry: Entry, answer: Answered, path: str) -> bool:
    wanted = path.rstrip("/")
    if wanted.startswith("/") and entry.workspace:
        wanted = wanted.removeprefix(entry.workspace.rstrip("/") + "/")
    paths = [*(digest.path for digest in entry.digests), *(piece.path for piece in answer.pieces)]
    return any(one in (path, wanted) or one.startswith(f"{wanted}/") for one in paths)


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

    A workspace that is forgotten is closed, and what was read of it deleted; so are all of them where all is forgotten.
    `everywhere` is false where the disk or a shared tier was away; what it still holds ends by its age.
    """
    if [params.workspace is not None, params.since is not None, params.all].count(True) != 1:
        raise BadInputError(
            "`forget` takes one of `workspace`, `since` and `all`.", tips=["beast forget --since 2026-11-20T09:00:00Z"]
        )
    since_s = _time(params.since)

    roots = await asyncio.to_thread(_names_of, params.workspace)

    def meant(entry: Entry, answer: Answered) -> bool:
        if roots is not None:
            return entry.workspace in roots
        return since_s is None or answer.stored_at_s >= since_s

    counted = await _matching(services, meant)
    sessions = [] if params.workspace is not None else await services.sessions.between(since_s or 0.0)
    said = await services.ledger.forget_content(since_s, params.workspace, dry_run=params.dry_run)
    gone: dict[str, Any] = {
        "entries": len(counted),
        "sessions": len(sessions),
        "contents": said,
        "dry_run": params.dry_run,
    }
    if not params.dry_run:
        await _forget_doings(services, since_s, roots)
        await _forget_readings(services, roots, params.all)
        await _take_out(services, counted, meant)
        if params.all:
            await cache_clear(services, caller, Nothing())
            services.comparison.forget()
        for name in sessions:
            await services.sessions.remove(name)
        gone["everywhere"] = await services.lookup.settle()
        if services.semantic is not None:
            services.semantic.purge()
    return gone


async def _forget_doings(services: Services, since_s: float | None, roots: frozenset[str] | None) -> None:
    """Forgets what was asked and worked on, as far as it is kept to be asked ahead, or to go on with."""
    await asyncio.to_thread(Shelf(services.paths.state / "generation").forget, since_s, roots)
    if services.refreshing is not None:
        services.refreshing.forget()
    if services.warming is not None:
        services.warming.forget()
    if services.hearing is not None:
        await services.hearing.heard()
    if services.activity is not None:
        for root in roots or (None,):
            await services.activity.forget(since_s, root)
    if services.patterns is not None:
        services.patterns.relearn()


async def _forget_readings(services: Services, roots: frozenset[str] | None, everything: bool) -> None:
    """Closes the workspaces that are meant, and deletes what was read of them."""
    for root in services.workspaces.known():
        if everything or (roots is not None and root in roots):
            await services.workspaces.close(root, forget=True)


async def _matching(services: Services, meant: Meant) -> list[Counted]:
    found: list[Counted] = []
    after: bytes | None = b""
    while after is not None:
        entries, after = await services.lookup.page(after, PAGE)
        for entry in entries:
            answers = [meant(entry, entry), *(meant(entry, one) for one in entry.variants)]
            if any(answers):
                found.append(Counted(entry.key, all(answers)))
    return found


async def _take_out(services: Services, counted: list[Counted], meant: Meant) -> None:
    """Takes the answers that are meant out of their entries, and entries that have no others out of everything."""
    gone = [one.key for one in counted if one.is_all]
    for one in counted:
        if not one.is_all:
            entry = await services.lookup.peek(one.key)
            if entry is not None and (await services.gateway.variants.drop(one.key, partial(meant, entry)))[1]:
                gone.append(one.key)
    await services.forget_entries(gone)


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
        if len(entry.variants) > VARIANTS_MAX:
            raise ValueError(f"an entry has at most {VARIANTS_MAX} variants")
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
