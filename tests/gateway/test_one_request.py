"""One request, from the question to the ledger: what the caller sees, what is stored, what is recorded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from beastmode.core.errors import BeastError
from support.daemon import Daemon
from support.provider_server import ProviderServer
from support.waiting import until

KEY = "sk-test-0123456789abcdefghij"


@pytest.fixture(scope="module")
def upstream() -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        yield server


@pytest.fixture(scope="module")
def daemon(upstream: ProviderServer) -> Iterator[Daemon]:
    with Daemon("upstream.timeout_s = 1.0\nupstream.breaker_failures = 50\n") as daemon:
        yield daemon


@pytest.fixture(autouse=True)
def fresh_counts(upstream: ProviderServer) -> None:
    upstream.reset()


def add(daemon: Daemon, upstream: ProviderServer, behaviour: str, **more: Any) -> str:
    """Registers a model that behaves like that; gives its id."""
    model = f"custom:{more.pop('name', behaviour)}"
    daemon.add(model, f"{upstream.url}/v1", upstream_model=behaviour, **more)
    return model


def row_of(daemon: Daemon, request_id: str | None) -> dict[str, Any]:
    row: dict[str, Any] = daemon.call("requests.get", {"request_id": request_id})
    return row


def fails(daemon: Daemon, params: dict[str, Any]) -> BeastError:
    with pytest.raises(BeastError) as caught:
        daemon.call("chat", params)
    return caught.value


def test_an_answer_says_where_it_came_from_and_what_it_cost(daemon: Daemon, upstream: ProviderServer) -> None:
    model = add(daemon, upstream, "ok", price={"prompt": 1_000_000, "completion": 2_000_000})
    answer = daemon.call("chat", {"message": "Hello there", "model": model})
    assert answer["text"] == "You said: Hello there"
    assert (answer["model"], answer["provider"], answer["finish_reason"]) == (model, "custom", "stop")
    usage = answer["usage"]
    assert answer["cost_usd"] == usage["prompt_tokens"] + 2 * usage["completion_tokens"]
    assert answer["cache"]["result"] == "miss"
    assert answer["route"]["candidates"][0]["model"] == model
    row = row_of(daemon, answer["request_id"])
    assert (row["outcome"], row["cache"], row["attempts"]) == ("success", {"result": "miss", "tier": None}, 1)
    assert (row["cost_usd"], row["usage"], row["model_served"]) == (answer["cost_usd"], usage, model)


def test_the_same_question_is_answered_from_memory_for_nothing(daemon: Daemon, upstream: ProviderServer) -> None:
    model = add(daemon, upstream, "ok", price={"prompt": 1_000_000, "completion": 2_000_000})
    first = daemon.call("chat", {"message": "Twice", "model": model})
    again = daemon.call("chat", {"message": "  Twice\r\n", "model": model})
    assert upstream.stats()["requests"] == 1
    assert (again["text"], again["cost_usd"], again["saved_usd"]) == (first["text"], 0.0, first["cost_usd"])
    assert (again["cache"]["result"], again["cache"]["tier"]) == ("hit_exact", "L1")
    row = row_of(daemon, again["request_id"])
    assert (row["outcome"], row["cost_usd"], row["saved_usd"]) == ("success", 0.0, first["cost_usd"])


def test_a_stored_answer_replays_as_a_stream_and_a_stored_stream_serves_a_plain_request(
    daemon: Daemon, upstream: ProviderServer
) -> None:
    model = add(daemon, upstream, "stream-slow")
    deltas: list[str] = []
    with daemon.client() as client:
        streamed = client.chat("Stream this", model=model, on_delta=deltas.append)
        plain = client.chat("Stream this", model=model)
        replayed: list[str] = []
        client.chat("Stream this", model=model, on_delta=replayed.append)
    assert len(deltas) > 1
    assert "".join(deltas) == streamed["text"] == plain["text"] == "".join(replayed)
    assert upstream.stats()["requests"] == 1


@pytest.mark.parametrize(
    "other",
    [
        {"user": "someone"},
        {"workspace": "/elsewhere"},
        {"temperature": 0.3},
        {"max_tokens": 5},
        {"message": "scope me"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_no_answer_crosses_a_scope(daemon: Daemon, upstream: ProviderServer, other: dict[str, Any]) -> None:
    model = add(daemon, upstream, "ok", name=f"scoped-{next(iter(other))}")
    params = {"message": "Scope me", "model": model}
    daemon.call("chat", params)
    assert daemon.call("chat", {**params, **other})["cache"]["result"] == "miss"
    assert daemon.call("chat", params)["cache"]["result"] == "hit_exact"


def test_the_caller_says_what_the_cache_may_do(daemon: Daemon, upstream: ProviderServer) -> None:
    model = add(daemon, upstream, "ok")
    params = {"message": "Modes", "model": model}
    missing = fails(daemon, {**params, "cache": "only"})
    assert missing.kind == "not_in_cache"
    assert row_of(daemon, missing.request_id)["outcome"] == "failure"
    assert daemon.call("chat", {**params, "cache": "off"})["cache"]["result"] == "bypass"
    assert fails(daemon, {**params, "cache": "only"}).kind == "not_in_cache"
    assert daemon.call("chat", {**params, "cache": "refresh"})["cache"]["result"] == "bypass"
    assert daemon.call("chat", {**params, "cache": "only"})["cache"]["result"] == "hit_exact"
    assert daemon.call("chat", {**params, "cache": "refresh"})["cache"]["result"] == "bypass"
    assert upstream.stats()["requests"] == 3


def test_usage_that_was_not_sent_is_unknown_and_so_is_its_cost(daemon: Daemon, upstream: ProviderServer) -> None:
    model = add(daemon, upstream, "no-usage", price={"prompt": 1.0, "completion": 1.0})
    answer = daemon.call("chat", {"message": "Count me", "model": model})
    assert answer["cost_usd"] is None
    assert answer["usage"]["prompt_tokens"] is None
    assert row_of(daemon, answer["request_id"])["cost_usd"] is None
    again = daemon.call("chat", {"message": "Count me", "model": model})
    assert (again["cost_usd"], again["saved_usd"]) == (0.0, None)


@pytest.mark.parametrize("behaviour", ["length", "cut", "garbage", "e500", "hang-mid"])
def test_what_is_not_whole_is_never_stored(daemon: Daemon, upstream: ProviderServer, behaviour: str) -> None:
    model = add(daemon, upstream, behaviour)
    try:
        daemon.call("chat", {"message": "Part", "model": model})
    except BeastError as error:
        assert row_of(daemon, error.request_id)["outcome"] == "failure"
    assert fails(daemon, {"message": "Part", "model": model, "cache": "only"}).kind == "not_in_cache"


FAULTS = [
    ("e401", "authentication", 401, 1),
    ("e403", "authentication", 403, 1),
    ("e404", "endpoint_not_found", 404, 1),
    ("e400", "bad_request", 400, 1),
    ("e422", "bad_request", 422, 1),
    ("too-long", "context_too_long", 400, 1),
    ("e429", "rate_limited", 429, 2),
    ("e500", "upstream", 500, 2),
    ("e503", "upstream", 503, 2),
    ("garbage", "malformed_reply", None, 2),
    ("cut", "malformed_reply", None, 2),
    ("hang", "timeout", None, 2),
    ("hang-mid", "timeout", None, 2),
    ("echo-key", "authentication", 401, 1),
    ("redirect", None, None, 1),
]


@pytest.mark.parametrize(("behaviour", "kind", "status", "calls"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_every_fault_is_named_has_a_tip_and_a_row(
    daemon: Daemon, upstream: ProviderServer, behaviour: str, kind: str | None, status: int | None, calls: int
) -> None:
    model = add(daemon, upstream, behaviour, key=KEY)
    error = fails(daemon, {"message": "Break", "model": model})
    assert error.tips
    if kind is not None:
        assert (error.kind, error.status) == (kind, status or error.status)
    row = row_of(daemon, error.request_id)
    assert (row["outcome"], row["error_kind"], row["attempts"]) == ("failure", error.kind, calls)
    assert upstream.stats()["requests"] == calls
    assert KEY not in f"{error.message} {error.data()} {row}"
    assert KEY not in (daemon.home / "state" / "logs" / "beast.log").read_text()


def test_a_fault_that_passes_is_retried(daemon: Daemon, upstream: ProviderServer) -> None:
    model = add(daemon, upstream, "flaky-1")
    answer = daemon.call("chat", {"message": "Try again", "model": model})
    assert (answer["route"]["attempts"], answer["route"]["fell_back"]) == (2, False)


def test_a_named_model_is_served_by_nothing_else(daemon: Daemon, upstream: ProviderServer) -> None:
    add(daemon, upstream, "ok")
    broken = add(daemon, upstream, "e503", name="alone")
    assert fails(daemon, {"message": "Only you", "model": broken}).kind == "upstream"
    assert "ok" not in upstream.stats()["by_model"]


def test_a_listed_fallback_answers_in_its_own_name_and_is_counted(daemon: Daemon, upstream: ProviderServer) -> None:
    good = add(daemon, upstream, "ok")
    broken = add(daemon, upstream, "e503", name="helped", fallback=[good])
    answer = daemon.call("chat", {"message": "Help", "model": broken})
    assert (answer["model"], answer["route"]["fell_back"]) == (good, True)
    assert row_of(daemon, answer["request_id"])["fell_back"]
    assert daemon.call("metrics.get", {"window": "1h"})["requests"]["fallback_share"] > 0
    # Stored under the model that gave it, not under the one that failed.
    assert daemon.call("chat", {"message": "Help", "model": good})["cache"]["result"] == "hit_exact"
    assert daemon.call("chat", {"message": "Help", "model": broken})["cache"]["result"] == "miss"


def test_nothing_is_tried_elsewhere_once_text_was_delivered(daemon: Daemon, upstream: ProviderServer) -> None:
    good = add(daemon, upstream, "ok")
    torn = add(daemon, upstream, "error-mid", fallback=[good])
    deltas: list[str] = []
    with daemon.client() as client, pytest.raises(BeastError):
        client.chat("Half of it", model=torn, on_delta=deltas.append)
    assert deltas
    assert upstream.stats()["requests"] == 1


def test_a_refused_connection_is_answered_at_once_with_host_and_port(daemon: Daemon) -> None:
    daemon.add("custom:closed", "http://127.0.0.1:9/v1")
    error = fails(daemon, {"message": "Anyone?", "model": "custom:closed"})
    assert error.kind == "connection_refused"
    assert "127.0.0.1:9" in error.message
    assert row_of(daemon, error.request_id)["latency_ms"] < 5000


def test_an_open_breaker_answers_without_a_call_and_keeps_the_cause(upstream: ProviderServer) -> None:
    with Daemon("upstream.breaker_failures = 2\nupstream.max_attempts = 1\n") as daemon:
        model = add(daemon, upstream, "e500")
        for number in range(2):
            fails(daemon, {"message": f"Fail {number}", "model": model})
        upstream.reset()
        error = fails(daemon, {"message": "Blocked", "model": model})
        assert (error.kind, upstream.stats()["requests"]) == ("no_healthy_model", 0)
        assert error.retry_after_s is not None and "500" in f"{error.message} {error.tips}"
        assert row_of(daemon, error.request_id)["outcome"] == "failure"
        assert daemon.call("models.list")["models"][0]["deployments"][0]["state"] == "cooling"


def test_auto_stores_its_answer_under_auto_and_under_the_model_that_gave_it(upstream: ProviderServer) -> None:
    with Daemon() as daemon:
        model = add(daemon, upstream, "ok")
        assert daemon.call("chat", {"message": "Anyone"})["model"] == model
        assert daemon.call("chat", {"message": "Anyone"})["cache"]["result"] == "hit_exact"
        assert daemon.call("chat", {"message": "Anyone", "model": model})["cache"]["result"] == "hit_exact"


def test_with_no_model_the_tips_say_how_to_get_one() -> None:
    with Daemon() as daemon:
        error = fails(daemon, {"message": "Hello"})
        assert error.kind == "no_healthy_model"
        assert any("beast models" in tip for tip in error.tips)


def test_stored_answers_and_rows_survive_a_restart(upstream: ProviderServer) -> None:
    with Daemon() as daemon:
        model = add(daemon, upstream, "ok", key=KEY)
        first = daemon.call("chat", {"message": "Remember", "model": model})
        assert daemon.stop() == 0
        daemon.start()
        upstream.reset()
        again = daemon.call("chat", {"message": "Remember", "model": model})
        assert (again["text"], again["cache"]["tier"]) == (first["text"], "L2")
        assert daemon.call("chat", {"message": "Remember", "model": model})["cache"]["tier"] == "L1"
        assert upstream.stats()["requests"] == 0
        assert row_of(daemon, first["request_id"])["outcome"] == "success"
        daemon.call("chat", {"message": "With the key", "model": model})
        assert upstream.requests[-1].headers["authorization"] == f"Bearer {KEY}"


def test_each_tier_has_its_own_age_limit(upstream: ProviderServer) -> None:
    with Daemon("[cache]\nl1.ttl_s = 0.3\nl2.ttl_s = 1.0\n") as daemon:
        params = {"message": "Age", "model": add(daemon, upstream, "ok")}
        daemon.call("chat", params)
        until(lambda: daemon.call("chat", {**params, "cache": "only"})["cache"]["tier"] == "L2")
        until(lambda: _is_gone(daemon, params))


def _is_gone(daemon: Daemon, params: dict[str, Any]) -> bool:
    try:
        daemon.call("chat", {**params, "cache": "only"})
    except BeastError as error:
        return error.kind == "not_in_cache"
    return False


def test_a_session_remembers_and_keeps_what_was_never_answered(daemon: Daemon, upstream: ProviderServer) -> None:
    good, bad = add(daemon, upstream, "ok"), add(daemon, upstream, "e400", name="deaf")
    daemon.call("chat", {"message": "My name is Ada", "model": good, "session_id": "talk"})
    with pytest.raises(BeastError):
        daemon.call("chat", {"message": "Lost?", "model": bad, "session_id": "talk"})
    daemon.call("chat", {"message": "Who am I?", "model": good, "session_id": "talk"})
    sent = [(message["role"], message["content"]) for message in upstream.requests[-1].body["messages"]]
    assert sent == [
        ("user", "My name is Ada"),
        ("assistant", "You said: My name is Ada"),
        ("user", "Who am I?"),
    ]
    kept = daemon.call("sessions.get", {"id": "talk"})["messages"]
    assert [message["content"] for message in kept] == [
        "My name is Ada",
        "You said: My name is Ada",
        "Lost?",
        "Who am I?",
        "You said: Who am I?",
    ]
    assert daemon.call("sessions.list")["sessions"][0]["title"] == "My name is Ada"
    daemon.call("sessions.remove", {"id": "talk"})
    assert daemon.call("sessions.list")["sessions"] == []


@pytest.mark.parametrize("id", ["../up", "a/b", "", "x" * 65, ".hidden", "a\x00b"])
def test_a_session_can_not_be_named_like_a_path(daemon: Daemon, id: str) -> None:
    assert fails(daemon, {"message": "a", "session_id": id}).kind == "bad_input"


def test_a_request_chooses_no_endpoint_and_no_key(daemon: Daemon) -> None:
    for field in ("api_base", "base_url", "api_key", "key", "endpoint"):
        assert field in fails(daemon, {"message": "a", field: "http://127.0.0.1:1"}).message


def test_an_answer_put_by_hand_is_found_by_lookup_and_by_chat(daemon: Daemon) -> None:
    put = {"prompt": "Capital of Ticino?", "response": "Bellinzona", "model": "custom:unregistered"}
    assert daemon.call("cache.put", put)["stored"]
    asked = {"prompt": "Capital of Ticino?", "model": "custom:unregistered"}
    found = daemon.call("cache.lookup", asked)
    assert (found["hit"], found["response"], found["result"]) == (True, "Bellinzona", "hit_exact")
    assert not daemon.call("cache.lookup", {**asked, "scope": "other"})["hit"]
    assert not daemon.call("cache.lookup", {**asked, "prompt": "capital of Ticino?"})["hit"]
    answer = daemon.call("chat", {"message": "Capital of Ticino?", "model": "custom:unregistered"})
    assert answer["text"] == "Bellinzona"
    daemon.call("cache.clear")
    assert not daemon.call("cache.lookup", asked)["hit"]
