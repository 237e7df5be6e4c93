"""The methods of the socket on a real daemon: models, requests, figures, settings, and what each refuses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from beastmode.core.clock import rfc3339
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
    with Daemon("upstream.breaker_failures = 1\nupstream.max_attempts = 1\n") as daemon:
        yield daemon


def fails(daemon: Daemon, method: str, params: dict[str, Any]) -> BeastError:
    with pytest.raises(BeastError) as caught:
        daemon.call(method, params)
    return caught.value


def listed(daemon: Daemon) -> dict[str, dict[str, Any]]:
    return {model["id"]: model for model in daemon.call("models.list")["models"]}


def deployment(daemon: Daemon, model: str) -> dict[str, Any]:
    found: dict[str, Any] = listed(daemon)[model]["deployments"][0]
    return found


class TestModels:
    def test_an_endpoint_is_tested_before_it_is_registered(self, daemon: Daemon, upstream: ProviderServer) -> None:
        params = {"id": "custom:tested", "base_url": f"{upstream.url}/v1", "upstream_model": "ok", "key": KEY}
        added = daemon.call("models.add", params)
        assert added["test"]["ok"]
        assert [step["ok"] for step in added["test"]["steps"]] == [True] * len(added["test"]["steps"])
        assert added["test"]["latency_ms"] > 0
        assert listed(daemon)["custom:tested"]["kind"] == "custom"
        assert deployment(daemon, "custom:tested")["has_key"]

    def test_an_endpoint_that_fails_is_not_registered_and_what_failed_is_said(self, daemon: Daemon) -> None:
        params = {"id": "custom:bad", "base_url": "http://127.0.0.1:9/v1", "upstream_model": "ok", "key": KEY}
        error = fails(daemon, "models.add", params)
        assert error.details["test"]["ok"] is False
        assert any(not step["ok"] for step in error.details["test"]["steps"])
        assert error.tips and "custom:bad" not in listed(daemon)
        assert KEY not in f"{error.message} {error.data()}"

    def test_a_registered_model_is_tested_again_each_deployment_by_itself(
        self, daemon: Daemon, upstream: ProviderServer
    ) -> None:
        daemon.add("custom:twice", f"{upstream.url}/v1", upstream_model="ok")
        daemon.add("custom:twice", "http://127.0.0.1:9/v1", upstream_model="ok", another=True)
        verdict = daemon.call("models.test", {"id": "custom:twice"})
        assert [one["ok"] for one in verdict["deployments"]] == [True, False]
        assert (verdict["ok"], verdict["kind"]) == (False, "connection_refused")
        assert "127.0.0.1:9" in verdict["message"] and verdict["tips"]

    def test_a_model_that_was_removed_is_gone_with_its_key(self, daemon: Daemon, upstream: ProviderServer) -> None:
        daemon.add("custom:brief", f"{upstream.url}/v1", upstream_model="ok", key=KEY)
        removed = daemon.call("models.remove", {"id": "custom:brief"})
        assert (removed["removed"], removed["id"]) == (True, "custom:brief")
        assert "custom:brief" not in listed(daemon)
        for method in ("models.remove", "models.test"):
            assert "custom:brief" in fails(daemon, method, {"id": "custom:brief"}).message
        daemon.add("custom:brief", f"{upstream.url}/v1", upstream_model="ok")
        assert not deployment(daemon, "custom:brief")["has_key"]

    def test_a_model_registered_anew_elsewhere_does_not_take_its_key_along(
        self, daemon: Daemon, upstream: ProviderServer
    ) -> None:
        daemon.add("custom:moved", f"{upstream.url}/v1", upstream_model="ok", key=KEY)
        daemon.add("custom:moved", f"{upstream.url}/v2", upstream_model="ok")
        daemon.call("chat", {"message": "Whose key?", "model": "custom:moved", "cache": "off"})
        assert "authorization" not in upstream.requests[-1].headers

    def test_the_state_of_each_model_is_shown_with_its_cause(self, daemon: Daemon, upstream: ProviderServer) -> None:
        daemon.add("custom:fine", f"{upstream.url}/v1", upstream_model="ok", price={"prompt": 1.5, "completion": 2.5})
        daemon.add("custom:ill", f"{upstream.url}/v1", upstream_model="e500")
        daemon.add("openai:keyless")
        fails(daemon, "chat", {"message": "How are you?", "model": "custom:ill"})
        fine, ill, keyless = (deployment(daemon, name) for name in ("custom:fine", "custom:ill", "openai:keyless"))
        assert (fine["state"], fine["cause"]) == ("ready", None)
        assert (fine["price"]["prompt"], fine["price"]["completion"]) == (1.5, 2.5)
        assert (ill["state"], "500" in ill["cause"]) == ("cooling", True)
        assert (keyless["state"], "--key-stdin" in keyless["cause"]) == ("no_key", True)
        assert listed(daemon)["openai:keyless"]["kind"] == "provider"
        daemon.call("models.add", {"id": "custom:ill", "base_url": f"{upstream.url}/v1", "upstream_model": "ok"})
        assert deployment(daemon, "custom:ill")["state"] == "ready"

    def test_a_model_whose_plugin_is_not_loaded_says_so(self, upstream: ProviderServer) -> None:
        with Daemon() as daemon:
            daemon.add("anthropic:claude", f"{upstream.url}", key=KEY)
            daemon.stop()
            (daemon.home / "config.toml").write_text("plugins.disabled = ['anthropic', 'local_model']\n")
            daemon.start()
            found = deployment(daemon, "anthropic:claude")
            assert (found["state"], "anthropic" in found["cause"]) == ("no_plugin", True)
            error = fails(daemon, "models.test", {"id": "anthropic:claude"})
            assert (error.kind, error.tips) == ("bad_input", ["beast plugins"])
            states = {one["name"]: one["state"] for one in daemon.call("plugins.list")["plugins"]}
            assert states["anthropic"] == "disabled"
            assert "local_model is not loaded" in fails(daemon, "models.fetch", {"name": "smollm2"}).tips[0]

    def test_weights_that_nobody_knows_are_named_beside_those_that_are_known(self, daemon: Daemon) -> None:
        error = fails(daemon, "models.fetch", {"name": "gpt-12"})
        assert "gpt-12" in error.message and "smollm2" in error.tips[0]
        assert {"smollm2", "qwen-coder", "minilm"} <= {one["name"] for one in daemon.call("models.list")["available"]}

    def test_looking_for_servers_gives_a_list(self, daemon: Daemon) -> None:
        assert isinstance(daemon.call("models.discover")["servers"], list)


class TestRequests:
    def test_rows_are_listed_by_time_model_outcome_and_origin(self, daemon: Daemon, upstream: ProviderServer) -> None:
        daemon.add("custom:listed", f"{upstream.url}/v1", upstream_model="ok")
        daemon.call("chat", {"message": "Before", "model": "custom:listed"})
        time.sleep(1.1)
        since = rfc3339(time.time())
        daemon.call("chat", {"message": "After", "model": "custom:listed"})
        fails(daemon, "chat", {"message": "Nowhere", "model": "custom:unknown"})
        assert len(daemon.rows(model="custom:listed")) == 2
        assert [row["model"] for row in daemon.rows(since=since)] == ["custom:unknown", "custom:listed"]
        assert {row["outcome"] for row in daemon.rows(outcome="failure")} == {"failure"}
        assert len(daemon.rows(origin="all")) >= len(daemon.rows())
        assert len(daemon.call("requests.list", {"limit": 1})["requests"]) == 1
        assert daemon.rows(origin="warming") == []

    def test_a_time_that_is_none_is_refused_with_an_example(self, daemon: Daemon) -> None:
        error = fails(daemon, "requests.list", {"since": "yesterday"})
        assert "yesterday" in error.message and "2026-11-20T09:00:00Z" in error.tips[0]

    def test_a_request_that_is_not_there_is_said_so(self, daemon: Daemon) -> None:
        assert fails(daemon, "requests.get", {"request_id": "req_none"}).kind == "not_found"

    def test_errors_are_grouped_with_a_tip(self, daemon: Daemon) -> None:
        for number in range(2):
            fails(daemon, "chat", {"message": f"Nobody {number}", "model": "custom:nobody"})
        found = next(one for one in daemon.call("errors.recent")["errors"] if one["model"] == "custom:nobody")
        assert found["count"] == 2 and found["tip"]

    def test_figures_hold_health_and_count_what_was_asked(self, daemon: Daemon, upstream: ProviderServer) -> None:
        daemon.add("custom:counted", f"{upstream.url}/v1", upstream_model="ok")
        before = daemon.call("metrics.get", {"window": "1h"})["requests"]["total"]
        daemon.call("chat", {"message": "Count", "model": "custom:counted"})
        figures = daemon.call("metrics.get", {"window": "1h"})
        assert figures["requests"]["total"] == before + 1
        assert figures["health"]["status"] in ("healthy", "degraded", "unhealthy")
        assert daemon.call("metrics.get", {"window": "1h", "origin": "warming"})["requests"]["total"] == 0


class TestChat:
    @pytest.mark.parametrize(
        ("params", "said"),
        [
            ({}, "either `message` or `messages`"),
            ({"message": "a", "messages": [{"role": "user", "content": "b"}]}, "either `message` or `messages`"),
            ({"messages": []}, "empty"),
            ({"messages": [{"role": "user", "content": "b"}], "session_id": "s"}, "keeps the conversation itself"),
            ({"message": "a", "files": ["b.py"]}, "inside a workspace"),
        ],
    )
    def test_what_makes_no_sense_is_refused_with_a_tip(self, daemon: Daemon, params: dict[str, Any], said: str) -> None:
        error = fails(daemon, "chat", params)
        assert (error.kind, said in error.message) == ("bad_input", True)
        assert error.tips

    def test_a_conversation_is_sent_as_it_is_with_its_parameters(
        self, daemon: Daemon, upstream: ProviderServer
    ) -> None:
        daemon.add("custom:talk", f"{upstream.url}/v1", upstream_model="ok")
        messages = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "One"},
            {"role": "assistant", "content": "1"},
            {"role": "user", "content": "Two"},
        ]
        daemon.call(
            "chat", {"messages": messages, "model": "custom:talk", "temperature": 0.25, "max_tokens": 9, "top_p": 0.5}
        )
        sent = upstream.requests[-1].body
        assert [(one["role"], one["content"]) for one in sent["messages"]] == [
            (one["role"], one["content"]) for one in messages
        ]
        assert (sent["temperature"], sent["max_tokens"], sent["top_p"]) == (0.25, 9, 0.5)

    def test_a_changed_document_is_another_question(self, daemon: Daemon, upstream: ProviderServer) -> None:
        daemon.add("custom:reader", f"{upstream.url}/v1", upstream_model="ok")

        def ask(text: str) -> str:
            document = {"path": "a.py", "text": text, "version": 1}
            answer = daemon.call("chat", {"message": "Explain", "model": "custom:reader", "documents": [document]})
            return str(answer["cache"]["result"])

        assert [ask(text) == "hit_exact" for text in ("x = 1", "x = 1", "x = 2")] == [False, True, False]
        assert "x = 2" in upstream.requests[-1].body["messages"][0]["content"]

    def test_a_stored_answer_streams_in_one_piece(self, daemon: Daemon, upstream: ProviderServer) -> None:
        daemon.add("custom:replay", f"{upstream.url}/v1", upstream_model="ok")
        pieces: list[str] = []
        with daemon.client() as client:
            client.chat("Replay", model="custom:replay")
            client.chat("Replay", model="custom:replay", on_delta=pieces.append)
        assert pieces == ["You said: Replay"]

    def test_without_a_model_the_default_of_the_settings_is_asked(self, upstream: ProviderServer) -> None:
        with Daemon("routing.default_model = 'custom:mine'\n") as daemon:
            daemon.add("custom:other", f"{upstream.url}/v1", upstream_model="ok")
            daemon.add("custom:mine", f"{upstream.url}/v1", upstream_model="ok")
            assert daemon.call("chat", {"message": "Who?"})["model"] == "custom:mine"


class TestDaemon:
    def test_the_status_says_how_everything_is(self, daemon: Daemon) -> None:
        status = daemon.call("status")
        assert status["pid"] == daemon.pid
        assert status["sockets"]["rpc"] == str(daemon.socket)
        assert status["models"]["total"] >= status["models"]["ready"]
        assert status["uptime_s"] > 0

    def test_settings_that_wait_for_a_restart_are_named(self) -> None:
        with Daemon() as daemon:
            (daemon.home / "config.toml").write_text("cache.l1.ttl_s = 60\nplugins.disabled = ['echo']\n")
            changed = daemon.call("config.reload")
            assert (sorted(changed["changed"]), sorted(changed["restart"])) == (
                ["cache", "plugins"],
                ["cache", "plugins"],
            )
            shown = daemon.call("config.get")
            assert (shown["settings"]["cache"]["l1"]["ttl_s"], shown["sources"]["cache.l1.ttl_s"]) == (60, "user")
            assert shown["file"] == str(daemon.home / "config.toml")

    def test_a_cache_that_is_switched_off_stores_and_finds_nothing(self, upstream: ProviderServer) -> None:
        with Daemon("cache.enabled = false\n") as daemon:
            daemon.add("custom:ok", f"{upstream.url}/v1", upstream_model="ok")
            results = {daemon.call("chat", {"message": "Off", "model": "custom:ok"})["cache"]["result"] for _ in "12"}
            assert results == {"bypass"}

    def test_a_shutdown_by_the_socket_ends_it(self) -> None:
        with Daemon() as daemon:
            assert daemon.call("shutdown")["stopping"]
            process = daemon.process
            assert process is not None
            until(lambda: process.poll() == 0, 20)
