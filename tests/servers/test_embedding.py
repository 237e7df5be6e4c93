"""`embed` and `/v1/embeddings`: vectors of this machine's embedder, or of a model that is named."""

from __future__ import annotations

import base64
import json
import math
import struct
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from beastmode.core.errors import BadInputError, BeastError
from support.daemon import Daemon
from support.scripted_provider import DIMENSIONS, ScriptedProvider
from support.waiting import until
from support.weights import fetch


@pytest.fixture(scope="module")
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as server:
        yield server


@pytest.fixture(scope="module")
def daemon(provider: ScriptedProvider) -> Iterator[Daemon]:
    with Daemon(f'[plugins.options.minilm]\nweights_dir = "{fetch("minilm")}"\n') as daemon:
        daemon.add("custom:vectors", f"{provider.url}/v1", upstream_model="vectors")
        until(lambda: ready(daemon), 30)
        yield daemon


@pytest.fixture(scope="module")
def bare() -> Iterator[Daemon]:
    with Daemon("plugins.disabled = ['minilm']\n") as daemon:
        yield daemon


def ready(daemon: Daemon) -> bool:
    try:
        return bool(daemon.call("embed", {"texts": ["a"]})["vectors"])
    except BeastError as error:
        assert error.tips
        return False


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def post(daemon: Daemon, **body: Any) -> tuple[int, dict[str, Any]]:
    headers = {"authorization": f"Bearer {daemon.token}", "content-type": "application/json"}
    request = urllib.request.Request(f"{daemon.url}/v1/embeddings", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


class TestOnThisMachine:
    def test_texts_become_vectors_that_are_near_where_they_mean_the_same(self, daemon: Daemon) -> None:
        texts = ["How do I list files?", "How can files be listed?", "The cat is asleep."]
        got = daemon.call("embed", {"texts": texts})
        first, second, third = got["vectors"]
        assert got["dim"] == len(first) == 384
        assert "minilm" in got["model"]
        assert math.isclose(dot(first, first), 1, abs_tol=1e-3)
        assert dot(first, second) > dot(first, third) + 0.3
        assert daemon.call("embed", {"texts": texts[1:2], "model": got["model"]})["vectors"] == [second]

    def test_nothing_is_sent_and_no_row_is_left(self, daemon: Daemon, provider: ScriptedProvider) -> None:
        rows, calls = len(daemon.rows()), len(provider.calls)
        assert daemon.call("embed", {"texts": ["a", ""]})["cost_usd"] == 0
        assert (len(daemon.rows()), len(provider.calls)) == (rows, calls)

    @pytest.mark.parametrize("texts", [[], ["word " * 400], ["x" * 10_000], ["a"] * 2049, "a", [1]])
    def test_what_can_not_be_embedded_is_refused(self, texts: Any, daemon: Daemon) -> None:
        with pytest.raises(BadInputError):
            daemon.call("embed", {"texts": texts})

    def test_over_http_under_the_embedders_name(self, daemon: Daemon) -> None:
        here = daemon.call("embed", {"texts": ["a b", "c"]})
        status, plain = post(daemon, model=here["model"], input=["a b", "c"])
        assert (status, plain["object"], plain["model"]) == (200, "list", here["model"])
        assert [one["embedding"] for one in plain["data"]] == here["vectors"]
        assert [one["index"] for one in plain["data"]] == [0, 1]
        assert plain["usage"]["prompt_tokens"] > 0
        _, coded = post(daemon, model=here["model"], input="a b", encoding_format="base64")
        raw = base64.b64decode(coded["data"][0]["embedding"])
        assert list(struct.unpack("<384f", raw)) == here["vectors"][0]

    def test_over_http_what_it_can_not_do_is_refused(self, daemon: Daemon) -> None:
        own = daemon.call("embed", {"texts": ["a"]})["model"]
        for wrong in ({"input": [1, 2]}, {"input": "a", "dimensions": 5}, {"input": []}, {"input": "word " * 400}):
            status, body = post(daemon, model=own, **wrong)
            assert (status, bool(body["error"]["message"])) == (400, True)

    def test_without_an_embedder_it_is_said_how_to_get_one(self, bare: Daemon) -> None:
        with pytest.raises(BeastError) as caught:
            bare.call("embed", {"texts": ["a"]})
        assert "beastmode[embed]" in caught.value.tips[0]


class TestByAModel:
    def test_vectors_come_in_the_order_of_the_texts_and_are_stored(
        self, daemon: Daemon, provider: ScriptedProvider
    ) -> None:
        before = len(provider.calls)
        params = {"texts": ["a", "bcd"], "model": "custom:vectors", "client": "vscode", "tags": ["index"]}
        first, second = daemon.call("embed", params), daemon.call("embed", params)
        assert first["vectors"] == second["vectors"] == [[1.0, 0.0, 0.5, -1.0], [3.0, 0.0, 0.5, -1.0]]
        assert (first["dim"], first["model"]) == (DIMENSIONS, "custom:vectors")
        assert len(provider.calls) == before + 1
        row = daemon.call("requests.get", {"request_id": first["request_id"]})
        row = row.get("request", row)
        assert (row["client"], row["tags"]) == ("vscode", ["index"])

    def test_one_that_is_not_there_is_refused(self, daemon: Daemon) -> None:
        with pytest.raises(BeastError) as caught:
            daemon.call("embed", {"texts": ["a"], "model": "custom:none"})
        assert caught.value.kind == "unknown_model"

    def test_over_http_it_is_asked_as_always(self, daemon: Daemon) -> None:
        status, body = post(daemon, model="custom:vectors", input="abcd")
        assert (status, body["data"][0]["embedding"][0]) == (200, 4.0)
