"""Calls over an HTTP session that was made elsewhere, such as one to a Unix socket, as `wire/client.py` makes them."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from typing import Protocol

import aiohttp
from yarl import URL

from beastmode.wire.client_connection import AT_ONCE_BYTES


class Incoming(Protocol):
    """A reply whose head has come."""

    @property
    def status(self) -> int:
        """Its status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers, by name in any case."""

    async def read(self) -> bytes:
        """Gives what has come of the body, waiting where there is nothing; empty at its end."""

    async def leave(self, within_s: float) -> None:
        """Ends the reply for its reader; the connection is kept where the reply turns out to end within this time."""

    def close(self) -> None:
        """Ends the reply; a connection on which more of it would come is closed at once."""


class Calls(Protocol):
    """Makes calls."""

    async def request(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None, silence_s: float
    ) -> Incoming:
        """Sends a request and gives the reply once its head has come."""


class SessionReply:
    """A reply that came over a session.

    Args:
        reply: As the session gave it.
        silence_s: Longest time in which nothing comes.
    """

    def __init__(self, reply: aiohttp.ClientResponse, silence_s: float) -> None:
        self.status = reply.status
        self.headers: Mapping[str, str] = reply.headers
        self._reply = reply
        self._silence_s = silence_s

    async def read(self) -> bytes:
        """Gives what has come of the body, waiting where there is nothing; empty at its end."""
        async with asyncio.timeout(self._silence_s):
            return await self._reply.content.readany()

    async def leave(self, within_s: float) -> None:
        """Ends the reply; a connection read to its end can be used again."""
        try:
            async with asyncio.timeout(within_s):
                while await self._reply.content.readany():
                    pass
        except (aiohttp.ClientError, OSError):
            pass  # the answer is there
        finally:
            self.close()

    def close(self) -> None:
        """Ends the reply; a connection on which more of it would come is closed at once."""
        if not self._reply.closed:
            self._reply.close()


class SessionCalls:
    """Makes calls over a session.

    Args:
        session: The session.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def request(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None, silence_s: float
    ) -> SessionReply:
        """Sends a request and gives the reply once its head has come."""
        # A large body is written piece by piece: aiohttp would hand it to the socket at once.
        data = body if body is None or len(body) < AT_ONCE_BYTES else io.BytesIO(body)
        async with asyncio.timeout(silence_s):
            reply = await self._session.request(method, url, data=data, headers=headers, allow_redirects=False)
        return SessionReply(reply, silence_s)
