"""The tier in Redis: which URLs it takes, what it says when the server refuses, and that no password ever shows."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from beastmode.core import errors
from beastmode.core.clock import Clock
from beastmode.core.plugins import Context
from beastmode.core.settings import CacheSettings, RedisSettings
from beastmode_plugins.redis_tier import RedisTier
from support.redis_server import RedisServer, need_redis, redis, relayed

__all__ = ["redis"]  # a fixture

PASSWORD = "pa55w0rd-of-the-team"


@asynccontextmanager
async def tier_at(url: str, ttl_s: float = 7200.0) -> AsyncIterator[RedisTier]:
    tier = RedisTier()
    async with aiohttp.ClientSession() as http:
        cache = CacheSettings(redis=RedisSettings(url=url, ttl_s=ttl_s))
        here = Path()
        await tier.start(Context(http=http, data=here, run=here, clock=Clock(), cache=cache))
        try:
            yield tier
        finally:
            await tier.close()


def everything_said(error: BaseException) -> str:
    lines = traceback.format_exception(error)
    return "".join(lines) + repr(error) + str(getattr(error, "tips", ""))


@pytest.mark.parametrize(
    "url",
    [
        f"http://:{PASSWORD}@localhost:6379",
        f":{PASSWORD}@localhost:6379",
        f"redis://:{PASSWORD}@localhost:port",
        f"redis://user:{PASSWORD}/x@localhost:99999999",
        f"redis://:{PASSWORD}@localhost/first",
        f"redis://localhost?password={PASSWORD}&no_such_option=1",
        f"redis://localhost?db={PASSWORD}",
        f"redis://[{PASSWORD}",
        f"unix://?password={PASSWORD}",
        PASSWORD,
    ],
)
async def test_a_url_that_is_wrong_is_an_error_that_does_not_show_it(url: str) -> None:
    with pytest.raises(errors.BadInputError) as raised:
        async with tier_at(url):
            pass
    assert "cache.redis.url" in everything_said(raised.value)
    assert PASSWORD not in everything_said(raised.value)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://localhost", "localhost:6379"),
        (f"redis://user:{PASSWORD}@cache.example:6380/3", "cache.example:6380"),
        (f"rediss://:{PASSWORD}@cache.example/0?ssl_cert_reqs=none&ssl_check_hostname=false", "cache.example:6379"),
        (f"unix://:{PASSWORD}@/run/redis.sock?db=2", "/run/redis.sock"),
    ],
)
async def test_urls_of_every_form_are_taken_without_connecting(url: str, place: str) -> None:
    async with tier_at(url, ttl_s=60.0) as tier:
        assert tier.configured()
        assert tier.ttl_s == 60.0
        assert tier._place == place


async def test_where_nobody_listens_it_says_where_at_once() -> None:
    async with tier_at(f"redis://:{PASSWORD}@127.0.0.1:9") as tier:
        with pytest.raises(errors.EndpointUnreachableError, match=r"127\.0\.0\.1:9") as raised:
            await tier.get(b"k")
    assert PASSWORD not in everything_said(raised.value)


async def test_certificates_that_are_not_there_are_named() -> None:
    with pytest.raises(errors.BadInputError, match="certificate") as raised:
        async with tier_at(f"rediss://:{PASSWORD}@localhost?ssl_ca_certs=/no/such/file.pem"):
            pass
    assert PASSWORD not in everything_said(raised.value)


async def test_a_host_without_an_address_is_named() -> None:
    async with tier_at("redis://no-such-host.invalid") as tier:
        with pytest.raises(errors.DNSError, match=r"no-such-host\.invalid:6379"):
            await tier.get(b"k")


async def test_it_speaks_tls_and_says_where_a_certificate_is_not_trusted(tmp_path: Path) -> None:
    need_redis()
    certificate, key = self_signed(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ("--tls-port", str(port), "--tls-auth-clients", "no", "--bind", "127.0.0.1")
    files = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-ca-cert-file", str(certificate))
    with RedisServer(*options, *files):
        async with tier_at(f"rediss://localhost:{port}?ssl_ca_certs={certificate}") as tier:
            await tier.put(b"k", b"v", 10.0)
            assert await asyncio.gather(*(tier.get(b"k") for _ in range(50))) == [b"v"] * 50
        async with tier_at(f"rediss://:{PASSWORD}@localhost:{port}") as tier:
            with pytest.raises(errors.TLSError, match=f"localhost:{port}") as raised:
                await tier.get(b"k")
            assert "ssl_ca_certs" in raised.value.tips[0]
            assert PASSWORD not in everything_said(raised.value)


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Makes a certificate for localhost that is its own authority.

    Returns:
        Files of the certificate and of its key.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


async def test_a_wrong_password_is_named_and_not_shown() -> None:
    need_redis()
    with RedisServer("--requirepass", "another") as server:
        for url in (server.url.replace("unix://", f"unix://:{PASSWORD}@"), server.url):
            async with tier_at(url) as tier:
                with pytest.raises(errors.AuthenticationError, match=r"redis\.sock") as raised:
                    await tier.get(b"k")
                assert PASSWORD not in everything_said(raised.value)
        async with tier_at(server.url.replace("unix://", "unix://:another@")) as tier:
            assert await tier.get(b"k") is None


async def test_a_user_who_may_not_write_is_told_what_is_needed(redis: RedisServer) -> None:
    await redis.ask("ACL", "SETUSER", "reader", "on", f">{PASSWORD}", "~*", "+get")
    async with tier_at(redis.url.replace("unix://", f"unix://reader:{PASSWORD}@")) as tier:
        assert await tier.get(b"k") is None
        with pytest.raises(errors.AuthenticationError) as raised:
            await tier.put(b"k", b"v", 10.0)
    assert "needs GET, SET, UNLINK and SCAN" in raised.value.tips[0]


async def test_a_key_that_holds_something_else_is_a_malformed_reply(redis: RedisServer) -> None:
    await redis.ask("LPUSH", "beastmode:k", "no answer")
    async with tier_at(redis.url) as tier:
        with pytest.raises(errors.MalformedReplyError):
            await tier.get(b"k")
        await tier.put(b"k", b"v", 10.0)
        assert await tier.get(b"k") == b"v"


async def test_a_full_server_says_so_and_still_answers() -> None:
    need_redis()
    with RedisServer("--maxmemory", "1mb", "--maxmemory-policy", "noeviction") as server:
        async with tier_at(server.url) as tier:
            with pytest.raises(errors.UpstreamError, match="is full") as raised:
                for i in range(100):
                    await tier.put(f"k{i}".encode(), b"v" * 100_000, 10.0)
            assert "maxmemory-policy" in raised.value.tips[0]
            assert await tier.get(b"never stored") is None


async def test_a_replica_says_that_it_takes_nothing(redis: RedisServer) -> None:
    async with tier_at(redis.url) as tier:
        await tier.put(b"k", b"v", 10.0)
        await redis.ask("REPLICAOF", "127.0.0.1", "9")
        await redis.ask("CONFIG", "SET", "replica-serve-stale-data", "yes")
        assert await tier.get(b"k") == b"v"
        with pytest.raises(errors.UpstreamError, match="replica"):
            await tier.put(b"k", b"v", 10.0)


async def test_a_refusal_of_another_kind_is_named_by_its_code_alone(redis: RedisServer) -> None:
    async with relayed(redis) as relay, tier_at(relay.url) as tier:
        for reply, said in ((b"-MISCONF secret\r\n", "MISCONF"), (b"-ERR unknown `secret`\r\n", "an error")):
            relay.reply = reply
            with pytest.raises(errors.BeastError, match=said) as raised:
                await tier.get(b"k")
            assert "secret" not in everything_said(raised.value)


@pytest.mark.parametrize("reply", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"*1\r\n$1\r\nx\r\n", b":7\r\n", b"+OK\r\n"])
async def test_what_is_no_redis_reply_is_never_an_answer(redis: RedisServer, reply: bytes) -> None:
    async with relayed(redis) as relay, tier_at(relay.url) as tier:
        relay.reply = reply
        if reply == b"+OK\r\n":  # as bytes, a status is the same as a value
            assert await tier.get(b"k") == b"OK"
            return
        with pytest.raises(errors.MalformedReplyError):
            await tier.get(b"k")


async def test_a_server_that_is_loading_is_not_there_yet(redis: RedisServer) -> None:
    async with relayed(redis) as relay, tier_at(relay.url) as tier:
        relay.reply = b"-LOADING Redis is loading the dataset in memory\r\n"
        with pytest.raises(errors.EndpointUnreachableError, match="loading"):
            await tier.get(b"k")


async def test_answers_end_by_themselves(redis: RedisServer) -> None:
    async with tier_at(redis.url) as tier:
        await tier.put(b"k", b"v", 100.0)
    left_ms = await redis.ask("PTTL", "beastmode:k")
    assert isinstance(left_ms, int)
    assert 0 < left_ms <= 100_000


async def test_a_connection_that_the_server_closed_is_made_anew(redis: RedisServer) -> None:
    async with tier_at(redis.url) as tier:
        await tier.put(b"k", b"v", 100.0)
        redis.kill()
        redis.start()
        assert await tier.get(b"k") is None


async def test_it_opens_few_connections(redis: RedisServer) -> None:
    async with tier_at(redis.url) as tier:
        await asyncio.gather(*(tier.get(b"k") for _ in range(500)))
        clients = await redis.ask("CLIENT", "LIST")
        assert isinstance(clients, bytes)
        assert clients.count(b"\n") <= 9


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


START = """
import asyncio, sys
from pathlib import Path
from beastmode.core.clock import Clock
from beastmode.core.settings import CacheSettings, RedisSettings
from beastmode.core.plugins import Context
from beastmode_plugins.redis_tier import beast_tiers
[tier] = beast_tiers()
def start(url):
    cache = CacheSettings(redis=RedisSettings(url=url))
    asyncio.run(tier.start(Context(http=None, data=Path(), run=Path(), clock=Clock(), cache=cache)))
"""


def test_without_a_url_redis_py_is_not_imported() -> None:
    assert run(START + "start(''); print(tier.configured(), 'redis' in sys.modules)") == "False False\n"


def test_without_redis_py_it_says_how_to_get_it() -> None:
    code = START + "sys.modules['redis'] = None\ntry: start('redis://x')\nexcept Exception as e: print(e, e.tips)"
    assert "pip install 'beastmode[redis]'" in run(code)
