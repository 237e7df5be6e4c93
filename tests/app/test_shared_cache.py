"""Two daemons share one Redis: what one was told serves the other in the same scope, and never in another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from beastmode.client import Client
from support.daemon import Daemon
from support.provider_server import ProviderServer
from support.redis_server import RedisServer, redis
from support.waiting import until

__all__ = ["redis"]  # a fixture


@pytest.fixture(scope="module")
def upstream() -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        yield server


class Pair:
    """Two daemons, each with its home, and one Redis."""

    def __init__(self, one: Daemon, other: Daemon) -> None:
        self.one = one
        self.other = other

    def stored(self, count: int) -> None:
        """Waits until the first has written so many answers."""
        until(lambda: self.one.call("cache.stats")["l3"]["stored"] >= count)


def settings(redis: RedisServer) -> str:
    return f'[cache.redis]\nurl = "{redis.url}"\n'


@pytest.fixture
def pair(redis: RedisServer, upstream: ProviderServer) -> Iterator[Pair]:
    with Daemon(settings(redis)) as one, Daemon(settings(redis)) as other:
        for daemon in (one, other):
            daemon.add("custom:ok", f"{upstream.url}/v1", upstream_model="ok")
            daemon.add("custom:two", f"{upstream.url}/v1", upstream_model="ok")
            until(lambda daemon=daemon: daemon.call("cache.stats")["l3"]["ready"])  # type: ignore[misc]  # a default
        yield Pair(one, other)


QUESTION: dict[str, Any] = {"message": "what is the answer?", "model": "custom:ok"}


def test_what_one_daemon_was_told_serves_the_other(pair: Pair) -> None:
    told = pair.one.call("chat", QUESTION)
    assert told["cache"]["result"] == "miss"
    pair.stored(1)
    served = pair.other.call("chat", QUESTION)
    assert (served["cache"]["result"], served["cache"]["tier"]) == ("hit_exact", "L3")
    assert (served["text"], served["cost_usd"]) == (told["text"], 0)
    assert pair.other.call("chat", QUESTION)["cache"]["tier"] == "L1"
    [second, first] = pair.other.rows(origin="person")
    assert [row["cache"]["tier"] for row in (first, second)] == ["L3", "L1"]
    deltas: list[str] = []
    with Client(pair.other.socket) as client:
        streamed = client.call(
            "chat", {**QUESTION, "stream": True}, on_progress=lambda value: deltas.append(str(value))
        )
    assert streamed["text"] == told["text"]
    assert deltas


def test_an_answer_never_crosses_a_scope(pair: Pair) -> None:
    variations: list[dict[str, Any]] = [
        {"user": "someone else"},
        {"model": "custom:two"},
        {"temperature": 0.7},
        {"max_tokens": 7},
        {"message": "what is the Answer?"},
        {
            "message": None,
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION["message"]}],
        },
    ]
    pair.one.call("chat", QUESTION)
    pair.one.call("cache.put", {"prompt": "p", "response": "r", "model": "m", "scope": "one"})
    pair.stored(2)
    for change in variations:
        asked = {name: value for name, value in {**QUESTION, **change}.items() if value is not None}
        assert pair.other.call("chat", asked)["cache"]["result"] in ("miss", "bypass"), change
    for scope in ("", "two", "One"):
        assert not pair.other.call("cache.lookup", {"prompt": "p", "model": "m", "scope": scope})["hit"]
    assert pair.other.call("cache.lookup", {"prompt": "p", "model": "m", "scope": "one"})["tier"] == "L3"


def test_a_server_that_freezes_or_goes_away_fails_no_request(pair: Pair, redis: RedisServer) -> None:
    redis.freeze()
    for number in range(30):
        answer = pair.other.call("chat", {"message": f"frozen {number}", "model": "custom:ok"})
        assert answer["cache"]["result"] == "miss"
    stats = pair.other.call("cache.stats")["l3"]
    assert not stats["ready"]
    assert stats["skipped"] > 0
    [issue] = [one for one in pair.other.call("health.get")["issues"] if one["part"] == "cache l3"]
    assert "off" in issue["cause"]
    redis.kill()
    assert pair.other.call("chat", {"message": "away", "model": "custom:ok"})["text"]
    redis.start()
    until(lambda: pair.other.call("cache.stats")["l3"]["ready"], 60.0)
    assert not [one for one in pair.other.call("health.get")["issues"] if one["part"] == "cache l3"]


def test_clearing_clears_what_is_shared(pair: Pair) -> None:
    pair.one.call("chat", QUESTION)
    pair.stored(1)
    pair.one.call("cache.clear")
    until(lambda: pair.one.call("cache.stats")["l3"]["waiting"] == 0)
    assert pair.other.call("chat", QUESTION)["cache"]["result"] == "miss"


def test_a_daemon_whose_redis_is_not_there_starts_and_says_so(upstream: ProviderServer) -> None:
    with Daemon('cache.redis.url = "redis://:hush-hush@127.0.0.1:9/0"\n') as daemon:
        daemon.add("custom:ok", f"{upstream.url}/v1", upstream_model="ok")
        assert daemon.call("chat", QUESTION)["text"]
        [issue] = [one for one in daemon.call("health.get")["issues"] if one["part"] == "cache l3"]
        assert "127.0.0.1:9" in issue["cause"]
        assert daemon.call("config.get")["settings"]["cache"]["redis"]["url"] == "redis://***@127.0.0.1:9/0"
        daemon.stop()
        for file in daemon.home.rglob("*"):
            assert file.name == "config.toml" or not file.is_file() or b"hush-hush" not in file.read_bytes(), file


def test_a_url_that_is_wrong_is_named_and_the_rest_works(upstream: ProviderServer) -> None:
    with Daemon('cache.redis.url = "http://:hush-hush@localhost"\n') as daemon:
        daemon.add("custom:ok", f"{upstream.url}/v1", upstream_model="ok")
        assert daemon.call("chat", QUESTION)["text"]
        [issue] = [one for one in daemon.call("health.get")["issues"] if one["part"] == "plugins"]
        assert "cache.redis.url" in issue["cause"]
        assert "hush" not in str(daemon.call("health.get")) + str(daemon.call("plugins.list"))
        assert "l3" not in daemon.call("cache.stats")


def test_a_reload_says_that_another_server_needs_a_restart(redis: RedisServer) -> None:
    with Daemon(settings(redis)) as daemon:
        (daemon.home / "config.toml").write_text('[cache.redis]\nurl = ""\n')
        assert daemon.call("config.reload")["restart"] == ["cache"]
