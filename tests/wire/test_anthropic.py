"""Anthropic's Messages: replies and streams to completions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.core.deltas import Delta, Thought, ToolPiece
from beastmode.core.errors import MalformedReplyError
from beastmode.core.types import Completion, Message, Request, Usage
from beastmode.wire.anthropic import MessageStream, decode, decode_count, encode, encode_count
from beastmode.wire.faults import ErrorInReplyError


def reply(*content: dict[str, Any], stop_reason: str | None = "end_turn", **fields: Any) -> bytes:
    return json.dumps(
        {"type": "message", "model": "claude-x", "content": content, "stop_reason": stop_reason, **fields}
    ).encode()


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def streamed(*events: bytes) -> tuple[Completion, list[Delta]]:
    deltas: list[Delta] = []
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
                {"type": "thinking", "thinking": "hm", "signature": ""},
                {"type": "text", "text": "Let me "},
                {"type": "text", "text": "look.", "citations": None},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": "é"}, "caller": {"type": "direct"}},
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
        "blocks",
        [
            [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "x"}],
            [{"type": "redacted_thinking", "data": "s"}, {"type": "text", "text": "x"}],
            [{"type": "text", "text": "x"}, {"type": "thinking", "thinking": "hm", "signature": ""}],
            [{"type": "tool_use", "id": "t", "name": "f", "input": {}}, {"type": "text", "text": "x"}],
        ],
    )
    def test_content_whose_order_or_proof_counts_is_kept_as_blocks(self, blocks: list[dict[str, Any]]) -> None:
        completion = decode(reply(*blocks))
        assert completion.blocks == blocks
        assert completion.text == "x"
        assert completion.whole

    @pytest.mark.parametrize(
        "block",
        [
            {"type": "server_tool_use", "id": "t2", "name": "web_search", "input": {}},
            {"type": "web_search_tool_result", "tool_use_id": "t2", "content": []},
            {"type": "text", "text": "", "citations": [{"type": "char_location", "cited_text": "a"}]},
        ],
    )
    def test_what_no_stream_can_tell_anew_is_kept_but_not_whole(self, block: dict[str, Any]) -> None:
        completion = decode(reply({"type": "text", "text": "x"}, block))
        assert completion.blocks == [{"type": "text", "text": "x"}, block]
        assert not completion.whole

    def test_an_answer_that_lives_in_a_container_is_not_whole(self) -> None:
        assert not decode(reply({"type": "text", "text": "x"}, container={"id": "c"})).whole
        assert decode(reply({"type": "text", "text": "x"}, container=None)).whole

    def test_the_stop_sequence_is_kept(self) -> None:
        completion = decode(reply({"type": "text", "text": "x"}, stop_reason="stop_sequence", stop_sequence="END"))
        assert (completion.finish_reason, completion.stop_sequence) == ("stop", "END")

    def test_a_count_of_tokens_is_read(self) -> None:
        assert decode_count(b'{"input_tokens": 42}').usage == Usage(prompt_tokens=42)
        for raw in (b"{}", b"[]", b"x", b'{"input_tokens": "x"}'):
            with pytest.raises(MalformedReplyError):
                decode_count(raw)

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
            (
                {"input_tokens": 1, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 7}},
                Usage(prompt_tokens=1, completion_tokens=9, reasoning_tokens=7),
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
        "raw",
        [
            b"",
            b"<html>",
            b"[]",
            b"{}",
            b'{"content": 5}',
            b'{"content": [5]}',
            b'{"content":[{"type":[]}]}',
            b'{"content":[{"type":"text","text":5}]}',
            b"\xff",
            b"[" * 100_000,
        ],
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
        assert deltas == [
            Thought("h"),
            Thought("m"),
            Thought(signature="s"),
            ToolPiece(0, "id-g", "g"),
            ToolPiece(1, "id-f", "f"),
            ToolPiece(1, arguments='{"a"'),
            ToolPiece(1, arguments=": 1}"),
            ToolPiece(0, arguments="{}"),
        ]
        assert completion.reasoning == "hm"
        assert [call["id"] for call in completion.tool_calls] == ["id-g", "id-f"]
        assert [call["function"]["arguments"] for call in completion.tool_calls] == ["{}", '{"a": 1}']
        assert completion.blocks == [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "tool_use", "id": "id-g", "name": "g", "input": {}},
            {"type": "tool_use", "id": "id-f", "name": "f", "input": {"a": 1}},
        ]
        assert not completion.whole  # a piece of no block

    def test_arguments_that_were_cut_off_are_kept_as_they_came(self) -> None:
        block = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
        thought = {"type": "redacted_thinking", "data": "s"}
        completion, _ = streamed(
            START,
            event("content_block_start", index=0, content_block=thought),
            event("content_block_start", index=1, content_block=block),
            event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": '{"a'}),
            event("message_delta", delta={"stop_reason": "max_tokens"}),
            STOP,
        )
        assert completion.tool_calls[0]["function"]["arguments"] == '{"a'
        assert completion.blocks == [thought, block | {"input": {"arguments": '{"a'}}]

    def test_citations_searches_and_stop_sequences_are_put_together(self) -> None:
        search = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}
        place = {"type": "char_location", "cited_text": "a"}
        completion, deltas = streamed(
            START,
            event("content_block_start", index=0, content_block=search),
            event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": '{"query":"q"}'}),
            event("content_block_stop", index=0),
            event("content_block_start", index=1, content_block={"type": "text", "text": "", "citations": []}),
            event("content_block_delta", index=1, delta={"type": "citations_delta", "citation": place}),
            text("x", index=1),
            event("message_delta", delta={"stop_reason": "stop_sequence", "stop_sequence": "END"}),
            STOP,
        )
        assert deltas == ["x"]
        assert completion.blocks == [
            search | {"input": {"query": "q"}},
            {"type": "text", "text": "x", "citations": [place]},
        ]
        assert completion.stop_sequence == "END"
        assert not completion.whole

    @pytest.mark.parametrize(
        "odd",
        [
            event("content_block_delta", index=0, delta={"type": "delta_of_the_future", "more": 1}),
            event("message_delta", delta={"stop_reason": "end_turn", "container": {"id": "c"}}),
        ],
    )
    def test_what_can_not_be_put_together_makes_it_less_than_whole(self, odd: bytes) -> None:
        assert not streamed(START, text("x"), odd, END, STOP)[0].whole

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
        deltas: list[Delta] = []
        stream = MessageStream(deltas.append)
        stream.whole(Completion(text="hello", reasoning="hm"))
        stream.whole(Completion(text=""))
        assert deltas == [Thought("hm"), "hello"]


def test_a_stream_is_asked_for() -> None:
    ask = Request(model="m", messages=[Message(role="user", content="hi")])
    assert json.loads(encode(ask, "claude-x", True))["stream"] is True
    assert "stream" not in json.loads(encode(ask, "claude-x", False))


def test_a_count_asks_nothing_about_the_answer() -> None:
    params = {"max_tokens": 5, "temperature": 0.5, "stop": ["x"], "top_k": 1, "thinking": {"type": "disabled"}}
    ask = Request(model="m", messages=[Message(role="user", content="hi")], params=params)
    assert json.loads(encode_count(ask, "claude-x")).keys() == {"model", "messages", "thinking"}
