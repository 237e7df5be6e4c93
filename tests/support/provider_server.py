"""A provider to test against: a real port that answers, streams, hangs, drips, cuts off and lies on demand.

It speaks OpenAI's Chat Completions, Completions and Embeddings, and Anthropic's Messages, over hand-written HTTP/1.1,
since a proper server could not misbehave. The model's name in the request says how it behaves; `BEHAVIOURS` lists the
names. It runs in a thread of the test process (`with ProviderServer() as server`) or by itself
(`python tests/support/provider_server.py PORT`, with `GET /stats` and `POST /reset`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from support.provider_replies import Reply, reply_for

BEHAVIOURS = """
ok                  answers `You said: <last user text>`; usage known
stream-slow[-MS]    streams one event every MS milliseconds (5 by default)
hang                never answers
hang-mid            stops in the middle of the reply and keeps the connection
drip[-MS]           sends the reply byte by byte, one every MS milliseconds (1 by default)
cut                 closes the connection in the middle of the reply
drop                closes the connection before the reply
e401 e403 e404 e400 e402 e405 e413 e422 e500 e503 e529   that status, with an error body of the protocol
e429 e429-date      429 with Retry-After in seconds, or as a date
too-long            400, the prompt does not fit
echo-key            401 whose body repeats every header that carries a key
echo-prompt         400 whose body repeats the last user text
garbage             200 with a body that is not JSON
bad-sse             a stream whose events are not JSON
error-mid           a stream that turns into an error object
no-usage            an answer without usage
no-completions      404 for /completions
no-stream-options   400 for a request with stream_options
tools               a tool call
parallel-tools      two tool calls
length              finish_reason length
redirect            307 to another port
huge                a reply of 64 MiB
flaky-N             503 for the first N requests, then ok
latency-MS          answers after MS milliseconds
"""


@dataclass
class Seen:
    """One request as it arrived.

    Attributes:
        method: GET or POST.
        path: With its query.
        headers: By lower-case name.
        body: Decoded JSON, or None.
        raw: The body as it came.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: dict | None = None
    raw: bytes = b""


@dataclass
class Counts:
    """What happened since the last reset.

    Attributes:
        requests: Upstream calls that arrived (not `/stats`, `/reset`, or lists of models).
        active: Calls that are open now.
        disconnects: Calls whose client left before the end.
        by_model: Calls by the model asked for.
    """

    requests: int = 0
    active: int = 0
    disconnects: int = 0
    by_model: Counter = field(default_factory=Counter)

    def as_dict(self) -> dict:
        return {
            "requests": self.requests,
            "active": self.active,
            "disconnects": self.disconnects,
            "by_model": dict(self.by_model),
        }


class Connection(asyncio.Protocol):
    """One client connection: requests are answered in turn; a client that leaves cancels what runs for it."""

    def __init__(self, server: ProviderServer) -> None:
        self.server = server
        self.buffer = b""
        self.task: asyncio.Task | None = None
        self.calling = False
        self.writable = asyncio.Event()
        self.writable.set()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.server.connections.add(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self._next()

    def eof_received(self) -> bool:
        self._left()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.server.connections.discard(self)
        self._left()

    def _left(self) -> None:
        self.server.counts.disconnects += self.calling
        self._ended()
        if self.task is not None:
            self.task.cancel()

    def _ended(self) -> None:
        self.server.counts.active -= self.calling
        self.calling = False

    def _next(self) -> None:
        """Begins the next request, when it is there as a whole and no other runs."""
        if self.task is not None and not self.task.done():
            return
        head, found, rest = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if headers.get("transfer-encoding") == "chunked":
            body, rest, whole = dechunked(rest)
        else:
            size = int(headers.get("content-length", 0))
            body, rest, whole = rest[:size], rest[size:], len(rest) >= size
        if not whole:
            return
        self.buffer = rest
        method, path, _ = first.split(" ", 2)
        seen = Seen(method, path, headers, json.loads(body) if body else None, body)
        self.task = asyncio.get_running_loop().create_task(self._serve(seen))

    async def _serve(self, seen: Seen) -> None:
        counts = self.server.counts
        self.calling = seen.path.partition("?")[0].endswith(("/completions", "/embeddings", "/messages"))
        if self.calling:
            counts.requests += 1
            counts.active += 1
            counts.by_model[(seen.body or {}).get("model", "")] += 1
        if seen.path not in ("/stats", "/reset"):
            self.server.requests.append(seen)
        reply = reply_for(seen, self.server)
        await self._send(reply)
        if reply.close:
            self.transport.close()
        else:
            self.task = None
            self._next()

    async def _send(self, reply: Reply) -> None:
        await asyncio.sleep(reply.latency_s)
        for i, piece in enumerate(reply.pieces, 1):
            if i == len(reply.pieces) and not reply.hang:
                self._ended()  # before the last byte leaves: whoever has the whole reply sees the call counted as over
            self.transport.write(piece)
            if reply.pause_s is not None:
                await asyncio.sleep(reply.pause_s)
            await self.writable.wait()
        if reply.hang:
            await asyncio.Event().wait()
        self._ended()


def dechunked(raw: bytes) -> tuple[bytes, bytes, bool]:
    """Takes a chunked body apart: the body, what follows it, and whether it is whole."""
    body = b""
    while True:
        size, found, rest = raw.partition(b"\r\n")
        if not found:
            return body, raw, False
        length = int(size, 16)
        if len(rest) < length + 2:
            return body, raw, False
        body, raw = body + rest[:length], rest[length + 2 :]
        if length == 0:
            return body, raw, True


class ProviderServer:
    """The server, in a thread of its own.

    Args:
        port: Port on 127.0.0.1; 0 for any.

    Attributes:
        url: `http://127.0.0.1:PORT`, without /v1.
        other_port: A second port of the same server, which redirects point to.
        requests: Every request that arrived, oldest first.
        counts: Since the last reset.
    """

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.other_port = 0
        self.requests: list[Seen] = []
        self.counts = Counts()
        self.connections: set[Connection] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True, name="provider-server")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stats(self) -> dict:
        """Counts since the last reset, as `GET /stats` gives them."""
        return self.counts.as_dict()

    def reset(self) -> None:
        """Forgets every request and sets the counts to nothing; what is open stays counted as open."""
        self.counts.requests = self.counts.disconnects = 0
        self.counts.by_model.clear()
        self.requests.clear()

    def __enter__(self) -> ProviderServer:
        self._thread.start()
        assert self._ready.wait(10), "the provider server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await self._loop.create_server(lambda: Connection(self), "127.0.0.1", self.port, backlog=1024)
        other = await self._loop.create_server(lambda: Connection(self), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.other_port = other.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        other.close()
        for connection in list(self.connections):
            connection.transport.abort()
        await asyncio.sleep(0)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].isdecimal():
        sys.exit(f"usage: python {sys.argv[0]} PORT\nThe model's name says how it answers:\n{BEHAVIOURS}")
    with ProviderServer(int(sys.argv[1])) as running:
        print(f"{running.url}/v1", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
