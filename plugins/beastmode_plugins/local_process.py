"""One local model in its child process: started, asked one question at a time, watched, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import aiohttp
import msgspec

from beastmode.core.clock import Clock
from beastmode.core.errors import (
    ContextTooLongError,
    EndpointUnreachableError,
    MalformedReplyError,
    ProviderError,
    UpstreamError,
    UpstreamTimeoutError,
)
from beastmode.core.paths import SOCKET_PATH_MAX_BYTES
from beastmode.core.plugins import Call, OnDelta
from beastmode.core.types import Completion
from beastmode.wire import openai_chat, openai_completions
from beastmode.wire.target import Errand, target
from beastmode.wire.upstream import Upstream
from beastmode_plugins.local_child import Orders, Word
from beastmode_plugins.local_gap import Marks, as_text, marks_of
from beastmode_plugins.weights_catalogue import catalogue

LOAD_LIMIT_S = 180.0
TAIL_BYTES = 4096
BASE_URL = "http://local-model"
SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
LOG_LINE = re.compile(r"^[\d.]+ E \S+(?:\s+\S+)?: (.*)", re.MULTILINE)


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: ours without anything that may be a secret.

    Args:
        environ: Our environment.
    """
    return {name: value for name, value in environ.items() if not SECRET.search(name)}


def socket_path(run: Path) -> Path:
    """A new path for a socket, in a folder of this user alone, short enough for the kernel.

    Args:
        run: Folder for sockets.
    """
    path = run / f"local-{secrets.token_hex(4)}.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_MAX_BYTES:
        return path
    return Path(tempfile.mkdtemp(prefix="beast-local-")) / "m.sock"


class LocalProcess:
    """A model file, loaded in a child process.

    Args:
        model: The id it is asked by, for errors.
        path: The GGUF file.
        run: Folder for the socket.
        clock: Time.
        orders: Makes the child's orders of a socket and a key.
    """

    def __init__(self, model: str, path: Path, run: Path, clock: Clock, orders: Callable[[Path, str], Orders]) -> None:
        self.path = path
        self.users = 0
        self.last_used_s = clock.mono_s()
        self.turn = asyncio.Lock()
        self._model = model
        self._run = run
        self._clock = clock
        self._make_orders = orders
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None
        self._socket: Path | None = None
        self._key = secrets.token_urlsafe(32)
        self._tail = bytearray()
        self._listener: asyncio.Task[None] | None = None
        self._marks: Marks | None = None
        self._stopped = False
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def alive(self) -> bool:
        """It is loaded and its process runs."""
        return self._session is not None and self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        """The child's process id."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Starts the child and waits until the model is loaded.

        Raises:
            UpstreamError: It can not be loaded; the child is gone.
        """
        try:
            self._socket = await asyncio.to_thread(socket_path, self._run)
            self._marks = await asyncio.to_thread(marks_of, self.path)
            word = await self._spawn(self._make_orders(self._socket, self._key))
            if not word.ready:
                raise await self._not_loaded(word)
        except BaseException:
            await self.stop()
            raise
        connector = aiohttp.UnixConnector(str(self._socket), force_close=True)  # a closed connection ends the answer
        # A small machine may read a long prompt for more than the five minutes that aiohttp gives a whole answer.
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))
        self._upstream = Upstream(self._session, self._clock)

    async def _spawn(self, orders: Orders) -> Word:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # never modules of the folder we happen to be in
            "-m",
            "beastmode_plugins.local_child",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=child_environment(os.environ),
            cwd=self._run,
            start_new_session=True,  # Ctrl-C at a terminal is for the daemon, which drains first
        )
        process = self._process
        if self._stopped:
            process.kill()  # the daemon closed while the process was being made
        assert process.stdin and process.stdout and process.stderr
        self._listener = asyncio.ensure_future(self._listen(process.stderr))
        try:
            process.stdin.write(msgspec.json.encode(orders) + b"\n")
            await process.stdin.drain()
            async with asyncio.timeout(LOAD_LIMIT_S):
                line = await process.stdout.readline()
            return msgspec.json.decode(line, type=Word)
        except TimeoutError:
            return Word(error=f"it did not load within {LOAD_LIMIT_S:g} s")
        except (ConnectionError, ValueError):  # it died first; its exit code says how
            return Word()

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        """Keeps the end of what the child complains about, and its pipe empty."""
        while piece := await stream.read(TAIL_BYTES):
            self._tail += piece
            del self._tail[:-TAIL_BYTES]

    async def _not_loaded(self, word: Word) -> UpstreamError:
        ended = await self._ended_within(1.0)
        if self._listener is not None and ended:
            await asyncio.wait([self._listener], timeout=1.0)
        complaint = LOG_LINE.search(self._tail.decode("utf-8", "replace"))
        lines = self._tail.decode("utf-8", "replace").strip().splitlines()
        reason = complaint[1] if complaint else word.error or (lines[-1] if lines else self._how_it_ended())
        if self.path.parent.name in catalogue():
            tips = [f"Check the file, and mend it: beast models fetch {self.path.parent.name}"]
        else:
            tips = [f"It must be a whole GGUF file; compare its size with where it came from: ls -l {self.path}"]
        message = f"{self._model} can not be loaded from {self.path}: {reason.strip()[:300]}"
        return UpstreamError(message, tips=tips, model=self._model)

    async def ask(self, call: Call, on_delta: OnDelta | None) -> Completion:
        """Answers one request; the caller holds `turn`.

        Args:
            call: The request.
            on_delta: Gets the text as it comes.

        Raises:
            ProviderError: With tips.
        """
        continues = call.request.kind == "completion"
        way, path = (openai_completions, "/v1/completions") if continues else (openai_chat, "/v1/chat/completions")
        errand = Errand(target(BASE_URL, path), self._model, self._key, call.timeout_s, way.PROTOCOL)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        # Always a stream: silence then means that the child hangs, not that the answer is long.
        request = as_text(call.request, self._marks) if continues else call.request
        body = way.encode(request, self.path.stem, True)
        reader = openai_chat.ChatStream(on_delta or (lambda _: None))
        self._quiet.clear()
        try:
            return await self._upstream.complete(errand, headers, body, way.decode, reader)
        except ProviderError as error:
            self._quiet.set()
            raise await self._explained(error, errand) from None
        finally:
            self._quiet.set()

    async def _explained(self, error: ProviderError, errand: Errand) -> ProviderError:
        """An error of the socket in the words of a model that is no server of the user's."""
        if isinstance(error, UpstreamTimeoutError):
            await self.stop()  # it hangs; the next call starts it anew
            return UpstreamTimeoutError(
                f"{self._model} was silent for {errand.timeout_s:g} s; its process was ended.",
                tips=["Ask again: it is started anew.", f"More patience: upstream.timeout_s is {errand.timeout_s:g}."],
                model=self._model,
            )
        broken = isinstance(error, EndpointUnreachableError | MalformedReplyError | UpstreamError)
        # A line that broke off means that it ended, though that may take time to show; a reply means that it lives.
        if broken and await self._ended_within(2.0 if error.status is None else 0.1):
            return UpstreamError(
                f"The process of {self._model} ended while it answered: {self._how_it_ended()}.",
                tips=[
                    "Ask again: it is started anew.",
                    "If that happens often, the memory is short: lower plugins.options.local_model.n_ctx, "
                    "or use a smaller model.",
                ],
                model=self._model,
            )
        said = error.message.replace(errand.target.address, "The child process")
        tips = [f"See whether it works at all: beast models test {self._model}"]
        if isinstance(error, ContextTooLongError):
            tips = [
                "Send less: fewer files, a shorter history, or a smaller max_tokens.",
                "Or give it a longer context, which takes memory: plugins.options.local_model.n_ctx",
            ]
        return type(error)(said, tips=tips, model=self._model, status=error.status)

    async def _ended_within(self, seconds: float) -> bool:
        if self._process is None:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._process.wait()
        except TimeoutError:
            return False
        return True

    def _how_it_ended(self) -> str:
        code = self._process.returncode if self._process else None
        if code is None or code >= 0:
            return f"exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"killed by {name}" + (", perhaps because memory was short" if name == "SIGKILL" else "")

    async def stop(self) -> None:
        """Ends the child at once; it has nothing to lose."""
        self._stopped = True
        session, self._session = self._session, None
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        if self._process is not None:
            await self._process.wait()
        if session is not None:
            await self._hush()
            await session.close()
        if self._listener is not None:
            await asyncio.wait([self._listener], timeout=1.0)
        if self._socket is not None:
            await asyncio.to_thread(_remove, self._socket, self._run)

    async def _hush(self) -> None:
        """Lets a call see that its line is dead: a session closed under it would leave it waiting."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await self._quiet.wait()


def _remove(socket: Path, run: Path) -> None:
    socket.unlink(missing_ok=True)
    if socket.parent != run:
        shutil.rmtree(socket.parent, ignore_errors=True)
