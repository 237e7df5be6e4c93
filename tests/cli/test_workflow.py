"""`beast models test ID --workflow`."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from beastmode.cli.workflow import python_in
from beastmode.core.errors import UpstreamTimeoutError
from cli.conftest import Beast
from support.fake_daemon import Call, FakeDaemon
from support.terminal import Terminal

PROGRAM = [sys.executable, "-P", "-m", "beastmode.cli"]
CODE = "Here it is:\n```python\ndef is_leap(year):\n    return year % 4 == 0\n```\nEnjoy."
STEPS = ["registration", "listing", "code generation", "performance", "cost tracking"]
ENDPOINT = {"id": "custom:qwen@h", "state": "ready", "cause": None}


class Model:
    """A model as the daemon would show it; a test changes what it likes.

    Attributes:
        answer: What it answers with, over the usual fields.
        rows: The ledger, by request.
    """

    def __init__(self, daemon: FakeDaemon) -> None:
        self.answer: dict[str, Any] = {}
        self.rows: dict[str, Any] = {}
        self.daemon = daemon
        daemon.on("models.test", {"ok": True, "deployments": [{"ok": True, "steps": [], "latency_ms": 12.0}]})
        daemon.on("models.list", {"models": [{"id": "custom:qwen", "kind": "custom", "deployments": [ENDPOINT]}]})
        daemon.on("chat", self.chat)
        daemon.on("requests.get", lambda params, call: self.rows[params["request_id"]])

    def chat(self, params: dict[str, Any], call: Call) -> Any:
        request_id = f"req_{len(self.rows)}"
        answer = {
            "request_id": request_id,
            "text": CODE if "is_leap" in params["message"] else "A table of hashes.",
            "usage": {"prompt_tokens": 20, "completion_tokens": 10},
            "cost_usd": 0.001,
            "latency_ms": 100.0,
            "ttft_ms": 40.0,
            "finish_reason": "stop",
            **self.answer,
        }
        self.rows[request_id] = {"request_id": request_id, "cost_usd": answer["cost_usd"]}
        return answer


@pytest.fixture
def model(daemon: FakeDaemon) -> Model:
    return Model(daemon)


def verdicts(beast: Beast) -> dict[str, tuple[str, str]]:
    found = beast("models", "test", "custom:qwen", "--workflow", "--json").json
    assert [one["step"] for one in found["steps"]] == STEPS
    assert found["ok"] is not any(one["verdict"] == "failed" for one in found["steps"])
    for one in found["steps"]:
        assert one["cause"]
        assert one["verdict"] == "ok" or one["tips"], "what is not ok says what to do"
    return {one["step"]: (one["verdict"], one["cause"]) for one in found["steps"]}


def test_each_step_has_its_verdict(model: Model, beast: Beast) -> None:
    done = beast("models", "test", "custom:qwen", "--workflow")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "  ok       registration: 1 endpoint tested, answered in 12 ms",
        "  ok       listing: listed as custom, 1 of 1 endpoints ready",
        "  ok       code generation: 2 lines of Python that parses, in 100 ms",
        "  ok       performance: first text in 40 ms, whole in 100 ms, 100 tokens a second",
        "  ok       cost tracking: 4 requests in the ledger, $0.004 together",
    ]
    asked = model.daemon.requests("chat")
    assert {(one["origin"], one["cache"], one["model"]) for one in asked} == {("test", "off", "custom:qwen")}


def test_a_failed_step_is_named_with_what_to_do_and_the_others_go_on(model: Model, beast: Beast) -> None:
    broken = {"ok": False, "steps": [{"name": "key", "ok": False, "detail": "401"}], "message": None, "tips": []}
    model.daemon.on("models.test", {"ok": False, "deployments": [broken]})
    done = beast("models", "test", "custom:qwen", "--workflow")
    assert done.code == 5
    assert "  failed   registration: key: 401\n           try: beast models test custom:qwen\n" in done.out
    assert "  ok       cost tracking" in done.out


def test_an_endpoint_that_is_away_fails_the_listing(model: Model, beast: Beast) -> None:
    away = {**ENDPOINT, "state": "cooling", "cause": "nobody listens"}
    listed = {"models": [{"id": "custom:qwen", "kind": "custom", "deployments": [away]}]}
    model.daemon.on("models.list", listed)
    assert verdicts(beast)["listing"] == ("failed", "nobody listens")
    listed["models"][0]["deployments"] = [away, ENDPOINT]
    assert verdicts(beast)["listing"] == ("ok", "listed as custom, 1 of 2 endpoints ready")


def test_an_answer_without_code_fails_and_one_that_was_cut_off_is_unknown(model: Model, beast: Beast) -> None:
    model.answer = {"text": "I would rather not."}
    assert verdicts(beast)["code generation"] == ("failed", "there is no Python in its answer: 'I would rather not.'")
    model.answer = {"text": "```python\ndef is_leap(", "finish_reason": "length"}
    assert verdicts(beast)["code generation"] == ("unknown", "its answer was cut off at 512 tokens")
    assert beast("models", "test", "custom:qwen", "--workflow").code == 0, "nobody can tell is no failure"


def test_a_model_that_takes_too_long_fails(model: Model, beast: Beast) -> None:
    model.answer = {"ttft_ms": 11_000.0, "latency_ms": 12_000.0}
    assert verdicts(beast)["performance"][0] == "failed"
    model.answer = {"ttft_ms": None, "latency_ms": 6_000.0, "usage": {"completion_tokens": None}}
    verdict, cause = verdicts(beast)["performance"]
    assert (verdict, cause) == ("ok", "first text in unknown, whole in 6.00 s, unknown tokens a second")
    assert "degraded" in beast("models", "test", "custom:qwen", "--workflow").out


def test_unknown_costs_are_unknown_and_a_ledger_that_disagrees_fails(model: Model, beast: Beast) -> None:
    model.answer = {"cost_usd": None}
    assert verdicts(beast)["cost tracking"] == ("unknown", "its price is unknown, and so are its costs")
    model.answer = {"cost_usd": None, "usage": {}}
    assert verdicts(beast)["cost tracking"] == ("unknown", "tokens are unknown, and so are costs")
    model.answer = {}
    model.daemon.on("requests.get", {"cost_usd": 0.5})
    assert verdicts(beast)["cost tracking"] == ("failed", "the ledger says $0.5, the answer $0.001")


def test_where_nothing_answers_the_costs_are_unknown(model: Model, beast: Beast) -> None:
    def slow(params: dict[str, Any], call: Call) -> Any:
        raise UpstreamTimeoutError("No answer within 120 s.", tips=["a smaller model"])

    model.daemon.on("chat", slow)
    found = verdicts(beast)
    assert found["code generation"] == found["performance"] == ("failed", "No answer within 120 s.")
    assert found["cost tracking"][0] == "unknown"


def test_an_unknown_model_is_not_tested(model: Model, beast: Beast) -> None:
    done = beast("models", "test", "custom:qwn", "--workflow")
    assert (done.code, done.out) == (1, "")
    assert "did you mean custom:qwen" in done.err
    assert model.daemon.requests("chat") == []


def test_ctrl_c_keeps_what_was_found(model: Model, daemon: FakeDaemon) -> None:
    daemon.on("chat", lambda params, call: call.cancelled.wait(20))
    words = [*PROGRAM, "models", "test", "custom:qwen", "--workflow"]
    with Terminal(words, {**os.environ, "BEAST_HOME": str(daemon.home)}) as terminal:
        terminal.see("listing: listed as custom")
        assert terminal.end_with("\x03") == 130


@pytest.mark.parametrize(
    ("text", "is_code"),
    [
        (CODE, True),
        ("def f():\n    return 1\n", True),
        ("```\nasync def f(): pass", True),
        ("```py\nx = 1\n```", False),
        ("plain words", False),
        ("```python\ndef f(\n```\n```python\ndef f(): pass\n```", True),
        ("", False),
        ("\0", False),
        ("(" * 10_000, False),
    ],
)
def test_code_is_what_parses_and_defines_a_function(text: str, is_code: bool) -> None:
    assert (python_in(text) is not None) is is_code
