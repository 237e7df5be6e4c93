"""`cache.lookup/put/explain/reject/stats`: what is stored for a prompt, by hand, and why."""

from __future__ import annotations

from typing import Any

import msgspec

from beastmode.cache.decision import Decision, Neighbour
from beastmode.cache.key import Key, make_key
from beastmode.core.errors import BadInputError, NotFoundError
from beastmode.core.types import Completion, Entry, Message, Request
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


class Explanation(msgspec.Struct, kw_only=True):
    """Why a prompt is or is not answered from the cache.

    Attributes:
        result: hit_exact, hit_semantic, miss or bypass.
        why: One sentence.
        scope: Digest of everything but the prompt; answers of another scope are never seen.
        entry: The key of this very prompt.
        threshold: Least confidence that is served here.
        neighbours: Stored prompts that are near, with similarity, confidence, deciding guard and differing words.
    """

    result: str
    why: str
    scope: str
    entry: str
    threshold: float | None = None
    neighbours: list[Neighbour] = []


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
async def cache_explain(services: Services, caller: Caller, params: LookupParams) -> Explanation:
    """Says why a prompt is or is not answered from the cache: scope, neighbours, what differs, who decided."""
    request, key = _asked(services, caller, params)
    exact = await services.lookup.find(key)
    if services.semantic is None:
        decision = Decision(result="miss", why="no embedder is installed: beast plugins")
    else:
        await services.semantic.prepare()
        decision = await services.semantic.explain(request, key)
    result = "hit_exact" if exact is not None else "hit_semantic" if decision.result == "hit" else decision.result
    return Explanation(
        result=result,
        why="the same prompt was stored before" if exact is not None else decision.why,
        scope=key.scope.hex(),
        entry=key.exact.hex(),
        threshold=decision.threshold,
        neighbours=decision.neighbours,
    )


@method("cache.reject")
async def cache_reject(services: Services, caller: Caller, params: RejectParams) -> dict[str, Any]:
    """Says that a stored answer was wrong: the pair of prompts is denied for good, or the entry removed."""
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
    if key is None:
        raise NotFoundError(
            f"Which stored answer {params.request_id} got is not known any more.",
            tips=["beast cache explain PROMPT names the entry; then: beast cache reject --entry ENTRY"],
        )
    await services.forget_entries([key])
    return {"rejected": "entry", "entry": key.hex()}


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

    `stale` counts answers that were found and were too old to be served, by the tier that keeps them longest.
    """
    stats = services.lookup.stats()
    longest = stats.get("l2") or stats.get("l1")
    stats["stale"] = longest.expired if longest is not None else 0
    if services.semantic is not None:
        stats["semantic"] = services.semantic.stats()
    return stats
