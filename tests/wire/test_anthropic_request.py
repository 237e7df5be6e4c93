"""A request in the words of Anthropic's Messages."""

from __future__ import annotations

from typing import Any

import pytest

from beastmode.core.errors import BadInputError
from beastmode.core.types import Message, Request
from beastmode.wire.anthropic_request import DEFAULT_MAX_TOKENS, body_of

USER = Message(role="user", content="hi")


def body(*messages: Message, **params: Any) -> dict[str, Any]:
    return body_of(Request(model="anthropic:x", messages=list(messages) or [USER], params=params), "claude-x")


def test_the_least_request() -> None:
    assert body() == {
        "model": "claude-x",
        "max_tokens": DEFAULT_MAX_TOKENS,
        "messages": [{"role": "user", "content": "hi"}],
    }


@pytest.mark.parametrize(
    ("params", "tokens"),
    [({"max_tokens": 7}, 7), ({"max_completion_tokens": 8}, 8), ({"max_tokens": None}, DEFAULT_MAX_TOKENS)],
)
def test_the_bound_of_the_answer_is_always_sent(params: dict[str, Any], tokens: int) -> None:
    assert body(**params)["max_tokens"] == tokens


def test_system_and_developer_messages_become_the_system_prompt() -> None:
    sent = body(Message(role="system", content="A"), USER, Message(role="developer", content="B"))
    assert sent["system"] == "A\n\nB"
    assert sent["messages"] == [{"role": "user", "content": "hi"}]


def test_a_system_prompt_with_cache_marks_keeps_its_blocks() -> None:
    block = {"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}
    assert body(Message(role="system", content=[block]), USER)["system"] == [block]


def test_a_system_prompt_among_the_parameters_comes_first() -> None:
    assert body(Message(role="system", content="B"), USER, system="A")["system"] == "A\n\nB"


def test_neighbours_of_one_role_become_one_turn() -> None:
    sent = body(USER, Message(role="user", content="there"), Message(role="assistant", content="yes?"), USER)
    assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant", "user"]
    assert sent["messages"][0]["content"] == [{"type": "text", "text": "hi"}, {"type": "text", "text": "there"}]


def test_empty_texts_are_left_out() -> None:
    sent = body(
        USER, Message(role="assistant", content=""), Message(role="user", content=[{"type": "text", "text": ""}])
    )
    assert sent["messages"] == [{"role": "user", "content": "hi"}]


def call(arguments: Any, name: str = "f") -> dict[str, Any]:
    return {"id": f"id-{name}", "type": "function", "function": {"name": name, "arguments": arguments}}


def test_tool_calls_and_their_results_are_translated_and_answered_in_one_turn() -> None:
    sent = body(
        USER,
        Message(role="assistant", content="Let me look.", tool_calls=[call('{"a": 1}'), call("", "g")]),
        Message(role="tool", tool_call_id="id-f", content="one"),
        Message(role="tool", tool_call_id="id-g", content=[{"type": "text", "text": "two"}]),
        Message(role="user", content="and?"),
    )
    assert sent["messages"][1]["content"] == [
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "id-f", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "id-g", "name": "g", "input": {}},
    ]
    assert sent["messages"][2] == {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "id-f", "content": [{"type": "text", "text": "one"}]},
            {"type": "tool_result", "tool_use_id": "id-g", "content": [{"type": "text", "text": "two"}]},
            {"type": "text", "text": "and?"},
        ],
    }


@pytest.mark.parametrize("arguments", ["{broken", "[1]", "5", "[" * 100_000])
def test_arguments_that_are_no_object_do_not_end_the_conversation(arguments: str) -> None:
    sent = body(USER, Message(role="assistant", tool_calls=[call(arguments)]))
    assert sent["messages"][1]["content"][0]["input"] == {"arguments": arguments}


def test_images_and_files_are_translated() -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://h/a.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"}},
        {"type": "refusal", "refusal": "no"},
        {"type": "image", "source": {"type": "url", "url": "https://h/b.png"}},
        {"type": "input_file", "file_url": "https://h/a.pdf"},
        {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,R3LDvMOfZQ=="}},
    ]
    assert body(Message(role="user", content=parts))["messages"][0]["content"] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "image", "source": {"type": "url", "url": "https://h/a.png"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "BBBB"}},
        {"type": "text", "text": "no"},
        parts[4],
        {"type": "document", "source": {"type": "url", "url": "https://h/a.pdf"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Grüße"}},
    ]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "image_url", "image_url": {"url": "data:image/png,raw"}},
        {"type": "image_url"},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,/w=="}},
        {"text": "no type"},
    ],
)
def test_what_can_not_be_said_is_refused_rather_than_dropped(part: dict[str, Any]) -> None:
    with pytest.raises(BadInputError) as caught:
        body(Message(role="user", content=[part]))
    assert caught.value.tips


def test_tools_are_translated_and_those_of_anthropic_go_as_they_are() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    own = {"type": "web_search_20250305", "name": "web_search"}
    others = [{"type": "web_search_preview"}, {"type": "custom", "custom": {"name": "h"}}, "odd"]
    tools = [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": schema, "strict": True}},
        {"type": "function", "function": {"name": "g"}},
        own,
    ]
    assert body(tools=tools + others)["tools"] == [
        {"name": "f", "input_schema": schema, "description": "d", "strict": True},
        {"name": "g", "input_schema": {"type": "object"}},
        own,
    ]


@pytest.mark.parametrize(
    ("params", "choice"),
    [
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, {"type": "tool", "name": "f"}),
        ({"tool_choice": {"type": "any"}}, {"type": "any"}),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required"}}}, {"type": "any"}),
        ({"tool_choice": {"type": "odd"}}, None),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"parallel_tool_calls": True}, None),
        ({}, None),
    ],
)
def test_the_choice_of_tools_is_translated(params: dict[str, Any], choice: dict[str, Any] | None) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert body(tools=tools, **params).get("tool_choice") == choice


@pytest.mark.parametrize("schema", [1, [{}], "object", True])
def test_parameters_that_are_no_schema_are_refused(schema: Any) -> None:
    with pytest.raises(BadInputError, match="JSON schema"):
        body(tools=[{"type": "function", "function": {"name": "f", "parameters": schema}}])


def test_a_choice_without_tools_is_not_sent() -> None:
    assert "tool_choice" not in body(tools=[], tool_choice="auto")


@pytest.mark.parametrize(("stop", "sent"), [("END", ["END"]), (["A", "B"], ["A", "B"])])
def test_stop_becomes_stop_sequences(stop: object, sent: list[str]) -> None:
    assert body(stop=stop)["stop_sequences"] == sent
    assert body(stop_sequences=sent)["stop_sequences"] == sent


def test_blank_stops_stay_behind_since_they_are_refused() -> None:
    assert body(stop=["\n\n", "END", " "])["stop_sequences"] == ["END"]
    assert "stop_sequences" not in body(stop="\n")


@pytest.mark.parametrize(("ours", "theirs"), [(0, 0), (0.7, 0.7), (1.6, 1.0)])
def test_the_temperature_stays_in_their_range(ours: float, theirs: float) -> None:
    assert body(temperature=ours)["temperature"] == theirs


def test_an_answer_in_json_is_asked_for_in_their_words() -> None:
    schema = {"type": "object"}
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
    assert body(response_format=form)["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    assert "JSON" in body(response_format={"type": "json_object"})["system"]
    assert "system" not in body(response_format={"type": "text"})


def test_what_has_no_counterpart_is_left_out_and_what_is_theirs_goes_as_it_is() -> None:
    theirs = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "top_k": 5, "top_p": 0.9}
    others = {"reasoning_effort": "high", "verbosity": "low", "_message_extras": [1], "of_the_future": 1}
    sent = body(seed=1, frequency_penalty=0.1, user="me", n=1, logit_bias={}, stream=True, **others, **theirs)
    assert sent.keys() == {"model", "max_tokens", "messages", *theirs}
    assert {name: sent[name] for name in theirs} == theirs


def test_several_answers_can_not_be_asked_for() -> None:
    with pytest.raises(BadInputError, match="n:") as caught:
        body(n=2)
    assert caught.value.tips


@pytest.mark.parametrize(("tier", "sent"), [("auto", True), ("standard_only", True), ("flex", False)])
def test_a_service_tier_is_sent_where_they_have_it(tier: str, sent: bool) -> None:
    assert ("service_tier" in body(service_tier=tier)) is sent


def test_a_bound_that_nobody_gave_leaves_room_after_the_thinking() -> None:
    assert body(thinking={"type": "enabled", "budget_tokens": 9000})["max_tokens"] > 9000


def test_a_top_p_that_says_nothing_is_not_sent_beside_a_temperature() -> None:
    assert "top_p" not in body(top_p=1, temperature=0.5)
    assert body(top_p=1)["top_p"] == 1


def test_an_effort_and_a_schema_share_a_field() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    assert body(output_config={"effort": "low"}, response_format=form)["output_config"] == {
        "effort": "low",
        "format": {"type": "json_schema", "schema": {"type": "object"}},
    }


def test_results_come_first_in_their_turn() -> None:
    sent = body(
        USER,
        Message(role="assistant", tool_calls=[call("{}")]),
        Message(role="user", content="wait"),
        Message(role="tool", tool_call_id="id-f", content="one"),
    )
    assert [block["type"] for block in sent["messages"][2]["content"]] == ["tool_result", "text"]


def test_an_id_that_they_would_refuse_is_written_anew_in_both_places() -> None:
    one = call("{}") | {"id": "functions.f:0"}
    sent = body(
        USER, Message("assistant", tool_calls=[one]), Message("tool", content="x", tool_call_id="functions.f:0")
    )["messages"]
    assert sent[1]["content"][0]["id"] == sent[2]["content"][0]["tool_use_id"] == "functions_f_0"


def test_thinking_goes_back_first_and_with_its_signature_and_that_of_others_not_at_all() -> None:
    thinking = {"type": "thinking", "thinking": "hm", "signature": "sig"}
    unsigned = {"type": "thinking", "thinking": "ha", "signature": ""}
    text = {"type": "text", "text": "x"}
    sent = body(USER, Message("assistant", [thinking, unsigned, text], tool_calls=[call("{}")]))["messages"][1]
    assert [block["type"] for block in sent["content"]] == ["thinking", "text", "tool_use"]
    assert sent["content"][0] == thinking


def test_calls_without_ids_of_their_own_come_last_and_none_is_lost() -> None:
    calls = [call("{}") | {"id": ""}, call("{}", "g") | {"id": ""}]
    parts = [{"type": "tool_use", "id": ""}, {"type": "text", "text": "x"}]
    sent = body(USER, Message("assistant", parts, tool_calls=calls))["messages"][1]["content"]
    assert [block.get("name") for block in sent] == [None, "f", "g"]


@pytest.mark.parametrize(
    ("model", "most"),
    [("claude-3-haiku-20240307", 4096), ("claude-3-5-sonnet-latest", 8192), ("claude-sonnet-4-5", DEFAULT_MAX_TOKENS)],
)
def test_a_bound_that_nobody_gave_is_one_that_the_model_takes(model: str, most: int) -> None:
    request = Request(model="anthropic:x", messages=[Message("user", "x")])
    assert body_of(request, model)["max_tokens"] == most
