"""OpenAI's Responses from an upstream: its bytes to a completion, plain or streamed.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from typing import Any

import msgspec

from beastmode.core.deltas import OnDelta, pieces_of
from beastmode.core.errors import MalformedReplyError
from beastmode.core.types import Billing, Completion, Usage
from beastmode.wire.faults import ErrorInReplyError
from beastmode.wire.openai_chat import error_in_reply
from beastmode.wire.relay import EventRelay, Took
from beastmode.wire.responses_items import Items, Kind
from beastmode.wire.sse import Event

PROTOCOL = "OpenAI Responses"

_INCOMPLETE = {"max_output_tokens": "length", "content_filter": "content_filter"}
_DELTAS: dict[str, Kind] = {
    "response.output_text.delta": "message",
    "response.refusal.delta": "refusal",
    "response.reasoning_summary_text.delta": "reasoning",
    "response.reasoning_text.delta": "reasoning",
    "response.function_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
}
_STATUS_OF_ERROR = {
    "server_error": 500,
    "invalid_prompt": 400,
    "bio_policy": 400,
    "cyber_policy": 400,
    "misalignment_policy_violation": 400,
    "server_is_overloaded": 503,
    "slow_down": 503,
    "vector_store_timeout": 504,
}


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    output: list[dict[str, Any]] | None = None
    status: str | None = None
    model: str | None = None
    usage: msgspec.Raw = msgspec.Raw()
    incomplete_details: _Incomplete | None = None
    error: Any = None
    service_tier: Any = None


class _Event(msgspec.Struct):
    type: str = ""
    output_index: int | None = None
    delta: Any = None
    item: dict[str, Any] | None = None
    summary_index: int = 0
    response: _Response | None = None
    code: Any = None
    message: Any = None
    param: Any = None
    error: Any = None


_response = msgspec.json.Decoder(_Response)
_event = msgspec.json.Decoder(_Event)
_usage = msgspec.json.Decoder(_Usage)


def decode(raw: bytes) -> Completion:
    """Reads a whole reply.

    Args:
        raw: Its body.

    Raises:
        MalformedReplyError: It is no response, or one that is not ready.
        ErrorInReplyError: It is an error object, or a response that failed.
    """
    try:
        reply = _response.decode(raw)
    except (ValueError, RecursionError) as error:
        raise _malformed(error) from None
    if reply.error or reply.status == "failed":
        raise _error(reply.error)
    if reply.output is None or reply.status not in ("completed", "incomplete", None):
        raise MalformedReplyError("It holds no output." if reply.output is None else f"Its status is {reply.status}.")
    items = Items(lambda _: None)
    for index, item in enumerate(reply.output):
        items.end(index, item)
    return _completion(items, reply, reply.model or "")


class ResponsesStream:
    """Reads the stream of one answer.

    Args:
        on_delta: Gets its pieces.
        relay: Hand on the bytes of its events, too.
    """

    def __init__(self, on_delta: OnDelta, relay: bool = False) -> None:
        self._on_delta = on_delta
        self._events = EventRelay(on_delta, relay)
        self._items = Items(on_delta)
        self._model = ""
        self._ended: _Response | None = None

    def feed(self, piece: bytes) -> bool:
        """Takes the next piece.

        Args:
            piece: Bytes as they came.

        Returns:
            True after `response.completed` or `response.incomplete`: the answer is whole.

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
        if self._ended is None:
            self._events.finish(self._take)
        if self._ended is None:
            raise MalformedReplyError("The stream was cut off before its end.")
        return _completion(self._items, self._ended, self._ended.model or self._model)

    def whole(self, completion: Completion) -> None:
        """Takes an answer that came in one piece, though a stream was asked for."""
        for piece in pieces_of(completion):
            self._on_delta(piece)

    def _take(self, sent: Event) -> Took:
        if sent.data == b"[DONE]":  # some servers end every stream so
            return "more"
        try:
            event = _event.decode(sent.data)
        except (ValueError, RecursionError) as error:
            raise _malformed(error) from None
        kind = _DELTAS.get(event.type)
        if kind is not None:
            if isinstance(event.delta, str):
                self._items.add(event.output_index or 0, kind, event.delta)
            return "more"
        match event.type or sent.name:
            case "response.output_item.added" if event.item is not None:
                self._items.begin(event.output_index, event.item)
            case "response.output_item.done" if event.item is not None:
                self._items.end(event.output_index, event.item)
            case "response.reasoning_summary_part.added" if event.summary_index:
                self._items.add(event.output_index or 0, "reasoning", "\n\n")
            case "response.created" if event.response is not None:
                self._model = event.response.model or ""
            case "response.completed" | "response.incomplete":
                return self._end(event.response or _Response())
            case "response.failed" | "response.cancelled":
                raise _error(event.response.error if event.response is not None else None)
            case "error":
                said = {"code": event.code, "message": event.message, "param": event.param}
                raise _error(event.error or said)
        return "more"

    def _end(self, response: _Response) -> Took:
        self._ended = response
        self._items.rest(response.output or [])
        return "last"


def _completion(items: Items, response: _Response, model: str) -> Completion:
    completion = items.completion()
    reason = response.incomplete_details.reason if response.incomplete_details is not None else None
    if reason or response.status == "incomplete":
        completion.finish_reason = _INCOMPLETE.get(reason or "", reason or "length")
    completion.usage = _tokens(response.usage)
    if isinstance(response.service_tier, str) and response.service_tier:
        completion.billing = Billing(response.service_tier)
    completion.model = model
    return completion


def _tokens(raw: msgspec.Raw) -> Usage:
    """Reads a usage object; one that is missing or odd is unknown, and costs no answer."""
    if bytes(raw) in (b"", b"null"):
        return Usage()
    try:
        found = _usage.decode(raw)
    except (ValueError, RecursionError):
        return Usage()
    read, written = found.input_tokens_details or _Details(), found.output_tokens_details or _Details()
    return Usage(
        prompt_tokens=_count(found.input_tokens),
        completion_tokens=_count(found.output_tokens),
        cached_tokens=_count(read.cached_tokens),
        cache_write_tokens=_count(read.cache_write_tokens),
        reasoning_tokens=_count(written.reasoning_tokens),
    )


def _count(tokens: int | None) -> int | None:
    return tokens if tokens is not None and tokens >= 0 else None


def _error(error: Any) -> ErrorInReplyError:
    """Finds the HTTP status that an error object of this protocol stands for."""
    said = error if isinstance(error, dict) else {"message": error or "The response failed."}
    raw = msgspec.json.encode({"error": said})
    for word in (said.get("code"), said.get("type")):
        if isinstance(word, str) and word in _STATUS_OF_ERROR:
            return ErrorInReplyError(_STATUS_OF_ERROR[word], raw)
    return error_in_reply(raw)


def _malformed(error: Exception) -> MalformedReplyError:
    if isinstance(error, msgspec.ValidationError):
        return MalformedReplyError(f"A field is of the wrong type: {error}.")
    return MalformedReplyError("It is not JSON.")
