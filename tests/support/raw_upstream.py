"""Servers that say byte for byte what a test wants, and the HTTP client of provider calls to ask them with."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from beastmode.core.addresses import open_guarded_socket
from beastmode.wire.client import Client
from beastmode.wire.client_dialling import Dialler
from beastmode.wire.client_reply import Reply

PATIENCE_S = 10.0
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Names(AbstractResolver):
    """A resolver that knows what it is told."""

    def __init__(self, addresses: dict[str, list[str]]) -> None:
        self.addresses = addresses
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        await asyncio.sleep(0)
        if host not in self.addresses:
            raise OSError(None, "no such name")
        return [
            ResolveResult(hostname=host, host=one, port=port, family=family, proto=0, flags=0)
            for one in self.addresses[host]
        ]

    async def close(self) -> None:
        """Nothing is open."""


class Server:
    """What a server of these tests saw."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connections = 0
        self.requests: list[bytes] = []

    @property
    def url(self) -> URL:
        return URL(f"http://127.0.0.1:{self.port}/v1/chat?a=b%20c")


@asynccontextmanager
async def serving(
    *replies: bytes | Talk, tls: ssl.SSLContext | None = None, keep: bool = False
) -> AsyncIterator[Server]:
    """Answers the requests of all connections in turn; the last reply again and again. Closes after one unless `keep`.

    Args:
        replies: Bytes that are sent after a request, or what is done instead.
        tls: Spoken by the server.
        keep: Connections are kept open.
    """
    left = list(replies)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")), 0
                )
                reply = left.pop(0) if len(left) > 1 else left[0]
                if not isinstance(reply, bytes):
                    server.requests.append(head)
                    await reply(reader, writer)
                    return
                server.requests.append(head + await reader.readexactly(length))
                writer.write(reply)
                await writer.drain()
                if not keep:
                    return
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass  # the client left, or the test is over
        finally:
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    server = Server(listener.sockets[0].getsockname()[1])
    try:
        yield server
    finally:
        listener.close()


@asynccontextmanager
async def calling(
    names: AbstractResolver | None = None, tls: ssl.SSLContext | None = None, keepalive_s: float = 60.0
) -> AsyncIterator[Client]:
    dialler = Dialler(names or Names({}), open_guarded_socket, tls=tls, timeout_s=2.0)
    client = Client(dialler, keepalive_s)
    try:
        yield client
    finally:
        await client.close()


async def ask(client: Client, url: URL, body: bytes | None = b"{}", silence_s: float = PATIENCE_S) -> Reply:
    return await client.request("POST", url, {"Content-Type": "application/json"}, body, silence_s)


async def whole(reply: Reply) -> bytes:
    body = b""
    while piece := await reply.read():
        body += piece
    return body


def plain(body: bytes, head: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(*pieces: bytes, trailer: bytes = b"") -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n" + trailer + b"\r\n"
