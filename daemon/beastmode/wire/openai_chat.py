"""OpenAI's Chat Completions: a request to its bytes, its bytes to a completion, plain or streamed.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from beastmode.core.errors import MalformedReplyError
from beastmode.core.types import Completion, Request, Usage
from beastmode.wire.faults import ErrorInReplyError
from beastmode.wire.sse import SSEParser

PROTOCOL = "OpenAI Chat Completions"

T = TypeVar("T")
_FINISH = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "function_call": "tool_calls",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "max_tokens": "length",
    "model_length": "length",
}
_STATUS_OF_ERROR = {
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "exceed_context_size_error": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
}


class _Details(msgspec.Struct):
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Said(msgspec.Struct):
    """A message, or what a chunk adds to it."""

    content: str | list[dict[str, Any]] | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    refusal: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


class _Choice(msgspec.Struct):
    message: _Said | None = None
    delta: _Said | None = None
    finish_reason: str | None = None


class _Reply(msgspec.Struct):
    """A whole reply, or a chunk of a stream."""

    choices: list[_Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw()
    model: str | None = None
    error: msgspec.Raw = msgspec.Raw()


class _ModelName(msgspec.Struct):
    id: str


class _ModelList(msgspec.Struct):
    data: list[_ModelName] | None


_reply = msgspec.json.Decoder(_Reply)
_usage = msgspec.json.Decoder(_Usage)
_models = msgspec.json.Decoder(_ModelList)
_encoder = msgspec.json.Encoder()


def encode(request: Request, upstream_model: str, stream: bool, *, usage_in_stream: bool = True) -> bytes:
    """Encodes a request.

    Args:
        request: What to ask.
        upstream_model: The model's name at the endpoint.
        stream: Ask for events.
        usage_in_stream: Ask for a last event with the usage; a few old servers refuse that question.
    """
    body: dict[str, Any] = {**request.params, "model": upstream_model, "messages": request.messages}
    body.pop("stream_options", None)
    if stream:
        body["stream"] = True
        if usage_in_stream:
            body["stream_options"] = {"include_usage": True}
    else:
        body.pop("stream", None)
    return _encoder.encode(body)


def decode(raw: bytes) -> Completion:
    """Reads a whole reply.

    Args:
        raw: Its body.

    Raises:
        MalformedReplyError: It is no chat completion.
        ErrorInReplyError: It is an error object, sent with a status that says otherwise.
    """
    reply = _decoded(_reply, raw)
    if _present(reply.error):
        raise error_in_reply(raw)
    if not reply.choices or reply.choices[0].message is None:
        raise MalformedReplyError("It holds no choice with a message.")
    choice = reply.choices[0]
    said = reply.choices[0].message
    text, reasoning = _texts(said.content)
    finish_reason = finish(choice.finish_reason)
    if said.refusal and not text:
        text, finish_reason = said.refusal, "content_filter"
    return Completion(
        text=text,
        finish_reason=finish_reason,
        usage=usage(reply.usage),
        model=reply.model or "",
        tool_calls=[_tool_call(call) for call in said.tool_calls or ()],
        reasoning=reasoning or _reasoning(said),
    )


def model_names(raw: bytes) -> list[str]:
    """Reads a list of models (`{"data": [{"id": ...}]}`).

    Args:
        raw: Its body.

    Raises:
        MalformedReplyError: It is no such list.
    """
    return [model.id for model in _decoded(_models, raw).data or ()]


def usage(raw: msgspec.Raw) -> Usage:
    """Reads a usage object; one that is missing or odd is unknown, and costs no answer.

    Args:
        raw: The object, as it came.
    """
    if not _present(raw):
        return Usage()
    try:
        found = _usage.decode(raw)
    except (ValueError, RecursionError):
        return Usage()
    prompt, completion = found.prompt_tokens_details, found.completion_tokens_details
    return Usage(
        prompt_tokens=_count(found.prompt_tokens),
        completion_tokens=_count(found.completion_tokens),
        cached_tokens=_count(prompt.cached_tokens) if prompt else None,
        reasoning_tokens=_count(completion.reasoning_tokens) if completion else None,
    )


def finish(reason: str | None) -> str | None:
    """Names a finish reason in our words; one that is not known stays as it came."""
    return _FINISH.get(reason, reason) if reason else None


def error_in_reply(raw: bytes) -> ErrorInReplyError:
    """Finds the HTTP status that an error object stands for (502 where it does not say).

    Args:
        raw: `{"error": {"message", "type", "code"}}`, as it came.
    """
    try:
        error = msgspec.json.decode(raw).get("error")
    except (ValueError, RecursionError):
        error = None
    detail = error if isinstance(error, dict) else {}
    for word in (detail.get("code"), detail.get("type")):
        number = int(word) if isinstance(word, int) or (isinstance(word, str) and word.isdecimal()) else None
        if number is not None and 400 <= number < 600:
            return ErrorInReplyError(number, raw)
        if isinstance(word, str) and word in _STATUS_OF_ERROR:
            return ErrorInReplyError(_STATUS_OF_ERROR[word], raw)
    return ErrorInReplyError(502, raw)


class ChatStream:
    """Reads the stream of one answer.

    Args:
        on_text: Gets each piece of its text.
    """

    def __init__(self, on_text: Callable[[str], None]) -> None:
        self._on_text = on_text
        self._events = SSEParser()
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._refused = False
        self._calls = ToolCalls()
        self._usage = msgspec.Raw()
        self._model = ""
        self._finish: str | None = None
        self._begun = False
        self._done = False

    def feed(self, piece: bytes) -> bool:
        """Takes the next piece.

        Args:
            piece: Bytes as they came.

        Returns:
            True after `[DONE]`: the answer is whole.

        Raises:
            MalformedReplyError: An event is no chunk of a chat completion.
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
        if not self._begun or not (self._done or self._finish):
            raise MalformedReplyError("The stream was cut off before its end.")
        return Completion(
            text="".join(self._texts),
            finish_reason="content_filter" if self._refused else finish(self._finish),
            usage=usage(self._usage),
            model=self._model,
            tool_calls=self._calls.calls,
            reasoning="".join(self._reasoning),
        )

    def whole(self, completion: Completion) -> None:
        """Takes an answer that came in one piece, though a stream was asked for."""
        if completion.text:
            self._on_text(completion.text)

    def _take(self, data: bytes) -> None:
        if data == b"[DONE]":
            self._done = True
            return
        chunk = _decoded(_reply, data)
        if _present(chunk.error):
            raise error_in_reply(data)
        if _present(chunk.usage):
            self._usage = chunk.usage.copy()
        if chunk.model:
            self._model = chunk.model
        if not chunk.choices:
            return
        self._begun = True
        choice = chunk.choices[0]
        if choice.finish_reason:
            self._finish = choice.finish_reason
        said = choice.delta or choice.message
        if said is not None:
            self._add(said)

    def _add(self, said: _Said) -> None:
        if said.content:
            text, reasoning = _texts(said.content)
            self._reasoning.append(reasoning)
            self._say(text)
        if said.reasoning_content or said.reasoning:
            self._reasoning.append(_reasoning(said))
        if said.refusal:
            self._refused = True
            self._say(said.refusal)
        for delta in said.tool_calls or ():
            self._calls.add(delta)

    def _say(self, text: str) -> None:
        if text:
            self._texts.append(text)
            self._on_text(text)


class ToolCalls:
    """Merges the deltas of tool calls into whole calls, in the order they began."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self._by_index: dict[int, dict[str, Any]] = {}

    def add(self, delta: dict[str, Any]) -> None:
        """Takes a delta.

        A new id begins a new call even under an old index (Gemini numbers all calls 0); a delta without an index
        belongs to the last call.

        Args:
            delta: One element of a chunk's `tool_calls`.
        """
        index = delta.get("index")
        new = _tool_call(delta)
        call = self._by_index.get(index) if isinstance(index, int) else (self.calls[-1] if self.calls else None)
        if call is None or (new["id"] and call["id"] and new["id"] != call["id"]):
            self.calls.append(new)
            if isinstance(index, int):
                self._by_index[index] = new
            return
        call["id"] = call["id"] or new["id"]
        had, more = call["function"], new["function"]
        had["name"] = had["name"] or more["name"]
        had["arguments"] += more["arguments"]


def _decoded(decoder: msgspec.json.Decoder[T], raw: bytes) -> T:
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise MalformedReplyError(f"A field is of the wrong type: {error}.") from None
    except (ValueError, RecursionError):
        raise MalformedReplyError("It is not JSON.") from None


def _present(raw: msgspec.Raw) -> bool:
    return bytes(raw) not in (b"", b"null")


def _count(tokens: int | None) -> int | None:
    return tokens if tokens is not None and tokens >= 0 else None


def _texts(content: str | list[dict[str, Any]] | None) -> tuple[str, str]:
    """Text and reasoning of a content; Mistral's reasoning models send a list of typed parts."""
    if content is None or isinstance(content, str):
        return content or "", ""
    text = "".join(str(part.get("text") or "") for part in content if part.get("type") != "thinking")
    thinking = (part.get("thinking") for part in content if part.get("type") == "thinking")
    return text, "".join(_texts(thought)[0] for thought in thinking if isinstance(thought, str | list))


def _reasoning(said: _Said) -> str:
    """DeepSeek and vLLM call it `reasoning_content`, Ollama and OpenRouter `reasoning`."""
    return said.reasoning_content or (said.reasoning if isinstance(said.reasoning, str) else "")


def _tool_call(call: dict[str, Any]) -> dict[str, Any]:
    """A tool call with all its fields, its arguments a string (some servers send them as an object)."""
    function = call.get("function") if isinstance(call.get("function"), dict) else {}
    arguments = function.get("arguments") if isinstance(function, dict) else None
    if arguments is not None and not isinstance(arguments, str):
        arguments = msgspec.json.encode(arguments).decode()
    kept = {key: value for key, value in call.items() if key != "index"}
    named = {"name": str((function or {}).get("name") or ""), "arguments": arguments or ""}
    return {**kept, "id": call.get("id") or "", "type": call.get("type") or "function", "function": named}
