"""`beast cache`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from cli.conftest import Beast
from support.fake_daemon import FakeDaemon
from support.terminal import Terminal

PROGRAM = [sys.executable, "-P", "-m", "beastmode.cli"]
KEY = "0123456789abcdef0123456789abcdef"
SCOPE = "fedcba9876543210fedcba9876543210"
HIT = {
    "hit": True,
    "response": "sorted(x)",
    "result": "hit_semantic",
    "tier": "L1",
    "similarity": 0.9712,
    "confidence": 0.991,
    "why": "another wording of the same question was answered before",
    "entry": KEY,
}
MISS = {"hit": False, "response": None, "result": "miss", "why": "no stored prompt is near", "similarity": None}
EXPLAINED = {"result": "miss", "why": "no stored prompt is near", "scope": SCOPE, "entry": KEY, "threshold": 0.95}
NEAR = {"entry": "aa" * 16, "text": "sort the list\nascending", "similarity": 0.9812, "differs": []}
STATS = {
    "l1": {
        "entries": 12,
        "bytes": 34_000,
        "max_bytes": 64_000_000,
        "hits": 5,
        "misses": 7,
        "evictions": 0,
        "expired": 1,
    },
    "l2": {"entries": 1200, "bytes": 1_200_000, "hits": 2, "misses": 5, "ready": False, "damaged": 1},
    "l3": {"name": "redis", "ready": True, "hits": 1, "misses": 4, "timeouts": 3, "errors": 0},
    "semantic": {
        "embedder": "minilm",
        "ready": True,
        "why_not": None,
        "hits": 3,
        "misses": 1000,
        "bypassed": 2,
        "late": 1,
        "failed": 0,
        "would_hit": 0,
        "vetoed": {"number": 1, "opposite": 4},
        "grey": 6,
        "index": {"entries": 1100, "ready": True, "building": True},
        "pairs": {
            "denied": 2,
            "approved": 1,
            "groups": {
                "abc/code": {"served": 30, "wrong": 2, "wrong_upper_bound": 0.213, "stricter": 0.02},
                "abc/shell": {"served": 30, "wrong": 0, "wrong_upper_bound": 0.11, "stricter": 0.0},
            },
        },
    },
}


@pytest.fixture(autouse=True)
def _knows_its_default_model(daemon: FakeDaemon) -> None:
    daemon.on("config.get", {"settings": {"routing": {"default_model": "custom:usual"}}})


# -- lookup ------------------------------------------------------------------------------------------------------------


def test_lookup_prints_the_answer_and_says_how_it_was_found(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("cache.lookup", HIT)
    done = beast("cache", "lookup", "sort", "a", "list", "-m", "custom:x", "--scope", "team")
    assert (done.code, done.out) == (0, "sorted(x)\n")
    assert done.err == f"hit_semantic L1 · similarity 0.971 · confidence 0.991 · {HIT['why']}\n"
    assert daemon.requests("cache.lookup") == [{"prompt": "sort a list", "model": "custom:x", "scope": "team"}]
    assert beast("cache", "lookup", "q", "--json").json == HIT


def test_a_lookup_that_finds_nothing_says_why_and_ends_with_1(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("cache.lookup", MISS)
    assert beast("cache", "lookup", "q") == (1, "", "miss · no stored prompt is near\n")
    done = beast("cache", "lookup", "q", "--json")
    assert (done.code, done.json) == (1, MISS)


def test_the_prompt_and_the_model_are_those_that_ask_would_use(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("cache.lookup", MISS)
    beast("cache", "lookup", "review this", stdin="a diff\n")
    assert daemon.requests("cache.lookup") == [{"prompt": "review this\n\na diff", "model": "custom:usual"}]
    assert beast("cache", "lookup").code == 2


# -- put ---------------------------------------------------------------------------------------------------------------


def test_put_stores_an_answer_from_the_command_line_or_a_pipe(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("cache.put", {"stored": True, "entry": KEY, "by_meaning": True})
    assert beast("cache", "put", "q", "an answer", "-t", "a", "--tag", "b") == (0, f"stored as {KEY}\n", "")
    beast("cache", "put", "q", "-m", "custom:x", "--scope", "s", stdin="piped\nlines\n")
    beast("cache", "put", "q", "-", "-m", "auto", stdin="dash\n")
    assert daemon.requests("cache.put") == [
        {"prompt": "q", "response": "an answer", "model": "custom:usual", "tags": ["a", "b"]},
        {"prompt": "q", "response": "piped\nlines", "model": "custom:x", "scope": "s"},
        {"prompt": "q", "response": "dash", "model": "auto"},
    ]
    assert beast("cache", "put", "q", "a", "--json").json["entry"] == KEY


def test_put_says_when_only_the_very_prompt_will_find_it(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("cache.put", {"stored": True, "entry": KEY, "by_meaning": False})
    assert "not by another wording" in beast("cache", "put", "q", "a").err


@pytest.mark.parametrize(("words", "missing"), [(("q", ""), "answer"), ((" ", "a"), "prompt"), (("q",), "answer")])
def test_nothing_empty_is_stored(daemon: FakeDaemon, beast: Beast, words: tuple[str, ...], missing: str) -> None:
    done = beast("cache", "put", *words)
    assert done.code == 2
    assert f"There is no {missing}" in done.err
    assert daemon.received == []


# -- explain -----------------------------------------------------------------------------------------------------------


def test_explain_says_who_decided_about_each_neighbour_and_which_words_differ(daemon: FakeDaemon, beast: Beast) -> None:
    neighbours = [
        {**NEAR, "veto": "opposite", "differs": [["descending", "ascending"], ["", "please"], ["now", ""]]},
        {**NEAR, "entry": "bb" * 16, "similarity": 0.97, "confidence": 0.99, "denied": True},
        {**NEAR, "entry": "cc" * 16, "similarity": 0.9, "confidence": 0.62, "text": "word " * 200},
    ]
    daemon.on("cache.explain", {**EXPLAINED, "why": "they differ", "neighbours": neighbours})
    done = beast("cache", "explain", "sort the list descending", "--scope", "team")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[:4] == [
        "miss: they differ",
        f"scope      {SCOPE} (model custom:usual, scope team)",
        f"entry      {KEY} (when it is stored)",
        "threshold  0.95 is the least confidence that is served",
    ]
    assert " ".join(lines[5].split()) == "SIMILARITY CONFIDENCE DECIDED BY - STORED / + ASKED STORED PROMPT"
    assert lines[6].split("  ")[0] == "0.981"
    assert "guard: opposite" in lines[6]
    assert "- ascending / + descending; - please; + now" in lines[6]
    assert lines[6].endswith("  sort the list ascending")
    assert "denied" in lines[7]
    assert "verifier  " in lines[8]
    assert "word…" in lines[8]
    assert done.err == "try: beast cache put 'sort the list descending' --scope team < answer.md\n"
    assert daemon.requests("cache.explain")[0]["scope"] == "team"
    assert beast("cache", "explain", "q", "--json").json["neighbours"] == neighbours


def test_explain_of_a_hit_names_the_answer_that_is_served_and_how_to_reject_it(
    daemon: FakeDaemon, beast: Beast
) -> None:
    neighbours = [
        {**NEAR, "veto": "number", "similarity": 0.999},
        {**NEAR, "entry": "bb" * 16, "confidence": 0.96},
        {**NEAR, "entry": "cc" * 16, "confidence": 0.98, "text": "the one"},
        {**NEAR, "entry": "dd" * 16, "confidence": 0.99, "denied": True},
    ]
    daemon.on("cache.explain", {**EXPLAINED, "result": "hit_semantic", "neighbours": neighbours})
    done = beast("cache", "explain", "q", "-m", "custom:x")
    (served,) = [line for line in done.out.splitlines() if "verifier, served" in line]
    assert served.endswith("  the one")
    assert f"try: beast cache reject --entry {'cc' * 16}" in done.err
    assert "try: beast cache lookup q -m custom:x\n" in done.err


def test_explain_of_a_pair_that_a_judge_approved_has_no_neighbours(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("cache.explain", {**EXPLAINED, "result": "hit_semantic", "why": "a judge approved this pair"})
    done = beast("cache", "explain", "q")
    assert done.out.startswith("hit_semantic: a judge approved this pair\n")
    assert "beast requests" in done.err


def test_explain_of_the_very_prompt_shows_its_entry(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("cache.explain", {**EXPLAINED, "result": "hit_exact", "why": "the same prompt was stored before"})
    done = beast("cache", "explain", "q")
    assert f"entry      {KEY}\n" in done.out
    assert f"beast cache reject --entry {KEY}" in done.err


def test_explain_of_a_question_about_a_workspace_shows_which_answer_is_true_now(
    daemon: FakeDaemon, beast: Beast, tmp_path: Path
) -> None:
    one = {"model": "custom:x", "stored_at": "2026-11-20T09:00:00.000Z", "request_id": "r", "paths": ["a.py", "b.py"]}
    variants = [{**one, "holds": False, "changed": ["b.py"]}, {**one, "holds": True, "changed": []}]
    daemon.on("cache.explain", {**EXPLAINED, "result": "hit_exact", "threshold": None, "variants": variants})
    lines = beast("cache", "explain", "q", "--workspace", str(tmp_path)).out.splitlines()
    assert daemon.requests("cache.explain")[0]["workspace"] == str(tmp_path.resolve())
    head = next(number for number, line in enumerate(lines) if line.startswith("TRUE NOW"))
    shown = [" ".join(line.split()) for line in lines[head + 1 : head + 3]]
    assert shown == [
        "changed: b.py custom:x 2026-11-20T09:00:00.000Z a.py, b.py",
        "yes custom:x 2026-11-20T09:00:00.000Z a.py, b.py",
    ]


def test_reject_says_where_other_answers_stay(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("cache.reject", {"rejected": "variant", "entry": KEY})
    assert beast("cache", "reject", "req_1").out == f"removed the answer of req_1 from entry {KEY}; its others stay\n"


def test_explain_where_nothing_is_near_says_so(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("cache.explain", {**EXPLAINED, "neighbours": []})
    done = beast("cache", "explain", "two\nlines")
    assert "nothing near" in done.out
    assert done.err == "try: beast ask PROMPT\n"


@pytest.mark.parametrize(
    ("result", "why"),
    [
        ("miss", "no embedder is installed: beast plugins"),
        ("bypass", "The weights minilm are not in a folder: beast models fetch minilm."),
    ],
)
def test_explain_without_an_embedder_says_how_to_get_one(
    daemon: FakeDaemon, beast: Beast, result: str, why: str
) -> None:
    daemon.on("cache.explain", {**EXPLAINED, "result": result, "why": why, "threshold": None})
    done = beast("cache", "explain", "q")
    assert done.out.startswith(f"{result}: {why}\n")
    assert "threshold" not in done.out
    assert "try: beast models fetch minilm\n" in done.err


def test_explain_of_what_is_matched_exactly_only_says_why(daemon: FakeDaemon, beast: Beast) -> None:
    why = "exact only: it continues a conversation"
    daemon.on("cache.explain", {**EXPLAINED, "result": "bypass", "why": why, "threshold": None})
    done = beast("cache", "explain", "continue")
    assert done.out.startswith(f"bypass: {why}\n")
    assert done.err == "try: beast ask continue\n"


def test_many_differences_are_shortened(daemon: FakeDaemon, beast: Beast) -> None:
    differs = [[f"a{number}", f"b{number}"] for number in range(9)]
    daemon.on("cache.explain", {**EXPLAINED, "neighbours": [{**NEAR, "veto": "order", "differs": differs}]})
    assert "- b0 / + a0; - b1 / + a1; - b2 / + a2; - b3 / + a3; 5 more" in beast("cache", "explain", "q").out


# -- reject ------------------------------------------------------------------------------------------------------------


def test_reject_denies_the_pair_of_a_request_or_removes_an_entry(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("cache.reject", {"rejected": "pair", "entry": KEY})
    assert (
        beast("cache", "reject", "req_1").out
        == f"denied: the prompt of req_1 is never again answered with entry {KEY}\n"
    )
    daemon.on("cache.reject", {"rejected": "entry", "entry": KEY})
    assert beast("cache", "reject", "--entry", KEY).out == f"removed entry {KEY}\n"
    assert daemon.requests("cache.reject") == [{"request_id": "req_1"}, {"entry": KEY}]
    assert beast("cache", "reject", "req_1", "--json").json == {"rejected": "entry", "entry": KEY}


@pytest.mark.parametrize("words", [(), ("req_1", "--entry", KEY)])
def test_reject_wants_one_of_both(daemon: FakeDaemon, beast: Beast, words: tuple[str, ...]) -> None:
    done = beast("cache", "reject", *words)
    assert done.code == 2
    assert "try: beast requests" in done.err


# -- stats -------------------------------------------------------------------------------------------------------------


def test_stats_show_every_tier_and_what_was_decided_by_meaning(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("cache.stats", STATS)
    done = beast("cache")
    lines = done.out.splitlines()
    assert " ".join(lines[1].split()) == "L1 12 34.0 kB 64.0 MB 5 7 1 0 ready"
    assert " ".join(lines[2].split()) == "L2 1,200 1.2 MB - 2 5 - - away, damaged 1"
    assert " ".join(lines[3].split()) == "L3 redis unknown unknown - 1 4 - - ready, timeouts 3"
    assert lines[5:11] == [
        "stale       0 found too old to be served",
        "by meaning  minilm, ready",
        "decided     3 hit, 1,000 miss, 2 bypass, 1 too late, 6 waiting for a judge",
        "vetoed      opposite 4, number 1",
        "pairs       2 denied, 1 approved",
        "index       1,100 vectors, being built",
    ]
    assert " ".join(lines[13].split()) == "abc/code 30 2 21.3% 0.02"
    assert len(lines) == 14
    assert beast("cache", "stats", "--json").json == STATS


def test_stats_of_an_empty_house_say_what_is_missing(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("cache.stats", {})
    done = beast("cache", "stats")
    assert "switched off" in done.out
    assert "there is no embedder" in done.out
    assert done.err == "try: beast models fetch minilm\n"
    daemon.on("cache.stats", {"semantic": {"embedder": "minilm", "ready": False, "why_not": "its weights are missing"}})
    assert "minilm, not ready: its weights are missing" in beast("cache", "stats").out


# -- invalidate and clear ----------------------------------------------------------------------------------------------


def test_invalidate_takes_out_what_meets_all_that_is_given(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("cache.invalidate", lambda params, call: {"entries": 1, "dry_run": params["dry_run"]})
    assert beast("cache", "invalidate", "--older-than", "1w", "--tag", "t", "-m", "m").out == "took 1 answer out\n"
    assert beast("cache", "invalidate", "--older-than", "1h30m", "--dry-run").out == "1 answer would be taken out\n"
    assert beast("cache", "invalidate", "--tag", "t", "--json").json == {"entries": 1, "dry_run": False}
    assert daemon.requests("cache.invalidate") == [
        {"model": "m", "tag": "t", "older_than_s": 604_800, "dry_run": False},
        {"older_than_s": 5400, "dry_run": True},
        {"tag": "t", "dry_run": False},
    ]


def test_a_file_is_named_as_stored_answers_name_it(
    daemon: FakeDaemon, beast: Beast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.on("cache.invalidate", {"entries": 0, "dry_run": False})
    (tmp_path / ".git").mkdir()
    inner = tmp_path / "src"
    inner.mkdir()
    monkeypatch.chdir(inner)
    beast("cache", "invalidate", "--file", "a.py")
    beast("cache", "invalidate", "--file", "a.py", "--workspace", ".")
    beast("cache", "invalidate", "--file", "lib/gone.py", "--workspace", "/elsewhere")
    asked = [{name: one[name] for name in one if name != "dry_run"} for one in daemon.requests("cache.invalidate")]
    assert asked == [
        {"path": "src/a.py"},
        {"path": "a.py", "workspace": str(inner.resolve())},
        {"path": "lib/gone.py", "workspace": "/elsewhere"},
    ]


def test_invalidate_wants_to_know_which_answers(daemon: FakeDaemon, beast: Beast) -> None:
    done = beast("cache", "invalidate", "--dry-run")
    assert done.code == 2
    assert "beast cache clear" in done.err
    assert daemon.received == []
    for odd in ("7", "d", "7 d", "-1d", "٣d"):
        wrong = beast("cache", "invalidate", f"--older-than={odd}")
        assert wrong.code == 2
        assert "30m, 2h, 7d" in wrong.err


def test_clear_wants_a_yes_where_there_is_no_terminal(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("cache.stats", STATS)
    daemon.on("cache.clear", {"cleared": True})
    done = beast("cache", "clear")
    assert done.code == 2
    assert "Remove 1,200 stored answers?" in done.err
    assert "try: beast cache clear --yes" in done.err
    assert daemon.requests("cache.clear") == []
    assert beast("cache", "clear", "--yes").out == "the cache is empty\n"
    assert beast("cache", "clear", "-y", "--json").json == {"cleared": True}


@pytest.mark.parametrize(("answer", "code", "cleared"), [("n\n", 1, 0), ("\n", 1, 0), ("y\n", 0, 1)])
def test_clear_asks_at_a_terminal(daemon: FakeDaemon, answer: str, code: int, cleared: int) -> None:
    daemon.on("cache.stats", STATS)
    daemon.on("cache.clear", {"cleared": True})
    with Terminal([*PROGRAM, "cache", "clear"], {**os.environ, "BEAST_HOME": str(daemon.home)}) as terminal:
        terminal.see("Remove 1,200 stored answers? [y/N]")
        terminal.type(answer)
        assert terminal.end() == code
    assert len(daemon.requests("cache.clear")) == cleared
