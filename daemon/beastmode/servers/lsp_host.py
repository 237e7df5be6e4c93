"""The door for editors: binds its socket, and keeps the worker alive that serves it in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import json
import logging
import os
import re
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from beastmode.core.clock import Clock
from beastmode.core.paths import Paths
from beastmode.core.settings import LspSettings
from beastmode.metrics.health import Issue

log = logging.getLogger(__name__)

GROUP, NAME = "beastmode.workers", "lsp"
BACKLOG = 128
PAUSES_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_S = 10.0
CRASHES_THAT_COUNT = 3
END_LIMIT_S = 3.0
LAST_WORDS_S = 0.5
LINE_MAX_BYTES = 64 * 1024
WORDS_CHARACTERS = 200
SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)


def find_worker() -> str | None:
    """The module to run as the worker, by its entry point; None where it is not installed."""
    for one in importlib.metadata.entry_points(group=GROUP, name=NAME):
        return one.value.partition(":")[0]
    return None


class LspHost:
    """Listens for editors, and sees to it that a worker serves them.

    Args:
        paths: The home.
        settings: Of the door.
        version: Of this program.
        log_level: Least level of events in the log.
        clock: Time.
        environ: Of the daemon; what looks like a secret is kept from the worker.
        find: Names the worker's module.
        steady_s: How long a worker must live so that nothing is held against it.

    Attributes:
        path: The socket; None while it is shut.
        problem: Why editors are not served, though they should be.
    """

    def __init__(
        self,
        paths: Paths,
        settings: LspSettings,
        version: str,
        log_level: str,
        clock: Clock,
        environ: Mapping[str, str],
        find: Callable[[], str | None] = find_worker,
        steady_s: float = STEADY_S,
    ) -> None:
        self._paths = paths
        self._orders = {
            "rpc": str(paths.rpc_socket),
            "version": version,
            "max_document_bytes": settings.max_document_bytes,
            "log_level": log_level,
        }
        self._clock = clock
        self._environ = {name: value for name, value in environ.items() if not SECRET.search(name)}
        self._find = find
        self._steady_s = steady_s
        self._listening: socket.socket | None = None
        self._running: asyncio.Task[None] | None = None
        self._proving: asyncio.TimerHandle | None = None
        self._worker: Worker | None = None
        self._crashes = 0
        self.path: Path | None = None
        self.problem: Issue | None = None

    @property
    def pid(self) -> int | None:
        """The worker's process; None while none runs."""
        return self._worker.pid if self._worker is not None else None

    def open(self) -> None:
        """Binds the socket as 0600: who connects waits until the worker is there. Trouble ends no daemon."""
        path = self._paths.lsp_socket
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            before = os.umask(0o177)
            try:
                listening.bind(str(path))
            finally:
                os.umask(before)
            listening.setblocking(False)
            listening.listen(BACKLOG)
        except OSError as error:
            listening.close()
            why = error.strerror or str(error)
            self._shut(f"The door for editors is shut: {path}: {why}.", f"move {path} aside, then: beast restart")
            return
        self._listening, self.path = listening, path

    def start(self) -> None:
        """Starts the worker beside what else the daemon does, again and again if need be."""
        if self._listening is not None:
            self._running = asyncio.get_running_loop().create_task(self._keep(self._listening))

    async def close(self) -> None:
        """Nobody can connect any more; the worker says goodbye to its editors and ends."""
        if self._listening is not None:
            with contextlib.suppress(OSError):
                self._paths.lsp_socket.unlink()
            self._listening.close()
            self._listening = self.path = None
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.wait([running])

    def _shut(self, cause: str, tip: str) -> None:
        self.problem = Issue("lsp", "degraded", cause, tip)
        log.warning("editors are not served", extra={"fields": {"why": cause}})

    async def _keep(self, listening: socket.socket) -> None:
        """Keeps a worker alive: one that ends is followed by another, after longer and longer pauses."""
        module = await asyncio.to_thread(self._find)
        if module is None:
            cause = "Editors are not served: no package here has the worker for it (beastmode_lsp)."
            self._shut(cause, "install BEAST MODE anew, then: beast restart")
            return
        while True:
            self._worker = worker = Worker(module, self._environ, self._paths.run, self._ready)
            try:
                why = await worker.live(listening, self._orders)
            except OSError as error:
                why = f"it can not be started: {error.strerror or error}"
            finally:
                self._worker = None
                if self._proving is not None:
                    self._proving.cancel()
            self._crashes += 1
            log.warning("worker for editors ended", extra={"fields": {"why": why, "times": self._crashes}})
            if self._crashes >= CRASHES_THAT_COUNT:
                cause = f"The server for editors ended {self._crashes} times in a row: {why}."
                self.problem = Issue("lsp", "degraded", cause, f"read {self._paths.log_file}, then: beast restart")
            await self._clock.sleep(PAUSES_S[min(self._crashes, len(PAUSES_S)) - 1])

    def _ready(self) -> None:
        log.info("worker for editors ready", extra={"fields": {"pid": self.pid, "socket": str(self.path)}})
        self._proving = asyncio.get_running_loop().call_later(self._steady_s, self._prove)

    def _prove(self) -> None:
        """The worker has lived for a while: it is well."""
        self._crashes, self.problem = 0, None


class Worker:
    """One life of the worker: its process, its orders, what it says.

    Args:
        module: What it runs.
        environ: Its environment.
        folder: Where it runs.
        ready: Called when it serves.
    """

    def __init__(self, module: str, environ: Mapping[str, str], folder: Path, ready: Callable[[], None]) -> None:
        self._module = module
        self._environ = environ
        self._folder = folder
        self._ready = ready
        self._process: asyncio.subprocess.Process | None = None
        self._last_words = ""

    @property
    def pid(self) -> int | None:
        """Its process."""
        return self._process.pid if self._process is not None else None

    async def live(self, listening: socket.socket, orders: Mapping[str, Any]) -> str:
        """Runs until it ends; where this is cancelled, it is ended.

        Args:
            listening: The bound socket that it serves.
            orders: What else it must know.

        Returns:
            Why it ended.

        Raises:
            OSError: It can not be started.
        """
        descriptor = os.dup(listening.fileno())
        try:
            process = self._process = await self._spawn(descriptor)
        finally:
            os.close(descriptor)
        assert process.stdin and process.stdout and process.stderr
        hearing = [
            asyncio.ensure_future(_each_line(process.stdout, self._hear_word)),
            asyncio.ensure_future(_each_line(process.stderr, self._hear_log)),
        ]
        try:
            process.stdin.write(json.dumps({"listen": descriptor, **orders}).encode() + b"\n")
            code = await process.wait()
        finally:
            await _end(process)
            await asyncio.wait(hearing, timeout=LAST_WORDS_S)
            for one in hearing:
                one.cancel()
        return self._last_words or f"it ended with exit code {code}"

    async def _spawn(self, descriptor: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # never modules of the folder we happen to be in
            "-m",
            self._module,
            stdin=asyncio.subprocess.PIPE,  # its end tells the worker that the daemon has gone, however that came
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=(descriptor,),
            env=self._environ,
            cwd=self._folder,
            limit=LINE_MAX_BYTES,
            start_new_session=True,  # Ctrl-C at a terminal is for the daemon, which drains first
        )

    def _hear_word(self, line: bytes) -> None:
        if line == b'{"ready": true}':
            self._ready()

    def _hear_log(self, line: bytes) -> None:
        """Writes into our log what the worker logs: events of its own, or the last words of its interpreter."""
        try:
            said: Any = json.loads(line)
            event, level, fields = str(said["event"]), str(said["level"]), dict(said.get("fields") or {})
        except (ValueError, KeyError, TypeError):
            self._last_words = line.decode(errors="replace")[:WORDS_CHARACTERS]
            log.warning("worker for editors said", extra={"fields": {"line": self._last_words}})
            return
        number = logging.getLevelNamesMapping().get(level.upper(), logging.WARNING)
        if number >= logging.CRITICAL:
            self._last_words = str(fields.get("error") or event)[:WORDS_CHARACTERS]
        log.log(number, event, extra={"fields": {"worker": "lsp", **fields}})


async def _each_line(stream: asyncio.StreamReader, take: Callable[[bytes], None]) -> None:
    while True:
        try:
            line = await stream.readline()
        except ValueError:  # longer than a line may be: what there is of it is dropped
            continue
        if not line:
            return
        take(line.strip())


async def _end(process: asyncio.subprocess.Process) -> None:
    """Closing its standard input ends the worker; where that takes too long, it is killed."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(END_LIMIT_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
