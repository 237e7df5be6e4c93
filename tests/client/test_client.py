"""The client for plain programs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from beastmode.client import Client
from beastmode.core.errors import (
    AccessError,
    BadInputError,
    DaemonNotRunningError,
    InternalError,
    RefusedConnectionError,
    UpstreamTimeoutError,
)
from support.fake_daemon import Call, FakeDaemon
from support.waiting import until


@pytest.fixture
def daemon() -> Iterator[FakeDaemon]:
    with FakeDaemon() as running:
        yield running


@pytest.fixture
def client(daemon: FakeDaemon) -> Iterator[Client]:
    with Client(daemon.socket_path) as connected:
        yield connected


def stream(*pieces: str) -> Callable[[dict[str, Any], Call], dict[str, Any]]:
    def chat(params: dict[str, Any], call: Call) -> dict[str, Any]:
        for piece in pieces:
            call.progress({"delta": piece})
        return {"text": "".join(pieces), "model": params.get("model", "auto")}

    return chat


def hang(params: dict[str, Any], call: Call) -> None:
    call.progress({"delta": "wait"})
    call.cancelled.wait(20)


def test_a_call_brings_the_result(client: Client) -> None:
    assert client.call("ping") == {"pid": 4711}


def test_the_socket_is_found_through_the_environment(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEAST_HOME", str(daemon.home))
    with Client() as client:
        assert client.call("ping") == {"pid": 4711}


def test_an_error_comes_back_as_the_error_it_was_in_the_daemon(daemon: FakeDaemon, client: Client) -> None:
    def refuse(params: dict[str, Any], call: Call) -> None:
        raise RefusedConnectionError(
            "Nobody listens on 127.0.0.1:9.", tips=["ollama serve"], model="custom:x", details={"test": {"ok": False}}
        )

    daemon.on("chat", refuse)
    with pytest.raises(RefusedConnectionError, match=r"127\.0\.0\.1:9") as caught:
        client.chat("hello")
    assert caught.value.tips == ["ollama serve"]
    assert caught.value.model == "custom:x"
    assert caught.value.details == {"test": {"ok": False}}
    assert client.call("ping") == {"pid": 4711}


def test_deltas_arrive_in_order_before_the_result(daemon: FakeDaemon, client: Client) -> None:
    daemon.on("chat", stream("One ", "Two ", "Three"))
    pieces: list[str] = []
    answer = client.chat("count", model="custom:qwen", on_delta=pieces.append)
    assert pieces == ["One ", "Two ", "Three"]
    assert answer["text"] == "One Two Three"


def test_chat_sends_only_what_was_given(daemon: FakeDaemon, client: Client) -> None:
    daemon.on("chat", stream("x"))
    client.chat("hello", session_id="s1", tags=None, cache="refresh")
    client.chat([{"role": "user", "content": "hi"}], on_delta=lambda piece: None)
    assert daemon.requests("chat") == [
        {"message": "hello", "stream": False, "session_id": "s1", "cache": "refresh"},
        {"messages": [{"role": "user", "content": "hi"}], "stream": True},
    ]


def test_other_progress_values_reach_the_caller_of_call(daemon: FakeDaemon, client: Client) -> None:
    def fetch(params: dict[str, Any], call: Call) -> str:
        call.progress({"phase": "download", "done_bytes": 5, "total_bytes": 10})
        return "done"

    daemon.on("models.fetch", fetch)
    seen: list[Any] = []
    assert client.call("models.fetch", {"name": "x"}, seen.append) == "done"
    assert seen == [{"phase": "download", "done_bytes": 5, "total_bytes": 10}]


def test_a_timeout_cancels_the_call_and_the_client_goes_on(daemon: FakeDaemon, client: Client) -> None:
    daemon.on("chat", hang)
    with pytest.raises(UpstreamTimeoutError, match=r"within 0\.1 s"):
        client.chat("hello", timeout_s=0.1)
    until(lambda: daemon.cancelled == [1])
    assert client.call("ping") == {"pid": 4711}


def test_an_exception_out_of_a_callback_cancels_the_call(daemon: FakeDaemon, client: Client) -> None:
    daemon.on("chat", hang)

    def refuse(piece: str) -> None:
        raise LookupError(piece)

    with pytest.raises(LookupError, match="wait"):
        client.chat("hello", on_delta=refuse)
    until(lambda: daemon.cancelled == [1])


def test_ctrl_c_cancels_the_call(daemon: FakeDaemon, client: Client) -> None:
    daemon.on("chat", hang)
    with pytest.raises(KeyboardInterrupt):
        client.chat("hello", on_delta=lambda piece: os.kill(os.getpid(), signal.SIGINT))
    until(lambda: daemon.cancelled == [1])
    assert client.call("ping") == {"pid": 4711}


def test_a_batch_answers_in_the_order_of_the_calls_with_errors_in_place(daemon: FakeDaemon, client: Client) -> None:
    daemon.on("echo", lambda params, call: params)
    results = client.batch([("echo", {"n": 1}), ("nothing.here", None), ("echo", {"n": 2})])
    assert results[0] == {"n": 1}
    assert isinstance(results[1], BadInputError)
    assert results[2] == {"n": 2}
    assert client.batch([]) == []


def test_a_notification_waits_for_nothing(daemon: FakeDaemon, client: Client) -> None:
    client.notify("feedback.submit", {"good": True})
    until(lambda: daemon.requests("feedback.submit") == [{"good": True}])
    assert "id" not in daemon.received[0]


def test_nobody_listening_is_said_with_the_command_that_helps(tmp_path: Path) -> None:
    with pytest.raises(DaemonNotRunningError, match="not running") as caught:
        Client(tmp_path / "rpc.sock").call("ping")
    assert caught.value.tips == ["beast start"]


def test_a_stale_socket_file_is_nobody_listening() -> None:
    with tempfile.TemporaryDirectory(prefix="bm-") as folder:
        path = Path(folder) / "rpc.sock"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        with pytest.raises(DaemonNotRunningError):
            Client(path).call("ping")


def test_a_socket_of_another_user_is_said(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(link: socket.socket, path: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("beastmode.client.blocking.socket.socket.connect", refuse)
    with pytest.raises(AccessError, match="another user"):
        client.call("ping")


def test_a_daemon_that_hangs_up_is_said(daemon: FakeDaemon, client: Client) -> None:
    daemon.on("chat", lambda params, call: call.hang_up())
    with pytest.raises(DaemonNotRunningError, match="closed the connection"):
        client.chat("hello")


def test_a_client_survives_the_restart_of_its_daemon(daemon: FakeDaemon, client: Client) -> None:
    assert client.call("ping") == {"pid": 4711}
    daemon.stop()
    daemon.start()
    until(lambda: _answers(client))


def _answers(client: Client) -> bool:
    try:
        return bool(client.call("ping"))
    except DaemonNotRunningError:
        return False


def test_a_large_answer_arrives_whole(daemon: FakeDaemon, client: Client) -> None:
    daemon.on("chat", {"text": "é" * 3_000_000})
    assert len(client.chat("hello")["text"]) == 3_000_000


def test_a_reply_without_an_id_is_the_error_it_holds(daemon: FakeDaemon, client: Client) -> None:
    def refuse(params: dict[str, Any], call: Call) -> None:
        call.raw(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"The line is too long."}}\n')
        call.cancelled.wait(5)

    daemon.on("chat", refuse)
    with pytest.raises(BadInputError, match="too long"):
        client.chat("hello")


@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad Request\n", b"17\n", b"[1]\n", b"[" * 100_000 + b"\n"])
def test_someone_else_on_the_socket_is_named(daemon: FakeDaemon, client: Client, garbage: bytes) -> None:
    daemon.on("ping", lambda params, call: call.raw(garbage))
    with pytest.raises(InternalError, match="does not speak JSON-RPC"):
        client.call("ping")


@pytest.mark.parametrize("value", [float("nan"), object(), {"a": b"bytes"}])
def test_what_json_has_no_word_for_is_refused_before_it_is_sent(client: Client, value: object) -> None:
    with pytest.raises(BadInputError, match="JSON"):
        client.call("ping", {"value": value})


def test_importing_the_client_loads_neither_asyncio_nor_click() -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    program = "import beastmode.client, sys; print({'asyncio', 'click', 'msgspec'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environ)
    assert done.stdout == "set()\n"


def test_threads_with_a_client_each_do_not_disturb_each_other(daemon: FakeDaemon) -> None:
    daemon.on("echo", lambda params, call: params)
    found: list[Any] = []

    def work(number: int) -> None:
        with Client(daemon.socket_path) as client:
            found.append(client.call("echo", {"n": number})["n"])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(found) == list(range(8))
