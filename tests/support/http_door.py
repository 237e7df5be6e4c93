"""An HTTP door of a test's own, in a thread, with handlers made for tests; and clients that send it raw bytes."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import http.client
import importlib.util
import json
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from beastmode.core.clock import Clock
from beastmode.servers.http.exchange import Exchange
from beastmode.servers.http.gate import Gate
from beastmode.servers.http.reading import Limits
from beastmode.servers.http.server import HttpServer

TOKEN = "beast_" + "t" * 40
HEAD = f"Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
if importlib.util.find_spec("uvloop") is not None:
    import uvloop

    LOOPS["uvloop"] = uvloop.new_event_loop


def request(target: str, method: str = "GET", *lines: str, body: bytes = b"", version: str = "1.1") -> bytes:
    """A request as it goes over the wire; one with a body says its length and its type."""
    if body:
        lines = (*lines, f"Content-Length: {len(body)}", "Content-Type: application/json")
    head = f"{method} {target} HTTP/{version}\r\n".encode() + HEAD
    return head + "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n" + body


class Reply:
    """A reply."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.json["error"]["message"])


class _Kept:
    """The reading end of a connection, which outlives one reply."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def makefile(self, mode: str) -> _Kept:
        return self

    def close(self) -> None:
        """It is used on."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class Client:
    """A client's end of a connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def send(self, *data: bytes) -> Client:
        for one in data:
            self.socket.sendall(one)
        return self

    def reply(self, method: str = "GET") -> Reply:
        response = http.client.HTTPResponse(_Kept(self.file), method=method)  # type: ignore[arg-type]  # reads only
        response.begin()
        return Reply(response)

    def ask(self, target: str, method: str = "GET", *lines: str, body: bytes = b"") -> Reply:
        return self.send(request(target, method, *lines, body=body)).reply(method)

    def is_closed(self) -> bool:
        """Whether the other end closes now; a reset counts."""
        try:
            return self.file.read(1) == b""
        except ConnectionError:
            return True


class Door:
    """A server in a thread."""

    def __init__(self, loop: str = "asyncio", **limits: Any) -> None:
        self.limits = Limits(**{"sweep_s": 0.02, **limits})
        self.seen: list[tuple[str, str]] = []
        self.ended: list[str] = []
        self.poured = 0
        self._factory = LOOPS[loop]
        self._up: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._clients = contextlib.ExitStack()

    def __enter__(self) -> Door:
        self._thread = threading.Thread(target=self._live)
        self._thread.start()
        self._up.result(20)
        return self

    def __exit__(self, *_: object) -> None:
        self.call(self.release.set)
        self.run(self.server.stop(0.2))
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(20)
        self._clients.close()

    def _live(self) -> None:
        with asyncio.Runner(loop_factory=self._factory) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end, self.release = asyncio.Event(), asyncio.Event()
        self.server = HttpServer(self.handle, Gate(lambda: TOKEN), clock=Clock(), limits=self.limits)
        self.port = self.server.bind().getsockname()[1]
        self.server.start()
        self._up.set_result(None)
        await self._end.wait()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.begin(work).result(20)

    def begin(self, work: Coroutine[Any, Any, Any]) -> concurrent.futures.Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(self, function: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(function)

    def client(self) -> Client:
        return self._clients.enter_context(Client(self.port))

    # -- handlers -------------------------------------------------------------------------------------------------

    def handle(self, exchange: Exchange) -> Coroutine[Any, Any, None] | None:
        self.seen.append((exchange.method, exchange.path))
        name = exchange.path.strip("/").replace("-", "_") or "echo"
        return getattr(self, f"do_{name}", self.do_echo)(exchange)  # type: ignore[no-any-return]  # by name

    def do_echo(self, exchange: Exchange) -> None:
        told = {name: getattr(exchange, name) for name in ("method", "path", "query", "headers")}
        exchange.reply(200, json.dumps({**told, "body": exchange.body.decode("latin-1")}).encode())

    def do_odd_headers(self, exchange: Exchange) -> None:
        exchange.reply(200, b"{}", [("x-good", "caf\xe9 \u2713"), ("x-bad", "a\r\nx-evil: 1"), ("x-also", "1")])

    def do_nothing_to_say(self, exchange: Exchange) -> None:
        exchange.reply(204, b"")

    def do_big(self, exchange: Exchange) -> None:
        exchange.reply(200, b"b" * (20 << 20), content_type="text/plain")

    async def do_later(self, exchange: Exchange) -> None:
        try:
            await self.release.wait()
        except asyncio.CancelledError as error:
            self.ended.append(str(error))
            raise
        self.do_echo(exchange)

    async def do_soon(self, exchange: Exchange) -> None:
        await asyncio.sleep(0)
        self.do_echo(exchange)

    async def do_stream(self, exchange: Exchange) -> None:
        exchange.begin(200, [("x-route", "r")])
        for number in range(3):
            exchange.write(b"")
            exchange.write(b"data: %d\n\n" % number)
            await asyncio.sleep(0)
        exchange.end()
        exchange.write(b"too late")
        exchange.end()

    async def do_slow_stream(self, exchange: Exchange) -> None:
        exchange.begin(200)
        await self.release.wait()
        exchange.write(b"data: end\n\n")
        exchange.end()

    async def do_pour(self, exchange: Exchange) -> None:
        exchange.begin(200)
        try:
            while True:
                exchange.write(b"x" * 65536)
                self.poured += 1
                await asyncio.sleep(0)
        except asyncio.CancelledError as error:
            self.ended.append(str(error))
            raise

    def do_break(self, exchange: Exchange) -> None:
        raise ZeroDivisionError

    async def do_break_later(self, exchange: Exchange) -> None:
        raise ZeroDivisionError

    def do_silence(self, exchange: Exchange) -> None:
        """Answers nothing."""

    async def do_silence_later(self, exchange: Exchange) -> None:
        """Answers nothing, and that later."""

    async def do_half(self, exchange: Exchange) -> None:
        exchange.begin(200)
        exchange.write(b"data: half\n\n")
        raise ZeroDivisionError

    def do_cut(self, exchange: Exchange) -> None:
        exchange.begin(200)
        exchange.write(b"data: half\n\n")
        exchange.cut()
