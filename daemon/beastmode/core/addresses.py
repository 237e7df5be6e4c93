"""Where the daemon may connect: base URLs in one spelling, and no way to a link-local or metadata address.

Three gates, because each can be walked around alone: `check_base_url` when a model is added, `GuardedResolver` when a
name is looked up (a name may change its address later), and the socket factory of `make_http_session` for every
connection, literal addresses among them. Loopback and private networks are allowed: that is where Ollama and a
company's gateway live.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from types import SimpleNamespace
from typing import Protocol

import aiohttp
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult

from beastmode import __version__
from beastmode.core.errors import EndpointNotFoundError, RefusedEndpointError

Address = IPv4Address | IPv6Address

CONNECT_TIMEOUT_S = 10.0
KEEPALIVE_S = 60.0
DNS_CACHE_S = 30

METADATA_NAMES = frozenset(
    {
        "instance-data",
        "instance-data.ec2.internal",
        "metadata",
        "metadata.azure.com",
        "metadata.azure.internal",
        "metadata.google.internal",
        "metadata.goog",
        "metadata.packet.net",
        "metadata.platformequinix.com",
        "metadata.tencentyun.com",
    }
)

_REFUSED_4 = (
    (IPv4Network("169.254.0.0/16"), "a link-local address, where cloud machines keep their credentials"),
    (IPv4Network("100.100.100.200/32"), "Alibaba Cloud's metadata service"),
    (IPv4Network("168.63.129.16/32"), "Azure's metadata service"),
    (IPv4Network("192.0.0.192/32"), "Oracle Cloud's metadata service"),
    (IPv4Network("0.0.0.0/8"), "no address of a machine"),
    (IPv4Network("224.0.0.0/4"), "a multicast address"),
    (IPv4Network("240.0.0.0/4"), "a reserved or broadcast address"),
)
_REFUSED_6 = (
    (IPv6Network("fe80::/10"), "a link-local address"),
    (IPv6Network("fd00:ec2::/32"), "Amazon's metadata service"),
    (IPv6Network("fd20:ce::254/128"), "Google Cloud's metadata service"),
    (IPv6Network("::/128"), "no address of a machine"),
    (IPv6Network("ff00::/8"), "a multicast address"),
)

_LOOPBACK_6 = IPv6Address("::1")
_EMBEDS_LAST_32 = tuple(
    IPv6Network(text)
    for text in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")  # RFC 4291, 2765, 6052
)
_NAT64_LOCAL = IPv6Network("64:ff9b:1::/48")
_6TO4 = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)

_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<rest>.*)", re.I)
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\<>\"^`{|}]")
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def check_base_url(url: str) -> str:
    """Brings a base URL into its one spelling, or refuses it.

    Args:
        url: As a person typed it.

    Returns:
        Scheme and host in lower case, an address in its usual notation, no default port, no slash at the end.

    Raises:
        RefusedEndpointError: It is no plain http(s) URL, or leads to a link-local or metadata address.
    """
    text = url.strip()
    if _FORBIDDEN.search(text):
        raise _refuse("holds a blank, a control character or a backslash", "write it as https://HOST:PORT/v1")
    match = _URL.fullmatch(text)
    if match is None:
        example = text if re.fullmatch(r"[\w.:/\[\]-]+", text) else "HOST:PORT/v1"
        raise _refuse("has no scheme", f"write it as http://{example}")
    scheme = match["scheme"].lower()
    if scheme not in _DEFAULT_PORTS:
        raise _refuse(f"has the scheme {scheme}", "only http:// and https:// are called")
    if match["rest"]:
        raise _refuse(
            "has a query or a fragment", "leave out everything from the ? or # on; a key goes in by --key-stdin"
        )
    host, port = _split_authority(match["authority"])
    host = _check_host(host)
    shown = host if port in (None, _DEFAULT_PORTS[scheme]) else f"{host}:{port}"
    return f"{scheme}://{shown}{match['path'].rstrip('/')}"


def _refuse(what: str, *tips: str, endpoint: str | None = None) -> RefusedEndpointError:
    return RefusedEndpointError(f"The base URL {what}.", tips=tips, endpoint=endpoint)


def _split_authority(authority: str) -> tuple[str, int | None]:
    if "@" in authority:
        raise _refuse(
            "holds a user name or password", "leave out everything before the @; a key goes in by --key-stdin"
        )
    match = re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]*))?", authority, re.ASCII)
    if match is None:
        raise _refuse(
            "has a host or port that can not be read", "write it as http://HOST:PORT/v1, IPv6 as http://[::1]:PORT"
        )
    port = int(match[2][:6]) if match[2] else None
    if port is not None and not 0 < port < 65536:
        raise _refuse(f"has the port {match[2][:6]}", "a port is a number from 1 to 65535")
    return match[1], port


def _check_host(host: str) -> str:
    """Returns the host as it is connected to, in URL notation."""
    if host.startswith("["):
        return f"[{_check_ipv6(host[1:-1])}]"
    if "%" in host:
        raise _refuse("has a percent sign in its host", "write the host's name or address plainly")
    plain = _to_ascii(host).lower().rstrip(".")
    if not plain:
        raise _refuse("has no host", "write it as http://HOST:PORT/v1")
    if _NUMBER.fullmatch(plain.rpartition(".")[2]):
        address = _read_ipv4(plain)
        check_address(address, host)
        return str(address)
    if len(plain) > 253 or not _NAME.fullmatch(plain):
        raise _refuse("has a host that is no host name", "write the host's name or address plainly")
    check_name(plain)
    return plain


def _check_ipv6(text: str) -> str:
    try:
        address = IPv6Address(text.partition("%")[0])
    except ValueError:
        raise _refuse("has a host that is no IPv6 address", "write it as http://[::1]:PORT/v1") from None
    check_address(address, text)
    if "%" in text:
        raise _refuse("names a network interface (%)", "write the address without it")
    return str(address)


def _to_ascii(host: str) -> str:
    """The host as the HTTP client will encode it: full-width digits and ideographic stops become plain ones."""
    if host.isascii():
        return host
    try:
        return yarl.URL.build(scheme="http", host=host).raw_host or ""
    except ValueError:
        raise _refuse("has a host that is no host name", "write it in plain letters, or as xn--...") from None


def _read_ipv4(host: str) -> IPv4Address:
    """Reads an address as the C library would: 1 to 4 parts, decimal or hexadecimal (inet_aton(3))."""
    parts = host.split(".")
    values = []
    for part in parts:
        if len(part) > 16 or not _NUMBER.fullmatch(part) or part == "0x":
            raise _refuse(
                "has a host that is neither a name nor an address", "write an address as four numbers: 127.0.0.1"
            )
        if len(part) > 1 and part.isdigit() and part[0] == "0":
            # One library reads 010 as eight, another as ten: whichever is checked, the other may be called.
            raise _refuse(
                "has a number with a leading zero in its address", "write it without leading zeros: 127.0.0.1"
            )
        values.append(int(part, 0))
    *head, last = values
    if len(parts) > 4 or any(value > 255 for value in head) or last >= 256 ** (5 - len(parts)):
        raise _refuse("has a host that is no IPv4 address", "write an address as four numbers: 127.0.0.1")
    for place, value in enumerate(head):
        last += value << (24 - 8 * place)
    return IPv4Address(last)


def _embedded(address: IPv6Address) -> Iterator[IPv4Address]:
    """Every IPv4 address that an IPv6 address may stand for."""
    value = int(address)
    if any(address in net for net in _EMBEDS_LAST_32) or (value >> 32) & 0xFFFF_FFFF in _ISATAP:
        yield IPv4Address(value & 0xFFFF_FFFF)
    if address in _6TO4:
        yield IPv4Address((value >> 80) & 0xFFFF_FFFF)
    if address in _TEREDO:
        yield IPv4Address((value >> 64) & 0xFFFF_FFFF)
        yield IPv4Address(~value & 0xFFFF_FFFF)
    if address in _NAT64_LOCAL:  # RFC 6052, section 2.2: bits 64 to 71 are left out
        yield IPv4Address(((value >> 64) & 0xFFFF) << 16 | (value >> 40) & 0xFFFF)


def why_refused(address: Address) -> str | None:
    """Says why an address is never called; None when it may be.

    Args:
        address: IPv4, or IPv6 that may stand for an IPv4 address (mapped, 6to4, NAT64, Teredo).
    """
    if isinstance(address, IPv4Address):
        return next((why for net, why in _REFUSED_4 if address in net), None)
    if address == _LOOPBACK_6:
        return None
    reasons = [why for net, why in _REFUSED_6 if address in net]
    reasons += [why for inner in _embedded(address) if (why := why_refused(inner))]
    return reasons[0] if reasons else None


def check_address(address: Address, host: str) -> None:
    """Refuses an address that is never called.

    Args:
        address: Where a connection would go.
        host: What it was called, for the message.

    Raises:
        RefusedEndpointError: With the reason.
    """
    why = why_refused(address)
    if why is not None:
        raise RefusedEndpointError(
            f"{host} is {address}, {why}; it is never called.",
            tips=["name the host that serves the model; 127.0.0.1 and private networks are fine"],
            endpoint=host,
        )


def check_name(name: str) -> None:
    """Refuses the names of metadata services.

    Args:
        name: A host name, in lower case.

    Raises:
        RefusedEndpointError: It is one.
    """
    if name.rstrip(".").lower() in METADATA_NAMES:
        raise RefusedEndpointError(
            f"{name} is a cloud's metadata service; it is never called.",
            tips=["name the host that serves the model; 127.0.0.1 and private networks are fine"],
            endpoint=name,
        )


class GuardedResolver(AbstractResolver):
    """Looks names up and leaves out every address that is never called.

    A home server's name often has a link-local address beside a private one, so that a name is refused only where
    nothing else is left.

    Args:
        inner: Does the looking up.
    """

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Looks a name up.

        Args:
            host: The name.
            port: The port.
            family: IPv4, IPv6 or either.

        Raises:
            RefusedEndpointError: The name, or every address it has, is never called.
            OSError: It has no address.
        """
        check_name(host)
        found = await self._inner.resolve(host, port, family)
        allowed = [one for one in found if why_refused(_parse(one["host"])) is None]
        if found and not allowed:
            check_address(_parse(found[0]["host"]), host)
        return allowed

    async def close(self) -> None:
        """Ends the inner resolver."""
        await self._inner.close()


def _parse(text: str) -> Address:
    return ip_address(text.partition("%")[0])


def open_guarded_socket(info: aiohttp.AddrInfoType) -> socket.socket:
    """Opens the socket of a connection whose address may be called; the last gate, which literal addresses meet too.

    Args:
        info: Family, type, protocol, canonical name and address, as `socket.getaddrinfo` gives them.

    Raises:
        RefusedEndpointError: The address is never called.
    """
    family, kind, protocol, _, where = info
    check_address(_parse(where[0]), where[0])
    return socket.socket(family=family, type=kind, proto=protocol)


class Companion(Protocol):
    """What shares a connector's guards, and ends with it."""

    async def close(self) -> None:
        """Closes every connection."""


class GuardedConnector(aiohttp.TCPConnector):
    """Connects to no refused address.

    Attributes:
        resolver: Looks names up and leaves out what is refused.
        companion: What else connects under the same guards; closed with it.
    """

    def __init__(self) -> None:
        self.resolver = GuardedResolver(aiohttp.ThreadedResolver())
        self.companion: Companion | None = None
        super().__init__(
            resolver=self.resolver,
            socket_factory=open_guarded_socket,
            ttl_dns_cache=DNS_CACHE_S,
            keepalive_timeout=KEEPALIVE_S,
            limit=0,
        )

    async def close(self, *, abort_ssl: bool = False) -> None:
        """Closes every connection, those of the companion among them."""
        if self.companion is not None:
            await self.companion.close()
        await super().close(abort_ssl=abort_ssl)


async def _stop_redirect(
    session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestRedirectParams
) -> None:
    """Ends a request whose caller forgot to forbid redirects: a key is never carried on."""
    params.response.close()
    raise EndpointNotFoundError(
        f"{params.url.origin()} answered with a redirect, which is not followed.",
        tips=["register the base URL that it leads to: beast models add ID --base-url URL"],
        endpoint=str(params.url.with_query(None)),
        status=params.response.status,
    )


def make_http_session() -> aiohttp.ClientSession:
    """Builds the one HTTP session of the daemon; must be called on the running loop, and closed.

    Returns:
        A session that connects to no refused address, follows no redirect, keeps no cookie, reads no proxy or
        password from the environment, keeps connections alive, and has no limit but the caller's own timeouts.
    """
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_stop_redirect)
    return aiohttp.ClientSession(
        connector=GuardedConnector(),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        trust_env=False,
        trace_configs=[trace],
        # A compressed stream arrives in lumps; the text of a model is small.
        headers={"User-Agent": f"beastmode/{__version__}", "Accept-Encoding": "identity"},
    )
