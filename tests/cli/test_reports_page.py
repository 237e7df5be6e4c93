"""What `docs/reports.md` and the command line's page on watching tell people to type, typed at a real daemon."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beastmode.cli import export
from beastmode.core.errors import BeastError
from support.daemon import Daemon
from support.provider_server import ProviderServer
from support.tracked import text_of

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BEAST = f'beast() {{ {sys.executable} -P -m beastmode.cli "$@"; }}; '
WITHOUT_CODE = 5


def lines_of(page: str, *sections: str) -> list[str]:
    text = text_of(Path(page)) or ""
    if sections:
        text = "\n## ".join(part for part in text.split("\n## ") if part.partition("\n")[0] in sections)
    return [line[2:] for block in BLOCK.findall(text) for line in block.splitlines() if line.startswith("$ ")]


LINES = list(dict.fromkeys([*lines_of("docs/reports.md"), *lines_of("docs/cli.md", "Watching", "Reports")]))
ENDING = [line for line in LINES if "--watch" not in line]
WATCHING = [line for line in LINES if "--watch" in line]


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """A daemon with two models that has seen requests of every outcome, some of unknown cost."""
    with ProviderServer() as provider, Daemon() as running:
        price = {"prompt": 1.0, "completion": 2.0}
        running.add("custom:qwen", f"{provider.url}/v1", upstream_model="ok", price=price)
        running.add("custom:small", f"{provider.url}/v1", upstream_model="latency-5", price=price)
        running.add("custom:bad", f"{provider.url}/v1", upstream_model="e401")
        running.add("custom:quiet", f"{provider.url}/v1", upstream_model="no-usage", price=price)
        for number in range(12):
            for model in ("custom:qwen", "custom:small", "custom:bad", "custom:quiet"):
                params = {"message": f"question {number % 5}", "model": model, "tags": ["a", "b"][: number % 3]}
                params["origin"] = "test" if number % 4 == 3 else "person"
                try:
                    running.call("chat", params)
                except BeastError:
                    continue
        with pytest.raises(BeastError):
            running.call("chat", {"message": "dear", "model": "custom:qwen", "max_cost_usd": 0.0, "cache": "off"})
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "prompts.txt").write_text("What does EAGAIN mean?\nWrite a haiku about sockets\n")
    return tmp_path


def typed(daemon: Daemon, folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    words = ["bash", "-c", BEAST + line]
    return subprocess.run(words, env=daemon.environ, cwd=folder, capture_output=True, text=True, timeout=90)


def beast(daemon: Daemon, *words: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "beastmode.cli", *words],
        env=daemon.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_pages_show_every_command() -> None:
    shown = " ".join(LINES)
    for command in ("monitor", "cost report", "requests export", "load-test", "--workflow", "models compare"):
        assert f"beast {command}" in shown or command in shown


@pytest.mark.parametrize("line", ENDING)
def test_what_the_pages_show_works(daemon: Daemon, folder: Path, line: str) -> None:
    done = typed(daemon, folder, line)
    expected = WITHOUT_CODE if "--workflow" in line else 0  # the provider of the tests writes no code
    assert done.returncode == expected, done.stderr
    if named := re.search(r"(?:-o|>>?) (\S+)", line):
        assert (folder / named[1]).stat().st_size
    else:
        assert done.stdout.strip()


@pytest.mark.parametrize("line", WATCHING)
def test_what_the_pages_show_to_watch_works(daemon: Daemon, folder: Path, line: str) -> None:
    done = typed(daemon, folder, f"{line.partition('#')[0]} --interval 0.25 | head -n 3")
    assert len(done.stdout.splitlines()) == 3
    assert done.stderr == ""


def test_the_report_the_figures_the_monitor_and_the_export_agree(daemon: Daemon) -> None:
    report = json.loads(beast(daemon, "cost", "report", "--window", "24h", "--json"))
    figures = daemon.call("metrics.get", {"window": "24h"})
    seen = json.loads(beast(daemon, "monitor", "--window", "24h", "--json"))["metrics"]
    rows = [json.loads(line) for line in beast(daemon, "requests", "export").splitlines()]
    total = report["total"]
    spent = sum(round(row["cost_usd"] * 1e9) for row in rows if row["cost_usd"] is not None)
    assert round(total["cost_usd"] * 1e9) == round(figures["costs"]["total_usd"] * 1e9) == spent
    assert round(seen["costs"]["total_usd"] * 1e9) == spent
    assert sum(round(one["cost_usd"] * 1e9) for one in report["models"] if one["cost_usd"] is not None) == spent
    persons = [row for row in rows if row["origin"] == "person"]
    for outcome in ("success", "failure", "refused", "cancelled"):
        count = sum(row["outcome"] == outcome for row in persons)
        assert total[outcome] == figures["requests"][outcome] == seen["requests"][outcome] == count
    assert total["requests"] == figures["requests"]["total"] == len(persons) > 20
    assert total["unknown"] == figures["costs"]["unknown"] == sum(row["cost_usd"] is None for row in rows) > 0
    assert round(total["saved_usd"] * 1e9) == round(figures["costs"]["saved_usd"] * 1e9)
    assert total["hits"] == figures["cache"]["exact"] + figures["cache"]["semantic"] > 0
    assert {"success", "failure", "refused"} <= {row["outcome"] for row in rows}


def test_the_table_has_a_column_for_every_field_of_a_row(daemon: Daemon) -> None:
    row = json.loads(beast(daemon, "requests", "export").splitlines()[0])
    fields = {
        f"{name}.{inner}" if inner else name
        for name, value in row.items()
        for inner in (value if isinstance(value, dict) else [""])
    }
    assert set(export.COLUMNS) == fields
    table = list(csv.DictReader(io.StringIO(beast(daemon, "requests", "export", "--format", "csv"), newline="")))
    assert table[0]["request_id"] == row["request_id"]


def test_a_load_test_is_in_the_costs_and_in_no_rate(daemon: Daemon) -> None:
    before = daemon.call("metrics.get", {"window": "1h"})
    found = json.loads(beast(daemon, "load-test", "-m", "custom:qwen", "-n", "30", "-c", "5", "--stream", "--json"))
    after = daemon.call("metrics.get", {"window": "1h"})
    assert (found["success"], found["cache_results"]) == (30, {"bypass": 30})
    assert found["ttft_ms"]["p50"] is not None
    assert after["requests"] == before["requests"]
    spent = after["costs"]["total_usd"] - before["costs"]["total_usd"]
    assert found["cost_usd"] > 0
    assert spent == pytest.approx(found["cost_usd"])
    assert len(daemon.rows(origin="test")) >= 30


def test_a_load_test_never_spends_more_than_it_may(daemon: Daemon) -> None:
    words = ["load-test", "-m", "custom:qwen", "-n", "500", "-c", "4", "--max-cost-usd", "0.004", "--json"]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "beastmode.cli", *words], env=daemon.environ, capture_output=True, text=True
    )
    assert done.returncode == 6, done.stderr
    found = json.loads(done.stdout)
    assert found["stopped"] == "budget"
    assert 0 < found["cost_usd"] <= 0.004
    refused = subprocess.run(
        [sys.executable, "-P", "-m", "beastmode.cli", "load-test", "-m", "custom:qwen", "--max-cost-usd", "0"],
        env=daemon.environ,
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 6
    assert "may cost up to" in refused.stderr


def test_programs_may_call_themselves_person_or_test_and_nothing_else(daemon: Daemon) -> None:
    for origin in ("judge", "warming", "probe", ""):
        with pytest.raises(BeastError, match="origin"):
            daemon.call("chat", {"message": "x", "model": "custom:qwen", "origin": origin})


@pytest.mark.parametrize(
    ("method", "params", "said"),
    [
        ("cost.statement", {"month": "2026-11", "window": "7d"}, "exclude each other"),
        ("cost.statement", {"month": "2026-13"}, "month"),
        ("cost.statement", {"from": "2026-11-02", "to": "2026-11-01"}, "`to` is before `from`"),
        ("cost.statement", {"from": "yesterday"}, "`from` is no time"),
        ("cost.statement", {"by": "moon"}, "by"),
        ("requests.export", {"after": "x"}, "no cursor"),
        ("requests.export", {"since": "soon"}, "`since` is no time"),
        ("requests.export", {"limit": 100_000}, "limit"),
    ],
)
def test_what_can_not_be_reported_is_said(daemon: Daemon, method: str, params: dict[str, Any], said: str) -> None:
    with pytest.raises(BeastError, match=said):
        daemon.call(method, params)


def test_spans_without_a_month_have_no_month(daemon: Daemon) -> None:
    assert daemon.call("cost.statement", {"from": "2026-01-01"})["month"] is None
    assert daemon.call("cost.statement", {"to": "2026-01-01"})["total"]["requests"] == 0
    assert daemon.call("cost.statement")["month"] is not None
    assert daemon.call("requests.export", {"until": "2026-01-01"}) == {"requests": [], "next": None, "total": 0}
