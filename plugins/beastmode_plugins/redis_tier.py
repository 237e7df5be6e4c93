"""The tier `redis`: exact answers in a Redis server (or one that speaks its protocol), shared by several machines."""

from __future__ import annotations

import asyncio
import importlib
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from beastmode.core.errors import (
    AuthenticationError,
    BadInputError,
    BeastError,
    DNSError,
    EndpointUnreachableError,
    MalformedReplyError,
    TLSError,
    UpstreamError,
    UpstreamTimeoutError,
)
from beastmode.core.plugins import Context, Tier, hookimpl

PREFIX = b"beastmode:"
CONNECTIONS = 8
CONNECT_LIMIT_S = 2.0
REPLY_LIMIT_S = 5.0
SCANNED_KEYS = 1000
FORMS = "redis://[user:password@]host[:port][/number], rediss://... (TLS), or unix://[user:password@]/path[?db=number]"
SETTING_TIPS = (f"set cache.redis.url to {FORMS}", "write special characters of a password as %XX")
INSTALL_TIPS = ("pip install 'beastmode[redis]' (into the daemon's environment), then: beast restart",)


class RedisTier(Tier):
    """Keeps answers under `beastmode:*`; expiry and memory are the server's business."""

    name = "redis"
    _client: Any = None
    _errors: Any = None
    _place: str = ""

    async def start(self, context: Context) -> None:
        """Reads `cache.redis.url`; without one, nothing of redis-py is imported.

        Args:
            context: What the daemon lends.

        Raises:
            BadInputError: The URL is wrong, or redis-py is not installed.
        """
        await super().start(context)
        settings = context.cache.redis
        self.ttl_s = settings.ttl_s
        if not settings.url:
            return
        library = await asyncio.to_thread(_imported)
        self._errors = library.exceptions
        self._client, self._place = await asyncio.to_thread(_client, library, settings.url)

    def configured(self) -> bool:
        """Says whether `cache.redis.url` is set."""
        return self._client is not None

    async def get(self, key: bytes) -> bytes | None:
        """Looks a value up.

        Args:
            key: The key.

        Raises:
            BeastError: With tips.
        """
        async with self._translated():
            found = await self._client.execute_command("GET", PREFIX + key)
        if found is None or isinstance(found, bytes):
            return found
        raise self._malformed()

    async def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        """Keeps a value.

        Args:
            key: The key.
            value: Its bytes.
            ttl_s: Seconds after which the server forgets it.

        Raises:
            BeastError: With tips.
        """
        async with self._translated():
            await self._client.execute_command("SET", PREFIX + key, value, "PX", max(1, int(ttl_s * 1000)))

    async def remove(self, keys: Sequence[bytes]) -> None:
        """Forgets values.

        Args:
            keys: Their keys.

        Raises:
            BeastError: With tips.
        """
        if keys:
            async with self._translated():
                await self._client.execute_command("UNLINK", *(PREFIX + key for key in keys))

    async def clear(self) -> None:
        """Forgets everything under `beastmode:*`, piece by piece, so that other users of the server hardly notice.

        Raises:
            BeastError: With tips.
        """
        async with self._translated():
            async for keys in _scanned(self._client):
                await self._client.execute_command("UNLINK", *keys)

    async def close(self) -> None:
        """Closes the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.connection_pool.aclose()

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        """Turns redis-py's errors into ours; the server's own words may repeat what was sent, so they are left out."""
        try:
            yield
        except (self._errors.RedisError, OSError) as error:
            raise self._translation(error) from None

    def _translation(self, error: Exception) -> BeastError:
        known = self._errors
        if isinstance(error.__cause__, known.RedisError):  # what went wrong while a Unix socket was connected
            error = error.__cause__
        if isinstance(error, known.AuthenticationError | known.AuthorizationError | known.NoPermissionError):
            return AuthenticationError(
                f"Redis at {self._place} refuses the user or the password, or the user may not do this.",
                tips=["check the user and the password in cache.redis.url; the user needs GET, SET, UNLINK and SCAN"],
            )
        if isinstance(error, known.TimeoutError | TimeoutError):
            return UpstreamTimeoutError(f"Redis at {self._place} does not answer.", tips=self._reach_tips())
        if isinstance(error, known.BusyLoadingError):
            return EndpointUnreachableError(f"Redis at {self._place} is still loading its data.", tips=["wait"])
        if isinstance(error, known.ConnectionError | OSError):
            return self._unreached(error)
        if isinstance(error, known.ResponseError):
            return self._refusal(error)
        return self._malformed()

    def _unreached(self, error: Exception) -> BeastError:
        causes = error, error.__cause__, error.__context__
        if any(isinstance(one, ssl.SSLError) for one in causes):
            tips = ["name the authority's certificate: ?ssl_ca_certs=/path/ca.pem at the end of cache.redis.url"]
            return TLSError(f"The TLS handshake with Redis at {self._place} failed.", tips=tips)
        if any(isinstance(one, socket.gaierror) for one in causes):
            return DNSError(f"The host of {self._place} has no address.", tips=["mend the host in cache.redis.url"])
        return EndpointUnreachableError(f"Nobody answers at {self._place}.", tips=self._reach_tips())

    def _refusal(self, error: Exception) -> BeastError:
        code = _code(error)
        if code == "WRONGTYPE":
            return self._malformed()
        if isinstance(error, self._errors.OutOfMemoryError) or code == "OOM":
            tips = ["let it make room: redis-cli config set maxmemory-policy allkeys-lru", "or raise maxmemory"]
            return UpstreamError(f"Redis at {self._place} is full and takes no more.", tips=tips)
        if isinstance(error, self._errors.ReadOnlyError):
            tips = ["name the primary in cache.redis.url"]
            return UpstreamError(f"Redis at {self._place} is a replica that takes nothing.", tips=tips)
        tips = [f"see the server's log, and try: redis-cli -u URL ping ({self._place})"]
        return UpstreamError(f"Redis at {self._place} refused with {code}.", tips=tips)

    def _malformed(self) -> BeastError:
        tips = ["cache.redis.url must name a Redis server whose keys beastmode:* nobody else writes"]
        return MalformedReplyError(f"What {self._place} answers is no Redis reply, or no stored answer.", tips=tips)

    def _reach_tips(self) -> list[str]:
        return [f"start Redis at {self._place}, or mend cache.redis.url (empty switches the tier off)"]


def _imported() -> Any:
    try:
        importlib.import_module("redis.asyncio")
        return importlib.import_module("redis")
    except ImportError as error:
        raise BadInputError("cache.redis.url is set, and redis-py is not installed.", tips=INSTALL_TIPS) from error


def _client(library: Any, url: str) -> tuple[Any, str]:
    """Makes a client that connects when it is first used.

    Returns:
        The client, and where it connects to, without user and password.

    Raises:
        BadInputError: The URL is wrong. Neither it nor redis-py's own words are shown: both may hold the password.
    """
    connection, retry, backoff = map(
        importlib.import_module, ("redis.asyncio.connection", "redis.asyncio.retry", "redis.backoff")
    )
    own = {
        "max_connections": CONNECTIONS,
        "timeout": REPLY_LIMIT_S,
        "protocol": 2,
        "decode_responses": False,
        "socket_connect_timeout": CONNECT_LIMIT_S,
        "socket_timeout": REPLY_LIMIT_S,
        "health_check_interval": 0,
        # A connection that the server closed meanwhile, as after its restart, shows only when it is used.
        "retry": retry.Retry(backoff.NoBackoff(), 1, (library.exceptions.ConnectionError,)),
    }
    try:
        options = dict(connection.parse_url(url)) | own
        _check_path(url)
        pool = connection.BlockingConnectionPool(**options)
        made = pool.make_connection()
        _share_certificates(pool, made)
    except OSError:
        message = "A certificate that cache.redis.url names can not be read."
        raise BadInputError(message, tips=["make ssl_ca_certs, ssl_certfile and ssl_keyfile readable"]) from None
    except (ValueError, TypeError, AttributeError, library.exceptions.RedisError):
        raise BadInputError("cache.redis.url is no URL of a Redis server.", tips=SETTING_TIPS) from None
    place = getattr(made, "path", None) or f"{made.host}:{made.port}"
    return importlib.import_module("redis.asyncio").Redis(connection_pool=pool), place


def _share_certificates(pool: Any, connection: Any) -> None:
    """Reads the certificates now: redis-py would do so for every connection, which holds up the loop for 20 ms.

    Args:
        pool: The pool.
        connection: One of its connections, not connected yet.

    Raises:
        OSError: A file of certificates can not be read.
    """
    context = getattr(connection, "ssl_context", None)
    if context is None:
        return
    context.get()

    class Secured(type(connection)):  # type: ignore[misc]  # redis-py is imported at run time
        """A connection that uses the certificates which were read."""

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.ssl_context = context

    pool.connection_class = Secured


def _check_path(url: str) -> None:
    """Refuses what redis-py takes for database 0.

    Raises:
        ValueError: The path is no number.
    """
    parts = urlsplit(url)
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            raise ValueError("no path")
    elif parts.path.strip("/"):
        int(parts.path.strip("/"))


async def _scanned(client: Any) -> AsyncIterator[list[bytes]]:
    """Every key of ours on the server, in pieces."""
    cursor = b"0"
    while True:
        cursor, keys = await client.execute_command("SCAN", cursor, "MATCH", PREFIX + b"*", "COUNT", SCANNED_KEYS)
        if keys:
            yield keys
        if int(cursor) == 0:
            return


def _code(error: Exception) -> str:
    """The first word of a refusal, such as `WRONGTYPE`; redis-py strips `ERR`."""
    first = str(error).split(" ", 1)[0]
    return first if first.isascii() and first.isalpha() and first.isupper() else "an error"


@hookimpl
def beast_tiers() -> list[Tier]:
    """Brings `redis`."""
    return [RedisTier()]
