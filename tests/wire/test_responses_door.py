"""Responses at the door: what a request says, what it may not say, and whole answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode.cache.key import make_key
from beastmode.core.errors import BadInputError, ContextTooLongError, RateLimitedError, UnknownModelError, UpstreamError
from beastmode.core.types import Completion, Message, Request, Usage
from beastmode.wire.dialect import Told
from beastmode.wire.responses_door import OpenAIResponses

DOOR = OpenAIResponses()
USER = {"role": "user", "content": "hi"}
PATCH = {"type": "custom", "name": "apply_patch", "description": "Edits."}


def read(**fields: Any) -> Request:
    return DOOR.read(json.dumps({"model": "m", "input": "hi", **fields}).encode(), {})


def refusal(**fields: Any) -> BadInputError:
    with pytest.raises(BadInputError) as caught:
        read(**fields)
    assert caught.value.tips
    return caught.value


def said(completion: Completion, **fields: Any) -> dict[str, Any]:
    told = Told("r1", "custom:m", 7.9, read(**fields))
    found: dict[str, Any] = json.loads(DOOR.plain(told, completion))
    return found


def call(name: str, arguments: str) -> dict[str, Any]:
    return {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}


class TestWhatARequestSays:
    def test_a_text_is_a_question(self) -> None:
        request = read(stream=True, user="ann")
        assert (request.model, request.messages, request.params) == ("m", [Message("user", "hi")], {})
        assert (request.stream, request.user, request.kind) == (True, "ann", "chat")

    def test_it_is_kept_as_it_came_with_the_headers_that_go_on(self) -> None:
        body = b'{"input": "hi" , "new_field": 1}'
        request = DOOR.read(body, {"openai-beta": "responses=v1", "authorization": "Bearer t", "originator": "x"})
        assert request.native is not None
        assert (request.native.protocol, request.native.body) == ("openai_responses", body)
        assert request.native.headers == {"openai-beta": "responses=v1"}
        assert (request.model, request.params) == ("", {"new_field": 1})

    def test_it_has_the_key_that_the_same_question_has_elsewhere(self) -> None:
        tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
        params = {"max_tokens": 9, "temperature": 0, "reasoning_effort": "low", "tools": [tool]}
        chat = Request(model="m", messages=[Message("system", "Be brief."), Message("user", "hi")], params=params)
        same = read(
            instructions="Be brief.",
            input=[{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
            max_output_tokens=9,
            temperature=0,
            reasoning={"effort": "low"},
            tools=[{"type": "function", "name": "f", "parameters": {"type": "object"}}],
        )
        assert make_key(same) == make_key(chat)

    @pytest.mark.parametrize(
        "field",
        [
            {"store": True},
            {"store": False},
            {"stream": True, "stream_options": {"include_obfuscation": False}},
            {"metadata": {"a": "b"}, "client_metadata": {"a": "b"}},
            {"prompt_cache_key": "k", "prompt_cache_retention": "24h", "safety_identifier": "s"},
            {"previous_response_id": None, "conversation": None, "prompt": None, "background": False},
            {"tools": [], "include": [], "text": {"format": {"type": "text"}}, "reasoning": {"effort": None}},
            {"truncation": "disabled", "top_logprobs": 0, "temperature": None},
        ],
        ids=lambda field: " ".join(field),
    )
    def test_how_it_travels_and_defaults_join_no_key(self, field: dict[str, Any]) -> None:
        assert make_key(read(**field)) == make_key(read())

    @pytest.mark.parametrize(
        "field",
        [
            {"truncation": "auto"},
            {"include": ["reasoning.encrypted_content"]},
            {"reasoning": {"summary": "auto"}},
            {"text": {"verbosity": "low"}},
            {"text": {"new": 1}},
            {"tools": [{"type": "web_search"}]},
            {"tools": [PATCH]},
            {"tools": [PATCH | {"format": {"type": "text"}}]},
            {"tool_choice": {"type": "web_search"}},
            {"max_tool_calls": 3},
            {"new_field": 1},
            {"input": [USER, {"type": "reasoning", "summary": [], "encrypted_content": "x"}, USER]},
            {"input": [USER, {"type": "web_search_call", "action": {"query": "q"}}, USER]},
            {"input": [{"type": "message", "phase": "commentary", "role": "assistant", "content": "x"}, USER]},
        ],
        ids=str,
    )
    def test_all_else_joins_it(self, field: dict[str, Any]) -> None:
        plain = read(input=[USER, USER]) if "input" in field else read()
        assert make_key(read(**field)) != make_key(plain)

    def test_a_field_that_another_protocol_has_for_something_else_is_not_taken_for_it(self) -> None:
        request = read(context_management=[{"type": "compaction"}])
        assert request.params == {"responses_context_management": [{"type": "compaction"}]}

    def test_ids_of_items_say_nothing(self) -> None:
        items = [{"type": "message", **USER}, {"type": "reasoning", "summary": [], "content": []}, USER]
        named = [{**item, "id": f"id_{index}", "status": "completed"} for index, item in enumerate(items)]
        assert make_key(read(input=items)) == make_key(read(input=named)) == make_key(read(input=[USER, USER]))

    def test_an_allowed_tool_leaves_the_others_out(self) -> None:
        tools = [{"type": "function", "name": name} for name in "fg"]
        choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]}
        request = read(tools=tools, tool_choice=choice)
        assert request.params["tools"] == [{"type": "function", "function": {"name": "g"}}]
        assert request.params["tool_choice"] == "required"

    @pytest.mark.parametrize("choice", [{"type": ["x"]}, {"type": "allowed_tools", "tools": 3}, {"name": {}}, {}])
    def test_a_choice_that_nobody_understands_harms_nothing(self, choice: dict[str, Any]) -> None:
        assert read(tools=[{"type": "function", "name": "f"}], tool_choice=choice).messages

    def test_words_about_tools_go_with_the_tools(self) -> None:
        params = read(tools=[{"type": "web_search"}], tool_choice="auto", parallel_tool_calls=True).params
        assert params.keys() == {"responses_tools"}

    def test_tools_that_a_search_found_can_be_called(self) -> None:
        found = {"type": "namespace", "name": "mcp__a", "tools": [{"type": "function", "name": "f"}]}
        search = {"type": "tool_search", "execution": "client", "parameters": {"type": "object"}}
        items = [
            USER,
            {"type": "tool_search_call", "call_id": "c1", "execution": "client", "arguments": {"query": "q"}},
            {"type": "tool_search_output", "call_id": "c1", "execution": "client", "tools": [found]},
        ]
        request = read(tools=[search], input=items)
        assert [tool["function"]["name"] for tool in request.params["tools"]] == ["tool_search", "mcp__a__f"]
        assert (request.messages[1].tool_calls or [])[0]["function"]["arguments"] == '{"query":"q"}'
        assert "mcp__a__f" in str(request.messages[2].content)

    def test_tools_in_the_midst_of_the_conversation_are_tools(self) -> None:
        more = {"type": "additional_tools", "role": "developer", "tools": [{"type": "function", "name": "f"}]}
        assert read(input=[more, USER]).params["tools"] == [{"type": "function", "function": {"name": "f"}}]

    def test_a_long_name_in_a_namespace_stays_short_and_its_own(self) -> None:
        names = [f"{'n' * 70}_{end}" for end in "ab"]
        tools = [{"type": "function", "name": name} for name in names]
        request = read(tools=[{"type": "namespace", "name": "space", "tools": tools}])
        short = [tool["function"]["name"] for tool in request.params["tools"]]
        assert len(set(short)) == 2
        assert all(len(name) <= 64 for name in short)


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        "field",
        ["api_base", "base_url", "api_key", "organization", "custom_llm_provider", "extra_headers", "headers"],
    )
    def test_endpoints_and_keys(self, field: str) -> None:
        assert field in refusal(**{field: "x"}).message

    @pytest.mark.parametrize(
        ("field", "value"),
        [("previous_response_id", "resp_1"), ("conversation", "c"), ("prompt", {"id": "p"}), ("background", True)],
    )
    def test_what_would_need_a_memory(self, field: str, value: Any) -> None:
        error = refusal(**{field: value})
        assert field in error.message
        assert "input" in error.tips[0]

    @pytest.mark.parametrize("item", [{"type": "item_reference", "id": "msg_1"}, {"id": "msg_1"}])
    def test_references_to_items(self, item: dict[str, Any]) -> None:
        assert "input[1]" in refusal(input=[USER, item]).message

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"input": None}, "input"),
            ({"input": []}, "input"),
            ({"input": 3}, "input"),
            ({"input": [3]}, "input[0]"),
            ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
            ({"input": [{"role": ["user"], "content": "x"}]}, "input[0].role"),
            ({"input": [{"type": ["message"]}]}, "input[0].type"),
            ({"input": [{"role": "user", "content": 1}]}, "input[0].content"),
            ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
            ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
            ({"input": [{"type": "function_call", "call_id": "c", "arguments": "{}"}]}, "input[0].name"),
            ({"input": [{"type": "function_call", "call_id": "c", "name": "f"}]}, "input[0].arguments"),
            ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
            ({"input": [{"type": "local_shell_call", "call_id": "c"}]}, "input[0].action"),
            ({"input": [{"type": "reasoning", "summary": []}]}, "input"),
            ({"tools": {}}, "tools"),
            ({"tools": [{"name": "f"}]}, "tools[0]"),
            ({"model": 1}, "model"),
            ({"stream": "yes"}, "stream"),
            ({"temperature": "hot"}, "temperature"),
            ({"temperature": True}, "temperature"),
            ({"max_output_tokens": 1.5}, "max_output_tokens"),
            ({"text": {"format": "json"}}, "text.format"),
            ({"instructions": ["x"]}, "instructions"),
            ({"tool_choice": 1}, "tool_choice"),
        ],
        ids=str,
    )
    def test_what_is_no_request_is_named(self, fields: dict[str, Any], named: str) -> None:
        assert f"`{named}`" in refusal(**fields).message

    @pytest.mark.parametrize(
        "body", [b"", b"[]", b"{", b"\xff", b'{"input": ' + b"[" * 100_000, b'{"a":' * 50_000 + b"1" + b"}" * 50_000]
    )
    def test_what_is_no_object(self, body: bytes) -> None:
        with pytest.raises(BadInputError):
            DOOR.read(body, {})

    json_values = st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "role", "content", "call_id", "name", "output", "action", "tools", "text", "id"])
            | st.text(max_size=3),
            inner
            | st.sampled_from(
                ["message", "function_call", "custom_tool_call", "local_shell_call", "function", "custom", "namespace",
                 "shell", "input_text", "input_image", "tool_search_output", "apply_patch_call_output", "user"]
            ),
            max_size=5,
        ),
        max_leaves=12,
    )  # fmt: skip

    @given(input=json_values, tools=json_values, tool_choice=json_values, text=json_values, include=json_values)
    def test_whatever_is_sent_is_read_or_refused(self, **fields: Any) -> None:
        try:
            request = read(**fields)
        except BadInputError as error:
            assert error.tips
        else:
            assert request.messages
            assert json.loads(DOOR.plain(Told("r", "m", 1.0, request), Completion(text="x")))["output"]


class TestWholeAnswers:
    def test_a_response_repeats_its_request(self) -> None:
        found = said(
            Completion(text="ok", finish_reason="stop"), temperature=0.5, tools=[PATCH], metadata={"a": "b"}, store=True
        )
        assert found["id"] == "resp_r1"
        assert (found["object"], found["created_at"], found["model"]) == ("response", 7, "custom:m")
        assert (found["status"], found["error"], found["incomplete_details"], found["store"]) == (
            "completed", None, None, False,
        )  # fmt: skip
        assert (found["temperature"], found["tools"], found["metadata"]) == (0.5, [PATCH], {"a": "b"})
        assert (found["tool_choice"], found["parallel_tool_calls"]) == ("auto", True)

    @pytest.mark.parametrize("usage", [Usage(), Usage(prompt_tokens=3), Usage(completion_tokens=3)])
    def test_unknown_usage_is_null(self, usage: Usage) -> None:
        assert said(Completion(text="ok", usage=usage))["usage"] is None

    def test_unknown_details_are_null(self) -> None:
        assert said(Completion(text="ok", usage=Usage(3, 4)))["usage"] == {
            "input_tokens": 3,
            "input_tokens_details": None,
            "output_tokens": 4,
            "output_tokens_details": None,
            "total_tokens": 7,
        }

    def test_logprobs_stand_with_the_text(self) -> None:
        logprobs = [{"token": "ok", "bytes": [111, 107], "logprob": -0.1, "top_logprobs": []}]
        found = said(Completion(text="ok", logprobs={"content": logprobs}))
        assert found["output"][0]["content"][0]["logprobs"] == logprobs

    def test_text_between_calls_keeps_its_place(self) -> None:
        blocks = [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}},
            {"type": "text", "text": "and"},
            {"type": "tool_use", "id": "c2", "name": "g", "input": {}},
        ]
        kinds = [item["type"] for item in said(Completion(text="and", blocks=blocks))["output"]]
        assert kinds == ["reasoning", "function_call", "message", "function_call"]

    def test_freeform_input_that_no_model_wrapped_is_the_input(self) -> None:
        for arguments in ("*** Begin Patch", '{"patch": 1}', '"x"'):
            item = said(Completion(text="", tool_calls=[call("apply_patch", arguments)]), tools=[PATCH])["output"][0]
            assert (item["type"], item["input"]) == ("custom_tool_call", arguments)

    @pytest.mark.parametrize(
        ("tool", "name", "item"),
        [
            ({"type": "shell", "environment": {"type": "local"}}, "shell", {"type": "shell_call", "action": {"a": 1}}),
            ({"type": "apply_patch"}, "apply_patch", {"type": "apply_patch_call", "operation": {"a": 1}}),
            (
                {"type": "tool_search", "execution": "client"},
                "tool_search",
                {"type": "tool_search_call", "execution": "client", "arguments": {"a": 1}},
            ),
        ],
        ids=lambda one: str(one)[:20],
    )
    def test_calls_of_a_callers_own_tools(self, tool: dict[str, Any], name: str, item: dict[str, Any]) -> None:
        got = said(Completion(text="", tool_calls=[call(name, '{"a": 1}')]), tools=[tool])["output"][0]
        assert item.items() <= got.items()
        assert got["call_id"] == "c1"

    def test_without_a_request_calls_are_functions(self) -> None:
        completion = Completion(text="", tool_calls=[call("apply_patch", "{}")])
        found = json.loads(DOOR.plain(Told("r1", "m", 0.0), completion))
        assert found["output"][0]["type"] == "function_call"


class TestErrors:
    def test_an_error_has_openais_shape_and_our_tip(self) -> None:
        error = json.loads(DOOR.error(BadInputError("No.", tips=["Do this."]), 400))["error"]
        assert error == {
            "message": "No. Tip: Do this.",
            "type": "invalid_request_error",
            "param": None,
            "code": "bad_input",
        }

    def test_its_codes_are_openais_as_in_chat_completions(self) -> None:
        unknown, long = UnknownModelError("x"), ContextTooLongError("x")
        for error, code in ((unknown, "model_not_found"), (long, "context_length_exceeded")):
            assert json.loads(DOOR.error(error, 404))["error"]["code"] == code

    def test_the_upstreams_own_words_stay(self) -> None:
        details = {"upstream_code": "c", "upstream_type": "t", "upstream_param": "p"}
        error = json.loads(DOOR.error(RateLimitedError("Slow.", details=details), 429))["error"]
        assert (error["code"], error["type"], error["param"]) == ("c", "t", "p")

    @pytest.mark.parametrize(
        ("error", "status", "code"),
        [
            (UpstreamError("Broke."), 502, "server_error"),
            (RateLimitedError("Slow."), 429, "rate_limit_exceeded"),
            (ContextTooLongError("Long."), 400, "context_length_exceeded"),
            (BadInputError("No."), 400, "invalid_prompt"),
        ],
    )
    def test_a_broken_stream_ends_with_an_error_and_a_failed_response(self, error: Any, status: int, code: str) -> None:
        error.request_id = "r1"
        first, second, end = DOOR.broken(error, status).split(b"\n\n")
        flat = json.loads(first.removeprefix(b"event: error\ndata: "))
        failed = json.loads(second.removeprefix(b"event: response.failed\ndata: "))["response"]
        assert end == b""
        assert (flat["type"], flat["message"], flat["error"]["message"]) == ("error", error.message, error.message)
        assert (failed["id"], failed["status"]) == ("resp_r1", "failed")
        assert failed["error"] == {"code": code, "message": error.message}

    @pytest.mark.parametrize(
        ("sent", "numbers"),
        [
            (b"", [0, 1]),
            (b": ping\n\n", [0, 1]),
            (b'data: {"sequence_number":7}\n\ndata: {"sequence_number":8}\n\n', [9, 10]),
            (b'event: x\r\ndata: {"sequence_number": 41, "delta": "\\"sequence_number\\":7"}\r\n\r\n', [42, 43]),
            (b'data: {"sequence_number":3}\n\ndata: {"type":"odd"}\n\ndata: [DONE]\n\n', [4, 5]),
        ],
    )
    def test_the_events_of_a_broken_stream_go_on_counting(self, sent: bytes, numbers: list[int]) -> None:
        events = DOOR.broken(UpstreamError("Broke."), 502, sent).split(b"\n\n")[:-1]
        assert [json.loads(event.partition(b"data: ")[2])["sequence_number"] for event in events] == numbers
