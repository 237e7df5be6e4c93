"""`beast load-test`."""

from __future__ import annotations

import itertools
import json
import math
import os
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode.cli import load, prompt_file
from beastmode.core.errors import BadInputError, BudgetError, RefusedConnectionError
from cli.conftest import Beast
from support.fake_daemon import Call, FakeDaemon
from support.terminal import Terminal

PROGRAM = [sys.executable, "-P", "-m", "beastmode.cli"]
ANSWER = {
    "request_id": "req_1",
    "text": "hello",
    "model": "custom:qwen",
    "usage": {"prompt_tokens": 20, "completion_tokens": 10},
    "cost_usd": 0.001,
    "saved_usd": 0.0,
    "latency_ms": 1.0,
    "ttft_ms": 0.5,
    "cache": {"result": "bypass"},
}
TIMES = st.lists(st.floats(1e-3, 1e7), min_size=1, max_size=200)


@pytest.fixture(autouse=True)
def _models(daemon: FakeDaemon) -> None:
    daemon.on("models.list", {"models": [{"id": "custom:qwen"}]})
    daemon.on("chat", ANSWER)


def test_every_request_is_sent_once_and_measured(daemon: FakeDaemon, beast: Beast) -> None:
    done = beast("load-test", "--model", "custom:qwen", "--requests", "100", "--concurrency", "10")
    assert done.code == 0, done.err
    assert len(daemon.requests("chat")) == 100
    lines = done.out.splitlines()
    assert lines[0].startswith("custom:qwen: 100 requests in ")
    assert lines[0].endswith(", 10 at once")
    assert lines[1].startswith("success     100, ")
    assert lines[2].startswith("latency     p50 ")
    assert lines[3].startswith("tokens      2,000 of prompts, 1,000 of answers")
    assert lines[4:6] == ["cache       100 bypass", "cost        $0.1"]
    assert sum(int(line.rsplit(" ", 1)[-1]) for line in lines[7:]) == 100, "the histogram has each of them"
    assert "█" in done.out
    assert "100 of 100" in done.err


def test_requests_say_that_they_are_tests_and_how_much_they_may_cost(daemon: FakeDaemon, beast: Beast) -> None:
    words = ["-m", "custom:qwen", "-n", "4", "-c", "1", "--stream", "--max-tokens", "9", "--max-cost-usd", "0.5"]
    assert beast("load-test", *words, "--cache", "refresh").code == 0
    asked = daemon.requests("chat")
    assert {one["origin"] for one in asked} == {"test"}
    assert {(one["cache"], one["stream"], one["max_tokens"]) for one in asked} == {("refresh", True, 9)}
    assert [one["max_cost_usd"] for one in asked] == pytest.approx([0.5, 0.499, 0.498, 0.497])
    assert len({one["message"] for one in asked}) == 4


def test_what_runs_at_once_never_may_cost_more_than_the_bound(daemon: FakeDaemon, beast: Beast) -> None:
    running: dict[int, float] = {}  # by the call, for connections count apart
    worst: list[float] = []
    spent = [0.0]
    lock = threading.Lock()

    def pays_all_it_may(params: dict[str, Any], call: Call) -> Any:
        with lock:
            running[id(call)] = params["max_cost_usd"]
            worst.append(spent[0] + sum(running.values()))
        call.cancelled.wait(0.005)
        with lock:
            spent[0] += running.pop(id(call))
        return {**ANSWER, "cost_usd": params["max_cost_usd"]}

    daemon.on("chat", pays_all_it_may)
    assert beast("load-test", "-m", "custom:qwen", "-n", "60", "-c", "1", "--max-cost-usd", "0.25").code == 0
    assert max(worst) <= 0.25 + 1e-9
    spent[0] = 0.0
    worst.clear()
    assert beast("load-test", "-m", "custom:qwen", "-n", "60", "-c", "5", "--max-cost-usd", "0.25").code == 0
    assert spent[0] <= 0.25 + 1e-9


def test_the_bound_ends_it_with_what_was_measured(daemon: FakeDaemon, beast: Beast) -> None:
    def dear(params: dict[str, Any], call: Call) -> Any:
        if params["max_cost_usd"] < 0.3:
            raise BudgetError("custom:qwen may cost up to $0.3.", tips=["allow more"])
        return {**ANSWER, "cost_usd": 0.3}

    daemon.on("chat", dear)
    done = beast("load-test", "-m", "custom:qwen", "-c", "1")
    assert done.code == 6
    assert "custom:qwen: 3 requests of 100 in" in done.out
    assert "cost        $0.9" in done.out
    assert "may cost up to $0.3" in done.err
    found = beast("load-test", "-m", "custom:qwen", "-c", "1", "--json")
    assert (found.code, found.json["stopped"], found.json["cost_usd"]) == (6, "budget", 0.9)


def test_any_cost_sends_no_bound_and_a_wrong_one_is_refused(daemon: FakeDaemon, beast: Beast) -> None:
    assert beast("load-test", "-m", "custom:qwen", "-n", "1", "--max-cost-usd", "any").code == 0
    assert "max_cost_usd" not in daemon.requests("chat")[0]
    for wrong in ("-1", "much", "nan", "inf"):
        assert beast("load-test", "-m", "custom:qwen", "--max-cost-usd", wrong).code == 2
    assert beast("load-test", "-m", "custom:qwen", "-n", "0").code == 2
    assert beast("load-test").code == 2


def test_failures_are_counted_by_kind_with_their_tips(daemon: FakeDaemon, beast: Beast) -> None:
    turns = iter(range(100))

    def every_fourth_fails(params: dict[str, Any], call: Call) -> Any:
        if next(turns) % 4 == 0:
            raise RefusedConnectionError("Nobody listens on 127.0.0.1:8000.", tips=["start the model server"])
        return ANSWER

    daemon.on("chat", every_fourth_fails)
    done = beast("load-test", "-m", "custom:qwen", "-n", "20", "-c", "2")
    assert done.code == 5
    assert "success     15, " in done.out
    assert "failed      5\n" in done.out
    assert "connection_refused: 5 times, Nobody listens on 127.0.0.1:8000.\n  try: start the model server\n" in done.out


def test_where_all_fail_there_are_no_times(daemon: FakeDaemon, beast: Beast) -> None:
    def fails(params: dict[str, Any], call: Call) -> Any:
        raise RefusedConnectionError("Nobody listens.", tips=["start it"])

    daemon.on("chat", fails)
    done = beast("load-test", "-m", "custom:qwen", "-n", "3")
    assert done.code == 5
    assert "latency" not in done.out
    found = beast("load-test", "-m", "custom:qwen", "-n", "3", "--json").json
    assert (found["failure"], found["latency_ms"]["p50"], found["histogram"]) == (3, None, [])


def test_unknown_costs_and_tokens_are_called_unknown(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("chat", {**ANSWER, "cost_usd": None, "usage": {"prompt_tokens": 3, "completion_tokens": None}})
    done = beast("load-test", "-m", "custom:qwen", "-n", "5")
    assert "cost        unknown, and 5 requests of unknown cost" in done.out
    assert "15 of prompts, unknown of answers" in done.out


def test_an_unknown_model_is_said_before_anything_is_sent(daemon: FakeDaemon, beast: Beast) -> None:
    done = beast("load-test", "-m", "custom:qwn")
    assert done.code == 1
    assert "did you mean custom:qwen" in done.err
    assert daemon.requests("chat") == []


def test_a_daemon_that_goes_away_ends_it_with_3(daemon: FakeDaemon, beast: Beast) -> None:
    turns = iter(range(100))

    def leaves(params: dict[str, Any], call: Call) -> Any:
        if next(turns) == 5:
            call.hang_up()
        return ANSWER

    daemon.on("chat", leaves)
    done = beast("load-test", "-m", "custom:qwen", "-c", "1")
    assert done.code == 3
    assert "5 requests of 100" in done.out


def test_ctrl_c_ends_it_and_shows_what_was_measured(daemon: FakeDaemon) -> None:
    turns = iter(range(1000))

    def slow(params: dict[str, Any], call: Call) -> Any:
        if next(turns) >= 7:
            call.cancelled.wait(20)
        return ANSWER

    daemon.on("chat", slow)
    words = [*PROGRAM, "load-test", "-m", "custom:qwen", "-n", "50", "-c", "3"]
    with Terminal(words, {**os.environ, "BEAST_HOME": str(daemon.home)}) as terminal:
        terminal.see("7 of 50")
        assert terminal.end_with("\x03") == 130
    assert "custom:qwen: 7 requests of 50 in" in terminal.text
    assert "cost        $0.007" in terminal.text
    assert "interrupted after 7 of 50 requests" in terminal.text
    assert "Traceback" not in terminal.text
    assert len(daemon.cancelled) == 3, "what was under way is cancelled in the daemon"


def test_prompts_of_a_file_are_asked_in_turns(daemon: FakeDaemon, beast: Beast, tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text('plain\n\n"as JSON\\ntwo lines"\n{"prompt": "of an object"}\n{not json}\n')
    assert beast("load-test", "-m", "custom:qwen", "-n", "8", "-c", "1", "--prompts", str(file)).code == 0
    assert Counter(one["message"] for one in daemon.requests("chat")) == {
        "plain": 2,
        "as JSON\ntwo lines": 2,
        "of an object": 2,
        "{not json}": 2,
    }
    assert beast("load-test", "-m", "custom:qwen", "--prompts", str(tmp_path / "none")).code == 4
    file.write_text("\n \n")
    assert beast("load-test", "-m", "custom:qwen", "--prompts", str(file)).code == 2
    file.write_bytes(b"\xff\xfe")
    assert beast("load-test", "-m", "custom:qwen", "--prompts", str(file)).code == 2


@pytest.mark.parametrize("line", ['{"question": "?"}', '{"prompt": 1}', '""'])
def test_json_without_a_prompt_is_named_by_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "prompts"
    file.write_text(f"first\n{line}\n")
    with pytest.raises(BadInputError, match="Line 2"):
        prompt_file.read(str(file))


def test_json_holds_all_that_was_measured(beast: Beast) -> None:
    done = beast("load-test", "-m", "custom:qwen", "-n", "10", "--stream", "--json")
    assert done.err == ""
    found = json.loads(done.out)
    assert (found["requests"], found["ended"], found["success"], found["stopped"]) == (10, 10, 10, None)
    assert found["tokens"] == {"prompt": 200, "completion": 100}
    assert found["ttft_ms"]["p99"] == 0.5
    assert found["cost_usd"] == 0.01
    assert sum(step["count"] for step in found["histogram"]) == 10


@given(TIMES)
def test_the_histogram_counts_each_time_once_without_a_gap(times: list[float]) -> None:
    steps = load.histogram(times)
    assert sum(step["count"] for step in steps) == len(times)
    for step, following in itertools.pairwise(steps):
        assert step["to_ms"] == following["from_ms"]
    for step in steps:
        assert step["count"] == sum(step["from_ms"] <= max(time, 1e-3) < step["to_ms"] for time in times)


@given(TIMES)
def test_percentiles_are_times_that_were_measured(times: list[float]) -> None:
    found = load.spread(times)
    ranked = sorted(times)
    for percent in (50, 95, 99):
        assert found[f"p{percent}"] == round(ranked[math.ceil(percent / 100 * len(times)) - 1], 3)
    assert (found["min"], found["max"]) == (round(ranked[0], 3), round(ranked[-1], 3))


def test_a_failure_that_may_have_cost_something_counts_against_the_bound() -> None:
    purse = load.Purse(1.0, 2)
    first, second = purse.take(), purse.take()
    assert (first, second) == (0.5, 0.5)
    assert purse.take() == 0.0
    purse.settle(first, None)
    purse.settle(second, 0.0)
    assert purse.take() == 0.25


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 1))), st.floats(0.01, 10), st.integers(1, 10))
def test_whatever_ends_in_whatever_order_the_bound_holds(
    ends: list[tuple[int, float]], most_usd: float, shares: int
) -> None:
    purse, held, spent = load.Purse(most_usd, shares), [], 0.0
    for which, share in ends:
        while len(held) < shares:
            held.append(purse.take() or 0.0)
        allowed = held.pop(which % len(held))
        spent += allowed * share
        purse.settle(allowed, allowed * share)
        assert spent + sum(held) <= most_usd + 1e-9
    assert load.Purse(None, 1).take() is None
