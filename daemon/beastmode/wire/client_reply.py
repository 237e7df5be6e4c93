"""A reply of an upstream, while it comes: its head, and its body piece by piece, bounded."""

from __future__ import annotations

import asyncio
import zlib
from typing import Protocol

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

MAX_INFLATED_BYTES = 32 << 20
"""What one piece of a compressed body may become; compression was not asked for."""
WAITING_MAX_BYTES = 256 << 10
"""From here on nothing more is read from the socket until somebody takes what waits."""


class Source(Protocol):
    """Where a reply comes from."""

    def resume(self) -> None:
        """Reads on, after what waited was taken."""

    def drain(self, within_s: float) -> None:
        """Reads a reply that nobody wants to its end, where that comes soon."""

    def abort(self) -> None:
        """Closes the connection at once."""


_NOWHERE = aiohttp.RequestInfo(URL(), "", CIMultiDictProxy(CIMultiDict()), URL())


class NotHTTPError(aiohttp.ClientResponseError):
    """What came is no HTTP/1.1 reply, or one beyond its bounds.

    Args:
        why: What is wrong with it.
    """

    def __init__(self, why: str) -> None:
        super().__init__(_NOWHERE, (), message=why)


class Reply:
    """A reply whose head has come.

    Attributes:
        status: From 200 on.
        headers: By name, in any case.
    """

    __slots__ = ("_connection", "_error", "_inflate", "_pieces", "_size_bytes", "_waiter", "headers", "status", "whole")

    def __init__(self, connection: Source, status: int, headers: CIMultiDict[str]) -> None:
        self.status = status
        self.headers = headers
        self.whole = False
        self._connection: Source | None = connection
        self._pieces: list[bytes] = []
        self._size_bytes = 0
        self._waiter: asyncio.Future[None] | None = None
        self._error: BaseException | None = None
        self._inflate = None
        if headers.get("Content-Encoding", "").strip().lower() in ("gzip", "x-gzip", "deflate"):
            self._inflate = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)

    async def read(self) -> bytes:
        """Gives what has come of the body, waiting for it where there is nothing; empty at its end.

        Raises:
            TimeoutError: Nothing came for too long.
            aiohttp.ClientError: The body broke off, or is no HTTP.
        """
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self.whole:
                return b""
            await self._something()
        pieces, self._pieces = self._pieces, []
        self._size_bytes = 0
        if self._connection is not None:
            self._connection.resume()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Ends the reply; a connection on which more of it would come is closed at once."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pieces.clear()
            connection.abort()

    async def leave(self, within_s: float) -> None:
        """Reads what is left without keeping it: a connection whose reply ends within this time is used again."""
        if self._connection is not None:
            self._connection.drain(within_s)
        while self._connection is not None:
            await self._something()

    def take(self, data: bytes) -> bool:
        """Takes a piece of the body; False where too much waits."""
        if self._inflate is not None:
            data = self._inflate.decompress(data, MAX_INFLATED_BYTES)
            if self._inflate.unconsumed_tail:
                raise ValueError("a piece inflates to too much")
        if data:
            self._pieces.append(data)
            self._size_bytes += len(data)
        return self._size_bytes < WAITING_MAX_BYTES

    async def _something(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def forget(self) -> None:
        """Lets go of what waits: nobody will read it."""
        self._pieces.clear()
        self._size_bytes = 0

    def end(self, error: BaseException | None = None) -> None:
        """No more will come."""
        self._connection = None
        self._error = error
        self.whole = error is None
        self.wake()

    def wake(self) -> None:
        """Tells the reader to look again."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
