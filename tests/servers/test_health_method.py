"""`health.get` on a real daemon: its models and parts, and probes that end in time whatever an endpoint does."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from beastmode.core.errors import BeastError
from support.daemon import Daemon
from support.provider_server import ProviderServer

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
Endpoint = Callable[[socket.socket], None]


def silent(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def dripping(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(HEAD)
    while True:
        connection.sendall(b" ")
        time.sleep(0.5)


def babbling(connection: socket.socket) -> None:
    connection.recv(4096)
    while True:
        connection.sendall(b"x" * 65536)


def hanging_up(connection: socket.socket) -> None:
    connection.recv(4096)


@contextlib.contextmanager
def endpoint(behave: Endpoint) -> Iterator[str]:
    """An endpoint that behaves as told to whoever connects."""
    listening = socket.create_server(("127.0.0.1", 0))

    def talk(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            behave(connection)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=talk, args=(listening.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    with listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"


@pytest.fixture(scope="module")
def upstream() -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        yield server


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    with Daemon() as daemon:
        yield daemon


def test_a_fresh_daemon_is_healthy_and_says_that_it_knows_little(daemon: Daemon) -> None:
    found = daemon.call("health.get")
    assert found["status"] == "healthy"
    assert found["why"] == "No request in the last 5 minutes: too few to tell."
    assert found["issues"] == []
    assert found["requests"] == {
        "window_s": 300.0,
        "min_requests": 5,
        "success": 0,
        "failure": 0,
        "latency_s": None,
    }
    assert {"ledger", "disk", "event loop", "cache on disk", "plugins", "http", "keys"} <= set(found["parts"])
    assert set(found["parts"].values()) == {"ok"}
    assert found["disks"]["state"]["free_bytes"] > 0
    assert "probes" not in found


def test_requests_that_fail_are_told_by_model(upstream: ProviderServer) -> None:
    with Daemon("[upstream]\nmax_attempts = 1\nbreaker_failures = 100\n[cache]\nenabled = false\n") as daemon:
        daemon.add("custom:good", f"{upstream.url}/v1", upstream_model="ok")
        daemon.add("custom:bad", f"{upstream.url}/v1", upstream_model="e500")
        for number in range(6):
            daemon.call("chat", {"message": f"question {number}", "model": "custom:good"})
        for number in range(5):
            with pytest.raises(BeastError):
                daemon.call("chat", {"message": f"question {number}", "model": "custom:bad"})
        found = daemon.call("health.get")
        assert found["status"] == "unhealthy"
        assert (found["requests"]["success"], found["requests"]["failure"]) == (6, 5)
        assert found["models"]["custom:good"]["status"] == "healthy"
        assert found["models"]["custom:bad"]["status"] == "unhealthy"
        assert found["models"]["custom:bad"]["failure"] == 5
        (issue,) = found["issues"]
        assert issue["part"] == "requests"
        assert issue["cause"].endswith("It is custom:bad.")


def test_the_thresholds_are_settings_and_are_read_anew(daemon: Daemon, upstream: ProviderServer) -> None:
    daemon.add("custom:bad", f"{upstream.url}/v1", upstream_model="e500")
    with pytest.raises(BeastError):
        daemon.call("chat", {"message": "hello", "model": "custom:bad"})
    assert daemon.call("health.get")["status"] == "healthy"
    (daemon.home / "config.toml").write_text("[health]\nmin_requests = 1\nwindow_s = 60\n")
    daemon.call("config.reload")
    found = daemon.call("health.get")
    assert found["status"] == "unhealthy"
    assert "in the last minute" in found["why"]


def test_probes_ask_every_endpoint_side_by_side_and_end_in_five_seconds(
    daemon: Daemon, upstream: ProviderServer
) -> None:
    with contextlib.ExitStack() as stack:
        urls = {one.__name__: stack.enter_context(endpoint(one)) for one in (silent, dripping, babbling, hanging_up)}
        for name, url in urls.items():
            daemon.add(f"custom:{name}", url)
        with socket.create_server(("127.0.0.1", 0)) as freed:
            refused = freed.getsockname()[1]
        daemon.add("custom:refused", f"http://127.0.0.1:{refused}/v1")
        daemon.add("custom:good", f"{upstream.url}/v1", upstream_model="ok")
        began = time.monotonic()
        found = daemon.call("health.get", {"probe": True})
        took_s = time.monotonic() - began
    assert took_s < 5.5  # five, and a loaded machine
    verdicts = {one["model"].partition(":")[2]: one["ok"] for one in found["probes"]}
    assert verdicts == {**dict.fromkeys(urls, False), "refused": False, "good": True}
    assert found["status"] == "degraded"
    assert {issue["part"] for issue in found["issues"]} == {f"model custom:{name}" for name in [*urls, "refused"]}
    assert all(issue["cause"] and issue["tip"] for issue in found["issues"])


def test_a_probe_of_an_endpoint_that_lists_its_models_costs_no_token(daemon: Daemon, upstream: ProviderServer) -> None:
    listed = "ok"
    daemon.add("custom:good", f"{upstream.url}/v1", upstream_model=listed, key="sk-test-0123456789")
    upstream.reset()
    assert daemon.call("health.get", {"probe": True})["probes"][0]["ok"]
    assert {seen.path for seen in upstream.requests} == {"/v1/models"}


def test_where_no_endpoint_answers_the_daemon_is_unhealthy(daemon: Daemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as freed:
        port = freed.getsockname()[1]
    daemon.add("custom:gone", f"http://127.0.0.1:{port}/v1")
    found = daemon.call("health.get", {"probe": True})
    assert found["status"] == "unhealthy"
    assert str(port) in found["issues"][0]["cause"]


@pytest.mark.parametrize("behave", [silent, dripping], ids=lambda one: one.__name__)
def test_models_test_ends_in_five_seconds_whatever_the_endpoint_does(daemon: Daemon, behave: Endpoint) -> None:
    with endpoint(behave) as url:
        daemon.add("custom:slow", url)
        began = time.monotonic()
        found = daemon.call("models.test", {"id": "custom:slow"})
        took_s = time.monotonic() - began
    assert took_s < 5.5
    assert not found["ok"]
    assert found["kind"] == "timeout"
    assert found["tips"]


def test_a_probe_leaves_no_row_among_the_requests_of_persons(daemon: Daemon, upstream: ProviderServer) -> None:
    daemon.add("custom:good", f"{upstream.url}/v1", upstream_model="ok")
    daemon.call("health.get", {"probe": True})
    assert daemon.rows() == []
    assert daemon.call("health.get")["requests"]["success"] == 0


def test_a_probe_that_asks_for_a_token_leaves_a_row_of_its_own_with_its_cost(
    daemon: Daemon, upstream: ProviderServer
) -> None:
    daemon.add("custom:e", f"{upstream.url}/no-list/404", upstream_model="ok", price={"prompt": 1.5, "completion": 2.5})
    assert daemon.call("health.get", {"probe": True})["probes"][0]["ok"]
    (row,) = daemon.rows(origin="all")
    assert (row["origin"], row["outcome"], row["model"], row["client"]) == ("probe", "success", "custom:e", "daemon")
    assert row["cost_usd"] > 0
    assert daemon.call("metrics.get", {"window": "1h"})["requests"]["total"] == 0
    assert daemon.call("metrics.get", {"window": "1h"})["costs"]["total_usd"] == row["cost_usd"]
