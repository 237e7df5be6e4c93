"""`POST /v1/embeddings` for the embedder of this machine, under its own name; any other model is asked as always."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import Coroutine
from typing import Any

import msgspec

from beastmode.core.errors import BadInputError, BeastError
from beastmode.servers.embedder import embed_here, embedder_id
from beastmode.servers.http.answering import refuse
from beastmode.servers.http.exchange import Exchange, Handler
from beastmode.servers.services import Services
from beastmode.wire.openai_embeddings import OpenAIEmbeddings
from beastmode.wire.relay import OFF_LOOP_BYTES


class _Asked(msgspec.Struct):
    model: str = ""


class Embeddings:
    """Answers requests for vectors.

    Args:
        services: The daemon's parts.
        dialect: The protocol.
        others: Answers those for other models.
    """

    def __init__(self, services: Services, dialect: OpenAIEmbeddings, others: Handler) -> None:
        self._services = services
        self._dialect = dialect
        self._others = others

    def __call__(self, exchange: Exchange) -> Coroutine[Any, Any, None] | None:
        """Answers a request, at once or in a coroutine."""
        own = embedder_id(self._services)
        if own is None or own.encode() not in exchange.body or _model_in(exchange.body) != own:
            return self._others(exchange)
        return self._answer(exchange)

    async def _answer(self, exchange: Exchange) -> None:
        try:
            texts, encoded = await asyncio.to_thread(self._read, exchange)
            made = await embed_here(self._services, texts)
        except BeastError as error:
            refuse(exchange, self._dialect, error)
            return
        model = embedder_id(self._services)
        usage = {"prompt_tokens": made.pieces, "total_tokens": made.pieces}
        data = [
            {"object": "embedding", "index": index, "embedding": _base64(vector) if encoded else vector}
            for index, vector in enumerate(made.vectors)
        ]
        body = {"object": "list", "data": data, "model": model, "usage": usage}
        exchange.reply(200, await asyncio.to_thread(msgspec.json.encode, body), [("x-beast-cost-usd", "0")])

    def _read(self, exchange: Exchange) -> tuple[list[str], bool]:
        """The texts, and whether vectors are wanted in base64."""
        request = self._dialect.read(exchange.body, exchange.headers)
        given = request.messages[0].content if request.messages else request.params.get("input")
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
            raise BadInputError("input: this embedder takes texts, and no tokens.", tips=["send a string, or several"])
        dimensions = request.params.get("dimensions")
        semantic = self._services.semantic
        if dimensions is not None and semantic is not None and dimensions != semantic.embedder.dim:
            raise BadInputError(
                f"dimensions: this embedder gives {semantic.embedder.dim}.", tips=["leave `dimensions` out"]
            )
        return [one for one in texts if isinstance(one, str)], request.params.get("encoding_format") == "base64"


def _model_in(body: bytes) -> str:
    """The model that a body names; a body that is too large, or is none, is left to others."""
    if len(body) > OFF_LOOP_BYTES:
        return ""
    try:
        return msgspec.json.decode(body, type=_Asked).model
    except (ValueError, RecursionError):
        return ""


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
