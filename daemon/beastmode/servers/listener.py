"""Accepts connections of a listening socket, and lets them wait where the process runs out of descriptors."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import socket
from collections.abc import Callable

log = logging.getLogger(__name__)

BACKLOG = 128
ACCEPTS_PER_TURN = 32
PAUSE_S = 0.1
RESERVE_MAX = 64
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Listener:
    """Takes connections while there is room for them.

    Some descriptors are kept for the daemon's own work (files, calls to models), so that clients that are connected are
    served on while others wait. Without the pause a loop would wake for them again and again.

    Args:
        listening: A bound socket that does not block.
        make_protocol: Makes the protocol of each connection.
    """

    def __init__(self, listening: socket.socket, make_protocol: Callable[[], asyncio.Protocol]) -> None:
        self._listening = listening
        self._make_protocol = make_protocol
        self._loop = asyncio.get_running_loop()
        self._arriving: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._full = False

    def start(self) -> None:
        """Listens and accepts."""
        self._listening.listen(BACKLOG)
        self._loop.add_reader(self._listening, self._accept)

    def close(self) -> None:
        """Accepts nobody any more; the system turns away who waits."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()

    def _accept(self) -> None:
        try:
            for _ in range(ACCEPTS_PER_TURN):
                self._require_room()
                connection, _ = self._listening.accept()
                self._admit(connection)
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            self._full = False
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            self._wait(error)

    def _require_room(self) -> None:
        """Raises OSError where only the reserve is left: the system gives out the lowest number that is free."""
        lowest = os.dup(self._listening.fileno())
        os.close(lowest)
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit != resource.RLIM_INFINITY and lowest >= limit - min(RESERVE_MAX, limit // 8):
            raise OSError(errno.EMFILE, f"{lowest} of {limit} descriptors are taken")

    def _wait(self, error: OSError) -> None:
        if not self._full:
            self._full = True
            log.warning("connections wait", extra={"fields": {"why": str(error)}})
        self._loop.remove_reader(self._listening)
        self._pause = self._loop.call_later(PAUSE_S, self._go_on)

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
