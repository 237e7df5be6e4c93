"""Anthropic's Messages: a request to its bytes, its bytes to a completion, plain or streamed.

Source: https://docs.anthropic.com/en/api/messages and https://docs.anthropic.com/en/api/messages-streaming
"""

from __future__ import annotations

from typing import Any

import msgspec

from beastmode.core.deltas import OnDelta, pieces_of
from beastmode.core.errors import MalformedReplyError
from beastmode.core.types import Billing, Completion, Request, Usage
from beastmode.wire.anthropic_blocks import Assembly, Block, Delta, completion_of
from beastmode.wire.anthropic_request import body_of
from beastmode.wire.faults import ErrorInReplyError
from beastmode.wire.relay import EventRelay, Took
from beastmode.wire.sse import Event as SentEvent

PROTOCOL = "Anthropic Messages"

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
STATUS_OF_ERROR = {
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
_COUNTED = frozenset(
    {
        "cache_control",
        "context_management",
        "mcp_servers",
        "messages",
        "model",
        "output_config",
        "system",
        "thinking",
        "tool_choice",
        "tools",
    }
)


class _OutputDetails(msgspec.Struct):
    thinking_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None
    cache_creation: Any = None
    service_tier: Any = None
    speed: Any = None


class _Message(msgspec.Struct):
    content: list[Block] | None = None
    model: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: _Usage | None = None
    container: Any = None
    type: str = ""


class _Event(msgspec.Struct):
    type: str = ""
    message: _Message | None = None
    index: int = 0
    content_block: Block | None = None
    delta: Delta | None = None
    usage: _Usage | None = None


_message = msgspec.json.Decoder(_Message)
_event = msgspec.json.Decoder(_Event)
_tokens = msgspec.json.Decoder(_Usage)
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


def encode_count(request: Request, upstream_model: str, stream: bool = False) -> bytes:
    """Encodes a request for `count_tokens`, which knows nothing of how to answer.

    Args:
        request: What to count.
        upstream_model: The model's name at the endpoint.
        stream: Says nothing here.

    Raises:
        BadInputError: A message holds something that the format can not say.
    """
    body = body_of(request, upstream_model)
    return _encoder.encode({name: value for name, value in body.items() if name in _COUNTED})


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
    completion = completion_of(message.content)
    completion.finish_reason = _finish(message.stop_reason)
    completion.stop_sequence = message.stop_sequence
    completion.usage, completion.billing = _usage(message.usage), _billing(message.usage)
    completion.model = message.model or ""
    completion.whole = completion.whole and message.container is None
    return completion


def decode_count(raw: bytes) -> Completion:
    """Reads a reply of `count_tokens`: a completion that has nothing but the prompt's tokens.

    Args:
        raw: Its body.

    Raises:
        MalformedReplyError: It holds no count.
    """
    try:
        count = _tokens.decode(raw).input_tokens
    except (ValueError, RecursionError) as error:
        raise _malformed(error) from None
    if count is None:
        raise MalformedReplyError("It holds no input_tokens.")
    return Completion(text="", usage=Usage(prompt_tokens=count))


def error_in_reply(raw: bytes) -> ErrorInReplyError:
    """Finds the HTTP status that an error object stands for (502 where it does not say).

    Args:
        raw: `{"type": "error", "error": {"type", "message"}}`, as it came.
    """
    try:
        kind = msgspec.json.decode(raw)["error"]["type"]
    except (ValueError, RecursionError, KeyError, TypeError):
        kind = ""
    return ErrorInReplyError(STATUS_OF_ERROR.get(kind, 502) if isinstance(kind, str) else 502, raw)


class MessageStream:
    """Reads the stream of one answer.

    Args:
        on_delta: Gets its pieces.
        relay: Hand on the bytes of its events, too.
    """

    def __init__(self, on_delta: OnDelta, relay: bool = False) -> None:
        self._on_delta = on_delta
        self._events = EventRelay(on_delta, relay)
        self._blocks = Assembly(on_delta)
        self._usage = _Usage()
        self._model = ""
        self._stop_reason: str | None = None
        self._stop_sequence: str | None = None
        self._container: Any = None
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
        return self._events.feed(piece, self._take)

    def finish(self) -> Completion:
        """Gives the whole answer.

        Raises:
            MalformedReplyError: The stream ended before the answer did.
        """
        if not self._done:
            self._events.finish(self._take)
        if not (self._done or self._stop_reason):
            raise MalformedReplyError("The stream was cut off before its end.")
        completion = completion_of(*self._blocks.finish())
        completion.finish_reason = _finish(self._stop_reason)
        completion.stop_sequence = self._stop_sequence
        completion.usage, completion.billing = _usage(self._usage), _billing(self._usage)
        completion.model = self._model
        completion.whole = completion.whole and self._blocks.whole and self._container is None
        return completion

    def whole(self, completion: Completion) -> None:
        """Takes an answer that came in one piece, though a stream was asked for."""
        for piece in pieces_of(completion):
            if piece:
                self._on_delta(piece)

    def _take(self, sent: SentEvent) -> Took:
        try:
            event = _event.decode(sent.data)
        except (ValueError, RecursionError) as error:
            raise _malformed(error) from None
        match event.type:
            case "content_block_delta" if event.delta is not None:
                self._blocks.add(event.index, event.delta)
            case "content_block_start" if event.content_block is not None:
                self._blocks.begin(event.index, event.content_block)
            case "content_block_stop":
                self._blocks.end(event.index)
            case "message_start" if event.message is not None:
                self._model = event.message.model or ""
                self._container = event.message.container
                self._count(event.message.usage)
                self._usage.output_tokens = None  # what is there so early is no count of the answer
            case "message_delta":
                self._count(event.usage)
                self._end(event.delta)
            case "message_stop":
                self._done = True
                return "last"
            case "error":
                raise error_in_reply(sent.data)
        return "more"

    def _end(self, delta: Delta | None) -> None:
        if delta is not None:
            self._stop_reason = delta.stop_reason or self._stop_reason
            self._stop_sequence = delta.stop_sequence or self._stop_sequence
            self._container = self._container or delta.container

    def _count(self, usage: _Usage | None) -> None:
        """Takes counts as they come; those of `message_delta` are cumulative and may leave some out."""
        for field in _Usage.__struct_fields__:
            value = getattr(usage, field, None)
            if value is not None:
                setattr(self._usage, field, value)


def _finish(reason: str | None) -> str | None:
    return _FINISH.get(reason, reason) if reason else None


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
    details = found.output_tokens_details
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=found.output_tokens,
        reasoning_tokens=details.thinking_tokens if details is not None else None,
        cached_tokens=read,
        cache_write_tokens=written,
    )


def _billing(found: _Usage | None) -> Billing | None:
    """What the price depends on beside the tokens: writes for an hour, and a tier or speed that costs more or less."""
    if found is None:
        return None
    made = found.cache_creation if isinstance(found.cache_creation, dict) else {}
    hour = made.get("ephemeral_1h_input_tokens")
    tier = found.speed if found.speed == "fast" else found.service_tier
    billing = Billing(tier if isinstance(tier, str) else "", hour if isinstance(hour, int) and hour > 0 else None)
    return billing if billing.service_tier or billing.cache_write_1h_tokens else None
