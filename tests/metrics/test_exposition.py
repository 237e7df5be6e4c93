"""Metrics as text: whatever a label holds, Prometheus' own parsers read back what was written."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from beastmode.metrics.exposition import Family, Sample, add_histogram, render, wants_openmetrics

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(label=TEXTS, meaning=TEXTS, value=st.integers(0, 2**62) | st.floats(0, allow_nan=False))
def test_a_counter_is_read_back_as_it_is(label: str, meaning: str, value: float) -> None:
    families = [Family("beast_x", "counter", meaning.strip() or "X.", [Sample({"model": label}, value)])]
    for openmetrics, read in ((False, read_text), (True, read_openmetrics)):
        (family,) = read(render(families, openmetrics).decode())
        (sample,) = family.samples
        assert (sample.name, sample.labels) == ("beast_x_total", {"model": label})
        assert float(sample.value) == float(value)


def test_plain_text_is_as_the_format_says() -> None:
    families = [
        Family("beast_cost_usd", "counter", "A \\ and\na line.", [Sample({"m": 'a"b'}, 0.5), Sample({}, 3)]),
        Family("beast_empty", "gauge", "Nothing.", []),
    ]
    assert render(families).decode() == (
        "# HELP beast_cost_usd_total A \\\\ and\\na line.\n"
        "# TYPE beast_cost_usd_total counter\n"
        'beast_cost_usd_total{m="a\\"b"} 0.5\n'
        "beast_cost_usd_total 3\n"
    )


def test_openmetrics_names_the_unit_and_ends() -> None:
    text = render([Family("beast_cost_usd", "counter", "Cost.", [Sample({}, 1)])], openmetrics=True).decode()
    assert text == (
        "# HELP beast_cost_usd Cost.\n# TYPE beast_cost_usd counter\n# UNIT beast_cost_usd usd\n"
        "beast_cost_usd_total 1\n# EOF\n"
    )


def test_nothing_is_an_empty_page() -> None:
    assert list(read_text(render([]).decode())) == []
    assert list(read_openmetrics(render([], openmetrics=True).decode())) == []


@pytest.mark.parametrize(
    ("value", "text"), [(math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN"), (1e-9, "1e-09")]
)
def test_odd_numbers_have_words(value: float, text: str) -> None:
    assert render([Family("a", "gauge", "A.", [Sample({}, value)])]).decode().splitlines()[-1] == f"a {text}"


def test_a_lone_surrogate_is_no_end_of_the_page() -> None:
    assert b'm="?"' in render([Family("a", "gauge", "A.", [Sample({"m": "\ud800"}, 1)])])


def test_a_histogram_adds_its_buckets_up() -> None:
    family = Family("a_seconds", "histogram", "A.", [])
    add_histogram(family, {"m": "x"}, (0.5, 1.0), (2, 3, 4), 12.5)
    (found,) = read_text(render([family]).decode())
    assert [(one.name, one.labels.get("le"), one.value) for one in found.samples] == [
        ("a_seconds_bucket", "0.5", 2.0),
        ("a_seconds_bucket", "1.0", 5.0),
        ("a_seconds_bucket", "+Inf", 9.0),
        ("a_seconds_sum", None, 12.5),
        ("a_seconds_count", None, 9.0),
    ]


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text; version=1.0.0", True),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1", True),
        ("text/plain, application/openmetrics-text;q=0.4", False),
        ("application/openmetrics-text;q=0", False),
        ("Application/OpenMetrics-Text;q=nonsense", True),
        (";;,,=;q=", False),
    ],
)
def test_the_reader_chooses_the_format(accept: str, openmetrics: bool) -> None:
    assert wants_openmetrics(accept) is openmetrics
