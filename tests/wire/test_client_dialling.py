"""The HTTP client of provider calls: names, addresses, guards and TLS."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from yarl import URL

from beastmode.core.addresses import GuardedResolver
from beastmode.core.errors import RefusedEndpointError
from beastmode.wire.client import Client
from support.raw_upstream import Names, ask, calling, chunked, plain, serving, whole


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with calling() as made:
        yield made


# -- getting there ----------------------------------------------------------------------------------------------------


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def test_nobody_listens(client: Client) -> None:
    with pytest.raises(aiohttp.ClientConnectorError) as caught:
        await ask(client, URL(f"http://127.0.0.1:{_free_port()}/"))
    assert isinstance(caught.value.os_error, ConnectionRefusedError)


async def test_a_name_without_an_address() -> None:
    async with calling(Names({"empty.test": []})) as client:
        for name in ("unknown.test", "empty.test"):
            with pytest.raises(aiohttp.ClientConnectorDNSError):
                await ask(client, URL(f"http://{name}/"))


async def test_nobody_takes_the_connection_in_time() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        async with calling() as client:
            with pytest.raises(aiohttp.ConnectionTimeoutError):
                await ask(client, URL(f"http://127.0.0.1:{port}/"))
        for one in waiting:
            one.close()


async def test_the_next_address_is_tried_where_the_first_refuses() -> None:
    names = Names({"two.test": ["127.9.9.9", "127.0.0.1"]})
    async with calling(names) as client, serving(plain(b"yes"), keep=True) as server:
        for _ in range(2):
            assert await whole(await ask(client, URL(f"http://two.test:{server.port}/"))) == b"yes"
    assert b"Host: two.test:%d\r\n" % server.port in server.requests[0]


async def test_a_name_is_looked_up_once_whoever_asks_meanwhile() -> None:
    names = Names({"one.test": ["127.0.0.1"]})
    async with calling(names) as client, serving(plain(b"yes")) as server:
        url = URL(f"http://one.test:{server.port}/")
        replies = await asyncio.gather(*(ask(client, url) for _ in range(8)))
        assert [await whole(reply) for reply in replies] == [b"yes"] * 8
    assert names.asked == ["one.test"]


async def test_an_address_that_is_never_called_is_left_out_and_refused_where_it_is_the_only_one() -> None:
    names = GuardedResolver(Names({"bad.test": ["169.254.1.1"], "half.test": ["169.254.1.1", "127.0.0.1"]}))
    async with calling(names) as client, serving(plain(b"yes")) as server:
        with pytest.raises(RefusedEndpointError):
            await ask(client, URL(f"http://bad.test:{server.port}/"))
        assert await whole(await ask(client, URL(f"http://half.test:{server.port}/"))) == b"yes"


# -- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def certified(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server with a certificate for 127.0.0.1 and good.test, and what trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "good.test")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("good.test"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path = tmp_path / "server.pem"
    path.write_bytes(certificate.public_bytes(pem) + key.private_bytes(pem, private, serialization.NoEncryption()))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    trusting = ssl.create_default_context(cafile=str(path))
    return server, trusting


async def test_tls_with_a_certificate_that_is_trusted(certified: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    tls, trusting = certified
    async with (
        calling(Names({"good.test": ["127.0.0.1"]}), trusting) as client,
        serving(plain(b"yes"), chunked(b"yes"), tls=tls, keep=True) as server,
    ):
        for _ in range(2):
            assert await whole(await ask(client, URL(f"https://good.test:{server.port}/"))) == b"yes"
        assert server.connections == 1
        assert await whole(await ask(client, URL(f"https://127.0.0.1:{server.port}/"))) == b"yes"


async def test_tls_for_another_name_or_by_nobody_we_trust(certified: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    tls, trusting = certified
    names = Names({"other.test": ["127.0.0.1"]})
    async with serving(plain(b"yes"), tls=tls) as server:
        async with calling(names, trusting) as client:
            with pytest.raises(ssl.SSLCertVerificationError, match="other"):
                await ask(client, URL(f"https://other.test:{server.port}/"))
        async with calling(names) as client:
            with pytest.raises(ssl.SSLCertVerificationError, match="self-signed"):
                await ask(client, URL(f"https://127.0.0.1:{server.port}/"))
    assert server.requests == []


async def test_tls_spoken_to_a_server_that_does_not(client: Client) -> None:
    async with serving(plain(b"yes")) as server:

        async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        plain_server = await asyncio.start_server(say, "127.0.0.1", 0)
        port = plain_server.sockets[0].getsockname()[1]
        with pytest.raises(ssl.SSLError):
            await ask(client, URL(f"https://127.0.0.1:{port}/"))
        plain_server.close()
    assert server.requests == []
