"""Answers that were made from pieces of a workspace: gathered on a miss, kept with them, served while they hold."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from beastmode.cache.decision import Decision
from beastmode.cache.key import make_key
from beastmode.core.errors import BadInputError, NotInCacheError
from beastmode.core.plugins import Call, OnDelta
from beastmode.core.types import Answer, Completion, Gathered, Message, Piece, Request
from support.bare_gateway import DONE, House, Meaning, question
from support.waiting import until_async

ROOT = "/srv/project"


class Files:
    """A workspace in memory, and the truth about it."""

    def __init__(self, **texts: str) -> None:
        self.texts = texts
        self.lines_down = 0
        self.gathers = 0
        self.wait: asyncio.Event | None = None
        self.fails: Exception | None = None
        self.holds = 0

    def pieces(self) -> list[Piece]:
        return [Piece(path, sha(text), first_line=1, last_line=2) for path, text in sorted(self.texts.items())]

    async def gather(self) -> Gathered:
        self.gathers += 1
        if self.fails is not None:
            raise self.fails
        shown = "\n".join(f"{path}: {text}" for path, text in sorted(self.texts.items()))
        found = Gathered([Message("user", shown), Message("user", "What is it?")], self.pieces())
        if self.wait is not None:
            await self.wait.wait()
        return found

    async def hold(self, root: str, pieces: Sequence[Piece], opened: Mapping[str, str] = {}) -> list[Piece] | None:
        self.holds += 1
        if self.fails is not None:
            raise self.fails
        assert root == ROOT
        now = {**self.texts, **opened}
        if any(sha(now.get(piece.path, "")) != piece.sha256 for piece in pieces):
            return None
        return [msgspec.structs.replace(one, first_line=one.first_line + self.lines_down) for one in pieces]


def sha(text: str) -> str:
    return sha256(text.encode()).hexdigest()


@pytest.fixture
def files() -> Files:
    return Files(a="one", b="two")


@pytest.fixture
async def house(open_house: Callable[..., Awaitable[House]], files: Files) -> House:
    house = await open_house(truth=files)
    house.provider.answers = digesting
    return house


async def digesting(call: Call, on_delta: OnDelta | None) -> Completion:
    """Answers with what it was sent."""
    return msgspec.structs.replace(DONE, text=str(call.request.messages[0].content))


def about(files: Files, text: str = "What is it?", **fields: Any) -> Request:
    return question(text, workspace=ROOT, gather=files.gather, **fields)


async def ask(house: House, request: Request) -> Answer:
    ticket = house.gateway.admit(request)
    return house.gateway.recall(ticket) or await house.gateway.ask(ticket)


class TestGathering:
    async def test_a_miss_sends_what_was_found_and_names_it(self, house: House, files: Files) -> None:
        answer = await ask(house, about(files))
        assert answer.text == "a: one\nb: two"
        assert answer.sources == files.pieces()
        assert answer.cache.result == "miss"
        assert [message.content for message in house.provider.calls[0].request.messages] == [answer.text, "What is it?"]

    async def test_a_hit_gathers_nothing_and_names_where_the_pieces_lie_now(self, house: House, files: Files) -> None:
        first = await ask(house, about(files))
        files.lines_down = 7
        again = await ask(house, about(files))
        assert (again.text, again.cache.result, again.cache.tier) == (first.text, "hit_exact", "L1")
        assert [piece.first_line for piece in again.sources] == [8, 8]
        assert files.gathers == len(house.provider.calls) == 1

    async def test_memory_alone_does_not_answer(self, house: House, files: Files) -> None:
        await ask(house, about(files))
        assert house.gateway.recall(house.gateway.admit(about(files))) is None

    async def test_that_something_is_gathered_joins_the_key_and_what_is_found_does_not(self, files: Files) -> None:
        plain, gathered = question("Hi", workspace=ROOT), about(files, "Hi")
        assert make_key(plain).scope != make_key(gathered).scope
        assert make_key(gathered) == make_key(about(Files(a="other"), "Hi", opened={"a": "unsaved"}))

    async def test_where_nothing_is_found_the_answer_is_not_stored(self, house: House, files: Files) -> None:
        files.texts.clear()
        assert [(await ask(house, about(files))).cache.result for _ in range(2)] == ["miss", "miss"]
        assert len(house.provider.calls) == 2

    async def test_a_gather_that_breaks_leaves_the_question_as_it_is(self, house: House, files: Files) -> None:
        files.fails = ZeroDivisionError()
        answer = await ask(house, about(files))
        assert (answer.text, answer.sources, house.row.outcome) == ("What is it?", [], "success")
        assert house.gateway.lookup.recall(make_key(about(files))) is None

    async def test_a_gather_that_refuses_ends_the_request_with_its_row(self, house: House, files: Files) -> None:
        files.fails = BadInputError("No.")
        with pytest.raises(BadInputError):
            await ask(house, about(files))
        assert [row.outcome for row in house.ledger.rows] == ["failure"]
        assert house.provider.calls == []

    @pytest.mark.parametrize("mode", ["off", "refresh"])
    async def test_who_asks_past_the_cache_gathers_anew(self, house: House, files: Files, mode: Any) -> None:
        await ask(house, about(files))
        assert (await ask(house, about(files, cache=mode))).cache.result == "bypass"
        assert files.gathers == 2


class TestTruth:
    async def test_an_edit_makes_it_stale_at_once(self, house: House, files: Files) -> None:
        await ask(house, about(files))
        files.texts["a"] = "ONE"
        answer = await ask(house, about(files))
        assert (answer.text, answer.cache.result) == ("a: ONE\nb: two", "stale")
        assert house.row.cache is not None
        assert house.row.cache.result == "stale"
        assert house.gateway.variants.stale == 1

    async def test_unsaved_text_wins_over_the_disk(self, house: House, files: Files) -> None:
        await ask(house, about(files))
        assert (await ask(house, about(files, opened={"a": "typed"}))).cache.result == "stale"
        assert (await ask(house, about(files, opened={"a": "one"}))).cache.result == "hit_exact"

    async def test_going_back_brings_the_old_answer_back(self, house: House, files: Files) -> None:
        main, branch = {"a": "one", "b": "two"}, {"a": "other", "b": "two"}
        results = []
        for texts in (main, branch, main, branch, main):
            files.texts = dict(texts)
            answer = await ask(house, about(files))
            assert answer.text == "\n".join(f"{path}: {text}" for path, text in texts.items())
            results.append(answer.cache.result)
        assert results == ["miss", "stale", "hit_exact", "hit_exact", "hit_exact"]

    async def test_eight_variants_are_kept_beside_the_newest_those_used_last(self, house: House, files: Files) -> None:
        for number in range(10):
            files.texts["a"] = str(number)
            await ask(house, about(files))
            files.texts["a"] = "0"
            assert (await ask(house, about(files))).cache.result == "hit_exact"
        stored = house.gateway.lookup.recall(make_key(about(files)))
        assert stored is not None
        kept = [one.completion.text for one in stored.entry.variants]
        assert stored.entry.completion.text == "a: 0\nb: two"
        assert kept == [f"a: {number}\nb: two" for number in range(9, 1, -1)]

    async def test_asking_anew_replaces_the_variant_of_the_same_pieces_alone(self, house: House, files: Files) -> None:
        await ask(house, about(files))
        files.texts["a"] = "ONE"
        await ask(house, about(files))

        async def anew(call: Call, on_delta: OnDelta | None) -> Completion:
            return msgspec.structs.replace(DONE, text="Anew")

        house.provider.answers = anew
        await ask(house, about(files, cache="refresh"))
        assert (await ask(house, about(files))).text == "Anew"
        files.texts["a"] = "one"
        assert (await ask(house, about(files))).text == "a: one\nb: two"

    async def test_what_is_wanted_from_the_cache_alone_and_is_stale_is_not_there(
        self, house: House, files: Files
    ) -> None:
        await ask(house, about(files))
        files.texts["a"] = "ONE"
        with pytest.raises(NotInCacheError, match="true no more"):
            await ask(house, about(files, cache="only"))
        assert house.row.cache is not None
        assert house.row.cache.result == "stale"
        assert len(house.provider.calls) == 1

    async def test_where_nobody_can_tell_nothing_is_served(self, house: House, files: Files) -> None:
        await ask(house, about(files))
        files.fails = OSError("the disk is gone")
        assert (await ask(house, about(files))).cache.result == "stale"
        files.fails, house.gateway.variants.truth = None, None
        assert (await ask(house, about(files))).cache.result == "stale"

    async def test_an_answer_without_an_age_outlives_its_tier(self, house: House, files: Files, clock: Any) -> None:
        await ask(house, about(files))
        clock.now_s += 10 * 86400.0
        assert (await ask(house, about(files))).cache.result == "hit_exact"


class TestByMeaning:
    async def test_another_wordings_answer_is_looked_at_too(
        self, open_house: Callable[..., Awaitable[House]], files: Files
    ) -> None:
        house = await open_house(semantic=Meaning(), truth=files)
        house.provider.answers = digesting
        await ask(house, about(files, "What is it?"))
        stored = house.gateway.lookup.recall(make_key(about(files, "What is it?")))
        assert stored is not None
        assert house.meaning is not None
        house.meaning.decision = Decision(result="hit", why="another wording", found=stored, group="g")
        answer = await ask(house, about(files, "What may it be?"))
        assert (answer.cache.result, answer.sources) == ("hit_semantic", files.pieces())
        files.texts["b"] = "TWO"
        answer = await ask(house, about(files, "What can it be?"))
        assert (answer.cache.result, answer.text) == ("stale", "a: one\nb: TWO")


class TestTogether:
    async def test_identical_questions_share_one_gather_and_one_call(self, house: House, files: Files) -> None:
        answers = await asyncio.gather(*(ask(house, about(files)) for _ in range(5)))
        assert {answer.text for answer in answers} == {"a: one\nb: two"}
        assert [answer.sources for answer in answers] == [files.pieces()] * 5
        assert (files.gathers, len(house.provider.calls)) == (1, 1)

    async def test_who_asks_after_an_edit_does_not_join_a_flight_from_before(self, house: House, files: Files) -> None:
        go = asyncio.Event()

        async def slowly(call: Call, on_delta: OnDelta | None) -> Completion:
            if "one" in str(call.request.messages[0].content):
                await go.wait()
            return await digesting(call, on_delta)

        house.provider.answers = slowly
        before = asyncio.ensure_future(ask(house, about(files)))
        await until_async(lambda: bool(house.provider.calls))
        files.texts["a"] = "ONE"
        assert (await ask(house, about(files))).text == "a: ONE\nb: two"
        go.set()
        assert (await before).text == "a: one\nb: two", "who asked before the edit gets the answer of then"
        assert (await ask(house, about(files))).text == "a: ONE\nb: two"
        files.texts["a"] = "one"
        assert (await ask(house, about(files))).cache.result == "hit_exact", "it is stored under what was read"

    async def test_an_edit_while_a_flight_gathers_parts_the_two(self, house: House, files: Files) -> None:
        files.wait = asyncio.Event()
        before = asyncio.ensure_future(ask(house, about(files)))
        await until_async(lambda: files.gathers == 1)
        files.texts["a"] = "ONE"
        after = asyncio.ensure_future(ask(house, about(files)))
        await asyncio.sleep(0.01)
        assert files.gathers == 1, "it waits to see what the first one found"
        files.wait.set()
        assert [(await before).text, (await after).text] == ["a: one\nb: two", "a: ONE\nb: two"]

    async def test_an_answer_that_comes_while_files_are_looked_at_is_taken(self, house: House, files: Files) -> None:
        await ask(house, about(files))
        files.texts["a"] = "ONE"
        look, go = files.hold, asyncio.Event()

        async def slowly(*looked_at: Any) -> list[Piece] | None:
            found = await look(*looked_at)
            if found is None:
                await go.wait()
            return found

        files.hold = slowly  # type: ignore[method-assign]  # a slow disk
        late = asyncio.ensure_future(ask(house, about(files)))
        await until_async(lambda: files.holds == 1)
        files.hold = look  # type: ignore[method-assign]  # fast again
        assert (await ask(house, about(files))).cache.result == "stale"
        go.set()
        answer = await late
        assert (answer.text, answer.cache.result) == ("a: ONE\nb: two", "hit_exact")
        assert len(house.provider.calls) == 2

    async def test_a_flight_is_kept_for_who_still_looks_whether_it_suits(self, house: House, files: Files) -> None:
        files.wait = asyncio.Event()
        first = asyncio.ensure_future(ask(house, about(files)))
        await until_async(lambda: files.gathers == 1)
        second = asyncio.ensure_future(ask(house, about(files)))
        await asyncio.sleep(0.01)
        first.cancel()
        await asyncio.sleep(0.01)
        files.wait.set()
        assert (await second).text == "a: one\nb: two"
        assert files.gathers == len(house.provider.calls) == 1

    async def test_a_flight_ends_with_the_last_who_looked(self, house: House, files: Files) -> None:
        files.wait = asyncio.Event()
        asked = [asyncio.ensure_future(ask(house, about(files))) for _ in range(2)]
        await until_async(lambda: files.gathers == 1)
        await asyncio.sleep(0.01)
        for one in asked:
            one.cancel()
        await house.gateway.flights.landed()
        assert [row.outcome for row in house.ledger.rows] == ["cancelled", "cancelled"]
        assert house.provider.calls == []

    async def test_a_flight_that_fails_at_gathering_fails_for_all(self, house: House, files: Files) -> None:
        files.wait, files.fails = asyncio.Event(), None

        async def refusing() -> Gathered:
            assert files.wait is not None
            await files.wait.wait()
            raise BadInputError("No.")

        asked = [asyncio.ensure_future(ask(house, question("Hi", workspace=ROOT, gather=refusing))) for _ in range(2)]
        await asyncio.sleep(0.01)
        files.wait.set()
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(one) for one in results] == [BadInputError, BadInputError]
        assert [row.outcome for row in house.ledger.rows] == ["failure", "failure"]
