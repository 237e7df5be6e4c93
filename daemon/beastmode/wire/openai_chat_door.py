"""OpenAI's Chat Completions at the door: a caller's request is read, an answer is written, plain or as events.

Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from beastmode.core.deltas import Piece, Thought, ToolPiece
from beastmode.core.native import Native
from beastmode.core.types import Completion, Message, Request
from beastmode.wire.dialect import StreamWriter, Told
from beastmode.wire.openai_chat import MESSAGE_EXTRAS, NAME
from beastmode.wire.openai_door import (
    PASSED_HEADERS,
    OpenAIDialect,
    TokenCounts,
    counted,
    encode,
    read_object,
    read_params,
    read_stream,
    read_text,
    wrong,
)

_APART = frozenset({"model", "messages", "stream", "user"})
_MESSAGE_FIELDS = frozenset({"role", "content", "name", "tool_calls", "tool_call_id"})
_DONE = b"data: [DONE]\n\n"


class _Said(msgspec.Struct):
    role: str
    content: str | None
    refusal: None = None
    tool_calls: list[dict[str, Any]] | msgspec.UnsetType = msgspec.UNSET
    reasoning_content: str | msgspec.UnsetType = msgspec.UNSET


class _Choice(msgspec.Struct):
    index: int
    message: _Said
    logprobs: dict[str, Any] | None
    finish_reason: str


class _Reply(msgspec.Struct):
    id: str
    object: str
    created: int
    model: str
    choices: list[_Choice]
    usage: TokenCounts | None


class OpenAIChat(OpenAIDialect):
    """Chat Completions."""

    name = NAME

    def read(self, body: bytes, headers: Mapping[str, str]) -> Request:
        """Reads a request; a model that is not named stays empty."""
        given = read_object(body)
        turns = given.get("messages")
        if type(turns) is not list or not turns:
            wrong("messages", "a list with at least one message")
        params = read_params(given, _APART)
        if "max_completion_tokens" in params:  # its newer name
            params.setdefault("max_tokens", params.pop("max_completion_tokens"))
        extras: list[Any] = []
        messages = [_message(turn, index, extras) for index, turn in enumerate(turns)]
        if extras:
            params[MESSAGE_EXTRAS] = extras
        return Request(
            model=read_text(given, "model"),
            messages=messages,
            params=params,
            user=read_text(given, "user"),
            native=Native(NAME, body, {name: headers[name] for name in PASSED_HEADERS if name in headers}),
            stream=read_stream(given),
        )

    def plain(self, told: Told, completion: Completion) -> bytes:
        """Writes a `chat.completion`."""
        choices = [_choice(index, one) for index, one in enumerate((completion, *completion.choices))]
        return encode(
            _Reply(
                f"chatcmpl-{told.request_id}",
                "chat.completion",
                int(told.created_s),
                told.model,
                choices,
                counted(completion.usage),
            )
        )

    def writer(self, told: Told, request: Request) -> StreamWriter:
        """Begins a stream of `chat.completion.chunk`."""
        return ChatWriter(told, asked_for_usage(request))


def asked_for_usage(request: Request) -> bool:
    """The caller wants a last event with the usage.

    Args:
        request: As its dialect read it.
    """
    options = request.params.get("stream_options")
    return type(options) is dict and options.get("include_usage") is True


class ChatWriter(StreamWriter):
    """Writes one answer as chunks.

    Args:
        told: What it is told with.
        usage: Tell the usage in an event of its own.
    """

    __slots__ = ("_begun_calls", "_head", "_tail", "_usage")

    def __init__(self, told: Told, usage: bool) -> None:
        self._usage = usage
        identity = encode(
            {
                "id": f"chatcmpl-{told.request_id}",
                "object": "chat.completion.chunk",
                "created": int(told.created_s),
                "model": told.model,
            }
        )
        self._head = b"data: " + identity[:-1] + b',"choices":['
        self._tail = b'],"usage":null}\n\n' if usage else b"]}\n\n"
        self._begun_calls: set[int] = set()

    def begin(self) -> bytes:
        """Says who speaks."""
        return self._chunk(b'{"role":"assistant","content":"","refusal":null}')

    def piece(self, piece: Piece) -> bytes:
        """Writes a delta; what proves a thought to its provider has no field here."""
        if type(piece) is str:
            return self._chunk(b'{"content":' + encode(piece) + b"}") if piece else b""
        if type(piece) is ToolPiece:
            return self._chunk(b'{"tool_calls":[' + encode(self._call(piece)) + b"]}")
        assert type(piece) is Thought
        return self._chunk(b'{"reasoning_content":' + encode(piece.text) + b"}") if piece.text else b""

    def finish(self, completion: Completion) -> bytes:
        """Writes why it ended, the further choices, the usage where it was asked for, and `[DONE]`."""
        parts = [self._end(completion, 0)]
        for index, choice in enumerate(completion.choices, 1):
            said = {name: value for name, value in _delta(choice).items() if value}
            parts += [self._chunk(encode(said), index), self._end(choice, index)]
        counts = counted(completion.usage)
        if self._usage and counts is not None:
            parts.append(self._head + b'],"usage":' + encode(counts) + b"}\n\n")
        parts.append(_DONE)
        return b"".join(parts)

    def _chunk(self, delta: bytes, index: int = 0, logprobs: bytes = b"null", finish: bytes = b"null") -> bytes:
        return b'%b{"index":%d,"delta":%b,"logprobs":%b,"finish_reason":%b}%b' % (
            self._head,
            index,
            delta,
            logprobs,
            finish,
            self._tail,
        )

    def _end(self, completion: Completion, index: int) -> bytes:
        return self._chunk(b"{}", index, encode(completion.logprobs), encode(_finish(completion)))

    def _call(self, piece: ToolPiece) -> dict[str, Any]:
        function = {"arguments": piece.arguments}
        if piece.index in self._begun_calls and not (piece.id or piece.name):
            return {"index": piece.index, "function": function}
        named: dict[str, Any] = {"index": piece.index}
        if piece.id or piece.index not in self._begun_calls:
            named["id"] = piece.id or call_id(piece.index)
        self._begun_calls.add(piece.index)
        return {**named, "type": "function", "function": {"name": piece.name, **function}}


def call_id(index: int) -> str:
    """A name for a tool call whose provider gave it none; callers answer calls by their names."""
    return f"call_{index}"


def _finish(completion: Completion) -> str:
    return completion.finish_reason or ("tool_calls" if completion.tool_calls else "stop")


def _choice(index: int, completion: Completion) -> _Choice:
    said = _Said("assistant", completion.text)
    if completion.tool_calls:
        said.tool_calls = _calls(completion)
        said.content = completion.text or None
    if completion.reasoning:
        said.reasoning_content = completion.reasoning
    return _Choice(index, said, completion.logprobs, _finish(completion))


def _calls(completion: Completion) -> list[dict[str, Any]]:
    calls = completion.tool_calls
    if all(call.get("id") for call in calls):
        return calls
    return [{**call, "id": call.get("id") or call_id(index)} for index, call in enumerate(calls)]


def _delta(completion: Completion) -> dict[str, Any]:
    return {
        "role": "assistant",
        "reasoning_content": completion.reasoning,
        "content": completion.text,
        "tool_calls": [{"index": index, **call} for index, call in enumerate(_calls(completion))],
    }


def _message(turn: Any, index: int, extras: list[Any]) -> Message:
    """Reads a message; what it holds beside the fields of `Message` goes to `extras`, with its place."""
    if type(turn) is not dict:
        wrong(f"messages[{index}]", "an object")
    role = turn.get("role")
    if type(role) is not str or not role:
        wrong(f"messages[{index}].role", "system, developer, user, assistant or tool")
    content = turn.get("content")
    if len(turn) == 2 and type(content) is str:
        return Message(role, content)
    where = f"messages[{index}]"
    more = {name: value for name, value in turn.items() if name not in _MESSAGE_FIELDS and value not in (None, [], {})}
    if more:
        extras.append([index, more])
    calls = _tool_calls(turn.get("tool_calls"), where)
    return Message(
        role,
        _content(content, where, bool(calls)),
        read_text(turn, "name", f"{where}.") or None,
        calls,
        read_text(turn, "tool_call_id", f"{where}.") or None,
    )


def _content(content: Any, where: str, called: bool) -> str | list[dict[str, Any]] | None:
    """Reads a content; one text of which nothing else is said is a plain string, whichever way it was sent."""
    if type(content) is str:
        return content or (None if called else "")
    if content is None:
        return None
    if type(content) is not list:
        wrong(f"{where}.content", "a string or a list of parts")
    for place, part in enumerate(content):
        if type(part) is not dict or type(part.get("type")) is not str:
            wrong(f"{where}.content[{place}]", "an object with a type")
        if part["type"] == "text" and type(part.get("text")) is not str:
            wrong(f"{where}.content[{place}].text", "a string")
    if len(content) == 1 and content[0].keys() == {"type", "text"}:
        text: str = content[0]["text"]
        return text
    return content


def _tool_calls(calls: Any, where: str) -> list[dict[str, Any]] | None:
    if calls is None:
        return None
    if type(calls) is not list:
        wrong(f"{where}.tool_calls", "a list of tool calls")
    for place, call in enumerate(calls):
        if type(call) is not dict:
            wrong(f"{where}.tool_calls[{place}]", "an object")
        function = call.get("function")
        if call.get("type") != "custom" and (type(function) is not dict or type(function.get("name")) is not str):
            wrong(f"{where}.tool_calls[{place}].function", "an object with a name")
        read_text(call, "id", f"{where}.tool_calls[{place}].")
    return calls or None
