"""An answer as Anthropic's events, for callers who do not get the provider's own bytes.

Source: https://docs.anthropic.com/en/api/messages-streaming
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from beastmode.core.deltas import Piece, Thought, ToolPiece
from beastmode.core.types import Completion, Request, Usage
from beastmode.wire.anthropic_blocks import whole_object
from beastmode.wire.dialect import StreamWriter, Told

_encode = msgspec.json.Encoder().encode
_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":%b%b}}\n\n'
BYTES_PER_TOKEN = 3.5
"""What prose and code in the Latin alphabet come to, by Anthropic's own rule of thumb."""


def message_head(told: Told) -> dict[str, Any]:
    """The fields that a message begins with."""
    return {"id": f"msg_{told.request_id}", "type": "message", "role": "assistant", "model": told.model}


def thinks(request: Request | None) -> bool:
    """Whether a caller asked for thinking; one who did not takes the first block for the answer.

    Args:
        request: What was asked; None: nobody knows, and nothing is held back.
    """
    if request is None:
        return True
    wanted = request.params.get("thinking")
    return isinstance(wanted, dict) and wanted.get("type") != "disabled"


def tool_id(told: Told, call_id: str, index: int) -> str:
    """The id of a tool call; one is made where the provider gave none, since its result must name it."""
    return call_id or f"toolu_{told.request_id}_{index}"


def stop_reason(completion: Completion) -> str:
    """How an answer ended, in Anthropic's words."""
    reason = completion.finish_reason
    if reason in (None, "stop"):
        if completion.stop_sequence is not None:
            return "stop_sequence"
        return "tool_use" if completion.tool_calls else "end_turn"
    return "pause_turn" if reason == "pause_turn" else _STOP_REASONS.get(reason or "", "end_turn")


def estimated(text_bytes: int) -> int:
    """About how many tokens a text has; at least one."""
    return max(1, round(text_bytes / BYTES_PER_TOKEN))


def usage_of(completion: Completion, prompt_tokens: int) -> dict[str, int]:
    """The tokens of an answer; this protocol has no word for unknown, so what nobody counted is estimated.

    Args:
        completion: The answer.
        prompt_tokens: Stands in where the provider did not count the prompt.
    """
    usage = completion.usage
    read, written = usage.cached_tokens or 0, usage.cache_write_tokens or 0
    prompt, output = usage.prompt_tokens, usage.completion_tokens
    return {
        "input_tokens": max(0, prompt - read - written) if prompt else max(1, prompt_tokens),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": _estimated_output(completion, usage) if output is None else output,
    }


def _estimated_output(completion: Completion, usage: Usage) -> int:
    size_bytes = len(completion.text.encode(errors="replace")) + len(completion.reasoning.encode(errors="replace"))
    size_bytes += len(_encode(completion.tool_calls)) if completion.tool_calls else 0
    return estimated(size_bytes) + (usage.reasoning_tokens or 0)


class MessageWriter(StreamWriter):
    """Writes one answer; its blocks never overlap.

    A provider may write several tool calls at once. Of those the first is written as it comes, and what else there is
    waits until its arguments are whole.

    Args:
        told: What the answer is told with.
        prompt_tokens: About how long the prompt is; called once.
    """

    def __init__(self, told: Told, prompt_tokens: Callable[[], int]) -> None:
        self._told = told
        self._count = prompt_tokens
        self._thinks = thinks(told.request)
        self._prompt_tokens = 1
        self._blocks = _Blocks(told)
        self._waiting: list[Piece] = []

    def begin(self) -> bytes:
        """Writes `message_start`; its usage is an estimate, the true one comes last."""
        self._prompt_tokens = max(1, self._count())
        usage = {
            "input_tokens": self._prompt_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 1,
        }
        rest: dict[str, Any] = {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
        return event("message_start", {"message": message_head(self._told) | rest})

    def piece(self, piece: Piece) -> bytes:
        """Writes a piece, or keeps it until the block before it is whole."""
        blocks = self._blocks
        if type(piece) is Thought and not self._thinks:
            return b""
        if blocks.open != "tool_use":
            return blocks.write(piece)
        if type(piece) is ToolPiece and piece.index == blocks.call:
            written = blocks.write(piece)
            ended = self._waiting and piece.arguments.rstrip().endswith("}") and blocks.call_is_whole()
            return written + self._released() if ended else written
        if self._waiting or not blocks.call_is_whole():
            self._waiting.append(piece)
            return b""
        return blocks.write(piece)

    def finish(self, completion: Completion) -> bytes:
        """Writes what still waits, what came in no piece, the reason and the usage."""
        waiting, self._waiting = self._waiting, []
        groups: dict[Any, list[Piece]] = {}
        for piece in waiting:
            groups.setdefault(piece.index if type(piece) is ToolPiece else type(piece), []).append(piece)
        written = [self._blocks.write(piece) for group in groups.values() for piece in group]
        written += [self._blocks.write(piece) for piece in self._unsaid(completion)]
        written.append(self._blocks.close())
        delta = {"stop_reason": stop_reason(completion), "stop_sequence": completion.stop_sequence}
        usage = usage_of(completion, self._prompt_tokens)
        written.append(event("message_delta", {"delta": delta, "usage": usage}))
        written.append(event("message_stop", {}))
        return b"".join(written)

    def _unsaid(self, completion: Completion) -> list[Piece]:
        """What a provider that streams only text, or nothing, says at the end."""
        pieces: list[Piece] = []
        if completion.reasoning and self._thinks and not self._blocks.said:
            pieces.append(Thought(completion.reasoning))
        if completion.text and "text" not in self._blocks.said:
            pieces.append(completion.text)
        for index, call in enumerate(completion.tool_calls):
            if index not in self._blocks.calls:
                function = call.get("function") or {}
                arguments = function.get("arguments") or ""
                pieces.append(ToolPiece(index, call.get("id") or "", function.get("name") or "", arguments))
        return pieces

    def _released(self) -> bytes:
        waiting, self._waiting = self._waiting, []
        return b"".join([self.piece(piece) for piece in waiting])


class _Blocks:
    """Writes blocks one after the other.

    Attributes:
        open: The kind of the block that is open; empty: none is.
        call: The tool call that is open, -1: none is.
        calls: Those that were begun.
        said: Kinds of blocks that were written.
    """

    def __init__(self, told: Told) -> None:
        self._told = told
        self._index = -1  # of the block that is open, or was last
        self._arguments: list[str] = []  # of the call that is open
        self.open = ""
        self.call = -1
        self.calls: set[int] = set()
        self.said: set[str] = set()

    def write(self, piece: Piece) -> bytes:
        """Writes a piece into the open block, or closes that and opens another."""
        if type(piece) is str:
            opening = b"" if self.open == "text" else self._begin("text", {"type": "text", "text": ""})
            return opening + self._delta(b'"text_delta","text":', piece)
        if type(piece) is ToolPiece:
            return self._write_call(piece)
        assert type(piece) is Thought
        return self._write_thought(piece)

    def close(self) -> bytes:
        """Ends the open block, where there is one."""
        if not self.open:
            return b""
        self.open, self.call = "", -1
        return event("content_block_stop", {"index": self._index})

    def call_is_whole(self) -> bool:
        """The arguments of the open call are a whole object."""
        arguments = "".join(self._arguments)
        if len(self._arguments) > 1:
            self._arguments = [arguments]
        return whole_object(arguments) is not None

    def _write_thought(self, thought: Thought) -> bytes:
        if thought.redacted:
            block = {"type": "redacted_thinking", "data": thought.redacted}
            return self._begin("redacted_thinking", block) + self.close()
        if not (thought.text or thought.signature):
            return b""
        written = b""
        if self.open != "thinking":
            written = self._begin("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        if thought.text:
            written += self._delta(b'"thinking_delta","thinking":', thought.text)
        if thought.signature:
            written += self._delta(b'"signature_delta","signature":', thought.signature) + self.close()
        return written

    def _write_call(self, piece: ToolPiece) -> bytes:
        written = b""
        if self.open != "tool_use" or piece.index != self.call:
            if piece.index in self.calls:  # blank space after arguments that were whole; the block is closed
                return b""
            call_id = tool_id(self._told, piece.id, piece.index)
            written = self._begin("tool_use", {"type": "tool_use", "id": call_id, "name": piece.name, "input": {}})
            self.call, self._arguments = piece.index, []
            self.calls.add(piece.index)
        if piece.arguments:
            self._arguments.append(piece.arguments)
            written += self._delta(b'"input_json_delta","partial_json":', piece.arguments)
        return written

    def _begin(self, kind: str, block: dict[str, Any]) -> bytes:
        closed = self.close()
        self._index += 1
        self.open = kind
        self.said.add(kind)
        return closed + event("content_block_start", {"index": self._index, "content_block": block})

    def _delta(self, opening: bytes, text: str) -> bytes:
        return _DELTA % (self._index, opening, _encode(text))


def event(kind: str, fields: dict[str, Any]) -> bytes:
    """One event of the protocol."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encode({"type": kind, **fields}))
