"""Anthropic's Messages API."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import msgspec

from beastmode.core.deployments import Deployment
from beastmode.core.errors import BadInputError, BadRequestError
from beastmode.core.plugins import Call, Context, OnDelta, Provider, hookimpl
from beastmode.core.types import Completion, Request
from beastmode.wire.anthropic import PROTOCOL, MessageStream, decode, decode_count, encode, encode_count
from beastmode.wire.openai_completions import as_chat
from beastmode.wire.relay import relayed_body
from beastmode.wire.target import Errand
from beastmode.wire.upstream import Upstream, encoded, unheard

API_VERSION = "2023-06-01"
NATIVE = "anthropic_messages"
SAMPLING = ("temperature", "top_p", "top_k")
_UNKNOWN = re.compile(r"deprecated|not (?:supported|permitted|allowed|available)|unsupported|removed", re.IGNORECASE)


class Anthropic(Provider):
    """Answers under `BASE_URL/v1/messages`; a base URL may end in /v1 already.

    A request that came in this protocol goes on as it came, its reply goes back as it came.
    """

    name = "anthropic"
    needs_key = True
    default_base_url = "https://api.anthropic.com"

    async def start(self, context: Context) -> None:
        """Takes the shared HTTP session."""
        await super().start(context)
        self._upstream = Upstream(context.http, context.clock)
        self._no_sampling: set[tuple[str, str]] = set()  # models that refused parameters of sampling

    async def call(self, call: Call, on_delta: OnDelta | None) -> Completion:
        """Posts the request to `/v1/messages`; a text that is to be continued is asked for in a chat."""
        if call.request.kind == "completion":
            call = msgspec.structs.replace(call, request=as_chat(call.request))
        if _is_native(call.request):
            return await self._complete(call, on_delta)
        place = (call.deployment.base_url, call.deployment.upstream_model)
        if place not in self._no_sampling:
            try:
                return await self._complete(call, on_delta)
            except BadRequestError as error:
                # Newer models refuse them, before doing any work: ask again without.
                if not (_UNKNOWN.search(error.message) and any(name in error.message for name in _sampling(call))):
                    raise
            self._no_sampling.add(place)
        kept = {name: value for name, value in call.request.params.items() if name not in SAMPLING}
        request = msgspec.structs.replace(call.request, params=kept)
        return await self._complete(msgspec.structs.replace(call, request=request), on_delta)

    async def _complete(self, call: Call, on_delta: OnDelta | None) -> Completion:
        errand = self._errand(call, "/messages")
        native = _is_native(call.request)
        body = await _body(call, on_delta is not None)
        reader = MessageStream(on_delta, native) if on_delta is not None else None
        relay = NATIVE if native else ""
        headers = _headers(errand, call.request)
        assemble = partial(MessageStream, unheard)
        return await self._upstream.complete(
            errand, headers, body, decode, reader, relay=relay, on_delta=on_delta, assemble=assemble
        )

    async def count_tokens(self, call: Call) -> int:
        """Posts the request to `/v1/messages/count_tokens`, which costs nothing.

        Args:
            call: What to count; nothing is answered.

        Returns:
            Tokens of the prompt.

        Raises:
            ProviderError: Whatever went wrong; EndpointNotFoundError where an endpoint does not count.
        """
        errand = self._errand(call, "/messages/count_tokens")
        model = call.deployment.upstream_model
        if _is_native(call.request):
            assert call.request.native is not None
            body = await relayed_body(call.request.native.body, {"model": model})
        else:
            body = await encoded(encode_count, call.request, model, False)
        headers = _headers(errand, call.request)
        counted = await self._upstream.complete(errand, headers, body, decode_count, None)
        return counted.usage.prompt_tokens or 0

    async def models(self, deployment: Deployment, key: str | None, timeout_s: float) -> list[str]:
        """Gets `/v1/models`."""
        path = f"{_root(deployment)}/models"
        errand = self._upstream.errand(deployment, path, key, timeout_s, PROTOCOL, query="limit=1000")
        return await self._upstream.models(errand, _headers(errand, None))

    def _errand(self, call: Call, path: str) -> Errand:
        if call.request.kind == "embedding":
            raise BadInputError(
                "Anthropic has no models that embed.",
                tips=["name a model that does, such as one of OpenAI's or a local endpoint's: beast models list"],
                model=call.deployment.model,
            )
        whole = f"{_root(call.deployment)}{path}"
        # Anthropic's own clients ask so when they name betas.
        query = "beta=true" if _is_native(call.request) and "anthropic-beta" in _passed(call.request) else ""
        return self._upstream.errand(
            call.deployment, whole, call.key, call.timeout_s, PROTOCOL, request=call.request, query=query
        )


def _sampling(call: Call) -> list[str]:
    return [name for name in SAMPLING if call.request.params.get(name) is not None]


async def _body(call: Call, stream: bool) -> bytes:
    request, model = call.request, call.deployment.upstream_model
    if not _is_native(request):
        return await encoded(encode, request, model, stream)
    assert request.native is not None
    changes: dict[str, Any] = {"model": model}
    if request.stream != stream:
        changes["stream"] = True if stream else msgspec.UNSET
    return await relayed_body(request.native.body, changes)


def _is_native(request: Request) -> bool:
    return request.native is not None and request.native.protocol == NATIVE


def _passed(request: Request | None) -> dict[str, str]:
    """The caller's headers that go on with a request in this protocol."""
    if request is None or request.native is None or not _is_native(request):
        return {}
    return {name: value for name, value in request.native.headers.items() if name.startswith("anthropic-")}


def _root(deployment: Deployment) -> str:
    return "" if deployment.base_url.rstrip("/").endswith("/v1") else "/v1"


def _headers(errand: Errand, request: Request | None) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "anthropic-version": API_VERSION, **_passed(request)}
    if errand.key:
        headers["x-api-key"] = errand.header_key()
    return headers


@hookimpl
def beast_providers() -> list[Provider]:
    """Brings `anthropic`."""
    return [Anthropic()]
