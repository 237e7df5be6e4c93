"""One URL into one file: resumable after any cut, bounded by the pinned size, never on the event loop's time."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

import aiohttp

from beastmode.core.clock import Clock
from beastmode.core.errors import EndpointUnreachableError, MalformedReplyError
from beastmode_plugins.weights_index import Network

T = TypeVar("T")

ATTEMPTS = 5
PIECE_BYTES = 1 << 20
RETRY_STATUSES = frozenset({408, 416, 425, 429, 500, 502, 503, 504})


class OnlyPipError(Exception):
    """This host does not talk to us as we are; pip, with its logins and certificates, may do better."""


async def off_loop(work: Callable[[threading.Event], T]) -> T:
    """Runs blocking work in a thread; a cancelled caller still waits until the thread has let go of its files.

    Args:
        work: Gets an event that is set when it should give up.

    Returns:
        What `work` returns.
    """
    stop = threading.Event()
    task = asyncio.ensure_future(asyncio.to_thread(work, stop))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not report it as lost
        raise


@asynccontextmanager
async def open_session(network: Network) -> AsyncIterator[aiohttp.ClientSession]:
    """Opens a session that trusts and goes through what pip does.

    Args:
        network: pip's settings; the proxy variables of the environment and `.netrc` count as well.
    """
    tls = await asyncio.to_thread(_tls, network.cert)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=tls),
        trust_env=True,
        proxy=network.proxy,
        timeout=timeout,
        auto_decompress=False,
        headers={"Accept-Encoding": "identity"},
    ) as session:
        yield session


def _tls(cert: str | None) -> ssl.SSLContext:
    if cert and Path(cert).is_dir():
        return ssl.create_default_context(capath=cert)
    return ssl.create_default_context(cafile=cert)


class Download:
    """Brings one file, from where an earlier try left off.

    Args:
        session: From `open_session`.
        clock: For the pauses between tries.
        url: http, https or file.
        part: The unfinished file; what it holds already is kept and continued.
        size_bytes: The pinned size.
        on_bytes: Gets the size of `part` as it grows.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        clock: Clock,
        url: str,
        part: Path,
        size_bytes: int,
        on_bytes: Callable[[int], None],
    ) -> None:
        self._session = session
        self._clock = clock
        self._url = url
        self._part = part
        self._size_bytes = size_bytes
        self._on_bytes = on_bytes
        self._host = urlsplit(url).hostname or "this machine"

    async def run(self) -> None:
        """Downloads until the part is complete.

        Raises:
            EndpointUnreachableError: The host stays away; the part is kept.
            MalformedReplyError: The host sends something else.
            OnlyPipError: Only pip can have this file.
            OSError: The disk.
        """
        scheme = urlsplit(self._url).scheme
        if scheme not in ("http", "https", "file"):
            raise OnlyPipError(scheme)
        step = self._copy if scheme == "file" else self._request
        have_bytes, failures = await self._have(), 0
        while have_bytes != self._size_bytes:
            reason = await self._try(step, have_bytes)
            grown_bytes = await self._have()
            failures = 0 if grown_bytes > have_bytes else failures + 1
            have_bytes = grown_bytes
            if have_bytes != self._size_bytes and failures >= ATTEMPTS:
                raise self._away(reason)
            if reason:
                await self._clock.sleep(min(8.0, 0.25 * 2**failures) * self._clock.uniform(0.5, 1.0))

    async def _try(self, step: Callable[[int], AsyncIterator[bytes]], have_bytes: int) -> str:
        """Goes on from `have_bytes`.

        Returns:
            Why it ended early; empty when it did not.
        """
        try:
            await self._pour(step(have_bytes))
        except aiohttp.ClientSSLError as error:
            raise OnlyPipError("tls") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            return str(error) or type(error).__name__
        return ""

    async def _pour(self, pieces: AsyncIterator[bytes]) -> None:
        held = bytearray()
        try:
            async for piece in pieces:
                held += piece
                if len(held) >= PIECE_BYTES:
                    data, held = bytes(held), bytearray()
                    await self._append(data)
        finally:
            if held:  # also what came before the line was cut
                await self._append(bytes(held))

    async def _append(self, data: bytes) -> None:
        def write(_: threading.Event) -> int:
            with self._part.open("ab") as file:
                file.write(data)
                return file.tell()

        have_bytes = await off_loop(write)
        if have_bytes > self._size_bytes:
            await self._truncate(0)
            raise self._other(f"more than the {self._size_bytes} bytes that were pinned")
        self._on_bytes(have_bytes)

    async def _request(self, have_bytes: int) -> AsyncIterator[bytes]:
        headers = {"Range": f"bytes={have_bytes}-"} if have_bytes else {}
        async with self._session.get(self._url, headers=headers) as response:
            await self._check(response, have_bytes)
            async for piece in response.content.iter_chunked(PIECE_BYTES):
                yield piece

    async def _check(self, response: aiohttp.ClientResponse, have_bytes: int) -> None:
        if response.status in RETRY_STATUSES:
            if response.status == 416:
                await self._truncate(0)
            raise aiohttp.ClientPayloadError(f"HTTP status {response.status}")
        if response.status not in (200, 206):
            raise OnlyPipError(f"HTTP status {response.status}")
        start_bytes = have_bytes if response.status == 206 else 0
        length = response.content_length
        if length is not None and length != self._size_bytes - start_bytes:
            raise self._other(f"{length} bytes of {response.content_type or 'no type'}")
        if response.status == 206:
            await self._check_range(response, have_bytes)
        elif have_bytes:
            await self._truncate(0)  # the host does not resume

    async def _check_range(self, response: aiohttp.ClientResponse, have_bytes: int) -> None:
        if not response.headers.get("Content-Range", "").startswith(f"bytes {have_bytes}-"):
            await self._truncate(0)
            raise aiohttp.ClientPayloadError("the host sent another range than the one asked for")

    async def _copy(self, have_bytes: int) -> AsyncIterator[bytes]:
        source = Path(url2pathname(urlsplit(self._url).path))
        with await asyncio.to_thread(source.open, "rb") as file:
            await asyncio.to_thread(file.seek, have_bytes)
            while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
                yield piece

    async def _have(self) -> int:
        def size(_: threading.Event) -> int:
            return self._part.stat().st_size if self._part.exists() else 0

        return await off_loop(size)

    async def _truncate(self, size_bytes: int) -> None:
        def cut(_: threading.Event) -> None:
            with self._part.open("ab") as file:
                file.truncate(size_bytes)

        await off_loop(cut)

    def _away(self, reason: str) -> EndpointUnreachableError:
        return EndpointUnreachableError(
            f"{self._host} does not deliver: {reason or 'the file ends too early'}.",
            tips=["run the same command again: what was fetched is kept", "check the network and the proxy"],
            endpoint=self._host,
        )

    def _other(self, what: str) -> MalformedReplyError:
        return MalformedReplyError(
            f"{self._host} sends something else than the wheel: {what}.",
            tips=["a proxy or a login page may stand between: open any web page, or set pip's proxy"],
            endpoint=self._host,
        )


def free_bytes(folder: Path) -> int:
    """Free space of a folder's disk.

    Args:
        folder: An existing folder.
    """
    return shutil.disk_usage(folder).free
