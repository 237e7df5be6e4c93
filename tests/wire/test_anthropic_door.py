"""Requests in Anthropic's Messages, as the door reads them."""

from __future__ import annotations

import copy
import json
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from beastmode.cache.key import make_key
from beastmode.core.deltas import pieces_of
from beastmode.core.errors import BadInputError
from beastmode.core.types import Completion, Message, Request
from beastmode.wire.anthropic_door import IMAGE_TOKENS, AnthropicMessages, estimated_tokens
from beastmode.wire.anthropic_request import body_of
from beastmode.wire.dialect import Told
from beastmode.wire.openai_door import ENDPOINT_FIELDS

DOOR = AnthropicMessages()
TOOL_USE = {"type": "tool_use", "id": "t", "name": "f"}
HI = [{"role": "user", "content": "hi"}]


def read(sent_with: dict[str, str] | None = None, /, **fields: Any) -> Request:
    body = {"model": "claude-x", "max_tokens": 10, "messages": HI} | fields
    return DOOR.read(json.dumps(body).encode(), sent_with or {})


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


class TestRequests:
    def test_the_bytes_the_headers_of_the_protocol_and_the_wish_for_a_stream_are_kept(self) -> None:
        body = b'{"model":"m", "messages":[{"role":"user","content":"hi"}], "stream":true}'
        headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "b, a", "x-api-key": "k", "accept": "*/*"}
        request = DOOR.read(body, headers)
        assert request.native is not None
        assert (request.native.protocol, request.native.body) == ("anthropic_messages", body)
        assert request.native.headers == {"anthropic-version": "2023-06-01", "anthropic-beta": "b, a"}
        assert request.stream
        assert not read().stream

    def test_the_same_question_as_over_the_chat_door_has_the_same_key(self) -> None:
        tool = {"name": "f", "description": "d", "input_schema": {"type": "object"}}
        asked = read(
            system=[text("Be brief.")],
            messages=[{"role": "user", "content": [text("hi", citations=None)]}],
            stop_sequences=["END"],
            temperature=0.5,
            tools=[tool],
            tool_choice={"type": "auto"},
            metadata={"user_id": "somebody"},
            stream=True,
        )
        function = {"name": "f", "description": "d", "parameters": {"type": "object"}}
        params = {"max_tokens": 10, "stop": ["END"], "temperature": 0.5, "tool_choice": "auto"}
        chat = Request(
            model="claude-x",
            messages=[Message("system", "Be brief."), Message("user", "hi")],
            params={**params, "tools": [{"type": "function", "function": function}]},
        )
        assert make_key(asked) == make_key(chat)
        assert asked.user == ""

    def test_betas_shape_the_answer_and_join_the_key(self) -> None:
        one, other = ({"anthropic-beta": betas} for betas in ("context-1m,a", "a"))
        assert make_key(read(one)) != make_key(read(other))
        assert make_key(read(other)) != make_key(read())
        assert make_key(read({"anthropic-beta": "a, context-1m"})) == make_key(read(one))

    def test_fields_that_nobody_else_knows_stay_and_join_the_key(self) -> None:
        thinking = {"type": "enabled", "budget_tokens": 1024}
        request = read(thinking=thinking, service_tier="auto", future=[1])
        assert request.params == {"max_tokens": 10, "thinking": thinking, "service_tier": "auto", "future": [1]}

    def test_a_field_that_is_null_is_absent(self) -> None:
        assert make_key(read(system=None, tools=None, temperature=None, stream=None)) == make_key(read())

    def test_a_request_without_a_model_names_none(self) -> None:
        assert read(model=None).model == ""
        assert DOOR.read(b'{"messages":[{"role":"user","content":"hi"}]}', {}).model == ""

    def test_a_system_message_in_the_middle_stays_there(self) -> None:
        turns = [*HI, {"role": "system", "content": "Now in German."}, *HI]
        assert [message.role for message in read(messages=turns).messages] == ["user", "system", "user"]

    @pytest.mark.parametrize("name", sorted(ENDPOINT_FIELDS))
    def test_no_request_chooses_an_endpoint_or_a_key(self, name: str) -> None:
        with pytest.raises(BadInputError, match=name) as caught:
            read(**{name: "http://127.0.0.1:1/"})
        assert caught.value.tips

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"model": 5}, "model"),
            ({"messages": None}, "messages"),
            ({"messages": []}, "messages"),
            ({"messages": "hi"}, "messages"),
            ({"messages": ["hi"]}, r"messages\[0\]"),
            ({"messages": [*HI, {"role": "tool", "content": "x"}]}, r"messages\[1\].role"),
            ({"messages": [{"role": "user"}]}, r"messages\[0\].content"),
            ({"messages": [{"role": "user", "content": ["x"]}]}, r"messages\[0\].content\[0\]"),
            ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, r"messages\[0\].content\[0\].type"),
            ({"messages": [{"role": "user", "content": [text("x"), text(5)]}]}, r"content\[1\].text"),
            ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "tool_use_id"),
            ({"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": 5}]}]},
             r"content\[0\].content"),
            ({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "name": "f"}]}]}, "id"),
            ({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "t"}]}]}, "name"),
            ({"messages": [{"role": "assistant", "content": [TOOL_USE | {"input": 5}]}]}, "input"),
            ({"system": 5}, "system"),
            ({"system": [5]}, r"system\[0\]"),
            ({"stream": "yes"}, "stream"),
            ({"max_tokens": "many"}, "max_tokens"),
            ({"max_tokens": True}, "max_tokens"),
            ({"max_tokens": -1}, "max_tokens"),
            ({"temperature": "hot"}, "temperature"),
            ({"stop_sequences": "END"}, "stop_sequences"),
            ({"tools": {}}, "tools"),
            ({"tools": ["f"]}, r"tools\[0\]"),
            ({"tools": [{"input_schema": {}}]}, r"tools\[0\].name"),
            ({"tools": [{"name": "f", "input_schema": "x"}]}, r"tools\[0\].input_schema"),
            ({"tool_choice": "auto"}, "tool_choice"),
            ({"tool_choice": {"type": "tool"}}, "tool_choice"),
            ({"tool_choice": {"type": []}}, "tool_choice"),
            ({"output_config": []}, "output_config"),
            ({"output_config": {"format": {"type": "xml"}}}, "output_config.format"),
            ({"output_format": {"type": "json_schema"}}, "output_format"),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_named(self, fields: dict[str, Any], named: str) -> None:
        with pytest.raises(BadInputError, match=named) as caught:
            read(**fields)
        assert caught.value.tips

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"hi",
            b"[]",
            b"null",
            b"\xff",
            b'{"messages": [',
            b'{"messages":' * 100_000,
            b'{"messages":[{"role":"user","content":[{"type":"x","y":' + b"[" * 900 + b"]" * 900 + b"}]}]}",
            b'{"messages":[{"role":"user","content":"hi"}],"tools":[' + b"[" * 5000 + b"]" * 5000 + b"]}",
        ],
        ids=range(9),
    )
    def test_what_is_no_request_is_refused(self, body: bytes) -> None:
        try:
            request = DOOR.read(body, {})
        except BadInputError as error:
            assert error.tips
        else:  # not too deep for reading
            assert len(request.messages) == 1

    @settings(max_examples=200, deadline=None)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=3),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["type", "text", "role", "content", "source", "id", "name", "input", "tool_use_id", "title"]
                    ),
                    inner
                    | st.sampled_from(["text", "image", "document", "tool_use", "tool_result", "user", "assistant"]),
                    max_size=4,
                )
            ),
            max_leaves=12,
        ),
        st.sampled_from(["messages", "system", "tools", "tool_choice", "output_config", "stop_sequences", "thinking"]),
    )
    def test_any_json_is_read_or_refused(self, value: Any, field: str) -> None:
        try:
            request = read(**{field: value})
        except BadInputError as error:
            assert error.message
        else:
            make_key(request)
            assert estimated_tokens(request) > 0

    def test_a_lone_half_of_a_character_is_read_or_refused(self) -> None:
        body = b'{"messages":[{"role":"user","content":[{"type":"text","text":"\\ud800"},{"type":"text","text":"b"}]}]}'
        try:
            assert estimated_tokens(DOOR.read(body, {})) > 0
        except BadInputError as error:
            assert error.tips


WORDS = st.text("abcäß🦁", min_size=1, max_size=6)
SAID = st.builds(text, WORDS)
MARKED = st.builds(lambda words: text(words, cache_control={"type": "ephemeral"}), WORDS)
THOUGHT = st.builds(lambda words: {"type": "thinking", "thinking": words, "signature": "s"}, WORDS)
IMAGE = st.builds(lambda words: {"type": "image", "source": {"type": "url", "url": f"https://{words}"}}, WORDS)
PLAIN_DOCUMENT = st.builds(
    lambda words: {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": words}}, WORDS
)
FOUND = st.builds(
    lambda words: {"type": "search_result", "source": "https://x", "title": "t", "content": [text(words)]}, WORDS
)
IDS = st.sampled_from(["t1", "t2", "t3", "t4"])
USE = st.builds(lambda i, w: {"type": "tool_use", "id": i, "name": "f", "input": {"w": w}}, IDS, WORDS)
CALLED = st.builds(lambda use: use | {"cache_control": {"type": "ephemeral"}}, USE)
RESULT = st.builds(
    lambda i, content, more: {"type": "tool_result", "tool_use_id": i, "content": content, **more},
    IDS,
    WORDS | st.lists(SAID | IMAGE, max_size=2),
    st.sampled_from([{}, {"is_error": True}, {"cache_control": {"type": "ephemeral"}}]),
)
USER_BLOCKS = st.lists(SAID | MARKED | IMAGE | PLAIN_DOCUMENT | FOUND | RESULT, min_size=1, max_size=6)
ASSISTANT_BLOCKS = st.lists(SAID | MARKED | THOUGHT | USE | CALLED, min_size=1, max_size=6)


def words_in(value: Any) -> list[str]:
    """Every text, thought, datum and word of an input inside a value."""
    if isinstance(value, list):
        return [word for one in value for word in words_in(one)]
    if isinstance(value, dict):
        own = [value[name] for name in ("text", "thinking", "data", "w") if isinstance(value.get(name), str)]
        if value.get("type") == "tool_result" and isinstance(value.get("content"), str):
            own.append(value["content"])
        return own + [word for one in value.values() if isinstance(one, dict | list) for word in words_in(one)]
    return []


class TestBlocksInAnyOrder:
    @settings(deadline=None)
    @given(USER_BLOCKS, ASSISTANT_BLOCKS)
    def test_no_word_is_lost_on_the_way_in_or_back(self, user: list[Any], assistant: list[Any]) -> None:
        uses = {block["id"] for block in assistant if block["type"] == "tool_use"}
        assume(len(uses) == sum(block["type"] == "tool_use" for block in assistant))
        turns = [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
        request = read(messages=turns)
        again = body_of(msgspec.structs.replace(request, native=None), "m")["messages"]
        kept = msgspec.json.encode(request.messages).decode().replace("\\\\", "\\")
        for word in words_in(turns):
            assert word in kept
        assert sorted(words_in(again) + [turn["content"] for turn in again if isinstance(turn["content"], str)]) == (
            sorted(words_in(turns))
        )

    @settings(deadline=None)
    @given(ASSISTANT_BLOCKS)
    def test_a_turn_of_the_assistant_comes_back_as_it_was(self, blocks: list[Any]) -> None:
        uses = {block["id"] for block in blocks if block["type"] == "tool_use"}
        assume(len(uses) == sum(block["type"] == "tool_use" for block in blocks))
        request = read(messages=[*HI, {"role": "assistant", "content": blocks}])
        again = body_of(msgspec.structs.replace(request, native=None), "m")["messages"][1]["content"]
        assert again == (blocks[0]["text"] if len(blocks) == 1 and blocks[0].keys() == {"type", "text"} else blocks)

    @settings(deadline=None)
    @given(USER_BLOCKS | ASSISTANT_BLOCKS, st.randoms(use_true_random=False), st.booleans())
    def test_another_order_is_another_question(self, blocks: list[Any], random: Any, user: bool) -> None:
        role = "user" if any(block["type"] not in ("text", "thinking", "tool_use") for block in blocks) else "assistant"
        if user and role == "assistant" and all(block["type"] == "text" for block in blocks):
            role = "user"
        other = copy.deepcopy(blocks)
        random.shuffle(other)
        assume(other != blocks)
        one = read(messages=[*HI, {"role": role, "content": blocks}, *HI])
        two = read(messages=[*HI, {"role": role, "content": other}, *HI])
        assert make_key(one) != make_key(two)


class TestEstimates:
    def test_text_counts_by_its_bytes_and_an_image_by_itself(self) -> None:
        assert estimated_tokens(read(messages=[{"role": "user", "content": "x" * 3500}])) == pytest.approx(1000, abs=10)
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 999_999}}
        shown = estimated_tokens(read(messages=[{"role": "user", "content": [image, text("what?")]}]))
        assert IMAGE_TOKENS < shown < IMAGE_TOKENS + 20

    def test_tools_and_results_count(self) -> None:
        tool = {"name": "f", "description": "x" * 700, "input_schema": {"type": "object"}}
        result = {"type": "tool_result", "tool_use_id": "t", "content": "x" * 700}
        assert estimated_tokens(read(tools=[tool])) > 200
        assert estimated_tokens(read(messages=[*HI, {"role": "user", "content": [result]}])) > 200
        assert estimated_tokens(Request(model="m", messages=[])) >= 1

    def test_no_message_says_that_it_cost_nothing(self) -> None:
        told = Told(request_id="r", model="m", created_s=0.0)
        for request in (None, read()):
            plain = DOOR.plain(msgspec.structs.replace(told, request=request), Completion(text=""))
            usage = json.loads(plain)["usage"]
            assert usage["input_tokens"] > 0
            assert usage["output_tokens"] > 0


class TestThoughtsThatNobodyAskedFor:
    """Models that always show their reasoning stand behind callers who take the first block for the answer."""

    SIGNED: ClassVar = [
        {"type": "thinking", "thinking": "two and two", "signature": "s"},
        {"type": "text", "text": "four"},
    ]
    ANSWERS: ClassVar = [
        Completion(text="four", reasoning="two and two", finish_reason="stop"),
        Completion(text="four", reasoning="two and two", blocks=SIGNED, finish_reason="stop"),
    ]

    @pytest.mark.parametrize("answer", ANSWERS, ids=["of a chat", "signed"])
    @pytest.mark.parametrize(
        ("asked", "kinds"),
        [({}, ["text"]), ({"type": "disabled"}, ["text"]), ({"type": "adaptive"}, ["thinking", "text"])],
    )
    def test_they_are_shown_to_who_asked_for_thinking_alone(
        self, asked: dict[str, Any], kinds: list[str], answer: Completion
    ) -> None:
        params = {"thinking": asked} if asked else {}
        request = Request(model="m", messages=[Message("user", "2+2?")], params=params)
        told = Told("r", "m", 0.0, request)
        dialect = AnthropicMessages()
        content = json.loads(dialect.plain(told, answer))["content"]
        assert [block["type"] for block in content] == kinds
        writer = dialect.writer(told, request)
        stream = b"".join([writer.begin(), *map(writer.piece, pieces_of(answer)), writer.finish(answer)])
        assert (b"thinking_delta" in stream) is ("thinking" in kinds)
        assert b"four" in stream


def test_a_line_of_bookkeeping_is_no_part_of_the_question() -> None:
    def key(version: str) -> bytes:
        billing = {"type": "text", "text": f"x-anthropic-billing-header: cc_version={version};"}
        system = [billing, {"type": "text", "text": "Be brief."}]
        body = {"model": "m", "max_tokens": 9, "system": system, "messages": [{"role": "user", "content": "x"}]}
        request = AnthropicMessages().read(json.dumps(body).encode(), {})
        assert request.messages[0] == Message("system", "Be brief.")
        assert request.native is not None
        assert version.encode() in request.native.body
        return make_key(request).exact

    assert key("1.0") == key("2.0")
