"""A request's papers: its ticket on the way, and the answer and the ledger row that are made from it at the end."""

from __future__ import annotations

import msgspec

from beastmode.cache.decision import Decision
from beastmode.cache.flight import Flight
from beastmode.cache.key import Key
from beastmode.cache.lookup import Found
from beastmode.core.clock import Clock
from beastmode.core.deltas import Begun, Delta, OnDelta
from beastmode.core.deployments import Deployment
from beastmode.core.errors import BeastError
from beastmode.core.rows import Row, RowCache
from beastmode.core.types import Answer, CacheInfo, Completion, Entry, Outcome, Piece, Request, Route, Tier
from beastmode.routing.settling import Settled

UNCHARGED_KINDS = frozenset(
    {"budget", "connection_refused", "dns", "tls", "unreachable", "authentication", "rate_limited"}
)

NOTHING_REGISTERED = "nothing_registered"
"""The ledger's word for a request that came before the first model: it tells of the set-up, not of health."""


_STORED = Route(reason="stored answer")
_TIERS: tuple[Tier, ...] = ("L1", "L2", "L3", "flight")
_EXACT = {tier: RowCache("hit_exact", tier) for tier in _TIERS}
"""Made once, as they are the same for every hit."""


class Ticket:
    """One request on its way: what was asked, when, and whether its row is written.

    Attributes:
        request: What was asked; its `request_id` is set.
        key: Its cache key.
        started_s: Monotonic clock at its arrival.
        at_s: Wall clock at its arrival.
        leads: Its row is written by the upstream call that it started.
        follows: It waits for an identical request's call.
        attempts: Upstream calls made for it so far.
        deployment: The deployment that was called last.
        gone: The kind of its end, where the caller left before the answer came.
        exact_only: Why no other wording was looked for; None where it was.
        decision: What the semantic step found.
        completion: The answer, once it is there.
        answer: As it is told, where a stored answer is about to be replayed.
        brought: The answer of its own upstream call.
        overhead_ms: The part of its time that was ours: what came before the upstream call, then all.
        flight: The upstream call that it waits for, its own or another's.
        free: The calls made for it cost nothing, whatever comes of them.
        stale: Something is stored for it, and nothing of that is true any more.
        sources: The pieces of the workspace that its answer was made from.
        seen: The entry whose pieces were compared with the files.
    """

    __slots__ = (
        "answer",
        "at_s",
        "attempts",
        "brought",
        "completion",
        "decision",
        "deployment",
        "exact_only",
        "first_delta_s",
        "flight",
        "follows",
        "free",
        "gone",
        "key",
        "leads",
        "overhead_ms",
        "recorded",
        "request",
        "seen",
        "sources",
        "stale",
        "started_s",
    )

    def __init__(self, request: Request, key: Key, started_s: float, at_s: float) -> None:
        self.request = request
        self.key = key
        self.started_s = started_s
        self.at_s = at_s
        self.first_delta_s: float | None = None
        self.leads = False
        self.follows = False
        self.attempts = 0
        self.deployment: Deployment | None = None
        self.recorded = False
        self.gone: str | None = None
        self.exact_only: str | None = None
        self.decision: Decision | None = None
        self.completion: Completion | None = None
        self.answer: Answer | None = None
        self.brought: Answer | None = None
        self.overhead_ms: float | None = None
        self.flight: Flight[Settled] | None = None
        self.free = False
        self.stale = False
        self.sources: list[Piece] | None = None
        self.seen: Entry | None = None


def timed(ticket: Ticket, on_delta: OnDelta | None, clock: Clock) -> OnDelta | None:
    """Notes when the first piece of the answer reached this caller.

    Args:
        ticket: The request.
        on_delta: Where the caller wants it; None: nowhere.
        clock: Time.
    """
    if on_delta is None:
        return None

    def noting(delta: Delta) -> None:
        if ticket.first_delta_s is None and type(delta) is not Begun:
            ticket.first_delta_s = clock.mono_s()
        on_delta(delta)

    return noting


def stored_entry(ticket: Ticket, key: Key, settled: Settled, now_s: float, pieces: list[Piece] | None = None) -> Entry:
    """A complete answer as the cache keeps it.

    Args:
        ticket: The request that paid for it.
        key: The key it is stored under.
        settled: The call.
        now_s: Wall clock.
        pieces: What of the workspace it was made from.
    """
    request, completion = ticket.request, settled.completion
    if completion.reply is not None and request.kind != "embedding":
        completion = msgspec.structs.replace(completion, reply=None)
    return Entry(
        key=key.exact,
        scope=key.scope,
        text=key.text,
        completion=completion,
        model=settled.deployment.model,
        provider=settled.deployment.provider,
        cost_usd=settled.cost_usd,
        stored_at_s=now_s,
        digests=request.digests,
        pieces=pieces or [],
        workspace=request.workspace,
        tags=request.tags,
        request_id=request.request_id,
    )


def missed(ticket: Ticket, mode: str) -> CacheInfo:
    """What the cache did for a request that it did not answer.

    Args:
        ticket: The request.
        mode: What the cache was allowed to do.
    """
    if mode != "default":
        return CacheInfo(result="bypass", why=f"the request said cache={mode}")
    decision = ticket.decision
    if ticket.stale:
        return CacheInfo(result="stale", why="what the stored answer was made from has changed since")
    if ticket.exact_only is not None:
        return CacheInfo(result="bypass", why=ticket.exact_only)
    if decision is None:
        return CacheInfo(result="miss", why="no stored answer for this request")
    return CacheInfo(result="miss", similarity=decision.similarity, confidence=decision.confidence, why=decision.why)


def hit_answer(ticket: Ticket, found: Found, latency_ms: float) -> Answer:
    """The answer to a request that the cache had.

    Args:
        ticket: The request.
        found: What is stored, and in which tier.
        latency_ms: Since its arrival.
    """
    entry, request, decision = found.entry, ticket.request, ticket.decision
    return Answer(
        request_id=request.request_id,
        text=entry.completion.text,
        model=entry.model,
        provider=entry.provider,
        usage=entry.completion.usage,
        cost_usd=0.0,
        saved_usd=entry.cost_usd,
        latency_ms=latency_ms,
        ttft_ms=None,
        finish_reason=entry.completion.finish_reason,
        cache=_hit(decision, found.tier, max(0.0, ticket.at_s - entry.stored_at_s)),
        route=_STORED,
        tool_calls=entry.completion.tool_calls,
        session_id=request.session_id,
        sources=ticket.sources or [],
    )


def hit_row(ticket: Ticket, found: Found, latency_ms: float) -> Row:
    """The row of a request that the cache had; made in one go, since this is the hot path.

    Args:
        ticket: The request.
        found: What is stored, and in which tier.
        latency_ms: Since its arrival.
    """
    entry, request = found.entry, ticket.request
    row = Row(
        request_id=request.request_id,
        at_s=ticket.at_s,
        origin=request.origin,
        outcome="success",
        cache=_EXACT[found.tier],
        model=request.model,
        model_served=entry.model,
        provider=entry.provider,
        usage=entry.completion.usage,
        cost_usd=0.0,
        saved_usd=entry.cost_usd,
        latency_ms=latency_ms,
        overhead_ms=latency_ms,
        stream=request.stream,
        user=request.user,
        workspace=request.workspace,
        client=request.client,
        session_id=request.session_id,
        tags=request.tags,
        kind=request.kind,
        traceparent=request.traceparent,
    )
    if ticket.decision is not None:
        row.cache = RowCache("hit_semantic", found.tier)
        row.similarity, row.confidence = ticket.decision.similarity, ticket.decision.confidence
    return row


def _hit(decision: Decision | None, tier: Tier, age_s: float) -> CacheInfo:
    if decision is None:
        return CacheInfo(result="hit_exact", tier=tier, age_s=age_s, why="the same request was answered before")
    similarity, confidence = decision.similarity, decision.confidence
    return CacheInfo(
        result="hit_semantic", tier=tier, similarity=similarity, confidence=confidence, age_s=age_s, why=decision.why
    )


def told(
    ticket: Ticket,
    settled: Settled,
    cache: CacheInfo,
    now_s: float,
    cost_usd: float | None,
    saved_usd: float | None = 0.0,
) -> Answer:
    """The answer that an upstream call brought, as one of its waiters gets it.

    Args:
        ticket: The waiter's request.
        settled: The call.
        cache: What the cache did for this waiter.
        now_s: Monotonic clock.
        cost_usd: What it cost this waiter; None is unknown.
        saved_usd: What it saved this waiter; None is unknown.
    """
    first_s = ticket.first_delta_s if ticket.request.stream else None
    return Answer(
        request_id=ticket.request.request_id,
        text=settled.completion.text,
        model=settled.deployment.model,
        provider=settled.deployment.provider,
        usage=settled.completion.usage,
        cost_usd=cost_usd,
        saved_usd=saved_usd,
        latency_ms=(now_s - ticket.started_s) * 1e3,
        ttft_ms=(first_s - ticket.started_s) * 1e3 if first_s is not None else None,
        finish_reason=settled.completion.finish_reason,
        cache=cache,
        route=settled.route,
        tool_calls=settled.completion.tool_calls,
        session_id=ticket.request.session_id,
        sources=ticket.sources or [],
    )


def told_row(ticket: Ticket, outcome: Outcome, settled: Settled, answer: Answer, overhead_ms: float | None) -> Row:
    """The row of a request that an upstream call answered.

    Args:
        ticket: The request.
        outcome: success, or cancelled where its caller had left.
        settled: The call.
        answer: From `told`.
        overhead_ms: The part of its time that was ours; None where it was not measured.
    """
    row = bare_row(ticket, outcome, answer.latency_ms)
    row.cache = RowCache(answer.cache.result, answer.cache.tier)
    row.similarity, row.confidence = answer.cache.similarity, answer.cache.confidence
    row.model_served = answer.model
    row.deployment = settled.deployment.id
    row.provider = answer.provider
    row.usage = answer.usage
    row.cost_usd = answer.cost_usd
    row.price_source = settled.price_source if answer.cache.tier != "flight" else None
    row.saved_usd = answer.saved_usd
    row.saved_route_usd = settled.saved_route_usd if answer.cache.tier != "flight" else None
    row.ttft_ms = answer.ttft_ms
    row.overhead_ms = overhead_ms
    row.attempts = settled.route.attempts if answer.cache.tier != "flight" else 0
    row.fell_back = settled.route.fell_back
    row.route = settled.route.reason
    row.error_kind = ticket.gone
    return row


def failure_row(ticket: Ticket, error: BeastError, outcome: Outcome, now_s: float) -> Row:
    """The row of a request that ended without an answer.

    Args:
        ticket: The request.
        error: Why.
        outcome: failure, refused or cancelled.
        now_s: Monotonic clock.
    """
    row = bare_row(ticket, outcome, (now_s - ticket.started_s) * 1e3)
    nobody = error.details.get("cause") == NOTHING_REGISTERED
    row.error_kind = ticket.gone or (NOTHING_REGISTERED if nobody else error.kind)
    row.error_tip = " ".join([error.message, *error.tips[:1]])
    row.attempts = ticket.attempts
    if not ticket.attempts or ticket.free or error.kind in UNCHARGED_KINDS:
        row.cost_usd = 0.0
    if ticket.deployment is not None:
        row.deployment, row.provider = ticket.deployment.id, ticket.deployment.provider
    if ticket.leads:
        row.cache = RowCache(missed(ticket, ticket.request.cache).result)
    elif ticket.follows:
        row.cache, row.cost_usd = RowCache("hit_exact", "flight"), 0.0
    elif ticket.stale:
        row.cache = RowCache("stale")
    return row


def bare_row(ticket: Ticket, outcome: Outcome, latency_ms: float) -> Row:
    """What is known of a request at any time.

    Args:
        ticket: The request.
        outcome: How it ended.
        latency_ms: Since its arrival.
    """
    request = ticket.request
    row = Row(
        request_id=request.request_id,
        at_s=ticket.at_s,
        origin=request.origin,
        outcome=outcome,
        model=request.model,
        latency_ms=latency_ms,
        stream=request.stream,
        user=request.user,
        workspace=request.workspace,
        client=request.client,
        session_id=request.session_id,
        tags=request.tags,
        kind=request.kind,
        traceparent=request.traceparent,
    )
    if ticket.decision is not None:
        row.similarity, row.confidence = ticket.decision.similarity, ticket.decision.confidence
    return row
