"""Everything that speaks OpenAI's Chat Completions: OpenAI itself, and any endpoint the user names."""

from __future__ import annotations

import msgspec

from beastmode.core.errors import BadRequestError
from beastmode.core.plugins import Call, Context, OnDelta, Provider, hookimpl
from beastmode.core.types import Completion, Deployment, Request
from beastmode.wire.openai_chat import PROTOCOL, ChatStream, decode, encode
from beastmode.wire.target import Errand
from beastmode.wire.upstream import Upstream, encoded


class OpenAICompatible(Provider):
    """Any endpoint that answers under `BASE_URL/chat/completions`; the key is optional.

    Args:
        name: How a deployment names it.
    """

    def __init__(self, name: str = "custom") -> None:
        self.name = name
        self._no_usage_in_stream: set[str] = set()  # endpoints that refused the question, by what is shown of them

    async def start(self, context: Context) -> None:
        """Takes the shared HTTP session."""
        await super().start(context)
        self._upstream = Upstream(context.http, context.clock)

    async def call(self, call: Call, on_delta: OnDelta | None) -> Completion:
        """Posts the request to `BASE_URL/chat/completions`."""
        errand = self._errand(call.deployment, "/chat/completions", call.key, call.timeout_s, call.request)
        try:
            return await self._complete(errand, call, on_delta, errand.target.endpoint not in self._no_usage_in_stream)
        except BadRequestError as error:
            # It refused a field that only asks for the usage, before doing any work: ask again without.
            if on_delta is None or "stream_options" not in error.message:
                raise
            self._no_usage_in_stream.add(errand.target.endpoint)
        return await self._complete(errand, call, on_delta, False)

    async def models(self, deployment: Deployment, key: str | None, timeout_s: float) -> list[str]:
        """Gets `BASE_URL/models`."""
        errand = self._errand(deployment, "/models", key, timeout_s)
        return await self._upstream.models(errand, _headers(errand))

    def prepared(self, request: Request) -> Request:
        """Adapts a request to what these endpoints take; here it goes as it is."""
        return request

    def _errand(
        self, deployment: Deployment, path: str, key: str | None, timeout_s: float, request: Request | None = None
    ) -> Errand:
        return self._upstream.errand(deployment, path, key, timeout_s, PROTOCOL, request=request)

    async def _complete(self, errand: Errand, call: Call, on_delta: OnDelta | None, usage: bool) -> Completion:
        stream = on_delta is not None
        kind = encode if usage else _encode_without_usage
        body = await encoded(kind, self.prepared(call.request), call.deployment.upstream_model, stream)
        reader = ChatStream(on_delta) if on_delta is not None else None
        return await self._upstream.complete(errand, _headers(errand), body, decode, reader)


class OpenAI(OpenAICompatible):
    """OpenAI's own API."""

    needs_key = True
    default_base_url = "https://api.openai.com/v1"

    def __init__(self) -> None:
        super().__init__("openai")

    def prepared(self, request: Request) -> Request:
        """Renames `max_tokens`, which OpenAI's newer models refuse under that name."""
        if "max_tokens" not in request.params:
            return request
        params = {**request.params}
        params.setdefault("max_completion_tokens", params.pop("max_tokens"))
        return msgspec.structs.replace(request, params=params)


def _encode_without_usage(request: Request, upstream_model: str, stream: bool) -> bytes:
    return encode(request, upstream_model, stream, usage_in_stream=False)


def _headers(errand: Errand) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if errand.key:
        headers["Authorization"] = f"Bearer {errand.header_key()}"
    return headers


@hookimpl
def beast_providers() -> list[Provider]:
    """Brings `openai` and `custom`."""
    return [OpenAI(), OpenAICompatible()]
