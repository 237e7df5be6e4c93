"""Who may come in by HTTP: hosts, origins, tokens, types; and what is malformed or too much."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from beastmode.servers.http.gate import VERDICTS_MAX, Gate, Refusal
from support.http_door import HEAD, LOOPS, TOKEN, Client, Door, request
from support.waiting import until

PORT = 23278
GOOD = {"host": "localhost", "authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def gate() -> Gate:
    return Gate(lambda: TOKEN, lambda: frozenset({"Box.local", "tunnel.example:8443", "fd00::1"}), PORT)


@pytest.fixture(scope="module", params=sorted(LOOPS))
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    with Door(request.param) as door:
        yield door


@pytest.fixture
def client(door: Door) -> Iterator[Client]:
    with Client(door.port) as client:
        yield client


def status(refusal: Refusal | None) -> int | None:
    return None if refusal is None else refusal.status


# -- the gate ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "LocalHost", "[::1]", f"127.0.0.1:{PORT}", f"localhost:{PORT}", f"[::1]:{PORT}"),
        *("box.local", f"BOX.local:{PORT}", "tunnel.example:8443", "[fd00::1]", f"[fd00::1]:{PORT}"),
    ],
)
def test_this_machines_names_are_let_in(gate: Gate, host: str) -> None:
    assert gate.check("GET", "/v1/models", {**GOOD, "host": host}) is None


@pytest.mark.parametrize(
    "host",
    [
        *("", "evil.example", "127.0.0.2", "0.0.0.0", "localhost.evil.example", "localhost:1", "127.0.0.1:", "::1"),
        *("localhost:23278@evil.example", "localhost ", "tunnel.example", f"evil.example:{PORT}", "2130706433"),
    ],
)
@pytest.mark.parametrize("path", ["/healthz", "/v1/models"])
def test_any_other_host_is_refused_on_every_path(gate: Gate, host: str, path: str) -> None:
    refusal = gate.check("GET", path, {**GOOD, "host": host})
    assert refusal is not None and refusal.status == 403
    assert any(f"127.0.0.1:{PORT}" in tip for tip in refusal.tips)


@pytest.mark.parametrize(
    ("origin", "let_in"),
    [
        (f"http://localhost:{PORT}", True),
        (f"http://127.0.0.1:{PORT}", True),
        (f"http://[::1]:{PORT}", True),
        ("https://tunnel.example:8443", True),
        ("null", False),
        ("", False),
        ("http://localhost", False),
        ("http://localhost:3000", False),
        (f"https://localhost:{PORT}", False),
        ("https://evil.example", False),
        (f"http://localhost:{PORT}.evil.example", False),
        (f"http://localhost:{PORT}/", False),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_only_our_own_pages_may_call(gate: Gate, origin: str, let_in: bool, method: str) -> None:
    headers = {**GOOD, "origin": origin}
    assert status(gate.check(method, "/v1/models", headers)) == (None if let_in else 403)
    assert status(gate.check("GET", "/healthz", headers)) == (None if let_in else 403)


@pytest.mark.parametrize(("site", "expected"), [("cross-site", 403), ("same-origin", None), ("none", None)])
def test_requests_of_other_sites_pages_are_refused_even_without_an_origin(
    gate: Gate, site: str, expected: int | None
) -> None:
    assert status(gate.check("GET", "/", {**GOOD, "sec-fetch-site": site})) == expected


@pytest.mark.parametrize(
    ("headers", "let_in"),
    [
        ({}, False),
        ({"authorization": f"Bearer {TOKEN}"}, True),
        ({"authorization": f"bearer  {TOKEN} "}, True),
        ({"x-api-key": TOKEN}, True),
        ({"authorization": "Bearer sk-other", "x-api-key": TOKEN}, True),
        ({"authorization": f"Bearer {TOKEN}", "x-api-key": "sk-other"}, True),
        ({"authorization": "Bearer sk-other", "x-api-key": "sk-other"}, False),
        ({"authorization": f"Basic {TOKEN}"}, False),
        ({"authorization": TOKEN}, False),
        ({"authorization": f"Bearer {TOKEN}x"}, False),
        ({"authorization": f"Bearer {TOKEN[:-1]}"}, False),
        ({"authorization": "Bearer "}, False),
        ({"x-api-key": ""}, False),
        ({"x-api-key": "t\xf6ken"}, False),
    ],
)
def test_one_right_token_is_needed_and_enough(gate: Gate, headers: dict[str, str], let_in: bool) -> None:
    refusal = gate.check("GET", "/v1/models", {"host": "localhost", **headers})
    assert status(refusal) == (None if let_in else 401)
    if refusal is not None:
        assert ("www-authenticate", "Bearer") in refusal.headers
        assert "beast token" in refusal.tips[0] and TOKEN not in str(refusal)


@pytest.mark.parametrize(
    ("method", "path", "open_to_all"),
    [
        ("GET", "/healthz", True),
        ("HEAD", "/healthz", True),
        ("HEAD", "/", True),
        ("POST", "/healthz", False),
        ("GET", "/", False),
        ("GET", "/readyz", False),
        ("GET", "/healthz/", False),
        ("GET", "/openapi.json", False),
        ("OPTIONS", "/healthz", False),
    ],
)
def test_what_needs_no_token(gate: Gate, method: str, path: str, open_to_all: bool) -> None:
    assert status(gate.check(method, path, {"host": "localhost"})) == (None if open_to_all else 401)


def test_no_token_opens_nothing() -> None:
    assert status(Gate(lambda: "").check("GET", "/x", {"host": "localhost", "x-api-key": ""})) == 401


def test_a_changed_token_holds_from_the_next_request_on() -> None:
    tokens = [TOKEN]
    gate = Gate(lambda: tokens[-1])
    assert gate.check("GET", "/x", GOOD) is None
    tokens.append("another")
    assert status(gate.check("GET", "/x", GOOD)) == 401
    assert gate.check("GET", "/x", {"host": "localhost", "x-api-key": "another"}) is None


def test_a_token_that_was_let_in_lets_in_nothing_else(gate: Gate) -> None:
    assert gate.check("GET", "/x", GOOD) is None
    assert status(gate.check("GET", "/x", {**GOOD, "origin": "null"})) == 403
    assert status(gate.check("GET", "/x", {**GOOD, "host": "evil.example"})) == 403
    assert status(gate.check("POST", "/x", {**GOOD, "content-length": "1"})) == 415
    assert gate.check("GET", "/healthz", {"host": "localhost"}) is None
    assert status(gate.check("GET", "/x", {"host": "localhost"})) == 401


def test_any_number_of_different_heads_is_judged_aright(gate: Gate) -> None:
    for number in range(3 * VERDICTS_MAX):
        assert gate.check("GET", "/x", {**GOOD, "x-api-key": str(number)}) is None
    assert status(gate.check("GET", "/x", {"host": "localhost", "x-api-key": "1"})) == 401


@pytest.mark.parametrize(
    ("said", "let_in"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("Application/JSON;charset=UTF-8", True),
        (None, False),
        ("", False),
        ("text/plain", False),
        ("application/x-www-form-urlencoded", False),
        ("multipart/form-data; boundary=application/json", False),
        ("text/plain; application/json", False),
        ("application/jsonp", False),
    ],
)
@pytest.mark.parametrize("length", [{"content-length": "2"}, {"transfer-encoding": "chunked"}])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_body_must_say_that_it_is_json(
    gate: Gate, said: str | None, let_in: bool, length: dict[str, str], method: str
) -> None:
    headers = {**GOOD, **length} if said is None else {**GOOD, **length, "content-type": said}
    assert status(gate.check(method, "/x", headers)) == (None if let_in else 415)


@pytest.mark.parametrize("headers", [{}, {"content-length": "0"}])
def test_who_sends_no_body_need_not_say_what_it_is(gate: Gate, headers: dict[str, str]) -> None:
    assert gate.check("POST", "/x", {**GOOD, **headers}) is None


# -- over the wire ----------------------------------------------------------------------------------------------------


def test_a_refusal_comes_before_the_body_is_sent_and_no_page_may_read_it(client: Client) -> None:
    head = b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\nContent-Length: 1000000\r\n\r\n"
    reply = client.send(head).reply()
    assert (reply.status, reply.headers["connection"]) == (403, "close")
    assert not [name for name in reply.headers if name.startswith("access-control")]
    assert set(reply.json["error"]) == {"message", "type", "code"}
    assert client.is_closed()


def test_who_sends_its_body_all_the_same_sees_why_it_is_refused(client: Client) -> None:
    client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000000\r\n\r\n", b"x" * 20_000_000)
    reply = client.reply()
    assert (reply.status, reply.headers["www-authenticate"], "beast token" in reply.message) == (401, "Bearer", True)


def test_a_gigabyte_is_refused_at_once(client: Client) -> None:
    client.send(request("/", "POST", f"Content-Length: {1 << 30}", "Content-Type: application/json"))
    reply = client.reply()
    assert (reply.status, "Tip" in reply.message) == (413, True)
    assert client.is_closed()


def test_a_body_in_chunks_is_counted() -> None:
    with Door(body_bytes=1000) as door, Client(door.port) as client:
        head = request("/", "POST", "Transfer-Encoding: chunked", "Content-Type: application/json")
        assert client.send(head, b"3e8\r\n" + b"x" * 1000 + b"\r\n1\r\nx\r\n0\r\n\r\n").reply().status == 413
        until(lambda: door.server.unfinished_bytes == 0)
        assert door.seen == []


@pytest.mark.parametrize("waste", [b"1;" + b"x" * 1_000_000, b"0\r\nX: " + b"x" * 1_000_000])
def test_a_body_that_is_nothing_but_framing_is_refused(client: Client, waste: bytes) -> None:
    head = request("/", "POST", "Transfer-Encoding: chunked", "Content-Type: application/json")
    assert client.send(head, waste).reply().status == 400


def test_unfinished_bodies_of_all_clients_together_are_bounded() -> None:
    with Door(unfinished_bytes=50_000) as door:
        head = request("/", "POST", "Content-Length: 20000", "Content-Type: application/json")
        clients = [door.client().send(head, b"x" * 19_000) for _ in range(4)]
        statuses = []
        for one in clients:
            one.socket.settimeout(0.3)
            try:
                statuses.append(one.reply().status)
            except TimeoutError:
                one.socket.settimeout(20)
        assert statuses and set(statuses) == {503}
        assert door.server.unfinished_bytes <= 50_000


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (request("/", "GET", *(f"X-{n}: 1" for n in range(99))), 431),
        (request("/", "GET", "X-Big: " + "x" * (64 << 10)), 431),
        (request("/", "GET", *(f"X-{n}: {'x' * 9000}" for n in range(8))), 431),
        (request("/" + "x" * 8192), 414),
        (b"X" * 100_000, 501),
        (b"GET /" + b"x" * 100_000, 414),
    ],
)
def test_heads_that_are_too_large_are_refused(client: Client, data: bytes, expected: int) -> None:
    assert client.send(data).reply().status == expected


def test_large_heads_within_the_bounds_are_read(client: Client) -> None:
    assert client.ask("/" + "x" * 8000, "GET", *(f"X-{n}: {'x' * 500}" for n in range(95))).status == 200


JSON_TYPE = b"Content-Type: application/json\r\n"
POST = b"POST / HTTP/1.1\r\n" + HEAD + JSON_TYPE
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    "data",
    [
        POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
        CHUNKED + b"Content-Length: 1\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        POST + b"Content-Length: 1, 1\r\n\r\nx",
        POST + b"Content-Length: +1\r\n\r\nx",
        POST + b"Content-Length: -1\r\n\r\nx",
        POST + b"Content-Length: 0x1\r\n\r\nx",
        POST + b"Content-Length: 99999999999999999999999\r\n\r\nx",
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: identity\r\n\r\n",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        CHUNKED + b"\r\nzz\r\n",
        CHUNKED + b"\r\n-1\r\nx\r\n0\r\n\r\n",
        CHUNKED + b"\r\n1\r\nxx\r\n0\r\n\r\n",
        CHUNKED + b"\r\nfffffffffffffffff\r\nx",
        CHUNKED + b"\r\n1\nx\n0\n\n",
        POST + b"Host: localhost\r\n\r\n",
        POST + b"Host: evil.example\r\n\r\n",
        POST + b"Authorization: Bearer x\r\n\r\n",
        POST + JSON_TYPE + b"\r\n",
        POST + b"X-Api-Key: 1\r\nx-api-key: 1\r\n\r\n",
        POST + b"X-Beast-User: me\r\nx-beast-user: you\r\n\r\n",
        POST + b"X-Folded: 1\r\n 2\r\n\r\n",
        POST + b"X-Nul: a\0b\r\n\r\n",
        POST + b"X-Control: a\x01b\r\n\r\n",
        POST + b"X-Bare: a\rb\r\n\r\n",
        POST + b"X-Bare: a\nb: c\r\n\r\n",
        POST + b"X-No-Colon\r\n\r\n",
        POST + b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\n{}",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"GET https://localhost/ HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"GET localhost HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"GET /#fragment HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"GET /%00 HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"GET /%0d%0a HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"GET /%ff HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"GET /\xff HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"GET / HTTP/1.1\n" + HEAD + b"\r\n",
        b"CONNECT localhost:80 HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_malformed_or_smuggled_is_refused_and_nothing_after_it_is_served(
    door: Door, client: Client, data: bytes
) -> None:
    before = len(door.seen)
    reply = client.send(data, request("/smuggled")).reply()
    assert (reply.status, reply.headers["connection"]) == (400, "close")
    assert "Tip" in reply.message
    assert client.is_closed()
    assert door.seen[before:] == []


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (request("/", "FROB"), 501),
        (request("/", "PROPFIND"), 501),
        (request("/", "get"), 501),
        (b"\x16\x03\x01\x02\x00\x01\x00", 501),
        (request("/", version="2.0"), 505),
        (b"GET /\r\n\r\n", 505),
        (request("/", "POST", "Expect: miracles", body=b"{}"), 417),
        (request("/", "POST", "Content-Encoding: gzip", body=b"{}"), 415),
    ],
)
def test_what_is_not_spoken_here_is_said_so(client: Client, data: bytes, expected: int) -> None:
    assert client.send(data).reply().status == expected


def test_a_whole_url_of_this_host_and_empty_lines_before_a_request_are_read(client: Client) -> None:
    assert client.send(b"\r\n\r\n" + request("http://localhost/a?b=c")).reply().json["path"] == "/a"
    assert client.ask("*", "OPTIONS").json["path"] == "*"


def test_a_refusal_comes_after_the_replies_before_it(client: Client) -> None:
    client.send(request("/soon") + request("/") + b"GET / nonsense\r\n\r\n")
    assert [client.reply().status for _ in range(3)] == [200, 200, 400]
