"""Warming: what is asked ahead and when, who goes first, what it may cost, and what comes of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from beastmode.background.predicting import Guess
from beastmode.core.errors import ShuttingDownError, UpstreamError
from beastmode.core.types import Completion
from support.bare_gateway import DONE
from support.warm_house import ME, WarmClock, WarmHouse, question, until_async, warm_house

HELLO = {"message": "Hello?"}


class TestWhatIsAsked:
    async def test_a_template_is_in_the_cache_before_it_is_asked(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path, templates=[HELLO | {"model": "custom:a"}]) as house:
            await house.turns()
            answer = await house.person("Hello?")
            assert (answer.cache.result, house.texts) == ("hit_exact", ["Hello?"])
            (row,) = await house.rows()
            assert (row["origin"], row["outcome"], row["user"], row["client"]) == ("warming", "success", ME, "daemon")

    async def test_what_recurs_is_asked_and_what_came_once_is_not(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path) as house:
            house.asked_before("once", 5)
            house.asked_before("daily", 24, 48, 72)
            await house.turns()
            assert house.texts == ["daily"]

    async def test_what_comes_often_lately_and_at_this_hour_comes_first(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path, WarmClock(9.0)) as house:
            house.asked_before("long ago", 24 * 30, 24 * 31)
            house.asked_before("in the evening", 24 - 10, 48 - 10)
            house.asked_before("every morning", 24, 48, 72)
            await house.turns()
            assert house.texts == ["every morning", "in the evening", "long ago"]

    async def test_while_somebody_works_actions_that_recur_wait(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path) as house:
            house.asked_before("an action", 24, 48, path="a.py")
            house.asked_before("a question", 24, 48, 0.1)
            await house.turns(2)
            assert house.texts == ["a question"]
            await house.idle(1200.0)
            await house.turns()
            assert house.texts == ["a question", "an action"]

    async def test_what_is_stored_already_is_not_asked(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path, templates=[HELLO | {"model": "custom:a"}]) as house:
            await house.person("Hello?")
            await house.turns()
            assert len(house.provider.calls) == 1 and await house.rows() == []

    async def test_a_guess_is_asked_as_its_question_was_asked(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path) as house:
            house.asked_before("likely", 30)
            (one,) = house.activity.all()
            house.patterns.told = [Guess(*one.identity, probability=0.6)]
            await house.turns()
            assert house.texts == ["likely"]

    async def test_an_unlikely_guess_is_not_asked(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path) as house:
            house.asked_before("unlikely", 30)
            (one,) = house.activity.all()
            house.patterns.told = [Guess(*one.identity, probability=0.001)]
            await house.turns()
            assert house.texts == []

    async def test_a_popular_answer_that_went_stale_is_made_anew(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path) as house:
            house.stale.append((question("popular"), 0.5))
            await house.turns()
            assert house.texts == ["popular"]
            assert (await house.person("popular")).cache.result == "hit_exact"

    async def test_it_is_the_request_of_that_user_and_of_no_other(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path) as house:
            house.asked_before("mine", 24, 48)
            house.asked_before("hers", 24, 48, user="ada")
            await house.turns()
            assert (await house.person("hers", user="ada")).cache.result == "hit_exact"
            assert (await house.person("mine")).cache.result == "hit_exact"
            assert (await house.person("hers")).cache.result == "miss"

    async def test_nothing_is_asked_where_it_is_switched_off(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path, enabled=False, templates=[HELLO]) as house:
            house.asked_before("daily", 24, 48)
            await house.turns()
            report = await house.warming.warm()
            assert house.texts == [] and report.asked == 0 and report.skipped == {"disabled": 2}
            assert (await house.warming.status())["enabled"] is False

    @pytest.mark.parametrize(
        ("message", "more"), [("x" * 100_000, {}), ("long answer", {"max_tokens": 100_000})], ids=["prompt", "answer"]
    )
    async def test_nothing_large_is_asked(self, message: str, more: dict[str, Any], tmp_path: Path) -> None:
        async with warm_house(tmp_path, templates=[{"message": message, "model": "custom:a", **more}]) as house:
            await house.model("custom:a", context_tokens=1_000_000)
            report = await house.warming.warm()
            assert house.texts == [] and report.skipped == {"large": 1}

    @pytest.mark.parametrize(
        "template",
        [
            {},
            {"message": ""},
            {"message": "x", "kind": "explain"},
            {"kind": "explain"},
            {"kind": "dance", "path": "a.py", "workspace": "/w"},
            {"mesage": "x"},
            {"message": "x", "model": 7},
        ],
    )
    async def test_a_wrong_template_is_told_and_left_out(self, template: dict[str, Any], tmp_path: Path) -> None:
        async with warm_house(tmp_path, templates=[template, HELLO | {"model": "custom:a"}]) as house:
            await house.turns()
            assert house.texts == ["Hello?"]
            assert "template" in str((await house.warming.status())["problem"])

    async def test_a_question_that_fails_is_not_asked_again_at_once(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path, templates=[HELLO | {"model": "custom:a"}]) as house:
            house.moves(house.wall, 0.0, UpstreamError("It is down."))
            await house.turns(4)
            assert len(house.provider.calls) == 1
            assert (await house.warming.warm()).skipped == {"failed_before": 1}

    async def test_an_answer_that_can_not_be_stored_is_not_asked_for_again(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path, templates=[HELLO | {"model": "custom:a"}]) as house:
            house.provider.answers = lambda call, on_delta: _given(Completion(text="cut", finish_reason="length"))
            await house.turns(5)
            assert len(house.provider.calls) == 1


async def _given(completion: Completion) -> Completion:
    return completion


class TestWhen:
    async def test_not_before_nobody_has_asked_anything_for_a_while(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path, idle_s=100.0, templates=[HELLO | {"model": "custom:a"}]) as house:
            await house.person("something")
            await house.idle(99.0)
            await house.warming.turn()
            assert house.texts == ["something"]
            await house.idle(2.0)
            await house.warming.turn()
            assert house.texts == ["something", "Hello?"]

    async def test_not_while_somebody_waits_for_an_answer(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path, templates=[HELLO | {"model": "custom:a"}]) as house:
            going = asyncio.Event()

            async def slow(call: Any, on_delta: Any) -> Completion:
                await going.wait()
                return DONE

            house.provider.answers = slow
            person = asyncio.ensure_future(house.person("slow"))
            await until_async(lambda: len(house.provider.calls) == 1)
            await house.turns(3)
            assert house.texts == ["slow"]
            going.set()
            await person

    async def test_so_many_a_minute_after_a_few_at_once(self, tmp_path: Path) -> None:
        templates = [{"message": f"question {n}", "model": "custom:a"} for n in range(8)]
        async with warm_house(tmp_path, per_minute=6.0, idle_s=0.0, templates=templates) as house:
            await house.idle()
            for _ in range(30):
                await house.idle(2.0)
                await house.warming.turn()
            assert 6 <= len(house.texts) <= 8
            await house.turns()
            assert len(house.texts) == 8

    async def test_so_many_a_day_and_more_the_next_day(self, tmp_path: Path) -> None:
        templates = [{"message": f"question {n}", "model": "custom:a"} for n in range(5)]
        async with warm_house(tmp_path, daily_requests=2, templates=templates) as house:
            await house.turns()
            assert len(house.texts) == 2
            assert (await house.warming.warm()).skipped == {"stored": 2, "daily_requests": 3}
            house.build()  # a restart does not begin the day anew
            await house.turns()
            assert len(house.texts) == 2
            house.wall.days += 1
            house.warming.look_again()
            await house.turns()
            assert len(house.texts) == 4

    async def test_where_little_is_left_for_the_day_only_the_likelier_guesses_are_asked(self, tmp_path: Path) -> None:
        templates = [{"message": f"question {n}", "model": "custom:a"} for n in range(8)]
        async with warm_house(tmp_path, daily_requests=10, templates=templates) as house:
            await house.turns()
            house.asked_before("rather likely", 30)
            house.asked_before("very likely", 30)
            one, other = house.activity.all()
            house.patterns.told = [
                Guess(*other.identity, probability=0.6),
                Guess(*one.identity, probability=0.3),
            ]
            house.warming.look_again()
            await house.turns()
            assert house.texts[8:] == ["very likely"]

    async def test_at_the_time_of_day_that_is_set_whatever_the_hour_of_the_requests(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path, WarmClock(6.0), at="07:30") as house:
            await house.warming.turn()
            assert house.record.scheduled == ""
            house.wall.hour = 7.6
            await house.turns(2)
            assert house.record.scheduled == "2026-11-20"
            await house.warming.close()
            house.build()
            await house.record.load()
            assert house.record.scheduled == "2026-11-20"

    async def test_again_after_the_cache_was_lost(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path) as house:
            for text in ("once", "daily"):
                await house.person(text)
            house.asked_before("once", 3)
            house.asked_before("daily", 24, 48)
            await house.turns(3)
            assert house.texts == ["once", "daily"]
            house.gateway.lookup.clear()
            await house.turns()
            assert sorted(house.texts[2:]) == ["daily", "once"]
            assert (await house.person("once")).cache.result == "hit_exact"

    async def test_it_stops_when_the_daemon_drains(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path, templates=[HELLO | {"model": "custom:a"}]) as house:
            house.provider.answers = _never
            by_hand = asyncio.ensure_future(house.warming.warm())
            await until_async(lambda: len(house.provider.calls) == 1)
            await house.warming.close()
            with pytest.raises(ShuttingDownError):
                await by_hand
            await house.gateway.drain(1.0)
            (row,) = await house.rows()
            assert row["outcome"] == "cancelled"


async def _never(call: Any, on_delta: Any) -> Completion:
    await asyncio.Event().wait()
    raise AssertionError

    async def test_what_is_forgotten_is_not_asked_any_more(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path) as house:
            house.asked_before("a secret", 24, 48)
            house.provider.answers = _never
            await house.idle()
            turn = asyncio.ensure_future(house.warming.turn())
            await until_async(lambda: len(house.provider.calls) == 1)
            await house.activity.forget()
            house.warming.forget()
            await asyncio.wait_for(turn, 5.0)
            assert (await house.rows())[0]["outcome"] == "cancelled"
            await house.turns()
            assert house.texts == ["a secret"]


class TestWhoGoesFirst:
    async def _flying(self, house: WarmHouse) -> asyncio.Task[Any]:
        await house.idle(600.0)
        turn = asyncio.ensure_future(house.warming.turn())
        await until_async(lambda: len(house.provider.calls) == 1)
        return turn

    async def test_a_person_ends_what_is_asked_ahead_and_it_is_asked_later(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path, templates=[HELLO | {"model": "custom:a"}]) as house:
            ended = asyncio.Event()

            async def answers(call: Any, on_delta: Any) -> Completion:
                if len(house.provider.calls) == 1:
                    try:
                        await asyncio.Event().wait()
                    finally:
                        ended.set()
                return DONE

            house.provider.answers = answers
            turn = await self._flying(house)
            assert (await house.person("mine")).text == "Hello"
            await asyncio.wait_for(ended.wait(), 1.0)
            await turn
            (row,) = await house.rows()
            assert (row["outcome"], row["error_kind"]) == ("cancelled", "gave_way")
            await house.turns()
            assert house.texts == ["Hello?", "mine", "Hello?"]

    async def test_who_asks_the_very_same_joins_and_it_is_one_call(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path, templates=[HELLO | {"model": "custom:a"}]) as house:
            going = asyncio.Event()

            async def answers(call: Any, on_delta: Any) -> Completion:
                await going.wait()
                return DONE

            house.provider.answers = answers
            turn = await self._flying(house)
            person = asyncio.ensure_future(house.person("Hello?", stream=True))
            other = asyncio.ensure_future(house.person("another"))
            await until_async(lambda: len(house.provider.calls) == 2)
            going.set()
            answer = await person
            await asyncio.gather(turn, other)
            assert (answer.cache.result, answer.cache.tier) == ("hit_exact", "flight")
            assert house.texts == ["Hello?", "another"]
            assert (await house.warming.status())["used"] == 1

    async def test_what_memory_answers_ends_nothing(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path, templates=[HELLO | {"model": "custom:a"}]) as house:
            await house.person("known")
            await house.idle(600.0)
            going = asyncio.Event()

            async def answers(call: Any, on_delta: Any) -> Completion:
                await going.wait()
                return DONE

            house.provider.answers = answers
            house.provider.calls.clear()
            turn = await self._flying(house)
            assert (await house.person("known")).cache.result == "hit_exact"
            going.set()
            await turn
            assert (await house.rows())[0]["outcome"] == "success"

    async def test_by_hand_it_waits_and_tries_again(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path, templates=[HELLO | {"model": "custom:a"}]) as house:
            count = 0

            async def answers(call: Any, on_delta: Any) -> Completion:
                nonlocal count
                count += 1
                if count == 1:
                    await asyncio.Event().wait()
                return DONE

            house.provider.answers = answers
            by_hand = asyncio.ensure_future(house.warming.warm())
            await until_async(lambda: len(house.provider.calls) == 1)
            await house.person("mine")
            report = await by_hand
            assert (report.asked, report.stored, report.skipped) == (1, 1, {})
            assert house.texts == ["Hello?", "mine", "Hello?"]
