"""Keeps the process alive that reads workspaces: started with the first of them, started again where it ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from beastmode.core.clock import Clock
from beastmode.workspace.index.orders import Order, Word

log = logging.getLogger(__name__)

MODULE = "beastmode.workspace.index"
PAUSES_S = (0.2, 1.0, 2.0, 5.0, 15.0, 60.0)
CRASHES_THAT_COUNT = 3
STEADY_S = 30.0
END_LIMIT_S = 2.0
LINE_MAX_BYTES = 16 << 20
WORDS_CHARACTERS = 200
SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)


class Indexer:
    """Gives orders to the process and hears what it says.

    Args:
        hear: Takes every word, on the event loop.
        clock: Time.
        environ: Of the daemon; what looks like a secret is kept from the process.
        folder: Where it runs.
        steady_s: How long it must live so that nothing is held against it.
        module: What it runs.

    Attributes:
        problem: Why workspaces are not followed, though they should be.
    """

    def __init__(
        self,
        hear: Callable[[Word], None],
        clock: Clock,
        environ: Mapping[str, str],
        folder: Path,
        steady_s: float = STEADY_S,
        module: str = MODULE,
    ) -> None:
        self._module = module
        self._hear = hear
        self._clock = clock
        self._environ = {name: value for name, value in environ.items() if not SECRET.search(name)}
        self._folder = folder
        self._steady_s = steady_s
        self._orders: dict[str, Order] = {}
        self._cutting: dict[str, str] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._running: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._crashes = 0
        self._last_words = ""
        self.problem: str | None = None

    @property
    def pid(self) -> int | None:
        """The process; None while none runs."""
        return self._process.pid if self._process is not None else None

    def open(self, order: Order) -> None:
        """Has a workspace read and followed; returns at once.

        Args:
            order: Which, and with what limits.
        """
        self._orders[order.root] = order
        self._send(order)
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._keep())

    def close(self, root: str) -> None:
        """Has a workspace followed no more; without any the process ends. Returns at once.

        Args:
            root: Which.
        """
        if self._orders.pop(root, None) is None:
            return
        self._send(Order(op="close", root=root))
        if not self._orders and self._running is not None:
            self._running.cancel()
            self._ending, self._running, self.problem = self._running, None, None

    async def end(self) -> None:
        """Ends the process."""
        self._orders.clear()
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
        for one in (running, self._ending):
            if one is not None:
                await asyncio.wait([one])

    def _send(self, order: Order) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError, RuntimeError):  # where it has just ended, all orders are given anew
                self._process.stdin.write(msgspec.json.encode(order) + b"\n")

    async def _keep(self) -> None:
        if self._ending is not None:  # two of them would write the same catalogues
            await asyncio.wait([self._ending])
        while True:
            began_s = self._clock.mono_s()
            self._last_words = ""
            try:
                why = await self._live()
            except Exception as error:  # it can not be started, or what it says is no word
                why = f"{type(error).__name__}: {error}"
            if self._clock.mono_s() - began_s >= self._steady_s:
                self._crashes = 0
            self._crashes += 1
            self._learn_from_crash()
            log.warning("reader of workspaces ended", extra={"fields": {"why": why, "times": self._crashes}})
            if self._crashes >= CRASHES_THAT_COUNT:
                self.problem = f"The process that reads workspaces ended {self._crashes} times in a row: {why}."
            await self._clock.sleep(PAUSES_S[min(self._crashes, len(PAUSES_S)) - 1])

    async def _live(self) -> str:
        """One life of the process; where this is cancelled, it is ended."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # never modules of the folder we happen to be in
            "-m",
            self._module,
            stdin=asyncio.subprocess.PIPE,  # its end tells the process that the daemon has gone, however that came
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environ,
            cwd=self._folder,
            limit=LINE_MAX_BYTES,
            start_new_session=True,  # Ctrl-C at a terminal is for the daemon, which drains first
        )
        self._process = process
        steady = asyncio.get_running_loop().call_later(self._steady_s, self._prove)
        try:
            for order in self._orders.values():
                self._send(order)
            assert process.stdout is not None and process.stderr is not None
            await asyncio.gather(self._listen(process.stdout), self._listen_to_errors(process.stderr))
            code = await process.wait()
        finally:
            steady.cancel()
            if self._process is process:
                self._process = None
            await _end(process)
        return self._last_words or f"exit code {code}"

    def _prove(self) -> None:
        self._crashes, self.problem = 0, None

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            word = msgspec.json.decode(line, type=Word)
            if word.event == "cutting":
                self._cutting[word.root] = word.paths[0]
            elif word.root in self._orders:
                if word.event == "ready":
                    self._cutting.pop(word.root, None)
                self._hear(word)

    async def _listen_to_errors(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            self._last_words = line.decode(errors="replace").strip()[:WORDS_CHARACTERS]
            log.debug("reader of workspaces said", extra={"fields": {"line": self._last_words}})

    def _learn_from_crash(self) -> None:
        """The next life says which file it cuts; a file in the midst of which a life ended is left out from then on."""
        for root, order in self._orders.items():
            poison, path = order.poison, self._cutting.pop(root, "")
            if path and path not in poison:
                log.warning("a file is left out", extra={"fields": {"root": root, "path": path}})
                poison = [*poison, path]
            self._orders[root] = msgspec.structs.replace(order, careful=True, poison=poison)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Closing its standard input ends the process; where that takes too long, it is killed."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(END_LIMIT_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
