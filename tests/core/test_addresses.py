"""Base URLs: one spelling, and no way to a link-local or metadata address, however it is written."""

# ruff: noqa: RUF001 (look-alike signs are what is tested)

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address

import pytest
import yarl
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.core.addresses import (
    GuardedResolver,
    check_base_url,
    make_http_session,
    open_guarded_socket,
    why_refused,
)
from beastmode.core.errors import EndpointNotFoundError, RefusedEndpointError

METADATA = IPv4Address("169.254.169.254")


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("http://127.0.0.1:11434/v1", "http://127.0.0.1:11434/v1"),
        ("  HTTPS://Api.OpenAI.com/v1/ \n", "https://api.openai.com/v1"),
        ("https://api.openai.com:443/v1", "https://api.openai.com/v1"),
        ("http://localhost.:80", "http://localhost"),
        ("http://10.1.2.3:8000/Team/v1//", "http://10.1.2.3:8000/Team/v1"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1"),
        ("http://[0:0:0:0:0:0:0:1]/", "http://[::1]"),
        ("http://2130706433:11434", "http://127.0.0.1:11434"),
        ("http://127.1", "http://127.0.0.1"),
        ("http://0x7f.1", "http://127.0.0.1"),
        ("http://１２７.０.０.１:1234", "http://127.0.0.1:1234"),
        ("https://bücher.example/v1", "https://xn--bcher-kva.example/v1"),
        ("http://my_server.local:1234", "http://my_server.local:1234"),
        ("http://host:", "http://host"),
    ],
)
def test_a_base_url_has_one_spelling(typed: str, kept: str) -> None:
    assert check_base_url(typed) == kept
    assert check_base_url(kept) == kept


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("localhost:11434/v1", "scheme"),
        ("ftp://host/v1", "ftp"),
        ("file:///etc/passwd", "file"),
        ("http:///v1", "no host"),
        ("http://.", "no host"),
        ("https://user:secret@host/v1", "user name"),
        ("https://host/v1?key=secret", "query"),
        ("https://host/v1#x", "fragment"),
        ("http://host:99999/", "port"),
        ("http://host:0/", "port"),
        ("http://host:12a/", "port"),
        ("http://ho st/", "blank"),
        ("http://host\t/", "control"),
        ("http://host\\@evil/", "backslash"),
        ("http://ho%73t/", "percent"),
        ("http://[::1/", "host"),
        ("http://[::zz]/", "IPv6"),
        ("http://[::1%25lo]/", "interface"),
        ("http://1.2.3.4.5/", "IPv4"),
        ("http://300.1.1.1/", "IPv4"),
        ("http://1.2.3.09/", "leading zero"),
        ("http://host.0x/", "neither"),
        ("http://-host/", "host name"),
        ("http://a..b/", "host name"),
        ("http://" + "a" * 64 + "/", "host name"),
        ("http://a\u200bb.example/", "host name"),
    ],
)
def test_what_is_no_plain_url_is_refused_with_a_tip_and_without_its_secrets(typed: str, said: str) -> None:
    with pytest.raises(RefusedEndpointError) as caught:
        check_base_url(typed)
    assert said in caught.value.message
    assert caught.value.tips
    assert "secret" not in str(caught.value.data()) + caught.value.message


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0xA9.254.43518",
        "0xa9.0xfe.0xa9.0xfe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "169.16689662",
        "169.254.169.254.",
        "169.254.169.254..",
        "169。254。169。254",
        "１６９.２５４.１６９.２５４",
        "①⑥⑨.②⑤④.①⑥⑨.②⑤④",
        "169.254.169.25%34",
        "%31%36%39.254.169.254",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[::169.254.169.254]",
        "[::ffff:0:169.254.169.254]",
        "[2002:a9fe:a9fe::1]",
        "[64:ff9b::169.254.169.254]",
        "[64:ff9b:1::169.254.169.254]",
        "[64:ff9b:1:a9fe:a9:fe00::]",
        "[2001:0:a9fe:a9fe::]",
        "[2001:0:c000:201::5601:5601]",
        "[2001:db8::5efe:169.254.169.254]",
        "[fe80::1]",
        "[fe80::1%25eth0]",
        "[fe80::1%eth0]",
        "[FEBF::1]",
        "[fd00:ec2::254]",
        "[fd20:ce::254]",
        "[::]",
        "[ff02::1]",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "0",
        "224.0.0.1",
        "255.255.255.255",
        "metadata.google.internal",
        "METADATA.google.internal.",
        "metadata",
        "instance-data",
        "ｍetadata.google.internal",
    ],
)
def test_no_spelling_of_a_metadata_or_link_local_address_gets_through(host: str) -> None:
    for url in (f"http://{host}", f"https://{host}:8080/v1"):
        with pytest.raises(RefusedEndpointError) as caught:
            check_base_url(url)
        assert caught.value.tips


def _number(value: int, style: str) -> str:
    return {
        "dec": str(value),
        "hex": hex(value),
        "HEX": f"0X{value:X}",
        "oct": f"0{value:o}",
        "pad": f"0x000{value:x}",
    }[style]


@settings(deadline=None, max_examples=300)
@given(
    inside=st.integers(0, 65535),
    cuts=st.sampled_from([(8, 8, 8, 8), (8, 8, 16), (8, 24), (32,)]),
    styles=st.lists(st.sampled_from(["dec", "hex", "HEX", "oct", "pad"]), min_size=4, max_size=4),
    wide=st.booleans(),
    dots=st.sampled_from([".", "。", "．", "｡"]),
    tail=st.sampled_from(["", ".", ".."]),
)
def test_every_way_to_write_a_link_local_ipv4_address_is_refused(
    inside: int, cuts: tuple[int, ...], styles: list[str], wide: bool, dots: str, tail: str
) -> None:
    left, rest, parts = 32, (169 << 24 | 254 << 16 | inside), []
    for cut, style in zip(cuts, styles, strict=False):
        left -= cut
        parts.append(_number(rest >> left & (1 << cut) - 1, style))
    host = dots.join(parts) + tail
    if wide:
        host = "".join(chr(ord(sign) + 0xFEE0) if sign.isdigit() else sign for sign in host)
    with pytest.raises(RefusedEndpointError):
        check_base_url(f"http://{host}/v1")


@settings(deadline=None, max_examples=200)
@given(
    inside=st.integers(0, 65535),
    prefix=st.sampled_from(
        ["::", "::ffff:", "::ffff:0:", "64:ff9b::", "2002:", "2001:db8::5efe:", "2001:db8::200:5efe:"]
    ),
    exploded=st.booleans(),
    upper=st.booleans(),
)
def test_every_ipv6_address_that_holds_a_link_local_ipv4_address_is_refused(
    inside: int, prefix: str, exploded: bool, upper: bool
) -> None:
    address = IPv6Address(f"{prefix}a9fe:{inside:x}" + ("::" if prefix == "2002:" else ""))
    text = address.exploded if exploded else str(address)
    with pytest.raises(RefusedEndpointError):
        check_base_url(f"http://[{text.upper() if upper else text}]:80")


@settings(deadline=None, max_examples=200)
@given(address=st.ip_addresses(v=4), port=st.integers(1, 65535))
def test_an_ipv4_address_is_kept_exactly_when_it_may_be_called(address: IPv4Address, port: int) -> None:
    if why_refused(address):
        with pytest.raises(RefusedEndpointError):
            check_base_url(f"http://{address}:{port}")
    else:
        assert check_base_url(f"http://{int(address)}:{port}").startswith(f"http://{address}")


@settings(deadline=None, max_examples=300)
@given(
    text=st.text(max_size=60)
    | st.text(max_size=40).map("http://{}".format)
    | st.text(max_size=40).map("https://[{}]".format)
)
def test_any_text_is_either_refused_or_becomes_a_url_that_stays_as_it_is(text: str) -> None:
    try:
        kept = check_base_url(text)
    except RefusedEndpointError:
        return
    assert kept.isascii() or "/" in kept[8:]
    assert check_base_url(kept) == kept
    host = yarl.URL(kept).host or ""
    assert "169.254." not in host


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "8.8.8.8"])
def test_loopback_private_and_public_ipv4_addresses_may_be_called(address: str) -> None:
    assert why_refused(IPv4Address(address)) is None


@pytest.mark.parametrize("address", ["::1", "fd12:3456::1", "2606:4700::1111", "::ffff:127.0.0.1", "64:ff9b::8.8.8.8"])
def test_loopback_private_and_public_ipv6_addresses_may_be_called(address: str) -> None:
    assert why_refused(IPv6Address(address)) is None


class _Names(AbstractResolver):
    """A name server whose answers change."""

    def __init__(self, **answers: list[str]) -> None:
        self.answers = answers
        self.closed = False

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.answers[host]
        ]

    async def close(self) -> None:
        self.closed = True


async def test_a_name_that_leads_to_a_metadata_address_is_refused_at_the_look_up() -> None:
    resolver = GuardedResolver(_Names(evil=["169.254.169.254"], zone=["fe80::1%3"]))
    with pytest.raises(RefusedEndpointError, match=r"evil is 169\.254\.169\.254"):
        await resolver.resolve("evil", 80)
    with pytest.raises(RefusedEndpointError):
        await resolver.resolve("zone", 80)
    with pytest.raises(RefusedEndpointError):
        await resolver.resolve("metadata.google.internal", 80)


async def test_a_name_keeps_the_addresses_that_may_be_called() -> None:
    inner = _Names(home=["fe80::1%eth0", "192.168.1.5"], none=[])
    resolver = GuardedResolver(inner)
    assert [one["host"] for one in await resolver.resolve("home", 80)] == ["192.168.1.5"]
    assert await resolver.resolve("none", 80) == []
    await resolver.close()
    assert inner.closed


def test_the_socket_gate_refuses_literal_addresses_too() -> None:
    with pytest.raises(RefusedEndpointError):
        open_guarded_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("169.254.169.254", 80)))
    open_guarded_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80))).close()


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "0.0.0.0", "metadata.goog"]
)
async def test_the_session_connects_to_no_refused_address_even_when_the_url_was_never_checked(host: str) -> None:
    async with make_http_session() as session:
        with pytest.raises(RefusedEndpointError):
            await session.get(f"http://{host}/latest/meta-data/")


async def test_the_session_follows_no_redirect_keeps_no_cookie_and_sends_lean_headers() -> None:
    seen: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request)
        if request.path == "/moved":
            return web.Response(status=307, headers={"Location": "/"})
        return web.Response(text="ok", headers={"Set-Cookie": "a=b"})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    base = f"http://127.0.0.1:{port}"
    try:
        async with make_http_session() as session:
            for _ in range(2):
                async with session.get(f"{base}/") as reply:
                    assert await reply.text() == "ok"
            assert "Cookie" not in seen[1].headers
            assert seen[1].headers["Accept-Encoding"] == "identity"
            assert seen[1].headers["User-Agent"].startswith("beastmode/")
            with pytest.raises(EndpointNotFoundError, match="redirect") as caught:
                await session.get(f"{base}/moved?key=secret", headers={"Authorization": "Bearer secret"})
            assert caught.value.status == 307
            assert "secret" not in str(caught.value.data())
            async with session.get(f"{base}/moved", allow_redirects=False) as reply:
                assert reply.status == 307
            assert [request.path for request in seen] == ["/", "/", "/moved", "/moved"]
    finally:
        await runner.cleanup()


async def test_the_environment_names_no_proxy_for_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with make_http_session() as session:
        assert session.trust_env is False
        assert session.connector is not None
        assert session.connector.limit == 0
