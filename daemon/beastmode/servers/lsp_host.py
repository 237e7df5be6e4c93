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
LINE_MAX_BYTES = 64 * 1024
SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)


def find_worker() -> str | None:
    """The module to run as the worker, by its entry point; None where it is not installed."""
    for one in importlib.metadata.entry_points(group=GROUP, name=NAME):
        return one.value.partition(":")[0]
    return None


class LspHost:
    """Listens for editors, and sees to the worker.

    Args:
        paths: The home.
        settings: Of the door.
        version: Of this program.
        log_level: Least level of events in the log.
        clock: Time.
        environ: Of the daemon; what looks like a secret is kept from the worker.
        find: Names the worker's module.

    Attributes:
        path: The socket; None while it is shut.
        pid: The worker's process; None while none runs.
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
    ) -> None:
        self._paths = paths
        self._settings = settings
        self._version = version
        self._log_level = log_level
        self._clock = clock
        self._environ = environ
        self._find = find
        self._listening: socket.socket | None = None
        self._running: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._crashes = 0
        self._last_words = ""
        self.path: Path | None = None
        self.problem: Issue | None = None

    @property
    def pid(self) -> int | None:
        """The worker's process."""
        return self._process.pid if self._process is not None else None

    def open(self) -> None:
        """Binds the socket as 0600: who connects waits until the worker is there."""
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
            why = f"The door for editors is shut: {path}: {error.strerror or error}."
            self.problem = Issue("lsp", "degraded", why, f"move {path} aside, then: beast restart")
            log.warning("door for editors is shut", extra={"fields": {"path": str(path), "why": str(error)}})
            return
        self._listening, self.path = listening, path

    def start(self) -> None:
        """Starts the worker beside what else the daemon does, again and again if need be."""
        if self._listening is not None:
            self._running = asyncio.get_running_loop().create_task(self._keep())

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

    async def _keep(self) -> None:
        module = await asyncio.to_thread(self._find)
        if module is None:
            self._shut(
                "the package beastmode_lsp is not installed with it", "install BEAST MODE anew, then: beast restart"
            )
            return
        while True:
            began_s = self._clock.mono_s()
            try:
                code = await self._live_once(module)
                why = self._last_words or f"it ended with exit code {code}"
            except OSError as error:
                why = f"it can not be started: {error.strerror or error}"
            lasted = self._clock.mono_s() - began_s >= STEADY_S
            self._crashes = 1 if lasted else self._crashes + 1
            log.warning("worker for editors ended", extra={"fields": {"why": why, "times": self._crashes}})
            if self._crashes >= CRASHES_THAT_COUNT:
                cause = f"The server for editors ended {self._crashes} times in a row: {why}."
                self.problem = Issue("lsp", "degraded", cause, f"read {self._paths.log_file}, then: beast restart")
            await self._clock.sleep(PAUSES_S[min(self._crashes, len(PAUSES_S)) - 1])

    def _shut(self, why: str, tip: str) -> None:
        self.problem = Issue("lsp", "degraded", f"Editors are not served: {why}.", tip)
        log.warning("editors are not served", extra={"fields": {"why": why}})

    async def _live_once(self, module: str) -> int:
        """Runs the worker until it ends; cancelled, it ends it."""
        assert self._listening is not None
        descriptor = os.dup(self._listening.fileno())
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # never modules of the folder we happen to be in
                "-m",
                module,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(descriptor,),
                env={name: value for name, value in self._environ.items() if not SECRET.search(name)},
                cwd=self._paths.run,
                limit=LINE_MAX_BYTES,
                start_new_session=True,  # Ctrl-C at a terminal is for the daemon, which drains first
            )
        finally:
            child_sees = descriptor
            os.close(descriptor)
        process = self._process
        assert process.stdin and process.stdout and process.stderr
        reading = [
            asyncio.ensure_future(self._read_words(process.stdout, self._take_word)),
            asyncio.ensure_future(self._read_words(process.stderr, self._take_log)),
        ]
        try:
            process.stdin.write(self._orders(child_sees))
            return await process.wait()
        finally:
            await self._end(process)
            self._process = None
            for one in reading:
                one.cancel()

    async def _end(self, process: asyncio.subprocess.Process) -> None:
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

    def _orders(self, descriptor: int) -> bytes:
        orders = {
            "listen": descriptor,
            "rpc": str(self._paths.rpc_socket),
            "version": self._version,
            "max_document_bytes": self._settings.max_document_bytes,
            "log_level": self._log_level,
        }
        return json.dumps(orders).encode() + b"\n"

    async def _read_words(self, stream: asyncio.StreamReader, take: Callable[[bytes], None]) -> None:
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # longer than a line may be: what there is of it is dropped
                continue
            if not line:
                return
            take(line.strip())

    def _take_word(self, line: bytes) -> None:
        if line == b'{"ready": true}':
            self._last_words = ""
            log.info("worker for editors ready", extra={"fields": {"pid": self.pid, "socket": str(self.path)}})

    def _take_log(self, line: bytes) -> None:
        try:
            said: Any = json.loads(line)
            event, level, fields = str(said["event"]), str(said["level"]), dict(said.get("fields") or {})
        except (ValueError, KeyError, TypeError):
            self._last_words = line.decode(errors="replace")[:200]
            log.warning("worker for editors said", extra={"fields": {"line": self._last_words}})
            return
        number = logging.getLevelNamesMapping().get(level.upper(), logging.WARNING)
        if number >= logging.CRITICAL:
            self._last_words = f"{event}: {fields.get('error', '')}"
        log.log(number, event, extra={"fields": {"worker": "lsp", **fields}})
