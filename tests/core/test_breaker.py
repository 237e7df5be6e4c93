"""A breaker opens after failures in a row, rests, and lets exactly one request try again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.core.breaker import MAX_COOLDOWN_S, Breaker, Breakers, is_failure
from beastmode.core.errors import (
    KINDS,
    AuthenticationError,
    BadRequestError,
    BeastError,
    BudgetError,
    CancelledError,
    InternalError,
    ProviderError,
    RateLimitedError,
    RefusedConnectionError,
    UpstreamError,
)
from support.routing_parts import StillClock


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def breaker(clock: StillClock) -> Breaker:
    return Breaker(clock, failures=3, cooldown_s=10.0)


def call(breaker: Breaker, error: BeastError | None = None) -> None:
    ticket = breaker.enter()
    assert ticket is not None
    if error is None:
        breaker.succeed(ticket)
    else:
        breaker.fail(ticket, error)


def open_it(breaker: Breaker) -> None:
    for _ in range(3):
        call(breaker, UpstreamError("down"))


def test_it_opens_after_the_set_number_of_failures_in_a_row(breaker: Breaker) -> None:
    call(breaker, UpstreamError("1"))
    call(breaker, UpstreamError("2"))
    call(breaker)
    call(breaker, UpstreamError("1"))
    call(breaker, UpstreamError("2"))
    assert breaker.state == "closed"
    assert breaker.remaining_s() is None
    call(breaker, RefusedConnectionError("nobody listens"))
    assert breaker.state == "open"
    assert not breaker.allows()
    assert breaker.enter() is None
    assert breaker.remaining_s() == 10.0


def test_it_remembers_why_it_is_open_until_it_is_well_again(breaker: Breaker, clock: StillClock) -> None:
    open_it(breaker)
    assert breaker.last_error is not None
    assert breaker.last_error.message == "down"
    clock.now_s += 10
    call(breaker)
    assert breaker.last_error is None


def test_after_the_cooldown_exactly_one_call_tries(breaker: Breaker, clock: StillClock) -> None:
    open_it(breaker)
    clock.now_s += 9.99
    assert breaker.enter() is None
    clock.now_s += 0.01
    assert breaker.state == "half-open"
    probe = breaker.enter()
    assert probe is not None
    assert breaker.enter() is None
    assert breaker.remaining_s() == 0.0
    breaker.succeed(probe)
    assert breaker.state == "closed"
    assert breaker.enter() is not None
    assert breaker.enter() is not None


def test_a_cancelled_trial_gives_its_place_back(breaker: Breaker, clock: StillClock) -> None:
    open_it(breaker)
    clock.now_s += 10
    probe = breaker.enter()
    assert probe is not None
    breaker.leave(probe)
    assert breaker.state == "half-open"
    assert breaker.enter() is not None


def test_each_failed_trial_doubles_the_cooldown_up_to_five_minutes(breaker: Breaker, clock: StillClock) -> None:
    open_it(breaker)
    pauses = [breaker.remaining_s()]
    for _ in range(60):
        clock.now_s += breaker.remaining_s() or 0.0
        call(breaker, UpstreamError("still down"))
        pauses.append(breaker.remaining_s())
    assert pauses[:7] == [10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]
    assert pauses[-1] == MAX_COOLDOWN_S
    clock.now_s += 300
    call(breaker)
    open_it(breaker)
    assert breaker.remaining_s() == 10.0


def test_the_cooldown_has_jitter(clock: StillClock) -> None:
    clock.uniform = lambda low, high: low  # type: ignore[method-assign]  # the shortest pause
    breaker = Breaker(clock, failures=1, cooldown_s=10.0)
    call(breaker, UpstreamError("down"))
    assert breaker.remaining_s() == pytest.approx(9.0)


def test_what_calls_from_before_the_opening_report_changes_nothing(breaker: Breaker, clock: StillClock) -> None:
    late = [breaker.enter() for _ in range(4)]
    open_it(breaker)
    for ticket in late:
        assert ticket is not None
        breaker.succeed(ticket)
    assert breaker.state == "open"
    clock.now_s += 10
    probe = breaker.enter()
    assert probe is not None
    breaker.fail(late[0] or 0, UpstreamError("late"))
    breaker.leave(late[1] or 0)
    assert breaker.enter() is None
    breaker.succeed(probe)
    breaker.fail(late[2] or 0, UpstreamError("later"))
    assert breaker.last_error is None


def test_a_429_asks_for_a_pause_and_counts_as_no_failure(breaker: Breaker, clock: StillClock) -> None:
    for _ in range(10):
        call(breaker, RateLimitedError("slow down", retry_after_s=2.0))
        assert breaker.state == "open"
        assert breaker.remaining_s() == 2.0
        clock.now_s += 2.0
        assert breaker.state == "closed"
    call(breaker, RateLimitedError("slow down"))
    assert breaker.allows()
    call(breaker, RateLimitedError("tomorrow", retry_after_s=86400.0))
    assert breaker.remaining_s() == MAX_COOLDOWN_S


def test_a_pause_keeps_its_cause_while_older_calls_still_succeed(breaker: Breaker) -> None:
    other = breaker.enter()
    assert other is not None
    call(breaker, RateLimitedError("slow down", retry_after_s=2.0))
    breaker.succeed(other)
    assert breaker.remaining_s() == 2.0
    assert breaker.last_error is not None


def test_a_429_during_the_trial_leaves_it_half_open(breaker: Breaker, clock: StillClock) -> None:
    open_it(breaker)
    clock.now_s += 10
    call(breaker, RateLimitedError("slow down", retry_after_s=1.0))
    assert breaker.state == "open"
    clock.now_s += 1
    assert breaker.state == "half-open"
    assert breaker.enter() is not None
    assert breaker.enter() is None


def test_an_answer_that_blames_the_caller_proves_that_somebody_answers(breaker: Breaker, clock: StillClock) -> None:
    for _ in range(9):
        call(breaker, BadRequestError("no such parameter"))
        call(breaker, AuthenticationError("wrong key"))
    assert breaker.state == "closed"
    open_it(breaker)
    clock.now_s += 10
    call(breaker, AuthenticationError("wrong key"))
    assert breaker.state == "closed"


def test_what_is_no_word_of_the_provider_proves_nothing(breaker: Breaker, clock: StillClock) -> None:
    open_it(breaker)
    clock.now_s += 10
    for error in (CancelledError("gone"), BudgetError("too dear")):
        call(breaker, error)
        assert breaker.state == "half-open"


def test_which_errors_speak_against_a_deployment() -> None:
    against = {kind for kind, error in KINDS.items() if is_failure(error("x"))}
    assert against == {
        "upstream", "malformed_reply", "timeout", "unreachable", "connection_refused", "dns", "tls", "internal",
    }  # fmt: skip
    assert is_failure(ProviderError("of a plugin that says no more"))
    assert is_failure(InternalError("a plugin raised"))


def test_every_deployment_has_its_own_breaker(clock: StillClock) -> None:
    breakers = Breakers(clock, failures=1, cooldown_s=10.0)
    call(breakers.get("a"), UpstreamError("down"))
    assert breakers.get("a").state == "open"
    assert breakers.get("b").state == "closed"
    assert [name for name, _ in breakers] == ["a", "b"]
    breakers.forget("a")
    assert breakers.get("a").state == "closed"


def test_new_settings_hold_for_breakers_that_are_there(clock: StillClock) -> None:
    breakers = Breakers(clock, failures=1, cooldown_s=10.0)
    breaker = breakers.get("a")
    breakers.configure(failures=2, cooldown_s=5.0)
    call(breaker, UpstreamError("down"))
    assert breaker.state == "closed"
    call(breaker, UpstreamError("down"))
    assert breaker.remaining_s() == 5.0


@settings(deadline=None, max_examples=200)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["enter", "ok", "bad", "busy", "cancel", "wait"]), st.floats(0, 400)), max_size=60
    )
)
def test_whatever_happens_at_most_one_call_tries_and_a_breaker_is_never_stuck(steps: list[tuple[str, float]]) -> None:
    clock = StillClock()
    breaker = Breaker(clock, failures=2, cooldown_s=10.0)
    tickets: list[int] = []
    for what, number in steps:
        if what == "wait":
            clock.now_s += number
        elif what == "enter":
            half_open = breaker.state == "half-open"
            ticket = breaker.enter()
            if ticket is not None:
                tickets.append(ticket)
                assert not half_open or breaker.enter() is None
        elif tickets:
            ticket = tickets.pop(int(number) % len(tickets))
            if what == "ok":
                breaker.succeed(ticket)
            elif what == "cancel":
                breaker.leave(ticket)
            else:
                breaker.fail(
                    ticket, RateLimitedError("", retry_after_s=number) if what == "busy" else UpstreamError("")
                )
    for ticket in tickets:
        breaker.leave(ticket)
    clock.now_s += MAX_COOLDOWN_S
    assert breaker.enter() is not None
