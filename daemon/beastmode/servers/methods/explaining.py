"""`requests.explain`: how a request's cost adds up, which stored answer it got or left, and what was stored near it."""

from __future__ import annotations

from typing import Any

import msgspec

from beastmode.cache.key import Key
from beastmode.cache.variants import fronts
from beastmode.core.clock import rfc3339
from beastmode.core.types import Entry, Message, Request, Usage
from beastmode.costs.arithmetic import from_words, token_parts
from beastmode.servers.methods.insight import RequestParams
from beastmode.servers.methods.table import method
from beastmode.servers.services import Caller, Services

_WHY = {
    "hit_exact": "The same question was stored before.",
    "hit_semantic": "The same question was stored before, in other words.",
    "miss": "Nothing that was stored answers it.",
    "stale": "What was stored is no longer true: its files have changed, or it was too old.",
    "bypass": "The cache was not asked, or this request may be matched word for word only.",
    None: "The cache was not asked: the request ended before.",
}
_FLIGHT = "An identical request was being answered; this one waited for it."


@method("requests.explain")
async def requests_explain(services: Services, caller: Caller, params: RequestParams) -> dict[str, Any]:
    """Explains one request: `arithmetic` of its cost, the stored `entry` it got or left, `neighbours` of that now."""
    row = await services.ledger.get(params.request_id)
    entry = await _entry(services, params.request_id)
    result, tier = row["cache"]["result"], row["cache"]["tier"]
    near = await _neighbours(services, entry) if entry is not None else {}
    return {
        "request_id": params.request_id,
        "arithmetic": arithmetic(row),
        "why": _FLIGHT if tier == "flight" else _WHY.get(result, ""),
        "entry": _shown(entry) if entry is not None else None,
        "neighbours": near.get("neighbours", []),
        "threshold": near.get("threshold"),
    }


def arithmetic(row: dict[str, Any]) -> dict[str, Any] | None:
    """Takes the cost of a row apart.

    Args:
        row: As the ledger shows it.

    Returns:
        `{source, terms, parts: [{what, amount, rate_usd, per, usd}], rest_usd}`; `rest_usd` is what tokens do not
        explain, such as seconds. None where no tokens or no price are known.
    """
    cost_usd, words = row["cost_usd"], row["price"]
    usage = msgspec.convert(row["usage"], Usage)
    if cost_usd is None or not words or usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    quoted = from_words(words)
    parts = [
        {**part._asdict(), "usd": None if part.rate_usd is None else part.amount * part.rate_usd / part.per}
        for part in token_parts(quoted.price, usage)
        if part.amount
    ]
    rest_usd = round(cost_usd - sum(part["usd"] or 0.0 for part in parts), 9)
    return {"source": quoted.source, "terms": list(quoted.terms), "parts": parts, "rest_usd": rest_usd}


async def _entry(services: Services, request_id: str) -> Entry | None:
    key = services.gateway.keeper.entry_of(request_id)
    entry = await services.lookup.peek(key) if key is not None else None
    paid_by = services.gateway.keeper.variant_of(request_id)
    if entry is None or paid_by is None:
        return entry
    return next((one for one in fronts(entry) if one.request_id == paid_by), entry)


async def _neighbours(services: Services, entry: Entry) -> dict[str, Any]:
    """What is stored near an entry now, itself left out."""
    semantic = services.semantic
    if semantic is None or not entry.text:
        return {}
    request = Request(model=entry.model, messages=[Message("user", entry.text)])
    decision = await semantic.explain(request, Key(entry.key, entry.scope, entry.text))
    others = [one for one in decision.neighbours if one.entry != entry.key.hex()]
    return {"neighbours": others, "threshold": decision.threshold}


def _shown(entry: Entry) -> dict[str, Any]:
    return {
        "entry": entry.key.hex(),
        "text": entry.text,
        "model": entry.model,
        "cost_usd": entry.cost_usd,
        "stored_at": rfc3339(entry.stored_at_s),
    }
