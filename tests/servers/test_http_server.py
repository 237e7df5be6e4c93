"""The HTTP door over real sockets: one request after the other, streams, slow and vanished clients, the end."""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import resource
import socket
import time
from collections.abc import Iterator

import pytest

from beastmode.core.clock import Clock
from beastmode.servers.http.gate import Gate
from beastmode.servers.http.server import HttpServer
from support.http_door import LOOPS, TOKEN, Client, Door, request
from support.waiting import until


@pytest.fixture(params=sorted(LOOPS))
def loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def door(loop: str) -> Iterator[Door]:
    with Door(loop) as door:
        yield door


# -- requests and replies ---------------------------------------------------------------------------------------------


def test_a_handler_sees_method_path_query_headers_and_the_whole_body(door: Door) -> None:
    reply = door.client().ask(
        "/v1/caf%C3%A9?a=1&a=2&b=&c=%26", "POST", "X-One: 1", "x-one: 2", "Empty:", body=b'{"q":1}'
    )
    told = reply.json
    assert (reply.status, told["method"], told["path"], told["body"]) == (200, "POST", "/v1/café", '{"q":1}')
    assert told["query"] == {"a": "2", "b": "", "c": "&"}
    assert (told["headers"]["x-one"], told["headers"]["empty"], told["headers"]["host"]) == ("1, 2", "", "localhost")
    assert reply.headers["content-type"] == "application/json"
    assert "date" in reply.headers and "connection" not in reply.headers


def test_a_connection_serves_one_request_after_the_other(door: Door) -> None:
    client = door.client()
    assert [client.ask(f"/{number}").json["path"] for number in range(5)] == [f"/{number}" for number in range(5)]
    assert len(door.server.connections) == 1


def test_pipelined_requests_are_answered_in_their_order(door: Door) -> None:
    client = door.client().send(b"".join(request(f"/{path}") for path in ("a", "soon", "c", "soon", "e")))
    assert [client.reply().json["path"] for _ in range(5)] == ["/a", "/soon", "/c", "/soon", "/e"]


def test_a_flood_of_pipelined_requests_waits_and_all_are_answered(door: Door) -> None:
    count = 3000
    client = door.client().send(request("/later"))
    client.socket.settimeout(0.3)
    with contextlib.suppress(TimeoutError):  # the door takes no more than it holds
        client.send(b"".join(request(f"/{number}") for number in range(count)))
        client.socket.settimeout(20)
        door.call(door.release.set)
        assert client.reply().json["path"] == "/later"
        assert [client.reply().json["path"] for _ in range(count)] == [f"/{number}" for number in range(count)]
    assert len(door.seen) in (1, count + 1)


@pytest.mark.parametrize(
    ("version", "line", "kept", "said"),
    [
        ("1.1", "X-Nothing: 1", True, None),
        ("1.1", "Connection: close", False, "close"),
        ("1.0", "X-Nothing: 1", False, "close"),
        ("1.0", "Connection: keep-alive", True, "keep-alive"),
    ],
)
def test_who_is_kept_alive(door: Door, version: str, line: str, kept: bool, said: str | None) -> None:
    client = door.client().send(request("/", "GET", line, version=version))
    assert client.reply().headers.get("connection") == said
    if kept:
        assert client.ask("/again").status == 200
    else:
        assert client.is_closed()


def test_nothing_after_connection_close_is_served(door: Door) -> None:
    client = door.client().send(request("/one", "GET", "Connection: close") + request("/two"))
    assert client.reply().json["path"] == "/one"
    assert client.is_closed()
    assert door.seen == [("GET", "/one")]


def test_head_is_answered_without_a_body_but_with_its_length(door: Door) -> None:
    client = door.client()
    reply = client.ask("/", "HEAD")
    assert (reply.status, reply.body, int(reply.headers["content-length"]) > 0) == (200, b"", True)
    assert client.ask("/stream", "HEAD").headers["transfer-encoding"] == "chunked"
    assert client.ask("/after").json["path"] == "/after"


def test_a_reply_without_content_says_no_length(door: Door) -> None:
    client = door.client()
    reply = client.ask("/nothing-to-say")
    assert (reply.status, "content-length" in reply.headers) == (204, False)
    assert client.ask("/after").status == 200


def test_headers_that_would_smuggle_others_in_are_left_out(door: Door) -> None:
    headers = door.client().ask("/odd-headers").headers
    assert (headers["x-good"], headers["x-also"]) == ("caf\xe9 ?", "1")
    assert not {"x-bad", "x-evil"} & set(headers)


def test_chunked_bodies_are_put_together(door: Door) -> None:
    head = request("/", "POST", "Transfer-Encoding: chunked", "Content-Type: application/json")
    client = door.client().send(head, b'4\r\n{"a"\r\n', b"3;ext=1\r\n:1}\r\n", b"0\r\nHost: evil\r\n\r\n")
    told = client.reply().json
    assert (told["body"], told["headers"]["host"]) == ('{"a":1}', "localhost")
    assert client.ask("/after").status == 200


def test_leave_is_given_to_send_a_body(door: Door) -> None:
    head = ("Expect: 100-continue", "Content-Length: 2", "Content-Type: application/json")
    client = door.client().send(request("/", "POST", *head))
    assert client.file.readline() == b"HTTP/1.1 100 Continue\r\n"
    assert client.file.readline() == b"\r\n"
    assert client.send(b"{}").reply().json["body"] == "{}"


def test_leave_waits_for_the_replies_before_it(door: Door) -> None:
    head = ("Expect: 100-continue", "Content-Length: 2", "Content-Type: application/json")
    client = door.client().send(request("/soon") + request("/", "POST", *head))
    assert client.reply().json["path"] == "/soon"
    assert client.file.readline() == b"HTTP/1.1 100 Continue\r\n"
    assert client.send(b"{}").file.readline() == b"\r\n"
    assert client.reply().json["body"] == "{}"


def test_no_leave_is_given_to_who_is_refused(door: Door) -> None:
    head = ("Expect: 100-continue", "Content-Length: 2", "Content-Type: text/plain")
    client = door.client().send(request("/", "POST", *head))
    assert client.file.readline().startswith(b"HTTP/1.1 415")


def test_large_bodies_and_large_replies_pass(door: Door) -> None:
    body = json.dumps("x" * (3 << 20)).encode()
    client = door.client()
    assert len(client.ask("/", "POST", body=body).json["body"]) == len(body)
    assert len(client.ask("/big").body) == 20 << 20
    assert door.server.unfinished_bytes == 0


@pytest.mark.parametrize("path", ["/break", "/break-later", "/silence", "/silence-later"])
def test_a_handler_that_fails_is_an_error_with_a_tip_and_no_details(door: Door, path: str) -> None:
    client = door.client()
    reply = client.ask(path)
    assert (reply.status, "beast config path" in reply.message, "Zero" in reply.message) == (500, True, False)
    assert client.ask("/after").status == 200


# -- streams ----------------------------------------------------------------------------------------------------------


def test_a_stream_goes_out_in_chunks_and_the_connection_goes_on(door: Door) -> None:
    client = door.client()
    reply = client.ask("/stream")
    assert reply.body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert (reply.headers["transfer-encoding"], reply.headers["x-route"]) == ("chunked", "r")
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert client.ask("/after").status == 200


def test_an_old_client_gets_a_stream_that_ends_with_the_connection(door: Door) -> None:
    client = door.client().send(request("/stream", "GET", "Connection: keep-alive", version="1.0"))
    reply = client.reply()
    assert (reply.body, reply.headers["connection"]) == (b"data: 0\n\ndata: 1\n\ndata: 2\n\n", "close")
    assert client.is_closed()


def test_the_head_of_a_stream_does_not_wait_for_its_first_piece(door: Door) -> None:
    client = door.client().send(request("/slow-stream"))
    assert client.file.readline() == b"HTTP/1.1 200 OK\r\n"
    door.call(door.release.set)
    rest = b""
    while not rest.endswith(b"0\r\n\r\n"):
        rest += client.file.readline()
    assert b"data: end\n\n" in rest


@pytest.mark.parametrize("path", ["/half", "/cut"])
def test_a_stream_that_breaks_off_can_not_be_taken_for_whole(door: Door, path: str) -> None:
    client = door.client().send(request(path))
    with pytest.raises(http.client.IncompleteRead) as caught:
        client.reply()
    assert caught.value.partial in (b"", b"data: half\n\n")


def test_an_old_clients_stream_that_breaks_off_is_reset(door: Door) -> None:
    client = door.client().send(request("/half", version="1.0"))
    with pytest.raises(ConnectionResetError):
        while client.file.read(1):
            pass


# -- clients that leave, and slow ones --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_who_leaves_ends_what_was_asked_for(door: Door, how: str) -> None:
    client = door.client().send(request("/later"))
    until(lambda: len(door.seen) == 1)
    if how == "reset":
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    if how == "half":
        client.socket.shutdown(socket.SHUT_WR)
    else:
        client.close()
    until(lambda: door.ended == ["client_gone"])
    until(lambda: not door.server.connections)


def test_who_asks_and_is_gone_at_once_ends_it_too(door: Door) -> None:
    door.client().send(request("/later")).close()
    until(lambda: door.ended == ["client_gone"])


def test_who_leaves_is_noticed_also_when_nothing_is_read_from_it(door: Door) -> None:
    client = door.client().send(request("/later"), request("/next") * 1200)
    until(lambda: bool(door.server.paused))
    client.close()
    until(lambda: door.ended == ["client_gone"])
    assert door.seen == [("GET", "/later")]


def test_a_slow_reader_is_cut_off_and_others_go_on(loop: str) -> None:
    with Door(loop, unread_bytes=1 << 20) as door:
        door.client().send(request("/pour"))
        other = door.client()
        until(lambda: door.ended == ["client_gone"])
        assert door.poured < 1000
        assert other.ask("/").status == 200


def test_who_asks_much_and_reads_nothing_is_not_served_on(loop: str) -> None:
    with Door(loop, idle_s=0.2, linger_s=0.1) as door:
        client = door.client()
        client.send(b"".join(request("/big") for _ in range(20)))
        until(lambda: not door.server.connections)
        assert len(door.seen) <= 2


@pytest.mark.parametrize("sent", [b"GET /", b"GET / HTTP/1.1\r\nX-Slow: "])
def test_a_head_that_does_not_come_to_its_end_is_timed_out(loop: str, sent: bytes) -> None:
    with Door(loop, head_s=0.2) as door:
        client = door.client().send(sent)
        for _ in range(5):  # a byte now and then buys no time
            client.send(b"a")
            time.sleep(0.02)
        assert client.reply().status == 408
        assert client.is_closed()
        assert door.seen == []


def test_a_dribbled_body_is_timed_out_after_silence_and_in_all(loop: str) -> None:
    head = request("/", "POST", "Content-Length: 1000", "Content-Type: application/json")
    with Door(loop, body_silence_s=0.2, body_s=20) as door:
        assert door.client().send(head, b"{").reply().status == 408
    with Door(loop, body_silence_s=20, body_s=0.2) as door:
        client = door.client().send(head)
        for _ in range(10):
            client.send(b" ")
        assert client.reply().status == 408
        until(lambda: door.server.unfinished_bytes == 0)
        assert door.seen == []


def test_who_says_nothing_is_closed_without_a_word(loop: str) -> None:
    with Door(loop, connect_s=0.1, idle_s=0.1) as door:
        assert door.client().is_closed()
        client = door.client()
        assert client.ask("/").status == 200
        assert client.is_closed()


def test_a_running_request_has_no_time_limit_of_the_connections(loop: str) -> None:
    with Door(loop, connect_s=0.1, idle_s=0.1, head_s=0.1, body_silence_s=0.1) as door:
        client = door.client().send(request("/later") + b"GET /next HTTP/1.1\r\n")
        time.sleep(0.4)
        door.call(door.release.set)
        assert client.reply().json["path"] == "/later"


def test_500_slow_clients_do_not_keep_a_good_one_from_being_answered(door: Door) -> None:
    slow = [door.client().send(b"POST / HTTP/1.1\r\nX-Slow: ") for _ in range(500)]
    good = door.client()
    for turn in range(20):
        for one in slow[turn::20]:
            one.send(b"x")
        assert good.ask("/").status == 200
    assert len(door.server.connections) == 501


# -- no room ----------------------------------------------------------------------------------------------------------


def test_one_client_too_many_is_told_to_come_again_and_is_let_in_then(loop: str) -> None:
    with Door(loop, connections=3) as door:
        inside = [door.client() for _ in range(3)]
        assert [client.ask("/").status for client in inside] == [200] * 3
        for _ in range(20):
            turned_away = Client(door.port)
            with contextlib.suppress(ConnectionError):
                turned_away.send(request("/"))
            reply = turned_away.reply()
            assert (reply.status, reply.headers["retry-after"], "Tip" in reply.message) == (503, "1", True)
            assert turned_away.is_closed()
            turned_away.close()
        assert inside[0].ask("/").status == 200
        inside.pop().close()
        until(lambda: len(door.server.connections) == 2)
        assert door.client().ask("/").status == 200


def test_out_of_descriptors_clients_are_turned_away_and_the_reserve_stays(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Door(loop) as door:
        inside = door.client()
        assert inside.ask("/").status == 200
        with socket.socket() as lowest:
            taken = lowest.fileno()
        with monkeypatch.context() as patch:
            patch.setattr(resource, "getrlimit", lambda _: (taken, taken))
            waiting = [Client(door.port) for _ in range(12)]
            for client in waiting:
                assert client.reply().status == 503
                client.close()
            assert inside.ask("/").status == 200
        assert door.client().ask("/").status == 200


# -- the port, and the end --------------------------------------------------------------------------------------------


async def test_a_port_that_is_taken_is_an_error_and_any_port_is_found() -> None:
    one, other = (HttpServer(lambda _: None, Gate(lambda: TOKEN), clock=Clock()) for _ in range(2))
    port = one.bind().getsockname()[1]
    assert (one.port, one.gate.port) == (port, port)
    one.start()
    with pytest.raises(OSError) as caught:
        other.bind("127.0.0.1", port)
    assert (caught.value.errno, other.port) == (errno.EADDRINUSE, None)
    await one.stop()
    assert one.port is None
    assert other.bind("127.0.0.1", port).getsockname()[1] == port
    await other.stop()


def test_draining_closes_who_asks_nothing_and_lets_the_others_have_their_reply(door: Door) -> None:
    idle, half, busy, streaming = (door.client() for _ in range(4))
    assert idle.ask("/").status == 200
    half.send(b"GET / HT")
    busy.send(request("/later"))
    streaming.send(request("/slow-stream"))
    until(lambda: len(door.seen) == 3)
    stopping = door.begin(door.server.stop(20))
    assert idle.is_closed() and half.is_closed()
    with pytest.raises(ConnectionError):
        Client(door.port)
    door.call(door.release.set)
    reply = busy.reply()
    assert (reply.json["path"], reply.headers["connection"]) == ("/later", "close")
    assert streaming.reply().body == b"data: end\n\n"
    assert busy.is_closed() and streaming.is_closed()
    stopping.result(20)


def test_what_does_not_end_while_draining_is_ended(door: Door) -> None:
    client = door.client().send(request("/later"))
    until(lambda: len(door.seen) == 1)
    door.run(door.server.stop(0.1))
    assert client.is_closed()
    assert door.ended == ["shutting_down"]
    assert not door.server.tasks
