"""One door for every protocol: answers, streams, the cache, headers and errors, through a real port."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from support.daemon import Daemon
from support.http_caller import Door, Got, chat, message, response
from support.provider_server import ProviderServer
from support.waiting import until

MODELS = ("ok", "stream-slow-20", "cut", "error-mid", "e500", "e429", "hang", "tools", "latency-300", "no-usage")


@pytest.fixture(scope="module")
def provider() -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        yield server


@pytest.fixture(scope="module")
def daemon(provider: ProviderServer) -> Iterator[Daemon]:
    with Daemon("[upstream]\nmax_attempts = 1\nbreaker_failures = 1000\n") as one:
        for name in MODELS:
            price = {"prompt": 1.0, "completion": 2.0}
            one.add(f"custom:{name}", f"{provider.url}/v1", upstream_model=name, price=price)
        one.add("anthropic:ok", provider.url, upstream_model="ok", key="k")
        yield one


@pytest.fixture
def door(daemon: Daemon) -> Door:
    return Door.of(daemon)


ASK = {
    "chat": ("/v1/chat/completions", chat),
    "messages": ("/v1/messages", message),
    "responses": ("/v1/responses", response),
}
PROTOCOLS = pytest.mark.parametrize("protocol", list(ASK))


def ask(
    door: Door, protocol: str, text: str, model: str = "custom:ok", headers: dict[str, str] | None = None, **more: Any
) -> Got:
    path, body = ASK[protocol]
    return door.send("POST", path, body(text, model, **more), headers)


def text_of(protocol: str, reply: Any) -> str:
    """The text of a plain reply."""
    if protocol == "chat":
        return str(reply["choices"][0]["message"]["content"])
    if protocol == "messages":
        return "".join(block["text"] for block in reply["content"] if block["type"] == "text")
    parts = [part for item in reply["output"] if item["type"] == "message" for part in item["content"]]
    return "".join(part["text"] for part in parts)


def streamed_text(protocol: str, got: Got) -> str:
    """The text of a stream."""
    pieces = []
    for name, data in got.events:
        if protocol == "chat" and isinstance(data, dict):
            pieces += [choice["delta"].get("content") or "" for choice in data.get("choices", ())]
        elif protocol == "messages" and name == "content_block_delta":
            pieces.append(data["delta"].get("text", ""))
        elif protocol == "responses" and name == "response.output_text.delta":
            pieces.append(data["delta"])
    return "".join(pieces)


@PROTOCOLS
@pytest.mark.parametrize("model", ["custom:ok", "anthropic:ok"])
class TestAnswers:
    def test_a_plain_answer_comes_in_the_callers_protocol(self, door: Door, protocol: str, model: str) -> None:
        got = ask(door, protocol, f"plain {protocol} {model}", model)
        assert got.status == 200, got.body
        assert got.headers["content-type"].startswith("application/json")
        assert text_of(protocol, got.json) == f"You said: plain {protocol} {model}"

    def test_a_stream_comes_in_the_callers_protocol(self, door: Door, protocol: str, model: str) -> None:
        got = ask(door, protocol, f"stream {protocol} {model}", model, stream=True)
        assert got.status == 200, got.body
        assert got.headers["content-type"].startswith("text/event-stream")
        assert streamed_text(protocol, got) == f"You said: stream {protocol} {model}"
        assert (b"[DONE]" in got.body) is (protocol == "chat")

    def test_a_second_time_it_is_a_hit(self, door: Door, protocol: str, model: str) -> None:
        text = f"again {protocol} {model}"
        first, second = ask(door, protocol, text, model), ask(door, protocol, text, model)
        assert (first.headers["x-beast-cache"], second.headers["x-beast-cache"]) == ("miss", "hit_exact")
        assert text_of(protocol, second.json) == text_of(protocol, first.json)
        streamed = ask(door, protocol, text, model, stream=True)
        assert streamed.headers["x-beast-cache"] == "hit_exact"
        assert streamed_text(protocol, streamed) == text_of(protocol, first.json)


class TestOneCacheForAllDoors:
    def test_what_one_protocol_paid_for_every_other_gets(self, door: Door, daemon: Daemon) -> None:
        text = "one entry for all doors"
        asked = daemon.call("chat", {"message": text, "model": "custom:ok", "max_tokens": 64})
        assert asked["cache"]["result"] == "miss"
        for protocol, more in (
            ("chat", {"max_tokens": 64}),
            ("messages", {}),
            ("responses", {"max_output_tokens": 64}),
        ):
            for stream in (False, True):
                got = ask(door, protocol, text, stream=stream, **more)
                assert got.headers["x-beast-cache"] == "hit_exact", (protocol, stream, got.body)
                found = streamed_text(protocol, got) if stream else text_of(protocol, got.json)
                assert found == asked["text"]

    def test_a_stored_stream_serves_a_plain_request(self, door: Door) -> None:
        ask(door, "chat", "stored as a stream", stream=True)
        got = ask(door, "chat", "stored as a stream")
        assert got.headers["x-beast-cache"] == "hit_exact"
        assert text_of("chat", got.json) == "You said: stored as a stream"

    def test_another_user_gets_nothing_of_it(self, door: Door) -> None:
        ask(door, "chat", "mine alone")
        got = ask(door, "chat", "mine alone", headers={"x-beast-user": "somebody"})
        assert got.headers["x-beast-cache"] == "miss"
        named = ask(door, "chat", "mine alone", user="somebody")
        assert named.headers["x-beast-cache"] == "hit_exact"  # the body names the same user

    def test_the_cache_can_be_switched_off_asked_alone_and_refreshed(self, door: Door) -> None:
        absent = ask(door, "chat", "cache modes", headers={"x-beast-cache": "only"})
        assert (absent.status, absent.headers["x-beast-cache"]) == (404, "miss")
        assert "cache" in absent.json["error"]["message"]
        first = ask(door, "chat", "cache modes", headers={"x-beast-cache": "off"})
        assert first.headers["x-beast-cache"] == "bypass"
        assert ask(door, "chat", "cache modes").headers["x-beast-cache"] == "miss"
        assert (
            ask(door, "chat", "cache modes", headers={"x-beast-cache": "refresh"}).headers["x-beast-cache"] == "bypass"
        )
        assert (
            ask(door, "chat", "cache modes", headers={"x-beast-cache": "only"}).headers["x-beast-cache"] == "hit_exact"
        )

    def test_a_wrong_mode_is_named(self, door: Door) -> None:
        got = ask(door, "messages", "x", headers={"x-beast-cache": "maybe"})
        assert got.status == 400
        assert "x-beast-cache" in got.json["error"]["message"]


class TestHeaders:
    def test_an_answer_says_where_it_is_from_and_what_it_cost(self, door: Door, daemon: Daemon) -> None:
        got = ask(door, "chat", "what did it cost?", headers={"x-beast-tags": "a, b", "x-beast-session-id": "s1"})
        row = daemon.call("requests.get", {"request_id": got.headers["x-beast-request-id"]})
        assert got.headers["x-beast-model"] == "custom:ok" == row["model_served"]
        assert got.headers["x-beast-provider"] == "custom"
        assert float(got.headers["x-beast-cost-usd"]) == pytest.approx(row["cost_usd"])
        assert float(got.headers["x-beast-cost-usd"]) > 0
        assert float(got.headers["x-beast-saved-usd"]) == 0
        assert 0 <= float(got.headers["x-beast-overhead-ms"]) < 1000
        assert (row["tags"], row["session_id"]) == (["a", "b"], "s1")
        hit = ask(door, "chat", "what did it cost?")
        assert float(hit.headers["x-beast-cost-usd"]) == 0
        assert float(hit.headers["x-beast-saved-usd"]) == pytest.approx(row["cost_usd"])

    def test_a_project_is_a_scope_and_a_label(self, door: Door, daemon: Daemon) -> None:
        first = ask(door, "chat", "about a project", headers={"x-beast-project": "alpha"})
        other = ask(door, "chat", "about a project", headers={"x-beast-project": "beta"})
        assert other.headers["x-beast-cache"] == "miss"
        row = daemon.call("requests.get", {"request_id": first.headers["x-beast-request-id"]})
        assert row["workspace"] == "alpha"

    def test_the_program_that_asks_is_in_the_row(self, door: Door, daemon: Daemon) -> None:
        got = ask(door, "chat", "who am I?", headers={"User-Agent": "OpenAI/Python 3.52.0"})
        row = daemon.call("requests.get", {"request_id": got.headers["x-beast-request-id"]})
        assert row["client"] == "http:OpenAI"

    def test_a_request_that_may_cost_too_much_is_refused_before_it_is_sent(
        self, door: Door, daemon: Daemon, provider: ProviderServer
    ) -> None:
        before = provider.counts.requests
        got = ask(door, "chat", "dear", headers={"x-beast-max-cost-usd": "0.0000001"}, max_tokens=1000)
        assert got.status == 402
        assert "x-beast-max-cost-usd" in got.json["error"]["message"]
        assert provider.counts.requests == before
        row = daemon.call("requests.get", {"request_id": got.headers["x-beast-request-id"]})
        assert (row["outcome"], row["error_kind"], row["cost_usd"]) == ("refused", "budget", 0)
        assert ask(door, "chat", "dear", headers={"x-beast-max-cost-usd": "1"}, max_tokens=1000).status == 200


class TestNames:
    def test_a_bare_name_stands_for_the_one_model_that_has_it(self, door: Door) -> None:
        got = ask(door, "chat", "bare", "stream-slow-20")
        assert got.headers["x-beast-model"] == "custom:stream-slow-20"

    def test_an_unknown_model_is_a_404_in_the_callers_shape(self, door: Door) -> None:
        got = ask(door, "chat", "x", "custom:absent")
        assert (got.status, got.json["error"]["code"]) == (404, "model_not_found")
        assert ask(door, "messages", "x", "custom:absent").json["error"]["type"] == "not_found_error"

    def test_no_model_is_the_default_model(self, door: Door) -> None:
        path, body = ASK["chat"]
        got = door.post(path, {name: value for name, value in body("no model").items() if name != "model"})
        assert got.status == 200
        assert got.headers["x-beast-model"].split(":")[0] in ("custom", "anthropic")


class TestErrors:
    @PROTOCOLS
    def test_an_upstream_error_keeps_its_status_and_gets_a_tip(self, door: Door, protocol: str) -> None:
        got = ask(door, protocol, "fails", "custom:e500")
        assert got.status == 500
        assert "Look at the log of the server at 127.0.0.1" in got.json["error"]["message"]

    @PROTOCOLS
    def test_an_error_tells_what_the_cache_did_and_who_was_asked(self, door: Door, protocol: str) -> None:
        got = ask(door, protocol, f"fails {protocol}", "custom:e500")
        told = {name: got.headers[f"x-beast-{name}"] for name in ("model", "provider", "cache")}
        assert told == {"model": "custom:e500", "provider": "custom", "cache": "miss"}
        assert got.headers["x-beast-request-id"].startswith("req_")

    @PROTOCOLS
    def test_a_rate_limit_says_when_to_come_again(self, door: Door, protocol: str) -> None:
        got = ask(door, protocol, "too fast", "custom:e429")
        assert got.status == 429
        assert int(got.headers["retry-after"]) >= 1

    @PROTOCOLS
    @pytest.mark.parametrize("model", ["custom:cut", "custom:error-mid"])
    def test_a_stream_that_breaks_is_an_error_a_failure_and_no_entry(
        self, door: Door, daemon: Daemon, protocol: str, model: str
    ) -> None:
        text = f"breaks {protocol} {model}"
        got = ask(door, protocol, text, model, stream=True)
        assert got.status == 200
        name, data = got.events[-1]
        assert {"chat": "", "messages": "error", "responses": name}[protocol] == name
        assert "error" in json.dumps(data)
        assert b"[DONE]" not in got.body
        if protocol == "responses":
            assert [event["sequence_number"] for _, event in got.events] == list(range(len(got.events)))
        row = daemon.rows(limit=1)[0]
        assert (row["outcome"], row["model"]) == ("failure", model)
        assert ask(door, protocol, text, model, headers={"x-beast-cache": "only"}).status == 404

    @pytest.mark.parametrize("field", ["api_base", "base_url", "api_key"])
    @PROTOCOLS
    def test_a_request_chooses_no_endpoint_and_no_key(self, door: Door, protocol: str, field: str) -> None:
        got = ask(door, protocol, "x", **{field: "http://elsewhere.example"})
        assert got.status == 400
        assert field in got.json["error"]["message"]

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"{}", b"\xff", b'{"messages": 3}', b"[" * 100_000])
    @pytest.mark.parametrize(
        "path", ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/completions", "/v1/embeddings"]
    )
    def test_what_is_no_request_is_a_400(self, door: Door, path: str, body: bytes) -> None:
        got = door.send("POST", path, body)
        assert got.status == 400, got.body
        assert got.json["error"]["message"]

    def test_a_path_that_is_not_there_and_a_method_that_does_not_fit(self, door: Door) -> None:
        assert door.get("/v1/nothing").status == 404
        got = door.get("/v1/chat/completions")
        assert (got.status, got.headers["allow"]) == (405, "POST")


class TestFlights:
    async def test_64_identical_streams_are_one_call(self, door: Door, provider: ProviderServer) -> None:
        before = provider.counts.requests
        async with aiohttp.ClientSession(headers=door.all_headers()) as http_session:

            async def one(number: int) -> str:
                path, body = list(ASK.values())[number % 2]
                asked = body("sixty-four at once", "custom:stream-slow-20", stream=True)
                asked["max_tokens"] = 64
                async with http_session.post(door.url + path, json=asked) as reply:
                    return (await reply.read()).decode()

            texts = await asyncio.gather(*(one(number) for number in range(64)))
        assert provider.counts.requests == before + 1
        assert len({text for text in texts[1::2] if "message_stop" in text}) >= 1
        assert all(("[DONE]" in text) or ("message_stop" in text) for text in texts)

    def test_a_client_that_leaves_stops_the_call(self, door: Door, daemon: Daemon, provider: ProviderServer) -> None:
        before = provider.counts.disconnects
        connection = door.connect()
        body = json.dumps(chat("leaves", "custom:hang", stream=True))
        connection.request("POST", "/v1/chat/completions", body, door.all_headers())
        until(lambda: provider.counts.active > 0)
        left = time.monotonic()
        connection.close()
        until(lambda: provider.counts.disconnects > before)
        assert time.monotonic() - left < 2.0
        until(lambda: daemon.rows(limit=1)[0]["outcome"] == "cancelled")
        assert daemon.rows(limit=1)[0]["error_kind"] == "client_gone"

    async def test_who_leaves_ends_it_for_nobody_else(self, door: Door, provider: ProviderServer) -> None:
        async with aiohttp.ClientSession(headers=door.all_headers()) as http_session:
            url = f"{door.url}/v1/chat/completions"
            asked = chat("two wait and one of them leaves", "custom:stream-slow-20", stream=True)
            first = await http_session.post(url, json=asked)
            second = await http_session.post(url, json=asked)
            await first.content.readany()
            first.close()
            assert (await second.read()).endswith(b"data: [DONE]\n\n")


class TestOtherPaths:
    def test_models_in_three_shapes(self, door: Door) -> None:
        openai = door.get("/v1/models").json
        assert {"auto", "custom:ok"} <= {one["id"] for one in openai["data"]}
        anthropic = door.get("/v1/models", anthropic_version="2023-06-01").json
        assert anthropic["data"][0]["type"] == "model"
        assert anthropic["has_more"] is False
        codex = door.get("/v1/models?client_version=0.1").json
        assert {"auto", "custom:ok"} <= {one["slug"] for one in codex["models"]}

    def test_one_model(self, door: Door) -> None:
        assert door.get("/v1/models/custom:ok").json["id"] == "custom:ok"
        assert door.get("/v1/models/custom:ok", anthropic_version="2023-06-01").json["display_name"] == "custom:ok"
        assert door.get("/v1/models/custom:absent").status == 404

    def test_pages_of_anthropics_list(self, door: Door) -> None:
        first = door.get("/v1/models?limit=2", anthropic_version="1").json
        assert (len(first["data"]), first["has_more"]) == (2, True)
        rest = door.get(f"/v1/models?limit=100&after_id={first['last_id']}", anthropic_version="1").json
        assert rest["has_more"] is False
        assert not {one["id"] for one in first["data"]} & {one["id"] for one in rest["data"]}

    def test_tokens_are_counted(self, door: Door) -> None:
        short = door.post("/v1/messages/count_tokens", message("short"))
        long = door.post("/v1/messages/count_tokens", message("long " * 1000))
        assert short.headers["x-beast-estimate"] == "true"
        assert 0 < short.json["input_tokens"] < 50 < 500 < long.json["input_tokens"] < 5000

    def test_tokens_are_estimated_where_a_provider_of_the_protocol_does_not_count(self, door: Door) -> None:
        got = door.post("/v1/messages/count_tokens", message("short", "anthropic:ok"))
        assert (got.status, got.headers["x-beast-estimate"]) == (200, "true")
        assert 0 < got.json["input_tokens"] < 50

    def test_is_it_alive_and_well(self, door: Door) -> None:
        assert Door(door.url, None).get("/healthz").json == {"status": "ok"}
        assert Door(door.url, None).get("/readyz").status == 401
        assert door.get("/readyz").json["status"] in ("healthy", "degraded", "unhealthy")
        assert door.send("HEAD", "/").body == b""

    def test_a_completion_fills_a_gap(self, door: Door) -> None:
        got = door.post(
            "/v1/completions", {"model": "custom:ok", "prompt": "def add(a, b):", "suffix": "\n", "max_tokens": 9}
        )
        assert (got.status, got.json["object"]) == (200, "text_completion")
        assert got.json["choices"][0]["text"]

    def test_embeddings_come_as_the_provider_made_them_and_are_stored(self, door: Door) -> None:
        asked = {"model": "custom:ok", "input": ["one", "two"]}
        first, second = door.post("/v1/embeddings", asked), door.post("/v1/embeddings", asked)
        assert len(first.json["data"]) == 2
        assert second.json == first.json
        assert (first.headers["x-beast-cache"], second.headers["x-beast-cache"]) == ("bypass", "hit_exact")


class TestAnOfferOfHttp2:
    """Programs of the JDK offer `h2c` with every request; nobody takes it, and the request is served as it is."""

    OFFER = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAEAAEAAAAIAAAABAAMAAABk"}

    def test_a_request_is_served_with_its_body(self, door: Door) -> None:
        got = ask(door, "chat", "from a JDK", headers=self.OFFER)
        assert (got.status, text_of("chat", got.json)) == (200, "You said: from a JDK")
        assert (
            door.get("/v1/models", **{name.replace("-", "_"): value for name, value in self.OFFER.items()}).status
            == 200
        )

    def test_many_on_one_connection_are_served_in_their_order(self, door: Door) -> None:
        head = "".join(f"{name}: {value}\r\n" for name, value in {**door.all_headers(), **self.OFFER}.items())
        place = door.url.removeprefix("http://")
        body = json.dumps(chat("pipelined")).encode()
        post = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {place}\r\n{head}Content-Length: {len(body)}\r\n\r\n"
        last = f"GET /healthz HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n"
        with socket.create_connection(tuple(place.split(":")), timeout=20) as connection:  # type: ignore[arg-type]
            connection.sendall((post.encode() + body) * 50 + last.encode())
            replies = b"".join(iter(lambda: connection.recv(65536), b""))
        assert replies.count(b"HTTP/1.1 200 OK") == 51
        assert replies.count(b"You said: pipelined") == 50
        assert replies.endswith(b'{"status":"ok"}')

    def test_no_other_protocol_is_offered_in_vain(self, door: Door) -> None:
        headers = {"Connection": "Upgrade", "Upgrade": "websocket"}
        assert ask(door, "chat", "x", headers=headers).status == 400


class TestWhatIsRefusedSaysWhy:
    @pytest.mark.parametrize(
        ("path", "tip"),
        [
            ("/chat/completions", "/v1/chat/completions"),
            ("/v1/v1/messages", "/v1/messages"),
            ("/models", "/v1/models"),
            ("/v1/nothing", "/openapi.json"),
        ],
    )
    def test_a_slip_in_the_base_url_is_named(self, door: Door, path: str, tip: str) -> None:
        got = door.post(path, {})
        assert (got.status, got.json["error"]["code"]) == (404, "not_found")
        assert tip in got.json["error"]["message"]

    def test_a_code_says_what_kind_of_refusal_it_is(self, door: Door) -> None:
        assert Door(door.url, "wrong").get("/v1/models").json["error"]["code"] == "invalid_api_key"
        assert door.get("/v1/chat/completions").json["error"]["code"] == "bad_input"


class TestOlderEndpoints:
    def test_a_chat_about_code(self, door: Door) -> None:
        asked = {"sessionId": "older-1", "message": "```python\nx = 1\n```", "model": "custom:ok", "useLLM": True}
        got = door.post("/api/codebase/chat", asked).json
        assert set(got) == {"success", "message", "code", "model", "sessionId", "usage", "cost", "cache"}
        assert (got["success"], got["model"], got["sessionId"]) == (True, "custom:ok", "older-1")
        assert got["message"].startswith("You said: ")
        again = door.post("/api/codebase/chat", {**asked, "message": "and now?"})
        assert again.status == 200

    def test_what_needs_a_workspace_says_so(self, door: Door) -> None:
        feature = {"repo": "/r", "featureRequest": "dark mode", "model": "custom:ok"}
        got = door.post("/api/repos/quality/generate-feature", feature)
        assert (got.status, got.json["success"]) == (409, False)
        assert got.json["tip"]
        assert door.post("/api/codebase/chat", {"message": "x", "useLLM": False}).status == 409
        assert door.post("/api/codebase/chat", {"no": "message"}).status == 400

    def test_figures_in_the_older_shape(self, door: Door) -> None:
        ask(door, "chat", "counted")
        got = door.get("/api/models/custom/monitoring").json
        assert got["success"] is True
        requests = got["metrics"]["requests"]
        assert set(requests) == {"total", "success", "failures", "successRate", "byModel"}
        assert requests["total"] == requests["success"] + requests["failures"] > 0
        assert requests["successRate"] == f"{100 * requests['success'] / requests['total']:.2f}%"
        performance = got["metrics"]["performance"]
        assert set(performance) == {"averageLatency", "p50Latency", "p95Latency", "p99Latency"}
        assert all(value.endswith("ms") for value in performance.values())
        assert set(got["metrics"]["costs"]) == {"customModelCost", "providerModelCost", "savings", "savingsPercent"}
        assert set(got["health"]) == {"status", "successRate", "averageLatency", "totalRequests", "issues"}
        assert got["raw"]["requests"]["total"] == requests["total"]


class TestThePort:
    def test_a_port_that_is_taken_is_a_warning(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with Daemon(environ={"BEAST_HTTP__PORT": str(port)}) as one:
                status = one.call("status")
        assert status["sockets"]["http"] is None
        issue = next(issue for issue in status["health"]["issues"] if issue["part"] == "http")
        assert str(port) in issue["cause"]
        assert "process" in issue["cause"]
        assert "http.port" in issue["tip"]

    def test_a_rotated_token_is_refused_at_once(self) -> None:
        with Daemon() as one:
            door = Door.of(one)
            assert door.get("/v1/models").status == 200
            assert one.call("token.rotate")["token"] == one.token != door.token
            assert door.get("/v1/models").status == 401
            assert Door.of(one).get("/v1/models").status == 200

    def test_it_can_be_left_shut(self) -> None:
        with Daemon("[http]\nenabled = false\n") as one:
            assert one.call("status")["sockets"]["http"] is None

    def test_what_runs_ends_well_when_the_daemon_stops(self, provider: ProviderServer) -> None:
        with Daemon() as one:
            one.add("custom:slow", f"{provider.url}/v1", upstream_model="stream-slow-20")
            door = Door.of(one)
            connection: http.client.HTTPConnection = door.connect()
            body = json.dumps(chat("drained", "custom:slow", stream=True))
            connection.request("POST", "/v1/chat/completions", body, door.all_headers())
            reply = connection.getresponse()
            one.stop()
            assert reply.read().endswith(b"data: [DONE]\n\n")
            connection.close()
