"""`POST /v1/messages/count_tokens`: the provider's own count where it has one, else an estimate that says so."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import msgspec

from beastmode.core.deployments import Deployment
from beastmode.core.errors import BeastError, EndpointNotFoundError
from beastmode.core.plugins import Call
from beastmode.core.types import Request
from beastmode.servers.http.answering import refuse
from beastmode.servers.http.exchange import Exchange
from beastmode.servers.http.headers import apply
from beastmode.servers.services import Services
from beastmode.wire.anthropic_door import AnthropicMessages, estimated_tokens
from beastmode.wire.relay import OFF_LOOP_BYTES

Counter = Callable[[Call], Awaitable[int]]


class Counting:
    """Counts the tokens of a prompt; it is no request to a model and leaves no row.

    Args:
        services: The daemon's parts.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._dialect = AnthropicMessages()

    async def count(self, exchange: Exchange) -> None:
        """Answers with `{"input_tokens": N}`; the header `x-beast-estimate: true` marks an estimate."""
        try:
            request = await self._read(exchange)
            self._services.gateway.named(request)
            tokens, estimated = await self._tokens(request)
        except BeastError as error:
            refuse(exchange, self._dialect, error)
            return
        headers = [("x-beast-estimate", "true")] if estimated else []
        exchange.reply(200, msgspec.json.encode({"input_tokens": tokens}), headers)

    async def _read(self, exchange: Exchange) -> Request:
        """Reads a request; a large one in a thread."""
        body, headers = exchange.body, exchange.headers
        read = self._dialect.read
        request = read(body, headers) if len(body) < OFF_LOOP_BYTES else await asyncio.to_thread(read, body, headers)
        return apply(request, headers)

    async def _tokens(self, request: Request) -> tuple[int, bool]:
        services = self._services
        model = None if request.model == "auto" else services.registry.get(request.model)
        for deployment in model.deployments if model is not None else ():
            counter = self._counter(deployment)
            if counter is not None:
                key = services.vault.key_for(deployment)
                timeout_s = services.settings.upstream.timeout_s
                call = Call(request=request, deployment=deployment, key=key, timeout_s=timeout_s)
                with contextlib.suppress(EndpointNotFoundError):  # it speaks the protocol, and does not count
                    return await counter(call), False
                break
        if request.native is not None and len(request.native.body) >= OFF_LOOP_BYTES:
            return await asyncio.to_thread(estimated_tokens, request), True
        return estimated_tokens(request), True

    def _counter(self, deployment: Deployment) -> Counter | None:
        provider = self._services.providers.get(deployment.provider)
        return getattr(provider, "count_tokens", None)
