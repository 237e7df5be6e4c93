"""`beast models`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from beastmode.core.errors import AuthenticationError, RefusedConnectionError
from cli.conftest import Beast
from support.fake_daemon import Call, FakeDaemon
from support.terminal import Terminal

PROGRAM = [sys.executable, "-P", "-m", "beastmode.cli"]
STEPS = [
    {"name": "reachable", "ok": True, "detail": "127.0.0.1:11434 answers"},
    {"name": "model", "ok": False, "detail": "qwen is not in its list"},
]
PASSED = {"ok": True, "steps": STEPS[:1], "latency_ms": 12.0}
LISTED = {
    "models": [
        {
            "id": "custom:qwen",
            "kind": "custom",
            "deployments": [
                {
                    "base_url": "http://127.0.0.1:11434/v1",
                    "upstream_model": "qwen2.5",
                    "has_key": False,
                    "price": {"prompt": 0.0, "completion": 0.0},
                    "state": "cooling",
                    "cause": "nobody listens on 127.0.0.1:11434",
                }
            ],
        },
        {
            "id": "openai:gpt-4o",
            "kind": "provider",
            "deployments": [{"base_url": "https://api", "has_key": True, "state": "ready"}],
        },
        {"id": "local:smollm2", "kind": "local", "deployments": [{"base_url": "", "state": "ready"}]},
    ],
    "available": [
        {"name": "smollm2", "installed": True, "size_bytes": 98_000_000, "licence": "Apache-2.0", "about": "small"}
    ],
}


@pytest.fixture(autouse=True)
def _adds(daemon: FakeDaemon) -> None:
    daemon.on("models.add", {"model": {"id": "x"}, "test": PASSED, "note": ""})
    daemon.on("models.discover", {"servers": []})


def added(daemon: FakeDaemon) -> dict[str, Any]:
    found: dict[str, Any] = daemon.requests("models.add")[-1]
    return found


def at_terminal(daemon: FakeDaemon, *words: str) -> Terminal:
    return Terminal([*PROGRAM, "models", "add", *words], {**os.environ, "BEAST_HOME": str(daemon.home)})


def test_the_list_shows_all_kinds_side_by_side(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("models.list", LISTED)
    done = beast("models")
    custom, provider, local = done.out.splitlines()[1:4]
    assert custom.split() == [
        "custom:qwen",
        "custom",
        "cooling",
        "http://127.0.0.1:11434/v1",
        "qwen2.5",
        "$0",
        "/",
        "$0",
        "no",
    ]
    assert provider.split()[-2:] == ["unknown", "yes"]
    assert "this machine" in local
    assert "98.0 MB" in done.out
    assert "custom:qwen: nobody listens" in done.err
    assert beast("models", "list", "--json").json == LISTED


def test_an_empty_list_says_how_to_begin(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("models.list", {"models": [], "available": []})
    assert "beast models add" in beast("models").out


def test_a_model_is_removed(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("models.remove", {"removed": True, "note": "custom:qwen was a fallback of auto"})
    assert beast("models", "remove", "custom:qwen") == (
        0,
        "removed custom:qwen\n",
        "custom:qwen was a fallback of auto\n",
    )
    assert beast("models", "remove", "custom:qwen", "--json").json["removed"] is True


def test_a_test_shows_its_steps_and_fails_as_an_upstream_does(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("models.test", {"ok": False, "steps": STEPS, "latency_ms": 3.0})
    done = beast("models", "test", "custom:qwen")
    assert done.code == 5
    assert done.out.splitlines() == [
        "  ok      reachable: 127.0.0.1:11434 answers",
        "  failed  model: qwen is not in its list",
    ]
    daemon.on("models.test", {"ok": True, "deployments": [PASSED]})
    assert beast("models", "test", "custom:qwen").out.endswith("answered in 12 ms\n")
    assert beast("models", "test", "custom:qwen", "--json").json["ok"] is True


def test_servers_on_this_machine_are_shown_with_the_next_command(daemon: FakeDaemon, beast: Beast) -> None:
    assert "no model server runs" in beast("models", "discover").out
    servers = {
        "servers": [{"base_url": "http://127.0.0.1:11434/v1", "kind": "ollama", "models": ["qwen2.5", "llama3"]}]
    }
    daemon.on("models.discover", servers)
    done = beast("models", "discover")
    assert "qwen2.5, llama3" in done.out
    assert "--base-url http://127.0.0.1:11434/v1 --model qwen2.5" in done.err
    assert beast("models", "discover", "--json").json == servers


def fetching(params: dict[str, Any], call: Call) -> dict[str, Any]:
    call.progress({"phase": "resolve", "done_bytes": 0, "total_bytes": 0})
    for done in range(0, 101, 5):
        call.progress({"phase": "download", "done_bytes": done * 10**6, "total_bytes": 10**8})
    call.progress("not a progress value")
    return {"name": "smollm2", "path": "/data/smollm2", "size_bytes": 10**8, "model": "local:smollm2"}


def test_a_fetch_tells_every_tenth_off_a_terminal(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("models.fetch", fetching)
    done = beast("models", "fetch", "smollm2")
    assert done.out == "smollm2 is here: 100 MB, /data/smollm2\n"
    assert done.err.count("smollm2: download") == 11
    assert "-m local:smollm2" in done.err
    quiet = beast("models", "fetch", "smollm2", "--json")
    assert (quiet.json["model"], quiet.err) == ("local:smollm2", "")


def test_a_fetch_draws_a_bar_on_a_terminal(daemon: FakeDaemon) -> None:
    daemon.on("models.fetch", fetching)
    with Terminal([*PROGRAM, "models", "fetch", "smollm2"], {**os.environ, "BEAST_HOME": str(daemon.home)}) as terminal:
        assert terminal.end() == 0
    assert "smollm2 [##############################] 100 MB of 100 MB download" in terminal.text


def test_flags_become_the_parameters_of_the_daemon(daemon: FakeDaemon, beast: Beast) -> None:
    words = ["--base-url", "http://h/v1", "--model", "qwen2.5", "--price-prompt", "0.1", "--context", "32000"]
    done = beast(
        "models", "add", "custom:qwen", *words, "--fallback", "a:b", "--fallback", "auto", "--another", "--no-test"
    )
    assert done.code == 0
    assert added(daemon) == {
        "id": "custom:qwen",
        "base_url": "http://h/v1",
        "upstream_model": "qwen2.5",
        "price": {"prompt": 0.1, "completion": None},
        "limits": {"context_tokens": 32000, "max_concurrent": None},
        "fallback": ["a:b", "auto"],
        "another": True,
        "test": False,
    }


def test_after_a_success_the_next_command_is_named(beast: Beast) -> None:
    done = beast("models", "add", "custom:qwen", "--base-url", "http://h/v1")
    assert done.out == "  ok      reachable: 127.0.0.1:11434 answers\n  answered in 12 ms\nregistered custom:qwen\n"
    assert 'beast ask "Write a haiku about sockets" -m custom:qwen' in done.err


def test_a_key_comes_through_standard_input_without_blank_space(daemon: FakeDaemon, beast: Beast) -> None:
    assert beast("models", "add", "openai:gpt-4o", "--key-stdin", stdin=" sk-test-1234\n").code == 0
    assert added(daemon) == {"id": "openai:gpt-4o", "key": "sk-test-1234"}


@pytest.mark.parametrize("key", ["", "\n", "two words", "sk-\u00e9", "sk-\x07"])
def test_what_is_no_key_is_refused_without_being_shown(daemon: FakeDaemon, beast: Beast, key: str) -> None:
    done = beast("models", "add", "openai:gpt-4o", "--key-stdin", stdin=key)
    assert done.code == 2
    assert daemon.requests("models.add") == []
    assert key.strip() == "" or key.strip() not in done.err


@pytest.mark.parametrize("words", [["--key", "sk-secret"], ["--key=sk-secret"], ["--api-key", "sk-secret"], ["--key"]])
def test_a_key_on_the_command_line_is_refused_with_the_reason(
    daemon: FakeDaemon, beast: Beast, words: list[str]
) -> None:
    done = beast("models", "add", "openai:gpt-4o", *words)
    assert done.code == 2
    assert "can be read by every user" in done.err
    assert "--key-stdin" in done.err
    assert "sk-secret" not in done.err
    assert daemon.requests("models.add") == []


def test_without_a_terminal_what_is_missing_is_named(beast: Beast) -> None:
    assert "Which model?" in beast("models", "add").err
    done = beast("models", "add", "openai:gpt-4o")
    assert done.code == 2
    assert "openai:gpt-4o needs a key" in done.err
    assert "--key-stdin" in done.err


def test_a_failed_test_shows_its_steps_then_the_error(daemon: FakeDaemon, beast: Beast) -> None:
    def refuse(params: dict[str, Any], call: Call) -> None:
        details = {"test": {"ok": False, "steps": STEPS}}
        raise AuthenticationError("401 from api.openai.com.", tips=["make a new key"], details=details)

    daemon.on("models.add", refuse)
    done = beast("models", "add", "custom:x", "--base-url", "http://h/v1")
    assert done.code == 4
    assert done.out.splitlines()[-1] == "  failed  model: qwen is not in its list"
    assert done.err == "error: 401 from api.openai.com.\n  try: make a new key\n"
    assert '"steps"' in beast("models", "add", "custom:x", "--base-url", "http://h/v1", "--json").err


def test_a_note_of_the_daemon_is_shown(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on(
        "models.add", {"model": {}, "test": None, "note": "custom:x was registered at http://old; that is replaced."}
    )
    done = beast("models", "add", "custom:x", "--base-url", "http://h/v1", "--no-test")
    assert "registered custom:x (untested)" in done.out
    assert "that is replaced" in done.err
    assert beast("models", "add", "custom:x", "--base-url", "http://h/v1", "--json").json["test"] is None


def test_the_wizard_offers_what_runs_on_this_machine_first(daemon: FakeDaemon) -> None:
    names = ["qwen2.5-coder:7b", "llama3", "c", "d", "e"]
    daemon.on(
        "models.discover", {"servers": [{"base_url": "http://127.0.0.1:11434/v1", "kind": "ollama", "models": names}]}
    )
    with at_terminal(daemon) as terminal:
        terminal.see("1  ollama at http://127.0.0.1:11434/v1: qwen2.5-coder:7b, llama3, c, d and 1 more")
        terminal.see("Which one [1]")
        terminal.type("\n")
        terminal.see("Model [1]")
        terminal.type("\n")
        terminal.see("Call it here [custom:qwen2.5-coder-7b]")
        terminal.type("qwen\n")
        terminal.see("Price")
        terminal.type("cheap\n")
        terminal.see("two amounts")
        terminal.type("0 0\n")
        terminal.see("registered custom:qwen")
        assert terminal.end() == 0
    assert added(daemon) == {
        "id": "custom:qwen",
        "base_url": "http://127.0.0.1:11434/v1",
        "upstream_model": "qwen2.5-coder:7b",
        "price": {"prompt": 0.0, "completion": 0.0},
    }


def test_the_wizard_never_shows_the_key(daemon: FakeDaemon) -> None:
    with at_terminal(daemon) as terminal:
        terminal.see("1  OpenAI, with a key")
        terminal.see("Which one [1]")
        terminal.type("1\n")
        terminal.see("Model [gpt-4o]")
        terminal.type("\n")
        terminal.see_hidden("API key (not shown)")
        terminal.type("sk-secret\n")
        terminal.see("registered openai:gpt-4o")
        assert terminal.end() == 0
    assert "sk-secret" not in terminal.raw
    assert added(daemon) == {"id": "openai:gpt-4o", "key": "sk-secret"}


def test_the_wizard_takes_any_endpoint(daemon: FakeDaemon) -> None:
    with at_terminal(daemon) as terminal:
        terminal.see("3  another OpenAI-compatible endpoint")
        terminal.type("3\n")
        terminal.see("Name of the model there")
        terminal.type("meta/llama-3.3\n")
        terminal.see("Call it here [custom:llama-3.3]")
        terminal.type("\n")
        terminal.see("Base URL of an OpenAI-compatible endpoint")
        terminal.type("https://llm.example/v1\n")
        terminal.see_hidden("API key (not shown; empty for none)")
        terminal.type("\n")
        terminal.see("Price")
        terminal.type("\n")
        terminal.see("registered custom:llama-3.3")
        assert terminal.end() == 0
    assert added(daemon) == {
        "id": "custom:llama-3.3",
        "base_url": "https://llm.example/v1",
        "upstream_model": "meta/llama-3.3",
    }


def test_the_wizard_asks_only_for_what_was_not_said(daemon: FakeDaemon) -> None:
    with at_terminal(daemon, "anthropic:claude-sonnet-4-5") as terminal:
        terminal.see_hidden("API key (not shown)")
        terminal.type("sk-ant\n")
        assert terminal.end() == 0
    assert added(daemon) == {"id": "anthropic:claude-sonnet-4-5", "key": "sk-ant"}
    with at_terminal(daemon, "--base-url", "http://localhost:8000/v1", "--price-prompt", "1") as terminal:
        terminal.see("Name of the model there")
        terminal.type("m\n")
        terminal.see("Call it here [custom:m]")
        terminal.type("\n")
        assert terminal.end() == 0
    assert added(daemon)["base_url"] == "http://localhost:8000/v1"
    with at_terminal(daemon, "local:smollm2") as terminal:
        assert terminal.end() == 0


def test_after_a_failed_test_the_wizard_offers_to_register_anyway(daemon: FakeDaemon) -> None:
    def refuse(params: dict[str, Any], call: Call) -> dict[str, Any]:
        if params.get("test") is False:
            return {"model": {}, "test": None}
        details = {"test": {"ok": False, "steps": STEPS}}
        raise RefusedConnectionError("Nobody listens on 127.0.0.1:8000.", tips=["start it"], details=details)

    daemon.on("models.add", refuse)
    words = ["custom:x", "--base-url", "http://127.0.0.1:8000/v1", "--price-prompt", "1"]
    with at_terminal(daemon, *words) as terminal:
        terminal.see("failed  model")
        terminal.see("error: Nobody listens")
        terminal.see("Register it anyway?")
        terminal.type("y\n")
        terminal.see("registered custom:x (untested)")
        assert terminal.end() == 0
    with at_terminal(daemon, *words) as terminal:
        terminal.see("Register it anyway?")
        terminal.type("\n")
        terminal.see("was not registered")
        assert terminal.end() == 2


def test_ctrl_c_leaves_the_wizard(daemon: FakeDaemon) -> None:
    with at_terminal(daemon, "openai:gpt-4o") as terminal:
        terminal.see_hidden("API key")
        assert terminal.end_with("\x03") == 130
    assert daemon.requests("models.add") == []


def test_a_discovery_that_fails_is_said_and_the_wizard_goes_on(daemon: FakeDaemon) -> None:
    def refuse(params: dict[str, Any], call: Call) -> None:
        raise RefusedConnectionError("no network")

    daemon.on("models.discover", refuse)
    with at_terminal(daemon) as terminal:
        terminal.see("none found: no network")
        terminal.see("Which one [1]")
        assert terminal.end_with("\x03") == 130


def test_the_key_is_in_no_process_list(daemon: FakeDaemon, beast: Beast, tmp_path: Path) -> None:
    beast("models", "add", "openai:gpt-4o", "--key-stdin", stdin="sk-argv-check")
    cmdlines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if os.access(path, os.R_OK)]
    assert not any(b"sk-argv-check" in line for line in cmdlines)
