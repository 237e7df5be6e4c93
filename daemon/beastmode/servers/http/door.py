"""The HTTP door as a whole: the port, its token, its checks, its paths; a port that is taken is a warning, no end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from pathlib import Path

from beastmode.core.settings import HttpSettings
from beastmode.metrics.health import Issue
from beastmode.servers.http.gate import Gate
from beastmode.servers.http.pings import Pings
from beastmode.servers.http.reading import Limits
from beastmode.servers.http.routes import Router
from beastmode.servers.http.server import HttpServer
from beastmode.servers.services import Services
from beastmode.servers.token import Token

log = logging.getLogger(__name__)

PROC = Path("/proc")
_LISTENS = "0A"


class HttpDoor:
    """Opens the port.

    Args:
        services: The daemon's parts.
        settings: Where to listen.
        token: What callers must show.

    Attributes:
        url: Where it is; None while it is shut.
        problem: Why it is shut, though it should be open.
    """

    def __init__(self, services: Services, settings: HttpSettings, token: Token) -> None:
        self._settings = settings
        self._pings = Pings()
        router = Router(services, self._pings)
        names = frozenset({*settings.names, settings.host} - {"0.0.0.0", "::", ""})  # noqa: S104  # no names
        gate = Gate(token=lambda: token.value, own_hosts=lambda: names)
        limits = Limits(body_bytes=settings.max_body_bytes)
        self._server = HttpServer(router, gate, clock=services.clock, limits=limits, refusal=router.refusal)
        self.url: str | None = None
        self.problem: Issue | None = None

    async def open(self) -> None:
        """Listens; where the port is taken, says who holds it and leaves the door shut."""
        host, port = self._settings.host, self._settings.port
        try:
            self._server.bind(host, port)
        except OSError as error:
            holder = await asyncio.to_thread(holder_of, port)
            why = f"held by {holder}" if holder else error.strerror or str(error)
            self.problem = Issue(
                "http",
                "degraded",
                f"The HTTP door is shut: {host}:{port} is {why}."
                if holder
                else f"The HTTP door is shut: {host}:{port}: {why}.",
                "end that program, or choose another port: http.port in config.toml (0: any), then beast restart",
            )
            log.warning("http door is shut", extra={"fields": {"host": host, "port": port, "why": why}})
            return
        self._server.start()
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.port}"

    async def close(self) -> None:
        """Accepts nobody any more, and lets what runs end."""
        self._pings.close()
        if self.url is not None:
            await self._server.stop()
            self.url = None


def holder_of(port: int, proc: Path = PROC) -> str | None:
    """Finds the program that listens on a port of this machine; looks through /proc, so call it in a thread.

    Args:
        port: The port.
        proc: Where the kernel shows its processes.

    Returns:
        Its name and process id; None where that can not be seen.
    """
    inodes = _listeners(port, proc)
    for process in proc.iterdir() if inodes else ():
        if process.name.isdecimal() and _holds(process, inodes):
            with contextlib.suppress(OSError):
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
    return None


def _listeners(port: int, proc: Path) -> set[str]:
    """Inodes of the sockets that listen on a port."""
    found = set()
    for table in ("net/tcp", "net/tcp6"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            for line in (proc / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    return found


def _holds(process: Path, inodes: set[str]) -> bool:
    with contextlib.suppress(OSError):
        for handle in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(handle) in inodes:  # noqa: PTH115  # the link leads nowhere
                    return True
    return False
