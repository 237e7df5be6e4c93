"""The gateway by itself, without a daemon around it: each step of a request, and exactly the row that it leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from beastmode import gateway as module
from beastmode.cache import keeper
from beastmode.cache.decision import Decision
from beastmode.cache.lookup import Found
from beastmode.core.errors import (
    BadRequestError,
    InternalError,
    NotInCacheError,
    ShuttingDownError,
    UpstreamError,
)
from beastmode.core.plugins import Call, OnDelta
from beastmode.core.rows import Row, RowCache
from beastmode.core.types import Completion
from support.bare_gateway import DONE, House, Meaning, question
from support.routing_parts import StillClock, deployment
from support.waiting import until_async


class TestMiss:
    async def test_its_row_says_everything_that_is_known(self, house: House, clock: StillClock) -> None:
        house.moves(clock, 0.25, UpstreamError("500"))
        answer = await house.ask(tags=["t"], session_id="s", workspace="/srv/w", client="http", origin="probe")
        waited_s = sum(clock.slept_s)
        assert house.ledger.rows == [
            Row(
                request_id=answer.request_id,
                at_s=house.row.at_s,
                origin="probe",
                outcome="success",
                cache=RowCache("miss"),
                model="custom:a",
                model_served="custom:a",
                deployment="custom:a@127.0.0.1:1",
                provider="custom",
                usage=DONE.usage,
                cost_usd=4.0,
                price_source="user: prompt 1000000, completion 2000000",
                saved_usd=0.0,
                latency_ms=house.row.latency_ms,
                overhead_ms=house.row.overhead_ms,
                attempts=2,
                user="uid:1",
                workspace="/srv/w",
                client="http",
                session_id="s",
                tags=["t"],
                route=answer.route.reason,
            )
        ]
        assert house.row.latency_ms == answer.latency_ms == pytest.approx((0.5 + waited_s) * 1e3)
        assert house.row.overhead_ms == pytest.approx(waited_s * 1e3)
        assert house.row.at_s == pytest.approx(clock.wall_s() - 0.5 - waited_s)

    async def test_each_call_is_journalled_before_it_is_sent(self, house: House, clock: StillClock) -> None:
        house.moves(clock, 0.25, UpstreamError("500"))
        await house.ask()
        assert [(row.attempts, row.deployment, row.provider) for row in house.ledger.intended] == [
            (1, "custom:a@127.0.0.1:1", "custom"),
            (2, "custom:a@127.0.0.1:1", "custom"),
        ]
        assert {(row.outcome, row.latency_ms, row.cache) for row in house.ledger.intended} == {
            ("failure", 0.0, RowCache("miss"))
        }

    async def test_the_provider_gets_key_and_patience(self, house: House) -> None:
        wanted = msgspec.structs.replace(deployment("custom:k"), has_key=True)
        await house.registry.add(wanted)
        await house.vault.put(wanted, "sk-0123456789")
        await house.ask(model="custom:k")
        (call,) = house.provider.calls
        assert (call.key, call.timeout_s, call.deployment.id) == ("sk-0123456789", 60.0, wanted.id)
        assert "sk-0123456789" not in repr(call.request)

    async def test_who_streams_gets_the_text_though_the_provider_sent_no_pieces(self, house: House) -> None:
        pieces: list[str] = []
        answer = await house.ask(on_delta=pieces.append, stream=True)
        assert pieces == ["Hello"]
        assert answer.ttft_ms == 0.0

    async def test_pieces_are_handed_on_as_they_come_and_once(self, house: House, clock: StillClock) -> None:
        async def in_pieces(call: Call, on_delta: OnDelta | None) -> Completion:
            assert on_delta is not None
            for piece in ("He", "llo"):
                clock.now_s += 1.0
                on_delta(piece)
            return DONE

        house.provider.answers = in_pieces
        pieces: list[str] = []
        answer = await house.ask(on_delta=pieces.append, stream=True)
        assert pieces == ["He", "llo"]
        assert (answer.ttft_ms, answer.latency_ms, house.row.ttft_ms) == (1000.0, 2000.0, 1000.0)

    async def test_a_plain_request_asks_the_provider_for_no_pieces(self, house: House) -> None:
        async def answers(call: Call, on_delta: OnDelta | None) -> Completion:
            assert on_delta is None
            return DONE

        house.provider.answers = answers
        assert (await house.ask()).text == "Hello"


class TestPersons:
    async def test_it_is_told_before_anything_is_done_that_a_person_waits(self, house: House) -> None:
        told: list[tuple[str, int]] = []
        house.gateway.on_person = lambda ticket: told.append((ticket.request.origin, len(house.provider.calls)))
        await house.ask("One")
        await house.ask("Two", origin="warming")
        await house.ask("One")
        assert told == [("person", 0)], "memory answers without waiting, and the daemon's own requests are no person's"

    async def test_it_knows_when_a_person_asked_last_hits_among_them(self, house: House, clock: StillClock) -> None:
        await house.ask()
        clock.now_s += 5.0
        await house.ask("Other", origin="warming")
        assert house.gateway.person_s == clock.mono_s() - 5.0
        await house.ask()
        assert house.gateway.person_s == clock.mono_s()


class TestStored:
    async def test_the_same_question_is_recalled_at_once(self, house: House, clock: StillClock) -> None:
        first = await house.ask()
        ticket = house.gateway.admit(question())
        clock.now_s += 0.002
        again = house.gateway.recall(ticket)
        assert again is not None
        assert (again.text, again.cost_usd, again.saved_usd) == ("Hello", 0.0, first.cost_usd)
        assert again.latency_ms == pytest.approx(2.0)
        assert house.row.latency_ms == house.row.overhead_ms == again.latency_ms
        assert len(house.provider.calls) == 1

    @pytest.mark.parametrize(
        ("mode", "recalled"), [("default", True), ("only", True), ("refresh", False), ("off", False)]
    )
    async def test_memory_is_asked_where_the_request_allows_it(self, house: House, mode: Any, recalled: bool) -> None:
        await house.ask()
        found = house.gateway.recall(house.gateway.admit(question(cache=mode)))
        assert (found is not None) is recalled

    @pytest.mark.parametrize(
        ("completion", "kept"),
        [
            (DONE, True),
            (Completion(text="", finish_reason="tool_calls", tool_calls=[{"id": "c"}]), True),
            (Completion(text="Hel", finish_reason="length"), False),
            (Completion(text="Hello", finish_reason=None), False),
            (Completion(text="", finish_reason="stop"), False),
        ],
        ids=["whole", "tool calls", "cut off", "no reason", "empty"],
    )
    async def test_only_whole_answers_are_kept(self, house: House, completion: Completion, kept: bool) -> None:
        async def answers(call: Call, on_delta: OnDelta | None) -> Completion:
            return completion

        house.provider.answers = answers
        await house.ask()
        assert (house.gateway.recall(house.gateway.admit(question())) is not None) is kept

    async def test_a_cache_that_is_off_keeps_nothing_and_finds_nothing(
        self, open_house: Callable[..., Awaitable[House]]
    ) -> None:
        house = await open_house()
        await house.ask("Before")
        cache = msgspec.structs.replace(house.gateway.settings.cache, enabled=False)
        house.gateway.settings = msgspec.structs.replace(house.gateway.settings, cache=cache)
        assert (await house.ask("Before")).cache.result == "bypass"
        ticket = house.gateway.admit(question("Now"))
        assert (await house.gateway.ask(ticket)).cache.result == "bypass"
        assert house.gateway.lookup.recall(ticket.key) is None

    async def test_what_is_wanted_from_the_cache_alone_is_not_asked_for(self, house: House) -> None:
        error = await house.fails(cache="only")
        assert isinstance(error, NotInCacheError)
        assert (house.provider.calls, house.row.outcome, house.row.cost_usd) == ([], "failure", 0.0)

    async def test_refreshing_replaces_what_is_stored(self, house: House) -> None:
        await house.ask()

        async def other(call: Call, on_delta: OnDelta | None) -> Completion:
            return msgspec.structs.replace(DONE, text="Anew")

        house.provider.answers = other
        assert (await house.ask(cache="refresh")).cache.result == "bypass"
        assert (await house.ask()).text == "Anew"

    async def test_auto_is_stored_under_both_names_and_a_stand_in_under_its_own(self, house: House) -> None:
        await house.ask("One", model="auto")
        assert (await house.ask("One", model="auto")).cache.result == "hit_exact"
        assert (await house.ask("One", model="custom:a")).cache.result == "hit_exact"

        async def answers(call: Call, on_delta: OnDelta | None) -> Completion:
            if call.deployment.model == "custom:b":
                raise BadRequestError("no") if call.request.messages[0].content == "bad" else UpstreamError("500")
            return DONE

        house.provider.answers = answers
        await house.add("b", fallback=["custom:a"])
        helped = await house.ask("Two", model="custom:b")
        assert (helped.model, helped.route.fell_back, house.row.fell_back) == ("custom:a", True, True)
        assert helped.route.reason.endswith("It failed; custom:a@127.0.0.1:1 answered.")
        assert house.gateway.recall(house.gateway.admit(question("Two", model="custom:b"))) is None
        assert house.gateway.recall(house.gateway.admit(question("Two", model="custom:a"))) is not None

    async def test_a_stored_answer_replays_to_who_streams(self, house: House) -> None:
        await house.ask()
        pieces: list[str] = []
        await house.gateway.ask(house.gateway.admit(question(stream=True)), pieces.append)
        assert pieces == ["Hello"]

    async def test_the_entry_of_a_request_is_remembered_for_a_while(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(keeper, "ANSWERED_MAX", 3)
        first = await house.ask("One")
        again = await house.ask("One")
        entry = house.gateway.keeper.entry_of(first.request_id)
        assert entry is not None
        assert house.gateway.keeper.entry_of(again.request_id) == entry
        for text in ("Two", "Three"):
            await house.ask(text)
        assert house.gateway.keeper.entry_of(first.request_id) is None
        assert house.gateway.keeper.entry_of(again.request_id) == entry


class TestFailure:
    async def test_a_plugin_that_breaks_is_named_with_how_to_disable_it(self, house: House) -> None:
        async def breaks(call: Call, on_delta: OnDelta | None) -> Completion:
            raise ZeroDivisionError

        house.provider.answers = breaks
        error = await house.fails()
        assert isinstance(error, InternalError)
        assert "`custom` failed with ZeroDivisionError" in error.message
        assert "plugins.disabled = ['custom']" in error.tips[0]
        assert error.request_id == house.row.request_id
        assert (house.row.outcome, house.row.error_kind) == ("failure", "internal")

    async def test_a_part_of_ours_that_breaks_is_an_internal_error_with_one_row(self, house: House) -> None:
        house.gateway._calling._prices = None  # type: ignore[assignment]  # broken on purpose
        error = await house.fails()
        assert (error.kind, error.request_id) == ("internal", house.row.request_id)
        assert [row.error_kind for row in house.ledger.rows] == ["internal"]

    async def test_a_lookup_that_breaks_is_an_internal_error_with_one_row(self, house: House) -> None:
        ticket = house.gateway.admit(question())
        house.gateway.lookup = None  # type: ignore[assignment]  # broken on purpose
        with pytest.raises(InternalError):
            await house.gateway.ask(ticket)
        assert [row.error_kind for row in house.ledger.rows] == ["internal"]

    async def test_the_row_of_a_failed_call_has_no_answer_and_no_known_cost(
        self, house: House, clock: StillClock
    ) -> None:
        house.moves(clock, 0.5, *(UpstreamError("500", tips=["ask again"]) for _ in range(3)))
        error = await house.fails()
        assert error.request_id == house.row.request_id
        assert (house.row.outcome, house.row.error_kind, house.row.attempts) == ("failure", "upstream", 2)
        assert (house.row.cost_usd, house.row.usage, house.row.cache) == (None, None, RowCache("miss"))
        assert house.row.error_tip == "500 ask again"

    async def test_those_who_waited_together_do_not_share_one_error(self, house: House) -> None:
        go = asyncio.Event()

        async def refuses(call: Call, on_delta: OnDelta | None) -> Completion:
            await go.wait()
            raise BadRequestError("no")

        house.provider.answers = refuses
        both = [asyncio.ensure_future(house.fails()) for _ in range(2)]
        await until_async(lambda: len(house.provider.calls) == 1)
        await asyncio.sleep(0.01)
        go.set()
        first, second = [await one for one in both]
        assert first is not second and first.request_id != second.request_id
        rows = {row.request_id: row for row in house.ledger.rows}
        assert [rows[str(one.request_id)].outcome for one in (first, second)] == ["failure", "failure"]
        assert rows[str(first.request_id)].cache == RowCache("miss")
        assert rows[str(second.request_id)].cache == RowCache("hit_exact", "flight")
        assert (rows[str(first.request_id)].cost_usd, rows[str(second.request_id)].cost_usd) == (None, 0.0)


class TestEnd:
    @pytest.mark.parametrize(("said", "kind"), [(None, "cancelled"), ("client_gone", "client_gone")])
    async def test_a_caller_who_leaves_leaves_one_row_that_says_how(
        self, house: House, said: str | None, kind: str
    ) -> None:
        async def hangs(call: Call, on_delta: OnDelta | None) -> Completion:
            await asyncio.Event().wait()
            return DONE

        house.provider.answers = hangs
        asking = asyncio.ensure_future(house.ask())
        await until_async(lambda: len(house.provider.calls) == 1)
        asking.cancel(said)
        with pytest.raises(asyncio.CancelledError):
            await asking
        await house.gateway.flights.landed()
        assert [(row.outcome, row.error_kind) for row in house.ledger.rows] == [("cancelled", kind)]

    async def test_a_drain_waits_for_what_runs_and_refuses_what_comes(self, house: House) -> None:
        go = asyncio.Event()

        async def waits(call: Call, on_delta: OnDelta | None) -> Completion:
            await go.wait()
            return DONE

        house.provider.answers = waits
        asking = asyncio.ensure_future(house.ask())
        await until_async(lambda: len(house.provider.calls) == 1)
        draining = asyncio.ensure_future(house.gateway.drain(60.0))
        await asyncio.sleep(0.05)
        assert not draining.done()
        error = await house.fails("More")
        assert isinstance(error, ShuttingDownError)
        assert error.tips == [*module.SHUTTING_DOWN_TIPS]
        assert (house.row.outcome, house.row.error_kind, house.row.cost_usd) == ("refused", "shutting_down", 0.0)
        go.set()
        assert (await asking).text == "Hello"
        await asyncio.wait_for(draining, 20)
        assert house.row.outcome == "success"

    async def test_what_does_not_end_in_time_is_told_why(self, open_house: Callable[..., Awaitable[House]]) -> None:
        house = await open_house(real_time=True)

        async def hangs(call: Call, on_delta: OnDelta | None) -> Completion:
            await asyncio.Event().wait()
            return DONE

        house.provider.answers = hangs
        asking = asyncio.ensure_future(house.fails())
        await until_async(lambda: len(house.provider.calls) == 1)
        await house.gateway.drain(0.05)
        assert isinstance(await asking, ShuttingDownError)
        assert [(row.outcome, row.error_kind) for row in house.ledger.rows] == [("cancelled", "shutting_down")]

    async def test_a_drain_waits_for_calls_that_nobody_waits_for_any_more(self, house: House) -> None:
        async def leaves_slowly(call: Call, on_delta: OnDelta | None) -> Completion:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.1)
            return DONE

        house.provider.answers = leaves_slowly
        asking = asyncio.ensure_future(house.ask())
        await until_async(lambda: len(house.provider.calls) == 1)
        asking.cancel()
        await asyncio.wait([asking])
        assert house.ledger.rows == []
        await house.gateway.drain(5.0)
        assert [row.outcome for row in house.ledger.rows] == ["cancelled"]


class TestMeaning:
    async def test_a_hit_by_meaning_says_so_and_is_counted(self, open_house: Callable[..., Awaitable[House]]) -> None:
        meaning = Meaning()
        house = await open_house(meaning)
        first = await house.ask("One")
        stored = house.gateway.lookup.recall(house.gateway.admit(question("One")).key)
        assert stored is not None
        meaning.decision = Decision(
            result="hit", why="reworded", found=Found(stored.entry, "L1"), similarity=0.9, confidence=0.8, group="code"
        )
        answer = await house.ask("Uno")
        assert (answer.text, answer.cache.result, answer.cache.confidence) == (first.text, "hit_semantic", 0.8)
        assert meaning.hits == ["code"]
        assert house.row.cache == RowCache("hit_semantic", "L1")
        assert house.gateway.keeper.entry_of(answer.request_id) == stored.entry.key

    async def test_an_exact_hit_is_not_counted_as_one_by_meaning(
        self, open_house: Callable[..., Awaitable[House]]
    ) -> None:
        house = await open_house(Meaning())
        await house.ask()
        assert (await house.ask()).cache.result == "hit_exact"
        assert house.meaning is not None and house.meaning.hits == []

    async def test_an_answer_is_learnt_with_its_vector(self, open_house: Callable[..., Awaitable[House]]) -> None:
        meaning = Meaning()
        house = await open_house(meaning)
        await house.ask("One")
        await until_async(lambda: meaning.learnt == [b"v"])
        meaning.vector = b""  # it is not made yet
        await house.ask("Two")
        await until_async(lambda: meaning.learnt == [b"v", b"later"])
        found = house.gateway.lookup.recall(house.gateway.admit(question("Two")).key)
        assert found is not None and found.entry.vector == b"later"

    async def test_what_is_matched_exactly_only_is_not_learnt(
        self, open_house: Callable[..., Awaitable[House]]
    ) -> None:
        meaning = Meaning()
        house = await open_house(meaning)
        meaning.refusal = "it has tools"
        answer = await house.ask("One")
        assert (answer.cache.result, answer.cache.why) == ("bypass", "it has tools")
        meaning.refusal, meaning.decision = None, Decision(result="bypass", why="it is too long")
        assert (await house.ask("Two")).cache.why == "it is too long"
        meaning.decision, meaning.learns = Decision(result="miss", why="nothing near"), False
        await house.ask("Three")
        await asyncio.sleep(0.05)
        assert meaning.learnt == []
        for text in ("One", "Two", "Three"):
            found = house.gateway.lookup.recall(house.gateway.admit(question(text)).key)
            assert found is not None and found.entry.vector == b""

    async def test_a_step_that_fails_to_learn_costs_nothing_but_that(
        self, open_house: Callable[..., Awaitable[House]]
    ) -> None:
        meaning = Meaning()
        meaning.fails = True
        house = await open_house(meaning)
        await house.ask()
        await asyncio.sleep(0.01)
        assert (await house.ask()).cache.result == "hit_exact"
