"""The older Completions: requests to bytes and back, answers and streams, and the same asked in a chat."""

from __future__ import annotations

import json
from typing import Any

import pytest

from beastmode.core import errors
from beastmode.core.deltas import Piece, Thought, ToolPiece
from beastmode.core.types import Completion, Message, Request, Usage
from beastmode.wire.dialect import Told
from beastmode.wire.faults import ErrorInReplyError
from beastmode.wire.openai_chat import ChatStream
from beastmode.wire.openai_completions import as_chat, decode, encode, in_a_chat_alone
from beastmode.wire.openai_completions_door import OpenAICompletions

DOOR = OpenAICompletions()
TOLD = Told("r1", "custom:m", 1700000000.9)
USAGE = Usage(prompt_tokens=3, completion_tokens=2)
LOGPROBS = {"tokens": ["a"], "token_logprobs": [-0.5], "top_logprobs": None, "text_offset": [0]}
ANSWERS = [
    Completion(text="a\nb", finish_reason="stop", usage=USAGE),
    Completion(text="", finish_reason="length", usage=USAGE),
    Completion(text="a", finish_reason="stop", usage=USAGE, logprobs=LOGPROBS),
    Completion(text="a", finish_reason="stop", usage=USAGE, choices=[Completion(text="b", finish_reason="length")]),
]


def read(**fields: Any) -> Request:
    return DOOR.read(json.dumps(fields).encode(), {})


class TestReading:
    def test_a_prompt_is_the_text_of_a_user(self) -> None:
        request = read(model="m", prompt="def f(", suffix="): pass", max_tokens=5, stream=True, user="u", x=1)
        assert (request.model, request.kind, request.stream, request.user) == ("m", "completion", True, "u")
        assert request.messages == [Message("user", "def f(")]
        assert request.params == {"suffix": "): pass", "max_tokens": 5, "x": 1}
        assert request.native is not None
        assert request.native.protocol == "openai_completions"

    def test_one_prompt_in_a_list_is_that_prompt_and_an_empty_suffix_is_none(self) -> None:
        assert read(prompt=["a"], suffix="").messages == [Message("user", "a")]
        assert read(prompt=["a"], suffix="").params == {}

    @pytest.mark.parametrize("prompt", [["a", "b"], [1, 2], [[1], [2, 3]]])
    def test_several_prompts_and_tokens_stay_a_parameter(self, prompt: list[Any]) -> None:
        request = read(prompt=prompt)
        assert request.messages == []
        assert request.params == {"prompt": prompt}

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({}, "prompt"),
            ({"prompt": 5}, "prompt"),
            ({"prompt": []}, "prompt"),
            ({"prompt": ["a", 1]}, "prompt"),
            ({"prompt": [[]]}, "prompt"),
            ({"prompt": [True]}, "prompt"),
            ({"prompt": "a", "suffix": 5}, "suffix"),
            ({"prompt": "a", "best_of": "x"}, "best_of"),
            ({"prompt": "a", "api_key": "x"}, "api_key"),
        ],
    )
    def test_a_wrong_field_is_named(self, fields: dict[str, Any], named: str) -> None:
        with pytest.raises(errors.BadInputError, match=named):
            read(**fields)


class TestUpstream:
    def test_a_request_is_written_with_its_prompt_and_suffix(self) -> None:
        request = read(prompt="a", suffix="b", stream=True, stream_options={"x": 1}, temperature=0)
        sent = {"model": "up", "prompt": "a", "suffix": "b", "temperature": 0}
        options = {"stream": True, "stream_options": {"include_usage": True}}
        assert json.loads(encode(request, "up", False)) == sent
        assert json.loads(encode(request, "up", True)) == sent | options
        assert "stream_options" not in json.loads(encode(request, "up", True, usage_in_stream=False))
        assert json.loads(encode(read(prompt=["a", "b"]), "up", False))["prompt"] == ["a", "b"]

    def test_typed_parts_are_a_text_too(self) -> None:
        parts = [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]
        request = Request(model="m", messages=[Message("user", parts)], kind="completion")
        assert json.loads(encode(request, "up", False))["prompt"] == "ab"

    @pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"message": {}}]}'])
    def test_what_is_no_completion_is_malformed(self, raw: bytes) -> None:
        with pytest.raises(errors.MalformedReplyError):
            decode(raw)

    def test_an_error_sent_with_status_200_is_an_error(self) -> None:
        with pytest.raises(ErrorInReplyError):
            decode(b'{"error": {"message": "x", "code": 429}}')


def streamed(completion: Completion, pieces: list[Piece], **fields: Any) -> bytes:
    writer = DOOR.writer(TOLD, read(prompt="x", stream=True, **fields))
    return writer.begin() + b"".join(map(writer.piece, pieces)) + writer.finish(completion)


class TestWriting:
    @pytest.mark.parametrize("completion", ANSWERS)
    def test_an_answer_that_is_written_is_read_back_as_it_was(self, completion: Completion) -> None:
        again = decode(DOOR.plain(TOLD, completion))
        again.model = ""
        assert again == completion

    @pytest.mark.parametrize("completion", ANSWERS)
    def test_a_stream_that_is_written_is_read_back_as_it_was(self, completion: Completion) -> None:
        reader = ChatStream(lambda delta: None)
        pieces: list[Piece] = [completion.text]
        assert reader.feed(streamed(completion, pieces, stream_options={"include_usage": True}))
        again = reader.finish()
        again.model = ""
        assert again == completion

    def test_the_object_is_that_of_openai(self) -> None:
        assert json.loads(DOOR.plain(TOLD, ANSWERS[0])) == {
            "id": "cmpl-r1",
            "object": "text_completion",
            "created": 1700000000,
            "model": "custom:m",
            "choices": [{"index": 0, "text": "a\nb", "logprobs": None, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        }

    def test_an_answer_from_a_chat_is_a_text(self) -> None:
        completion = Completion(text="a", finish_reason="tool_calls", logprobs={"content": []})
        assert json.loads(DOOR.plain(TOLD, completion))["choices"] == [
            {"index": 0, "text": "a", "logprobs": None, "finish_reason": "stop"}
        ]

    def test_the_events_of_a_stream(self) -> None:
        raw = streamed(ANSWERS[0], [Thought("hm"), "a\n", ToolPiece(0, "c", "f"), "b"])
        events = raw.split(b"\n\n")
        assert events[-2:] == [b"data: [DONE]", b""]
        chunks = [json.loads(event.removeprefix(b"data: ")) for event in events[:-2]]
        assert [(chunk["choices"][0]["text"], chunk["choices"][0]["finish_reason"]) for chunk in chunks] == [
            ("a\n", None),
            ("b", None),
            ("", "stop"),
        ]
        assert not any("usage" in chunk for chunk in chunks)


class TestInAChat:
    def test_a_gap_is_described(self) -> None:
        request = as_chat(read(model="m", prompt="def f(", suffix="): pass", max_tokens=5, logprobs=1, echo=True))
        assert (request.kind, request.native, request.params) == ("chat", None, {"max_tokens": 5})
        system, user = request.messages
        assert "gap" in str(system.content)
        assert str(user.content).index("def f(") < str(user.content).index("): pass")

    def test_a_text_is_continued(self) -> None:
        request = as_chat(read(prompt="Once upon"))
        assert [message.role for message in request.messages] == ["system", "user"]
        assert request.messages[1].content == "Once upon"

    def test_several_prompts_are_refused(self) -> None:
        with pytest.raises(errors.BadInputError, match="prompt"):
            as_chat(read(prompt=["a", "b"]))

    def test_a_provider_of_chats_alone_gets_a_chat_or_nothing(self) -> None:
        chat = Request(model="m", messages=[Message("user", "hi")])
        assert in_a_chat_alone(chat) is chat
        assert in_a_chat_alone(read(prompt="a")).kind == "chat"
        with pytest.raises(errors.BadInputError, match="no embeddings"):
            in_a_chat_alone(Request(model="m", messages=[], kind="embedding"))
