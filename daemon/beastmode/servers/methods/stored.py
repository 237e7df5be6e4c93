"""`cache.*`: what is stored, by hand."""

from __future__ import annotations

from typing import Any

import msgspec

from beastmode.cache.key import Key, make_key
from beastmode.core.types import Completion, Entry, Message, Request
from beastmode.servers.methods.table import Nothing, method
from beastmode.servers.services import Caller, Services


class LookupParams(msgspec.Struct, forbid_unknown_fields=True):
    """What to look up.

    Attributes:
        prompt: The question.
        model: Any model id, registered or not.
        scope: Any text; answers of another scope are not seen.
    """

    prompt: str
    model: str = "auto"
    scope: str = ""


class PutParams(msgspec.Struct, forbid_unknown_fields=True):
    """What to store.

    Attributes:
        prompt: The question.
        response: The answer.
        model: Any model id, registered or not.
        scope: Any text; the answer is seen in this scope only.
    """

    prompt: str
    response: str
    model: str = "auto"
    scope: str = ""


class LookupResult(msgspec.Struct, kw_only=True):
    """What is stored for a prompt.

    Attributes:
        hit: Something is.
        response: The stored answer.
        result: hit_exact or miss.
        tier: The tier that had it.
        similarity: Cosine of the two prompts, where a vector decided.
        confidence: Probability that both prompts want the same answer; 1 for the very same prompt.
        why: One sentence.
    """

    hit: bool
    response: str | None
    result: str
    tier: str | None = None
    similarity: float | None = None
    confidence: float | None = None
    why: str = ""


def _key(caller: Caller, params: LookupParams | PutParams) -> Key:
    """The key of a plain question asked by this caller; a scope joins it as the workspace of no folder would."""
    extra = {"scope": params.scope} if params.scope else {}
    request = Request(model=params.model, messages=[Message("user", params.prompt)], params=extra, user=caller.user)
    return make_key(request)


@method("cache.lookup")
async def cache_lookup(services: Services, caller: Caller, params: LookupParams) -> LookupResult:
    """Looks a prompt up without calling a model; leaves no row in the ledger."""
    found = await services.lookup.find(_key(caller, params))
    if found is None:
        return LookupResult(hit=False, response=None, result="miss", why="no stored answer for this prompt")
    return LookupResult(
        hit=True,
        response=found.entry.completion.text,
        result="hit_exact",
        tier=found.tier,
        confidence=1.0,
        why="the same prompt was stored before",
    )


@method("cache.put")
def cache_put(services: Services, caller: Caller, params: PutParams) -> dict[str, Any]:
    """Stores an answer by hand; when it answers, the entry can be found and survives a kill of the daemon."""
    key = _key(caller, params)
    services.lookup.store(
        Entry(
            key=key.exact,
            scope=key.scope,
            text=key.text,
            completion=Completion(text=params.response, finish_reason="stop"),
            model=params.model,
            stored_at_s=services.clock.wall_s(),
        )
    )
    return {"stored": True, "entry": key.exact.hex()}


@method("cache.stats")
def cache_stats(services: Services, caller: Caller, params: Nothing) -> dict[str, Any]:
    """Counts entries, bytes, hits and misses of each tier."""
    return services.lookup.stats()


@method("cache.clear")
def cache_clear(services: Services, caller: Caller, params: Nothing) -> dict[str, Any]:
    """Forgets every stored answer, in every tier."""
    services.lookup.clear()
    return {"cleared": True}
