"""Accepts connections of a listening socket; where there is no room they wait, or are turned away politely."""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import os
import resource
import socket
from collections.abc import Callable

log = logging.getLogger(__name__)

BACKLOG = 128
ACCEPTS_PER_TURN = 32
PAUSE_S = 0.1
RESERVE_MAX = 64
TURNED_AWAY_MAX = 8
TURNED_AWAY_S = 0.1
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Listener:
    """Takes connections while there is room for them.

    Some descriptors are kept for the daemon's own work (files, calls to models), so that clients that are connected are
    served on while others wait. Without the pause a loop would wake for them again and again.

    Args:
        listening: A bound socket that does not block.
        make_protocol: Makes the protocol of each connection.
        refusal: What a client is told for whom there is no room; without it, it waits.
        is_full: Whether there is no room, of other reasons than descriptors, when so many are being let in.
    """

    def __init__(
        self,
        listening: socket.socket,
        make_protocol: Callable[[], asyncio.Protocol],
        *,
        refusal: bytes | None = None,
        is_full: Callable[[int], bool] | None = None,
    ) -> None:
        self._listening = listening
        self._make_protocol = make_protocol
        self._loop = asyncio.get_running_loop()
        self._arriving: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._full = False
        self._is_full = is_full
        self._farewells = Farewells(refusal, self._hurry) if refusal is not None else None

    def start(self) -> None:
        """Listens and accepts."""
        self._listening.listen(BACKLOG)
        self._loop.add_reader(self._listening, self._accept)

    def close(self) -> None:
        """Accepts nobody any more; the system turns away who waits."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if self._farewells is not None:
            self._farewells.close()
        self._loop.remove_reader(self._listening)
        self._listening.close()

    async def settle(self) -> None:
        """Waits, after `close`, until those who were being let in have their protocols."""
        if self._arriving:
            await asyncio.wait(set(self._arriving), timeout=1.0)

    def _accept(self) -> None:
        crowded: OSError | None = None
        try:
            for _ in range(ACCEPTS_PER_TURN):
                crowded = self._crowded()
                if crowded is not None and (self._farewells is None or self._farewells.busy):
                    raise crowded
                connection, _ = self._listening.accept()
                if crowded is None:
                    self._admit(connection)
                else:
                    assert self._farewells is not None
                    self._tell("connections are turned away", crowded)
                    self._farewells.say(connection)
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            self._full = crowded is not None and self._full
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            self._wait(error)

    def _crowded(self) -> OSError | None:
        """Why there is no room: only the reserve is left. The system gives out the lowest number that is free."""
        try:
            lowest = os.dup(self._listening.fileno())
        except OSError as error:
            return error
        os.close(lowest)
        limit, reserve = _limit_and_reserve()
        if lowest >= limit - reserve:
            return OSError(errno.EMFILE, f"{lowest} of {limit} descriptors are taken")
        if self._is_full is not None and self._is_full(len(self._arriving)):
            return OSError(errno.EMFILE, "there are as many connections as are allowed")
        return None

    def _tell(self, event: str, why: OSError) -> None:
        """Writes it into the log, once until there is room again."""
        if not self._full:
            self._full = True
            log.warning(event, extra={"fields": {"why": str(why)}})

    def _wait(self, error: OSError) -> None:
        self._tell("connections wait", error)
        self._loop.remove_reader(self._listening)
        self._pause = self._loop.call_later(PAUSE_S, self._go_on)

    def _hurry(self) -> None:
        """Somebody who was turned away has gone: the next may hear it without waiting for the end of the pause."""
        if self._pause is not None:
            self._pause.cancel()
            self._go_on()

    def _go_on(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listening, self._accept)

    def _admit(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        task = self._loop.create_task(self._connect(connection))
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make_protocol, connection)
        except OSError as error:  # it has gone already, or there is no room for it
            connection.close()
            log.info("connection lost at once", extra={"fields": {"why": str(error)}})


def _limit_and_reserve() -> tuple[float, int]:
    """How many descriptors there may be, and how many of them are kept for the daemon's own work."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (math.inf, RESERVE_MAX) if limit == resource.RLIM_INFINITY else (limit, min(RESERVE_MAX, limit // 8))


class Farewells:
    """Tells clients for whom there is no room so, a few at a time, and closes once they have gone or a moment later.

    A socket that is closed with unread input is reset, and then its peer may not see what it was told.

    Args:
        text: What they are told.
        when_gone: Called each time that one has gone.
    """

    def __init__(self, text: bytes, when_gone: Callable[[], None]) -> None:
        self._text = text
        self._when_gone = when_gone
        self._loop = asyncio.get_running_loop()
        self._leaving: dict[socket.socket, asyncio.TimerHandle] = {}

    @property
    def busy(self) -> bool:
        """No more can be turned away for now: each takes a descriptor of the reserve, of which most stays free."""
        return len(self._leaving) >= max(1, min(TURNED_AWAY_MAX, _limit_and_reserve()[1] // 4))

    def say(self, connection: socket.socket) -> None:
        """Turns a client away."""
        try:
            connection.setblocking(False)
            connection.send(self._text)
            connection.shutdown(socket.SHUT_WR)
        except OSError:  # it has gone already
            connection.close()
            return
        self._leaving[connection] = self._loop.call_later(TURNED_AWAY_S, self._close, connection)
        self._loop.add_reader(connection, self._drain, connection)

    def close(self) -> None:
        """Waits for nobody any more."""
        for connection in list(self._leaving):
            self._close(connection)

    def _drain(self, connection: socket.socket) -> None:
        try:
            if connection.recv(1 << 16):
                return
        except BlockingIOError:
            return
        except OSError:  # a reset ends it as well
            pass
        self._close(connection)

    def _close(self, connection: socket.socket) -> None:
        self._leaving.pop(connection).cancel()
        self._loop.remove_reader(connection)
        connection.close()
        self._when_gone()
