"""Embeddings: requests to bytes, and replies whose vectors stay as they came."""

from __future__ import annotations

import json
from typing import Any

import pytest

from beastmode.cache.key import make_key
from beastmode.core import errors
from beastmode.core.native import Reply
from beastmode.core.types import Completion, Message, Request, Usage
from beastmode.wire.dialect import Told
from beastmode.wire.faults import ErrorInReplyError
from beastmode.wire.openai_embeddings import OpenAIEmbeddings, decode, encode

DOOR = OpenAIEmbeddings()
TOLD = Told("r1", "custom:m", 1700000000.9)
RAW = b'{"data": [{"index": 0, "embedding": [0.10, 1e-3]}], "usage": {"prompt_tokens": 2}, "model": "e", "x": 1.50}'


def read(**fields: Any) -> Request:
    return DOOR.read(json.dumps(fields).encode(), {})


@pytest.mark.parametrize("texts", ["a", ["a"], ["a", "b"], [1, 2], [[1], [2, 3]]])
def test_the_input_is_a_parameter_and_one_text_is_a_message_too(texts: Any) -> None:
    request = read(model="e", input=texts, dimensions=3, encoding_format="base64", user="u", stream=True)
    assert (request.kind, request.model, request.user, request.stream) == ("embedding", "e", "u", False)
    assert request.params == {"input": texts, "dimensions": 3, "encoding_format": "base64"}
    assert request.messages == ([Message("user", "a")] if texts == "a" else [])
    assert json.loads(encode(request, "up")) == {**request.params, "model": "up"}


def test_how_the_vectors_are_written_joins_the_key() -> None:
    keys = [make_key(read(input="a", **more)).exact for more in ({}, {"encoding_format": "base64"}, {"dimensions": 3})]
    assert len(set(keys)) == 3


@pytest.mark.parametrize("fields", [{}, {"input": 5}, {"input": []}, {"input": ["a", 1]}, {"input": [[]]}])
def test_a_wrong_input_is_named(fields: dict[str, Any]) -> None:
    with pytest.raises(errors.BadInputError, match="input"):
        read(**fields)


def test_a_reply_is_read_for_what_it_says_beside_its_vectors() -> None:
    assert decode(RAW) == Completion(
        text="", finish_reason="stop", usage=Usage(prompt_tokens=2, completion_tokens=0), model="e"
    )
    assert decode(b'{"data": [{}]}').usage == Usage()


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"data": []}', b'{"data": null}', b'{"data": 5}'])
def test_what_holds_no_vectors_is_malformed(raw: bytes) -> None:
    with pytest.raises(errors.MalformedReplyError):
        decode(raw)


def test_an_error_sent_with_status_200_is_an_error() -> None:
    with pytest.raises(ErrorInReplyError):
        decode(b'{"error": {"message": "x", "code": 429}}')


def test_the_bytes_of_the_reply_are_the_answer() -> None:
    completion = decode(RAW)
    completion.reply = Reply("openai_embeddings", RAW)
    assert DOOR.plain(TOLD, completion) is RAW
    writer = DOOR.writer(TOLD, read(input="a"))
    assert writer.begin() + writer.piece("x") == b""
    assert writer.finish(completion) == b"data: " + RAW + b"\n\ndata: [DONE]\n\n"


def test_an_answer_without_vectors_is_none() -> None:
    with pytest.raises(errors.InternalError, match="without vectors"):
        DOOR.plain(TOLD, Completion(text="x"))
