"""Vectors made on this machine, by the embedder that finds stored answers; they are no requests to a model."""

from __future__ import annotations

import msgspec

from beastmode.core.errors import BadInputError, ConflictError
from beastmode.servers.services import Services

TEXTS_MAX = 2048


class Embedded(msgspec.Struct, frozen=True):
    """What became of texts.

    Attributes:
        vectors: One for each text, of length 1.
        pieces: Word pieces of all texts together.
    """

    vectors: list[list[float]]
    pieces: int


def embedder_id(services: Services) -> str | None:
    """The name of the embedder; None where none is installed.

    Args:
        services: The daemon's parts.
    """
    return services.semantic.embedder.id if services.semantic is not None else None


async def embed_here(services: Services, texts: list[str]) -> Embedded:
    """Embeds texts, one after the other.

    Args:
        services: The daemon's parts.
        texts: 1 to 2,048 of them.

    Raises:
        ConflictError: There is no embedder, or it is not ready.
        BadInputError: A text is too long, or there are too many.
    """
    semantic = services.semantic
    if semantic is None:
        raise ConflictError(
            "No embedder is installed.", tips=["pip install 'beastmode[embed]'", "or name a model for embeddings"]
        )
    if not 0 < len(texts) <= TEXTS_MAX:
        raise BadInputError(f"`texts` holds {len(texts):,} texts.", tips=[f"send 1 to {TEXTS_MAX:,} at once"])
    vectors, pieces = [], 0
    for number, text in enumerate(texts):
        made = await semantic.embed(text)
        if isinstance(made, str) and number == 0 and not made.startswith("it has"):
            raise ConflictError(f"The embedder {semantic.embedder.id} is not ready: {made}.", tips=["beast health"])
        if isinstance(made, str):
            raise BadInputError(f"Text {number} can not be embedded: {made}.", tips=["cut it, or leave it out"])
        vectors.append([float(one) for one in made.vector])
        pieces += len(made.pieces)
    return Embedded(vectors, pieces)
