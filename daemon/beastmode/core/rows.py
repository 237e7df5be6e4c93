"""The row that every request leaves in the ledger."""

from __future__ import annotations

import msgspec

from beastmode.core.types import CacheResult, Completion, Kind, Origin, Outcome, Request, Tier, Usage

AGAINST = "; against "
"""In the words of a price it stands before the model against which the saving of routing is told."""


CONTENT_MAX_BYTES = 64 << 10
"""So much is kept of a prompt, and of an answer, where the user keeps them."""


class RowCache(msgspec.Struct, frozen=True):
    """The cache's part of a ledger row."""

    result: CacheResult
    tier: Tier | None = None


class Content(msgspec.Struct, frozen=True):
    """What was said, where the user keeps that.

    Attributes:
        prompt: The conversation as text; of a long one its end.
        answer: The text of the answer, else its tool calls; None: there was none.
    """

    prompt: str
    answer: str | None = None


class Row(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One request in the ledger, whatever happened to it.

    Attributes:
        request_id: Unique.
        at_s: Wall clock at its start, seconds since the epoch.
        origin: Who caused it.
        outcome: success, failure, refused or cancelled.
        cache: What the cache did; None where it was not asked.
        similarity: Cosine between the prompt and its nearest stored neighbour; None where none was looked for.
        confidence: The verifier's probability that the two want the same answer; None where it was not asked.
        model: The model asked for.
        model_served: The model that answered.
        deployment: The deployment that was called last.
        provider: Its plugin.
        error_kind: Kind of the error, where there was one.
        error_tip: Its message and first tip, without prompt or key.
        usage: Tokens; None is unknown.
        cost_usd: What it cost; None is unknown.
        price_source: Its price in words, as `costs.arithmetic.in_words` writes them: where it is from (`user`, `free`,
            or the table with its date), and the rates; None: nothing was priced.
        saved_usd: What a hit saved; None is unknown.
        saved_route_usd: What the user's baseline would have cost, less what it cost; None: no baseline, or unknown.
        latency_ms: Whole duration.
        ttft_ms: Time to the first text, where it was streamed.
        overhead_ms: The part of the duration that was ours; None where it was not measured.
        attempts: Upstream calls.
        fell_back: Another deployment than the first answered.
        stream: It was streamed.
        user: The caller.
        workspace: The workspace.
        client: The door.
        session_id: The session.
        tags: Labels.
        route: Reason of the route.
        content: What was asked and answered; None unless the user keeps that.
        kind: What was asked for.
        traceparent: The caller's span, as it named it.
    """

    request_id: str
    at_s: float
    origin: Origin
    outcome: Outcome
    cache: RowCache | None = None
    similarity: float | None = None
    confidence: float | None = None
    model: str = ""
    model_served: str | None = None
    deployment: str | None = None
    provider: str | None = None
    error_kind: str | None = None
    error_tip: str | None = None
    usage: Usage | None = None
    cost_usd: float | None = None
    price_source: str | None = None
    saved_usd: float | None = None
    saved_route_usd: float | None = None
    latency_ms: float | None = None
    ttft_ms: float | None = None
    overhead_ms: float | None = None
    attempts: int = 0
    fell_back: bool = False
    stream: bool = False
    user: str = ""
    workspace: str | None = None
    client: str = ""
    session_id: str | None = None
    tags: list[str] = []
    route: str | None = None
    content: Content | None = None
    kind: Kind = "chat"
    traceparent: str | None = None


def content_of(request: Request, completion: Completion | None) -> Content:
    """What was said in a request, as text, for a user who keeps that.

    Args:
        request: What was asked.
        completion: The answer, where there is one.
    """
    kept, left = [], CONTENT_MAX_BYTES
    for message in reversed(request.messages):
        if left <= 0:
            break
        body = message.content if isinstance(message.content, str) else _json(message.content or message.tool_calls)
        kept.append(_end(f"{message.role}: {body}", left))
        left -= len(kept[-1].encode("utf-8", "replace"))
    said = None if completion is None else completion.text or _json(completion.tool_calls)
    return Content("\n\n".join(reversed(kept)), None if said is None else _start(said))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode() if value else ""


def _end(text: str, most_bytes: int) -> str:
    cut = text[-most_bytes:].encode("utf-8", "replace")[-most_bytes:]
    return cut.decode("utf-8", "ignore")


def _start(text: str) -> str:
    return text[:CONTENT_MAX_BYTES].encode("utf-8", "replace")[:CONTENT_MAX_BYTES].decode("utf-8", "ignore")
