"""`status`, `requests`, `errors`, `rpc`, `config`, `plugins`."""

from __future__ import annotations

from typing import Any

import pytest

from cli.conftest import Beast
from support.fake_daemon import Call, FakeDaemon

STATUS = {
    "version": "0.1.0",
    "uptime_s": 7805.0,
    "pid": 4711,
    "health": {"status": "ok", "issues": []},
    "sockets": {"rpc": "/run/rpc.sock"},
    "models": {"total": 3, "ready": 2},
    "cache": {"l1": {"entries": 12, "bytes": 34_000}, "l2": {"entries": 120, "bytes": 1_200_000}, "hits": 5},
    "workspaces": [],
}
ROW = {
    "request_id": "req_1",
    "at": "2026-11-20T09:00:00Z",
    "outcome": "success",
    "model": "auto",
    "model_served": "custom:qwen",
    "cache": {"result": "hit_exact", "tier": "L1"},
    "usage": {"prompt_tokens": 20, "completion_tokens": 10},
    "cost_usd": 0.0,
    "saved_usd": None,
    "latency_ms": 0.4,
    "tags": ["a", "b"],
}
SETTINGS = {
    "cache": {"enabled": True, "l1": {"ttl_s": 3600.0}},
    "plugins": {"disabled": [], "options": {}},
    "log": {"level": "info"},
}


def test_status_shows_what_the_daemon_says_of_itself(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("status", STATUS)
    done = beast("status")
    assert done.code == 0
    assert done.out.splitlines() == [
        "running   version 0.1.0, pid 4711, up 2 h 10 min",
        "health    ok",
        "models    2 ready of 3",
        "cache     L1 12 answers, 34.0 kB; L2 120 answers, 1.2 MB",
        "rpc       /run/rpc.sock",
    ]
    assert beast("status", "--json").json == STATUS
    assert beast("status", "--home", str(daemon.home)).out == done.out


@pytest.mark.parametrize(("state", "code"), [("degraded", 8), ("unhealthy", 9)])
def test_status_names_every_cause_and_ends_with_the_code_of_the_health(
    daemon: FakeDaemon, beast: Beast, state: str, code: int
) -> None:
    issues = [
        {"part": "ledger", "state": state, "cause": "the disk is full", "tip": "free some space"},
        {"part": "plugin", "state": state, "cause": "it raised", "tip": ["beast plugins"]},
    ]
    daemon.on("status", {**STATUS, "health": {"status": state, "issues": issues}})
    done = beast("status")
    assert done.code == code
    assert "ledger: the disk is full\n            try: free some space\n" in done.out
    assert "plugin: it raised\n            try: beast plugins\n" in done.out


def test_status_of_an_empty_home_says_how_to_begin(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("status", {**STATUS, "models": {"total": 0, "ready": 0}, "cache": {}})
    done = beast("status")
    assert "cache     off" in done.out
    assert "beast models add" in done.err


def test_requests_are_a_table_newest_first(daemon: FakeDaemon, beast: Beast) -> None:
    failed = {**ROW, "outcome": "failure", "error_kind": "timeout", "usage": None, "cache": None, "model_served": None}
    daemon.on("requests.list", {"requests": [ROW, failed]})
    head, first, second = beast("requests").out.splitlines()
    assert head.split()[0] == "TIME"
    assert first.split()[2:] == [
        "req_1",
        "custom:qwen",
        "success",
        "hit_exact",
        "L1",
        "0.4",
        "ms",
        "20+10",
        "$0",
        "unknown",
    ]
    assert second.split()[3:] == ["auto", "failure:", "timeout", "-", "0.4", "ms", "unknown", "$0", "unknown"]
    assert beast("requests", "--json").json["requests"][0] == ROW


def test_filters_of_requests_reach_the_daemon(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("requests.list", {"requests": []})
    assert "beast ask" in beast("requests").out
    beast(
        "requests",
        "--limit",
        "5",
        "--model",
        "m",
        "--outcome",
        "failure",
        "--origin",
        "all",
        "--since",
        "2026-11-20T09:00:00Z",
    )
    assert daemon.requests("requests.list") == [
        {"limit": 20},
        {"limit": 5, "model": "m", "outcome": "failure", "origin": "all", "since": "2026-11-20T09:00:00Z"},
    ]
    assert beast("requests", "list", "--outcome", "odd").code == 2


def test_one_request_is_shown_whole_and_unknown_is_said(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("requests.get", ROW)
    lines = dict(line.split(maxsplit=1) for line in beast("requests", "show", "req_1").out.splitlines())
    assert lines["saved_usd"] == "unknown"
    assert lines["cache.tier"] == "L1"
    assert lines["tags"] == "a, b"
    assert beast("requests", "show", "req_1", "--json").json == ROW


def test_errors_are_grouped_with_their_tips(daemon: FakeDaemon, beast: Beast) -> None:
    one = {
        "kind": "connection_refused",
        "model": "custom:x",
        "count": 3,
        "last_at": None,
        "message": "nobody",
        "tip": "ollama serve",
    }
    daemon.on(
        "errors.recent", {"errors": [one, {**one, "kind": "dns", "count": 1, "tip": "what and try", "message": None}]}
    )
    done = beast("errors")
    assert "connection_refused · custom:x · 3 times, last unknown\n  nobody\n  try: ollama serve\n" in done.out
    assert "dns · custom:x · once, last unknown\n  what and try\n" in done.out
    assert beast("errors", "--json", "-n", "5").json["errors"][0] == one
    daemon.on("errors.recent", {"errors": []})
    assert beast("errors").out == "no error\n"


def test_rpc_takes_parameters_as_an_argument_or_through_a_pipe(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("echo", lambda params, call: params)
    assert beast("rpc", "echo", '{"a": 1}').json == {"a": 1}
    assert beast("rpc", "echo", stdin='{"b": 2}').json == {"b": 2}
    assert beast("rpc", "echo", "-", stdin="[3]").json == [3]
    assert beast("rpc", "echo").json == {}


@pytest.mark.parametrize("params", ["{", "17", "[" * 100_000])
def test_rpc_refuses_what_is_no_json_object(daemon: FakeDaemon, beast: Beast, params: str) -> None:
    done = beast("rpc", "echo", params)
    assert done.code == 2
    assert "JSON" in done.err
    assert daemon.received == []


def test_rpc_shows_progress_when_asked_and_keeps_to_its_time(daemon: FakeDaemon, beast: Beast) -> None:
    def work(params: dict[str, Any], call: Call) -> str:
        call.progress({"done": 1})
        return "result"

    daemon.on("work", work)
    assert beast("rpc", "work", "--progress") == (0, '"result"\n', '{"done": 1}\n')
    assert beast("rpc", "work").err == ""
    daemon.on("hang", lambda params, call: call.cancelled.wait(20))
    assert beast("rpc", "hang", "--timeout", "0.05").code == 7


def test_config_shows_every_setting_with_its_source(daemon: FakeDaemon, beast: Beast) -> None:
    reply = {"settings": SETTINGS, "sources": {"cache.l1.ttl_s": "user"}, "warnings": ["a warning"]}
    daemon.on("config.get", reply)
    done = beast("config")
    rows = {tuple(line.split()) for line in done.out.splitlines()}
    assert {
        ("cache.l1.ttl_s", "3600.0", "user"),
        ("cache.enabled", "true", "default"),
        ("log.level", "info", "default"),
    } <= rows
    assert "a warning" in done.err
    assert beast("config", "show", "--json").json == reply
    assert beast("config", "get", "cache.l1.ttl_s").out == "3600.0\n"
    assert beast("config", "get", "cache.l1").json == {"ttl_s": 3600.0}
    assert beast("config", "get", "log.level", "--json").json == "info"


def test_an_unknown_setting_names_the_nearest(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("config.get", {"settings": SETTINGS})
    done = beast("config", "get", "cache.l1.ttl")
    assert done.code == 2
    assert "try: beast config get cache.l1.ttl_s" in done.err


def test_config_path_needs_no_daemon(beast: Beast) -> None:
    assert beast("config", "path", "--home", "/h").out == "/h/config.toml\n"
    assert beast("config", "path", "--home", "/h", "--json").json == {"path": "/h/config.toml"}


def test_config_reload_says_what_changed_and_what_waits(daemon: FakeDaemon, beast: Beast) -> None:
    daemon.on("config.reload", {"changed": ["cache", "log"], "restart": ["log"], "warnings": ["odd"]})
    done = beast("config", "reload")
    assert done.out == "reloaded; changed: cache, log\n"
    assert "log: in force after beast restart" in done.err
    assert "warning: odd" in done.err
    daemon.on("config.reload", {"changed": []})
    assert beast("config", "reload").out == "reloaded; nothing has changed\n"
    assert beast("config", "reload", "--json").json == {"changed": []}


def test_config_edit_opens_the_editor_and_reloads(
    daemon: FakeDaemon, beast: Beast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    daemon.on("config.reload", {"changed": ["cache"]})
    monkeypatch.setenv("EDITOR", "touch -a")
    assert beast("config", "edit").out == "reloaded; changed: cache\n"
    assert (daemon.home / "config.toml").exists()
    monkeypatch.setenv("EDITOR", "false")
    assert "nothing was reloaded" in beast("config", "edit").err
    monkeypatch.setenv("EDITOR", "/no/such/editor")
    assert "does not start" in beast("config", "edit").err
    assert len(daemon.requests("config.reload")) == 1
    daemon.stop()
    monkeypatch.setenv("EDITOR", "true")
    assert "does not run" in beast("config", "edit").err


def test_plugins_are_listed_with_what_went_wrong(daemon: FakeDaemon, beast: Beast) -> None:
    good = {
        "name": "echo",
        "version": "0.1.0",
        "package": "beastmode",
        "hooks": ["beast_providers"],
        "state": "loaded",
        "error": None,
    }
    bad = {
        "name": "mine",
        "version": "1",
        "package": "mine",
        "hooks": [],
        "state": "failed",
        "error": "ImportError: no x",
    }
    daemon.on("plugins.list", {"plugins": [good, bad]})
    done = beast("plugins")
    assert "ImportError: no x" in done.out
    assert beast("plugins", "--json").json["plugins"] == [good, bad]
