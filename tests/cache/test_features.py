"""What the verifier looks at, and which prompts are never matched by meaning."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.cache.features import NAMES, eligible, far_words, features
from beastmode.cache.guard import align, analyse
from beastmode.core.plugins import Embedding


def measured(a: str, b: str, similarity: float = 0.9) -> dict[str, float]:
    one, other = analyse(a), analyse(b)
    return dict(zip(NAMES, features(align(one, other), one, other, similarity), strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "continue",
        "Yes",
        "ok, thanks!",
        "fix it",
        "Fix this.",
        "please explain that",
        "now refactor the function",
        "make it faster",
        "Add tests to the above code please",
        "translate your last answer to German",
        "go on",
        "why?",
        "what about this one",
        "rewrite it as you said before",
        "Is there a bug in this function?",
        "",
        "  \n ",
        "???",
        "hm",
        "sort",
    ],
)
def test_prompts_that_say_too_little_or_point_elsewhere_are_never_matched(text: str) -> None:
    assert eligible(text)


@pytest.mark.parametrize(
    "text",
    [
        "How do I undo the last commit in git?",
        "Write a function that continues after an error",
        "Explain mutexes in one sentence",
        "fix this:\n```\nx = [1, 2\n```",
        "Sort a list of tuples by the second element",
        "Find all files in this directory",
        "Use the last 100 lines of notes as input to wc",
        "Explain the function map in Python",
    ],
)
def test_prompts_that_stand_alone_may_be_matched(text: str) -> None:
    assert eligible(text) is None


def test_the_reason_is_told() -> None:
    assert eligible("continue") == "says too little by itself"
    assert eligible("fix it in the parser") == "points to something that was said before"
    assert eligible("sort") == "too short"
    assert eligible("") == "empty"


def test_equal_meaning_measures_as_no_difference() -> None:
    found = measured("Please sort the list by name", "sort a list by name", 1.0)
    assert not any(found.values())


def test_each_difference_has_its_own_number() -> None:
    assert measured("Write a haiku about gardens", "Write a limerick about gardens")["swapped_words"] == 1
    assert measured("Write a haiku about gardens", "Write a sad haiku about gardens")["lone_words"] == 1
    assert measured("Find files here", "Find all files here")["light_words"] == 1
    assert measured("find the logs", "list the logs")["close_words"] == 1
    assert measured("sort the logs", "sorting the log")["forms"] == 2
    assert measured("sort the colums", "sort the columns")["typos"] == 1
    assert measured("Copy from alpha to beta", "Copy to alpha from beta")["turned_leads"] == 2
    assert measured("a list of tuples sorted", "a tuple list sorted")["turned_pairs"] == 1
    assert measured("Sort by name then by age", "Sort by age then by name")["moved"] == 1
    assert measured("round to 2 places", "round to 3 places")["decisive"] == 1
    assert measured("anything at all here", "anything at all here", 0.75)["distance"] == 0.25
    assert measured("read rows with pandas", "read rows using pandas")["leads"] == 0
    assert measured("sort rows by name", "sort rows with name")["leads"] == 1


def embedding(**pieces: list[float]) -> Embedding:
    return Embedding(np.ones(2, np.float32), list(pieces), np.array(list(pieces.values()), np.float16))


def test_swapped_words_are_compared_in_their_contexts() -> None:
    found = align(analyse("Write a haiku about gardens"), analyse("Write a limerick about gardens"))
    near = far_words(found, embedding(haiku=[1, 0]), embedding(limerick=[1, 0]))
    far = far_words(found, embedding(haiku=[1, 0]), embedding(limerick=[0, 1]))
    assert near == pytest.approx(0.0, abs=1e-3)
    assert far == pytest.approx(1.0, abs=1e-3)


def test_a_word_of_several_pieces_is_found_and_one_that_is_not_there_counts_as_far() -> None:
    found = align(analyse("Write a haiku about gardens"), analyse("Write a limerick about gardens"))
    pieces = embedding(**{"lime": [1, 0], "##rick": [0, 1]})
    assert far_words(found, embedding(haiku=[1, 1]), pieces) == pytest.approx(0.0, abs=1e-3)
    assert far_words(found, embedding(other=[1, 1]), pieces) == 1.0


def test_without_pieces_nothing_is_known_of_contexts() -> None:
    found = align(analyse("Write a haiku about gardens"), analyse("Write a limerick about gardens"))
    bare = Embedding(np.ones(2, np.float32), ["haiku"])
    assert far_words(found, None, embedding(limerick=[1, 0])) is None
    assert far_words(found, bare, embedding(limerick=[1, 0])) is None
    assert far_words(align(analyse("a b"), analyse("a b")), embedding(x=[1, 0]), embedding(x=[1, 0])) == 0.0


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=120), st.text(max_size=120), st.floats(0.5, 1.0))
def test_no_feature_is_ever_negative(a: str, b: str, similarity: float) -> None:
    assert all(value >= 0 for value in measured(a, b, similarity).values())
    eligible(a)
