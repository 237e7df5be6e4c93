"""One client of the socket, in the test's own process: who is let in, who is slow, who says too much, who leaves."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from beastmode.core.clock import Clock
from beastmode.core.peers import peer_uid
from beastmode.servers import connection, listener
from beastmode.servers.dispatch import PENDING_MAX
from beastmode.servers.listener import Listener
from beastmode.servers.methods import METHODS
from beastmode.servers.methods.table import Method, Nothing
from beastmode.servers.rpc import RpcServer
from beastmode.servers.services import Caller
from support.daemon import rpc
from support.waiting import until_async

LONG = "x" * 100_000


class Line:
    """A client's end, in coroutines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, *requests: dict[str, Any] | bytes) -> Line:
        for one in requests:
            self.writer.write(one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n")
        return self

    async def next(self) -> Any:
        raw = await asyncio.wait_for(self.reader.readline(), 20)
        return json.loads(raw) if raw else None


class Door:
    """A server of its own, with methods of the test's own."""

    def __init__(self, server: RpcServer, open_line: Callable[[], Any]) -> None:
        self.server = server
        self.line = open_line
        self.release = asyncio.Event()
        self.ended: list[str] = []


@pytest.fixture
async def path() -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bt-") as folder:
        yield Path(folder) / "s"


@pytest.fixture
async def door(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    clock = Clock()
    services: Any = SimpleNamespace(version="1", clock=clock, started_s=clock.mono_s())
    server = RpcServer(services, path)
    await server.start()
    async with contextlib.AsyncExitStack() as stack:

        async def open_line() -> Line:
            line = Line(*await asyncio.open_unix_connection(path, limit=1 << 27))
            stack.callback(line.writer.close)
            return line

        door = Door(server, open_line)

        async def wait(services: Any, caller: Caller, params: Nothing) -> str:
            try:
                await door.release.wait()
            except asyncio.CancelledError as error:
                door.ended.append(str(error))
                raise
            return "waited"

        async def pour(services: Any, caller: Caller, params: Nothing) -> str:
            assert caller.progress is not None
            for number in range(200):
                caller.progress({"delta": f"{number:03}{LONG}"})
                await asyncio.sleep(0)
            return "poured"

        def break_now(services: Any, caller: Caller, params: Nothing) -> str:
            raise ZeroDivisionError

        async def break_later(services: Any, caller: Caller, params: Nothing) -> str:
            raise ZeroDivisionError

        for run in (wait, pour, break_now, break_later):
            monkeypatch.setitem(METHODS, run.__name__, Method(run.__name__, run, Nothing, str, "For tests."))
        yield door
        await server.stop()


async def test_the_users_own_processes_are_served(door: Door) -> None:
    assert (await (await door.line()).send(rpc("ping")).next())["result"]["pid"] == os.getpid()


@pytest.mark.parametrize(("uid", "named"), [(os.getuid() + 1, f"user {os.getuid() + 1}"), (None, "unknown")])
async def test_a_stranger_gets_a_refusal_and_then_the_end(door: Door, uid: int | None, named: str) -> None:
    door.server.read_peer = lambda _: uid
    line = (await door.line()).send(rpc("ping"), b"x" * 1000)
    refusal = (await line.next())["error"]
    assert (refusal["code"], named in refusal["message"]) == (-32010, True)
    assert await line.next() is None
    assert door.server.connections == set()


async def test_a_stranger_who_does_not_leave_is_cut_off(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LINGER_S", 0.05)
    door.server.read_peer = lambda _: None
    line = await door.line()
    assert (await line.next())["error"]["code"] == -32010

    async def talk() -> None:
        while True:
            line.send(b"still here\n")
            await line.writer.drain()
            await asyncio.sleep(0.01)

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(talk(), 20)


def test_a_socket_without_a_peer_tells_no_user() -> None:
    with socket.socket(socket.AF_INET) as unconnected:
        assert peer_uid(unconnected) in (None, 2**32 - 1, -1)


async def test_methods_that_break_are_internal_errors_without_details(door: Door) -> None:
    line = await door.line()
    for method in ("break_now", "break_later"):
        error = (await line.send(rpc(method)).next())["error"]
        assert (error["data"]["kind"], method in error["message"]) == ("internal", True)
        assert error["data"]["tip"] and "ZeroDivision" not in str(error)
    assert (await line.send(rpc("ping")).next())["result"]


async def test_one_client_can_wait_for_so_many_answers_and_no_more(door: Door) -> None:
    line = await door.line()
    line.send(*(rpc("wait", id=number) for number in range(PENDING_MAX + 1)))
    refused = await line.next()
    assert (refused["id"], refused["error"]["code"]) == (PENDING_MAX, -32600)
    assert f"{PENDING_MAX} at once" in refused["error"]["message"]
    assert (await line.send(rpc("ping", id="other")).next())["id"] == "other"
    door.release.set()
    answered = {(await line.next())["id"] for _ in range(PENDING_MAX)}
    assert answered == set(range(PENDING_MAX))


async def test_who_hangs_up_ends_what_was_asked_for(door: Door) -> None:
    line = (await door.line()).send(rpc("wait"), rpc("ping", id=2))
    await line.next()
    line.writer.close()
    await until_async(lambda: door.ended == ["client_gone"])
    assert door.server.connections == set()


async def test_a_slow_reader_gets_its_text_whole_though_not_piece_by_piece(door: Door) -> None:
    with socket.socket(socket.AF_UNIX) as slow:
        slow.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(slow, str(door.server.path))
        await loop.sock_sendall(slow, json.dumps(rpc("pour")).encode() + b"\n")
        await until_async(lambda: any(one.behind for one in door.server.connections))
        await asyncio.sleep(0.1)
        data = bytearray()
        while b'"result"' not in data[-1000:] or not data.endswith(b"\n"):
            data += await asyncio.wait_for(loop.sock_recv(slow, 1 << 20), 20)
        lines = [json.loads(line) for line in data.splitlines()]
        assert lines[-1]["result"] == "poured"
        assert len(lines) < 201
        text = "".join(line["params"]["value"]["delta"] for line in lines[:-1])
        assert text == "".join(f"{number:03}{LONG}" for number in range(200))
        await loop.sock_sendall(slow, json.dumps(rpc("ping", id="after")).encode() + b"\n")
        assert json.loads(await asyncio.wait_for(loop.sock_recv(slow, 1 << 16), 20))["id"] == "after"


async def test_a_reader_who_lets_too_much_lie_is_cut_off(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "UNREAD_MAX_BYTES", 4 << 20)
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(deaf, str(door.server.path))
        await loop.sock_sendall(deaf, b"".join(json.dumps(rpc("pour", id=n)).encode() + b"\n" for n in range(2)))
        await until_async(lambda: not door.server.connections)


async def test_a_flood_of_lines_is_worked_off_in_turns_and_all_are_answered(door: Door) -> None:
    line = await door.line()
    line.send(b"".join(json.dumps(rpc("ping", id=number)).encode() + b"\n" for number in range(500)))
    assert [(await line.next())["id"] for _ in range(500)] == list(range(500))
    assert (await line.send(rpc("ping", id="after")).next())["id"] == "after"


async def test_a_flood_whose_sender_leaves_is_forgotten(door: Door) -> None:
    line = await door.line()
    line.send(b"".join(json.dumps(rpc("rpc.discover", id=number)).encode() + b"\n" for number in range(500)))
    await line.writer.drain()
    line.writer.transport.abort()
    await until_async(lambda: not door.server.connections)
    assert (await (await door.line()).send(rpc("ping")).next())["result"]


async def test_a_line_that_is_too_long_in_the_middle_of_a_flood_ends_it(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LINE_MAX_BYTES", 1000)
    before = b"".join(json.dumps(rpc("ping", id=number)).encode() + b"\n" for number in range(100))
    line = (await door.line()).send(before + b"x" * 1001 + b"\n" + before)
    answers = [await line.next() for _ in range(101)]
    assert [answer["id"] for answer in answers] == [*range(100), None]
    assert answers[-1]["error"]["code"] == -32600
    assert await line.next() is None


async def test_all_unfinished_lines_together_are_bounded(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "UNFINISHED_MAX_BYTES", 50_000)
    lines = [await door.line() for _ in range(6)]
    for line in lines:
        line.send(b"x" * 10_000)
        await line.writer.drain()
    refused = await lines[-1].next()
    assert refused["error"]["code"] == -32600
    assert door.server.unfinished_bytes <= 50_000
    for line in lines:
        line.writer.close()
    await until_async(lambda: door.server.unfinished_bytes == 0)


async def test_half_closed_clients_are_answered_and_then_closed(door: Door) -> None:
    waiting, idle = (await door.line()).send(rpc("wait")), await door.line()
    for line in (waiting, idle):
        line.writer.write_eof()
    assert await idle.next() is None
    await asyncio.sleep(0.12)
    door.release.set()
    assert (await waiting.next())["result"] == "waited"
    assert await waiting.next() is None
    await until_async(lambda: not door.server.connections)


async def test_stopping_hands_out_what_was_answered_and_removes_the_socket(door: Door) -> None:
    line = (await door.line()).send(rpc("rpc.discover"))
    await until_async(lambda: bool(door.server.connections))
    await asyncio.sleep(0.05)
    await door.server.stop()
    assert (await line.next())["result"]["openrpc"]
    assert await line.next() is None
    assert not door.server.path.exists()


class Refusing:
    """A listening socket whose system is out of something, or broken."""

    def __init__(self, real: socket.socket, errors: list[int]) -> None:
        self._real, self._errors = real, errors
        self.accepts = 0

    def accept(self) -> tuple[socket.socket, Any]:
        self.accepts += 1
        if self._errors:
            raise OSError(self._errors.pop(0), "no")
        return self._real.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
async def test_a_system_out_of_descriptors_is_asked_again_after_a_pause(
    path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "PAUSE_S", 0.02)
    real = socket.socket(socket.AF_UNIX)
    real.bind(str(path))
    real.setblocking(False)
    poor: Any = Refusing(real, [number] * 3)
    made: list[asyncio.Protocol] = []
    one = Listener(poor, lambda: made.append(asyncio.Protocol()) or made[-1])  # type: ignore[func-returns-value]  # append gives None
    one.start()
    _, writer = await asyncio.open_unix_connection(path)
    await until_async(lambda: len(made) == 1)
    assert poor.accepts <= 6
    writer.close()
    one.close()
    assert real.fileno() == -1


async def test_a_listener_that_is_closed_while_it_pauses_stays_closed(path: Path) -> None:
    real = socket.socket(socket.AF_UNIX)
    real.bind(str(path))
    real.setblocking(False)
    poor: Any = Refusing(real, [errno.EMFILE] * 100)
    one = Listener(poor, asyncio.Protocol)
    one.start()
    _, writer = await asyncio.open_unix_connection(path)
    await until_async(lambda: poor.accepts == 1)
    one.close()
    await asyncio.sleep(2 * listener.PAUSE_S)
    assert poor.accepts == 1
    writer.close()
