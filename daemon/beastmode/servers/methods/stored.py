"""`cache.lookup/put/explain/reject/stats`: what is stored for a prompt, by hand, and why."""

from __future__ import annotations

from typing import Any

import msgspec

from beastmode.cache.decision import Decision, Neighbour
from beastmode.cache.key import Key, make_key
from beastmode.cache.variants import answers_of
from beastmode.core.clock import rfc3339
from beastmode.core.errors import BadInputError, NotFoundError
from beastmode.core.types import Completion, Entry, Gathered, Message, Request, Variant
from beastmode.servers.methods.table import Nothing, method
from beastmode.servers.services import Caller, Services


class LookupParams(msgspec.Struct, forbid_unknown_fields=True):
    """What to look up.

    Attributes:
        prompt: The question.
        model: Any model id, registered or not; absent: the setting `routing.default_model`.
        scope: Any text; answers of another scope are not seen.
    """

    prompt: str
    model: str | None = None
    scope: str = ""


class PutParams(msgspec.Struct, forbid_unknown_fields=True):
    """What to store.

    Attributes:
        prompt: The question.
        response: The answer.
        model: Any model id, registered or not; absent: the setting `routing.default_model`.
        scope: Any text; the answer is seen in this scope only.
        tags: Labels, to invalidate it by.
    """

    prompt: str
    response: str
    model: str | None = None
    scope: str = ""
    tags: list[str] = []


class RejectParams(msgspec.Struct, forbid_unknown_fields=True):
    """Which stored answer was wrong.

    Attributes:
        request_id: The request that got it.
        entry: The entry itself, as `cache.explain` or `cache.put` names it.
    """

    request_id: str | None = None
    entry: str | None = None


class LookupResult(msgspec.Struct, kw_only=True):
    """What is stored for a prompt.

    Attributes:
        hit: Something is.
        response: The stored answer.
        result: hit_exact, hit_semantic, miss, or bypass where the prompt is matched exactly only.
        tier: The tier that had it.
        similarity: Cosine of the two prompts, where a vector decided.
        confidence: Probability that both prompts want the same answer; 1 for the very same prompt.
        why: One sentence.
        entry: The entry that was found.
    """

    hit: bool
    response: str | None
    result: str
    tier: str | None = None
    similarity: float | None = None
    confidence: float | None = None
    why: str = ""
    entry: str | None = None


class ExplainParams(LookupParams, forbid_unknown_fields=True):
    """What to explain.

    Attributes:
        workspace: The open workspace that the question is about, where it was asked with what is found there.
    """

    workspace: str | None = None


class VariantShown(msgspec.Struct, kw_only=True):
    """A stored answer that was made from pieces of a workspace.

    Attributes:
        holds: All of them are what they were: it would be served.
        paths: The files that they lie in.
        changed: Those of them whose pieces are other ones now, or gone.
        model: The model that gave it.
        stored_at: RFC 3339, UTC.
        request_id: The request that paid for it.
    """

    holds: bool
    paths: list[str]
    changed: list[str]
    model: str
    stored_at: str
    request_id: str


class Explanation(msgspec.Struct, kw_only=True):
    """Why a prompt is or is not answered from the cache.

    Attributes:
        result: hit_exact, hit_semantic, miss, bypass, or stale: what is stored is not true any more.
        why: One sentence.
        scope: Digest of everything but the prompt; answers of another scope are never seen.
        entry: The key of this very prompt.
        threshold: Least confidence that is served here.
        neighbours: Stored prompts that are near, with similarity, confidence, deciding guard and differing words.
        variants: Of a question about a workspace: its stored answers, the last used first.
    """

    result: str
    why: str
    scope: str
    entry: str
    threshold: float | None = None
    neighbours: list[Neighbour] = []
    variants: list[VariantShown] = []


def _asked(services: Services, caller: Caller, params: LookupParams | PutParams) -> tuple[Request, Key]:
    """The plain question that this caller would ask, and its key, which the scope joins."""
    extra = {"scope": params.scope} if params.scope else {}
    model = params.model or services.settings.routing.default_model
    request = Request(model=model, messages=[Message("user", params.prompt)], params=extra, user=caller.user)
    return request, make_key(request)


@method("cache.lookup")
async def cache_lookup(services: Services, caller: Caller, params: LookupParams) -> LookupResult:
    """Looks a prompt up, by meaning too and to the end of it, without calling a model; leaves no row in the ledger."""
    request, key = _asked(services, caller, params)
    found = await services.lookup.find(key)
    if found is not None:
        return LookupResult(
            hit=True,
            response=found.entry.completion.text,
            result="hit_exact",
            tier=found.tier,
            confidence=1.0,
            why="the same prompt was stored before",
            entry=found.entry.key.hex(),
        )
    decision = await _decide(services, request, key)
    hit = decision.found
    return LookupResult(
        hit=hit is not None,
        response=hit.entry.completion.text if hit is not None else None,
        result="hit_semantic" if hit is not None else decision.result,
        tier=hit.tier if hit is not None else None,
        similarity=decision.similarity,
        confidence=decision.confidence,
        why=decision.why,
        entry=hit.entry.key.hex() if hit is not None else None,
    )


async def _decide(services: Services, request: Request, key: Key) -> Decision:
    semantic = services.semantic
    if semantic is None:
        return Decision(result="miss", why="no embedder is installed: beast plugins")
    await semantic.prepare()
    why = semantic.why_not(request, key)
    if why is not None:
        return Decision(result="bypass", why=why)
    return await semantic.decide(key)


@method("cache.put")
async def cache_put(services: Services, caller: Caller, params: PutParams) -> dict[str, Any]:
    """Stores an answer by hand; when it answers, the entry can be found, by vector too, and survives a kill."""
    request, key = _asked(services, caller, params)
    entry = Entry(
        key=key.exact,
        scope=key.scope,
        text=key.text,
        completion=Completion(text=params.response, finish_reason="stop"),
        model=request.model,
        stored_at_s=services.clock.wall_s(),
        tags=params.tags,
    )
    semantic = services.semantic
    if semantic is not None:
        await semantic.prepare()
        if semantic.why_not(request, key) is None:
            entry = await semantic.vectorise(entry)
    services.lookup.store(entry)
    if semantic is not None:
        await semantic.add(entry)
    return {"stored": True, "entry": key.exact.hex(), "by_meaning": bool(entry.vector)}


@method("cache.explain")
async def cache_explain(services: Services, caller: Caller, params: ExplainParams) -> Explanation:
    """Says why a prompt is or is not answered from the cache: scope, neighbours, what differs, who decided.

    Of a question about a workspace it says which of its stored answers are true now, and which files changed.
    """
    request, key = _asked(services, caller, params)
    if params.workspace is not None:
        key = _about_workspace(services, request, params.workspace)
    exact = await services.lookup.find(key)
    variants = await _variants(services, request, exact.entry) if exact is not None and exact.entry.pieces else []
    if services.semantic is None:
        decision = Decision(result="miss", why="no embedder is installed: beast plugins")
    else:
        await services.semantic.prepare()
        decision = await services.semantic.explain(request, key)
    result: str = "hit_exact" if exact is not None else "hit_semantic" if decision.result == "hit" else decision.result
    why = "the same prompt was stored before" if exact is not None else decision.why
    if variants and not any(one.holds for one in variants):
        result, why = "stale", f"changed since: {', '.join(variants[0].changed)}"
    return Explanation(
        result=result,
        why=why,
        scope=key.scope.hex(),
        entry=key.exact.hex(),
        threshold=decision.threshold,
        neighbours=decision.neighbours,
        variants=variants,
    )


def _about_workspace(services: Services, request: Request, path: str) -> Key:
    """Makes a request one about a workspace; its key is that of what `chat` asks there."""

    async def nothing() -> Gathered:
        return Gathered(request.messages, [])

    workspace = services.workspaces.find(path)
    request.workspace, request.gather = path if workspace is None else workspace.root, nothing
    return make_key(request)


async def _variants(services: Services, request: Request, entry: Entry) -> list[VariantShown]:
    hold = services.gateway.variants.hold
    shown = []
    for one in answers_of(entry):
        paths = list(dict.fromkeys(piece.path for piece in one.pieces))
        pieces = {path: [piece for piece in one.pieces if piece.path == path] for path in paths}
        changed = [path for path in paths if await hold(request, pieces[path]) is None]
        shown.append(
            VariantShown(
                holds=not changed,
                paths=paths,
                changed=changed,
                model=one.model,
                stored_at=rfc3339(one.stored_at_s),
                request_id=one.request_id,
            )
        )
    return shown


@method("cache.reject")
async def cache_reject(services: Services, caller: Caller, params: RejectParams) -> dict[str, Any]:
    """Says that a stored answer was wrong: the pair of prompts is denied for good, or the entry removed.

    Of an entry that has several answers, made from other pieces of a workspace each, a request's own is removed.
    """
    semantic = services.semantic
    if (params.request_id is None) == (params.entry is None):
        raise BadInputError("`cache.reject` takes either `request_id` or `entry`.", tips=["beast requests"])
    if params.request_id is not None:
        pair = semantic.pairs.of_request(params.request_id) if semantic is not None else None
        if semantic is not None and pair is not None:
            query, entry = bytes.fromhex(pair.query), bytes.fromhex(pair.entry)
            semantic.pairs.deny(query, entry, pair.group, params.request_id)
            return {"rejected": "pair", "entry": pair.entry}
        await services.ledger.get(params.request_id)  # an unknown request is said to be unknown
        key = services.gateway.keeper.entry_of(params.request_id)
    else:
        key = _entry_key(params.entry or "")
    paid_by = services.gateway.keeper.variant_of(params.request_id or "")
    went, all_gone = (1, True) if key is None or paid_by is None else await _drop_variant(services, key, paid_by)
    if key is None or not went:
        raise NotFoundError(
            f"Which stored answer {params.request_id} got is not known any more.",
            tips=["beast cache explain PROMPT names the entry; then: beast cache reject --entry ENTRY"],
        )
    if not all_gone:
        return {"rejected": "variant", "entry": key.hex()}
    await services.forget_entries([key])
    return {"rejected": "entry", "entry": key.hex()}


async def _drop_variant(services: Services, key: bytes, paid_by: str) -> tuple[int, bool]:
    """Takes one answer out of an entry: whether it was there, and whether there is no other in it."""

    def meant(variant: Variant) -> bool:
        return variant.request_id == paid_by

    return await services.gateway.variants.drop(key, meant)


def _entry_key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 16:
        raise BadInputError(
            f"{text[:40]!r} names no entry.", tips=["32 hexadecimal digits, as cache.explain shows them"]
        )
    return key


@method("cache.stats")
def cache_stats(services: Services, caller: Caller, params: Nothing) -> dict[str, Any]:
    """Counts entries, bytes, hits and misses of each tier, stale answers, and what the semantic step decided and why.

    `stale` counts answers that were found and not served: they were too old (by the tier that keeps them longest), or
    what they were made from had changed.
    """
    stats = services.lookup.stats()
    longest = stats.get("l2") or stats.get("l1")
    stats["stale"] = services.gateway.variants.stale + (longest.expired if longest is not None else 0)
    if services.semantic is not None:
        stats["semantic"] = services.semantic.stats()
    return stats
