"""Anthropic's Messages at the HTTP door.

Source: https://docs.anthropic.com/en/api/messages and https://docs.anthropic.com/en/api/errors
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from beastmode.core.errors import BeastError
from beastmode.core.types import Completion, Request
from beastmode.wire.anthropic import STATUS_OF_ERROR
from beastmode.wire.anthropic_blocks import as_input
from beastmode.wire.anthropic_events import (
    MessageWriter,
    estimated,
    event,
    message_head,
    stop_reason,
    thinks,
    tool_id,
    usage_of,
)
from beastmode.wire.anthropic_read import PROTOCOL_NAME, read
from beastmode.wire.dialect import Dialect, Told, explained
from beastmode.wire.relay import relay_body
from beastmode.wire.sse import SSEParser

IMAGE_TOKENS = 1600
"""What an image of the largest size that is not scaled down costs."""
MESSAGE_TOKENS = 4
"""What the frame of a message costs."""
_BYTES_PER_DOCUMENT_TOKEN = 20

_encode = msgspec.json.Encoder().encode


class _Start(msgspec.Struct):
    message: msgspec.Raw


_start = msgspec.json.Decoder(_Start)
_ERROR_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class AnthropicMessages(Dialect):
    """Anthropic's Messages; its field `request_id` of errors is ours."""

    name = PROTOCOL_NAME
    ping = b'event: ping\ndata: {"type": "ping"}\n\n'

    def read(self, body: bytes, headers: Mapping[str, str]) -> Request:
        """Reads a request, as `wire.anthropic_read` says."""
        return read(body, headers)

    def name_to_bear(self, request: Request) -> str:
        """The name that the caller asked by, where it wants thoughts: Claude Code sends them back to no other."""
        return request.model if "thinking" in request.params and thinks(request) and request.model != "auto" else ""

    def renamed(self, sent: bytes, name: str) -> bytes | None:
        """Writes a name into a message, or into the event that begins one."""
        if sent.lstrip().startswith(b"{"):
            return relay_body(sent, {"model": name})
        start = next((one.data for one in SSEParser().feed(sent) if b'"message_start"' in one.data), None)
        if start is None:
            return None
        message = relay_body(bytes(_start.decode(start).message), {"model": name})
        return sent.replace(start, relay_body(start, {"message": msgspec.Raw(message)}), 1)

    def plain(self, told: Told, completion: Completion) -> bytes:
        """Writes a whole message; a prompt that nobody counted is estimated from `told.request`."""
        asked = None if completion.usage.prompt_tokens else told.request
        message = message_head(told) | {
            "content": _shown(told, completion.blocks) or _blocks(told, completion),
            "stop_reason": stop_reason(completion),
            "stop_sequence": completion.stop_sequence,
            "usage": usage_of(completion, 1 if asked is None else estimated_tokens(asked)),
        }
        return _encode(message)

    def writer(self, told: Told, request: Request) -> MessageWriter:
        """Begins to write a message as events."""
        return MessageWriter(told, lambda: estimated_tokens(request))

    def error(self, error: BeastError, status: int) -> bytes:
        """Writes an error."""
        return _encode(_error(error, status))

    def broken(self, error: BeastError, status: int, sent: bytes = b"") -> bytes:
        """Writes an error as an event."""
        return event("error", _error(error, status))


def estimated_tokens(request: Request) -> int:
    """About how many tokens a request has, for models that can not count them.

    Text, tool calls, tools and schemas count one token for 3.5 bytes (Anthropic's own rule of thumb; within some 20%
    for English and code), a message 4, an image 1,600, a document one for 20 bytes of its base64.

    Args:
        request: What is asked; at least 1 is given for it.
    """
    size_bytes = 0
    tokens = len(request.messages) * MESSAGE_TOKENS
    for message in request.messages:
        if type(message.content) is str:
            size_bytes += _text_bytes(message.content)
        for part in message.content if type(message.content) is list else ():
            part_bytes, part_tokens = _part_weight(part)
            size_bytes += part_bytes
            tokens += part_tokens
        if message.tool_calls:
            size_bytes += len(_encode(message.tool_calls))
    for name in ("tools", "response_format", "input", "suffix"):
        if request.params.get(name):
            size_bytes += len(_encode(request.params[name]))
    return tokens + estimated(size_bytes)


def _part_weight(part: dict[str, Any]) -> tuple[int, int]:
    """Bytes of text in a part, and tokens of what is no text."""
    kind = part.get("type")
    if kind == "text" and type(part.get("text")) is str:
        return _text_bytes(part["text"]), 0
    if kind in ("image_url", "image", "input_image"):
        return 0, IMAGE_TOKENS
    size_bytes = len(_encode(part))
    return (0, size_bytes // _BYTES_PER_DOCUMENT_TOKEN) if kind == "file" else (size_bytes, 0)


def _text_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def _shown(told: Told, blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The blocks of an answer that its caller is to see: thoughts are for who asked for them."""
    if thinks(told.request):
        return blocks
    return [block for block in blocks if block.get("type") not in ("thinking", "redacted_thinking")]


def _blocks(told: Told, completion: Completion) -> list[dict[str, Any]]:
    """The content of an answer that is no more than its thoughts, its text and its tool calls, in this order."""
    blocks: list[dict[str, Any]] = []
    if completion.reasoning and thinks(told.request):
        blocks.append({"type": "thinking", "thinking": completion.reasoning, "signature": ""})
    if completion.text:
        blocks.append({"type": "text", "text": completion.text})
    for index, call in enumerate(completion.tool_calls):
        function = call.get("function") or {}
        call_id, given = tool_id(told, call.get("id") or "", index), as_input(function.get("arguments"))
        blocks.append({"type": "tool_use", "id": call_id, "name": function.get("name") or "", "input": given})
    return blocks


def _error(error: BeastError, status: int) -> dict[str, Any]:
    kind = error.details.get("upstream_type")
    if kind not in STATUS_OF_ERROR or STATUS_OF_ERROR[kind] != status:
        kind = _ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {
        "type": "error",
        "error": {"type": kind, "message": explained(error)},
        "request_id": error.request_id,
    }
