"""Chat Completions: requests to bytes, bytes to completions, plain and streamed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.core.deltas import Delta, Thought, ToolPiece
from beastmode.core.errors import MalformedReplyError
from beastmode.core.native import Native
from beastmode.core.types import Completion, Message, Request, Usage
from beastmode.wire.faults import ErrorInReplyError
from beastmode.wire.openai_chat import ChatStream, decode, encode, model_names


def reply(message: dict[str, Any], finish_reason: str | None = "stop", **fields: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish_reason}
    return json.dumps({"choices": [choice], "model": "m-1", **fields}).encode()


def chunk(delta: dict[str, Any] | None = None, finish_reason: str | None = None, **fields: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    return b"data: " + json.dumps({"choices": choices, "model": "m-1", **fields}).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
STOP = chunk({}, "stop")


def streamed(*events: bytes) -> tuple[Completion, list[Delta]]:
    deltas: list[Delta] = []
    stream = ChatStream(deltas.append)
    for event in events:
        stream.feed(event)
    return stream.finish(), deltas


class TestReplies:
    def test_text_finish_reason_model_and_usage(self) -> None:
        usage = {
            "prompt_tokens": 9,
            "completion_tokens": 5,
            "total_tokens": 14,
            "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 2},
        }
        assert decode(reply({"content": "hello"}, usage=usage, id="x", unknown=[1])) == Completion(
            text="hello",
            finish_reason="stop",
            model="m-1",
            usage=Usage(prompt_tokens=9, completion_tokens=5, cached_tokens=4, reasoning_tokens=2),
        )

    @pytest.mark.parametrize("usage", [None, {}, "many", {"prompt_tokens": "9"}, {"prompt_tokens": -1}, [1]])
    def test_a_usage_that_is_missing_or_odd_is_unknown_and_costs_no_answer(self, usage: object) -> None:
        completion = decode(reply({"content": "hello"}, usage=usage))
        assert completion.text == "hello"
        assert completion.usage == Usage()

    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [
            ("stop", "stop"),
            ("length", "length"),
            ("tool_calls", "tool_calls"),
            ("content_filter", "content_filter"),
            ("function_call", "tool_calls"),
            ("eos", "stop"),
            ("model_length", "length"),
            ("abort", "abort"),
            (None, None),
            ("", None),
        ],
    )
    def test_finish_reasons_have_our_names(self, theirs: str | None, ours: str | None) -> None:
        assert decode(reply({"content": "x"}, theirs)).finish_reason == ours

    def test_tool_calls_are_complete_and_their_arguments_are_text(self) -> None:
        calls = [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}, "index": 0},
            {"function": {"name": "g", "arguments": {"b": 2}}},
        ]
        assert decode(reply({"content": None, "tool_calls": calls}, "tool_calls")).tool_calls == [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
            {"id": "", "type": "function", "function": {"name": "g", "arguments": '{"b":2}'}},
        ]

    @pytest.mark.parametrize(
        "message",
        [
            {"content": "4", "reasoning_content": "2+2"},
            {"content": "4", "reasoning": "2+2"},
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "2+2"}]},
                    {"type": "text", "text": "4"},
                ]
            },
            {
                "content": [{"type": "thinking", "thinking": "2+2"}, {"type": "text", "text": "4"}],
                "reasoning": {"x": 1},
            },
        ],
    )
    def test_reasoning_is_kept_apart_from_the_text(self, message: dict[str, Any]) -> None:
        completion = decode(reply(message))
        assert (completion.text, completion.reasoning) == ("4", "2+2")

    @pytest.mark.parametrize(
        "more",
        [
            {"audio": {"id": "a"}},
            {"annotations": [{"type": "url_citation"}]},
            {"function_call": {"name": "f", "arguments": "{}"}},
            {"reasoning_details": [{"type": "reasoning.encrypted"}]},
            {"images": [{}]},
            {"refusal": "No."},
            {"tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}}]},
        ],
    )
    def test_what_no_field_can_say_makes_an_answer_less_than_whole(self, more: dict[str, Any]) -> None:
        assert not decode(reply({"content": "x", **more})).whole
        assert not streamed(chunk({"content": "x"}), chunk(more), STOP)[0].whole
        nothing = dict.fromkeys(more)
        assert decode(reply({"content": "x", **nothing, "annotations": []})).whole
        assert streamed(chunk({"content": "x", **nothing}), STOP)[0].whole

    def test_the_text_at_which_it_ended_where_the_server_names_it(self) -> None:
        choice = {"message": {"content": "x"}, "finish_reason": "stop", "stop_reason": "END"}
        assert decode(json.dumps({"choices": [choice]}).encode()).stop_sequence == "END"
        assert decode(json.dumps({"choices": [{**choice, "stop_reason": 7}]}).encode()).stop_sequence is None

    def test_a_cache_is_counted_where_the_server_counts_it(self) -> None:
        usage = {"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 8}
        assert decode(reply({"content": "x"}, usage=usage)).usage.cached_tokens == 8

    def test_a_refusal_is_a_text_that_was_filtered(self) -> None:
        completion = decode(reply({"content": None, "refusal": "I can not."}))
        assert (completion.text, completion.finish_reason) == ("I can not.", "content_filter")

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"<html>",
            b"\xff",
            b"null",
            b"[]",
            b"{}",
            b'{"choices": []}',
            b'{"choices": null}',
            b'{"choices": [{}]}',
            b'{"choices": [{"message": null}]}',
            b'{"choices": [{"message": {"content": 5}}]}',
            b'{"choices": [{"message": {"content": "cut',
            b'{"a":' * 100_000,
        ],
    )
    def test_what_is_no_chat_completion_is_malformed(self, raw: bytes) -> None:
        with pytest.raises(MalformedReplyError):
            decode(raw)

    @pytest.mark.parametrize(
        ("error", "status"),
        [
            ({"message": "x", "code": 429}, 429),
            ({"message": "x", "code": "401"}, 401),
            ({"message": "x", "type": "rate_limit_exceeded"}, 429),
            ({"message": "x", "type": "invalid_request_error", "code": None}, 400),
            ({"message": "x", "code": 7}, 502),
            ({"message": "x", "code": 200}, 502),
            ("overloaded", 502),
        ],
    )
    def test_an_error_sent_with_status_200_is_an_error(self, error: object, status: int) -> None:
        raw = json.dumps({"error": error}).encode()
        with pytest.raises(ErrorInReplyError) as caught:
            decode(raw)
        assert caught.value.status == status
        assert caught.value.body == raw

    def test_an_error_that_can_not_be_read_is_one_all_the_same(self) -> None:
        with pytest.raises(ErrorInReplyError) as caught:
            decode(b'{"error": "\xff"}')
        assert caught.value.status == 502

    def test_a_null_error_is_none(self) -> None:
        assert decode(reply({"content": "x"}, error=None)).text == "x"


class TestStreams:
    def test_deltas_are_the_text_and_the_last_usage_counts(self) -> None:
        completion, deltas = streamed(
            chunk({"role": "assistant", "content": ""}),
            chunk({"content": "Grü"}, usage={"prompt_tokens": 3, "completion_tokens": 1}),
            chunk({"content": "ße"}, usage=None),
            STOP,
            chunk(usage={"prompt_tokens": 3, "completion_tokens": 2}),
            chunk(usage=None),
            DONE,
        )
        assert deltas == ["Grü", "ße"]
        assert completion == Completion(
            text="Grüße", finish_reason="stop", model="m-1", usage=Usage(prompt_tokens=3, completion_tokens=2)
        )

    def test_usage_that_never_came_is_unknown(self) -> None:
        assert streamed(chunk({"content": "x"}), STOP, DONE)[0].usage == Usage()

    @settings(deadline=None, max_examples=60)
    @given(st.lists(st.text(min_size=1, max_size=12), max_size=8), st.integers(1, 40))
    def test_cuts_anywhere_change_nothing(self, words: list[str], size: int) -> None:
        raw = b"".join([*(chunk({"content": word}) for word in words), STOP, DONE])
        completion, deltas = streamed(*(raw[i : i + size] for i in range(0, len(raw), size)))
        assert deltas == words
        assert completion.text == "".join(words)

    def test_it_says_when_it_is_whole_and_reads_no_further(self) -> None:
        stream = ChatStream(lambda text: None)
        assert not stream.feed(chunk({"content": "x"}))
        assert stream.feed(STOP + DONE + b"data: {rubbish\n\n")
        assert stream.finish().text == "x"

    @pytest.mark.parametrize("end", [(DONE,), (STOP,), (STOP, b"data: [DONE]")])
    def test_either_sign_of_the_end_is_enough(self, end: tuple[bytes, ...]) -> None:
        assert streamed(chunk({"content": "x"}), *end)[0].text == "x"

    @pytest.mark.parametrize(
        "events", [(), (chunk({"content": "x"}),), (DONE,), (b": ping\n\n",), (chunk({"content": "x"}), b"data: {")]
    )
    def test_a_stream_that_ends_before_its_answer_is_malformed(self, events: tuple[bytes, ...]) -> None:
        with pytest.raises(MalformedReplyError):
            streamed(*events)

    def test_tool_calls_are_put_together(self) -> None:
        completion, deltas = streamed(
            chunk({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f"}}]}),
            chunk({"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g", "arguments": '{"y"'}}]}),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"x"'}}]}),
            chunk(
                {
                    "tool_calls": [
                        {"index": 1, "function": {"arguments": ":2}"}},
                        {"index": 0, "function": {"arguments": ":1}"}},
                    ]
                }
            ),
            chunk({}, "tool_calls"),
            DONE,
        )
        assert deltas == [
            ToolPiece(0, "a", "f"),
            ToolPiece(1, "b", "g", '{"y"'),
            ToolPiece(0, arguments='{"x"'),
            ToolPiece(1, arguments=":2}"),
            ToolPiece(0, arguments=":1}"),
        ]
        assert completion.tool_calls == [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": '{"y":2}'}},
        ]

    def test_calls_that_share_an_index_are_told_apart_by_their_ids(self) -> None:
        calls = [{"index": 0, "id": name, "function": {"name": "f", "arguments": "{}"}} for name in "ab"]
        completion, _ = streamed(chunk({"tool_calls": calls}), chunk({}, "tool_calls"))
        assert [call["id"] for call in completion.tool_calls] == ["a", "b"]

    def test_a_delta_without_an_index_belongs_to_the_last_call(self) -> None:
        first, more = {"id": "a", "function": {"name": "f", "arguments": "{"}}, {"function": {"arguments": "}"}}
        completion, _ = streamed(chunk({"tool_calls": [first]}), chunk({"tool_calls": [more]}), DONE)
        assert completion.tool_calls[0]["function"] == {"name": "f", "arguments": "{}"}

    def test_reasoning_and_refusals_are_told_from_text(self) -> None:
        completion, deltas = streamed(chunk({"reasoning_content": "hm"}), chunk({"refusal": "No."}), STOP)
        assert (completion.reasoning, completion.text, completion.finish_reason) == ("hm", "No.", "content_filter")
        assert deltas == [Thought("hm"), "No."]

    def test_a_late_name_is_handed_on_when_it_comes(self) -> None:
        first, late = {"index": 0, "function": {"arguments": ""}}, {"index": 0, "id": "a", "function": {"name": "f"}}
        completion, deltas = streamed(chunk({"tool_calls": [first, late, first]}), chunk({}, "tool_calls"))
        assert completion.tool_calls[0]["id"] == "a"
        assert deltas == [ToolPiece(0), ToolPiece(0, "a", "f")]

    def test_a_stream_of_several_choices_is_whole_when_all_of_them_ended(self) -> None:
        second = {"index": 1, "delta": {"content": "y"}, "finish_reason": None}
        both = b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": "x"}}, second]}).encode() + b"\n\n"
        with pytest.raises(MalformedReplyError):
            streamed(both, STOP)
        assert [one.text for one in streamed(both, STOP, DONE)[0].choices] == ["y"]

    @pytest.mark.parametrize("error", [{"message": "overloaded", "code": 503}, "overloaded"])
    def test_an_error_in_the_stream_is_an_error(self, error: object) -> None:
        stream = ChatStream(lambda text: None)
        stream.feed(chunk({"content": "x"}))
        with pytest.raises(ErrorInReplyError):
            stream.feed(b"data: " + json.dumps({"error": error}).encode() + b"\n\n")

    @settings(deadline=None, max_examples=100)
    @given(st.binary(max_size=200))
    def test_rubbish_is_malformed_and_nothing_worse(self, raw: bytes) -> None:
        with pytest.raises((MalformedReplyError, ErrorInReplyError)):
            streamed(b"data: " + raw.replace(b"[DONE]", b""))

    def test_an_answer_in_one_piece_is_one_delta(self) -> None:
        deltas: list[Delta] = []
        stream = ChatStream(deltas.append)
        stream.whole(Completion(text="hello"))
        stream.whole(Completion(text=""))
        assert deltas == ["hello"]


def test_names_of_models_are_read() -> None:
    assert model_names(b'{"object": "list", "data": [{"id": "a", "owned_by": "x"}, {"id": "b"}]}') == ["a", "b"]
    assert model_names(b'{"data": null}') == []
    for raw in (b"[]", b"{}", b'{"data": [{"name": "a"}]}', b"<html>"):
        with pytest.raises(MalformedReplyError):
            model_names(raw)


class TestRolesThatEveryTemplateKnows:
    """A request that came in another protocol is said to a chat model with what its template surely knows."""

    def sent(self, messages: list[Message], protocol: str = "anthropic_messages") -> list[dict[str, Any]]:
        request = Request(model="m", messages=messages, native=Native(protocol, b"{}"))
        found: list[dict[str, Any]] = json.loads(encode(request, "m", False))["messages"]
        return found

    def test_a_developer_is_the_system(self) -> None:
        found = self.sent([Message("system", "a"), Message("developer", "b"), Message("user", "c")])
        assert [one["role"] for one in found] == ["system", "system", "user"]

    def test_what_the_system_says_later_is_added_to_what_the_user_says(self) -> None:
        found = self.sent(
            [Message("system", "a"), Message("user", "b"), Message("system", "c"), Message("assistant", "d")]
        )
        assert found == [
            {"role": "system", "content": "a"},
            {"role": "user", "content": "b\n\nc"},
            {"role": "assistant", "content": "d"},
        ]

    def test_after_an_answer_it_is_a_message_of_the_user(self) -> None:
        found = self.sent([Message("user", "b"), Message("assistant", "d"), Message("developer", "c")])
        assert [one["role"] for one in found] == ["user", "assistant", "user"]

    def test_texts_of_a_system_prompt_become_one(self) -> None:
        parts = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"}]
        assert self.sent([Message("system", parts), Message("user", "c")])[0]["content"] == "a\n\nb"

    def test_a_chat_goes_on_as_it_came(self) -> None:
        messages = [Message("user", "b"), Message("developer", "c")]
        assert [one["role"] for one in self.sent(messages, "openai_chat")] == ["user", "developer"]
