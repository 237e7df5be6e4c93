"""The HTTP door's port: binds it, counts its connections, ends those whose patience is over, drains."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence

from beastmode.core.clock import Clock
from beastmode.servers.http.connection import Connection
from beastmode.servers.http.exchange import JSON, Handler
from beastmode.servers.http.gate import Gate, Refusal
from beastmode.servers.http.reading import Limits
from beastmode.servers.http.reply import date_line, default_refusal, whole
from beastmode.servers.listener import BACKLOG, Listener

LOOK_S = 0.05
_FULL = Refusal(503, "The daemon has more connections than it can take.", ("try again",), (("retry-after", "1"),))

Refuse = Callable[[str, int, str, Sequence[str]], bytes]


class HttpServer:
    """Listens on one port.

    Args:
        handle: Answers requests.
        gate: Looks at their heads.
        limits: What a client may cost.
        clock: Time.
        refusal: Makes the body of what is refused here, from path, status, message and tips.

    Attributes:
        now_s: A coarse clock, for deadlines.
        date: The line of the date, as replies carry it.
        draining: No further requests are taken.
        unfinished_bytes: Of bodies that are not whole yet.
        tasks: What is being answered.
        connections: All that are open.
        paused: Those that are not read from.
    """

    def __init__(
        self,
        handle: Handler,
        gate: Gate,
        *,
        clock: Clock,
        limits: Limits | None = None,
        refusal: Refuse = default_refusal,
    ) -> None:
        self.handle = handle
        self.gate = gate
        self.limits = limits or Limits()
        self.now_s = 0.0
        self.date = b""
        self.draining = False
        self.unfinished_bytes = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self.connections: set[Connection] = set()
        self._clock = clock
        self._refusal = refusal
        self._date_s = 0
        self._listening: socket.socket | None = None
        self._listener: Listener | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None
        self.paused: set[Connection] = set()
        self._empty = asyncio.Event()

    @property
    def port(self) -> int | None:
        """Where it listens; None before `bind` and after `stop`."""
        return self._listening.getsockname()[1] if self._listening is not None else None

    def bind(self, host: str = "127.0.0.1", port: int = 0) -> socket.socket:
        """Takes a port; who connects is answered from `start` on.

        Args:
            host: An address of this machine.
            port: 0 for any.

        Returns:
            The socket; it belongs to the server.

        Raises:
            OSError: The port is taken, or the address is none of this machine.
        """
        listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections inherit it
            listening.setblocking(False)
            listening.bind((host, port))
            listening.listen(BACKLOG)  # two that only bind a port do not notice each other
        except OSError:
            listening.close()
            raise
        self._listening = listening
        self.gate.port = self.port
        return listening

    def start(self) -> None:
        """Answers who connects; the port must have been bound."""
        assert self._listening is not None
        self._tick()
        full = whole(_FULL.status, body := self.body_of(_FULL, ""), _FULL.headers, JSON, b"", b"connection: close\r\n")
        self._listener = Listener(
            self._listening,
            lambda: Connection(self),
            refusal=b"".join([*full, body]),
            is_full=lambda arriving: len(self.connections) + arriving >= self.limits.connections,
        )
        self._listener.start()

    async def stop(self, limit_s: float = 1.0) -> None:
        """Accepts nobody any more, closes who asks nothing, and lets what runs end for a while; then it is ended.

        Args:
            limit_s: How long.
        """
        self.draining = True
        if self._listener is not None:
            self._listener.close()
            await self._listener.settle()
        elif self._listening is not None:
            self._listening.close()
        self._listener = self._listening = None
        for connection in list(self.connections):
            connection.retire()
        await self._until_empty(limit_s)
        for connection in list(self.connections):
            connection.abort()
        await self._until_empty(1.0)
        if self.tasks:
            await asyncio.wait(set(self.tasks), timeout=1.0)
        for timer in (self._sweep, self._look):
            if timer is not None:
                timer.cancel()

    async def _until_empty(self, limit_s: float) -> None:
        if self.connections:
            self._empty.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), limit_s)

    def body_of(self, refusal: Refusal, path: str) -> bytes:
        """The body that a refusal is sent with.

        Args:
            refusal: Why.
            path: Of the request.
        """
        return self._refusal(path, refusal.status, refusal.message, refusal.tips)

    # -- what connections tell --------------------------------------------------------------------------------------

    def add(self, connection: Connection) -> None:
        """Takes note of a new connection."""
        if self._sweep is None:
            self._tick()
            connection.deadline_s = self.now_s + self.limits.connect_s
            self._sweep = asyncio.get_running_loop().call_later(self.limits.sweep_s, self._sweep_all)
        self.connections.add(connection)

    def forget(self, connection: Connection) -> None:
        """Takes note of a closed one."""
        self.connections.discard(connection)
        self.paused.discard(connection)
        if not self.connections:
            self._empty.set()

    def watch(self, connection: Connection) -> None:
        """Looks now and then whether a client that is not read from has gone."""
        self.paused.add(connection)
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(LOOK_S, self._look_at_paused)

    # -- timers: one for all ----------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self.now_s = self._clock.mono_s()
        wall_s = self._clock.wall_s()
        if int(wall_s) != self._date_s:
            self._date_s = int(wall_s)
            self.date = date_line(wall_s)

    def _sweep_all(self) -> None:
        self._sweep = None
        self._tick()
        for connection in [one for one in self.connections if one.deadline_s < self.now_s]:
            connection.expire()
        if self.connections:
            self._sweep = asyncio.get_running_loop().call_later(self.limits.sweep_s, self._sweep_all)

    def _look_at_paused(self) -> None:
        self._look = None
        self.paused = {one for one in self.paused if not one.left()}
        if self.paused:
            self._look = asyncio.get_running_loop().call_later(LOOK_S, self._look_at_paused)
