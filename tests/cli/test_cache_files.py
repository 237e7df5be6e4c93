"""`beast cache export` and `beast cache import`."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from beastmode.cli import cache_files
from beastmode.core.errors import BadInputError, InternalError, NotFoundError
from cli.conftest import Beast
from support.fake_daemon import Call, FakeDaemon
from support.terminal import Terminal

PROGRAM = [sys.executable, "-P", "-m", "beastmode.cli"]


def entry(number: int) -> dict[str, Any]:
    return {"key": f"{number:032x}", "text": f"größe {number}", "completion": {"text": "\x9b2J"}, "by_meaning": True}


def with_entries(daemon: FakeDaemon, count: int) -> None:
    """Lets the daemon export entries by the page."""

    def page(params: dict[str, Any], call: Call) -> Any:
        start = int(params["after"], 16) + 1 if params["after"] else 0
        found = [entry(number) for number in range(start, min(start + params["limit"], count))]
        return {"entries": found, "next": found[-1]["key"] if len(found) == params["limit"] else None}

    daemon.on("cache.stats", {"l2": {"entries": count}})
    daemon.on("cache.export", page)


def test_export_writes_every_page_into_a_private_file(daemon: FakeDaemon, beast: Beast, tmp_path: Path) -> None:
    with_entries(daemon, 450)
    file = tmp_path / "answers.ndjson"
    file.write_text("old")
    file.chmod(0o644)
    done = beast("cache", "export", str(file))
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"exported 450 answers to {file}, ")
    assert [json.loads(line) for line in file.read_bytes().splitlines()] == [entry(number) for number in range(450)]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]
    assert len(daemon.requests("cache.export")) == 3
    shown = beast("cache", "export", str(file), "--json").json
    assert shown == {"path": str(file), "entries": 450, "bytes": file.stat().st_size}


def test_an_empty_cache_is_an_empty_file_and_a_dash_is_standard_output(
    daemon: FakeDaemon, beast: Beast, tmp_path: Path
) -> None:
    with_entries(daemon, 0)
    assert beast("cache", "export", str(tmp_path / "none")).out.startswith("exported 0 answers")
    assert (tmp_path / "none").read_bytes() == b""
    with_entries(daemon, 201)
    assert len(beast("cache", "export", "-").out.splitlines()) == 201


def test_an_export_that_fails_leaves_the_old_file_and_nothing_else(
    daemon: FakeDaemon, beast: Beast, tmp_path: Path
) -> None:
    with_entries(daemon, 450)
    first_page = daemon.handlers["cache.export"]

    def fails(params: dict[str, Any], call: Call) -> Any:
        if params["after"]:
            raise InternalError("the disk is gone")
        return first_page(params, call)

    daemon.on("cache.export", fails)
    file = tmp_path / "answers.ndjson"
    file.write_text("old")
    assert beast("cache", "export", str(file)).code == 1
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_an_export_to_where_nothing_can_be_written_says_so(daemon: FakeDaemon, beast: Beast, tmp_path: Path) -> None:
    with_entries(daemon, 1)
    done = beast("cache", "export", str(tmp_path / "no" / "folder"))
    assert done.code == 4
    assert "can not be written" in done.err
    os.mkfifo(tmp_path / "pipe")
    done = beast("cache", "export", str(tmp_path / "pipe"))
    assert done.code == 2
    assert "try: beast cache export - >" in done.err
    assert (tmp_path / "pipe").is_fifo()


def takes_entries(daemon: FakeDaemon) -> list[dict[str, Any]]:
    """Lets the daemon import entries, all of a call or none, as the real one does; gives what it took."""
    taken: list[dict[str, Any]] = []

    def take(params: dict[str, Any], call: Call) -> Any:
        for number, one in enumerate(params["entries"]):
            if "key" not in one:
                raise BadInputError(f"Entry {number} is not one that was exported: 'key'.")
        taken.extend(params["entries"])
        return {"imported": len(params["entries"])}

    daemon.on("cache.import", take)
    return taken


def lines_of(*entries: Any) -> str:
    return "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in entries)


def test_import_sends_what_an_export_wrote_in_batches(daemon: FakeDaemon, beast: Beast, tmp_path: Path) -> None:
    with_entries(daemon, 450)
    taken = takes_entries(daemon)
    file = tmp_path / "answers.ndjson"
    beast("cache", "export", str(file))
    assert beast("cache", "import", str(file)) == (0, f"imported 450 answers from {file}\n", "")
    assert taken == [entry(number) for number in range(450)]
    assert [len(one["entries"]) for one in daemon.requests("cache.import")] == [200, 200, 50]
    assert beast("cache", "import", str(file), "--json").json == {"imported": 450, "left_out": []}


def test_import_reads_standard_input_and_passes_over_empty_lines(daemon: FakeDaemon, beast: Beast) -> None:
    taken = takes_entries(daemon)
    done = beast("cache", "import", "-", stdin=lines_of(entry(1), "", "  ", entry(2)).rstrip("\n"))
    assert (done.code, done.out.split(" from ")[0]) == (0, "imported 2 answers")
    assert taken == [entry(1), entry(2)]
    assert beast("cache", "import", "-").out.startswith("imported 0 answers")


def test_bad_lines_are_named_and_left_out_and_the_rest_is_imported(
    daemon: FakeDaemon, beast: Beast, tmp_path: Path
) -> None:
    taken = takes_entries(daemon)
    file = tmp_path / "answers.ndjson"
    file.write_text(lines_of(entry(1), "{", entry(2), {"no": "key"}, "[" * 100_000, "7", entry(3), '{"key": NaN}'))
    done = beast("cache", "import", str(file))
    assert (done.code, done.out) == (1, f"imported 3 answers from {file}\n")
    assert sorted(done.err.splitlines()) == [
        "5 lines left out",
        "line 2 is left out: it is no JSON object",
        "line 4 is left out: 'key'.",
        "line 5 is left out: it is no JSON object",
        "line 6 is left out: it is no JSON object",
        "line 8 is left out: it is no JSON object",
    ]
    assert taken == [entry(1), entry(2), entry(3)]
    done = beast("cache", "import", str(file), "--json")
    assert done.code == 1
    assert [one["line"] for one in done.json["left_out"]] == [2, 4, 5, 6, 8]
    assert done.err == ""


def test_a_line_that_is_far_too_long_is_left_out_and_not_held_in_memory(
    daemon: FakeDaemon, beast: Beast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_files, "LINE_MAX_BYTES", 1000)
    taken = takes_entries(daemon)
    file = tmp_path / "answers.ndjson"
    file.write_text(lines_of(entry(1), "x" * 12_345, entry(2)))
    done = beast("cache", "import", str(file))
    assert "line 2 is left out: it has over 1.0 kB\n" in done.err
    assert taken == [entry(1), entry(2)]


def test_a_file_of_something_else_stops_the_import_soon(daemon: FakeDaemon, beast: Beast, tmp_path: Path) -> None:
    takes_entries(daemon)
    file = tmp_path / "answers.ndjson"
    file.write_text(lines_of(*[{"no": "key"}] * 1000))
    done = beast("cache", "import", str(file))
    assert done.code == 2
    assert f"Stopped at line 20 of {file}: 20 lines are no exported answers. 0 answers imported before." in done.err
    done = beast("cache", "import", str(file), "--json")
    assert json.loads(done.err)["error"]["imported"] == 0


def test_an_error_that_is_no_fault_of_a_line_ends_the_import(daemon: FakeDaemon, beast: Beast, tmp_path: Path) -> None:
    def raises(params: dict[str, Any], call: Call) -> Any:
        raise NotFoundError("no such method")

    daemon.on("cache.import", raises)
    file = tmp_path / "answers.ndjson"
    file.write_text(lines_of(entry(1), entry(2)))
    done = beast("cache", "import", str(file))
    assert done.code == 1
    assert "no such method" in done.err
    assert len(daemon.requests("cache.import")) == 1


def test_import_of_no_file_is_wrong_usage(daemon: FakeDaemon, beast: Beast, tmp_path: Path) -> None:
    assert beast("cache", "import", str(tmp_path / "none")).code == 2
    assert beast("cache", "import", str(tmp_path)).code == 2


def test_both_show_how_far_they_are_on_a_terminal(daemon: FakeDaemon, tmp_path: Path) -> None:
    with_entries(daemon, 450)
    takes_entries(daemon)
    environ = {**os.environ, "BEAST_HOME": str(daemon.home)}
    file = str(tmp_path / "answers.ndjson")
    with Terminal([*PROGRAM, "cache", "export", file], environ) as terminal:
        terminal.see("exported 200 answers, 44%")
        terminal.see("exported 450 answers to")
        assert terminal.end() == 0
    with Terminal([*PROGRAM, "cache", "import", file], environ) as terminal:
        terminal.see("imported 200 answers, 4")
        terminal.see("imported 450 answers from")
        assert terminal.end() == 0
