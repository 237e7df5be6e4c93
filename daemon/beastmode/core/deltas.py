"""What a stream is made of between a provider and the doors: text, thoughts, tool calls, and bytes as they came."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from beastmode.core.types import Completion


class Thought(msgspec.Struct, frozen=True):
    """Visible reasoning, or what proves it to the provider in the next turn.

    Attributes:
        text: A piece of reasoning.
        signature: Ends a thought: the provider's signature of it.
        redacted: A whole thought that the provider shows in encrypted form only.
    """

    text: str = ""
    signature: str = ""
    redacted: str = ""


class ToolPiece(msgspec.Struct, frozen=True):
    """A piece of a tool call.

    Attributes:
        index: Which call of the answer, from 0, in the order they began.
        id: Set on the first piece of a call.
        name: Set on the first piece of a call.
        arguments: A piece of its arguments' JSON.
    """

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class Begun(msgspec.Struct, frozen=True):
    """The provider has begun to answer; comes before everything else, and anew with each attempt to get an answer.

    Attributes:
        protocol: The protocol whose very bytes follow as `Relayed` beside the pieces; empty: none do.
        headers: Headers of its reply that a caller may want, by lower-case name.
    """

    protocol: str = ""
    headers: dict[str, str] = {}


class Relayed(msgspec.Struct, frozen=True):
    """Whole events of the provider's stream, as they came.

    Attributes:
        data: The bytes, blank lines at their ends included.
        usage_only: It is the event with the usage that was asked for on the daemon's own account: a caller that did not
            ask for it does not get it.
    """

    data: bytes
    usage_only: bool = False


Piece = str | Thought | ToolPiece
"""A piece of an answer in no protocol's shape; `str` is text."""

Delta = Piece | Begun | Relayed
OnDelta = Callable[[Delta], None]


def pieces_of(completion: Completion) -> Iterator[Piece]:
    """Cuts a whole answer into the pieces of a stream.

    Args:
        completion: The answer.
    """
    if completion.blocks:
        yield from _of_blocks(completion.blocks)
        return
    if completion.reasoning:
        yield Thought(completion.reasoning)
    if completion.text:
        yield completion.text
    for index, call in enumerate(completion.tool_calls):
        function = call.get("function") or {}
        yield ToolPiece(index, call.get("id") or "", function.get("name") or "", function.get("arguments") or "")


def _of_blocks(blocks: list[dict[str, Any]]) -> Iterator[Piece]:
    calls = 0
    for block in blocks:
        match block.get("type"):
            case "text" if block.get("text"):
                yield block["text"]
            case "thinking":
                yield Thought(block.get("thinking") or "")
                yield Thought(signature=block.get("signature") or "")
            case "redacted_thinking":
                yield Thought(redacted=block.get("data") or "")
            case "tool_use":
                arguments = msgspec.json.encode(block.get("input") or {}).decode()
                yield ToolPiece(calls, block.get("id") or "", block.get("name") or "", arguments)
                calls += 1
