"""The verifier: a probability that two prompts want the same answer, from the data file that is shipped."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.cache import verifier as rooms
from beastmode.cache.features import NAMES
from beastmode.cache.guard import align, analyse
from beastmode.cache.verifier import DATA_FILE, Model, Verifier, calibrated
from beastmode.core.errors import InternalError

SERVED = 0.95


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    return Verifier.load()


def confidence(verifier: Verifier, a: str, b: str, similarity: float = 0.95) -> float:
    return verifier.confidence(analyse(a), analyse(b), similarity)


def test_it_is_bound_to_one_embedder(verifier: Verifier) -> None:
    assert verifier.embedder == "minilm-l6-v2-int8"


def test_the_data_file_says_how_it_was_made_and_what_it_reached(verifier: Verifier) -> None:
    metrics = verifier.model.metrics
    assert "bench/train_verifier.py" in verifier.model.command
    assert metrics["wrong_bound"] <= 0.02
    unlike = {kind: row["served"] for kind, row in metrics["kinds"].items() if row["label"] == 0}
    assert len(unlike) >= 20
    assert max(unlike.values()) <= 0.05


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Write a function to reverse a string in Python", "In Python, write a function that reverses a string"),
        ("What's the time complexity of quicksort?", "What is the time complexity of quicksort"),
        ("Can you tell me how to exit vim?", "how to exit vim??"),
        ("I want you to explain closures in JavaScript", "Explain closures in JS"),
        ("Give me a bash command to count lines in a file", "What is the bash command to count lines in a file?"),
    ],
)
def test_another_wording_of_the_same_wish_is_served(verifier: Verifier, a: str, b: str) -> None:
    assert confidence(verifier, a, b) >= SERVED
    assert confidence(verifier, b, a) >= SERVED


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Write a haiku about gardens", "Write a limerick about gardens"),
        ("Explain how a mutex works", "Explain how a semaphore works"),
        ("Deploy the app to staging", "Deploy the app to production"),
        ("Write unit tests for the login function", "Write integration tests for the login function"),
        ("Reverse a linked list in place", "Reverse a linked list"),
        ("What are the pros of Rust?", "What are the cons of Rust?"),
        ("Use a dark theme", "Use a light theme"),
        ("Restart nginx", "Reload nginx"),
    ],
)
def test_words_that_nobody_listed_keep_the_confidence_down(verifier: Verifier, a: str, b: str) -> None:
    assert confidence(verifier, a, b, 0.999) < SERVED


def test_it_does_not_depend_on_guards_to_turn_a_vetoed_pair_down(verifier: Verifier) -> None:
    assert confidence(verifier, "Sort in ascending order", "Sort in descending order", 0.99) < SERVED


def test_an_alignment_that_is_known_is_used(verifier: Verifier) -> None:
    a, b = analyse("find the logs of nginx"), analyse("list the logs of nginx")
    assert verifier.confidence(a, b, 0.9, alignment=align(a, b)) == verifier.confidence(a, b, 0.9)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.floats(0, 20), min_size=len(NAMES), max_size=len(NAMES)), st.integers(0, len(NAMES) - 1))
def test_one_more_difference_never_makes_a_pair_more_alike(values: list[float], place: int) -> None:
    verifier = Verifier.load()
    more = list(values)
    more[place] += 1
    assert 0 <= verifier.judge(more) <= verifier.judge(values) <= 1


def test_confidence_runs_in_straight_lines_between_its_knots() -> None:
    knots = [(0.2, 0.1), (0.6, 0.5), (1.0, 0.9)]
    assert calibrated(0.1, knots) == pytest.approx(0.05)
    assert calibrated(0.4, knots) == pytest.approx(0.3)
    assert calibrated(1.0, knots) == pytest.approx(0.9)
    assert calibrated(1.5, knots) == pytest.approx(0.9)
    assert calibrated(0.0, [(0.0, 0.3)]) == 0.3


def _resources(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(rooms.resources, "files", lambda package: folder)


def test_a_data_file_that_is_damaged_or_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _resources(monkeypatch, tmp_path)
    with pytest.raises(InternalError, match="can not be read"):
        Verifier.load()
    (tmp_path / DATA_FILE).write_text("{")
    with pytest.raises(InternalError, match="can not be read"):
        Verifier.load()


def test_a_data_file_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Verifier.load().model
    other = msgspec.structs.replace(model, features=[*model.features, "more"], weights=[*model.weights, 1.0])
    (tmp_path / DATA_FILE).write_bytes(msgspec.json.encode(other))
    _resources(monkeypatch, tmp_path)
    with pytest.raises(InternalError, match="another version"):
        Verifier.load()


def test_the_shipped_files_are_small(verifier: Verifier) -> None:
    folder = Path(rooms.__file__).parent
    assert sum((folder / name).stat().st_size for name in (DATA_FILE, "guard_lexicon.toml", "vocabulary.txt")) < 500_000
    assert isinstance(verifier.model, Model)
