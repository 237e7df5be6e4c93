"""The HTTP client of provider calls: what it sends, and what it makes of every reply."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from beastmode.wire.client import Client
from beastmode.wire.client_connection import MAX_HEAD_BYTES
from beastmode.wire.client_reply import NotHTTPError
from support.raw_upstream import PATIENCE_S, ask, calling, chunked, plain, serving, whole


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with calling() as made:
        yield made


# -- requests and replies ---------------------------------------------------------------------------------------------


async def test_a_request_says_what_was_asked_and_what_is_usual(client: Client) -> None:
    async with serving(plain(b"yes")) as server:
        headers = {"Authorization": "Bearer k", "user-agent": "mine", "Host": "elsewhere", "Content-Length": "7"}
        reply = await client.request("POST", server.url, headers, b"hello", PATIENCE_S)
        assert (reply.status, await whole(reply)) == (200, b"yes")
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /v1/chat?a=b%20c HTTP/1.1"
    assert sorted(lines[1:]) == [
        "Accept-Encoding: identity",
        "Accept: */*",
        "Authorization: Bearer k",
        "Content-Length: 5",
        f"Host: 127.0.0.1:{server.port}",
        "user-agent: mine",
    ]
    assert body == b"hello"


async def test_a_request_without_a_body_names_no_length(client: Client) -> None:
    async with serving(plain(b"[]")) as server:
        reply = await client.request("GET", server.url, {}, None, PATIENCE_S)
        assert await whole(reply) == b"[]"
    assert b"Content-Length" not in server.requests[0]


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nX: y", "a\rX: y", "a\0"])
async def test_a_header_with_a_line_break_is_not_sent(client: Client, value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        await client.request("POST", URL("http://127.0.0.1:1/"), {"X-A": value}, b"", PATIENCE_S)


async def test_headers_are_found_in_any_case_and_redirects_are_only_told(client: Client) -> None:
    moved = b"HTTP/1.1 307 Moved\r\nLOCATION: http://elsewhere/\r\nContent-Length: 0\r\n\r\n"
    async with serving(moved) as server:
        reply = await ask(client, server.url)
    assert (reply.status, reply.headers.get("location"), server.connections) == (307, "http://elsewhere/", 1)


@pytest.mark.parametrize(
    "sent",
    [
        plain(b"hello"),
        chunked(b"he", b"llo"),
        chunked(b"hello", trailer=b"X-Sum: 1\r\n"),
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/1.1 100 Continue\r\n\r\n" + plain(b"hello"),
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + chunked(b"hello"),
        plain(gzip.compress(b"hello"), b"Content-Encoding: gzip\r\n"),
    ],
    ids=["length", "chunks", "trailer", "until the end", "HTTP/1.0", "100 before", "103 and 102 before", "compressed"],
)
async def test_every_way_to_frame_a_body(client: Client, sent: bytes) -> None:
    async with serving(sent) as server:
        reply = await ask(client, server.url)
        assert (reply.status, await whole(reply)) == (200, b"hello")


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_a_status_without_a_body_ends_at_its_head(client: Client, status: bytes) -> None:
    async with serving(b"HTTP/1.1 " + status + b"\r\n\r\n", keep=True) as server:
        assert await whole(await ask(client, server.url)) == b""
        assert await whole(await ask(client, server.url)) == b""
    assert server.connections == 1


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(st.binary(min_size=1, max_size=40), max_size=5),
    cuts=st.lists(st.integers(0, 400), max_size=12),
    early=st.booleans(),
)
async def test_a_reply_cut_anywhere_is_the_same_reply(pieces: list[bytes], cuts: list[int], early: bool) -> None:
    sent = (b"HTTP/1.1 100 Continue\r\n\r\n" if early else b"") + chunked(*pieces)

    async def in_pieces(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at = 0
        for cut in [*sorted(cut for cut in cuts if cut < len(sent)), len(sent)]:
            writer.write(sent[at:cut])
            await writer.drain()
            await asyncio.sleep(0)
            at = cut

    async with calling() as client, serving(in_pieces) as server:
        assert await whole(await ask(client, server.url)) == b"".join(pieces)


async def test_a_reply_that_comes_byte_by_byte(client: Client) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in chunked(b"h\xc3\xa9", b"llo", trailer=b"A: b\r\n"):
            writer.write(bytes([byte]))
            await asyncio.sleep(0)

    async with serving(drip) as server:
        assert await whole(await ask(client, server.url)) == "héllo".encode()


# -- what is wrong with a reply ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        b"220 mail.example.com ESMTP\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * (MAX_HEAD_BYTES + 1),
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(9000)) + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 9000,
        b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    ],
    ids=["smtp", "no status", "two lengths", "length and chunks", "negative", "header", "headers", "hints", "upgrade"],
)
async def test_what_is_no_reply_or_beyond_its_bounds_is_refused(client: Client, sent: bytes) -> None:
    async with serving(sent) as server:
        with pytest.raises(NotHTTPError):
            await whole(await ask(client, server.url))


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", aiohttp.ClientPayloadError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", aiohttp.ClientPayloadError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", NotHTTPError),
        (chunked(b"hello", trailer=b"X: " + b"x" * 16 * MAX_HEAD_BYTES + b"\r\n"), NotHTTPError),
        (plain(b"no gzip at all", b"Content-Encoding: gzip\r\n"), NotHTTPError),
        (plain(gzip.compress(bytes(40 << 20)), b"Content-Encoding: gzip\r\n"), NotHTTPError),
    ],
    ids=["short", "no last chunk", "no chunk size", "endless trailer", "not compressed", "a bomb"],
)
async def test_a_body_that_goes_wrong_is_an_error_after_what_came(
    client: Client, sent: bytes, kind: type[Exception]
) -> None:
    async with serving(sent) as server:
        with pytest.raises(kind):
            await whole(await ask(client, server.url))


async def test_bytes_after_a_reply_end_the_connection_and_not_the_answer(client: Client) -> None:
    for extra in (b"garbage", plain(b"nobody asked")):
        async with serving(plain(b"hello") + extra, keep=True) as server:
            assert await whole(await ask(client, server.url)) == b"hello"
            assert await whole(await ask(client, server.url)) == b"hello"
            assert server.connections == 2
