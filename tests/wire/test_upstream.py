"""One HTTP exchange, over real sockets: bounds, silences, TLS, guards, and streams that are none."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from beastmode.core import errors
from beastmode.core.addresses import make_http_session
from beastmode.core.clock import Clock
from beastmode.core.deltas import Begun, Delta
from beastmode.core.deployments import Deployment
from beastmode.core.native import Reply
from beastmode.core.types import Completion, Message, Request
from beastmode.wire.openai_chat import PROTOCOL, ChatStream, decode, encode
from beastmode.wire.upstream import OFF_LOOP_BYTES, Upstream, encoded

ANSWER = b'{"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]}'
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serves connections on a port of 127.0.0.1."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client left, or the test is over
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def saying(head: bytes, *pieces: bytes, then_wait_s: float = 0.0) -> Talk:
    """Reads a request, then says these bytes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        await asyncio.sleep(then_wait_s)

    return talk


def http(body: bytes, kind: str = "application/json", status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
EVENT = b'data: {"choices": [{"delta": {"content": "hello"}, "finish_reason": "stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.fixture(params=[make_http_session, aiohttp.ClientSession], ids=["the daemon's session", "any session"])
async def http_session(request: pytest.FixtureRequest) -> AsyncIterator[aiohttp.ClientSession]:
    async with request.param() as session:
        yield session


@pytest.fixture
def upstream(http_session: aiohttp.ClientSession) -> Upstream:
    return Upstream(http_session, Clock(), max_reply_bytes=100_000)


async def ask(
    upstream: Upstream, base_url: str, deltas: list[str] | None = None, body: bytes = b"{}", timeout_s: float = 5.0
) -> Completion:
    deployment = Deployment(id="d", model="custom:m", provider="custom", base_url=base_url, upstream_model="m")
    errand = upstream.errand(deployment, "/chat/completions", None, timeout_s, PROTOCOL)
    reader = ChatStream(deltas.append) if deltas is not None else None
    return await upstream.complete(errand, {"Content-Type": "application/json"}, body, decode, reader)


async def test_a_plain_reply_to_a_call_for_a_stream_is_one_delta(upstream: Upstream) -> None:
    deltas: list[str] = []
    async with serving(saying(http(ANSWER))) as port:
        assert (await ask(upstream, f"http://127.0.0.1:{port}", deltas)).text == "hello"
    assert deltas == ["hello"]


async def test_a_stream_under_another_content_type_is_still_read(upstream: Upstream) -> None:
    async with serving(saying(http(EVENT + DONE, "text/plain"))) as port:
        assert (await ask(upstream, f"http://127.0.0.1:{port}", [])).text == "hello"


async def test_a_server_that_keeps_the_line_open_after_the_end_holds_nobody_up(upstream: Upstream) -> None:
    async with serving(saying(STREAM, EVENT, DONE, then_wait_s=60)) as port:
        began_s = time.monotonic()
        assert (await ask(upstream, f"http://127.0.0.1:{port}", [], timeout_s=30)).text == "hello"
        assert time.monotonic() - began_s < 20


async def test_a_reply_is_bounded_plain_and_streamed(upstream: Upstream) -> None:
    for head, piece, deltas in ((http(b"x" * 200_000), b"", None), (STREAM, EVENT * 3000, [])):
        async with serving(saying(head, piece)) as port:
            with pytest.raises(errors.MalformedReplyError, match="100,000 bytes"):
                await ask(upstream, f"http://127.0.0.1:{port}", deltas)


async def test_a_large_answer_is_read_off_the_loop(http_session: aiohttp.ClientSession) -> None:
    large = b'{"choices": [{"message": {"content": "%s"}}]}' % (b"x" * OFF_LOOP_BYTES)
    async with serving(saying(http(large))) as port:
        completion = await ask(Upstream(http_session, Clock()), f"http://127.0.0.1:{port}")
    assert len(completion.text) == OFF_LOOP_BYTES


async def test_the_error_body_is_bounded_and_may_never_end(upstream: Upstream) -> None:
    head = b"HTTP/1.1 503 X\r\nContent-Type: text/plain\r\nContent-Length: 9999999\r\n\r\n"
    async with serving(saying(head, b"no room " * 20_000, then_wait_s=60)) as port:
        with pytest.raises(errors.UpstreamError, match="no room"):
            await ask(upstream, f"http://127.0.0.1:{port}", timeout_s=30)
    async with serving(saying(head, b"short", then_wait_s=60)) as port:
        with pytest.raises(errors.UpstreamError, match="short"):
            await ask(upstream, f"http://127.0.0.1:{port}", timeout_s=0.3)


async def test_an_error_body_that_breaks_off_leaves_its_status(upstream: Upstream) -> None:
    head = b"HTTP/1.1 401 X\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n"
    async with serving(saying(head, b"who are you")) as port:
        with pytest.raises(errors.AuthenticationError):
            await ask(upstream, f"http://127.0.0.1:{port}")


async def test_what_is_not_http_is_malformed(upstream: Upstream) -> None:
    async with serving(saying(b"220 mail.example.com ESMTP\r\n\r\n")) as port:
        with pytest.raises(errors.MalformedReplyError, match="not HTTP") as caught:
            await ask(upstream, f"http://127.0.0.1:{port}")
    assert caught.value.tips


async def test_a_server_that_reads_nothing_of_a_large_request_is_a_timeout(upstream: Upstream) -> None:
    async def read_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()
        await asyncio.sleep(60)

    async with serving(read_nothing) as port:
        with pytest.raises(errors.UpstreamTimeoutError):
            await ask(upstream, f"http://127.0.0.1:{port}", body=b"x" * (16 << 20), timeout_s=0.3)


def _certificate(folder: Path) -> ssl.SSLContext:
    """A server whose certificate nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "cert.pem").write_bytes(
        certificate.public_bytes(pem) + key.private_bytes(pem, private, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem")
    return context


async def test_a_certificate_nobody_vouches_for_is_a_tls_error(upstream: Upstream, tmp_path: Path) -> None:
    async with serving(saying(http(ANSWER)), tls=_certificate(tmp_path)) as port:
        with pytest.raises(errors.TLSError, match=r"self.signed") as caught:
            await ask(upstream, f"https://127.0.0.1:{port}")
    assert any("SSL_CERT_FILE" in tip for tip in caught.value.tips)


async def test_tls_spoken_to_a_plain_server_is_a_tls_error(upstream: Upstream) -> None:
    async def answer_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with serving(answer_plainly) as port:
        with pytest.raises(errors.TLSError) as caught:
            await ask(upstream, f"https://127.0.0.1:{port}/v1")
    assert any(f"--base-url http://127.0.0.1:{port}/v1" in tip for tip in caught.value.tips)


class Resolver(AbstractResolver):
    """Answers every name with an exception."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        raise self.error

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (OSError(-2, "Name or service not known"), errors.DNSError),
        (UnicodeError("label too long"), errors.DNSError),
        (errors.RefusedEndpointError("metadata.internal is a metadata service."), errors.RefusedEndpointError),
    ],
)
async def test_what_the_resolver_says_is_the_error(raised: Exception, kind: type[errors.BeastError]) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=Resolver(raised))) as session:
        with pytest.raises(kind) as caught:
            await ask(Upstream(session, Clock()), "http://metadata.internal/v1")
    assert type(caught.value) is kind
    assert caught.value.model == "custom:m"
    assert caught.value.endpoint == "http://metadata.internal:80/v1/chat/completions"


async def test_an_exception_of_the_caller_is_left_alone_and_closes_the_connection(upstream: Upstream) -> None:
    class BrokenError(Exception):
        pass

    def on_text(text: str) -> None:
        raise BrokenError

    deployment = Deployment(id="d", model="custom:m", provider="custom", upstream_model="m")
    async with serving(saying(STREAM, EVENT, then_wait_s=60)) as port:
        deployment.base_url = f"http://127.0.0.1:{port}"
        errand = upstream.errand(deployment, "/chat/completions", None, 5.0, PROTOCOL)
        with pytest.raises(BrokenError):
            await upstream.complete(errand, {}, b"{}", decode, ChatStream(on_text))


async def test_addresses_are_prepared_once_and_bounded(upstream: Upstream) -> None:
    def errand(base_url: str) -> object:
        deployment = Deployment(id="d", model="custom:m", provider="custom", base_url=base_url)
        return upstream.errand(deployment, "/x", None, 1.0, PROTOCOL).target

    first = errand("http://h:1/v1")
    assert errand("http://h:1/v1") is first
    for port in range(2000, 3100):
        errand(f"http://h:{port}/v1")
    assert errand("http://h:1/v1") == first


@pytest.mark.parametrize("content", ["x" * OFF_LOOP_BYTES, [{"type": "text", "text": "x" * OFF_LOOP_BYTES}]])
async def test_a_large_request_is_written_off_the_loop(content: str | list[dict[str, str]]) -> None:
    request = Request(model="m", messages=[Message(role="user", content=content), Message(role="assistant")])
    assert await encoded(encode, request, "m", False) == encode(request, "m", False)


LIMITS = b"X-RateLimit-Remaining-Requests: 9\r\nX-Request-Id: req_1\r\nSet-Cookie: a=b\r\n"
KEPT = {"x-ratelimit-remaining-requests": "9", "x-request-id": "req_1"}


class Taking:
    """A reader that is content with any bytes."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def feed(self, piece: bytes) -> bool:
        self.pieces.append(piece)
        return False

    def finish(self) -> Completion:
        return Completion(text=b"".join(self.pieces).decode())

    def whole(self, completion: Completion) -> None:
        self.pieces.append(b"whole")


async def relaying(upstream: Upstream, port: int, relay: str, deltas: list[Delta] | None) -> Completion:
    deployment = Deployment(id="d", model="custom:m", provider="custom", base_url=f"http://127.0.0.1:{port}")
    errand = upstream.errand(deployment, "/x", "sk-secret-12345678", 5.0, PROTOCOL)
    if deltas is None:
        return await upstream.complete(errand, {}, b"{}", decode, None, relay=relay)
    return await upstream.complete(errand, {}, b"{}", decode, Taking(), relay=relay, on_delta=deltas.append)


@pytest.mark.parametrize("relay", ["openai_chat", ""])
async def test_a_stream_begins_with_its_protocol_and_the_headers_a_caller_may_want(
    upstream: Upstream, relay: str
) -> None:
    deltas: list[Delta] = []
    head = STREAM.removesuffix(b"\r\n") + LIMITS + b"\r\n"
    async with serving(saying(head, EVENT, DONE)) as port:
        await relaying(upstream, port, relay, deltas)
    assert deltas == [Begun(relay, KEPT)]


@pytest.mark.parametrize("streams", [False, True])
async def test_a_plain_reply_is_kept_as_it_came_where_it_is_relayed(upstream: Upstream, streams: bool) -> None:
    deltas: list[Delta] | None = [] if streams else None
    reply = http(ANSWER).replace(b"\r\n\r\n", b"\r\n" + LIMITS + b"\r\n", 1)
    async with serving(saying(reply)) as port:
        completion = await relaying(upstream, port, "openai_chat", deltas)
        assert completion.reply == Reply("openai_chat", ANSWER, KEPT)
    assert deltas in (None, [Begun("", KEPT)])  # in one piece, though a stream was asked for: nothing is relayed
    async with serving(saying(reply)) as port:
        assert (await relaying(upstream, port, "", deltas)).reply == Reply("", b"", KEPT)
    async with serving(saying(http(ANSWER))) as port:
        assert (await relaying(upstream, port, "", deltas)).reply is None


async def test_an_error_keeps_headers_and_words_for_programs(upstream: Upstream) -> None:
    body = b'{"error": {"message": "slow down", "type": "tokens", "code": "rate_limit_exceeded", "param": null}}'
    reply = http(body, status="429 X").replace(b"\r\n\r\n", b"\r\nRetry-After: 7\r\n" + LIMITS + b"\r\n", 1)
    deltas: list[Delta] = []
    async with serving(saying(reply)) as port:
        with pytest.raises(errors.RateLimitedError) as caught:
            await relaying(upstream, port, "openai_chat", deltas)
    assert deltas == []
    assert (caught.value.status, caught.value.retry_after_s) == (429, 7.0)
    assert caught.value.details == {
        "upstream_headers": {**KEPT, "retry-after": "7"},
        "upstream_type": "tokens",
        "upstream_code": "rate_limit_exceeded",
    }


async def test_neither_the_key_nor_a_sentence_is_among_the_words_of_an_error(upstream: Upstream) -> None:
    body = b'{"error": {"message": "no", "type": "your sentence is wrong", "code": "sk-secret-12345678", "param": 5}}'
    reply = http(body, status="400 X").replace(b"\r\n\r\n", b"\r\nX-Request-Id: sk-secret-12345678\r\n\r\n", 1)
    async with serving(saying(reply)) as port:
        with pytest.raises(errors.BadRequestError) as caught:
            await relaying(upstream, port, "", None)
    assert caught.value.details == {"upstream_headers": {"x-request-id": "[key]"}, "upstream_param": "5"}
