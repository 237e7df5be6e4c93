"""`beast cost report`."""

from __future__ import annotations

import csv
import io
import json
import re
import stat
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Beast
from support.fake_daemon import FakeDaemon

NASTY = '<script>alert("1")</script>'


def line(key: str | None, cost_usd: float | None, unknown: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "key": key,
        "requests": 10,
        "success": 7,
        "failure": 1,
        "refused": 1,
        "cancelled": 1,
        "hits": 2,
        "tokens": {"prompt_tokens": 1_000, "completion_tokens": None},
        "cost_usd": cost_usd,
        "unknown": unknown,
        "saved_usd": 0.5,
        "latency_ms": 120.0,
        **more,
    }


MODELS = [line("openai:gpt-4o", 1.25, 3), line("custom:qwen", 0.5), line("local:smollm2", 0.0)]
KIND = {"requests": 10, "saved_usd": 0.0, "unknown": 0}
FOUND: dict[str, Any] = {
    "month": "2026-11",
    "from": "2026-11-01T00:00:00.000Z",
    "to": "2026-12-01T00:00:00.000Z",
    "so_far": True,
    "by": "model",
    "total": {
        **line(None, 1.75, 3),
        "saved_percent": 22.2,
        "by_origin": {
            "person": {"usd": 1.5, "requests": 10, "unknown": 3},
            "judge": {"usd": 0.25, "requests": 4, "unknown": 0},
        },
    },
    "kinds": {
        "custom": {**KIND, "cost_usd": 0.5},
        "local": {**KIND, "cost_usd": 0.0},
        "provider": {**KIND, "cost_usd": 1.25, "unknown": 3},
    },
    "savings": {"cache": {"usd": 0.5, "baseline": "what the stored answers cost when they were made"}},
    "rows": MODELS,
    "left_out": 0,
    "models": MODELS,
    "over_time": {
        "step": "day",
        "points": [
            {"key": "2026-11-02", "cost_usd": 0.75, "unknown": 0, "requests": 4, "models": {"openai:gpt-4o": 0.75}},
            {
                "key": "2026-11-05",
                "cost_usd": 1.0,
                "unknown": 3,
                "requests": 6,
                "models": {"openai:gpt-4o": 0.5, "custom:qwen": 0.5, "local:smollm2": 0.0},
            },
        ],
    },
}
EMPTY = {
    **FOUND,
    "total": {**line(None, 0.0), "requests": 0, "success": 0, "saved_percent": None, "by_origin": {}},
    "rows": [],
    "models": [],
    "over_time": {"step": "day", "points": []},
}


@pytest.fixture(autouse=True)
def _reports(daemon: FakeDaemon) -> None:
    daemon.on("cost.statement", FOUND)


class Page(HTMLParser):
    """What a page holds: its texts, its tags, and what it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.loads: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [str(value) for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in ("meta", "line", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag in ("line",) or self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)


def test_the_report_names_sums_kinds_savings_and_what_is_unknown(beast: Beast) -> None:
    done = beast("cost", "report", "--month", "2026-11")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "Costs of November 2026"
    assert lines[1].startswith("from 2026-11-01 00:00 so far, until ")
    assert lines[3] == "spent      $1.75+   custom models $0.50 · local models $0 · providers $1.25+"
    assert lines[4] == "unknown    3 requests have an unknown cost, which is in no sum; a + marks those"
    assert lines[5] == (
        "saved      22.2%   $0.50 by the cache, against what the stored answers cost when they were made"
    )
    assert lines[6] == "requests   10   7 success · 1 failure · 1 refused · 1 cancelled · 2 from the cache"
    assert lines[7] == "caused by  person $1.50 (10) · judge $0.25 (4)"
    assert lines[9:11] == ["▆  █", "cost a day, 2026-11-02 to 2026-11-05; most: $1.00 on 2026-11-05"]
    assert [one.split()[0] for one in lines[12:]] == ["MODEL", "openai:gpt-4o", "custom:qwen", "local:smollm2", "total"]
    assert lines[13].split()[1:] == ["10", "2", "2", "1,000", "unknown", "$1.25+", "$0.50", "120", "ms"]


def test_what_is_wanted_reaches_the_daemon(daemon: FakeDaemon, beast: Beast) -> None:
    assert beast("cost").code == 0
    beast("cost", "report", "--month", "2026-11", "--by", "tag", "--user", "ann", "-m", "m", "--project", "/w")
    beast("cost", "report", "--from", "2026-11-01", "--to", "2026-11-02")
    beast("cost", "report", "--window", "7d")
    assert daemon.requests("cost.statement") == [
        {"by": "model"},
        {"by": "tag", "month": "2026-11", "user": "ann", "model": "m", "project": "/w"},
        {"by": "model", "from": "2026-11-01", "to": "2026-11-02"},
        {"by": "model", "window": "7d"},
    ]


@pytest.mark.parametrize("month", ["11-2026", "2026-13", "november", "2026-1", "99999-01"])
def test_what_is_no_month_is_refused(beast: Beast, month: str) -> None:
    done = beast("cost", "report", "--month", month)
    assert done.code == 2
    assert "2026-11" in done.err


def test_json_is_the_answer_of_the_daemon(beast: Beast, tmp_path: Path) -> None:
    assert beast("cost", "report", "--json").json == FOUND
    file = tmp_path / "report.json"
    assert beast("cost", "report", "--json", "-o", str(file)).code == 0
    assert json.loads(file.read_text()) == FOUND
    assert beast("cost", "report", "--json", "--html").code == 2


def test_csv_ends_with_the_total_and_its_lines_add_up_to_it(daemon: FakeDaemon, beast: Beast) -> None:
    rows = list(csv.DictReader(io.StringIO(beast("cost", "report", "--csv").out, newline="")))
    assert [(row["line"], row["model"]) for row in rows] == [
        ("row", "openai:gpt-4o"),
        ("row", "custom:qwen"),
        ("row", "local:smollm2"),
        ("total", ""),
    ]
    assert sum(float(row["cost_usd"]) for row in rows[:-1]) == float(rows[-1]["cost_usd"]) == 1.75
    assert (rows[0]["tokens.completion_tokens"], rows[0]["unknown"]) == ("", "3")
    daemon.on("cost.statement", {**FOUND, "by": "tag", "rows": [line("=cmd()", 1.0)]})
    assert "'=cmd()" in beast("cost", "report", "--csv", "--by", "tag").out


def test_the_page_needs_nothing_from_elsewhere_and_escapes_what_it_shows(
    daemon: FakeDaemon, beast: Beast, tmp_path: Path
) -> None:
    daemon.on("cost.statement", {**FOUND, "by": "project", "rows": [line(NASTY, 1.75, 3), line(None, 0.0)]})
    file = tmp_path / "november.html"
    done = beast("cost", "report", "--by", "project", "--html", "-o", str(file))
    assert done.out.startswith(f"wrote the report to {file}, ")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text()
    page = Page(text)
    assert page.open == ["html"] or page.open == []
    assert page.loads == []
    assert "script" not in page.tags
    assert re.search(r"url\(|@import|https?:", text) is None
    assert "&lt;script&gt;" in text
    assert 'content="default-src &#x27;none&#x27;' in text or "default-src 'none'" in text
    assert '<html lang="en">' in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert "no project" in text


def test_the_picture_has_a_bar_for_each_model_of_each_day_and_says_it_in_figures_too(beast: Beast) -> None:
    text = beast("cost", "report", "--html").out
    page = Page(text)
    assert page.tags.count("svg") == 1
    assert page.tags.count("rect") == 3
    assert 'role="img" aria-label="Cost a day from 2026-11-02 to 2026-11-05, most $1.00"' in text
    assert "<title>2026-11-05: custom:qwen $0.50</title>" in text
    heights = [float(one) for one in re.findall(r'height="([\d.]+)"><title>', text)]
    assert heights[1] == pytest.approx(heights[2]), "equal costs are equal bars"
    assert heights[0] == pytest.approx(1.5 * heights[1], abs=0.05)
    assert "As figures" in text


def test_the_page_says_the_same_as_the_terminal(beast: Beast) -> None:
    page = re.sub(r"<[^>]*>", " ", beast("cost", "report", "--html").out)
    for said in ("Costs of November 2026", "$1.75+", "22.2%", "$0.50 by the cache, against what the stored answers"):
        assert said in page
        assert said in beast("cost", "report").out


def test_many_models_are_drawn_as_the_dearest_and_the_rest_together(daemon: FakeDaemon, beast: Beast) -> None:
    models = {f"custom:m{number:02}": 1.0 + number for number in range(20)}
    point = {"key": "2026-11-02", "cost_usd": 210.0, "unknown": 0, "requests": 20, "models": models}
    daemon.on("cost.statement", {**FOUND, "over_time": {"step": "day", "points": [point]}})
    text = beast("cost", "report", "--html").out
    assert Page(text).tags.count("rect") == 8
    assert "2026-11-02: others $91.00" in text


def test_an_empty_month_says_so(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("cost.statement", EMPTY)
    done = beast("cost")
    assert "no request in this time" in done.out
    assert "saved      -" in done.out
    assert "No request in this time." in beast("cost", "report", "--html").out
    assert beast("cost", "report", "--csv").out.count("\n") == 2


def test_unknown_is_never_a_zero(daemon: FakeDaemon, beast: Beast) -> None:
    total = {
        **FOUND["total"],
        "cost_usd": None,
        "saved_usd": None,
        "by_origin": {"judge": {"usd": None, "requests": 1, "unknown": 1}},
    }
    daemon.on("cost.statement", {**FOUND, "total": total, "rows": [line("m", None, 10)]})
    out = beast("cost").out
    assert "spent      unknown" in out
    assert "judge unknown (1)" in out
    assert beast("cost", "report", "--html").code == 0


def test_savings_of_the_cache_and_of_routing_stand_apart_each_with_its_baseline(
    daemon: FakeDaemon, beast: Beast
) -> None:
    savings = {**FOUND["savings"], "routing": {"usd": -0.25, "baseline": "openai:gpt-4o"}}
    daemon.on("cost.statement", {**FOUND, "savings": savings})
    said = "$0.50 by the cache, against what the stored answers cost when they were made; "
    assert said + "-$0.25 by routing, against openai:gpt-4o" in beast("cost").out
    page = beast("cost", "report", "--html").out
    assert "Saved by routing" in page
    assert "against openai:gpt-4o" in page
