"""The provider `anthropic`, beyond the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from beastmode.core.clock import Clock
from beastmode.core.plugins import Call, Context, Provider
from beastmode.core.types import Deployment, Message, Request
from beastmode_plugins.anthropic import Anthropic
from support.provider_server import ProviderServer


@pytest.fixture(scope="module")
def server() -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        yield server


@pytest.fixture
async def anthropic(tmp_path: Path) -> AsyncIterator[Provider]:
    async with aiohttp.ClientSession() as http:
        provider = Anthropic()
        await provider.start(Context(http=http, data=tmp_path, run=tmp_path, clock=Clock()))
        yield provider


def call(base_url: str, key: str | None = "sk-ant-1") -> Call:
    deployment = Deployment(id="d", model="anthropic:m", provider="anthropic", base_url=base_url, upstream_model="ok")
    messages = [Message(role="system", content="Be brief."), Message(role="user", content="hi")]
    return Call(request=Request(model="m", messages=messages), deployment=deployment, key=key, timeout_s=10)


@pytest.mark.parametrize("prefix", ["", "/", "/v1", "/v1/", "/proxy"])
async def test_a_base_url_may_end_in_v1_or_not(anthropic: Provider, server: ProviderServer, prefix: str) -> None:
    await anthropic.call(call(server.url + prefix), None)
    root = prefix.rstrip("/").removesuffix("/v1")
    assert server.requests[-1].path == f"{root}/v1/messages"
    await anthropic.models(call(server.url + prefix).deployment, "sk-ant-1", 10)
    assert server.requests[-1].path == f"{root}/v1/models?limit=1000"


async def test_the_key_and_the_version_are_headers(anthropic: Provider, server: ProviderServer) -> None:
    await anthropic.call(call(server.url), None)
    headers = server.requests[-1].headers
    assert headers["x-api-key"] == "sk-ant-1"
    assert headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in headers
    await anthropic.call(call(server.url, key=None), None)
    assert "x-api-key" not in server.requests[-1].headers


async def test_the_system_prompt_is_lifted_out(anthropic: Provider, server: ProviderServer) -> None:
    await anthropic.call(call(server.url), None)
    assert server.requests[-1].body["system"] == "Be brief."
    assert server.requests[-1].body["messages"] == [{"role": "user", "content": "hi"}]


async def test_cached_tokens_are_part_of_the_prompt(anthropic: Provider, server: ProviderServer) -> None:
    for on_delta in (None, lambda text: None):
        usage = (await anthropic.call(call(server.url), on_delta)).usage
        assert usage.prompt_tokens and usage.cached_tokens
        assert usage.prompt_tokens > usage.cached_tokens
        assert usage.cache_write_tokens == 0
