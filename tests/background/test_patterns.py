"""Requests are guessed before they come: from habits, sequence, place and time; what that is worth is measured."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.background.accuracy import Accuracy
from beastmode.background.activity import Activities, Activity, Identity
from beastmode.background.patterns import Patterns
from beastmode.background.predicting import Context, Guess, Predictor
from beastmode.background.trail import KNOWN_MAX
from beastmode.core.clock import Clock

MONDAY_S = 1_795_392_000.0 + 9 * 3600
DAY_S = 86_400.0


class Hand:
    """Stands for a person at an editor, whose clock goes by what they do."""

    def __init__(self, at_s: float = MONDAY_S) -> None:
        self.at_s = at_s
        self.predictor = Predictor()

    def ask(self, action: str, symbol: str = "", path: str = "a.py", after_s: float = 20.0, **more: Any) -> None:
        self.at_s += after_s
        kind: Any = "chat" if action == "chat" else "action"
        more = {"workspace": "/w", "user": "me", "path": path if symbol else "", **more}
        self.predictor.observe(
            Activity(at_s=self.at_s, kind=kind, action="" if action == "chat" else action, symbol=symbol, **more)
        )

    def write(self, symbol: str, path: str = "a.py", after_s: float = 20.0) -> None:
        for kind in ("edited", "saved"):
            self.at_s += after_s
            told: Any = kind
            self.predictor.observe(Activity(at_s=self.at_s, kind=told, workspace="/w", path=path, symbol=symbol))

    def open(self, path: str, after_s: float = 20.0) -> None:
        self.at_s += after_s
        self.predictor.observe(Activity(at_s=self.at_s, kind="opened", workspace="/w", path=path))

    def guesses(self, limit: int = 5, after_s: float = 10.0, **context: Any) -> list[Guess]:
        return self.predictor.guesses(self.at_s + after_s, Context(**context), limit)

    def likely(self, limit: int = 5) -> list[tuple[str, str]]:
        return [(one.action, one.symbol) for one in self.guesses(limit)]


def test_who_knows_nothing_guesses_nothing() -> None:
    assert Predictor().guesses(MONDAY_S) == []


def test_probabilities_add_up_to_one_at_most_and_fall() -> None:
    hand = Hand()
    for number in range(30):
        hand.ask("explain", f"f{number % 7}")
    shares = [one.probability for one in hand.guesses(limit=1000)]
    assert 0.5 < sum(shares) <= 1.0 + 1e-9  # the rest is what nobody could have guessed
    assert shares == sorted(shares, reverse=True)
    assert all(0 <= share <= 1 for share in shares)


def test_after_writing_a_function_its_docstring_comes_and_then_its_tests() -> None:
    hand = Hand()
    for name in ("load", "parse", "merge", "render", "check", "store"):
        hand.write(name)
        hand.ask("docstring", name)
        hand.ask("tests", name)
    hand.write("brand_new")
    assert hand.likely()[0] == ("docstring", "brand_new")
    fresh = hand.guesses()[0]
    assert not fresh.seen
    assert fresh.like == Identity("docstring", "/w", "a.py", "store", "", "me")
    hand.ask("docstring", "brand_new")
    assert hand.likely()[0] == ("tests", "brand_new")


def test_after_a_fix_the_tests_come() -> None:
    hand = Hand()
    for name in ("load", "parse", "merge", "render", "check"):
        hand.write(name)
        hand.ask("fix", name)
        hand.ask("tests", name)
        hand.ask("explain", f"{name}_helper")
    hand.write("other")
    hand.ask("fix", "other")
    assert hand.likely()[0] == ("tests", "other")


def test_the_questions_of_every_morning_are_expected_in_the_morning() -> None:
    hand = Hand()
    for day in range(4):
        hand.at_s = MONDAY_S + day * DAY_S
        hand.ask("chat", question="first")
        hand.ask("chat", question="second")
        for number in range(25):
            hand.ask("explain", f"day_{day}_{number}", after_s=600)
    hand.at_s = MONDAY_S + 4 * DAY_S
    assert hand.guesses()[0].question == "first"
    hand.ask("chat", question="first")
    assert hand.guesses()[0].question == "second"


def test_an_opened_file_is_explained_from_its_first_function_on() -> None:
    hand = Hand()
    for path in ("a.py", "b.py", "c.py", "d.py", "e.py"):
        symbols = [f"{path[0]}_{number}" for number in range(5)]
        hand.predictor.file("/w", path, symbols)
        hand.open(path, after_s=300)
        hand.ask("explain", symbols[0], path)
        hand.ask("explain", symbols[1], path)
    hand.predictor.file("/w", "new.py", ["alpha", "beta", "gamma"])
    hand.open("new.py", after_s=300)
    assert ("explain", "alpha") in hand.likely(3)
    hand.ask("explain", "alpha", "new.py")
    assert ("explain", "beta") in hand.likely(3)


def test_guesses_are_those_of_a_workspace_and_of_a_person_where_that_is_wanted() -> None:
    hand = Hand()
    for _ in range(3):
        hand.ask("explain", "mine")
        hand.ask("explain", "theirs", user="you")
        hand.ask("explain", "elsewhere", workspace="/v")
    assert {one.symbol for one in hand.guesses(50, workspace="/v")} == {"elsewhere"}
    assert {one.user for one in hand.guesses(50, user="you")} == {"you"}


def test_the_same_events_give_the_same_guesses() -> None:
    def all_of_it() -> list[Guess]:
        hand, chance = Hand(), random.Random(7)
        for _ in range(300):
            hand.write(f"f{chance.randrange(9)}")
            hand.ask(chance.choice(["tests", "fix", "explain"]), f"f{chance.randrange(9)}")
        return hand.guesses(20)

    assert all_of_it() == all_of_it()


def test_what_is_known_is_bounded() -> None:
    hand = Hand()
    for number in range(KNOWN_MAX + 500):
        hand.ask("explain", f"f{number}", path=f"p{number % 900}.py")
    trail = hand.predictor.learned.trail
    assert len(trail.known) <= KNOWN_MAX
    assert sum(len(there) for there in trail.places.values()) <= KNOWN_MAX
    assert hand.guesses(1)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["chat", "action", "complete", "generate", "opened", "edited", "saved", "closed", "switched"]),
        st.sampled_from(["", "explain", "tests"]),
        st.sampled_from(["", "a.py", "b.py"]),
        st.sampled_from(["", "one", "two"]),
        st.floats(-1e5, 1e5),
    ),
    max_size=40,
)


@given(EVENTS)
@settings(max_examples=60, deadline=None)
def test_it_learns_from_anything_and_from_a_clock_that_jumps(events: list[tuple[Any, ...]]) -> None:
    predictor, at_s = Predictor(), MONDAY_S
    for kind, action, path, symbol, passed_s in events:
        at_s += passed_s
        predictor.observe(
            Activity(at_s=at_s, kind=kind, action=action, path=path, symbol=symbol, workspace="/w", user="me")
        )
        guesses = predictor.guesses(at_s)
        assert all(0 <= one.probability <= 1 for one in guesses)
        assert len({one.identity for one in guesses}) == len(guesses)


# -- what guesses are worth ------------------------------------------------------------------------------------------


def test_accuracy_counts_what_was_among_the_guesses_apart_for_what_recurs() -> None:
    a, b, c = (Identity("explain", "/w", "a.py", name) for name in "abc")
    accuracy = Accuracy()
    accuracy.measure([], a)
    accuracy.measure([a, b], a)
    accuracy.measure([a, b], b)
    accuracy.measure([c], b)
    assert accuracy.predictor.shares() == {
        "n": 4,
        "top1": 0.25,
        "top5": 0.5,
        "recurring": {"n": 2, "top1": 0.5, "top5": 0.5},
    }
    assert accuracy.last_only.recurring.shares() == {"n": 2, "top1": 1.0, "top5": 1.0}
    assert accuracy.frequency_only.recurring.shares() == {"n": 2, "top1": 0.5, "top5": 1.0}


def test_nothing_measured_is_unknown_and_not_zero() -> None:
    assert Accuracy().predictor.shares() == {
        "n": 0,
        "top1": None,
        "top5": None,
        "recurring": {"n": 0, "top1": None, "top5": None},
    }


def explain(number: int, **more: Any) -> Activity:
    return Activity(
        at_s=MONDAY_S + number * 30,
        kind="action",
        action="explain",
        workspace="/w",
        path="a.py",
        symbol=f"f{number % 3}",
        user="me",
        **more,
    )


async def house(folder: Path, clock: Clock | None = None) -> tuple[Activities, Patterns]:
    clock = clock or Clock()
    activity = Activities(folder / "activity", clock, lambda: True)
    await activity.load()
    patterns = Patterns(activity, clock, folder / "activity" / "learned.msgpack")
    await patterns.start()
    return activity, patterns


async def test_each_request_is_guessed_before_it_is_learned_from(tmp_path: Path) -> None:
    activity, patterns = await house(tmp_path)
    for number in range(12):
        activity.note(explain(number))
    await patterns.settled()
    accuracy: Any = patterns.accuracy()
    assert accuracy["n"] == patterns.events == 12
    assert accuracy["recurring"]["n"] == 9
    assert accuracy["recurring"]["top5"] == 1.0
    assert accuracy["top5"] == pytest.approx(9 / 12)
    assert patterns.since_s == MONDAY_S
    await patterns.close()
    await activity.close()


async def test_what_was_learned_survives_a_restart(tmp_path: Path) -> None:
    activity, patterns = await house(tmp_path)
    for number in range(12):
        activity.note(explain(number))
    await patterns.settled()
    await patterns.close()
    await activity.close()
    again, learned = await house(tmp_path)
    await learned.settled()
    assert learned.events == 12
    assert learned.accuracy() == patterns.accuracy()
    assert [one.identity for one in learned.guesses()] == [one.identity for one in patterns.guesses()]
    await learned.close()
    await again.close()


@pytest.mark.parametrize("damage", [b"", b"\xc1\xc1", b"\x81\xa6schema\xcc\xff", None])
async def test_without_what_was_learned_it_is_learned_again_from_the_journal(
    tmp_path: Path, damage: bytes | None
) -> None:
    activity, patterns = await house(tmp_path)
    for number in range(12):
        activity.note(explain(number))
    await patterns.settled()
    await patterns.close()
    await activity.close()
    file = tmp_path / "activity" / "learned.msgpack"
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage)
    again, learned = await house(tmp_path)
    await learned.settled()
    assert learned.events == 12
    await learned.close()
    await again.close()


async def test_what_is_forgotten_is_guessed_no_more(tmp_path: Path) -> None:
    activity, patterns = await house(tmp_path)
    for number in range(12):
        activity.note(explain(number))
    await patterns.settled()
    assert patterns.guesses()
    await activity.forget()
    patterns.relearn()
    await patterns.settled()
    assert patterns.guesses() == []
    assert patterns.events == 0
    await patterns.close()
    assert b"a.py" not in (tmp_path / "activity" / "learned.msgpack").read_bytes()
    await activity.close()


async def test_learning_ends_with_the_daemon_and_goes_on_with_the_next_one(tmp_path: Path) -> None:
    activity, patterns = await house(tmp_path)
    for number in range(200):
        activity.note(explain(number))
    await asyncio.sleep(0.05)
    await patterns.close()
    await activity.close()
    done = patterns.events
    again, learned = await house(tmp_path)
    await learned.settled()
    assert done <= 200
    assert learned.events == 200
    await learned.close()
    await again.close()
