"""The socket speaks JSON-RPC 2.0, survives whatever is sent to it, and serves everyone else on."""

from __future__ import annotations

import json
import socket
import stat
import subprocess
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.daemon import Daemon, rpc
from support.provider_server import ProviderServer
from support.waiting import until


@pytest.fixture(scope="module")
def upstream() -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        yield server


@pytest.fixture(scope="module")
def daemon(upstream: ProviderServer) -> Iterator[Daemon]:
    with Daemon() as daemon:
        for name in ("ok", "stream-slow", "hang", "drip"):
            daemon.add(f"custom:{name}", f"{upstream.url}/v1", upstream_model=name)
        yield daemon


def answers_everyone_else(daemon: Daemon) -> bool:
    return bool(daemon.call("ping")["pid"] == daemon.pid)


@pytest.mark.parametrize("id", [b"7", b'"a\\u0062"', b"null", b"1.50", b"-3"])
def test_an_id_comes_back_as_it_was_written(daemon: Daemon, id: bytes) -> None:
    with daemon.raw() as wire:
        wire.socket.sendall(b'{"jsonrpc":"2.0","method":"ping","id":' + id + b"}\n")
        assert wire.socket.recv(1000).startswith(b'{"jsonrpc":"2.0","id":' + id + b",")


@pytest.mark.parametrize(
    ("line", "code", "id"),
    [
        (b"no json\n", -32700, None),
        (b'{"jsonrpc":"2.0","method":"ping","id":1\n', -32700, None),
        (b'{"jsonrpc":"2.0","method":"chat","params":{"message":NaN},"id":1}\n', -32700, None),
        (b'{"jsonrpc":"2.0","method":"chat","params":{"message":"\\ud800"},"id":1}\n', -32700, None),
        (b'{"jsonrpc":"2.0","method":"chat","params":{"message":"\xff"},"id":1}\n', -32700, 1),
        (b"[" * 1_000_000 + b"\n", -32700, None),
        (b'{"jsonrpc":"2.0","id":1,"method":"chat","params":' + b"[" * 1_000_000 + b"\n", -32700, None),
        (b"[]\n", -32600, None),
        (b"5\n", -32600, None),
        (b'{"jsonrpc":"2.0","method":1,"id":"x"}\n', -32600, "x"),
        (b'{"method":"ping","id":2}\n', -32600, 2),
        (b'{"jsonrpc":"1.0","method":"ping","id":3}\n', -32600, 3),
        (b'{"jsonrpc":"2.0","method":"ping","params":4,"id":4}\n', -32600, 4),
        (b'{"jsonrpc":"2.0","method":"ping","id":{}}\n', -32600, None),
        (b'{"jsonrpc":"2.0","method":"no.such","id":5}\n', -32601, 5),
        (b'{"jsonrpc":"2.0","method":"experiment.create","id":5}\n', -32601, 5),
        (b'{"jsonrpc":"2.0","method":"chat","params":{"message":7},"id":6}\n', -32602, 6),
        (b'{"jsonrpc":"2.0","method":"chat","params":[],"id":6}\n', -32602, 6),
        (b'{"jsonrpc":"2.0","method":"chat","params":{},"id":6}\n', -32602, 6),
        (b'{"jsonrpc":"2.0","method":"chat","params":{"message":"a","api_base":"http://x"},"id":6}\n', -32602, 6),
    ],
    ids=lambda value: value[:60].decode("latin1") if isinstance(value, bytes) else None,
)
def test_bad_input_gets_the_standard_error(daemon: Daemon, line: bytes, code: int, id: object) -> None:
    with daemon.raw() as wire:
        reply = wire.send(line).line()
    assert (reply["error"]["code"], reply["id"]) == (code, id)
    assert isinstance(reply["error"]["data"]["tip"], list)
    assert answers_everyone_else(daemon)


def test_an_unknown_field_is_named(daemon: Daemon) -> None:
    with daemon.raw() as wire:
        reply = wire.send(rpc("chat", {"message": "a", "modle": "b"})).line()
    assert "modle" in reply["error"]["message"]


def test_an_unknown_method_names_the_nearest(daemon: Daemon) -> None:
    with daemon.raw() as wire:
        assert "ping" in wire.send(rpc("pingg")).line()["error"]["data"]["tip"][0]


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_beyond_16_mib_is_refused_and_its_connection_closed(daemon: Daemon, end: bytes) -> None:
    with daemon.raw() as wire:
        chunk = b"x" * (1 << 20)
        for _ in range(24):
            wire.socket.sendall(chunk)
        wire.socket.sendall(end)
        assert [line["error"]["code"] for line in wire.lines()] == [-32600]
    assert answers_everyone_else(daemon)


def test_a_client_that_sends_without_end_is_cut_off_after_a_moment(daemon: Daemon) -> None:
    with daemon.raw() as wire:
        chunk = b"x" * (1 << 20)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while True:
                wire.socket.sendall(chunk)
    assert answers_everyone_else(daemon)


def test_what_stands_before_a_line_that_is_too_long_is_answered(daemon: Daemon) -> None:
    with daemon.raw() as wire:
        wire.send(rpc("ping", id="before"), b"x" * (17 << 20) + b"\n", rpc("ping", id="after"))
        assert [line["id"] for line in wire.lines()] == ["before", None]


def test_a_16_mib_line_that_ends_is_an_ordinary_request(daemon: Daemon) -> None:
    with daemon.raw() as wire:
        reply = wire.send(rpc("chat", {"message": "x" * (15 << 20), "model": "custom:none"})).line()
    assert reply["error"]["code"] == -32011


def test_a_batch_is_answered_as_one_array_without_its_notifications(daemon: Daemon) -> None:
    batch = [rpc("ping", id=1), {"jsonrpc": "2.0", "method": "ping"}, 5, rpc("no.such", id=2)]
    with daemon.raw() as wire:
        replies = wire.send(batch).line()
    by_id = {reply["id"]: reply for reply in replies}
    assert set(by_id) == {1, 2, None}
    assert by_id[1]["result"]["pid"] == daemon.pid
    assert by_id[2]["error"]["code"] == -32601
    assert by_id[None]["error"]["code"] == -32600


def test_a_batch_of_notifications_is_not_answered(daemon: Daemon) -> None:
    with daemon.raw() as wire:
        wire.send([{"jsonrpc": "2.0", "method": "ping"}], rpc("ping", id="after"))
        assert wire.line()["id"] == "after"


def test_a_batch_may_not_be_endless(daemon: Daemon) -> None:
    with daemon.raw() as wire:
        assert wire.send([rpc("ping")] * 1001).line()["error"]["code"] == -32600


def test_blank_lines_are_nothing(daemon: Daemon) -> None:
    with daemon.raw() as wire:
        assert wire.send(b"\n \n\r\n", rpc("ping", id=9)).line()["id"] == 9


def test_a_request_cut_into_bytes_is_still_one_request(daemon: Daemon) -> None:
    with daemon.raw() as wire:
        for byte in json.dumps(rpc("ping", id=3)).encode() + b"\n":
            wire.socket.sendall(bytes([byte]))
        assert wire.line()["id"] == 3


@given(st.lists(st.binary(max_size=60), max_size=8))
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_no_bytes_bring_it_down(daemon: Daemon, pieces: list[bytes]) -> None:
    with daemon.raw() as wire:
        wire.send(*[piece.replace(b"\n", b"") + b"\n" for piece in pieces], b"\n", rpc("ping", id="last"))
        while wire.line().get("id") != "last":
            pass


def test_a_stream_comes_as_progress_and_the_result_holds_all_of_it(daemon: Daemon) -> None:
    with daemon.raw() as wire:
        wire.send(rpc("chat", {"message": "Tell me", "model": "custom:stream-slow", "stream": True}, id="s"))
        deltas = []
        while "result" not in (line := wire.line()):
            assert line["method"] == "$/progress" and line["params"]["token"] == "s"
            deltas.append(line["params"]["value"]["delta"])
    assert len(deltas) > 1
    assert "".join(deltas) == line["result"]["text"]
    assert line["result"]["ttft_ms"] < line["result"]["latency_ms"]


def test_cancelling_stops_the_upstream_call(daemon: Daemon, upstream: ProviderServer) -> None:
    with daemon.raw() as wire:
        wire.send(rpc("chat", {"message": "Never", "model": "custom:hang", "cache": "off"}, id="c"))
        until(lambda: upstream.stats()["active"] == 1)
        wire.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": "c"}})
        reply = wire.line()
    assert (reply["id"], reply["error"]["code"]) == ("c", -32800)
    until(lambda: upstream.stats()["active"] == 0)


def test_nothing_comes_after_a_cancellation(daemon: Daemon) -> None:
    with daemon.raw() as wire:
        wire.send(rpc("chat", {"message": "Slow", "model": "custom:stream-slow", "stream": True, "cache": "off"}, id=1))
        wire.line()
        wire.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 1}})
        while (line := wire.line()).get("method") == "$/progress":
            pass
        assert line["error"]["code"] == -32800
        assert wire.send(rpc("ping", id=2)).line()["id"] == 2


def test_a_client_cancels_only_its_own_requests(daemon: Daemon) -> None:
    with daemon.raw() as mine, daemon.raw() as other:
        mine.send(rpc("chat", {"message": "Mine", "model": "custom:stream-slow"}, id="same"))
        other.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": "same"}}, rpc("ping"))
        assert other.line()["result"]
        assert "result" in mine.line()


@pytest.mark.parametrize("params", [{}, {"id": "unknown"}, {"id": []}, {"id": None}])
def test_a_cancellation_of_nothing_is_no_error(daemon: Daemon, params: dict[str, object]) -> None:
    with daemon.raw() as wire:
        wire.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": params}, rpc("ping", id=1))
        assert wire.line()["id"] == 1


def test_an_id_that_is_still_being_answered_is_refused(daemon: Daemon) -> None:
    ask = rpc("chat", {"message": "Twice", "model": "custom:hang", "cache": "off"}, id="twice")
    with daemon.raw() as wire:
        assert "still being answered" in wire.send(ask, ask).line()["error"]["message"]


def test_an_id_is_free_again_once_it_is_answered(daemon: Daemon) -> None:
    with daemon.raw() as wire:
        for number in range(200):
            ask = rpc("chat", {"message": f"Question {number}", "model": "custom:ok"}, id="again")
            assert "result" in wire.send(ask).line()


def test_a_client_that_vanishes_stops_the_upstream_call(daemon: Daemon, upstream: ProviderServer) -> None:
    wire = daemon.raw().send(rpc("chat", {"message": "Bye", "model": "custom:hang", "cache": "off"}))
    until(lambda: upstream.stats()["active"] == 1)
    wire.__exit__()
    until(lambda: upstream.stats()["active"] == 0)
    until(lambda: daemon.rows(model="custom:hang")[0]["error_kind"] == "client_gone")


def test_a_client_that_closed_its_sending_half_still_gets_its_answer(daemon: Daemon) -> None:
    with daemon.raw() as wire:
        wire.send(rpc("chat", {"message": "Half", "model": "custom:stream-slow"}, id="half"))
        wire.socket.shutdown(socket.SHUT_WR)
        assert [line["id"] for line in wire.lines()] == ["half"]


def test_a_half_closed_client_that_then_vanishes_is_noticed(daemon: Daemon, upstream: ProviderServer) -> None:
    wire = daemon.raw().send(rpc("chat", {"message": "Gone", "model": "custom:hang", "cache": "off"}))
    until(lambda: upstream.stats()["active"] == 1)
    wire.socket.shutdown(socket.SHUT_WR)
    time.sleep(0.1)
    assert upstream.stats()["active"] == 1
    wire.__exit__()
    until(lambda: upstream.stats()["active"] == 0)


def test_a_client_that_never_reads_costs_bounded_memory_and_delays_nobody(daemon: Daemon) -> None:
    before = memory_mb(daemon.pid)
    with daemon.raw() as deaf:
        deaf.socket.settimeout(1)
        flood = json.dumps(rpc("rpc.discover")).encode() + b"\n"
        with pytest.raises(TimeoutError):
            for _ in range(20_000):
                deaf.socket.sendall(flood * 50)
        assert answers_everyone_else(daemon)
        assert memory_mb(daemon.pid) - before < 100


def test_many_unfinished_lines_cost_bounded_memory(daemon: Daemon) -> None:
    before = memory_mb(daemon.pid)
    wires = [daemon.raw() for _ in range(40)]
    for wire in wires:
        try:
            wire.socket.sendall(b"x" * (15 << 20))
        except (BrokenPipeError, ConnectionResetError):
            continue
    assert answers_everyone_else(daemon)
    assert memory_mb(daemon.pid) - before < 600
    for wire in wires:
        wire.__exit__()


def test_a_flood_of_lines_lets_others_through(daemon: Daemon) -> None:
    with daemon.raw() as flooding:
        flooding.socket.sendall((json.dumps(rpc("ping")).encode() + b"\n") * 2000)
        assert answers_everyone_else(daemon)
        assert sum(1 for _ in zip(range(2000), flooding.lines(), strict=False)) == 2000


def test_the_socket_is_private(daemon: Daemon) -> None:
    assert stat.S_IMODE(daemon.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(daemon.socket.parent.stat().st_mode) == 0o700


def test_discover_describes_every_method(daemon: Daemon) -> None:
    document = daemon.call("rpc.discover")
    names = {method["name"] for method in document["methods"]}
    assert {"chat", "ping", "status", "models.add", "requests.list", "metrics.get", "cache.lookup"} <= names
    chat = next(method for method in document["methods"] if method["name"] == "chat")
    assert {"message", "model", "stream", "cache"} <= {param["name"] for param in chat["params"]}
    assert all(method["summary"] for method in document["methods"])
    text = json.dumps(document)
    for reference in set(text.split('"#/components/schemas/')[1:]):
        assert reference.split('"')[0] in document["components"]["schemas"]


def memory_mb(pid: int) -> float:
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=True, text=True).stdout
    return int(shown) / 1024
