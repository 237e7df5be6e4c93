"""OpenAI's Responses at the HTTP door, as Codex and the newer SDKs speak it; nothing is kept from one to the next.

Source: https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import msgspec

from beastmode.core.deltas import pieces_of
from beastmode.core.errors import BeastError, ContextTooLongError
from beastmode.core.types import Completion, Request
from beastmode.wire.dialect import Dialect, StreamWriter, Told, explained
from beastmode.wire.openai_door import code_of
from beastmode.wire.responses_answer import Outputs, ended, incomplete, logprobs_of, response
from beastmode.wire.responses_events import ResponsesWriter
from beastmode.wire.responses_request import NAME, read
from beastmode.wire.sse import SSEParser

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    402: "insufficient_quota",
}

_encode = msgspec.json.Encoder().encode


class OpenAIResponses(Dialect):
    """OpenAI's Responses."""

    name = NAME

    def read(self, body: bytes, headers: Mapping[str, str]) -> Request:
        """Reads a request."""
        return read(body, headers)

    def plain(self, told: Told, completion: Completion) -> bytes:
        """Writes a whole answer as a response object."""
        outputs = Outputs(told)
        for piece in pieces_of(completion):
            outputs.take(piece)
        logprobs = logprobs_of(completion)
        items = [output.item("completed", logprobs) for output in outputs.items]
        if items and incomplete(completion):
            items[-1] = outputs.items[-1].item("incomplete", logprobs)
        return _encode(ended(response(told), completion, items))

    def writer(self, told: Told, request: Request) -> StreamWriter:
        """Begins to write an answer as typed events."""
        return ResponsesWriter(msgspec.structs.replace(told, request=request))

    def error(self, error: BeastError, status: int) -> bytes:
        """Writes an error object."""
        return _encode({"error": _error(error, status)})

    def broken(self, error: BeastError, status: int, sent: bytes = b"") -> bytes:
        """Writes an error as the last events of a stream: one that SDKs raise, and one that ends the response."""
        number = _next_number(sent)
        told = _error(error, status)
        flat = {"type": "error", "sequence_number": number, "code": told["code"], "message": told["message"]}
        failed = response(Told(error.request_id or "failed", error.model or "", 0)) | {
            "status": "failed",
            "error": {"code": _code(error, status), "message": told["message"]},
        }
        event = {"type": "response.failed", "sequence_number": number + 1, "response": failed}
        return b"event: error\ndata: %b\n\nevent: response.failed\ndata: %b\n\n" % (
            _encode(flat | {"param": None, "error": told}),
            _encode(event),
        )


class _Numbered(msgspec.Struct):
    sequence_number: int | None = None


_numbered = msgspec.json.Decoder(_Numbered)


def _next_number(sent: bytes) -> int:
    """The number of the event that follows the last one that has a number."""
    parser = SSEParser()
    for event in reversed([*parser.feed(sent), *parser.finish()]):
        with contextlib.suppress(ValueError, RecursionError):
            number = _numbered.decode(event.data).sequence_number
            if number is not None:
                return number + 1
    return 0


def _error(error: BeastError, status: int) -> dict[str, Any]:
    """An error object; the upstream's own words for programs where it had some."""
    known = error.details
    usual = _TYPES.get(status) or ("invalid_request_error" if status < 500 else "server_error")
    return {
        "message": explained(error),
        "type": known.get("upstream_type") or usual,
        "param": known.get("upstream_param") or known.get("param"),
        "code": known.get("upstream_code") or code_of(error),
    }


def _code(error: BeastError, status: int) -> str:
    """A code that tells a program whether to try again."""
    if isinstance(error, ContextTooLongError):
        return "context_length_exceeded"
    if status == 429:
        return "rate_limit_exceeded"
    return "invalid_prompt" if status < 500 else "server_error"
