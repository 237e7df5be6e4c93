"""Histograms merge by addition, and tell percentiles that are less than 1% off."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode.metrics import histogram
from beastmode.metrics.histogram import Bins

VALUES = st.lists(st.integers(0, 10**12), max_size=200)


def of(values: list[int]) -> Bins:
    bins: Bins = {}
    histogram.add(bins, values)
    return bins


@given(VALUES.filter(bool), st.integers(1, 100))
def test_a_percentile_is_less_than_1_percent_off_the_value_at_its_rank(values: list[int], percent: int) -> None:
    (exact,) = histogram.exact_percentiles(values, [percent])
    assert exact == sorted(values)[-(-len(values) * percent // 100) - 1]
    assert histogram.percentiles(of(values), [percent]) == [pytest.approx(exact, rel=0.01)]


@given(VALUES, VALUES)
def test_merged_ones_are_what_one_of_all_values_is(some: list[int], more: list[int]) -> None:
    merged = of(some)
    histogram.merge(merged, of(more))
    assert merged == of(some + more)


@given(VALUES.filter(bool), VALUES.filter(bool))
def test_texts_merge_by_a_comma(some: list[int], more: list[int]) -> None:
    text = histogram.to_text(of(some))
    assert histogram.from_text(text) == of(some)
    assert histogram.from_text(f"{text},{histogram.to_text(of(more))}") == of(some + more)


def test_of_nothing_nothing_is_known() -> None:
    assert histogram.percentiles({}, (50, 95, 99)) == [None, None, None]
    assert histogram.exact_percentiles([], (50,)) == [None]
