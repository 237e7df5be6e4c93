"""OpenAI's Embeddings, upstream and at the door: the vectors stay in the bytes they came in.

Source: https://platform.openai.com/docs/api-reference/embeddings
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from beastmode.core.deltas import Piece
from beastmode.core.errors import InternalError, MalformedReplyError
from beastmode.core.native import Native
from beastmode.core.types import Completion, Message, Request
from beastmode.wire.dialect import StreamWriter, Told
from beastmode.wire.openai_chat_reply import decoded, error_in_reply, present, usage
from beastmode.wire.openai_completions import prompt_of
from beastmode.wire.openai_completions_door import is_text_or_tokens
from beastmode.wire.openai_door import OpenAIDialect, read_object, read_params, read_text, wrong

PROTOCOL = "OpenAI Embeddings"
NAME = "openai_embeddings"
"""As in `Native.protocol`."""

_APART = frozenset({"model", "user", "stream", "stream_options"})
_encoder = msgspec.json.Encoder()


class _Reply(msgspec.Struct):
    data: list[msgspec.Raw] | None = None
    usage: msgspec.Raw = msgspec.Raw()
    model: str | None = None
    error: msgspec.Raw = msgspec.Raw()


_decoder = msgspec.json.Decoder(_Reply)


def encode(request: Request, upstream_model: str, stream: bool = False) -> bytes:
    """Encodes a request.

    Args:
        request: What to ask.
        upstream_model: The model's name at the endpoint.
        stream: Means nothing here.
    """
    return _encoder.encode({"input": prompt_of(request), **request.params, "model": upstream_model})


def decode(raw: bytes) -> Completion:
    """Reads what a reply says beside its vectors.

    Args:
        raw: Its body.

    Raises:
        MalformedReplyError: It is no list of vectors.
        ErrorInReplyError: It is an error object, sent with a status that says otherwise.
    """
    reply = decoded(_decoder, raw)
    if present(reply.error):
        raise error_in_reply(raw)
    if not reply.data:
        raise MalformedReplyError("It holds no vectors.")
    counts = usage(reply.usage)
    if counts.prompt_tokens is not None:
        counts = msgspec.structs.replace(counts, completion_tokens=0)  # there is no text to count
    return Completion(text="", finish_reason="stop", usage=counts, model=reply.model or "")


class OpenAIEmbeddings(OpenAIDialect):
    """Embeddings."""

    name = NAME

    def read(self, body: bytes, headers: Mapping[str, str]) -> Request:
        """Reads a request."""
        given = read_object(body)
        texts: Any = given.get("input")
        if type(texts) is list:
            if not texts or not is_text_or_tokens(texts):
                wrong("input", "a string, a list of strings, or a list of tokens")
        elif type(texts) is not str:
            wrong("input", "a string, a list of strings, or a list of tokens")
        return Request(
            model=read_text(given, "model"),
            messages=[Message("user", texts)] if type(texts) is str else [],
            params=read_params(given, _APART),
            user=read_text(given, "user"),
            kind="embedding",
            native=Native(NAME, body),
        )

    def plain(self, told: Told, completion: Completion) -> bytes:
        """Gives the provider's own reply: vectors have no other form.

        Raises:
            InternalError: There is none.
        """
        if completion.reply is None or completion.reply.protocol != NAME:
            raise InternalError(
                f"The provider of {told.model} gave an answer without vectors.",
                tips=["ask a model for embeddings, at an endpoint that speaks OpenAI's protocol"],
            )
        return completion.reply.body

    def writer(self, told: Told, request: Request) -> StreamWriter:
        """Vectors come in one piece."""
        return _InOnePiece(self, told)


class _InOnePiece(StreamWriter):
    """Writes the whole reply as the only event; no request asks for that."""

    def __init__(self, dialect: OpenAIEmbeddings, told: Told) -> None:
        self._dialect = dialect
        self._told = told

    def begin(self) -> bytes:
        """Nothing."""
        return b""

    def piece(self, piece: Piece) -> bytes:
        """Nothing."""
        return b""

    def finish(self, completion: Completion) -> bytes:
        """Writes the reply."""
        return b"data: " + self._dialect.plain(self._told, completion) + b"\n\ndata: [DONE]\n\n"
