"""The HTTP client of provider calls: connections that are kept, cut off, large, slow and silent."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator

import aiohttp
import pytest
from yarl import URL

from beastmode.core.addresses import make_http_session
from beastmode.core.errors import RefusedEndpointError
from beastmode.wire.client import Client
from beastmode.wire.client_connection import AT_ONCE_BYTES, Connection
from beastmode.wire.client_reply import WAITING_MAX_BYTES
from support.raw_upstream import PATIENCE_S, ask, calling, chunked, plain, serving, whole
from support.waiting import until_async


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with calling() as made:
        yield made


# -- connections ------------------------------------------------------------------------------------------------------


async def test_a_connection_is_used_again(client: Client) -> None:
    async with serving(plain(b"one"), chunked(b"two"), keep=True) as server:
        for expected in (b"one", b"two", b"two"):
            assert await whole(await ask(client, server.url)) == expected
        assert server.connections == 1


async def test_a_reply_is_still_read_while_its_connection_serves_the_next(client: Client) -> None:
    async with serving(plain(b"one"), plain(b"two"), keep=True) as server:
        first = await ask(client, server.url)
        second = await ask(client, server.url)
        assert (await whole(first), await whole(second)) == (b"one", b"two")


async def test_a_closed_connection_leaves_nothing_for_the_garbage_collector(client: Client) -> None:
    gc.collect()
    gc.disable()
    try:
        async with serving(plain(b"yes", b"Connection: close\r\n"), keep=True) as server:
            assert await whole(await ask(client, server.url)) == b"yes"
        await asyncio.sleep(0.05)
        assert not [one for one in gc.get_objects() if type(one) is Connection]
    finally:
        gc.enable()


@pytest.mark.parametrize("head", [b"Connection: close\r\n", b"Connection: Keep-Alive, Close\r\n"])
async def test_a_connection_that_the_server_ends_is_not_used_again(client: Client, head: bytes) -> None:
    async with serving(plain(b"yes", head), keep=True) as server:
        assert await whole(await ask(client, server.url)) == b"yes"
        assert await whole(await ask(client, server.url)) == b"yes"
    assert server.connections == 2


async def test_a_kept_connection_that_died_is_replaced_once(client: Client) -> None:
    async def leave_the_next(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(plain(b"first"))
        await reader.readuntil(b"\r\n\r\n")

    async with serving(leave_the_next, plain(b"second")) as server:
        assert await whole(await ask(client, server.url)) == b"first"
        assert await whole(await ask(client, server.url)) == b"second"
    assert server.connections == 2


async def test_a_call_is_not_repeated_once_anything_of_its_reply_came(client: Client) -> None:
    async def break_the_next(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(plain(b"first"))
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 2")
        await writer.drain()

    async with serving(break_the_next) as server:
        assert await whole(await ask(client, server.url)) == b"first"
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await ask(client, server.url)
        assert server.connections == 1


async def test_a_new_connection_that_dies_is_an_error(client: Client) -> None:
    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        return

    async with serving(leave) as server:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await ask(client, server.url)
        assert server.connections == 1


async def test_a_server_that_closes_before_it_is_asked_is_an_error_at_once(client: Client) -> None:
    for later_s in (0.0, 0.01):

        async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, later_s: float = later_s) -> None:
            await asyncio.sleep(later_s)
            writer.transport.abort()

        server = await asyncio.start_server(close, "127.0.0.1", 0)
        url = URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        for body in (b"{}", bytes(8 << 20)):
            with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
                await ask(client, url, body)
        server.close()


async def test_connections_that_nobody_uses_are_closed() -> None:
    left = asyncio.Event()

    async def wait_for_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(2)
        writer.write(plain(b"yes"))
        assert await reader.read() == b""
        left.set()

    async with calling(keepalive_s=0.05) as client, serving(wait_for_the_end) as server:
        assert await whole(await ask(client, server.url)) == b"yes"
        async with asyncio.timeout(PATIENCE_S):
            await left.wait()


async def test_what_a_server_says_unasked_ends_the_connection(client: Client) -> None:
    said = asyncio.Event()

    async def tell_of_a_timeout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(plain(b"yes"))
        await reader.read(2)
        await said.wait()
        writer.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        assert await reader.read() == b""

    async with serving(tell_of_a_timeout, plain(b"again")) as server:
        assert await whole(await ask(client, server.url)) == b"yes"
        said.set()
        await asyncio.sleep(0.05)
        assert await whole(await ask(client, server.url)) == b"again"


async def test_a_cancelled_call_closes_its_connection_at_once(client: Client) -> None:
    left = asyncio.Event()

    async def wait_for_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(2)
        assert await reader.read() == b""
        left.set()

    async with serving(wait_for_the_end) as server:
        call = asyncio.create_task(ask(client, server.url))
        await until_async(lambda: bool(server.requests))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(PATIENCE_S):
            await left.wait()


async def test_closing_a_reply_closes_its_connection_at_once(client: Client) -> None:
    left = asyncio.Event()

    async def go_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(2)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
        assert await reader.read() == b""
        left.set()

    async with serving(go_on) as server:
        reply = await ask(client, server.url)
        assert await reply.read() == b"hello"
        reply.close()
        async with asyncio.timeout(PATIENCE_S):
            await left.wait()


async def test_a_reply_left_at_its_end_keeps_the_connection_and_one_that_goes_on_does_not(client: Client) -> None:
    goes_on = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhello"
    ends = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"

    async def end_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await reader.read(2)
            writer.write(ends)
            await asyncio.sleep(0.01)
            writer.write(b"0\r\n\r\n")
            if not server.requests[1:]:
                server.requests.append(await reader.readuntil(b"\r\n\r\n"))

    async with serving(end_late, goes_on, keep=True) as server:
        for _ in range(2):
            reply = await ask(client, server.url)
            assert await reply.read() == b"hello"
            await reply.leave(5.0)
            await asyncio.sleep(0.05)
        assert server.connections == 1
    async with serving(goes_on, keep=True) as server:
        for _ in range(2):
            reply = await ask(client, server.url)
            assert await reply.read() == b"hello"
            await reply.leave(0.01)
            await asyncio.sleep(0.05)
        assert server.connections == 2


async def test_a_closed_client_makes_no_calls() -> None:
    async with calling() as client, serving(plain(b"yes"), keep=True) as server:
        assert await whole(await ask(client, server.url)) == b"yes"
        await client.close()
        with pytest.raises(RuntimeError, match="closed"):
            await ask(client, server.url)


async def test_the_daemons_session_lends_its_guards_and_takes_the_client_along() -> None:
    async with serving(plain(b"yes"), keep=True) as server:
        async with make_http_session() as session:
            client = Client.beside(session)
            assert client is not None
            assert Client.beside(session) is client
            assert await whole(await ask(client, server.url)) == b"yes"
            with pytest.raises(RefusedEndpointError, match="never called"):
                await ask(client, URL("http://169.254.169.254/"))
            with pytest.raises(RefusedEndpointError, match="never called"):
                await ask(client, URL("http://metadata.google.internal/"))
        with pytest.raises(RuntimeError, match="closed"):
            await ask(client, server.url)
    async with aiohttp.ClientSession() as elsewhere:
        assert Client.beside(elsewhere) is None


# -- size and silence -------------------------------------------------------------------------------------------------


async def test_a_large_request_is_sent_whole(client: Client) -> None:
    body = bytes(range(256)) * (2 * AT_ONCE_BYTES // 256)
    async with serving(plain(b"yes"), keep=True) as server:
        assert await whole(await ask(client, server.url, body)) == b"yes"
        assert await whole(await ask(client, server.url)) == b"yes"
    assert server.requests[0].endswith(b"\r\n\r\n" + body)
    assert server.connections == 1


async def test_a_large_request_that_is_refused_early_brings_the_refusal(client: Client) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await asyncio.sleep(0.5)

    async with serving(refuse) as server:
        reply = await ask(client, server.url, bytes(64 << 20))
        assert (reply.status, await whole(reply)) == (413, b"big")
        assert (await ask(client, server.url)).status == 413
    assert server.connections == 2


async def test_a_server_that_reads_nothing_of_a_large_request_is_silent(client: Client) -> None:
    async def read_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    async with serving(read_nothing) as server:
        with pytest.raises(TimeoutError):
            await ask(client, server.url, bytes(64 << 20), silence_s=0.2)


async def test_a_reader_that_falls_behind_holds_the_server_back(client: Client) -> None:
    sent = 0
    size = 40 << 20

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(bytes(1 << 16))
            sent += 1 << 16
            await writer.drain()

    async with serving(pour) as server:
        reply = await ask(client, server.url, silence_s=0.1)
        await asyncio.sleep(0.4)
        assert WAITING_MAX_BYTES < sent < size // 2
        assert len(await whole(reply)) == size


async def test_silence_is_a_timeout_before_the_reply_and_inside_it(client: Client) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    async def stop_in_the_middle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")
        await asyncio.sleep(5)

    async with serving(say_nothing, stop_in_the_middle) as server:
        with pytest.raises(TimeoutError):
            await ask(client, server.url, silence_s=0.1)
        reply = await ask(client, server.url, silence_s=0.1)
        assert await reply.read() == b"hello"
        with pytest.raises(TimeoutError):
            await reply.read()


async def test_a_reply_that_goes_on_slowly_is_not_silent(client: Client) -> None:
    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
        for _ in range(8):
            await asyncio.sleep(0.1)
            writer.write(b"x")

    async with serving(slowly) as server:
        assert await whole(await ask(client, server.url, silence_s=0.4)) == b"x" * 8


async def test_each_call_has_its_own_patience(client: Client) -> None:
    async def once_then_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(plain(b"yes"))
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(5)

    async with serving(once_then_nothing) as server:
        assert await whole(await ask(client, server.url, silence_s=30.0)) == b"yes"
        with pytest.raises(TimeoutError):
            await ask(client, server.url, silence_s=0.1)
