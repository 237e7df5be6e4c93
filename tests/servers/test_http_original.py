"""The endpoints of the older system, and how what is refused looks there and elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode.servers.http.original import code_in
from support.daemon import Daemon
from support.http_caller import Door
from support.provider_server import ProviderServer

CHAT = "/api/codebase/chat"


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    with ProviderServer() as provider, Daemon("[upstream]\nmax_attempts = 1\n") as one:
        price = {"prompt": 1.0, "completion": 2.0}
        one.add("custom:ok", f"{provider.url}/v1", upstream_model="ok", price=price)
        yield one


@pytest.fixture
def door(daemon: Daemon) -> Door:
    return Door.of(daemon)


class TestChat:
    def test_headers_say_the_same_as_at_every_other_door(self, door: Door, daemon: Daemon) -> None:
        asked = {"message": "with headers", "model": "custom:ok"}
        labels = {"x_beast_tags": "a,b", "x_beast_project": "alpha", "x_beast_user": "somebody"}
        first, second = door.post(CHAT, asked, **labels), door.post(CHAT, asked, **labels)
        assert first.headers["x-beast-cache"] != "hit_exact" == second.headers["x-beast-cache"]
        assert first.headers["x-beast-model"] == "custom:ok"
        assert float(second.headers["x-beast-cost-usd"]) == 0 < float(first.headers["x-beast-cost-usd"])
        row = daemon.call("requests.get", {"request_id": first.headers["x-beast-request-id"]})
        assert (row["tags"], row["workspace"], row["user"]) == (["a", "b"], "alpha", "somebody")
        assert door.post(CHAT, asked, x_beast_cache="off", **labels).json["cache"]["result"] == "bypass"

    def test_a_request_may_say_what_it_may_cost_and_what_the_cache_may_do(self, door: Door) -> None:
        asked = {"message": "dear", "model": "custom:ok"}
        assert door.post(CHAT, asked, x_beast_max_cost_usd="0.0000001").status == 402
        assert door.post(CHAT, asked, x_beast_cache="only").status == 404
        assert door.post(CHAT, asked, x_beast_cache="maybe").status == 400

    @pytest.mark.parametrize("field", ["api_base", "api_key", "baseURL"])
    def test_it_chooses_no_endpoint_and_no_key(self, door: Door, field: str) -> None:
        got = door.post(CHAT, {"message": "x", "model": "custom:ok", field: "http://elsewhere.example"})
        assert (got.status, got.json["success"]) == (400, False)
        assert field in got.json["error"]

    def test_a_large_one_is_answered_too(self, door: Door) -> None:
        got = door.post(CHAT, {"message": "many words " * 150_000, "model": "custom:ok"})
        assert got.status == 200


class TestRefusals:
    def test_each_protocol_has_them_in_its_own_shape(self, door: Door) -> None:
        stranger = Door(door.url, None)
        openai = stranger.post("/v1/chat/completions", {}).json["error"]
        assert (openai["type"], openai["code"]) == ("authentication_error", "invalid_api_key")
        anthropic = stranger.post("/v1/messages", {}).json
        assert (anthropic["type"], anthropic["error"]["type"]) == ("error", "authentication_error")
        older = stranger.post(CHAT, {}).json
        assert (older["success"], older["kind"]) == (False, "access")
        assert "beast token" in older["tip"][0]

    @pytest.mark.parametrize(
        ("method", "path", "status"), [("GET", "/api/nothing", 404), ("DELETE", CHAT, 405), ("GET", "/v1/nothing", 404)]
    )
    def test_what_is_not_there_is_no_fault_of_the_daemon(self, door: Door, method: str, path: str, status: int) -> None:
        got = door.send(method, path)
        assert got.status == status
        assert "internal" not in json.dumps(got.json)


class TestCode:
    def test_the_first_whole_block_counts(self) -> None:
        assert code_in("Look:\n```py\nx = 1\n\ny = 2\n```\nand\n```\nz\n```") == "x = 1\n\ny = 2\n"
        assert code_in("~~~~\n```\nin it\n```\n~~~~  ") == "```\nin it\n```\n"
        assert code_in("```\n```") == ""

    @pytest.mark.parametrize("text", ["", "no code", "`x`", "```py\nnever ends", "    ```\nindented\n    ```"])
    def test_there_may_be_none(self, text: str) -> None:
        assert code_in(text) is None

    def test_any_number_of_openings_is_read_once(self) -> None:
        assert code_in("```a\n" * 200_000) is None

    @given(st.text(), st.text(alphabet="abc \n"), st.text())
    def test_a_block_is_found_wherever_it_is(self, before: str, code: str, after: str) -> None:
        before = before.replace("`", "").replace("~", "")
        assert code_in(f"{before}\n```\n{code}\n```\n{after}") == f"{code}\n"
