"""The providers `openai` and `custom`, beyond the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from beastmode.core import errors
from beastmode.core.clock import Clock
from beastmode.core.deltas import Delta
from beastmode.core.plugins import Call, Context, Provider
from beastmode.core.types import Deployment, Message, Request
from beastmode_plugins.openai_compatible import OpenAI, OpenAICompatible
from support.provider_server import ProviderServer


@pytest.fixture(scope="module")
def running() -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        yield server


@pytest.fixture
def server(running: ProviderServer) -> ProviderServer:
    running.reset()
    return running


@pytest.fixture
async def custom(tmp_path: Path) -> AsyncIterator[Provider]:
    async with aiohttp.ClientSession() as http:
        provider = OpenAICompatible()
        await provider.start(Context(http=http, data=tmp_path, run=tmp_path, clock=Clock()))
        yield provider


@pytest.fixture
async def openai(tmp_path: Path) -> AsyncIterator[Provider]:
    async with aiohttp.ClientSession() as http:
        provider = OpenAI()
        await provider.start(Context(http=http, data=tmp_path, run=tmp_path, clock=Clock()))
        yield provider


def call(base_url: str, behaviour: str = "ok", key: str | None = None, **params: Any) -> Call:
    deployment = Deployment(id="d", model="custom:m", provider="custom", base_url=base_url, upstream_model=behaviour)
    request = Request(model="custom:m", messages=[Message(role="user", content="hi")], params=params)
    return Call(request=request, deployment=deployment, key=key, timeout_s=10)


def text_of(deltas: list[Delta]) -> str:
    return "".join(delta for delta in deltas if isinstance(delta, str))


@pytest.mark.parametrize("prefix", ["", "/", "/v1", "/v1/", "/openai/deep/path"])
async def test_a_base_url_is_a_prefix_with_or_without_v1(custom: Provider, server: ProviderServer, prefix: str) -> None:
    await custom.call(call(server.url + prefix), None)
    assert server.requests[-1].path == f"{prefix.rstrip('/')}/chat/completions"
    await custom.models(call(server.url + prefix).deployment, None, 10)
    assert server.requests[-1].path == f"{prefix.rstrip('/')}/models"


async def test_without_a_key_no_authorization_is_sent(custom: Provider, server: ProviderServer) -> None:
    await custom.call(call(server.url), None)
    assert "authorization" not in server.requests[-1].headers


async def test_a_key_is_sent_as_a_bearer_token(custom: Provider, server: ProviderServer) -> None:
    await custom.call(call(server.url, key="sk-1"), None)
    assert server.requests[-1].headers["authorization"] == "Bearer sk-1"


async def test_an_endpoint_without_a_list_of_models_has_an_empty_one(custom: Provider, server: ProviderServer) -> None:
    assert await custom.models(call(f"{server.url}/no-list/404").deployment, None, 10) == []
    assert await custom.models(call(f"{server.url}/no-list/405").deployment, None, 10) == []
    with pytest.raises(errors.BadRequestError):
        await custom.models(call(f"{server.url}/no-list/422").deployment, None, 10)


async def test_a_list_that_is_none_is_malformed(custom: Provider, server: ProviderServer) -> None:
    with pytest.raises(errors.MalformedReplyError) as caught:
        await custom.models(call(f"{server.url}/no-list/200").deployment, None, 10)
    assert caught.value.tips


async def test_a_server_that_knows_no_stream_options_is_asked_again_without_and_remembered(
    custom: Provider, server: ProviderServer
) -> None:
    deltas: list[Delta] = []
    completion = await custom.call(call(server.url, "no-stream-options"), deltas.append)
    assert completion.text == text_of(deltas) == "You said: hi"
    assert server.stats()["requests"] == 2
    await custom.call(call(server.url, "no-stream-options"), deltas.append)
    assert server.stats()["requests"] == 3


async def test_another_bad_request_is_not_asked_again(custom: Provider, server: ProviderServer) -> None:
    with pytest.raises(errors.BadRequestError):
        await custom.call(call(server.url, "e400"), lambda text: None)
    assert server.stats()["requests"] == 1


async def test_openai_gets_the_bound_of_the_answer_under_its_new_name(
    openai: Provider, custom: Provider, server: ProviderServer
) -> None:
    asked = call(server.url, max_tokens=5)
    await openai.call(asked, None)
    assert server.requests[-1].body["max_completion_tokens"] == 5
    assert "max_tokens" not in server.requests[-1].body
    assert asked.request.params == {"max_tokens": 5}
    await openai.call(call(server.url, max_tokens=5, max_completion_tokens=7), None)
    assert server.requests[-1].body["max_completion_tokens"] == 7
    await custom.call(asked, None)
    assert server.requests[-1].body["max_tokens"] == 5
    await openai.call(call(server.url), None)
    assert "max_completion_tokens" not in server.requests[-1].body


async def test_a_base_url_that_is_none_is_refused(custom: Provider) -> None:
    with pytest.raises(errors.RefusedEndpointError):
        await custom.call(call("nonsense"), None)
