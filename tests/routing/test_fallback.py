"""One budget of attempts for a request: what is tried again, where, and what the caller hears when nothing helps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.core.breaker import Breakers
from beastmode.core.deployments import Deployment, Limits
from beastmode.core.errors import (
    KINDS,
    AuthenticationError,
    BadRequestError,
    BeastError,
    BudgetError,
    ContextTooLongError,
    DNSError,
    EndpointNotFoundError,
    EndpointUnreachableError,
    InternalError,
    MalformedReplyError,
    NoHealthyModelError,
    ProviderError,
    RateLimitedError,
    RateLimitError,
    RefusedConnectionError,
    RefusedEndpointError,
    TLSError,
    UpstreamError,
    UpstreamTimeoutError,
)
from beastmode.core.settings import UpstreamSettings
from beastmode.routing.fallback import Served, Trail, policy, run
from beastmode.routing.limits import Slots
from beastmode.routing.selector import Ranked
from support.routing_parts import StillClock, deployment

A, B, C = (deployment(f"custom:{name}") for name in "abc")
BUDGET = UpstreamSettings(max_attempts=3, retry_wait_s=2.0, timeout_s=5.0)


class Upstreams:
    """Says for each deployment what its calls end with, in order; then it answers."""

    def __init__(self, **ends: Iterable[BaseException | None]) -> None:
        self.ends = {name: list(end) for name, end in ends.items()}
        self.calls: list[str] = []
        self.text_was_sent = False

    async def __call__(self, one: Deployment, number: int) -> str:
        name = one.model[-1]
        self.calls.append(name)
        assert number == len(self.calls)
        ends = self.ends.get(name, [])
        error = ends.pop(0) if ends else None
        if error is not None:
            raise error
        return f"answer of {name}"


@pytest.fixture
def go(clock: StillClock, breakers: Breakers) -> Callable[..., Any]:
    async def call(upstreams: Upstreams, *order: Deployment, model: str | None = None, **more: Any) -> Served[str]:
        order = order or (A,)
        return await run(
            Ranked(deployments=list(order), candidates=[], reason="", model=model or order[0].model),
            upstreams,
            budget=more.pop("budget", BUDGET),
            clock=clock,
            started=lambda: upstreams.text_was_sent,
            breakers=breakers,
            **more,
        )

    return call


async def test_an_answer_at_once_is_one_attempt(go: Callable[..., Any]) -> None:
    trail = Trail()
    served = await go(Upstreams(), A, B, trail=trail)
    assert served == ("answer of a", A, 1, False)
    assert (trail.attempts, trail.deployment, trail.fell_back, trail.errors) == (1, A, False, [])


@pytest.mark.parametrize("error", [BadRequestError("400", status=400), BadRequestError("422", status=422)])
async def test_a_request_that_is_wrong_itself_is_tried_nowhere_else(go: Callable[..., Any], error: BeastError) -> None:
    upstreams = Upstreams(a=[error])
    with pytest.raises(type(error)) as caught:
        await go(upstreams, A, B)
    assert upstreams.calls == ["a"]
    assert caught.value is error


@pytest.mark.parametrize(
    "kind",
    [
        AuthenticationError,
        BudgetError,
        EndpointNotFoundError,
        ContextTooLongError,
        RefusedConnectionError,
        DNSError,
        TLSError,
        RefusedEndpointError,
        RateLimitError,
    ],
)
async def test_what_would_end_the_same_again_is_tried_elsewhere_only(
    go: Callable[..., Any], clock: StillClock, kind: type[BeastError]
) -> None:
    upstreams = Upstreams(a=[kind("no")])
    served = await go(upstreams, A, B)
    assert served == ("answer of b", B, 2, True)
    alone = Upstreams(a=[kind("no")])
    with pytest.raises(kind):
        await go(alone, A)
    assert alone.calls == ["a"]
    assert clock.slept_s == []


@pytest.mark.parametrize(
    "kind", [UpstreamError, UpstreamTimeoutError, MalformedReplyError, EndpointUnreachableError, ProviderError]
)
async def test_what_may_be_a_hiccup_falls_back_else_is_tried_once_more(
    go: Callable[..., Any], clock: StillClock, kind: type[BeastError]
) -> None:
    upstreams = Upstreams(a=[kind("no")])
    assert await go(upstreams, A, B) == ("answer of b", B, 2, True)
    assert clock.slept_s == []
    alone = Upstreams(a=[kind("no")])
    assert await go(alone, A) == ("answer of a", A, 2, False)
    assert clock.slept_s == [0.25]
    stubborn = Upstreams(a=[kind("no"), kind("still no"), kind("never")])
    with pytest.raises(kind, match="still no") as caught:
        await go(stubborn, A)
    assert stubborn.calls == ["a", "a"]
    assert caught.value.attempt == 2
    assert any("2 attempts" in tip for tip in caught.value.tips)


async def test_a_429_falls_back_else_waits_as_long_as_it_was_asked_to(
    go: Callable[..., Any], clock: StillClock
) -> None:
    upstreams = Upstreams(a=[RateLimitedError("slow down", retry_after_s=1.5)])
    assert (await go(upstreams, A, B)).deployment == B
    assert clock.slept_s == []
    clock.now_s += 10
    alone = Upstreams(a=[RateLimitedError("slow down", retry_after_s=1.5)])
    assert (await go(alone, A)).attempts == 2
    assert clock.slept_s == [pytest.approx(1.505)]


async def test_a_429_that_asks_for_too_long_a_wait_is_handed_on(
    go: Callable[..., Any], clock: StillClock, breakers: Breakers
) -> None:
    upstreams = Upstreams(a=[RateLimitedError("slow down", retry_after_s=30.0)])
    with pytest.raises(RateLimitedError) as caught:
        await go(upstreams, A)
    assert caught.value.retry_after_s == 30.0
    assert clock.slept_s == []
    assert breakers.get(A.id).remaining_s() == 30.0


async def test_a_429_without_a_time_is_tried_once_more_soon(go: Callable[..., Any], clock: StillClock) -> None:
    assert (await go(Upstreams(a=[RateLimitedError("slow down")]), A)).attempts == 2
    assert clock.slept_s == [0.25]


async def test_nothing_is_tried_again_once_text_was_sent(go: Callable[..., Any]) -> None:
    upstreams = Upstreams(a=[MalformedReplyError("cut off")])
    upstreams.text_was_sent = True
    with pytest.raises(MalformedReplyError):
        await go(upstreams, A, B)
    assert upstreams.calls == ["a"]


async def test_the_budget_of_attempts_is_for_the_whole_request(go: Callable[..., Any]) -> None:
    upstreams = Upstreams(
        a=[UpstreamError("a is down")], b=[UpstreamError("b is down")], c=[UpstreamError("c is down")]
    )
    with pytest.raises(UpstreamError):
        await go(upstreams, A, B, C, budget=UpstreamSettings(max_attempts=2))
    assert upstreams.calls == ["a", "b"]
    last = Upstreams(a=[UpstreamError("down")])
    with pytest.raises(UpstreamError):
        await go(last, A, budget=UpstreamSettings(max_attempts=1))
    assert last.calls == ["a"]


async def test_the_last_of_a_ranking_is_tried_once_more(go: Callable[..., Any]) -> None:
    upstreams = Upstreams(a=[UpstreamError("down")], b=[UpstreamError("down")])
    assert await go(upstreams, A, B) == ("answer of b", B, 3, True)
    assert upstreams.calls == ["a", "b", "b"]


async def test_when_all_fail_the_caller_hears_of_the_model_that_was_asked_for(go: Callable[..., Any]) -> None:
    upstreams = Upstreams(
        a=[UpstreamTimeoutError("a is silent", tips=["raise upstream.timeout_s"])],
        b=[RefusedConnectionError("nobody listens at b")],
    )
    trail = Trail()
    with pytest.raises(UpstreamTimeoutError, match="a is silent") as caught:
        await go(upstreams, A, B, trail=trail)
    tips = caught.value.tips
    assert tips[0] == "raise upstream.timeout_s"
    assert any("custom:b@127.0.0.1:1 failed too: nobody listens at b" in tip for tip in tips)
    assert any("2 attempts" in tip for tip in tips)
    assert (trail.attempts, trail.deployment, trail.fell_back) == (2, B, True)
    assert [one.id for one, _ in trail.errors] == [A.id, B.id]


async def test_where_only_stand_ins_were_left_their_last_error_is_heard(go: Callable[..., Any]) -> None:
    with pytest.raises(AuthenticationError, match="wrong key at b"):
        await go(Upstreams(b=[AuthenticationError("wrong key at b")]), B, model="custom:a")
    assert (await go(Upstreams(), B, model="custom:a")).fell_back


async def test_every_attempt_is_told_to_the_breaker(go: Callable[..., Any], breakers: Breakers) -> None:
    for _ in range(3):
        await go(Upstreams(a=[UpstreamError("down")]), A, B)
    assert breakers.get(A.id).state == "open"
    assert breakers.get(B.id).state == "closed"
    upstreams = Upstreams()
    assert (await go(upstreams, A, B)).deployment == B
    assert upstreams.calls == ["b"]


async def test_when_every_breaker_opened_meanwhile_the_error_has_the_cause(
    go: Callable[..., Any], breakers: Breakers
) -> None:
    for _ in range(2):
        with pytest.raises(RefusedConnectionError):
            await go(Upstreams(a=[RefusedConnectionError("nobody listens")]), A)
    ticket = breakers.get(A.id).enter()
    assert ticket is not None
    breakers.get(A.id).fail(ticket, RefusedConnectionError("nobody listens on port 1", tips=["start it"]))
    upstreams = Upstreams()
    with pytest.raises(NoHealthyModelError, match="nobody listens on port 1") as caught:
        await go(upstreams, A)
    assert upstreams.calls == []
    assert "start it" in caught.value.tips
    assert caught.value.retry_after_s == 10.0


async def test_a_breaker_that_opens_ends_the_retries(go: Callable[..., Any], breakers: Breakers) -> None:
    for _ in range(2):
        ticket = breakers.get(A.id).enter()
        assert ticket is not None
        breakers.get(A.id).fail(ticket, UpstreamError("down"))
    upstreams = Upstreams(a=[UpstreamError("down again")])
    with pytest.raises(UpstreamError, match="down again"):
        await go(upstreams, A)
    assert upstreams.calls == ["a"]


async def test_of_many_requests_at_once_one_tries_a_half_open_deployment(
    go: Callable[..., Any], breakers: Breakers, clock: StillClock
) -> None:
    for _ in range(3):
        ticket = breakers.get(A.id).enter()
        assert ticket is not None
        breakers.get(A.id).fail(ticket, UpstreamError("down"))
    clock.now_s += 10
    release = asyncio.Event()
    calls: list[str] = []

    async def slow(one: Deployment, number: int) -> str:
        calls.append(one.model)
        if one is A:
            await release.wait()
        return one.model

    ranking = Ranked(deployments=[A, B], candidates=[], reason="", model=A.model)
    more = {"budget": BUDGET, "clock": clock, "started": lambda: False, "breakers": breakers}
    tasks = [asyncio.create_task(run(ranking, slow, **more)) for _ in range(5)]  # type: ignore[arg-type]  # one dict
    for _ in range(5):
        await asyncio.sleep(0)
    assert calls.count("custom:a") == 1
    release.set()
    assert sorted(one.result for one in await asyncio.gather(*tasks)) == ["custom:a"] + ["custom:b"] * 4
    assert breakers.get(A.id).state == "closed"


async def test_a_cancelled_request_ends_at_once_and_gives_the_trial_back(
    go: Callable[..., Any], breakers: Breakers, clock: StillClock
) -> None:
    for _ in range(3):
        ticket = breakers.get(A.id).enter()
        assert ticket is not None
        breakers.get(A.id).fail(ticket, UpstreamError("down"))
    clock.now_s += 10
    trail = Trail()
    with pytest.raises(asyncio.CancelledError):
        await go(Upstreams(a=[asyncio.CancelledError()]), A, B, trail=trail)
    assert breakers.get(A.id).state == "half-open"
    assert breakers.get(A.id).allows()
    assert (trail.attempts, trail.deployment) == (1, A)


async def test_a_plugin_that_raises_is_named_and_its_words_are_not_repeated(
    go: Callable[..., Any], breakers: Breakers
) -> None:
    with pytest.raises(InternalError, match=r"plugin custom failed with ValueError") as caught:
        await go(Upstreams(a=[ValueError("sk-secret")]), A)
    assert "sk-secret" not in caught.value.message + str(caught.value.data())
    assert isinstance(caught.value.__cause__, ValueError)
    assert (await go(Upstreams(a=[TypeError("x")]), A, B)).deployment == B
    assert breakers.get(A.id).last_error is not None


# --- slots


async def test_no_more_requests_than_its_limit_reach_a_deployment(breakers: Breakers, clock: StillClock) -> None:
    narrow = deployment("custom:n", limits=Limits(max_concurrent=2))
    slots, running, most = Slots(), 0, 0

    async def attempt(one: Deployment, number: int) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        if number == 1:
            raise UpstreamError("down")
        return "ok"

    ranking = Ranked(deployments=[narrow], candidates=[], reason="", model=narrow.model)
    patient = Breakers(clock, failures=99, cooldown_s=1)
    more: dict[str, Any] = {
        "budget": BUDGET,
        "clock": clock,
        "started": lambda: False,
        "breakers": patient,
        "slots": slots,
    }
    served = await asyncio.gather(*(run(ranking, attempt, **more) for _ in range(10)))
    assert [one.result for one in served] == ["ok"] * 10
    assert most == 2


async def test_a_wait_for_a_slot_ends_with_the_limit_named() -> None:
    narrow = deployment("custom:n", limits=Limits(max_concurrent=1))
    slots = Slots()
    first = await slots.take(narrow, 1.0)
    assert first is not None
    with pytest.raises(RateLimitError, match="1 requests at once") as caught:
        await slots.take(narrow, 0.01)
    assert any("max_concurrent" in tip for tip in caught.value.tips)
    first.release()
    assert await slots.take(narrow, 1.0) is first
    wider = deployment("custom:n", limits=Limits(max_concurrent=2))
    assert await slots.take(wider, 0.01) is not None
    assert await slots.take(wider, 0.01) is not None
    assert await slots.take(A, 0.0) is None


async def test_a_cancelled_wait_for_a_slot_takes_none() -> None:
    narrow = deployment("custom:n", limits=Limits(max_concurrent=1))
    slots = Slots()
    held = await slots.take(narrow, 1.0)
    assert held is not None
    waiting = asyncio.create_task(slots.take(narrow, 30.0))
    await asyncio.sleep(0)
    held.release()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await slots.take(narrow, 1.0) is not None


# --- whatever happens


def test_every_kind_of_error_has_a_policy() -> None:
    policies = {kind: policy(error("x")) for kind, error in KINDS.items()}
    assert {kind for kind, what in policies.items() if what == "retry"} == {
        "rate_limited",
        "upstream",
        "malformed_reply",
        "timeout",
        "unreachable",
    }
    assert {kind for kind, what in policies.items() if what == "fall_back"} == {
        "authentication", "endpoint_not_found", "context_too_long", "connection_refused", "dns", "tls",
        "refused_endpoint", "internal", "no_healthy_model", "rate_limited_here", "budget",
    }  # fmt: skip


ERRORS = st.sampled_from([None, *(kind for kind in KINDS if kind not in ("cancelled",))])


@settings(deadline=None, max_examples=200)
@given(ends=st.lists(st.lists(ERRORS, max_size=4), min_size=1, max_size=4), attempts=st.integers(1, 6))
def test_whatever_upstreams_do_the_budget_holds_and_the_trail_is_true(
    ends: list[list[str | None]], attempts: int
) -> None:
    order = [deployment(f"custom:{name}") for name, _ in zip("abcd", ends, strict=False)]
    upstreams = Upstreams(
        **{
            one.model[-1]: [KINDS[kind](kind) if kind else None for kind in end]
            for one, end in zip(order, ends, strict=True)
        }
    )
    clock, trail = StillClock(), Trail()
    breakers = Breakers(clock, failures=3, cooldown_s=10)

    async def request() -> Served[str] | BeastError:
        try:
            return await run(
                Ranked(deployments=order, candidates=[], reason="", model=order[0].model),
                upstreams,
                budget=UpstreamSettings(max_attempts=attempts),
                clock=clock,
                started=lambda: False,
                breakers=breakers,
                trail=trail,
            )
        except BeastError as error:
            return error

    end = asyncio.run(request())
    assert trail.attempts == len(upstreams.calls) <= attempts
    assert len(order) == 1 or upstreams.calls == sorted(upstreams.calls)
    if isinstance(end, BeastError):
        assert trail.attempts == len(trail.errors)
        assert end in [error for _, error in trail.errors]
    else:
        assert end.deployment is trail.deployment
        assert end.fell_back == (end.deployment is not order[0])
    assert not any(breaker._probing for _, breaker in breakers)
