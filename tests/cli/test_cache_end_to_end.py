"""`beast cache` and `beast forget` on a real daemon, with the real embedder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from beastmode.core.errors import BeastError
from cli.conftest import Beast
from support.daemon import Daemon
from support.waiting import until
from support.weights import fetch

ASCENDING = "Write a Python function that sorts a list of integers in ascending order"
DESCENDING = "Write a Python function that sorts a list of integers in descending order"
POLITE = "Please write a Python function that sorts a list of integers in ascending order"


# The deadline: a busy machine must not turn a hit into a miss.
SETTINGS = '[routing]\ndefault_model = "echo:echo"\n[cache]\ndeadline_ms = 20000\n'


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """A daemon without weights, which matches exactly only."""
    with Daemon(SETTINGS) as running:
        monkeypatch.setenv("BEAST_HOME", str(running.home))
        running.add("echo:echo")
        yield running


@pytest.fixture
def knowing(house: Daemon) -> Daemon:
    """The same with an embedder that is ready."""
    try:
        weights = fetch("minilm")
    except BeastError as error:
        pytest.skip(f"the weights minilm can not be fetched: {error.message}")
    folder = house.home / "data" / "models" / "minilm"
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(weights / "minilm", folder)
    until(lambda: house.call("cache.put", {"prompt": "Name a colour", "response": "red"})["by_meaning"], 60)
    house.call("cache.clear")
    return house


def test_what_is_put_is_found_by_ask_and_lookup(house: Daemon, beast: Beast) -> None:
    assert beast("cache", "put", "Who is on call?", stdin="Ada\n").code == 0
    assert beast("ask", "Who is on call?", "--cache-only").out == "Ada\n"
    found = beast("cache", "lookup", "Who is on call?")
    assert (found.code, found.out) == (0, "Ada\n")
    assert "hit_exact L1" in found.err
    assert beast("cache", "lookup", "Who is on call?", "--scope", "others").code == 1
    assert beast("cache", "lookup", "Who is on call?", "-m", "auto").code == 1


def test_without_an_embedder_it_is_said_how_to_get_one(house: Daemon, beast: Beast) -> None:
    assert "beast cache explain" in beast("cache", "put", "q about something", "a").err
    assert "beast models fetch minilm" in beast("cache", "explain", "a question that nobody asked").err
    assert "by meaning" in beast("cache").out


def test_explain_shows_the_guard_and_the_words_that_differ(knowing: Daemon, beast: Beast) -> None:
    beast("cache", "put", ASCENDING, "sorted(x)")
    done = beast("cache", "explain", DESCENDING)
    assert done.out.startswith("miss: ")
    assert "guard: opposite" in done.out
    assert "- ascending / + descending" in done.out
    assert beast("cache", "lookup", DESCENDING).code == 1
    assert "nothing near" in beast("cache", "explain", "What does EAGAIN mean?").out
    assert beast("cache", "explain", "continue").out.startswith("bypass: ")


def test_another_wording_is_served_until_it_is_rejected(knowing: Daemon, beast: Beast) -> None:
    beast("cache", "put", ASCENDING, "sorted(x)")
    assert "verifier, served" in beast("cache", "explain", POLITE).out
    assert beast("cache", "lookup", POLITE).out == "sorted(x)\n"
    asked = beast("ask", POLITE, "--json").json
    assert asked["cache"]["result"] == "hit_semantic"
    assert beast("cache", "reject", asked["request_id"]).out.startswith("denied: ")
    explained = beast("cache", "explain", POLITE)
    assert explained.out.startswith("miss: ")
    assert "denied" in explained.out
    assert beast("cache", "lookup", POLITE).code == 1
    assert beast("cache", "lookup", ASCENDING).code == 0
    assert "1 denied" in beast("cache").out


def test_an_entry_that_is_rejected_is_gone(house: Daemon, beast: Beast) -> None:
    entry = beast("cache", "put", "Who is on call?", "Ada", "--json").json["entry"]
    assert beast("cache", "reject", "--entry", entry).out == f"removed entry {entry}\n"
    assert beast("cache", "lookup", "Who is on call?").code == 1
    assert beast("cache", "reject", "--entry", "nonsense").code == 2
    assert beast("cache", "reject", "req_unknown").code == 1


def test_an_export_is_imported_into_an_empty_cache(house: Daemon, beast: Beast, tmp_path: Path) -> None:
    for number in range(450):
        house.call("cache.put", {"prompt": f"What is entry {number}?", "response": f"größe {number}"})
    file = tmp_path / "answers.ndjson"
    assert beast("cache", "export", str(file), "--json").json["entries"] == 450
    assert beast("cache", "clear", "--yes").code == 0
    assert beast("cache", "lookup", "What is entry 7?").code == 1
    lines = file.read_text().splitlines()
    assert len({json.loads(line)["key"] for line in lines}) == 450
    file.write_text("\n".join([*lines[:200], '{"key": "00"}', *lines[200:]]))
    done = beast("cache", "import", str(file))
    assert (done.code, done.out) == (1, f"imported 450 answers from {file}\n")
    assert "line 201 is left out" in done.err
    assert beast("cache", "lookup", "What is entry 7?").out == "größe 7\n"
    assert beast("cache", "lookup", "What is entry 449?").out == "größe 449\n"


def test_an_import_is_found_by_meaning_again(knowing: Daemon, beast: Beast, tmp_path: Path) -> None:
    beast("cache", "put", ASCENDING, "sorted(x)")
    file = tmp_path / "answers.ndjson"
    beast("cache", "export", str(file))
    beast("cache", "clear", "--yes")
    assert beast("cache", "lookup", POLITE).code == 1
    assert beast("cache", "import", str(file)).code == 0
    until(lambda: beast("cache", "lookup", POLITE).out == "sorted(x)\n")


def test_answers_are_invalidated_by_what_they_are(house: Daemon, beast: Beast) -> None:
    beast("cache", "put", "one", "1", "--tag", "numbers")
    beast("cache", "put", "two", "2", "-m", "custom:x")
    assert beast("cache", "invalidate", "--tag", "numbers", "--dry-run").out == "1 answer would be taken out\n"
    assert beast("cache", "lookup", "one").code == 0
    assert beast("cache", "invalidate", "--tag", "numbers").out == "took 1 answer out\n"
    assert beast("cache", "lookup", "one").code == 1
    assert beast("cache", "invalidate", "--older-than", "1h").out == "took 0 answers out\n"
    assert beast("cache", "invalidate", "-m", "custom:x", "--older-than", "0s").out == "took 1 answer out\n"


def test_answers_made_from_a_file_are_invalidated_by_it(
    house: Daemon, beast: Beast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "note.txt").write_text("the note\n")
    beast("ask", "what is in it?", "-f", "note.txt")
    assert beast("cache", "invalidate", "--file", "other.txt", "--dry-run").out.startswith("0 answers")
    assert beast("cache", "invalidate", "--file", "note.txt", "--workspace", ".").out == "took 1 answer out\n"
    assert beast("ask", "what is in it?", "-f", "note.txt", "--cache-only").code == 1


def test_forget_takes_answers_and_sessions(house: Daemon, beast: Beast, tmp_path: Path) -> None:
    beast("cache", "put", "one", "1")
    beast("chat", "-s", "ada", stdin="my name is Ada\n")
    counted = beast("forget", "--since", "1h", "--dry-run", "--json").json
    assert counted == {"entries": 2, "sessions": 1, "contents": 0, "dry_run": True}
    assert beast("forget", "--workspace", str(tmp_path), "--yes").out == "forgot 0 stored answers and 0 sessions\n"
    assert beast("cache", "lookup", "one").code == 0
    assert beast("forget", "--since", "1h", "--yes").out == "forgot 2 stored answers and 1 session\n"
    assert beast("cache", "lookup", "one").code == 1
    assert beast("sessions", "--json").json == {"sessions": []}
    assert beast("forget", "--all", "--yes").code == 0
