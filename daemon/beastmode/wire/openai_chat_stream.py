"""Streams of OpenAI's Chat Completions, and of its older Completions, read piece by piece.

Source: https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

from typing import Any

import msgspec

from beastmode.core.deltas import OnDelta, Thought, ToolPiece, pieces_of
from beastmode.core.errors import MalformedReplyError
from beastmode.core.types import Completion
from beastmode.wire.openai_chat_reply import (
    Choice,
    Said,
    billing,
    decoded,
    error_in_reply,
    finish,
    present,
    reasoning_of,
    reply_decoder,
    stop_sequence,
    texts,
    tool_call,
    usage,
)
from beastmode.wire.relay import EventRelay, Took
from beastmode.wire.sse import Event

CUT_OFF = "The stream was cut off before its end."


class ChatStream:
    """Reads the stream of an answer.

    Args:
        on_delta: Gets its pieces, those of the first choice where there are several.
        relay: Hand on the bytes of its events as well.
    """

    def __init__(self, on_delta: OnDelta, relay: bool = False) -> None:
        self._on_delta = on_delta
        self._events = EventRelay(on_delta, relay)
        self._answers: dict[int, _Answer] = {}
        self._usage = msgspec.Raw()
        self._service_tier: Any = None
        self._model = ""
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
        return self._events.feed(piece, self._take)

    def finish(self) -> Completion:
        """Gives the whole answer.

        Raises:
            MalformedReplyError: The stream ended before the answer did.
        """
        if not self._done:
            self._events.finish(self._take)
        answers = list(self._answers.values())
        if not answers or not (self._done or all(answer.finish_reason for answer in answers)):
            raise MalformedReplyError(CUT_OFF)
        completion = answers[0].completion()
        completion.choices = [answer.completion() for answer in answers[1:]]
        completion.usage = usage(self._usage)
        completion.billing = billing(self._service_tier)
        completion.model = self._model
        return completion

    def whole(self, completion: Completion) -> None:
        """Takes an answer that came in one piece, though a stream was asked for."""
        for piece in pieces_of(completion):
            self._on_delta(piece)

    def _take(self, event: Event) -> Took:
        data = event.data
        if data == b"[DONE]":
            if not self._answers:
                raise MalformedReplyError(CUT_OFF)
            self._done = True
            return "last"
        chunk = decoded(reply_decoder, data)
        if present(chunk.error):
            raise error_in_reply(data)
        has_usage = present(chunk.usage)
        if has_usage:
            self._usage = chunk.usage.copy()
        if chunk.model:
            self._model = chunk.model
        if chunk.service_tier is not None:
            self._service_tier = chunk.service_tier
        if not chunk.choices:
            return "usage" if has_usage else "more"
        for choice in chunk.choices:
            answer = self._answers.get(choice.index)
            if answer is None:
                answer = self._answers[choice.index] = _Answer(None if self._answers else self._on_delta)
            answer.add(choice)
        return "more"


class _Answer:
    """One choice of a stream, as far as it has come."""

    def __init__(self, on_delta: OnDelta | None) -> None:
        self._on_delta = on_delta
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._refused = False
        self._whole = True
        self._calls = ToolCalls()
        self._logprobs: dict[str, Any] = {}
        self._stop_sequence: str | None = None
        self.finish_reason: str | None = None

    def add(self, choice: Choice) -> None:
        """Takes a piece."""
        if choice.finish_reason:
            self.finish_reason = choice.finish_reason
            self._stop_sequence = stop_sequence(choice)
        if choice.logprobs:
            self._add_logprobs(choice.logprobs)
        if choice.text:
            self._say(choice.text)
        said = choice.delta or choice.message
        if said is None:
            return
        if type(said.content) is str:
            self._say(said.content)
        elif said.content:
            text, reasoning = texts(said.content)
            self._think(reasoning)
            self._say(text)
        if said.reasoning_content or said.reasoning:
            self._think(reasoning_of(said))
        if said.refusal:
            self._refused = True
            self._say(said.refusal)
        for delta in said.tool_calls or ():
            piece = self._calls.add(delta)
            if piece is not None and self._on_delta is not None:
                self._on_delta(piece)
        self._note_what_is_lost(said)

    def completion(self) -> Completion:
        """The answer, whole."""
        return Completion(
            text="".join(self._texts),
            finish_reason="content_filter" if self._refused else finish(self.finish_reason),
            tool_calls=self._calls.calls,
            reasoning="".join(self._reasoning),
            stop_sequence=self._stop_sequence,
            logprobs=self._logprobs or None,
            whole=self._whole,
        )

    def _note_what_is_lost(self, said: Said) -> None:
        if self._whole and said.says_more():
            self._whole = False

    def _add_logprobs(self, logprobs: dict[str, Any]) -> None:
        for name, tokens in logprobs.items():
            had = self._logprobs.get(name)
            if isinstance(had, list) and isinstance(tokens, list):
                had.extend(tokens)
            elif had is None or tokens is not None:
                self._logprobs[name] = tokens

    def _say(self, text: str) -> None:
        if text:
            self._texts.append(text)
            if self._on_delta is not None:
                self._on_delta(text)

    def _think(self, text: str) -> None:
        if text:
            self._reasoning.append(text)
            if self._on_delta is not None:
                self._on_delta(Thought(text))


class ToolCalls:
    """Merges the deltas of tool calls into whole calls, in the order they began."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self._by_index: dict[int, int] = {}

    def add(self, delta: dict[str, Any]) -> ToolPiece | None:
        """Takes a delta.

        A new id begins a new call even under an old index (Gemini numbers all calls 0); a delta without an index
        belongs to the last call.

        Args:
            delta: One element of a chunk's `tool_calls`.

        Returns:
            What it adds; None where that is nothing.
        """
        index = delta.get("index")
        new = tool_call(delta)
        more = new["function"]
        place = self._by_index.get(index) if isinstance(index, int) else len(self.calls) - 1
        call = self.calls[place] if place is not None and place >= 0 else None
        if call is None or place is None or (new["id"] and call["id"] and new["id"] != call["id"]):
            if isinstance(index, int):
                self._by_index[index] = len(self.calls)
            self.calls.append(new)
            return ToolPiece(len(self.calls) - 1, new["id"], more["name"], more["arguments"])
        late_id = "" if call["id"] else new["id"]
        had = call["function"]
        late_name = "" if had["name"] else more["name"]
        call["id"] = call["id"] or late_id
        had["name"] = had["name"] or late_name
        had["arguments"] += more["arguments"]
        if not (late_id or late_name or more["arguments"]):
            return None
        return ToolPiece(place, late_id, late_name, more["arguments"])
