"""Chat Completions at the door: what is read from a request, how answers, streams and errors are written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.cache.key import make_key
from beastmode.core import errors
from beastmode.core.deltas import Piece, Thought, ToolPiece, pieces_of
from beastmode.core.types import Completion, Message, Request, Usage
from beastmode.wire.dialect import Told
from beastmode.wire.openai_chat import MESSAGE_EXTRAS, ChatStream, decode
from beastmode.wire.openai_chat_door import OpenAIChat

CHAT = OpenAIChat()
TOLD = Told("r1", "custom:m", 1700000000.9)
HI = [{"role": "user", "content": "hi"}]
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}


def read(**fields: Any) -> Request:
    return CHAT.read(json.dumps({"model": "m", "messages": HI, **fields}).encode(), {})


class TestReading:
    def test_the_fields_of_a_request_and_its_bytes(self) -> None:
        body = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true,"user":"u","seed":1,"new":[2]}'
        request = CHAT.read(body, {"openai-beta": "b", "authorization": "Bearer x", "openai-organization": "o"})
        assert (request.model, request.messages, request.kind) == ("m", [Message("user", "hi")], "chat")
        assert (request.stream, request.user, request.params) == (True, "u", {"seed": 1, "new": [2]})
        assert request.native is not None
        assert request.native.protocol == "openai_chat"
        assert request.native.body is body
        assert request.native.headers == {"openai-beta": "b"}

    def test_a_model_that_is_not_named_stays_empty(self) -> None:
        assert CHAT.read(json.dumps({"messages": HI}).encode(), {}).model == ""
        assert read(model=None).model == ""

    def test_what_means_the_same_has_one_key(self) -> None:
        plain = make_key(read())
        assert make_key(read(messages=[{"role": "user", "content": [{"type": "text", "text": "hi"}]}])) == plain
        assert make_key(read(messages=[{"role": "user", "content": "hi", "refusal": None, "annotations": []}])) == plain
        assert make_key(read(n=1, seed=None, stream=True, stream_options={"include_usage": True})) == plain
        assert make_key(read(max_completion_tokens=5)) == make_key(read(max_tokens=5))
        assert make_key(read(max_tokens=-1)) == plain  # as programs for local servers say that there is no bound
        assert make_key(read(stop="x")) == make_key(read(stop=["x"]))
        called = {"role": "assistant", "tool_calls": [CALL]}
        assert make_key(read(messages=[{**called, "content": ""}])) == make_key(read(messages=[called]))

    @pytest.mark.parametrize(
        "message",
        [
            {"role": "assistant", "content": "x", "reasoning_content": "hm"},
            {"role": "assistant", "content": "x", "refusal": "no"},
            {"role": "assistant", "content": "x", "audio": {"id": "a"}},
            {"role": "assistant", "content": "x", "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "assistant", "content": "x", "name": "bob"},
        ],
    )
    def test_what_else_a_message_holds_joins_the_key(self, message: dict[str, Any]) -> None:
        plain = {"role": "assistant", "content": "x"}
        assert make_key(read(messages=[*HI, message, *HI])) != make_key(read(messages=[*HI, plain, *HI]))

    def test_extras_of_messages_have_their_place(self) -> None:
        request = read(messages=[*HI, {"role": "assistant", "content": "x", "audio": {"id": "a"}}])
        assert request.params[MESSAGE_EXTRAS] == [[1, {"audio": {"id": "a"}}]]

    def test_tools_and_their_results(self) -> None:
        messages = [
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "42"}]},
        ]
        assert read(messages=messages).messages == [
            Message("assistant", None, None, [CALL]),
            Message("tool", "42", tool_call_id="c1"),
        ]

    @pytest.mark.parametrize(
        "name",
        [
            "api_base",
            "base_url",
            "api_key",
            "organization",
            "custom_llm_provider",
            "api_version",
            "headers",
            "baseURL",
            "apiKey",
            "endpoint",
        ],
    )
    def test_a_request_chooses_no_endpoint_and_no_key(self, name: str) -> None:
        with pytest.raises(errors.BadInputError, match=name) as caught:
            read(**{name: "http://evil"})
        assert "register" in caught.value.tips[0]

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"messages": None}, "messages"),
            ({"messages": []}, "messages"),
            ({"messages": "hi"}, "messages"),
            ({"messages": ["hi"]}, r"messages\[0\]"),
            ({"messages": [*HI, {"content": "x"}]}, r"messages\[1\].role"),
            ({"messages": [{"role": 5, "content": "x"}]}, r"messages\[0\].role"),
            ({"messages": [{"role": "user", "content": 5}]}, r"messages\[0\].content"),
            ({"messages": [{"role": "user", "content": ["x"]}]}, r"messages\[0\].content\[0\]"),
            ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, r"messages\[0\].content\[0\].text"),
            ({"messages": [{"role": "user", "content": "x", "name": 5}]}, r"messages\[0\].name"),
            ({"messages": [{"role": "assistant", "tool_calls": {}}]}, r"messages\[0\].tool_calls"),
            ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, r"messages\[0\].tool_calls\[0\].function"),
            ({"model": 5}, "model"),
            ({"user": 5}, "user"),
            ({"stream": "yes"}, "stream"),
            ({"temperature": "hot"}, "temperature"),
            ({"temperature": True}, "temperature"),
            ({"max_tokens": -2}, "max_tokens"),
            ({"n": 1.5}, "n"),
            ({"tools": {}}, "tools"),
            ({"tools": ["f"]}, "tools"),
            ({"stop": [5]}, "stop"),
            ({"response_format": "json"}, "response_format"),
            ({"stream_options": True}, "stream_options"),
            (
                {"messages": [{"role": "assistant", "tool_calls": [{"id": 1, "function": {"name": "f"}}]}]},
                r"messages\[0\].tool_calls\[0\].id",
            ),
        ],
    )
    def test_a_wrong_field_is_named(self, fields: dict[str, Any], named: str) -> None:
        with pytest.raises(errors.BadInputError, match=named) as caught:
            read(**fields)
        error = json.loads(CHAT.error(caught.value, 400))["error"]
        assert (error["type"], error["code"]) == ("invalid_request_error", "bad_input")
        assert error["param"] == caught.value.details["param"]

    @pytest.mark.parametrize(
        "body", [b"", b"[]", b"null", b"{", b"\xff", b'{"a":' * 100_000, b'{"messages":' + b"[" * 100_000]
    )
    def test_what_is_no_object_is_bad_input(self, body: bytes) -> None:
        with pytest.raises(errors.BadInputError):
            CHAT.read(body, {})

    @settings(deadline=None, max_examples=200)
    @given(
        st.dictionaries(
            st.sampled_from(["model", "messages", "stream", "user", "tools", "stop", "n", "x", "temperature"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.text(max_size=3),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(
                        st.sampled_from(["role", "content", "type", "text", "tool_calls", "function", "name"]), inner
                    )
                ),
                max_leaves=12,
            ),
        )
    )
    def test_anything_else_is_read_or_refused(self, body: dict[str, Any]) -> None:
        try:
            request = CHAT.read(json.dumps(body).encode(), {})
        except errors.BadInputError as error:
            assert error.tips
        else:
            assert make_key(request).exact


USAGE = Usage(prompt_tokens=9, completion_tokens=5, cached_tokens=4, cache_write_tokens=1, reasoning_tokens=2)
LOGPROBS = {"content": [{"token": "hi", "logprob": -0.5, "bytes": [104], "top_logprobs": []}], "refusal": None}
ANSWERS = [
    Completion(text="grüße 🦁", finish_reason="stop", usage=USAGE),
    Completion(text="", finish_reason="stop", usage=USAGE),
    Completion(text="cut", finish_reason="length", usage=USAGE),
    Completion(text="4", reasoning="2+2", finish_reason="stop", usage=USAGE),
    Completion(text="", tool_calls=[CALL, {**CALL, "id": "c2"}], finish_reason="tool_calls", usage=USAGE),
    Completion(text="let me see", tool_calls=[CALL], finish_reason="tool_calls", usage=USAGE),
    Completion(text="hi", logprobs=LOGPROBS, finish_reason="stop", usage=USAGE),
    Completion(text="a", finish_reason="stop", usage=USAGE, choices=[Completion(text="b", finish_reason="length")]),
    Completion(text="?", finish_reason="stop"),
]


def streamed(completion: Completion, pieces: list[Piece] | None = None, **fields: Any) -> bytes:
    writer = CHAT.writer(TOLD, read(stream=True, **fields))
    parts = pieces if pieces is not None else list(pieces_of(completion))
    return writer.begin() + b"".join(map(writer.piece, parts)) + writer.finish(completion)


def chunks(raw: bytes) -> list[dict[str, Any]]:
    events = raw.split(b"\n\n")
    assert events[-2:] == [b"data: [DONE]", b""]
    return [json.loads(event.removeprefix(b"data: ")) for event in events[:-2]]


class TestWriting:
    @pytest.mark.parametrize("completion", ANSWERS)
    def test_an_answer_that_is_written_is_read_back_as_it_was(self, completion: Completion) -> None:
        again = decode(CHAT.plain(TOLD, completion))
        again.model = ""
        assert again == completion

    @pytest.mark.parametrize("completion", ANSWERS)
    def test_a_stream_that_is_written_is_read_back_as_it_was(self, completion: Completion) -> None:
        pieces: list[Any] = []
        reader = ChatStream(pieces.append)
        assert reader.feed(streamed(completion, stream_options={"include_usage": True}))
        again = reader.finish()
        again.model = ""
        assert again == completion
        assert pieces == list(pieces_of(completion))

    def test_the_object_is_that_of_openai(self) -> None:
        reply = json.loads(CHAT.plain(TOLD, ANSWERS[0]))
        assert reply == {
            "id": "chatcmpl-r1",
            "object": "chat.completion",
            "created": 1700000000,
            "model": "custom:m",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "grüße 🦁", "refusal": None},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {
                "prompt_tokens": 9,
                "completion_tokens": 5,
                "total_tokens": 14,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
        }

    def test_unknown_is_not_zero(self) -> None:
        assert json.loads(CHAT.plain(TOLD, Completion(text="x")))["usage"] is None
        half = Completion(text="x", usage=Usage(prompt_tokens=3))
        counts = {"prompt_tokens": 3, "completion_tokens": None, "total_tokens": None}
        assert json.loads(CHAT.plain(TOLD, half))["usage"] == counts

    def test_a_content_is_null_only_where_tools_are_called(self) -> None:
        contents = [json.loads(CHAT.plain(TOLD, one))["choices"][0]["message"]["content"] for one in ANSWERS]
        assert contents == ["grüße 🦁", "", "cut", "4", None, "let me see", "hi", "a", "?"]

    def test_calls_without_a_name_get_one(self) -> None:
        calls = [{"id": "", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
        completion = Completion(text="", tool_calls=calls)
        assert json.loads(CHAT.plain(TOLD, completion))["choices"][0]["message"]["tool_calls"][0]["id"] == "call_0"
        assert b'"id":"call_0"' in streamed(completion)

    def test_why_it_ended_is_always_told(self) -> None:
        assert json.loads(CHAT.plain(TOLD, Completion(text="x")))["choices"][0]["finish_reason"] == "stop"
        called = Completion(text="", tool_calls=[CALL])
        assert json.loads(CHAT.plain(TOLD, called))["choices"][0]["finish_reason"] == "tool_calls"

    def test_the_chunks_of_a_stream(self) -> None:
        pieces: list[Piece] = [Thought("hm"), "a", "", Thought(signature="s"), Thought(redacted="r"), "b"]
        pieces += [ToolPiece(0, "c1", "f"), ToolPiece(0, arguments='{"a"'), ToolPiece(1, "c2", "g", "{}")]
        all_of_them = chunks(streamed(Completion(text="ab", finish_reason="tool_calls", usage=USAGE), pieces))
        assert all(
            {key: chunk[key] for key in ("id", "object", "created", "model")}
            == {"id": "chatcmpl-r1", "object": "chat.completion.chunk", "created": 1700000000, "model": "custom:m"}
            for chunk in all_of_them
        )
        first, second = {"name": "f", "arguments": ""}, {"name": "g", "arguments": "{}"}
        assert [chunk["choices"][0]["delta"] for chunk in all_of_them] == [
            {"role": "assistant", "content": "", "refusal": None},
            {"reasoning_content": "hm"},
            {"content": "a"},
            {"content": "b"},
            {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": first}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]},
            {"tool_calls": [{"index": 1, "id": "c2", "type": "function", "function": second}]},
            {},
        ]
        assert [chunk["choices"][0]["finish_reason"] for chunk in all_of_them] == [None] * 7 + ["tool_calls"]
        assert not any("usage" in chunk for chunk in all_of_them)

    def test_usage_is_told_in_a_stream_to_those_who_ask(self) -> None:
        asked = {"stream_options": {"include_usage": True}}
        all_of_them = chunks(streamed(ANSWERS[0], **asked))
        assert [chunk["usage"] for chunk in all_of_them[:-1]] == [None] * 3
        assert all_of_them[-1]["choices"] == []
        assert all_of_them[-1]["usage"]["total_tokens"] == 14
        assert len(chunks(streamed(Completion(text="x"), **asked))) == 3  # nothing is known


class TestErrors:
    @pytest.mark.parametrize(
        ("error", "status", "kind", "code"),
        [
            (errors.BadInputError("x"), 400, "invalid_request_error", "bad_input"),
            (errors.AccessError("x"), 401, "authentication_error", "invalid_api_key"),
            (errors.UnknownModelError("x"), 404, "not_found_error", "model_not_found"),
            (errors.ContextTooLongError("x"), 400, "invalid_request_error", "context_length_exceeded"),
            (errors.RateLimitedError("x"), 429, "rate_limit_error", "rate_limit_exceeded"),
            (
                errors.NoHealthyModelError("x", details={"cause": "rate_limited"}),
                429,
                "rate_limit_error",
                "rate_limit_exceeded",
            ),
            (errors.BudgetError("x"), 402, "insufficient_quota", "insufficient_quota"),
            (errors.UpstreamError("x"), 503, "api_error", "upstream"),
            (errors.BadRequestError("x"), 413, "invalid_request_error", "bad_request"),
        ],
    )
    def test_an_error_has_openais_shape(self, error: errors.BeastError, status: int, kind: str, code: str) -> None:
        told = json.loads(CHAT.error(error, status))
        assert told == {"error": {"message": "x", "type": kind, "param": None, "code": code}}

    def test_the_upstreams_own_words_are_kept_and_our_tip_is_in_the_message(self) -> None:
        details = {"upstream_type": "tokens", "upstream_code": "slow", "upstream_param": "messages"}
        error = errors.RateLimitedError("It is busy.", tips=["Wait 3 s.", "Or not."], details=details)
        assert json.loads(CHAT.error(error, 429))["error"] == {
            "message": "It is busy. Tip: Wait 3 s.",
            "type": "tokens",
            "param": "messages",
            "code": "slow",
        }

    def test_a_broken_stream_ends_with_the_error_and_no_done(self) -> None:
        error = errors.MalformedReplyError("It was cut off.")
        assert CHAT.broken(error, 502) == b"data: " + CHAT.error(error, 502) + b"\n\n"
        assert b"[DONE]" not in CHAT.broken(error, 502)
