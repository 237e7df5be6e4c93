"""OpenAI's older Completions at the door, fill-in-the-middle among them.

Source: https://platform.openai.com/docs/api-reference/completions
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from beastmode.core.deltas import Piece
from beastmode.core.native import Native
from beastmode.core.types import Completion, Message, Request
from beastmode.wire.dialect import StreamWriter, Told
from beastmode.wire.openai_chat_door import asked_for_usage
from beastmode.wire.openai_completions import NAME
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

_APART = frozenset({"model", "prompt", "stream", "user"})
_OBJECT = "text_completion"


class _Choice(msgspec.Struct):
    index: int
    text: str
    logprobs: dict[str, Any] | None
    finish_reason: str | None


class _Reply(msgspec.Struct):
    id: str
    object: str
    created: int
    model: str
    choices: list[_Choice]
    usage: TokenCounts | msgspec.UnsetType | None = msgspec.UNSET


class OpenAICompletions(OpenAIDialect):
    """Completions."""

    name = NAME

    def read(self, body: bytes, headers: Mapping[str, str]) -> Request:
        """Reads a request; several prompts, and tokens, stay a parameter."""
        given = read_object(body)
        params = read_params(given, _APART)
        suffix = params.get("suffix")
        if suffix is not None and type(suffix) is not str:
            wrong("suffix", "a string")
        if suffix == "":
            del params["suffix"]
        prompt = _prompt(given.get("prompt"))
        if type(prompt) is not str:
            params["prompt"] = prompt
        return Request(
            model=read_text(given, "model"),
            messages=[Message("user", prompt)] if type(prompt) is str else [],
            params=params,
            user=read_text(given, "user"),
            kind="completion",
            native=Native(NAME, body, {name: headers[name] for name in PASSED_HEADERS if name in headers}),
            stream=read_stream(given),
        )

    def plain(self, told: Told, completion: Completion) -> bytes:
        """Writes a `text_completion`."""
        reply = _reply(told)
        reply.choices = [_choice(index, one.text, one) for index, one in enumerate((completion, *completion.choices))]
        reply.usage = counted(completion.usage)
        return encode(reply)

    def writer(self, told: Told, request: Request) -> StreamWriter:
        """Begins a stream of `text_completion`."""
        return CompletionWriter(told, asked_for_usage(request))


class CompletionWriter(StreamWriter):
    """Writes one answer as events.

    Args:
        told: What it is told with.
        usage: Tell the usage in an event of its own.
    """

    def __init__(self, told: Told, usage: bool) -> None:
        self._told = told
        self._usage = usage

    def begin(self) -> bytes:
        """Nothing: the first event is that of the first text."""
        return b""

    def piece(self, piece: Piece) -> bytes:
        """Writes a text; thoughts and tools have no place here."""
        if type(piece) is not str or not piece:
            return b""
        return self._event([_Choice(0, piece, None, None)])

    def finish(self, completion: Completion) -> bytes:
        """Writes why it ended, the further choices, the usage where it was asked for, and `[DONE]`."""
        events = [self._event([_choice(0, "", completion)])]
        events += [self._event([_choice(i, one.text, one)]) for i, one in enumerate(completion.choices, 1)]
        counts = counted(completion.usage)
        if self._usage and counts is not None:
            events.append(self._event([], counts))
        events.append(b"data: [DONE]\n\n")
        return b"".join(events)

    def _event(self, choices: list[_Choice], counts: TokenCounts | None = None) -> bytes:
        reply = _reply(self._told)
        reply.choices = choices
        if self._usage:
            reply.usage = counts
        return b"data: " + encode(reply) + b"\n\n"


def _reply(told: Told) -> _Reply:
    return _Reply(f"cmpl-{told.request_id}", _OBJECT, int(told.created_s), told.model, [])


def _choice(index: int, text: str, completion: Completion) -> _Choice:
    """A choice that ends; what was reckoned in a chat has its probabilities in another shape and keeps them."""
    logprobs = completion.logprobs
    reason = completion.finish_reason
    return _Choice(
        index,
        text,
        logprobs if logprobs is not None and "tokens" in logprobs else None,
        reason if reason is not None and reason != "tool_calls" else "stop",
    )


def _prompt(prompt: Any) -> str | list[Any]:
    """Reads a prompt: a text, a list of texts, of tokens, or of lists of tokens; one text in a list is a text."""
    if type(prompt) is str:
        return prompt
    if type(prompt) is not list or not is_text_or_tokens(prompt):
        wrong("prompt", "a string, a list of strings, or a list of tokens")
    only = prompt[0]
    return only if len(prompt) == 1 and type(only) is str else prompt


def is_text_or_tokens(given: list[Any]) -> bool:
    """It is a list of texts, of tokens, or of lists of tokens.

    Args:
        given: A list.
    """
    kinds = {type(one) for one in given}
    if kinds == {list}:
        return all(one and all(type(token) is int for token in one) for one in given)
    return kinds in ({str}, {int})
