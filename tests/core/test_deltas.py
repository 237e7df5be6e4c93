"""A whole answer cut into the pieces of a stream, in its own order."""

from __future__ import annotations

from beastmode.core.deltas import Thought, ToolPiece, pieces_of
from beastmode.core.types import Completion


def test_a_plain_answer_thinks_speaks_and_calls() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    completion = Completion(text="hello", reasoning="hm", tool_calls=[call])
    assert list(pieces_of(completion)) == [Thought("hm"), "hello", ToolPiece(0, "c1", "f", "{}")]


def test_nothing_is_no_piece() -> None:
    assert list(pieces_of(Completion(text=""))) == []


def test_blocks_keep_their_order_and_their_signatures() -> None:
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "secret"},
        {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}},
        {"type": "text", "text": "after"},
        {"type": "tool_use", "id": "c2", "name": "g", "input": {}},
    ]
    assert list(pieces_of(Completion(text="after", blocks=blocks))) == [
        Thought("hm"),
        Thought(signature="sig"),
        Thought(redacted="secret"),
        ToolPiece(0, "c1", "f", '{"a":1}'),
        "after",
        ToolPiece(1, "c2", "g", "{}"),
    ]
