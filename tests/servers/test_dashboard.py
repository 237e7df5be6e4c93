"""The dashboard's way in: a ticket opens it once, a cookie from then on, and nothing else of the daemon."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from beastmode.core.errors import BeastError
from beastmode.servers.access import SESSION_S, TICKET_S, Access
from support.answers import HeldClock
from support.daemon import Daemon, rpc


class Reply:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()


def ask(daemon: Daemon, path: str, method: str = "GET", body: Any = None, **headers: str) -> Reply:
    parts = urlsplit(daemon.url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    data = None if body is None else json.dumps(body)
    if data is not None:
        headers = {"content-type": "application/json", **headers}
    connection.request(method, path, data, {name.replace("_", "-"): value for name, value in headers.items()})
    reply = Reply(connection.getresponse())
    connection.close()
    return reply


def ticket(daemon: Daemon) -> str:
    url = urlsplit(daemon.call("dashboard.open")["url"])
    return f"{url.path}?{url.query}"


def sign_in(daemon: Daemon) -> str:
    return ask(daemon, ticket(daemon)).headers["set-cookie"].partition(";")[0]


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with Daemon() as daemon:
        daemon.add("echo:echo")
        yield daemon


@pytest.fixture(scope="module")
def cookie(daemon: Daemon) -> str:
    return sign_in(daemon)


# -- tickets and cookies ----------------------------------------------------------------------------------------------


def test_a_ticket_becomes_a_cookie_that_no_script_and_no_other_site_gets(daemon: Daemon) -> None:
    reply = ask(daemon, ticket(daemon))
    assert (reply.status, reply.headers["location"]) == (303, "/dashboard")
    attributes = {one.strip().lower() for one in reply.headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/dashboard"} <= attributes


def test_the_cookie_is_neither_the_token_nor_the_ticket(daemon: Daemon) -> None:
    address = ticket(daemon)
    cookie = ask(daemon, address).headers["set-cookie"]
    assert daemon.token not in cookie
    assert address.partition("ticket=")[2] not in cookie


def test_every_sign_in_has_a_session_of_its_own(daemon: Daemon) -> None:
    assert sign_in(daemon) != sign_in(daemon)


def test_a_ticket_opens_once(daemon: Daemon) -> None:
    address = ticket(daemon)
    assert ask(daemon, address).status == 303
    again = ask(daemon, address)
    assert again.status == 403
    assert "set-cookie" not in again.headers
    assert b"beast dashboard" in again.body


def test_looking_at_the_head_uses_no_ticket_up(daemon: Daemon) -> None:
    address = ticket(daemon)
    assert ask(daemon, address, "HEAD").status == 401
    assert ask(daemon, address).status == 303


def test_who_is_signed_in_may_follow_an_old_link(daemon: Daemon, cookie: str) -> None:
    reply = ask(daemon, "/dashboard?ticket=used", cookie=cookie)
    assert (reply.status, reply.headers["location"]) == (303, "/dashboard")


def test_without_a_cookie_a_small_page_says_how_to_get_in(daemon: Daemon) -> None:
    reply = ask(daemon, "/dashboard")
    assert reply.status == 401
    assert b"beast dashboard" in reply.body
    assert reply.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("wrong", ["", "nonsense", "a.b.c", "x" * 500, "a.99999999999.0", "\xe9.1.2"])
def test_a_wrong_cookie_opens_nothing(daemon: Daemon, cookie: str, wrong: str) -> None:
    name = cookie.partition("=")[0]
    assert ask(daemon, "/dashboard", cookie=f"{name}={wrong}").status == 401


def test_a_cookie_that_was_changed_opens_nothing(daemon: Daemon, cookie: str) -> None:
    content, _, signature = cookie.rpartition(".")
    later = f"{content.rpartition('.')[0]}.99999999999.{signature}"
    assert ask(daemon, "/dashboard", cookie=later).status == 401
    assert ask(daemon, "/dashboard", cookie=cookie).status == 200


def test_among_other_cookies_ours_is_found(daemon: Daemon, cookie: str) -> None:
    assert ask(daemon, "/dashboard", cookie=f"a=1; {cookie}; b=2").status == 200


@pytest.mark.parametrize("path", ["/dashboard/app.js", "/dashboard/events", "/dashboard/api/health.get"])
def test_nothing_of_the_dashboard_is_open_without_a_cookie(daemon: Daemon, path: str) -> None:
    method, body = ("POST", {}) if "/api/" in path else ("GET", None)
    assert ask(daemon, path, method, body, origin=daemon.url).status == 401


def test_the_token_is_no_cookie(daemon: Daemon) -> None:
    assert ask(daemon, "/dashboard/app.js", authorization=f"Bearer {daemon.token}").status == 401


@pytest.mark.parametrize("path", ["/v1/models", "/v1/chat/completions", "/", "/metrics", "/openapi.json", "/readyz"])
def test_the_cookie_opens_no_other_path(daemon: Daemon, cookie: str, path: str) -> None:
    assert ask(daemon, path, cookie=cookie).status == 401


@pytest.mark.parametrize("path", ["/dashboardx", "/dashboard%2F..%2Fv1/models", "/Dashboard"])
def test_paths_that_only_look_like_the_dashboard_are_none_of_it(daemon: Daemon, cookie: str, path: str) -> None:
    assert ask(daemon, path, cookie=cookie).status in (401, 404)


def test_a_page_of_another_site_gets_nothing(daemon: Daemon, cookie: str) -> None:
    assert ask(daemon, "/dashboard", cookie=cookie, host="evil.example").status == 403
    assert ask(daemon, "/dashboard/events", cookie=cookie, origin="https://evil.example").status == 403
    assert ask(daemon, "/dashboard/events", cookie=cookie, sec_fetch_site="cross-site").status == 403


def test_the_session_ends_when_the_token_is_changed() -> None:
    with Daemon() as daemon:
        cookie = sign_in(daemon)
        assert ask(daemon, "/dashboard", cookie=cookie).status == 200
        daemon.call("token.rotate")
        assert ask(daemon, "/dashboard", cookie=cookie).status == 401


def test_the_session_outlives_a_restart() -> None:
    with Daemon() as daemon:
        cookie, port = sign_in(daemon), urlsplit(daemon.url).port
        daemon.stop()
        daemon.environ["BEAST_HTTP__PORT"] = str(port)
        daemon.start()
        assert ask(daemon, "/dashboard", cookie=cookie).status == 200


def test_where_the_http_door_is_off_it_is_said_how_to_open_it() -> None:
    with Daemon("[http]\nenabled = false\n") as daemon, pytest.raises(BeastError) as caught:
        daemon.call("dashboard.open")
    assert "http.enabled" in " ".join(caught.value.tips)


def test_a_ticket_is_good_for_a_minute() -> None:
    clock = HeldClock()
    access = Access(lambda: "t" * 40, clock)
    first, second = access.ticket(), access.ticket()
    clock.now_s += TICKET_S - 1
    assert access.redeem(first) is not None
    clock.now_s += 2
    assert access.redeem(second) is None


def test_a_session_is_good_for_thirty_days() -> None:
    clock = HeldClock()
    access = Access(lambda: "t" * 40, clock)
    session = access.redeem(access.ticket())
    clock.now_s += SESSION_S - 1
    assert access.admits(session)
    clock.now_s += 2
    assert not access.admits(session)


def test_without_a_token_nothing_is_admitted() -> None:
    access = Access(lambda: "", HeldClock())
    assert not access.admits(access.redeem(access.ticket()))


# -- the page and its files -------------------------------------------------------------------------------------------


def test_the_page_may_load_nothing_but_its_own_files(daemon: Daemon, cookie: str) -> None:
    headers = ask(daemon, "/dashboard", cookie=cookie).headers
    policy = {one.split()[0]: one.split()[1:] for one in headers["content-security-policy"].split(";")}
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == ["'none'"]
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == ["'self'"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_a_file_that_a_browser_has_is_not_sent_again(daemon: Daemon, cookie: str) -> None:
    first = ask(daemon, "/dashboard/app.js", cookie=cookie)
    assert first.headers["content-type"].startswith("text/javascript")
    again = ask(daemon, "/dashboard/app.js", cookie=cookie, if_none_match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("name", ["nothing.js", "../access.py", "..%2faccess.py", "static_files.py", ""])
def test_what_is_no_file_of_the_page_is_not_there(daemon: Daemon, cookie: str, name: str) -> None:
    assert ask(daemon, f"/dashboard/{name}", cookie=cookie).status == 404


# -- its methods ------------------------------------------------------------------------------------------------------


def test_its_page_may_ask_what_it_shows(daemon: Daemon, cookie: str) -> None:
    reply = ask(daemon, "/dashboard/api/health.get", "POST", {}, cookie=cookie, origin=daemon.url)
    assert reply.status == 200
    assert json.loads(reply.body)["status"] == "healthy"


def test_a_request_without_an_origin_is_none_of_the_page(daemon: Daemon, cookie: str) -> None:
    assert ask(daemon, "/dashboard/api/health.get", "POST", {}, cookie=cookie).status == 403


@pytest.mark.parametrize("name", ["chat", "shutdown", "token.rotate", "cache.clear", "models.remove", "nothing"])
def test_methods_that_the_page_has_no_button_for_are_not_there(daemon: Daemon, cookie: str, name: str) -> None:
    assert ask(daemon, f"/dashboard/api/{name}", "POST", {}, cookie=cookie, origin=daemon.url).status == 404


def test_what_a_method_does_not_take_is_named(daemon: Daemon, cookie: str) -> None:
    reply = ask(daemon, "/dashboard/api/requests.get", "POST", {"nonsense": 1}, cookie=cookie, origin=daemon.url)
    assert reply.status == 400
    assert "nonsense" in json.loads(reply.body)["error"]["message"]


def test_an_error_comes_with_its_tips(daemon: Daemon, cookie: str) -> None:
    asked = {"request_id": "req_none"}
    reply = ask(daemon, "/dashboard/api/requests.get", "POST", asked, cookie=cookie, origin=daemon.url)
    assert reply.status == 404
    assert json.loads(reply.body)["error"]["tip"]


@pytest.mark.parametrize(("method", "path"), [("POST", "/dashboard"), ("GET", "/dashboard/api/health.get")])
def test_another_method_than_a_path_takes_is_refused(daemon: Daemon, cookie: str, method: str, path: str) -> None:
    body = {} if method == "POST" else None
    assert ask(daemon, path, method, body, cookie=cookie, origin=daemon.url).status == 405


@pytest.mark.parametrize("query", ["window=2h", f"model={'x' * 400}"])
def test_a_view_that_is_none_is_refused(daemon: Daemon, cookie: str, query: str) -> None:
    assert ask(daemon, f"/dashboard/events?{query}", cookie=cookie).status == 400


# -- the stream, and the same for programs ----------------------------------------------------------------------------


def frames(daemon: Daemon, cookie: str, query: str = "") -> Iterator[dict[str, Any]]:
    parts = urlsplit(daemon.url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    connection.request("GET", f"/dashboard/events?{query}", headers={"cookie": cookie})
    response = connection.getresponse()
    try:
        event = ""
        for line in response:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                event = value
            elif name == "data":
                yield {"event": event, **json.loads(value)}
            elif not name:
                event = ""
    finally:
        response.close()
        connection.close()


def test_the_stream_begins_with_all_that_is_known_and_goes_on_with_what_changed(daemon: Daemon, cookie: str) -> None:
    stream = frames(daemon, cookie, "window=1h")
    known: dict[str, Any] = {}
    parts = {"figures", "trend", "feed", "errors", "cost_model", "choices", "daemon", "health", "models", "cache"}
    while not known.keys() >= parts:
        known |= next(stream)
    asked = daemon.call("chat", {"message": "something new", "model": "echo:echo"})
    later: dict[str, Any] = {}
    while not later.keys() >= {"feed", "figures"}:
        later |= next(stream)
    assert later["feed"][0]["request_id"] == asked["request_id"]
    assert later["figures"]["requests"]["total"] == known["figures"]["requests"]["total"] + 1
    assert later["seq"] > known["seq"]
    assert "models" not in later
    stream.close()


def test_where_nothing_changes_a_ping_says_so(daemon: Daemon, cookie: str) -> None:
    stream = frames(daemon, cookie)
    at_s = next(frame["at_s"] for frame in stream if frame["event"] == "ping")
    assert abs(at_s - time.time()) < 60
    stream.close()


def test_the_stream_filters(daemon: Daemon, cookie: str) -> None:
    daemon.call("chat", {"message": "counted or not", "model": "echo:echo"})
    stream = frames(daemon, cookie, "client=nobody")
    figures = next(frame["figures"] for frame in stream if "figures" in frame)
    assert figures["requests"]["total"] == 0
    stream.close()


def test_the_stream_ends_when_the_token_is_changed() -> None:
    with Daemon() as daemon:
        stream = frames(daemon, sign_in(daemon))
        next(stream)
        daemon.call("token.rotate")
        assert len(list(stream)) < 20  # it comes to its end


def test_programs_follow_the_figures_of_metrics_get(daemon: Daemon) -> None:
    with daemon.raw() as wire:
        wire.send(rpc("metrics.subscribe", {"window": "1h"}, 7))
        first = wire.line()["params"]["value"]
        asked = daemon.call("metrics.get", {"window": "1h"})
        for name in ("requests", "cache", "costs", "errors"):
            assert first[name] == asked[name]
        assert first["health"]["status"] == "healthy"
        daemon.call("chat", {"message": "one more of them", "model": "echo:echo"})
        while (value := wire.line()["params"]["value"])["requests"]["total"] == first["requests"]["total"]:
            pass
        assert value["requests"]["total"] == first["requests"]["total"] + 1
        wire.send({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": 7}})
        while "error" not in (line := wire.line()):
            pass
        assert line["error"]["code"] == -32800


def test_who_follows_the_figures_is_told_when_the_daemon_ends() -> None:
    with Daemon() as daemon, daemon.raw() as wire:
        wire.send(rpc("metrics.subscribe", {}, 1))
        assert "value" in wire.line()["params"]
        daemon.call("shutdown")
        while "result" not in (line := wire.line()):
            pass
    assert line["result"] == {"ended": True}


def test_a_request_is_explained(daemon: Daemon) -> None:
    first = daemon.call("chat", {"message": "what explains this?", "model": "echo:echo"})
    again = daemon.call("chat", {"message": "what explains this?", "model": "echo:echo"})
    miss = daemon.call("requests.explain", {"request_id": first["request_id"]})
    hit = daemon.call("requests.explain", {"request_id": again["request_id"]})
    assert miss["entry"]["text"] == hit["entry"]["text"] == "what explains this?"
    assert miss["why"] != hit["why"]


def test_the_parts_of_a_cost_add_up_to_it() -> None:
    with Daemon() as daemon:
        daemon.add("echo:echo", price={"prompt": 2.5, "completion": 10.0})
        asked = daemon.call("chat", {"message": "one two three four", "model": "echo:echo"})
        sums = daemon.call("requests.explain", {"request_id": asked["request_id"]})["arithmetic"]
    assert sums["source"] == "user"
    assert sum(part["usd"] for part in sums["parts"]) == pytest.approx(asked["cost_usd"])
    assert sums["rest_usd"] == 0
