"""The content blocks of a message: put together from a stream, and made into a completion.

Source: https://docs.anthropic.com/en/api/messages-streaming
"""

from __future__ import annotations

from typing import Any

import msgspec

from beastmode.core.deltas import OnDelta, Thought, ToolPiece
from beastmode.core.errors import MalformedReplyError
from beastmode.core.types import Completion

_PLACES = {"thinking": 0, "text": 1, "tool_use": 2}
_FIELDS = {
    "thinking": frozenset({"type", "thinking"}),
    "text": frozenset({"type", "text"}),
    "tool_use": frozenset({"type", "id", "name", "input", "caller"}),
}
_SAYABLE = frozenset({*_PLACES, "redacted_thinking"})

Block = dict[str, Any]
_encode = msgspec.json.Encoder().encode


class Delta(msgspec.Struct):
    """What an event adds to a block, or says of the message's end."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    citation: Any = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    container: Any = None


class Assembly:
    """Puts the blocks of a stream together, and hands on its pieces.

    Args:
        on_delta: Gets the pieces.

    Attributes:
        whole: Everything that came is in the blocks.
    """

    def __init__(self, on_delta: OnDelta) -> None:
        self._on_delta = on_delta
        self._blocks: dict[int, Block] = {}
        self._pieces: dict[int, list[str]] = {}  # of the text, the thought or the input of a block
        self._calls: dict[int, int] = {}  # number of the tool call by index of the block
        self.whole = True

    def begin(self, index: int, block: Block) -> None:
        """Takes the first event of a block."""
        kind = block.get("type")
        self._blocks[index] = block
        pieces = self._pieces[index] = []
        if kind == "text" or kind == "thinking":
            text = _text(block, kind)
            if text:
                pieces.append(text)
                self._on_delta(text if kind == "text" else Thought(text))
            if kind == "thinking" and block.get("signature"):
                self._on_delta(Thought(signature=_text(block, "signature")))
        elif kind == "redacted_thinking":
            self._on_delta(Thought(redacted=_text(block, "data")))
        elif kind == "tool_use":
            number = self._calls[index] = len(self._calls)
            self._on_delta(ToolPiece(number, _text(block, "id"), _text(block, "name")))

    def add(self, index: int, delta: Delta) -> None:
        """Takes what comes next of a block; a text may begin without its first event."""
        if delta.text is not None:
            self._say(index, "text", delta.text)
        elif delta.thinking is not None:
            self._say(index, "thinking", delta.thinking)
        elif delta.partial_json is not None:
            self._input(index, delta.partial_json)
        elif delta.signature is not None:
            self._named(index, "thinking")["signature"] = delta.signature
            self._on_delta(Thought(signature=delta.signature))
        elif delta.citation is not None:
            block = self._named(index, "text")
            block["citations"] = [*(block.get("citations") or ()), delta.citation]
        else:
            self.whole = False

    def end(self, index: int) -> None:
        """Takes the last event of a block; a call without arguments gets the empty ones."""
        if index in self._calls and not any(self._pieces[index]):
            arguments = _encode(self._blocks[index].get("input") or {}).decode()
            self._pieces[index].append(arguments)
            self._on_delta(ToolPiece(self._calls[index], arguments=arguments))

    def finish(self) -> tuple[list[Block], list[str]]:
        """Gives the blocks in the order they began, and the arguments of the tool calls among them as they came."""
        for index in self._calls:
            self.end(index)
        for index, block in self._blocks.items():
            text = "".join(self._pieces[index])
            if block.get("type") in ("text", "thinking"):
                block[block["type"]] = text
            elif text:
                block["input"] = as_input(text)
        return list(self._blocks.values()), ["".join(self._pieces[index]) for index in self._calls]

    def _say(self, index: int, kind: str, text: str) -> None:
        if index not in self._blocks:
            self._named(index, kind)
        if text:
            self._pieces[index].append(text)
            self._on_delta(text if kind == "text" else Thought(text))

    def _input(self, index: int, json: str) -> None:
        if index not in self._blocks:
            self.whole = False
            return
        if json:
            self._pieces[index].append(json)
            if index in self._calls:
                self._on_delta(ToolPiece(self._calls[index], arguments=json))

    def _named(self, index: int, kind: str) -> Block:
        if index not in self._blocks:
            self._blocks[index] = {"type": kind, kind: ""}
            self._pieces[index] = []
        return self._blocks[index]


def completion_of(blocks: list[Block], arguments: list[str] | None = None) -> Completion:
    """Makes a completion of a message's content.

    `blocks` of it is filled where text, reasoning and tool calls do not say it all. What pieces of a stream can not say
    either, such as a search that Anthropic ran or citations, makes it one that is not `whole`.

    Args:
        blocks: The content.
        arguments: Those of its tool calls, as they came; None: as the blocks have them.

    Raises:
        MalformedReplyError: A block is none.
    """
    if not all(type(block.get("type", "")) is str for block in blocks):
        raise MalformedReplyError("A field is of the wrong type: type of a content block.")
    calls = [block for block in blocks if block.get("type") == "tool_use"]
    if arguments is None:
        arguments = [_encode(call.get("input") or {}).decode() for call in calls]
    return Completion(
        text="".join([_text(block, "text") for block in blocks if block.get("type") == "text"]),
        reasoning="".join([_text(block, "thinking") for block in blocks if block.get("type") == "thinking"]),
        tool_calls=[_tool_call(call, given) for call, given in zip(calls, arguments, strict=True)],
        blocks=[] if _is_simple(blocks) else blocks,
        whole=all(block.get("type") in _SAYABLE and not block.get("citations") for block in blocks),
    )


def whole_object(text: str) -> Block | None:
    """The JSON object that a text is, as far as it is a whole one."""
    if not text.rstrip().endswith("}"):
        return None
    try:
        value = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None
    return value if type(value) is dict else None


def as_input(arguments: Any) -> Block:
    """The input of a tool_use block; a model wrote it, and one that is no object must not end the conversation."""
    given = whole_object(arguments or "{}") if arguments is None or type(arguments) is str else arguments
    return given if type(given) is dict else {"arguments": arguments}


def _is_simple(blocks: list[Block]) -> bool:
    """It is thoughts without signatures, then text, then tool calls, and nothing is said of them."""
    last = 0
    for block in blocks:
        place = _PLACES.get(block.get("type", ""), -1)
        if place < last or any(value and name not in _FIELDS[block["type"]] for name, value in block.items()):
            return False
        last = place
    return True


def _text(block: Block, field: str) -> str:
    value = block.get(field)
    if value is not None and type(value) is not str:
        raise MalformedReplyError(f"A field is of the wrong type: {field} of a content block.")
    return value or ""


def _tool_call(block: Block, arguments: str) -> dict[str, Any]:
    function = {"name": _text(block, "name"), "arguments": arguments}
    return {"id": _text(block, "id"), "type": "function", "function": function}
