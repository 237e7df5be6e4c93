"""A real redis-server of the test's own, that can be frozen, killed and started again; and a relay that misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support.waiting import until

PROGRAM = "redis-server"
COMMAND = re.compile(rb"(?:^|\r\n)\*\d+\r\n")


class RedisServer:
    """A server without a port, on a Unix socket in a folder of its own.

    Args:
        *options: Further options of redis-server, such as `--requirepass`, `word`.
    """

    def __init__(self, *options: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="br-"))
        self.socket = self.folder / "redis.sock"
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        """Starts it, empty, and waits until it listens."""
        command = [PROGRAM, "--port", "0", "--unixsocket", str(self.socket), "--save", "", "--dir", str(self.folder)]
        self.process = subprocess.Popen(
            [*command, *self.options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )
        until(self._listens)

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as tried:
            return tried.connect_ex(str(self.socket)) == 0

    def kill(self) -> None:
        """Ends it as kill -9 does, from whatever state it is in."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        self.socket.unlink(missing_ok=True)

    def freeze(self) -> None:
        """Stops it in its tracks: it still accepts connections, and says nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    async def ask(self, *command: str | bytes) -> object:
        """Sends one command over a connection of its own."""
        from redis.asyncio import Redis

        async with Redis(unix_socket_path=str(self.socket), protocol=2) as client:
            return await client.execute_command(*command)


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A running server."""
    need_redis()
    with RedisServer() as server:
        yield server


def need_redis() -> None:
    """Leaves the test out where there is no redis-server."""
    if shutil.which(PROGRAM) is None:
        pytest.skip(f"{PROGRAM} is not installed (Debian, Ubuntu: apt-get install redis-server)")


class Relay:
    """Stands between a client and a server.

    Attributes:
        delay_s: How long each reply is held back.
        reply: Is said in place of every reply, where it is not None.
    """

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._tasks: list[asyncio.Future[None]] = []
        self._writers: list[asyncio.StreamWriter] = []
        self.delay_s = 0.0
        self.reply: bytes | None = None
        self.url = ""

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection."""
        self._writers.append(writer)
        self._tasks.append(asyncio.ensure_future(self._serve(reader, writer)))

    async def close(self) -> None:
        """Ends every connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(str(self._server.socket))
        self._writers.append(to_server)
        self._tasks.append(asyncio.ensure_future(self._back(from_server, writer)))
        with contextlib.suppress(OSError):
            while sent := await reader.read(1 << 16):
                if self.reply is None:
                    to_server.write(sent)
                else:
                    writer.write(self.reply * len(COMMAND.findall(sent)))
        to_server.close()
        writer.close()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while said := await reader.read(1 << 16):
                await asyncio.sleep(self.delay_s)
                writer.write(said)


@asynccontextmanager
async def relayed(server: RedisServer) -> AsyncIterator[Relay]:
    """A relay on a free port of this machine."""
    relay = Relay(server)
    listening = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()
    relay.url = f"redis://{host}:{port}"
    try:
        yield relay
    finally:
        listening.close()
        await relay.close()
