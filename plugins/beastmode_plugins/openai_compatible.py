"""Everything that speaks OpenAI's protocols: OpenAI itself, and any endpoint the user names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import msgspec

from beastmode.core.deployments import Deployment
from beastmode.core.errors import BadRequestError, EndpointNotFoundError
from beastmode.core.native import Native
from beastmode.core.plugins import Call, Context, OnDelta, Provider, hookimpl
from beastmode.core.types import Completion, Request
from beastmode.wire import openai_chat, openai_completions, openai_embeddings, responses
from beastmode.wire.openai_chat import ChatStream
from beastmode.wire.relay import relayed_body
from beastmode.wire.responses_request import NAME as RESPONSES
from beastmode.wire.target import Errand
from beastmode.wire.upstream import Upstream, encoded, unheard


class _Way(NamedTuple):
    """One of OpenAI's protocols.

    Attributes:
        path: Under the base URL.
        title: For errors.
        name: As in `Native.protocol`.
        encode: Writes a request that came in another protocol.
        decode: Reads a plain reply.
    """

    path: str
    title: str
    name: str
    encode: Callable[..., bytes]
    decode: Callable[[bytes], Completion]


_CHAT = _Way("/chat/completions", openai_chat.PROTOCOL, openai_chat.NAME, openai_chat.encode, openai_chat.decode)
_COMPLETION = _Way(
    "/completions",
    openai_completions.PROTOCOL,
    openai_completions.NAME,
    openai_completions.encode,
    openai_completions.decode,
)
_EMBEDDING = _Way(
    "/embeddings",
    openai_embeddings.PROTOCOL,
    openai_embeddings.NAME,
    openai_embeddings.encode,
    openai_embeddings.decode,
)


class OpenAICompatible(Provider):
    """Any endpoint that answers under `BASE_URL/chat/completions`; the key is optional.

    A request that came in one of OpenAI's protocols is relayed in its own bytes.

    Args:
        name: How a deployment names it.
    """

    def __init__(self, name: str = "custom") -> None:
        self.name = name
        self._no_usage_in_stream: set[str] = set()  # endpoints that refused the question, by what is shown of them
        self._chat_only: set[tuple[str, str]] = set()  # endpoints and models that know no completions

    async def start(self, context: Context) -> None:
        """Takes the shared HTTP session."""
        await super().start(context)
        self._upstream = Upstream(context.http, context.clock)

    async def call(self, call: Call, on_delta: OnDelta | None) -> Completion:
        """Posts the request to `BASE_URL/chat/completions`, `/completions` or `/embeddings`, as its kind says."""
        match call.request.kind:
            case "embedding":
                return await self._complete(_EMBEDDING, self._errand_of(_EMBEDDING, call), call, None, False)
            case "completion":
                return await self._continue(call, on_delta)
            case _:
                return await self._ask(_CHAT, call, on_delta)

    async def models(self, deployment: Deployment, key: str | None, timeout_s: float) -> list[str]:
        """Gets `BASE_URL/models`."""
        errand = self._upstream.errand(deployment, "/models", key, timeout_s, openai_chat.PROTOCOL)
        return await self._upstream.models(errand, _headers(errand))

    def prepared(self, request: Request) -> Request:
        """Adapts a chat that is not relayed to what these endpoints take; here it goes as it is."""
        return request

    def _errand_of(self, way: _Way, call: Call) -> Errand:
        return self._upstream.errand(
            call.deployment, way.path, call.key, call.timeout_s, way.title, request=call.request
        )

    async def _continue(self, call: Call, on_delta: OnDelta | None) -> Completion:
        """Has a text continued; in a chat where the endpoint, or its model, has only that."""
        errand = self._errand_of(_COMPLETION, call)
        place = (errand.target.endpoint, call.deployment.upstream_model)
        if place not in self._chat_only:
            try:
                return await self._ask(_COMPLETION, call, on_delta)
            except (EndpointNotFoundError, BadRequestError) as error:
                if error.status not in (404, 405):
                    raise
            asked = await self._ask(_CHAT, _in_a_chat(call), on_delta)
            self._chat_only.add(place)
            return asked
        return await self._ask(_CHAT, _in_a_chat(call), on_delta)

    async def _ask(self, way: _Way, call: Call, on_delta: OnDelta | None) -> Completion:
        errand = self._errand_of(way, call)
        try:
            usage = errand.target.endpoint not in self._no_usage_in_stream
            return await self._complete(way, errand, call, on_delta, usage)
        except BadRequestError as error:
            # It refused a field that only asks for the usage, before doing any work: ask again without.
            if on_delta is None or "stream_options" not in error.message:
                raise
            self._no_usage_in_stream.add(errand.target.endpoint)
        return await self._complete(way, errand, call, on_delta, False)

    async def _complete(
        self, way: _Way, errand: Errand, call: Call, on_delta: OnDelta | None, usage: bool
    ) -> Completion:
        request, model, stream = call.request, call.deployment.upstream_model, on_delta is not None
        native = request.native
        headers = _headers(errand)
        if native is not None and native.protocol == way.name:
            relay = way.name
            headers = {**native.headers, **headers}
            body = await relayed_body(native.body, _changes(request, model, stream, usage))
        else:
            relay = way.name if way is _EMBEDDING else ""  # vectors have no form but their own
            if way is _CHAT:
                request = self.prepared(request)
            encode = partial(way.encode, usage_in_stream=False) if stream and not usage else way.encode
            body = await encoded(encode, request, model, stream)
        reader = ChatStream(on_delta, bool(relay)) if on_delta is not None else None
        assemble = None if way is _EMBEDDING else partial(ChatStream, unheard)
        return await self._upstream.complete(
            errand, headers, body, way.decode, reader, relay=relay, on_delta=on_delta, assemble=assemble
        )


class OpenAI(OpenAICompatible):
    """OpenAI's own API."""

    needs_key = True
    default_base_url = "https://api.openai.com/v1"

    def __init__(self) -> None:
        super().__init__("openai")
        self._no_responses: set[tuple[str, str]] = set()  # endpoints and models that know chats only

    async def call(self, call: Call, on_delta: OnDelta | None) -> Completion:
        """As any endpoint; OpenAI's Responses are relayed to `BASE_URL/responses`, where there is such a path."""
        native = call.request.native
        place = (call.deployment.base_url, call.deployment.upstream_model)
        if native is None or native.protocol != RESPONSES or place in self._no_responses:
            return await super().call(call, on_delta)
        try:
            return await self._respond(call, native, on_delta)
        except (EndpointNotFoundError, BadRequestError) as error:
            if error.status not in (404, 405):
                raise
        asked = await super().call(call, on_delta)
        self._no_responses.add(place)
        return asked

    async def _respond(self, call: Call, native: Native, on_delta: OnDelta | None) -> Completion:
        changes: dict[str, Any] = {"model": call.deployment.upstream_model}
        if call.request.stream != (on_delta is not None):
            changes["stream"] = on_delta is not None
        body = await relayed_body(native.body, changes)
        errand = self._upstream.errand(
            call.deployment, "/responses", call.key, call.timeout_s, responses.PROTOCOL, request=call.request
        )
        headers = {**native.headers, **_headers(errand)}
        reader = responses.ResponsesStream(on_delta, True) if on_delta is not None else None
        assemble = partial(responses.ResponsesStream, unheard)
        return await self._upstream.complete(
            errand, headers, body, responses.decode, reader, relay=RESPONSES, on_delta=on_delta, assemble=assemble
        )

    def prepared(self, request: Request) -> Request:
        """Renames `max_tokens`, which OpenAI's newer models refuse under that name."""
        if "max_tokens" not in request.params:
            return request
        params = {**request.params}
        params.setdefault("max_completion_tokens", params.pop("max_tokens"))
        return msgspec.structs.replace(request, params=params)


def _changes(request: Request, model: str, stream: bool, usage: bool) -> Mapping[str, Any]:
    """What a relayed body says otherwise than its caller: the model, and that the usage of a stream is told."""
    changes: dict[str, Any] = {"model": model}
    options = request.params.get("stream_options")
    if not stream:
        if request.stream:
            changes["stream"] = msgspec.UNSET
        if options is not None:
            changes["stream_options"] = msgspec.UNSET
        return changes
    if not request.stream:
        changes["stream"] = True
    if not usage:
        changes["stream_options"] = msgspec.UNSET
    elif not isinstance(options, dict) or options.get("include_usage") is not True:
        changes["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return changes


def _in_a_chat(call: Call) -> Call:
    return msgspec.structs.replace(call, request=openai_completions.as_chat(call.request))


def _headers(errand: Errand) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if errand.key:
        headers["Authorization"] = f"Bearer {errand.header_key()}"
    return headers


@hookimpl
def beast_providers() -> list[Provider]:
    """Brings `openai` and `custom`."""
    return [OpenAI(), OpenAICompatible()]
