"""An answer as the output items and the response object of OpenAI's Responses.

Source: https://platform.openai.com/docs/api-reference/responses/object
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from beastmode.core.deltas import Piece, Thought, ToolPiece
from beastmode.core.types import Completion, Request, Usage
from beastmode.wire.dialect import Told
from beastmode.wire.responses_request import NAME
from beastmode.wire.responses_tools import ACTIONS, Called, calls, freeform_of, parsed

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_ECHO_MAX_BYTES = 256 << 10
_PREFIX = {"message": "msg", "reasoning": "rs", "function": "fc", "custom": "ctc"}


class Output:
    """One item of an answer, as it grows.

    Attributes:
        kind: `message`, `reasoning`, or the kind of a call.
        index: Its place among the items.
        id: Its id.
        called: What a call is of.
        call_id: Id of a call.
        texts: Pieces of its text or arguments.
    """

    __slots__ = ("call_id", "called", "id", "index", "kind", "texts")

    def __init__(self, kind: str, index: int, request_id: str, called: Called, call_id: str) -> None:
        self.kind = kind
        self.index = index
        self.id = f"{_PREFIX.get(kind, 'call')}_{request_id}_{index}"
        self.called = called
        self.call_id = call_id or f"call_{request_id}_{index}"
        self.texts: list[str] = []

    @property
    def text(self) -> str:
        """All of its text, or all arguments of a call."""
        text = "".join(self.texts)
        if self.kind == "function":
            return text or "{}"
        return freeform_of(text) if self.kind == "custom" else text

    def item(self, status: str, logprobs: list[Any] | None = None) -> dict[str, Any]:
        """Tells the item; one that is in progress has nothing in it yet.

        Args:
            status: in_progress, completed or incomplete.
            logprobs: Of a message's text.
        """
        begun = status == "in_progress"
        text = "" if begun else self.text
        match self.kind:
            case "message":
                content = [] if begun else [text_part(text, logprobs)]
                return {"id": self.id, "type": "message", "status": status, "role": "assistant", "content": content}
            case "reasoning":
                summary = [] if begun else [{"type": "summary_text", "text": text}]
                return {"id": self.id, "type": "reasoning", "summary": summary, "encrypted_content": None}
            case "function":
                return self._call("function_call", "arguments", text) | {"status": status}
            case "custom":
                return self._call("custom_tool_call", "input", text) | {"status": status}
        action = ACTIONS[self.kind]
        given = {} if begun else parsed(text)
        arguments = {**action.fixed, **given} if isinstance(given, dict) else action.fixed
        told = {"id": self.id, "type": action.item, "status": status, "call_id": self.call_id}
        return told | action.beside | {action.field: arguments}

    def _call(self, kind: str, field: str, text: str) -> dict[str, Any]:
        space = {"namespace": self.called.namespace} if self.called.namespace else {}
        return {"id": self.id, "type": kind, "call_id": self.call_id, "name": self.called.name, **space, field: text}


class Outputs:
    """The items of one answer.

    Args:
        told: Whose answer it is.
    """

    def __init__(self, told: Told) -> None:
        self._id = told.request_id
        self._called = calls(told.request.params.get("responses_tools")) if told.request is not None else {}
        self._calls: dict[int, Output] = {}
        self.items: list[Output] = []

    def take(self, piece: Piece) -> tuple[Output, str] | None:
        """Adds a piece.

        Args:
            piece: The next one.

        Returns:
            The item that it belongs to and what it adds to it; None where this protocol can not say it.
        """
        item: Output | None
        if isinstance(piece, ToolPiece):
            item = self._calls.get(piece.index) or self._begin_call(piece)
            text = piece.arguments
        elif isinstance(piece, Thought):
            text = piece.text
            item = self._last("reasoning") if text else None
        else:
            text = piece
            item = self._last("message") if text else None
        if item is None:
            return None
        if text:
            item.texts.append(text)
        return item, text

    def knows(self, call: int) -> bool:
        """Tells whether a call has begun.

        Args:
            call: Its index among the calls.
        """
        return call in self._calls

    def _last(self, kind: str) -> Output:
        if self.items and self.items[-1].kind == kind:
            return self.items[-1]
        return self._add(kind, Called(kind, ""), "")

    def _begin_call(self, piece: ToolPiece) -> Output:
        called = self._called.get(piece.name) or Called("function", piece.name)
        self._calls[piece.index] = item = self._add(called.kind, called, piece.id)
        return item

    def _add(self, kind: str, called: Called, call_id: str) -> Output:
        item = Output(kind, len(self.items), self._id, called, call_id)
        self.items.append(item)
        return item


def text_part(text: str, logprobs: list[Any] | None = None) -> dict[str, Any]:
    """A part of a message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs or []}


def logprobs_of(completion: Completion) -> list[Any]:
    """The logprobs of an answer's text; both of OpenAI's formats have them in one shape."""
    found = (completion.logprobs or {}).get("content")
    return found if isinstance(found, list) else []


class _Echo(msgspec.Struct):
    """What a response repeats of its request, as it came."""

    instructions: msgspec.Raw = msgspec.Raw(b"null")
    max_output_tokens: msgspec.Raw = msgspec.Raw(b"null")
    max_tool_calls: msgspec.Raw = msgspec.Raw(b"null")
    metadata: msgspec.Raw = msgspec.Raw(b"{}")
    parallel_tool_calls: msgspec.Raw = msgspec.Raw(b"true")
    prompt_cache_key: msgspec.Raw = msgspec.Raw(b"null")
    reasoning: msgspec.Raw = msgspec.Raw(b'{"effort":null,"summary":null}')
    safety_identifier: msgspec.Raw = msgspec.Raw(b"null")
    temperature: msgspec.Raw = msgspec.Raw(b"null")
    text: msgspec.Raw = msgspec.Raw(b'{"format":{"type":"text"}}')
    tool_choice: msgspec.Raw = msgspec.Raw(b'"auto"')
    tools: msgspec.Raw = msgspec.Raw(b"[]")
    top_logprobs: msgspec.Raw = msgspec.Raw(b"0")
    top_p: msgspec.Raw = msgspec.Raw(b"null")
    truncation: msgspec.Raw = msgspec.Raw(b'"disabled"')
    user: msgspec.Raw = msgspec.Raw(b"null")


_echo = msgspec.json.Decoder(_Echo)
_DEFAULTS = msgspec.structs.asdict(_Echo())


def response(told: Told) -> dict[str, Any]:
    """A response that has just begun.

    Args:
        told: Whose answer it is.
    """
    return {
        "id": f"resp_{told.request_id}",
        "object": "response",
        "created_at": int(told.created_s),
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": told.model,
        "output": [],
        "previous_response_id": None,
        "store": False,
        "usage": None,
        **_repeated(told.request),
    }


def ended(begun: dict[str, Any], completion: Completion, items: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """A response that has ended.

    Args:
        begun: As it began.
        completion: The whole answer.
        items: Its items.
    """
    why = incomplete(completion)
    return begun | {
        "status": "incomplete" if why else "completed",
        "incomplete_details": {"reason": why} if why else None,
        "output": list(items),
        "usage": usage(completion.usage),
    }


def incomplete(completion: Completion) -> str | None:
    """Why an answer stops before its end; None for one that does not."""
    return _INCOMPLETE.get(completion.finish_reason or "")


def usage(known: Usage) -> dict[str, Any] | None:
    """Tells what an answer took.

    Clients with typed objects take no null in the place of a count, so that what is unknown has its whole object null.

    Args:
        known: What is known.
    """
    if known.prompt_tokens is None or known.completion_tokens is None:
        return None
    cached, written, reasoning = known.cached_tokens, known.cache_write_tokens, known.reasoning_tokens
    read = None if cached is None else {"cached_tokens": cached}
    if read is not None and written is not None:
        read["cache_write_tokens"] = written
    return {
        "input_tokens": known.prompt_tokens,
        "input_tokens_details": read,
        "output_tokens": known.completion_tokens,
        "output_tokens_details": None if reasoning is None else {"reasoning_tokens": reasoning},
        "total_tokens": known.prompt_tokens + known.completion_tokens,
    }


def _repeated(request: Request | None) -> dict[str, Any]:
    native = request.native if request is not None else None
    if native is None or native.protocol != NAME or len(native.body) > _ECHO_MAX_BYTES:
        return _DEFAULTS
    found = msgspec.structs.asdict(_echo.decode(native.body))
    return {name: _DEFAULTS[name] if bytes(value) == b"null" else value for name, value in found.items()}
