"""A judge settles doubtful pairs and samples of hits, off the request path and only where the user named one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from beastmode.background.judging import Judging
from beastmode.background.periodic import Periodic
from beastmode.cache.decision import Grey, Neighbour, Sample
from beastmode.cache.key import make_key
from beastmode.cache.pairs import Pairs
from beastmode.core.clock import Clock
from beastmode.core.errors import UpstreamError
from beastmode.core.settings import CacheSettings, Settings
from beastmode.core.types import Completion, Entry, Message, Request
from support.waiting import until_async


class Upstream:
    """Stands for the gateway: says what the test wants, and remembers what it was asked."""

    def __init__(self, say: Callable[[Request], str], judge: str = "custom:judge") -> None:
        self.settings = Settings(cache=CacheSettings(judge_model=judge))
        self.flights: list[object] = []
        self.asked: list[Request] = []
        self._say = say

    def admit(self, request: Request) -> Request:
        return request

    async def ask(self, request: Request) -> Any:
        self.asked.append(request)
        return SimpleNamespace(text=self._say(request))


def question(text: str) -> Request:
    return Request(model="custom:ok", messages=[Message("user", text)], params={"temperature": 0}, user="me")


ASKED = question("How do I sort a list?")
KEY = make_key(ASKED)
STORED = make_key(question("Sort a list, please"))
GREY = Grey(KEY, Neighbour(entry=STORED.exact.hex(), text="Sort a list, please", similarity=0.9))
ENTRY = Entry(
    key=STORED.exact, scope=STORED.scope, text=STORED.text, completion=Completion(text="sorted(x)"), model="custom:ok"
)
SAMPLE = Sample(ASKED, KEY, ENTRY, "group")


@pytest.fixture
def semantic(tmp_path: Path) -> Any:
    return SimpleNamespace(grey=[], samples=[], pairs=Pairs(tmp_path / "pairs.jsonl", 0.01))


async def judged(upstream: Upstream, semantic: Any, done: Callable[[], bool]) -> None:
    work = Periodic(Judging(cast(Any, upstream), semantic).turn, 0.001, Clock())
    work.start()
    await until_async(done)
    await work.close()
    await semantic.pairs.close()


async def test_an_approved_pair_becomes_an_alias(semantic: Any) -> None:
    upstream = Upstream(lambda request: "Yes.")
    semantic.grey.append(GREY)
    await judged(upstream, semantic, lambda: semantic.pairs.alias(KEY.exact) is not None)
    assert semantic.pairs.alias(KEY.exact) == STORED.exact
    (asked,) = upstream.asked
    assert (asked.model, asked.origin, asked.cache, asked.params["max_tokens"]) == ("custom:judge", "judge", "off", 4)
    assert KEY.text in str(asked.messages[0].content) and GREY.neighbour.text in str(asked.messages[0].content)


async def test_a_refused_pair_stays_apart_and_is_not_asked_twice(semantic: Any) -> None:
    upstream = Upstream(lambda request: "NO, they differ")
    semantic.grey += [GREY, GREY]
    await judged(upstream, semantic, lambda: not semantic.grey and len(upstream.asked) == 1)
    assert semantic.pairs.alias(KEY.exact) is None


@pytest.mark.parametrize(("verdict", "wrong"), [("YES", 0), ("NO", 1)])
async def test_a_sampled_hit_is_compared_with_a_fresh_answer(semantic: Any, verdict: str, wrong: int) -> None:
    upstream = Upstream(lambda request: "fresh" if request.origin == "shadow" else verdict)
    semantic.pairs.served("req", KEY.exact, STORED.exact, "group")
    semantic.samples.append(SAMPLE)
    await judged(upstream, semantic, lambda: len(upstream.asked) == 2)
    shadow, judge = upstream.asked
    assert (shadow.origin, shadow.cache, shadow.messages, shadow.user) == ("shadow", "off", ASKED.messages, "me")
    text = str(judge.messages[0].content)
    assert judge.origin == "judge" and "fresh" in text and "sorted(x)" in text
    assert semantic.pairs.stats()["groups"]["group"]["wrong"] == wrong
    assert semantic.pairs.is_denied(KEY.exact, STORED.exact) is bool(wrong)


async def test_without_a_judge_nothing_is_asked_and_nothing_piles_up(semantic: Any) -> None:
    upstream = Upstream(lambda request: "YES", judge="")
    semantic.grey.append(GREY)
    semantic.samples.append(SAMPLE)
    await judged(upstream, semantic, lambda: not semantic.grey and not semantic.samples)
    assert upstream.asked == []


async def test_a_person_s_request_goes_first(semantic: Any) -> None:
    upstream = Upstream(lambda request: "YES")
    upstream.flights.append("a call of a person")
    semantic.grey.append(GREY)
    judging = Judging(cast(Any, upstream), semantic)
    await judging.turn()
    assert upstream.asked == []
    upstream.flights.clear()
    await judging.turn()
    assert len(upstream.asked) == 1
    await semantic.pairs.close()


async def test_a_judge_that_fails_does_not_end_the_judging(semantic: Any) -> None:
    def say(request: Request) -> str:
        if len(upstream.asked) == 1:
            raise UpstreamError("It is down.")
        return "YES"

    upstream = Upstream(say)
    other = Grey(STORED, Neighbour(entry=KEY.exact.hex(), text=KEY.text, similarity=0.9))
    semantic.grey += [GREY, other]
    await judged(upstream, semantic, lambda: semantic.pairs.alias(STORED.exact) is not None)
    assert len(upstream.asked) == 2
