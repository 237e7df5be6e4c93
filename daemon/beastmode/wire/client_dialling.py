"""Opening a connection to an upstream: its name, its addresses one after another, TLS; each guarded and timed."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from ipaddress import ip_address

import aiohttp
from aiohappyeyeballs import start_connection
from aiohttp.abc import AbstractResolver
from aiohttp.client_reqrep import ConnectionKey
from yarl import URL

from beastmode.core.addresses import CONNECT_TIMEOUT_S, DNS_CACHE_S
from beastmode.wire.client_connection import Connection

NEXT_ADDRESS_S = 0.25
"""After this time the next address is tried beside the one before (RFC 8305)."""
MAX_NAMES = 256

OpenSocket = Callable[[aiohttp.AddrInfoType], socket.socket]


class Place:
    """Where connections to the same server go.

    Args:
        url: An http or https URL.
    """

    __slots__ = ("host", "port", "tls")

    def __init__(self, url: URL) -> None:
        self.tls = url.scheme == "https"
        self.host = (url.raw_host or "").rstrip(".")
        self.port = url.port or (443 if self.tls else 80)

    def __hash__(self) -> int:
        return hash((self.tls, self.host, self.port))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and (self.tls, self.host, self.port) == (other.tls, other.host, other.port)

    @property
    def key(self) -> ConnectionKey:
        """As aiohttp's errors name it."""
        return ConnectionKey(self.host, self.port, self.tls, True, None, None, None)


class Dialler:
    """Opens connections.

    Args:
        resolver: Looks names up; leaves out what is never called.
        open_socket: Opens a socket; refuses an address that is never called.
        tls: How TLS is spoken; None: with the authorities that the system trusts.
        timeout_s: Longest time for connecting, TLS included.
    """

    def __init__(
        self,
        resolver: AbstractResolver,
        open_socket: OpenSocket,
        *,
        tls: ssl.SSLContext | None = None,
        timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> None:
        self._resolver = resolver
        self._open_socket = open_socket
        self._tls = tls
        self._timeout_s = timeout_s
        self._known: dict[Place, tuple[float, list[aiohttp.AddrInfoType]]] = {}
        self._asking: dict[Place, asyncio.Lock] = {}

    async def dial(self, place: Place, make: Callable[[], Connection]) -> Connection:
        """Opens a connection.

        Args:
            place: Where to.
            make: Makes its protocol.

        Raises:
            aiohttp.ClientConnectorDNSError: The name has no address.
            aiohttp.ConnectionTimeoutError: Nobody took the connection in time.
            aiohttp.ClientConnectorError: Nobody listens, or there is no way.
            ssl.SSLError: TLS failed.
            BeastError: The address is never called.
        """
        addresses = await self._addresses(place)
        tls = await self._context() if place.tls else None
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._open(place, addresses, tls, make)
        except TimeoutError:
            raise aiohttp.ConnectionTimeoutError(f"no connection to {place.host}:{place.port} in time") from None
        except ssl.SSLError:
            raise
        except OSError as error:
            self._known.pop(place, None)
            raise aiohttp.ClientConnectorError(place.key, error) from error

    async def _open(
        self,
        place: Place,
        addresses: list[aiohttp.AddrInfoType],
        tls: ssl.SSLContext | None,
        make: Callable[[], Connection],
    ) -> Connection:
        loop = asyncio.get_running_loop()
        opened = await start_connection(
            addresses, happy_eyeballs_delay=NEXT_ADDRESS_S, loop=loop, socket_factory=self._open_socket
        )
        try:
            name = place.host if tls is not None else None
            _, connection = await loop.create_connection(make, sock=opened, ssl=tls, server_hostname=name)
        except BaseException:
            opened.close()
            raise
        return connection

    async def _context(self) -> ssl.SSLContext:
        """The verified context; it is made once, off the loop, since reading the authorities takes a while."""
        if self._tls is None:
            made = await asyncio.to_thread(ssl.create_default_context)
            made.set_alpn_protocols(["http/1.1"])
            self._tls = self._tls or made
        return self._tls

    async def _addresses(self, place: Place) -> list[aiohttp.AddrInfoType]:
        """The addresses of a place; a name is looked up once, whoever asks meanwhile, and remembered for a while."""
        if _is_address(place.host):
            return [_info(place.host, place.port)]
        now_s = asyncio.get_running_loop().time
        async with self._asking.setdefault(place, asyncio.Lock()):
            known = self._known.get(place)
            if known is not None and now_s() - known[0] < DNS_CACHE_S:
                return known[1]
            found = await self._look_up(place)
            if len(self._known) >= MAX_NAMES:
                self._known.clear()
                self._asking.clear()
            self._known[place] = (now_s(), found)
            return found

    async def _look_up(self, place: Place) -> list[aiohttp.AddrInfoType]:
        try:
            found = await self._resolver.resolve(place.host, place.port, family=socket.AF_UNSPEC)
        except OSError as error:
            raise aiohttp.ClientConnectorDNSError(place.key, error) from error
        if not found:
            raise aiohttp.ClientConnectorDNSError(place.key, OSError(None, "the name has no address"))
        return [_info(one["host"], one["port"]) for one in found]


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _info(host: str, port: int) -> aiohttp.AddrInfoType:
    """An address as `socket.getaddrinfo` gives it."""
    if ":" in host:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port)
