"""`beast requests export`."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode.cli import export, tabular
from beastmode.core.errors import InternalError
from cli.conftest import Beast
from support.fake_daemon import Call, FakeDaemon
from support.terminal import Terminal

PROGRAM = [sys.executable, "-P", "-m", "beastmode.cli"]


def row(number: int, **more: Any) -> dict[str, Any]:
    return {
        "request_id": f"req_{number}",
        "at": f"2026-11-20T09:00:{number % 60:02}.000Z",
        "origin": "person",
        "outcome": "success",
        "cache": {"result": "miss", "tier": None},
        "model": "größe",
        "usage": {"prompt_tokens": 20, "completion_tokens": None},
        "cost_usd": 0.000_123,
        "saved_usd": None,
        "fell_back": False,
        "tags": ["a", "b"],
        **more,
    }


def with_rows(daemon: FakeDaemon, rows: list[dict[str, Any]]) -> None:
    """Lets the daemon export rows by the page."""

    def page(params: dict[str, Any], call: Call) -> Any:
        start = int(params.get("after", 0))
        end = start + params["limit"]
        total = None if "after" in params else len(rows)
        return {"requests": rows[start:end], "next": str(end) if end < len(rows) else None, "total": total}

    daemon.on("requests.export", page)


def test_every_page_is_written_as_one_object_a_line(daemon: FakeDaemon, beast: Beast) -> None:
    rows = [row(number) for number in range(2 * export.PAGE + 3)]
    with_rows(daemon, rows)
    done = beast("requests", "export")
    assert (done.code, done.err) == (0, "")
    assert [json.loads(line) for line in done.out.splitlines()] == rows
    assert "größe" in done.out
    assert len(daemon.requests("requests.export")) == 3


def test_filters_reach_the_daemon_with_every_page(daemon: FakeDaemon, beast: Beast) -> None:
    with_rows(daemon, [row(number) for number in range(export.PAGE + 1)])
    words = ["--since", "2026-11-01", "--until", "2026-12-01T00:00:00Z", "-m", "m", "--outcome", "failure"]
    words += ["--origin", "person", "--client", "socket", "--user", "ann", "--error-kind", "dns", "--workspace", "/w"]
    assert beast("requests", "export", *words).code == 0
    first, second = daemon.requests("requests.export")
    assert first == {
        "since": "2026-11-01T00:00:00Z",
        "until": "2026-12-01T00:00:00Z",
        "model": "m",
        "outcome": "failure",
        "origin": "person",
        "client": "socket",
        "user": "ann",
        "error_kind": "dns",
        "workspace": "/w",
        "limit": export.PAGE,
    }
    assert second == {**first, "after": str(export.PAGE)}
    assert beast("requests", "export", "--since", "soon").code == 2


def test_csv_has_a_column_for_each_field_and_leaves_unknown_ones_empty(daemon: FakeDaemon, beast: Beast) -> None:
    with_rows(daemon, [row(1), row(2, model='a, "b"\nc', cost_usd=1e-9)])
    head, first, second = csv.reader(io.StringIO(beast("requests", "export", "--format", "csv").out, newline=""))
    assert tuple(head) == export.COLUMNS
    found = dict(zip(head, first, strict=True))
    assert (found["cost_usd"], found["saved_usd"], found["cache.result"], found["tags"]) == (
        "0.000123",
        "",
        "miss",
        "a b",
    )
    assert (found["usage.prompt_tokens"], found["usage.completion_tokens"], found["fell_back"]) == ("20", "", "false")
    again = dict(zip(head, second, strict=True))
    assert (again["model"], again["cost_usd"]) == ('a, "b"\nc', "0.000000001")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "|calc", "\uff1d1"])
def test_what_a_spreadsheet_would_run_stays_text(text: str) -> None:
    (field,) = next(csv.reader(io.StringIO(tabular.line([text]), newline="")))
    assert field == "'" + text
    assert tabular.line([-1, -0.5]) == "-1,-0.5\r\n"


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=2))
def test_any_text_comes_back_from_csv(texts: list[str]) -> None:
    found = next(csv.reader(io.StringIO(tabular.line(texts), newline="")))
    assert [field.removeprefix("'") for field in found] == [text.removeprefix("'") for text in texts]


def test_a_file_is_private_and_replaced_when_everything_is_written(
    daemon: FakeDaemon, beast: Beast, tmp_path: Path
) -> None:
    file = tmp_path / "rows.ndjson"
    file.write_text("old")
    with_rows(daemon, [row(number) for number in range(7)])
    done = beast("requests", "export", "-o", str(file))
    assert done.out.startswith(f"exported 7 requests to {file}, ")
    assert len(file.read_text().splitlines()) == 7
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert beast("requests", "export", "-o", str(file), "--json").json == {
        "path": str(file),
        "requests": 7,
        "bytes": file.stat().st_size,
    }

    def fails(params: dict[str, Any], call: Call) -> Any:
        if "after" in params:
            raise InternalError("the disk is gone")
        return {"requests": [row(1)], "next": "1", "total": 2}

    before = file.read_text()
    daemon.on("requests.export", fails)
    assert beast("requests", "export", "-o", str(file)).code == 1
    assert file.read_text() == before
    assert list(tmp_path.iterdir()) == [file]
    assert beast("requests", "export", "-o", str(tmp_path / "no" / "file")).code == 4
    assert beast("requests", "export", "-o", str(tmp_path)).code == 2


def test_an_empty_ledger_is_no_line_and_a_table_without_rows(daemon: FakeDaemon, beast: Beast) -> None:
    with_rows(daemon, [])
    assert beast("requests", "export").out == ""
    assert beast("requests", "export", "--format", "csv").out == ",".join(export.COLUMNS) + "\r\n"


def test_progress_is_told_on_a_terminal_beside_the_file(daemon: FakeDaemon, tmp_path: Path) -> None:
    rows = [row(number) for number in range(4 * export.PAGE)]
    with_rows(daemon, rows)
    page = daemon.handlers["requests.export"]

    def slowly(params: dict[str, Any], call: Call) -> Any:
        call.cancelled.wait(0.15)
        return page(params, call)

    daemon.on("requests.export", slowly)
    words = [*PROGRAM, "requests", "export", "-o", str(tmp_path / "rows")]
    script = f"{' '.join(words)} > {tmp_path / 'said'}"
    with Terminal(["sh", "-c", script], {**os.environ, "BEAST_HOME": str(daemon.home)}) as terminal:
        terminal.see(" of 2,000, ")
        assert terminal.end() == 0
    assert (tmp_path / "said").read_text().startswith("exported 2,000 requests")


def test_ctrl_c_says_where_to_go_on(daemon: FakeDaemon, tmp_path: Path) -> None:
    asked = threading.Event()

    def hangs(params: dict[str, Any], call: Call) -> Any:
        if "after" in params:
            asked.set()
            call.cancelled.wait(20)
        return {"requests": [row(1)], "next": "1", "total": 2}

    daemon.on("requests.export", hangs)
    with Terminal([*PROGRAM, "requests", "export"], {**os.environ, "BEAST_HOME": str(daemon.home)}) as terminal:
        terminal.see("req_1")
        assert asked.wait(20)
        assert terminal.end_with("\x03") == 130
    assert "go on with: beast requests export --since 2026-11-20T09:00:01.000Z" in terminal.text
