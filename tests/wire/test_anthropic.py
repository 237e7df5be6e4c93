"""Anthropic's Messages: replies and streams to completions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.core.errors import MalformedReplyError
from beastmode.core.types import Completion, Message, Request, Usage
from beastmode.wire.anthropic import MessageStream, decode, encode
from beastmode.wire.faults import ErrorInReplyError


def reply(*content: dict[str, Any], stop_reason: str | None = "end_turn", **fields: Any) -> bytes:
    return json.dumps(
        {"type": "message", "model": "claude-x", "content": content, "stop_reason": stop_reason, **fields}
    ).encode()


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def streamed(*events: bytes) -> tuple[Completion, list[str]]:
    deltas: list[str] = []
    stream = MessageStream(deltas.append)
    for one in events:
        stream.feed(one)
    return stream.finish(), deltas


START = event(
    "message_start",
    message={
        "model": "claude-x",
        "content": [],
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1},
    },
)
END = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 7})
STOP = event("message_stop")


def text(piece: str, index: int = 0) -> bytes:
    return event("content_block_delta", index=index, delta={"type": "text_delta", "text": piece})


class TestReplies:
    def test_text_thinking_and_tool_calls_are_told_apart(self) -> None:
        completion = decode(
            reply(
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "Let me "},
                {"type": "text", "text": "look.", "citations": None},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": "é"}},
                {"type": "server_tool_use", "id": "t2", "name": "web_search", "input": {}},
                stop_reason="tool_use",
            )
        )
        assert completion == Completion(
            text="Let me look.",
            finish_reason="tool_calls",
            model="claude-x",
            reasoning="hm",
            tool_calls=[{"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a":"é"}'}}],
        )

    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [
            ({"input_tokens": 10, "output_tokens": 3}, Usage(prompt_tokens=10, completion_tokens=3)),
            (
                {
                    "input_tokens": 10,
                    "cache_read_input_tokens": 90,
                    "cache_creation_input_tokens": 5,
                    "output_tokens": 3,
                },
                Usage(prompt_tokens=105, completion_tokens=3, cached_tokens=90, cache_write_tokens=5),
            ),
            ({"cache_read_input_tokens": 90}, Usage(cached_tokens=90)),
            ({}, Usage()),
            (None, Usage()),
        ],
    )
    def test_our_prompt_tokens_have_the_cached_ones_in(self, theirs: object, ours: Usage) -> None:
        assert decode(reply({"type": "text", "text": "x"}, usage=theirs)).usage == ours

    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [
            ("end_turn", "stop"),
            ("stop_sequence", "stop"),
            ("max_tokens", "length"),
            ("model_context_window_exceeded", "length"),
            ("tool_use", "tool_calls"),
            ("refusal", "content_filter"),
            ("pause_turn", "pause_turn"),
            (None, None),
        ],
    )
    def test_stop_reasons_have_our_names(self, theirs: str | None, ours: str | None) -> None:
        assert decode(reply({"type": "text", "text": "x"}, stop_reason=theirs)).finish_reason == ours

    @pytest.mark.parametrize(
        "raw", [b"", b"<html>", b"[]", b"{}", b'{"content": 5}', b'{"content": [5]}', b"\xff", b"[" * 100_000]
    )
    def test_what_is_no_message_is_malformed(self, raw: bytes) -> None:
        with pytest.raises(MalformedReplyError):
            decode(raw)

    @pytest.mark.parametrize(
        ("error", "status"),
        [
            ({"type": "overloaded_error", "message": "x"}, 529),
            ({"type": "rate_limit_error"}, 429),
            ({"type": "new_error"}, 502),
            ({"type": 5}, 502),
            ({}, 502),
            ("x", 502),
        ],
    )
    def test_an_error_sent_with_status_200_is_an_error(self, error: object, status: int) -> None:
        with pytest.raises(ErrorInReplyError) as caught:
            decode(json.dumps({"type": "error", "error": error}).encode())
        assert caught.value.status == status


class TestStreams:
    def test_deltas_are_the_text_and_usage_is_put_together(self) -> None:
        completion, deltas = streamed(
            START,
            event("ping"),
            event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
            text("Grü"),
            text("ße"),
            event("content_block_stop", index=0),
            event("of_the_future", anything=[1]),
            END,
            STOP,
        )
        assert deltas == ["Grü", "ße"]
        assert completion == Completion(
            text="Grüße",
            finish_reason="stop",
            model="claude-x",
            usage=Usage(prompt_tokens=15, completion_tokens=7, cached_tokens=5),
        )

    def test_thinking_and_tool_calls_are_put_together(self) -> None:
        def part(index: int, piece: str) -> bytes:
            return event("content_block_delta", index=index, delta={"type": "input_json_delta", "partial_json": piece})

        def tool(index: int, name: str) -> bytes:
            block = {"type": "tool_use", "id": f"id-{name}", "name": name, "input": {}}
            return event("content_block_start", index=index, content_block=block)

        completion, deltas = streamed(
            START,
            event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "h"}),
            event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "m"}),
            event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "s"}),
            tool(2, "g"),
            tool(1, "f"),
            part(1, '{"a"'),
            part(1, ": 1}"),
            part(7, "of no block"),
            event("message_delta", delta={"stop_reason": "tool_use"}),
            STOP,
        )
        assert deltas == []
        assert completion.reasoning == "hm"
        assert [call["id"] for call in completion.tool_calls] == ["id-f", "id-g"]
        assert [call["function"]["arguments"] for call in completion.tool_calls] == ['{"a": 1}', "{}"]

    def test_it_says_when_it_is_whole_and_reads_no_further(self) -> None:
        stream = MessageStream(lambda piece: None)
        assert not stream.feed(START + text("x"))
        assert stream.feed(END + STOP + b"data: {rubbish\n\n")
        assert stream.finish().text == "x"

    def test_the_stop_reason_is_enough_of_an_end(self) -> None:
        assert streamed(START, text("x"), END)[0].text == "x"
        assert streamed(START, text("x"), END, STOP.rstrip())[0].text == "x"

    @pytest.mark.parametrize("events", [(), (START,), (START, text("x")), (event("ping"),)])
    def test_a_stream_that_ends_before_its_answer_is_malformed(self, events: tuple[bytes, ...]) -> None:
        with pytest.raises(MalformedReplyError):
            streamed(*events)

    def test_usage_that_never_came_is_unknown(self) -> None:
        start = event("message_start", message={"model": "claude-x"})
        end = event("message_delta", delta={"stop_reason": "end_turn"})
        assert streamed(start, text("x"), end, STOP)[0].usage == Usage()

    @pytest.mark.parametrize(("kind", "status"), [("overloaded_error", 529), ("api_error", 500), ("other", 502)])
    def test_an_error_in_the_stream_is_an_error(self, kind: str, status: int) -> None:
        stream = MessageStream(lambda piece: None)
        stream.feed(START + text("x"))
        with pytest.raises(ErrorInReplyError) as caught:
            stream.feed(event("error", error={"type": kind, "message": "Overloaded"}))
        assert caught.value.status == status

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.text(min_size=1, max_size=12), max_size=8), st.integers(1, 40))
    def test_cuts_anywhere_change_nothing(self, words: list[str], size: int) -> None:
        raw = b"".join([START, *(text(word) for word in words), END, STOP])
        completion, deltas = streamed(*(raw[i : i + size] for i in range(0, len(raw), size)))
        assert deltas == words
        assert completion.text == "".join(words)

    @settings(deadline=None, max_examples=100)
    @given(st.binary(max_size=200))
    def test_rubbish_is_malformed_and_nothing_worse(self, raw: bytes) -> None:
        with pytest.raises((MalformedReplyError, ErrorInReplyError)):
            streamed(b"data: " + raw)

    def test_an_answer_in_one_piece_is_one_delta(self) -> None:
        deltas: list[str] = []
        stream = MessageStream(deltas.append)
        stream.whole(Completion(text="hello"))
        stream.whole(Completion(text=""))
        assert deltas == ["hello"]


def test_a_stream_is_asked_for() -> None:
    ask = Request(model="m", messages=[Message(role="user", content="hi")])
    assert json.loads(encode(ask, "claude-x", True))["stream"] is True
    assert "stream" not in json.loads(encode(ask, "claude-x", False))
