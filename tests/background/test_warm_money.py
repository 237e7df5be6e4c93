"""What warming may cost, who may stand in, how precise it is, and warming by hand."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode.background.predicting import Guess
from beastmode.background.warm_budget import WORKING_DAY_S, strictness
from beastmode.background.warm_record import JUDGED_MIN
from beastmode.core.errors import UpstreamError
from beastmode.core.settings import RoutingSettings
from beastmode.core.types import Completion, Usage
from support.warm_house import DEAR, until_async, warm_house

HELLO = {"message": "Hello?"}


async def _given(completion: Completion) -> Completion:
    return completion


async def _never(call: Any, on_delta: Any) -> Completion:
    await asyncio.Event().wait()
    raise AssertionError


class TestNumber:
    def test_half_a_day_with_half_of_its_requests_is_as_strict_as_ever(self) -> None:
        assert strictness(250, 500, WORKING_DAY_S / 2) == pytest.approx(1.0)

    def test_where_half_of_what_is_due_is_left_a_guess_must_be_four_times_as_likely(self) -> None:
        assert strictness(375, 500, WORKING_DAY_S / 2) == pytest.approx(4.0)

    @given(st.integers(0, 1_000), st.integers(0, 500), st.floats(0, 86_400))
    def test_never_less_strict_than_usual_nor_less_the_more_was_asked(
        self, asked: int, allowed: int, worked_s: float
    ) -> None:
        assert 1.0 <= strictness(asked, allowed, worked_s) <= strictness(asked + 1, allowed, worked_s)


class TestMoney:
    async def test_a_model_with_a_price_is_not_asked_without_a_budget(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path, templates=[HELLO | {"model": "custom:dear"}]) as house:
            await house.model("custom:dear", DEAR)
            await house.turns()
            assert house.texts == []
            assert (await house.warming.warm()).skipped == {"costs_money": 1}

    async def test_the_budget_is_that_of_the_workspace(self, tmp_path: Path) -> None:
        templates = [HELLO | {"model": "custom:dear", "workspace": place} for place in ("/w/a", "/w/b")]
        async with warm_house(tmp_path, templates=templates, remote={"/w/a": 1.0}) as house:
            await house.model("custom:dear", DEAR)
            await house.turns()
            assert [call.request.workspace for call in house.provider.calls] == ["/w/a"]

    async def test_it_never_spends_more_than_that(self, tmp_path: Path) -> None:
        templates = [
            {"message": f"q{n}", "model": "custom:dear", "workspace": "/w", "max_tokens": 100} for n in range(9)
        ]
        async with warm_house(tmp_path, templates=templates, remote={"/w": 0.0005}) as house:
            await house.model("custom:dear", DEAR)
            house.provider.answers = lambda call, on_delta: _given(
                Completion(text="a", finish_reason="stop", usage=Usage(prompt_tokens=50, completion_tokens=50))
            )
            report = await house.warming.warm()
            assert 0 < report.asked < 9 and report.skipped["over_budget"] == 9 - report.asked
            spent = sum(row["cost_usd"] for row in await house.rows())
            assert report.cost_usd == pytest.approx(spent) and 0.0003 <= spent <= 0.0005
            status = await house.warming.status()
            assert (status["spent_usd"], status["budget_usd"]) == (pytest.approx(spent), 0.0005)

    async def test_nor_when_several_ask_at_once(self, tmp_path: Path) -> None:
        templates = [
            {"message": f"q{n}", "model": "custom:dear", "workspace": "/w", "max_tokens": 100} for n in range(9)
        ]
        async with warm_house(tmp_path, templates=templates, remote={"/w": 0.0005}) as house:
            await house.model("custom:dear", DEAR)
            house.provider.answers = lambda call, on_delta: _given(
                Completion(text="a", finish_reason="stop", usage=Usage(prompt_tokens=100, completion_tokens=100))
            )
            await asyncio.gather(*(house.warming.warm() for _ in range(4)))
            assert sum(row["cost_usd"] for row in await house.rows()) <= 0.0005

    async def test_what_a_killed_daemon_may_have_spent_counts_as_spent(self, tmp_path: Path) -> None:
        template = {"message": "q", "model": "custom:dear", "workspace": "/w", "max_tokens": 100}
        async with warm_house(tmp_path, templates=[template], remote={"/w": 0.0004}) as house:
            await house.model("custom:dear", DEAR)
            assert await house.budget.hold("call", "/w", 0.0003)
            house.build()  # nothing was settled
            await house.record.load()
            assert (await house.budget.spent("/w")).usd == 0.0003
            assert (await house.warming.warm()).skipped == {"over_budget": 1}
            house.wall.days += 1
            assert (await house.warming.warm()).stored == 1

    async def test_a_call_that_gave_way_counts_as_the_most_that_it_may_have_cost(self, tmp_path: Path) -> None:
        template = {"message": "q", "model": "custom:dear", "workspace": "/w", "max_tokens": 100}
        async with warm_house(tmp_path, templates=[template], remote={"/w": 1.0}) as house:
            await house.model("custom:dear", DEAR)
            house.provider.answers = _never
            by_hand = asyncio.ensure_future(house.warming.warm())
            await until_async(lambda: len(house.provider.calls) == 1)
            by_hand.cancel()
            await asyncio.gather(by_hand, return_exceptions=True)
            spent = await house.budget.spent("/w")
            assert spent.requests == 1 and spent.usd > 0.0001

    async def test_a_project_can_allow_less_and_never_more(self, tmp_path: Path) -> None:
        template = HELLO | {"model": "custom:dear", "workspace": "/w", "max_tokens": 100}
        async with warm_house(tmp_path, templates=[template], remote={"/w": 1.0}) as house:
            await house.model("custom:dear", DEAR)
            house.budget._lower = lambda workspace: 0.00001
            assert (await house.warming.warm()).skipped == {"over_budget": 1}
            house.budget._lower = lambda workspace: 100.0
            assert (house.budget.limit_usd("/w"), (await house.warming.warm()).stored) == (1.0, 1)

    async def test_what_nobody_can_tell_the_cost_of_is_not_asked(self, tmp_path: Path) -> None:
        template = HELLO | {"model": "custom:dear", "workspace": "/w"}
        async with warm_house(tmp_path, templates=[template], remote={"/w": 100.0}) as house:
            await house.model("custom:dear", DEAR, context_tokens=None)
            assert (await house.warming.warm()).skipped == {"price_unknown": 1}

    async def test_a_fallback_that_costs_money_is_not_asked_either(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path, templates=[HELLO | {"model": "auto"}]) as house:
            await house.model("custom:dear", DEAR)
            house.gateway.settings = house.gateway.settings
            house.moves(house.wall, 0.0, UpstreamError("It is down."))
            report = await house.warming.warm()
            assert (report.skipped, report.cost_usd, len(house.provider.calls)) == ({"failed": 1}, 0.0, 1)

    async def test_a_dry_run_asks_nothing_and_says_what_it_may_cost(self, tmp_path: Path) -> None:
        dear = HELLO | {"model": "custom:dear", "workspace": "/w", "max_tokens": 100}
        async with warm_house(tmp_path, templates=[dear, HELLO | {"model": "custom:a"}], remote={"/w": 1.0}) as house:
            await house.model("custom:dear", DEAR)
            report = await house.warming.warm(dry_run=True)
            assert house.texts == [] and report.asked == report.stored == 0
            paid, free = report.wishes
            assert (paid["outcome"], paid["model"], free["may_cost_usd"]) == ("would_ask", "custom:dear", 0.0)
            assert report.may_cost_usd == paid["may_cost_usd"] > 0.0001


class TestAuto:
    ROUTING = RoutingSettings(auto=["custom:big"])

    async def test_a_cheaper_model_stands_in_for_auto_and_the_answer_says_so(self, tmp_path: Path) -> None:
        template = HELLO | {"model": "auto"}
        async with warm_house(tmp_path, templates=[template], model="custom:a", routing=self.ROUTING) as house:
            await house.model("custom:big")
            await house.turns()
            answer = await house.person("Hello?", model="auto")
            assert (answer.cache.result, answer.model) == ("hit_exact", "custom:a")
            assert (await house.warming.status())["used"] == 0
            house.asking.note_use()
            assert (await house.warming.status())["used"] == 1

    async def test_it_stands_in_for_no_model_that_was_named(self, tmp_path: Path) -> None:
        template = HELLO | {"model": "custom:big"}
        async with warm_house(tmp_path, templates=[template], model="custom:a", routing=self.ROUTING) as house:
            await house.model("custom:big")
            await house.turns()
            assert [call.deployment.model for call in house.provider.calls] == ["custom:big"]

    async def test_without_it_the_model_that_auto_would_choose_answers(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path, templates=[HELLO | {"model": "auto"}], routing=self.ROUTING) as house:
            await house.model("custom:big")
            await house.turns()
            assert (await house.person("Hello?", model="auto")).model == "custom:big"


class TestPrecision:
    async def test_is_the_share_of_answers_that_a_person_got(self, tmp_path: Path) -> None:
        templates = [{"message": f"question {n}", "model": "custom:a"} for n in range(4)]
        async with warm_house(tmp_path, templates=templates) as house:
            assert (await house.warming.status())["precision"] is None
            await house.turns()
            assert (await house.warming.status())["precision"] == 0.0
            await house.person("question 0")
            house.asking.note_use()
            assert (await house.warming.status())["precision"] == 0.25

    async def test_survives_a_restart(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path, templates=[HELLO | {"model": "custom:a"}]) as house:
            await house.turns()
            await house.warming.close()
            house.build()
            await house.record.load()
            await house.person("Hello?")
            house.asking.note_use()
            assert (await house.warming.status())["used"] == 1

    async def test_a_source_whose_answers_are_not_used_rests_longer(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path, precision=0.5, horizon_s=10.0) as house:
            for number in range(JUDGED_MIN):
                house.record.made([bytes([number])], "recurring")
            house.wall.days += 1
            assert house.record.share("recurring", 10.0, 0.5) < 0.2
            assert house.record.share("guess", 10.0, 0.5) == house.record.share("template", 10.0, 0.5) == 1.0
            assert (await house.warming.status())["throttled"] is True
            for number in range(4):
                house.asked_before(f"daily {number}", 24, 48)
            await house.turns(6)
            few = len(house.texts)
            house.configure(precision=0.0)
            house.warming.look_again()
            await house.idle(3600)
            await house.turns(15)
            assert few < len(house.texts) == 4

    async def test_of_guesses_only_the_better_ones_are_asked_then(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path, precision=0.5, horizon_s=10.0) as house:
            for number in range(JUDGED_MIN):
                house.record.made([bytes([number])], "guess")
            house.wall.days += 1
            for text in ("likely", "unlikely"):
                house.asked_before(text, 30)
            likely, unlikely = (one.identity for one in house.activity.all())
            house.patterns.told = [Guess(*likely, probability=0.7), Guess(*unlikely, probability=0.2)]
            await house.turns()
            assert house.texts == ["likely"]

    async def test_a_damaged_file_is_set_aside(self, tmp_path: Path) -> None:
        (tmp_path / "warming.json").write_bytes(b"{")
        (tmp_path / "warming.json").chmod(0o600)
        async with warm_house(tmp_path) as house:
            await house.record.load()
            assert "damaged" in str((await house.warming.status())["problem"])
            assert list(tmp_path.glob("warming.json.damaged-*"))


class TestByHand:
    async def test_it_tells_how_far_it_is(self, tmp_path: Path) -> None:
        templates = [{"message": f"question {n}", "model": "custom:a"} for n in range(3)]
        async with warm_house(tmp_path, templates=templates) as house:
            told: list[dict[str, Any]] = []
            report = await house.warming.warm(tell=told.append)
            assert [(one["done"], one["total"], one["outcome"]) for one in told] == [
                (number, 3, "stored_now") for number in (1, 2, 3)
            ]
            assert (report.asked, report.stored, report.cost_usd) == (3, 3, 0.0)

    async def test_only_of_a_workspace_and_at_most_so_many(self, tmp_path: Path) -> None:
        templates = [HELLO | {"model": "custom:a", "workspace": f"/w/{n % 2}", "message": f"{n}"} for n in range(6)]
        async with warm_house(tmp_path, templates=templates) as house:
            report = await house.warming.warm({"/w/1"}, limit=2)
            assert (report.stored, report.skipped) == (2, {"limit": 1})
            assert house.texts == ["1", "3"]

    async def test_cancelled_it_ends_what_it_asks(self, tmp_path: Path) -> None:
        async with warm_house(tmp_path, templates=[HELLO | {"model": "custom:a"}]) as house:
            house.provider.answers = _never
            by_hand = asyncio.ensure_future(house.warming.warm())
            await until_async(lambda: len(house.provider.calls) == 1)
            by_hand.cancel()
            with pytest.raises(asyncio.CancelledError):
                await by_hand
            await until_async(lambda: not len(house.gateway.flights))
            assert (await house.rows())[0]["outcome"] == "cancelled"
