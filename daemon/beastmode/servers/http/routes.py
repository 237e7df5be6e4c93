"""Every path of the HTTP door, once: who answers it, and what the OpenAPI document says of it."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

import msgspec

from beastmode.core.errors import (
    AccessError,
    BadInputError,
    BeastError,
    InternalError,
    NotFoundError,
)
from beastmode.servers.dashboard import Dashboard
from beastmode.servers.http import bodies
from beastmode.servers.http.answering import Answering
from beastmode.servers.http.counting import Counting
from beastmode.servers.http.embeddings import Embeddings
from beastmode.servers.http.exchange import Exchange, Handler
from beastmode.servers.http.gate import DASHBOARD
from beastmode.servers.http.listing import PREFIX, Listing
from beastmode.servers.http.metrics_page import MetricsPage
from beastmode.servers.http.openapi import document
from beastmode.servers.http.original import ChatBody, FeatureBody, Original
from beastmode.servers.http.original import refusal as refusal_of_api
from beastmode.servers.http.pings import Pings
from beastmode.servers.services import Services
from beastmode.wire.anthropic_door import AnthropicMessages
from beastmode.wire.dialect import Dialect
from beastmode.wire.openai_chat_door import OpenAIChat
from beastmode.wire.openai_completions_door import OpenAICompletions
from beastmode.wire.openai_embeddings import OpenAIEmbeddings
from beastmode.wire.responses_door import OpenAIResponses

ONE_MODEL = f"{PREFIX}{{id}}"
HEALTHZ = "/healthz"


class Route(msgspec.Struct, frozen=True):
    """One path and method.

    Attributes:
        method: GET or POST; HEAD is answered by GET.
        path: As the OpenAPI document writes it.
        handle: Who answers.
        summary: One sentence.
        takes: The type of its JSON body; None: it takes none.
        open: No token is asked for.
    """

    method: str
    path: str
    handle: Handler
    summary: str
    takes: Any = None
    open: bool = False


class Router:
    """Finds who answers a request.

    Args:
        services: The daemon's parts.
        pings: Keeps silent streams open.
    """

    def __init__(self, services: Services, pings: Pings) -> None:
        self._services = services
        self._dashboard = Dashboard(services, services.dashboard) if services.dashboard is not None else None
        self._chat: Dialect = OpenAIChat()
        self._messages: Dialect = AnthropicMessages()
        self.routes = self._make_routes(pings)
        self._handlers = {(route.method, route.path): route.handle for route in self.routes}
        self._methods: dict[str, list[str]] = {}
        for route in self.routes:
            self._methods.setdefault(route.path, []).append(route.method)

    def __call__(self, exchange: Exchange) -> Coroutine[Any, Any, None] | None:
        """Answers a request, at once or in a coroutine."""
        path = exchange.path
        if self._dashboard is not None and (path == DASHBOARD or path.startswith(f"{DASHBOARD}/")):
            return self._dashboard(exchange)
        method = "GET" if exchange.method == "HEAD" else exchange.method
        handle = self._handlers.get((method, path))
        if handle is None and path.startswith(PREFIX) and len(path) > len(PREFIX):
            path, handle = ONE_MODEL, self._handlers.get((method, ONE_MODEL))
        if handle is None:
            self._nowhere(exchange, path)
            return None
        return handle(exchange)

    def refusal(self, path: str, status: int, message: str, tips: Sequence[str] = ()) -> bytes:
        """Writes the body of an error in the shape of the protocol that a path belongs to.

        Args:
            path: Of the request.
            status: HTTP status.
            message: One sentence.
            tips: What to do next.
        """
        error = _refused(status)(message, tips=list(tips))
        if path.startswith("/api/"):
            return refusal_of_api(error)
        dialect = self._messages if path.startswith("/v1/messages") else self._chat
        return dialect.error(error, status)

    def _make_routes(self, pings: Pings) -> list[Route]:
        answering, listing = Answering(self._services, pings), Listing(self._services)
        original = Original(self._services)
        vectors = OpenAIEmbeddings()
        embeddings = Embeddings(self._services, vectors, answering.handler(vectors))
        return [
            Route("POST", "/v1/chat/completions", answering.handler(self._chat), "OpenAI's chat.", bodies.Chat),
            Route(
                "POST",
                "/v1/completions",
                answering.handler(OpenAICompletions()),
                "Continues a text, or fills the gap before `suffix`.",
                bodies.Completion,
            ),
            Route("POST", "/v1/embeddings", embeddings, "Vectors.", bodies.Embedding),
            Route(
                "POST", "/v1/responses", answering.handler(OpenAIResponses()), "OpenAI's responses.", bodies.Responses
            ),
            Route("POST", "/v1/messages", answering.handler(self._messages), "Anthropic's messages.", bodies.Messages),
            Route(
                "POST",
                "/v1/messages/count_tokens",
                Counting(self._services).count,
                "Counts the tokens of a prompt.",
                bodies.CountTokens,
            ),
            Route("GET", "/v1/models", listing.all, "Lists the models, in the shape the asking program knows."),
            Route("GET", ONE_MODEL, listing.one, "One model."),
            Route("POST", "/api/codebase/chat", original.chat, "Asks a question about code.", ChatBody),
            Route(
                "POST",
                "/api/repos/quality/generate-feature",
                original.generate_feature,
                "Generates a feature in an open workspace.",
                FeatureBody,
            ),
            Route("GET", "/api/models/custom/monitoring", original.monitoring, "Figures of the last 24 hours."),
            Route("GET", "/openapi.json", self._openapi, "This document."),
            Route("GET", HEALTHZ, _healthz, "The daemon runs.", open=True),
            Route("GET", "/metrics", MetricsPage(self._services).page, "Metrics, as Prometheus reads them."),
            Route("GET", "/readyz", self._readyz, "The daemon is well: 200, or 503 with what is wrong."),
            Route("GET", "/", self._root, "Says who is here."),
        ]

    def _nowhere(self, exchange: Exchange, path: str) -> None:
        allowed = self._methods.get(path)
        if allowed:
            allow = ", ".join([*allowed, "HEAD"] if "GET" in allowed else allowed)
            message = f"{exchange.path[:200]} does not take {exchange.method[:20]}."
            exchange.reply(405, self.refusal(path, 405, message, (f"it takes {allow}",)), [("allow", allow)])
            return
        tip = self._meant(path) or "GET /openapi.json lists the paths"
        exchange.reply(404, self.refusal(path, 404, f"There is nothing at {exchange.path[:200]}.", (tip,)))

    def _meant(self, path: str) -> str | None:
        """A tip where the base URL lacks its `/v1`, or has it twice."""
        for meant in (f"/v1{path}", path.removeprefix("/v1")):
            if meant in self._methods and meant != path:
                slip = "lacks /v1 at its end" if len(meant) > len(path) else "has one /v1 too many"
                return f"{meant} is meant: the base URL {slip}"
        return None

    def _openapi(self, exchange: Exchange) -> None:
        exchange.reply(200, msgspec.json.encode(document(self._services.version, self.routes)))

    async def _readyz(self, exchange: Exchange) -> None:
        health = await self._services.health.check()
        exchange.reply(503 if health["status"] == "unhealthy" else 200, msgspec.json.encode(health))

    def _root(self, exchange: Exchange) -> None:
        about = {"name": "BEAST MODE", "version": self._services.version, "paths": "/openapi.json"}
        exchange.reply(200, msgspec.json.encode(about))


def _refused(status: int) -> type[BeastError]:
    """What kind of error a refusal with this status is."""
    if status >= 500:
        return InternalError
    return {401: AccessError, 404: NotFoundError}.get(status, BadInputError)


def _healthz(exchange: Exchange) -> None:
    exchange.reply(200, b'{"status":"ok"}')
