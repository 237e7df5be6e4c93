"""`beast prices`, and the sum that `beast requests show` tells."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.conftest import Beast
from support.daemon import Daemon
from support.fake_daemon import FakeDaemon


@pytest.fixture(scope="module")
def running() -> Iterator[Daemon]:
    with Daemon() as daemon:
        daemon.add("openai:gpt-4o")
        daemon.add("openai:nobody-knows-it")
        daemon.add("custom:q", "http://127.0.0.1:9/v1")
        yield daemon


@pytest.fixture
def home(running: Daemon, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    monkeypatch.setenv("BEAST_HOME", str(running.home))
    return running


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


@pytest.mark.parametrize("words", [(), ("list",)])
def test_registered_models_are_listed_with_source_and_date(home: Daemon, beast: Beast, words: tuple[str, ...]) -> None:
    done = beast("prices", *words)
    assert done.code == 0
    rows = {cells(line)[0].partition("@")[0]: cells(line)[1:] for line in done.out.splitlines()}
    assert rows["openai:gpt-4o"][:4] == ["$2.5", "$10", "$1.25", "$2.5"]
    assert rows["openai:gpt-4o"][4].startswith("genai-prices ")
    assert rows["openai:gpt-4o"][5].startswith("20")
    assert rows["openai:nobody-knows-it"] == ["unknown"] * 5
    assert rows["custom:q"] == ["$0", "$0", "$0", "$0", "free"]
    assert "try: beast prices set openai:nobody-knows-it" in done.err
    assert "USD per million tokens; table: genai-prices" in done.err


def test_tiers_and_modes_have_rows_of_their_own(home: Daemon, beast: Beast) -> None:
    done = beast("prices", "list", "anthropic:claude-sonnet-4-5")
    rows = {cells(line)[0]: cells(line)[1:] for line in done.out.splitlines()[1:]}
    assert rows["anthropic:claude-sonnet-4-5"][:5] == ["$3", "$15", "$0.3", "$3.75", "1 h write $6"]
    assert rows["+ over 200,000 tokens"][:2] == ["$6", "$22.5"]
    assert rows["+ batch"][3] == "$1.875"


def test_the_table_and_a_part_of_it(home: Daemon, beast: Beast) -> None:
    assert len(beast("prices", "list", "--all").out.splitlines()) > 1_000
    assert "claude-sonnet-4-5" in beast("prices", "list", "--all", "sonnet-4-5").out
    none = beast("prices", "list", "no-such-model")
    assert (none.code, none.out.strip()) == (0, "no price of no-such-model; try: beast prices list --all")
    assert beast("prices", "list", "--json").json["table"]["source"].startswith("genai-prices ")


def test_a_price_is_set_and_taken_back(home: Daemon, beast: Beast) -> None:
    done = beast("prices", "set", "custom:q", "--prompt", "0.15", "--completion", "0.6", "--batch", "0.5")
    assert done.code == 0
    assert cells(done.out.splitlines()[1])[1:7] == ["$0.15", "$0.6", "$0.15", "$0.15", "batch x 0.5", "user"]
    by_second = beast("prices", "set", "custom:q", "--per-second", "0.0002")
    assert cells(by_second.out.splitlines()[1])[1:6] == ["-", "-", "-", "-", "per s $0.0002"]
    gone = beast("prices", "set", "custom:q", "--remove", "--json")
    assert (gone.json["source"], gone.json["replaced"]["price"]["per_second"]) == ("free", 0.0002)


@pytest.mark.parametrize(
    "words",
    [
        ("set", "custom:q"),
        ("set", "custom:q", "--cached", "1"),
        ("set", "custom:q", "--prompt", "-1"),
        ("set", "custom:q", "--prompt", "much"),
        ("set", "nothing", "--prompt", "1"),
        ("update",),
        ("update", "/no/such/file.json"),
        ("uptdate",),
    ],
)
def test_what_can_not_be_done_says_why_and_what_to_do(home: Daemon, beast: Beast, words: tuple[str, ...]) -> None:
    done = beast("prices", *words)
    assert (done.code, done.out) == (2, "")
    assert "error:" in done.err
    assert "try:" in done.err or "Did you mean" in done.err


def test_a_newer_table_is_taken_from_a_file_by_its_relative_path(
    home: Daemon, beast: Beast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = {"exact": {"gpt-4o": 0}, "rules": [], "tariffs": [[{"usd": [7, 8]}]]}
    table = {"schema": 1, "source": "mine", "date": "2099-01-01", "urls": {}, "providers": {"openai": provider}}
    (tmp_path / "table.json").write_text(json.dumps(table))
    monkeypatch.chdir(tmp_path)
    done = beast("prices", "update", "table.json")
    assert done.code == 0
    assert done.out.startswith("table: mine, 2099-01-01 (before: genai-prices ")
    assert "$7" in beast("prices", "list", "openai:gpt-4o").out
    (tmp_path / "table.json").write_text("{}")
    broken = beast("prices", "update", "table.json")
    assert (broken.code, "is no price table that can be used" in broken.err) == (2, True)
    assert beast("prices", "update", "--shipped").code == 0
    assert "$2.5" in beast("prices", "list", "openai:gpt-4o").out


def test_a_request_shows_the_sum_of_its_cost(daemon: FakeDaemon, beast: Beast) -> None:
    lines = [{"text": "10 prompt tokens x $1/M = $0.00001"}, {"text": "cost: $0.00001"}]
    daemon.on("requests.get", {"request_id": "req_1", "cost_usd": 0.00001, "cost_lines": lines})
    done = beast("requests", "show", "req_1")
    assert done.out.splitlines()[-2:] == [
        "what it cost             10 prompt tokens x $1/M = $0.00001",
        "                         cost: $0.00001",
    ]
    assert beast("requests", "show", "req_1", "--json").json["cost_lines"] == lines
