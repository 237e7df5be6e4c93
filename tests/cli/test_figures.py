"""How figures are written."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode.cli import figures

ANSWER = {
    "model": "custom:qwen",
    "latency_ms": 1240.0,
    "usage": {"prompt_tokens": 20, "completion_tokens": 10},
    "cost_usd": 0.0003,
    "saved_usd": 0.0,
    "cache": {"result": "miss", "tier": None},
}


def test_the_line_after_an_answer_names_model_time_tokens_cost_and_cache() -> None:
    assert figures.answer_line(ANSWER) == "custom:qwen · 1.24 s · 20+10 tokens · $0.0003 · miss"


def test_a_hit_names_its_tier_and_what_it_saved() -> None:
    hit = {"latency_ms": 0.42, "cost_usd": 0.0, "saved_usd": 0.0003, "cache": {"result": "hit_exact", "tier": "L1"}}
    line = figures.answer_line({**ANSWER, **hit})
    assert line == "custom:qwen · 0.4 ms · 20+10 tokens · $0 · hit_exact L1, saved $0.0003"


def test_what_is_unknown_says_so_and_is_no_zero() -> None:
    line = figures.answer_line({**ANSWER, "usage": {"prompt_tokens": 20, "completion_tokens": None}, "cost_usd": None})
    assert line == "custom:qwen · 1.24 s · 20+? tokens · cost unknown · miss"
    hit = {"cache": {"result": "hit_exact", "tier": None}, "saved_usd": None, "usage": None}
    assert figures.answer_line({**ANSWER, **hit}).endswith("tokens unknown · $0.0003 · hit_exact, saved unknown")
    assert figures.answer_line({}) == "model unknown · unknown · tokens unknown · cost unknown · cache unknown"


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "unknown"),
        (0.0, "0 µs"),
        (0.026, "26 µs"),
        (0.0999, "0.1 ms"),
        (35.4, "35 ms"),
        (999.6, "1.00 s"),
        (59_990, "59.99 s"),
        (185_000, "3 min 5 s"),
    ],
)
def test_durations(ms: float | None, text: str) -> None:
    assert figures.duration(ms) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.9, "0 s"), (59, "59 s"), (60, "1 min"), (7805, "2 h 10 min"), (86400 * 4 + 3600 * 3 + 59, "4 d 3 h")],
)
def test_spans(seconds: float, text: str) -> None:
    assert figures.span(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "unknown"), (0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (98_100_000, "98.1 MB"), (5e15, "5000 TB")],
)
def test_sizes(count: float | None, text: str) -> None:
    assert figures.size(count) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "unknown"),
        (0, "$0"),
        (0.0003, "$0.0003"),
        (0.000341, "$0.00034"),
        (0.15, "$0.15"),
        (0.6, "$0.6"),
        (0.999, "$1.00"),
        (1.255, "$1.25"),
        (1234.5, "$1,234.50"),
        (1e-20, "under $0.000000000001"),
    ],
)
def test_dollars(amount: float | None, text: str) -> None:
    assert figures.usd(amount) == text


@given(st.floats(min_value=1e-11, max_value=1e6))
def test_no_amount_of_money_is_shown_as_nothing_or_with_an_exponent(amount: float) -> None:
    text = figures.usd(amount)
    assert re.fullmatch(r"\$[\d,]+(\.\d+)?", text)
    assert float(text[1:].replace(",", "")) == pytest.approx(amount, rel=0.06, abs=0.006 if amount > 0.9 else 0)


def test_prices() -> None:
    assert figures.price(None) == "unknown"
    assert figures.price({"prompt": None, "completion": None}) == "unknown"
    assert figures.price({"prompt": 0.15, "completion": None}) == "$0.15 / unknown"


def test_moments() -> None:
    assert figures.moment(None) == "unknown"
    assert figures.moment("yesterday") == "yesterday"
    assert figures.moment("2026-11-20T09:00:00Z") == figures.moment(1795165200.0)
