"""Any bytes, cut anywhere: nothing breaks, and where the cuts are changes no reply."""

from __future__ import annotations

import asyncio
import gc
import re
import weakref
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.core.clock import Clock
from beastmode.servers.http.connection import Connection
from beastmode.servers.http.exchange import Exchange
from beastmode.servers.http.gate import Gate
from beastmode.servers.http.reading import Limits
from beastmode.servers.http.server import HttpServer
from support.http_door import HEAD, TOKEN, request


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.out = bytearray()
        self.closing = self.ended = False
        self._protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closing and not self.ended
        self.out += data

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        if not self.closing:
            self.closing = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    abort = close

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is ever unsent."""

    def pause_reading(self) -> None:
        """The test goes on all the same."""

    resume_reading = pause_reading


def handle(exchange: Exchange) -> Coroutine[Any, Any, None] | None:
    async def later() -> None:
        await asyncio.sleep(0)
        exchange.begin(200)
        exchange.write(exchange.path.encode())
        exchange.write(exchange.body)
        exchange.end()

    if "async" in exchange.path:
        return later()
    exchange.reply(200, exchange.method.encode() + exchange.path.encode() + exchange.body)
    return None


async def talk(pieces: list[bytes], **limits: Any) -> tuple[bytes, Wire, HttpServer]:
    """What a server says to bytes that come in these pieces, with the date left out."""
    server = HttpServer(handle, Gate(lambda: TOKEN), clock=Clock(), limits=Limits(**limits))
    connection = Connection(server)
    wire = Wire(connection)
    connection.connection_made(wire)
    for piece in pieces:
        if not wire.closing:
            connection.data_received(piece)
        await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)
    said = re.sub(rb"date: [^\r]*\r\n", b"", bytes(wire.out))
    if not wire.closing:
        for _ in range(2):  # its patience ends, and then that of its lingering
            connection.deadline_s = 0
            connection.expire()
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    await server.stop(0)
    return said, wire, server


LINES = [
    b"GET / HTTP/1.1\r\n",
    b"POST /async HTTP/1.1\r\n",
    b"HEAD /healthz HTTP/1.0\r\n",
    HEAD,
    b"Content-Type: application/json\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"Connection: Upgrade\r\nUpgrade: x\r\n",
    b"\r\n",
    b"5\r\nhello\r\n",
    b"0\r\n\r\n",
    b"hello",
    request("/whole"),
    request("/async"),
    request("/body", "POST", body=b"hello"),
    b"X: " + b"y" * 3000,
]
PIECES = st.lists(st.one_of(st.sampled_from(LINES), st.binary(max_size=40)), max_size=14)


@settings(max_examples=300, deadline=None)
@given(pieces=PIECES, joined=st.booleans())
def test_no_bytes_break_a_connection_and_it_always_ends(pieces: list[bytes], joined: bool) -> None:
    said, wire, server = asyncio.run(
        talk([b"".join(pieces)] if joined else pieces, head_bytes=4096, body_bytes=2000, url_bytes=100)
    )
    assert said == b"" or said.startswith(b"HTTP/1.1 ")
    assert b"HTTP/1.1 500" not in said
    assert wire.closing
    assert (server.unfinished_bytes, server.connections, server.tasks) == (0, set(), set())


@settings(max_examples=200, deadline=None)
@given(pieces=PIECES, cuts=st.lists(st.integers(0, 400), max_size=8))
def test_where_bytes_are_cut_changes_no_reply(pieces: list[bytes], cuts: list[int]) -> None:
    data = b"".join(pieces).replace(b"Expect: 100-continue\r\n", b"")
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    parts = [data[start:end] for start, end in pairwise(places) if start < end]
    assert asyncio.run(talk(parts))[0] == asyncio.run(talk([data]))[0]


PIPELINE = (
    request("/one")
    + request("/async/two?x=1", "GET", "X-Empty:", "X-Two: 2")
    + request("/three", "POST", body='{"café": 1}'.encode())
    + request("/async/four", "POST", "Transfer-Encoding: chunked", "Content-Type: application/json")
    + b"3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n"
    + request("/five", "HEAD")
    + request("/six", "GET", "Connection: close")
)


async def test_a_pipeline_cut_in_two_at_any_byte_gets_the_same_replies() -> None:
    whole, _, _ = await talk([PIPELINE])
    assert whole.count(b"HTTP/1.1 200 OK") == 6
    assert b"d\r\nabc0123456789\r\n" in whole
    for place in range(1, len(PIPELINE)):
        assert (await talk([PIPELINE[:place], PIPELINE[place:]]))[0] == whole
    assert (await talk([PIPELINE[at : at + 1] for at in range(len(PIPELINE))]))[0] == whole


async def test_a_large_body_in_pieces_of_any_size_is_the_same_body() -> None:
    body = bytes(range(32, 127)) * 1000
    data = request("/body", "POST", body=body) * 2
    for size in (1000, 16384, 16385, 65536, len(data)):
        said, _, _ = await talk([data[at : at + size] for at in range(0, len(data), size)])
        assert said.count(body) == 2


async def test_a_flood_in_one_piece_is_worked_off_in_turns() -> None:
    seen_between = []
    server = HttpServer(handle, Gate(lambda: TOKEN), clock=Clock())
    connection = Connection(server)
    wire = Wire(connection)
    connection.connection_made(wire)
    connection.data_received(request("/flood") * 2000)
    while (answered := wire.out.count(b"GET/flood")) < 2000:
        seen_between.append(answered)
        await asyncio.sleep(0)
    assert len(seen_between) > 10
    assert seen_between == sorted(set(seen_between))
    wire.close()
    await asyncio.sleep(0)
    await server.stop(0)


async def test_a_closed_connection_is_gone_without_the_garbage_collector() -> None:
    server = HttpServer(handle, Gate(lambda: TOKEN), clock=Clock())
    connection = Connection(server)
    wire = Wire(connection)
    connection.connection_made(wire)
    connection.data_received(request("/one") + b"GET /half")
    wire.close()
    await asyncio.sleep(0)
    gone = weakref.ref(connection)
    gc.disable()
    try:
        del connection, wire
        await asyncio.sleep(0)
        assert gone() is None
    finally:
        gc.enable()
    await server.stop(0)
