"""`beast models compare` and `models.compare`."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beastmode.core.errors import BadInputError, UnknownModelError
from cli.conftest import Beast
from support.daemon import Daemon
from support.fake_daemon import Call, FakeDaemon
from support.provider_server import ProviderServer
from support.terminal import Terminal

PROGRAM = [sys.executable, "-P", "-m", "beastmode.cli"]
A, B = "custom:qwen", "openai:gpt-4o"


def answer(model: str, text: str, **more: Any) -> dict[str, Any]:
    return {
        "model": model,
        "ok": True,
        "request_id": "req_1",
        "text": text,
        "latency_ms": 120.0,
        "ttft_ms": 40.0,
        "usage": {"prompt_tokens": 20, "completion_tokens": 10},
        "cost_usd": 0.001,
        "saved_usd": 0.0,
        "cache": "bypass",
        **more,
    }


FAILED = {
    "model": B,
    "ok": False,
    "error": {"message": "401 from api.", "kind": "authentication", "tip": ["a new key"]},
}
SUM = {
    "answered": 1,
    "failed": 0,
    "latency_ms": 120.0,
    "ttft_ms": None,
    "prompt_tokens": 20,
    "completion_tokens": None,
    "cost_usd": 0.001,
    "unknown": 0,
}
FOUND = {
    "models": [{"model": A, **SUM}, {"model": B, **SUM, "answered": 0, "failed": 1, "cost_usd": 0.0}],
    "prompts": [{"prompt": "What is\n<b>EAGAIN</b>?", "answers": [answer(A, "Try <again>."), FAILED]}],
}


def test_answers_stand_side_by_side_then_their_sums(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("models.compare", FOUND)
    done = beast("models", "compare", A, B, "--prompt", "What is EAGAIN?")
    assert done.code == 5, "an answer failed"
    assert done.out.splitlines() == [
        "1. What is <b>EAGAIN</b>?",
        "  custom:qwen  120 ms · first text 40 ms · 20+10 tokens · $0.001",
        "    Try <again>.",
        "  openai:gpt-4o: 401 from api.",
        "    try: a new key",
        "",
        "MODEL          ANSWERED  LATENCY  FIRST TEXT  PROMPT TOKENS  ANSWER TOKENS  COST",
        "custom:qwen    1 of 1    120 ms   unknown     20             unknown        $0.001",
        "openai:gpt-4o  0 of 1    -        -           -              -              $0",
    ]
    assert beast("models", "compare", A, B, "--prompt", "x", "--json").json == FOUND


def test_what_is_asked_reaches_the_daemon(daemon: FakeDaemon, beast: Beast, tmp_path: Path) -> None:
    daemon.on("models.compare", {**FOUND, "models": FOUND["models"][:1]})
    file = tmp_path / "prompts.txt"
    file.write_text("one\ntwo\n")
    words = ["--prompts", str(file), "--prompt", "zero", "--temperature", "0.5", "--system", "Be brief."]
    assert beast("models", "compare", A, B, *words).code == 0
    assert daemon.requests("models.compare") == [
        {
            "models": [A, B],
            "prompts": ["zero", "one", "two"],
            "system": "Be brief.",
            "max_tokens": 1024,
            "temperature": 0.5,
            "cache": "off",
        }
    ]


@pytest.mark.parametrize(
    "words", [[A, "--prompt", "x"], [A, A, "--prompt", "x"], [A, B], [], [A, B, "--prompt", "x", "--html", "--json"]]
)
def test_wrong_usage_asks_nobody(daemon: FakeDaemon, beast: Beast, words: list[str]) -> None:
    assert beast("models", "compare", *words).code == 2
    assert daemon.requests("models.compare") == []


def test_a_long_answer_is_cut_unless_all_of_it_is_wanted(daemon: FakeDaemon, beast: Beast) -> None:
    prompts = [{"prompt": "x", "answers": [answer(A, "line\n" * 20)]}]
    daemon.on("models.compare", {**FOUND, "prompts": prompts})
    assert "and 8 lines more: --full" in beast("models", "compare", A, B, "--prompt", "x").out
    assert beast("models", "compare", A, B, "--prompt", "x", "--full").out.count("    line\n") == 20


def test_the_page_is_whole_and_escaped(daemon: FakeDaemon, beast: Beast, tmp_path: Path) -> None:
    daemon.on("models.compare", FOUND)
    file = tmp_path / "compared.html"
    assert beast("models", "compare", A, B, "--prompt", "x", "--html", "-o", str(file)).code == 5
    text = file.read_text()
    assert "What is\n&lt;b&gt;EAGAIN&lt;/b&gt;?" in text
    assert "Try &lt;again&gt;." in text
    assert "failed: 401 from api.\ntry: a new key" in text
    assert re.search(r"<script|https?:|url\(|src=", text) is None


def test_json_goes_to_a_file_too(daemon: FakeDaemon, beast: Beast, tmp_path: Path) -> None:
    daemon.on("models.compare", FOUND)
    file = tmp_path / "compared.json"
    beast("models", "compare", A, B, "--prompt", "x", "--json", "-o", str(file))
    assert json.loads(file.read_text()) == FOUND


def test_ctrl_c_shows_what_was_answered_and_paid_for(daemon: FakeDaemon) -> None:
    def one_then_hangs(params: dict[str, Any], call: Call) -> Any:
        call.progress({"prompt": 0, "model": A, "answer": answer(A, "paid for"), "done": 1, "total": 4})
        call.progress({"prompt": 0, "model": B, "delta": "ignored"})
        call.cancelled.wait(20)

    daemon.on("models.compare", one_then_hangs)
    words = [*PROGRAM, "models", "compare", A, B, "--prompt", "first", "--prompt", "second"]
    with Terminal(words, {**os.environ, "BEAST_HOME": str(daemon.home)}) as terminal:
        terminal.see("1 of 4: custom:qwen 120 ms")
        assert terminal.end_with("\x03") == 130
    assert "1. first" in terminal.text
    assert "paid for" in terminal.text
    assert "custom:qwen    1 of 1" in terminal.text
    assert "$0.001" in terminal.text
    assert daemon.cancelled, "and it is ended in the daemon"


# -- the method, of a real daemon -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def provider() -> Iterator[ProviderServer]:
    with ProviderServer() as running:
        yield running


@pytest.fixture(scope="module")
def real(provider: ProviderServer) -> Iterator[Daemon]:
    with Daemon() as running:
        running.add("echo:echo")
        running.add(A, f"{provider.url}/v1", upstream_model="ok", price={"prompt": 1.0, "completion": 2.0})
        running.add("custom:bad", f"{provider.url}/v1", upstream_model="e401")
        running.add("custom:quiet", f"{provider.url}/v1", upstream_model="no-usage")
        yield running


def test_models_answer_the_same_prompts_and_the_ledger_has_them_as_tests(real: Daemon) -> None:
    told: list[dict[str, Any]] = []
    params = {"models": ["echo:echo", A, "custom:bad"], "prompts": ["one", "two"]}
    with real.client() as client:
        found = client.call("models.compare", params, told.append)
    assert [one["prompt"] for one in found["prompts"]] == ["one", "two"]
    for one in found["prompts"]:
        assert [each["model"] for each in one["answers"]] == params["models"]
        echo, qwen, bad = one["answers"]
        assert (echo["text"], qwen["text"]) == (one["prompt"], f"You said: {one['prompt']}")
        assert echo["ttft_ms"] is not None
        assert (bad["ok"], bad["error"]["kind"]) == (False, "authentication")
        assert bad["error"]["tip"]
    sums = {one["model"]: one for one in found["models"]}
    assert (sums[A]["answered"], sums[A]["failed"], sums["custom:bad"]["failed"]) == (2, 0, 2)
    costs = [answer["cost_usd"] for one in found["prompts"] for answer in one["answers"] if answer["model"] == A]
    assert sums[A]["cost_usd"] == pytest.approx(sum(costs))
    assert sorted(one["done"] for one in told) == [1, 2, 3, 4, 5, 6]
    assert {one["prompt"] for one in told[:3]} == {0}, "prompts come one after another"
    rows = real.rows(origin="test")
    assert len(rows) == 6
    assert real.rows() == []


def test_deltas_are_told_where_they_are_wanted(real: Daemon) -> None:
    told: list[dict[str, Any]] = []
    params = {"models": ["echo:echo", A], "prompts": ["a b c"], "stream": True}
    with real.client() as client:
        client.call("models.compare", params, told.append)
    assert "".join(one["delta"] for one in told if one.get("model") == "echo:echo" and "delta" in one) == "a b c"


def test_unknown_costs_are_counted_apart(real: Daemon) -> None:
    found = real.call("models.compare", {"models": ["echo:echo", "custom:quiet"], "prompts": ["x"]})
    quiet = found["models"][1]
    assert (quiet["completion_tokens"], quiet["unknown"] in (0, 1)) == (None, True)


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"models": [A], "prompts": ["x"]}, BadInputError),
        ({"models": [A, A], "prompts": ["x"]}, BadInputError),
        ({"models": [A, "echo:echo"], "prompts": []}, BadInputError),
        ({"models": [A, "echo:echo"], "prompts": [" "]}, BadInputError),
        ({"models": [A, "custom:none"], "prompts": ["x"]}, UnknownModelError),
    ],
)
def test_what_can_not_be_compared_is_said_before_anything_is_spent(
    real: Daemon, provider: ProviderServer, params: dict[str, Any], error: type[Exception]
) -> None:
    before = provider.counts.requests
    with pytest.raises(error):
        real.call("models.compare", params)
    assert provider.counts.requests == before
