"""`embed`: texts as vectors, made on this machine or by a model that is named."""

from __future__ import annotations

import asyncio
import base64
import struct
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from beastmode.core.errors import MalformedReplyError
from beastmode.core.types import CacheMode, Request
from beastmode.servers.embedder import embed_here, embedder_id
from beastmode.servers.methods.table import method
from beastmode.servers.services import Caller, Services
from beastmode.workspace.requests import ClientName


class EmbedParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What `embed` takes.

    Attributes:
        texts: What is to be embedded, 1 to 2,048 texts.
        model: The id of a model for embeddings; absent: the embedder of this machine.
        client: The program that asks, as the ledger shows it.
        user: Who asks, where it is not the user of the socket; a scope that no answer crosses.
        tags: Labels for cost reports.
        cache: `default`, `off` (neither read nor write), `only` (never call a model), `refresh` (call, and store anew).
        max_cost_usd: Most that it may cost; it is refused where it may cost more, or nobody knows. Absent: no bound.
    """

    texts: Annotated[list[str], Meta(min_length=1, max_length=2048)]
    model: str | None = None
    client: ClientName | None = None
    user: str | None = None
    tags: list[str] = []
    cache: CacheMode = "default"
    max_cost_usd: Annotated[float, Meta(ge=0)] | None = None


class Vectors(msgspec.Struct, kw_only=True):
    """What `embed` answers.

    Attributes:
        vectors: One for each text, in their order.
        model: What made them; vectors of two models say nothing about each other.
        dim: Numbers in each.
        request_id: The ledger's name for it; null where they were made on this machine, which is no request.
        cost_usd: What it cost; null is unknown.
    """

    vectors: list[list[float]]
    model: str
    dim: int
    request_id: str | None = None
    cost_usd: float | None = None


class _Item(msgspec.Struct):
    index: int
    embedding: list[float] | str


class _Body(msgspec.Struct):
    data: list[_Item]


@method("embed")
async def embed(services: Services, caller: Caller, params: EmbedParams) -> Vectors:
    """Turns texts into vectors: texts that mean the same lie close together.

    Without `model` the embedder of this machine makes them: nothing is sent anywhere, it costs nothing, and leaves no
    row. A model is asked as any other, with its row, its cost and its stored answers.
    """
    if params.model in (None, embedder_id(services)):
        made = await embed_here(services, params.texts)
        own = embedder_id(services) or ""
        return Vectors(vectors=made.vectors, model=own, dim=len(made.vectors[0]), cost_usd=0.0)
    gateway = services.gateway
    ticket = gateway.admit(_request(params, caller))
    answer = gateway.recall(ticket) or await gateway.ask(ticket)
    reply = ticket.completion.reply if ticket.completion is not None else None
    body = reply.body if reply is not None else b""
    vectors = await asyncio.to_thread(_vectors, body, len(params.texts), answer.model)
    return Vectors(
        vectors=vectors,
        model=answer.model,
        dim=len(vectors[0]),
        request_id=answer.request_id,
        cost_usd=answer.cost_usd,
    )


def _request(params: EmbedParams, caller: Caller) -> Request:
    return Request(
        model=params.model or "",
        messages=[],
        params={"input": params.texts},
        kind="embedding",
        user=params.user or caller.user,
        client=params.client or caller.client,
        tags=params.tags,
        cache=params.cache,
        max_cost_usd=params.max_cost_usd,
    )


def _vectors(body: bytes, count: int, model: str) -> list[list[float]]:
    """Reads the vectors of a provider's reply.

    Raises:
        MalformedReplyError: It does not hold one for each text.
    """
    try:
        items = sorted(msgspec.json.decode(body, type=_Body).data, key=lambda item: item.index)
        vectors = [_floats(item.embedding) for item in items]
    except (ValueError, struct.error, RecursionError):
        vectors = []
    if len(vectors) != count or not vectors[0]:
        raise MalformedReplyError(
            f"{model} gave no vector for each text.",
            tips=["ask a model for embeddings: beast models list"],
            model=model,
        )
    return vectors


def _floats(embedding: Any) -> list[float]:
    if isinstance(embedding, str):
        raw = base64.b64decode(embedding, validate=True)
        return list(struct.unpack(f"<{len(raw) // 4}f", raw))
    return list(embedding)
