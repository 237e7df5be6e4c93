"""Another wording of the same question gets the stored answer, a different one never; with the real embedder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from beastmode.core.errors import BeastError
from support.daemon import Daemon
from support.provider_server import ProviderServer
from support.waiting import until
from support.weights import fetch

ASCENDING = "Write a Python function to sort a list in ascending order."
REWORDED = "How do I write a Python function that sorts a list in ascending order?"
DESCENDING = "Write a Python function to sort a list in descending order."


@pytest.fixture(scope="module")
def weights() -> Path:
    return fetch("minilm")


@pytest.fixture(scope="module")
def upstream() -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        yield server


def settings(weights: Path, more: str = "") -> str:
    return f'{more}\n[plugins.options.minilm]\nweights_dir = "{weights}"\n'


@pytest.fixture(scope="module")
def running(weights: Path, upstream: ProviderServer) -> Iterator[Daemon]:
    with Daemon(settings(weights, "cache.deadline_ms = 5000")) as daemon:
        daemon.add("custom:ok", f"{upstream.url}/v1", upstream_model="ok", price={"prompt": 1000, "completion": 1000})
        daemon.call("cache.lookup", {"prompt": ASCENDING})  # makes the embedder ready
        yield daemon


@pytest.fixture
def daemon(running: Daemon, upstream: ProviderServer) -> Daemon:
    running.call("cache.clear")
    upstream.reset()
    return running


def ask(daemon: Daemon, message: str, **more: Any) -> dict[str, Any]:
    answer: dict[str, Any] = daemon.call("chat", {"message": message, "model": "custom:ok", **more})
    return answer


def learned(daemon: Daemon, entries: int = 1) -> None:
    """Waits until what was stored can be found by its vector."""
    until(lambda: daemon.call("cache.stats")["semantic"]["index"]["entries"] >= entries)


def test_another_wording_gets_the_stored_answer_and_says_so(daemon: Daemon, upstream: ProviderServer) -> None:
    first = ask(daemon, ASCENDING)
    learned(daemon)
    again = ask(daemon, REWORDED)
    assert upstream.stats()["requests"] == 1
    assert (again["text"], again["cost_usd"], again["saved_usd"]) == (first["text"], 0.0, first["cost_usd"])
    cache = again["cache"]
    assert (cache["result"], cache["tier"]) == ("hit_semantic", "L1")
    assert cache["similarity"] > 0.75 and cache["confidence"] >= 0.95
    row = daemon.call("requests.get", {"request_id": again["request_id"]})
    assert (row["outcome"], row["cache"]["result"]) == ("success", "hit_semantic")


def test_one_decisive_word_asks_upstream(daemon: Daemon, upstream: ProviderServer) -> None:
    ask(daemon, ASCENDING)
    learned(daemon)
    other = ask(daemon, DESCENDING)
    assert other["text"] == f"You said: {DESCENDING}"
    assert other["cache"]["result"] == "miss" and "opposite" in other["cache"]["why"]
    assert upstream.stats()["requests"] == 2


def test_a_hit_by_meaning_replays_as_a_stream(daemon: Daemon) -> None:
    first = ask(daemon, ASCENDING)
    learned(daemon)
    deltas: list[str] = []
    with daemon.client() as client:
        again = client.chat(REWORDED, model="custom:ok", on_delta=deltas.append)
    assert again["cache"]["result"] == "hit_semantic"
    assert "".join(deltas) == again["text"] == first["text"]


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({"temperature": 0.9}, "temperature"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"message": "continue"}, "exact only"),
        ({"message": "fix it"}, "exact only"),
        ({"message": "word " * 400}, "word pieces"),
        ({"message": "word " * 4000}, "too long"),
    ],
    ids=["temperature", "tools", "continue", "fix it", "over 256 pieces", "endless"],
)
def test_what_is_matched_exactly_only_says_why(daemon: Daemon, params: dict[str, Any], why: str) -> None:
    asked = {"message": REWORDED, **params}
    ask(daemon, ASCENDING, **{name: value for name, value in params.items() if name != "message"})
    first = ask(daemon, **asked)
    assert first["cache"]["result"] == "bypass" and why in first["cache"]["why"]
    assert ask(daemon, **asked)["cache"]["result"] == "hit_exact"


def test_a_conversation_is_matched_exactly_only(daemon: Daemon) -> None:
    ask(daemon, ASCENDING)
    learned(daemon)
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    asked = {"messages": [*turns, {"role": "user", "content": REWORDED}], "model": "custom:ok"}
    assert daemon.call("chat", asked)["cache"]["result"] == "bypass"


@pytest.mark.parametrize(
    "other",
    [
        {"user": "someone"},
        {"workspace": "/elsewhere"},
        {"max_tokens": 5},
        {"temperature": 0.1},
        {"messages": [{"role": "system", "content": "Answer in rhyme."}, {"role": "user", "content": REWORDED}]},
    ],
    ids=["user", "workspace", "max_tokens", "temperature", "system prompt"],
)
def test_no_answer_crosses_a_scope_by_meaning(daemon: Daemon, other: dict[str, Any]) -> None:
    ask(daemon, ASCENDING)
    learned(daemon)
    asked = {"message": REWORDED, "model": "custom:ok", **other}
    if "messages" in other:
        del asked["message"]
    assert daemon.call("chat", asked)["cache"]["result"] == "miss"
    assert daemon.call("cache.lookup", {"prompt": REWORDED, "model": "custom:ok", "scope": "x"})["result"] == "miss"


def test_a_rejected_pair_is_denied_for_good(weights: Path, upstream: ProviderServer) -> None:
    with Daemon(settings(weights, "cache.deadline_ms = 5000")) as daemon:
        daemon.add("custom:ok", f"{upstream.url}/v1", upstream_model="ok")
        daemon.call("cache.lookup", {"prompt": ASCENDING})
        ask(daemon, ASCENDING)
        learned(daemon)
        served = ask(daemon, REWORDED)
        assert served["cache"]["result"] == "hit_semantic"
        assert daemon.call("cache.reject", {"request_id": served["request_id"]})["rejected"] == "pair"
        daemon.stop()
        daemon.start()
        assert not daemon.call("cache.lookup", {"prompt": REWORDED, "model": "custom:ok"})["hit"]
        learned(daemon)  # the index is loaded beside the start
        assert not daemon.call("cache.lookup", {"prompt": REWORDED, "model": "custom:ok"})["hit"]
        explained = daemon.call("cache.explain", {"prompt": REWORDED, "model": "custom:ok"})
        assert explained["neighbours"][0]["denied"]
        assert ask(daemon, REWORDED)["text"] == f"You said: {REWORDED}"
        assert daemon.call("cache.lookup", {"prompt": ASCENDING, "model": "custom:ok"})["hit"]


def test_a_rejected_exact_answer_is_removed(daemon: Daemon, upstream: ProviderServer) -> None:
    ask(daemon, ASCENDING)
    learned(daemon)
    again = ask(daemon, ASCENDING)
    assert daemon.call("cache.reject", {"request_id": again["request_id"]})["rejected"] == "entry"
    assert not daemon.call("cache.lookup", {"prompt": ASCENDING, "model": "custom:ok"})["hit"]
    assert not daemon.call("cache.lookup", {"prompt": REWORDED, "model": "custom:ok"})["hit"]
    with pytest.raises(BeastError) as caught:
        daemon.call("cache.reject", {"request_id": "req_unknown"})
    assert caught.value.kind == "not_found"
    for wrong in ({}, {"entry": "xyz"}, {"entry": "00" * 16, "request_id": "a"}):
        with pytest.raises(BeastError) as caught:
            daemon.call("cache.reject", wrong)
        assert caught.value.kind == "bad_input"


def test_explain_names_neighbours_words_and_the_guard_that_decided(daemon: Daemon) -> None:
    put = {"prompt": ASCENDING, "response": "sorted(xs)", "model": "m"}
    assert daemon.call("cache.put", put)["by_meaning"]
    found = daemon.call("cache.explain", {"prompt": DESCENDING, "model": "m"})
    near = found["neighbours"][0]
    assert (found["result"], near["text"], near["veto"]) == ("miss", ASCENDING, "opposite")
    assert near["differs"] == [["descending", "ascending"]]
    assert daemon.call("cache.explain", {"prompt": REWORDED, "model": "m"})["result"] == "hit_semantic"
    assert daemon.call("cache.explain", {"prompt": ASCENDING, "model": "m"})["result"] == "hit_exact"
    assert daemon.call("cache.explain", {"prompt": "continue", "model": "m"})["result"] == "bypass"
    assert (
        daemon.call("cache.explain", {"prompt": "What is a mutex?", "model": "m"})["why"] == "no stored prompt is near"
    )


def test_the_index_survives_a_restart_and_its_loss(weights: Path) -> None:
    with Daemon(settings(weights)) as daemon:
        for n in range(5):
            daemon.call("cache.put", {"prompt": f"{ASCENDING[:-1]} of {n} names", "response": str(n), "model": "m"})
        daemon.call("cache.put", {"prompt": ASCENDING, "response": "sorted(xs)", "model": "m"})
        for lose in (False, True):
            daemon.stop()
            if lose:
                shutil.rmtree(daemon.home / "cache" / "index")
            daemon.start()
            assert daemon.call("cache.lookup", {"prompt": ASCENDING, "model": "m"})["result"] == "hit_exact"
            asked = {"prompt": REWORDED, "model": "m"}
            until(lambda: daemon.call("cache.lookup", asked)["response"] == "sorted(xs)", 30)  # noqa: B023
            until(lambda: daemon.call("health.get")["status"] == "healthy", 30)


def test_shadow_mode_counts_and_serves_nothing(weights: Path, upstream: ProviderServer) -> None:
    with Daemon(settings(weights, "cache.deadline_ms = 5000\ncache.semantic = 'shadow'")) as daemon:
        daemon.add("custom:ok", f"{upstream.url}/v1", upstream_model="ok")
        daemon.call("cache.put", {"prompt": "warm up the embedder please", "response": "x"})
        ask(daemon, ASCENDING)
        learned(daemon, 2)
        answer = ask(daemon, REWORDED)
        assert answer["text"] == f"You said: {REWORDED}"
        assert answer["cache"]["result"] == "miss" and "shadow" in answer["cache"]["why"]
        assert daemon.call("cache.stats")["semantic"]["would_hit"] == 1


def test_a_near_pair_goes_to_the_judge_that_was_named_and_its_call_is_in_the_ledger(
    weights: Path, upstream: ProviderServer
) -> None:
    with Daemon(settings(weights, "cache.judge_model = 'custom:ok'")) as daemon:
        daemon.add("custom:ok", f"{upstream.url}/v1", upstream_model="ok")
        daemon.call("cache.put", {"prompt": ASCENDING, "response": "a", "model": "m"})
        near = "please write a function in Python to sort a list ascending"
        assert not daemon.call("cache.lookup", {"prompt": near, "model": "m"})["hit"]
        until(lambda: daemon.rows(origin="judge") != [])
        (row,) = daemon.rows(origin="judge")
        assert (row["model"], row["outcome"], row["client"]) == ("custom:ok", "success", "daemon")
        assert daemon.rows() == []  # lists are about persons
        assert daemon.call("cache.stats")["semantic"]["pairs"]["approved"] == 0  # it did not say yes


def test_switched_off_it_says_so(weights: Path) -> None:
    with Daemon(settings(weights, "cache.semantic = 'off'")) as daemon:
        daemon.call("cache.put", {"prompt": ASCENDING, "response": "a", "model": "m"})
        found = daemon.call("cache.lookup", {"prompt": REWORDED, "model": "m"})
        assert (found["hit"], found["why"]) == (False, "semantic matching is switched off")


def test_without_weights_exact_answers_go_on_and_the_tip_says_what_is_missing() -> None:
    with Daemon() as daemon:
        daemon.call("cache.put", {"prompt": ASCENDING, "response": "a", "model": "m"})
        assert daemon.call("cache.lookup", {"prompt": ASCENDING, "model": "m"})["hit"]
        found = daemon.call("cache.lookup", {"prompt": REWORDED, "model": "m"})
        assert not found["hit"] and "beast models fetch minilm" in found["why"]


def test_invalidate_takes_out_what_matches_and_counts_it_first(daemon: Daemon) -> None:
    for number, tag in enumerate(["red", "red", "blue"]):
        put = {"prompt": f"What is colour number {number}?", "response": tag, "model": f"m{number}", "tags": [tag]}
        daemon.call("cache.put", put)
    dry = daemon.call("cache.invalidate", {"tag": "red", "dry_run": True})
    assert dry == {"entries": 2, "dry_run": True}
    assert daemon.call("cache.invalidate", {"model": "m0", "tag": "blue"})["entries"] == 0
    assert daemon.call("cache.invalidate", {"older_than_s": 3600})["entries"] == 0
    assert daemon.call("cache.invalidate", {"tag": "red"})["entries"] == 2
    hits = [
        daemon.call("cache.lookup", {"prompt": f"What is colour number {number}?", "model": f"m{number}"})["hit"]
        for number in range(3)
    ]
    assert hits == [False, False, True]
    with pytest.raises(BeastError) as caught:
        daemon.call("cache.invalidate", {})
    assert caught.value.kind == "bad_input"


def test_what_is_exported_can_be_imported_and_found_by_meaning(daemon: Daemon) -> None:
    for number in range(5):
        daemon.call("cache.put", {"prompt": f"What is the capital of country {number}?", "response": str(number)})
    daemon.call("cache.put", {"prompt": ASCENDING, "response": "sorted(xs)", "model": "m"})
    entries, after = [], ""
    while after is not None:
        page = daemon.call("cache.export", {"after": after, "limit": 2})
        entries, after = entries + page["entries"], page["next"]
    assert len(entries) == 6
    daemon.call("cache.clear")
    assert not daemon.call("cache.lookup", {"prompt": ASCENDING, "model": "m"})["hit"]
    assert daemon.call("cache.import", {"entries": json.loads(json.dumps(entries))})["imported"] == 6
    learned(daemon, 6)
    assert daemon.call("cache.lookup", {"prompt": REWORDED, "model": "m"})["response"] == "sorted(xs)"
    for wrong in ({}, {"key": "zz", "scope": ""}, {**entries[0], "key": "00"}, {**entries[0], "completion": 5}):
        with pytest.raises(BeastError) as caught:
            daemon.call("cache.import", {"entries": [wrong]})
        assert caught.value.kind == "bad_input"
    with pytest.raises(BeastError):
        daemon.call("cache.export", {"after": "no hex"})


def test_forget_removes_answers_vectors_and_sessions(daemon: Daemon) -> None:
    ask(daemon, ASCENDING, session_id="private")
    ask(daemon, ASCENDING, workspace="/work-a")
    ask(daemon, ASCENDING)
    learned(daemon, 2)
    assert daemon.call("forget", {"workspace": "/work-a", "dry_run": True})["entries"] == 1
    assert daemon.call("forget", {"workspace": "/work-a"})["entries"] == 1
    assert daemon.call("forget", {"since": "2020-01-01T00:00:00Z", "dry_run": True})["sessions"] == 1
    forgotten = daemon.call("forget", {"all": True})
    assert forgotten["entries"] >= 1 and forgotten["sessions"] == 1
    assert daemon.call("sessions.list")["sessions"] == []
    assert not daemon.call("cache.lookup", {"prompt": ASCENDING, "model": "custom:ok"})["hit"]
    assert not daemon.call("cache.lookup", {"prompt": REWORDED, "model": "custom:ok"})["hit"]
    for wrong in ({}, {"all": True, "workspace": "/x"}, {"since": "yesterday"}):
        with pytest.raises(BeastError) as caught:
            daemon.call("forget", wrong)
        assert caught.value.kind == "bad_input"
