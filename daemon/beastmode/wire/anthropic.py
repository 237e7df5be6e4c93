"""Anthropic's Messages: a request to its bytes, its bytes to a completion, plain or streamed.

Source: https://docs.anthropic.com/en/api/messages and https://docs.anthropic.com/en/api/messages-streaming
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from beastmode.core.errors import MalformedReplyError
from beastmode.core.types import Completion, Request, Usage
from beastmode.wire.anthropic_request import body_of
from beastmode.wire.faults import ErrorInReplyError
from beastmode.wire.sse import SSEParser

PROTOCOL = "Anthropic Messages"

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_STATUS_OF_ERROR = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _Block(msgspec.Struct):
    """A content block, or what a delta adds to one."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    id: str = ""
    name: str = ""
    input: Any = None
    stop_reason: str | None = None


class _Message(msgspec.Struct):
    content: list[_Block] | None = None
    model: str | None = None
    stop_reason: str | None = None
    usage: _Usage | None = None
    type: str = ""


class _Event(msgspec.Struct):
    type: str = ""
    message: _Message | None = None
    index: int = 0
    content_block: _Block | None = None
    delta: _Block | None = None
    usage: _Usage | None = None


_message = msgspec.json.Decoder(_Message)
_event = msgspec.json.Decoder(_Event)
_encoder = msgspec.json.Encoder()


def encode(request: Request, upstream_model: str, stream: bool) -> bytes:
    """Encodes a request.

    Args:
        request: What to ask.
        upstream_model: The model's name at the endpoint.
        stream: Ask for events.

    Raises:
        BadInputError: A message holds something that the format can not say.
    """
    body = body_of(request, upstream_model)
    if stream:
        body["stream"] = True
    return _encoder.encode(body)


def decode(raw: bytes) -> Completion:
    """Reads a whole reply.

    Args:
        raw: Its body.

    Raises:
        MalformedReplyError: It is no message.
        ErrorInReplyError: It is an error object, sent with a status that says otherwise.
    """
    try:
        message = _message.decode(raw)
    except (ValueError, RecursionError) as error:
        raise _malformed(error) from None
    if message.type == "error":
        raise error_in_reply(raw)
    if message.content is None:
        raise MalformedReplyError("It holds no content.")
    blocks = message.content
    return Completion(
        text="".join(block.text or "" for block in blocks if block.type == "text"),
        finish_reason=_FINISH.get(message.stop_reason or "", message.stop_reason),
        usage=_usage(message.usage),
        model=message.model or "",
        tool_calls=[_tool_call(block, "") for block in blocks if block.type == "tool_use"],
        reasoning="".join(block.thinking or "" for block in blocks if block.type == "thinking"),
    )


def error_in_reply(raw: bytes) -> ErrorInReplyError:
    """Finds the HTTP status that an error object stands for (502 where it does not say).

    Args:
        raw: `{"type": "error", "error": {"type", "message"}}`, as it came.
    """
    try:
        kind = msgspec.json.decode(raw)["error"]["type"]
    except (ValueError, RecursionError, KeyError, TypeError):
        kind = ""
    return ErrorInReplyError(_STATUS_OF_ERROR.get(kind, 502) if isinstance(kind, str) else 502, raw)


class MessageStream:
    """Reads the stream of one answer.

    Args:
        on_text: Gets each piece of its text.
    """

    def __init__(self, on_text: Callable[[str], None]) -> None:
        self._on_text = on_text
        self._events = SSEParser()
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._tools: dict[int, tuple[_Block, list[str]]] = {}
        self._usage = _Usage()
        self._model = ""
        self._stop_reason: str | None = None
        self._done = False

    def feed(self, piece: bytes) -> bool:
        """Takes the next piece.

        Args:
            piece: Bytes as they came.

        Returns:
            True after `message_stop`: the answer is whole.

        Raises:
            MalformedReplyError: An event is none of this protocol.
            ErrorInReplyError: An event is an error.
        """
        for event in self._events.feed(piece):
            self._take(event.data)
            if self._done:
                break
        return self._done

    def finish(self) -> Completion:
        """Gives the whole answer.

        Raises:
            MalformedReplyError: The stream ended before the answer did.
        """
        if not self._done:
            for event in self._events.finish():
                self._take(event.data)
        if not (self._done or self._stop_reason):
            raise MalformedReplyError("The stream was cut off before its end.")
        return Completion(
            text="".join(self._texts),
            finish_reason=_FINISH.get(self._stop_reason or "", self._stop_reason),
            usage=_usage(self._usage),
            model=self._model,
            tool_calls=[_tool_call(block, "".join(parts)) for _, (block, parts) in sorted(self._tools.items())],
            reasoning="".join(self._reasoning),
        )

    def whole(self, completion: Completion) -> None:
        """Takes an answer that came in one piece, though a stream was asked for."""
        if completion.text:
            self._on_text(completion.text)

    def _take(self, data: bytes) -> None:
        try:
            event = _event.decode(data)
        except (ValueError, RecursionError) as error:
            raise _malformed(error) from None
        match event.type:
            case "content_block_delta" | "content_block_start":
                block = event.delta or event.content_block
                if block is not None:
                    self._add(event.index, block)
            case "message_start" if event.message is not None:
                self._model = event.message.model or ""
                self._count(event.message.usage)
            case "message_delta":
                self._count(event.usage)
                self._stop_reason = (event.delta.stop_reason if event.delta else None) or self._stop_reason
            case "message_stop":
                self._done = True
            case "error":
                raise error_in_reply(data)

    def _add(self, index: int, block: _Block) -> None:
        if block.text:
            self._texts.append(block.text)
            self._on_text(block.text)
        if block.thinking:
            self._reasoning.append(block.thinking)
        if block.type == "tool_use":
            self._tools[index] = (block, [])
        elif block.partial_json and index in self._tools:
            self._tools[index][1].append(block.partial_json)

    def _count(self, usage: _Usage | None) -> None:
        """Takes counts as they come; those of `message_delta` are cumulative and may leave some out."""
        for field in _Usage.__struct_fields__:
            value = getattr(usage, field, None)
            if value is not None:
                setattr(self._usage, field, value)


def _malformed(error: Exception) -> MalformedReplyError:
    if isinstance(error, msgspec.ValidationError):
        return MalformedReplyError(f"A field is of the wrong type: {error}.")
    return MalformedReplyError("It is not JSON.")


def _usage(found: _Usage | None) -> Usage:
    """Maps the counts: `input_tokens` leaves out what was read from or written to the prompt cache, ours has it in."""
    if found is None:
        return Usage()
    read, written = found.cache_read_input_tokens, found.cache_creation_input_tokens
    prompt = None if found.input_tokens is None else found.input_tokens + (read or 0) + (written or 0)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=found.output_tokens,
        cached_tokens=read,
        cache_write_tokens=written,
    )


def _tool_call(block: _Block, arguments: str) -> dict[str, Any]:
    text = arguments or msgspec.json.encode(block.input or {}).decode()
    return {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": text}}
