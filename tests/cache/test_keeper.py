"""Which answers are stored: complete ones, of a bounded size, that hold nothing that would be lost."""

from __future__ import annotations

from typing import Any

import pytest

from beastmode.cache.keeper import STORED_MAX_CHARS, storable
from beastmode.core.native import Reply
from beastmode.core.types import Completion


def answer(**changes: Any) -> Completion:
    return Completion(**{"text": "hello", "finish_reason": "stop", **changes})


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    "completion",
    [answer(), answer(text="", tool_calls=[CALL], finish_reason="tool_calls"), answer(choices=[answer(text="hi")])],
)
def test_a_whole_answer_is_stored(completion: Completion) -> None:
    assert storable(completion, "chat")


@pytest.mark.parametrize(
    "completion",
    [
        answer(text=""),
        answer(finish_reason="length"),
        answer(finish_reason="content_filter"),
        answer(finish_reason=None),
        answer(whole=False),
        answer(text="x" * (STORED_MAX_CHARS + 1)),
        answer(choices=[answer(finish_reason="length")]),
        answer(choices=[answer(text="x" * STORED_MAX_CHARS)]),
        answer(tool_calls=[{**CALL, "function": {"name": "f", "arguments": "x" * STORED_MAX_CHARS}}]),
    ],
)
def test_a_partial_empty_odd_or_huge_one_is_not(completion: Completion) -> None:
    assert not storable(completion, "chat")


def test_an_embedding_is_its_reply() -> None:
    reply = Reply("openai_embeddings", b"{}")
    assert storable(Completion(text="", reply=reply), "embedding")
    assert not storable(Completion(text=""), "embedding")
    assert not storable(Completion(text="", reply=Reply("x", b"x" * (STORED_MAX_CHARS + 1))), "embedding")
