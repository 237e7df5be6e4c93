"""The answer a caller gets and the row the ledger gets say the same, each field of them, whatever happened."""

from __future__ import annotations

import msgspec
import pytest

from beastmode.accounts import (
    Ticket,
    bare_row,
    failure_row,
    hit_answer,
    hit_row,
    missed,
    stored_entry,
    timed,
    told,
    told_row,
)
from beastmode.cache.decision import Decision
from beastmode.cache.key import make_key
from beastmode.cache.lookup import Found
from beastmode.core.deployments import Deployment
from beastmode.core.errors import (
    AuthenticationError,
    BeastError,
    DNSError,
    EndpointUnreachableError,
    RateLimitedError,
    RefusedConnectionError,
    TLSError,
    UpstreamError,
)
from beastmode.core.rows import Row, RowCache
from beastmode.core.types import (
    Answer,
    CacheInfo,
    Candidate,
    Completion,
    Digest,
    Entry,
    Message,
    Outcome,
    Request,
    Route,
    Usage,
)
from beastmode.routing.fallback import Served
from beastmode.routing.selector import Ranked
from beastmode.routing.settling import Settled, route_of
from support.routing_parts import StillClock

CALLS = [{"id": "c1", "type": "function", "function": {"name": "ls", "arguments": "{}"}}]
USAGE = Usage(prompt_tokens=12, completion_tokens=7)
ROUTE = Route(
    reason="the first that is healthy",
    candidates=[Candidate(model="custom:a", deployment="custom:a@h:1", why="healthy")],
    attempts=3,
    fell_back=True,
)
DEPLOYMENT = Deployment(id="custom:a@h:1", model="custom:a", provider="custom")


def ticket(stream: bool = False) -> Ticket:
    request = Request(
        model="auto",
        messages=[Message(role="user", content="hi")],
        workspace="/srv/w",
        user="uid:7",
        stream=stream,
        origin="warming",
        tags=["ci"],
        session_id="s1",
        client="http",
        request_id="req_1",
    )
    return Ticket(request, make_key(request), started_s=100.0, at_s=1_000.0)


def entry() -> Entry:
    return Entry(
        key=b"k" * 16,
        scope=b"s" * 16,
        text="hi",
        completion=Completion(text="Hello", finish_reason="tool_calls", usage=USAGE, tool_calls=CALLS),
        model="custom:a",
        provider="custom",
        cost_usd=0.25,
        stored_at_s=940.0,
    )


def settled() -> Settled:
    return Settled(
        completion=Completion(text="Hello", finish_reason="stop", usage=USAGE, tool_calls=CALLS),
        deployment=DEPLOYMENT,
        route=ROUTE,
        cost_usd=0.5,
        upstream_s=0.1,
    )


def row(outcome: Outcome, **more: object) -> Row:
    """What every row of the ticket says, and more."""
    plain = Row(
        request_id="req_1",
        at_s=1_000.0,
        origin="warming",
        outcome=outcome,
        model="auto",
        user="uid:7",
        workspace="/srv/w",
        client="http",
        session_id="s1",
        tags=["ci"],
    )
    return msgspec.structs.replace(plain, **more)


def meaning() -> Decision:
    return Decision(result="hit", why="another wording", similarity=0.97, confidence=0.9)


def test_a_new_ticket_has_done_nothing_yet() -> None:
    one = ticket()
    assert (one.started_s, one.at_s, one.attempts, one.deployment) == (100.0, 1_000.0, 0, None)
    assert (one.leads, one.follows, one.recorded) == (False, False, False)
    assert (one.gone, one.exact_only, one.decision, one.first_delta_s) == (None, None, None, None)


@pytest.mark.parametrize(
    ("asked", "second", "fell_back"),
    [("custom:a", False, False), ("auto", False, False), ("custom:b", False, True), ("auto", True, True)],
    ids=["named", "auto", "a stand-in", "the second choice"],
)
def test_a_route_says_whether_someone_else_answered(asked: str, second: bool, fell_back: bool) -> None:
    ranked = Ranked(deployments=[DEPLOYMENT], candidates=ROUTE.candidates, reason="The first.", model="custom:a")
    served = Served(result=Completion(text="x"), deployment=DEPLOYMENT, attempts=2, fell_back=second)
    request = Request(model=asked, messages=[])
    said = "The first. It failed; custom:a@h:1 answered." if second else "The first."
    assert route_of(request, ranked, served) == Route(
        reason=said, candidates=ROUTE.candidates, attempts=2, fell_back=fell_back
    )


def test_the_first_text_is_noted_and_no_later_one() -> None:
    one, pieces, clock = ticket(), [], StillClock()
    tell = timed(one, pieces.append, clock)
    assert tell is not None
    tell("a")
    clock.now_s += 1
    tell("b")
    assert (pieces, one.first_delta_s) == (["a", "b"], clock.now_s - 1)
    assert timed(one, None, clock) is None


def test_an_entry_keeps_who_asked_who_answered_and_what_it_was_made_from() -> None:
    one = ticket()
    one.request.digests = [Digest("a.py", "00")]
    key = make_key(one.request, "custom:a")
    assert stored_entry(one, key, settled(), 1_234.0) == Entry(
        key=key.exact,
        scope=key.scope,
        text="hi",
        completion=settled().completion,
        model="custom:a",
        provider="custom",
        cost_usd=0.5,
        stored_at_s=1_234.0,
        digests=[Digest("a.py", "00")],
        workspace="/srv/w",
        tags=["ci"],
        request_id="req_1",
    )


class TestHit:
    def test_an_exact_hit_gives_what_is_stored_for_nothing(self) -> None:
        assert hit_answer(ticket(), Found(entry(), "L2"), 1.5) == Answer(
            request_id="req_1",
            text="Hello",
            model="custom:a",
            provider="custom",
            usage=USAGE,
            cost_usd=0.0,
            saved_usd=0.25,
            latency_ms=1.5,
            ttft_ms=None,
            finish_reason="tool_calls",
            cache=CacheInfo(result="hit_exact", tier="L2", age_s=60.0, why="the same request was answered before"),
            route=Route(reason="stored answer"),
            tool_calls=CALLS,
            session_id="s1",
        )

    def test_a_hit_by_meaning_says_how_near_and_how_sure(self) -> None:
        one = ticket()
        one.decision = meaning()
        assert hit_answer(one, Found(entry(), "L1"), 1.5).cache == CacheInfo(
            result="hit_semantic", tier="L1", similarity=0.97, confidence=0.9, age_s=60.0, why="another wording"
        )
        assert hit_row(one, Found(entry(), "L1"), 1.5).cache == RowCache("hit_semantic", "L1")

    def test_an_entry_from_a_clock_that_was_ahead_is_not_younger_than_new(self) -> None:
        young = msgspec.structs.replace(entry(), stored_at_s=1_005.0)
        assert hit_answer(ticket(), Found(young, "L1"), 1.5).cache.age_s == 0.0

    @pytest.mark.parametrize("stream", [False, True])
    def test_its_row_is_a_success_that_cost_nothing_and_took_only_our_own_time(self, stream: bool) -> None:
        assert hit_row(ticket(stream), Found(entry(), "L2"), 1.5) == row(
            "success",
            cache=RowCache("hit_exact", "L2"),
            model_served="custom:a",
            provider="custom",
            usage=USAGE,
            cost_usd=0.0,
            saved_usd=0.25,
            latency_ms=1.5,
            overhead_ms=1.5,
            stream=stream,
        )


class TestMiss:
    def test_without_a_semantic_step_nothing_was_stored(self) -> None:
        found = missed(ticket(), "default")
        assert (found.result, found.similarity, found.confidence) == ("miss", None, None)
        assert "no stored answer" in found.why

    def test_the_semantic_step_says_what_was_near(self) -> None:
        one = ticket()
        one.decision = Decision(result="miss", why="too different", similarity=0.7, confidence=0.1)
        assert missed(one, "default") == CacheInfo(result="miss", similarity=0.7, confidence=0.1, why="too different")

    @pytest.mark.parametrize("mode", ["off", "only", "refresh"])
    def test_what_the_request_forbade_is_a_bypass_and_says_so(self, mode: str) -> None:
        found = missed(ticket(), mode)
        assert (found.result, mode in found.why) == ("bypass", True)

    def test_what_may_be_matched_exactly_only_is_a_bypass_with_its_reason(self) -> None:
        one = ticket()
        one.exact_only = "it has tools"
        assert missed(one, "default") == CacheInfo(result="bypass", why="it has tools")


class TestTold:
    def test_an_upstream_answer_is_told_whole(self) -> None:
        cache = CacheInfo(result="miss")
        assert told(ticket(), settled(), cache, 100.75, 0.5) == Answer(
            request_id="req_1",
            text="Hello",
            model="custom:a",
            provider="custom",
            usage=USAGE,
            cost_usd=0.5,
            saved_usd=0.0,
            latency_ms=750.0,
            ttft_ms=None,
            finish_reason="stop",
            cache=cache,
            route=ROUTE,
            tool_calls=CALLS,
            session_id="s1",
        )

    def test_a_follower_saved_what_the_leader_paid(self) -> None:
        answer = told(ticket(), settled(), CacheInfo(result="hit_exact"), 101.0, 0.0, saved_usd=0.5)
        assert (answer.cost_usd, answer.saved_usd) == (0.0, 0.5)

    def test_the_first_text_is_timed_for_a_stream_alone(self) -> None:
        streamed, plain = ticket(stream=True), ticket()
        streamed.first_delta_s = plain.first_delta_s = 100.25
        cache = CacheInfo(result="miss")
        assert told(streamed, settled(), cache, 101.0, 0.5).ttft_ms == 250.0
        assert told(plain, settled(), cache, 101.0, 0.5).ttft_ms is None
        assert told(ticket(stream=True), settled(), cache, 101.0, 0.5).ttft_ms is None

    def test_its_row_says_the_same(self) -> None:
        one = ticket(stream=True)
        one.first_delta_s = 100.25
        answer = told(one, settled(), CacheInfo(result="miss"), 101.0, 0.5)
        assert told_row(one, "success", settled(), answer, 3.5) == row(
            "success",
            cache=RowCache("miss"),
            model_served="custom:a",
            deployment="custom:a@h:1",
            provider="custom",
            usage=USAGE,
            cost_usd=0.5,
            saved_usd=0.0,
            latency_ms=1000.0,
            ttft_ms=250.0,
            overhead_ms=3.5,
            attempts=3,
            fell_back=True,
            stream=True,
            route="the first that is healthy",
        )

    def test_the_calls_count_for_the_leader_alone(self) -> None:
        cache = CacheInfo(result="hit_exact", tier="flight")
        answer = told(ticket(), settled(), cache, 101.0, 0.0, saved_usd=0.5)
        found = told_row(ticket(), "success", settled(), answer, None)
        assert (found.attempts, found.overhead_ms, found.saved_usd) == (0, None, 0.5)
        assert found.cache == RowCache("hit_exact", "flight")

    def test_a_caller_who_left_is_named_though_the_answer_came(self) -> None:
        one = ticket()
        one.gone = "client_gone"
        answer = told(one, settled(), CacheInfo(result="miss"), 101.0, 0.5)
        assert told_row(one, "cancelled", settled(), answer, 1.0).error_kind == "client_gone"


class TestFailure:
    def test_before_any_call_it_cost_nothing(self) -> None:
        error = BeastError("It broke.", tips=["mend it", "or not"])
        assert failure_row(ticket(), error, "failure", 100.5) == row(
            "failure", error_kind=error.kind, error_tip="It broke. mend it", cost_usd=0.0, latency_ms=500.0
        )

    def test_after_a_call_its_cost_is_unknown_and_the_last_deployment_named(self) -> None:
        one = ticket()
        one.leads, one.attempts, one.deployment = True, 2, DEPLOYMENT
        assert failure_row(one, UpstreamError("500", tips=["ask again"]), "failure", 101.0) == row(
            "failure",
            cache=RowCache("miss"),
            error_kind="upstream",
            error_tip="500 ask again",
            latency_ms=1000.0,
            attempts=2,
            deployment="custom:a@h:1",
            provider="custom",
        )

    def test_a_call_of_a_model_that_asks_for_no_money_cost_nothing_whatever_came_of_it(self) -> None:
        one = ticket()
        one.leads, one.attempts, one.deployment, one.free = True, 1, DEPLOYMENT, True
        assert failure_row(one, UpstreamError("500"), "failure", 101.0).cost_usd == 0.0

    @pytest.mark.parametrize(
        "kind",
        [RefusedConnectionError, DNSError, TLSError, EndpointUnreachableError, AuthenticationError, RateLimitedError],
    )
    def test_failures_that_nobody_charges_for_cost_nothing(self, kind: type[BeastError]) -> None:
        one = ticket()
        one.attempts = 1
        assert failure_row(one, kind("no"), "failure", 101.0).cost_usd == 0.0

    def test_what_bypassed_the_cache_says_so(self) -> None:
        one = ticket()
        one.leads = True
        one.request.cache = "off"
        assert failure_row(one, BeastError("no"), "failure", 101.0).cache == RowCache("bypass")

    def test_a_follower_fails_with_its_leader_at_no_cost(self) -> None:
        one = ticket()
        one.follows, one.attempts = True, 1
        found = failure_row(one, UpstreamError("500"), "failure", 101.0)
        assert (found.cache, found.cost_usd) == (RowCache("hit_exact", "flight"), 0.0)

    def test_who_left_is_the_kind_of_the_end(self) -> None:
        one = ticket()
        one.gone = "client_gone"
        assert failure_row(one, BeastError("no"), "cancelled", 101.0).error_kind == "client_gone"


def test_a_bare_row_says_what_is_known_at_any_time() -> None:
    assert bare_row(ticket(stream=True), "refused", 2.0) == row("refused", latency_ms=2.0, stream=True)
