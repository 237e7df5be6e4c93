"""Anthropic's Messages API."""

from __future__ import annotations

from beastmode.core.plugins import Call, Context, OnDelta, Provider, hookimpl
from beastmode.core.types import Completion, Deployment
from beastmode.wire.anthropic import PROTOCOL, MessageStream, decode, encode
from beastmode.wire.target import Errand
from beastmode.wire.upstream import Upstream, encoded

API_VERSION = "2023-06-01"


class Anthropic(Provider):
    """Answers under `BASE_URL/v1/messages`; a base URL may end in /v1 already."""

    name = "anthropic"
    needs_key = True
    default_base_url = "https://api.anthropic.com"

    async def start(self, context: Context) -> None:
        """Takes the shared HTTP session."""
        await super().start(context)
        self._upstream = Upstream(context.http, context.clock)

    async def call(self, call: Call, on_delta: OnDelta | None) -> Completion:
        """Posts the request to `/v1/messages`."""
        path = f"{_root(call.deployment)}/messages"
        errand = self._upstream.errand(call.deployment, path, call.key, call.timeout_s, PROTOCOL, request=call.request)
        body = await encoded(encode, call.request, call.deployment.upstream_model, on_delta is not None)
        reader = MessageStream(on_delta) if on_delta is not None else None
        return await self._upstream.complete(errand, _headers(errand), body, decode, reader)

    async def models(self, deployment: Deployment, key: str | None, timeout_s: float) -> list[str]:
        """Gets `/v1/models`."""
        path = f"{_root(deployment)}/models"
        errand = self._upstream.errand(deployment, path, key, timeout_s, PROTOCOL, query="limit=1000")
        return await self._upstream.models(errand, _headers(errand))


def _root(deployment: Deployment) -> str:
    return "" if deployment.base_url.rstrip("/").endswith("/v1") else "/v1"


def _headers(errand: Errand) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "anthropic-version": API_VERSION}
    if errand.key:
        headers["x-api-key"] = errand.header_key()
    return headers


@hookimpl
def beast_providers() -> list[Provider]:
    """Brings `anthropic`."""
    return [Anthropic()]
