"""Chat Completions upstream: requests to bytes, also those that came in another protocol."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest

from beastmode.core.native import Native
from beastmode.core.types import Message, Request
from beastmode.wire.openai_chat import encode

FOUR = {"type": "text", "text": "4"}


def body(request: Request, stream: bool = False, **flags: bool) -> dict[str, Any]:
    return json.loads(encode(request, "qwen3", stream, **flags))


ASK = Request(model="custom:qwen", messages=[Message(role="user", content="hi 🦁")])


class TestRequests:
    def test_the_model_is_named_as_the_endpoint_knows_it(self) -> None:
        assert body(ASK) == {"model": "qwen3", "messages": [{"role": "user", "content": "hi 🦁"}]}

    def test_parameters_go_as_they_are_and_can_not_name_another_model(self) -> None:
        params = {
            "temperature": 0,
            "tools": [{"type": "function"}],
            "model": "other",
            "messages": [],
            "new": {"a": 1},
        }
        sent = body(Request(model="m", messages=ASK.messages, params=params))
        assert sent["model"] == "qwen3"
        assert sent["messages"] == [{"role": "user", "content": "hi 🦁"}]
        assert (sent["temperature"], sent["tools"], sent["new"]) == (0, [{"type": "function"}], {"a": 1})

    def test_a_stream_asks_for_its_usage(self) -> None:
        assert body(ASK, stream=True)["stream"] is True
        assert body(ASK, stream=True)["stream_options"] == {"include_usage": True}
        assert "stream_options" not in body(ASK, stream=True, usage_in_stream=False)

    def test_a_plain_call_is_no_stream_whatever_the_parameters_say(self) -> None:
        params = {"stream": True, "stream_options": {"include_usage": True}}
        sent = body(Request(model="m", messages=ASK.messages, params=params))
        assert "stream" not in sent
        assert "stream_options" not in sent

    def test_tool_calls_and_their_results_keep_their_shape(self) -> None:
        call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        messages = [
            Message(role="assistant", tool_calls=[call]),
            Message(role="tool", tool_call_id="c1", content="42"),
        ]
        assert body(Request(model="m", messages=messages))["messages"] == [
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "content": "42", "tool_call_id": "c1"},
        ]


class TestTranslatedRequests:
    """Requests that came in another protocol, or hold parts of one."""

    IMAGE: ClassVar[dict[str, Any]] = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}

    def sent(self, messages: list[Message], protocol: str = "anthropic_messages", **params: Any) -> dict[str, Any]:
        native = Native(protocol, b"{}") if protocol else None
        return body(Request(model="m", messages=messages, params=params, native=native))

    def test_only_documented_parameters_go_on(self) -> None:
        params = {"temperature": 0, "stop": ["x"], "top_k": 5, "thinking": {}, "betas": ["b"], "metadata": {}, "x": 1}
        assert self.sent(ASK.messages, **params).keys() == {"model", "messages", "temperature", "stop"}
        own = self.sent(ASK.messages, "openai_chat", top_k=5, x=1, _message_extras=[[0, {}]])
        assert own.keys() == {"model", "messages", "top_k", "x"}

    def test_only_functions_are_tools_and_they_lose_what_is_not_theirs(self) -> None:
        function = {"name": "f", "description": "d", "parameters": {"type": "object"}}
        mine = {"type": "function", "function": {**function, "x": 1}, "cache_control": {"type": "ephemeral"}}
        theirs = {"type": "web_search_20250305", "name": "web_search"}
        sent = self.sent(ASK.messages, tools=[mine, theirs], tool_choice="auto")
        assert sent["tools"] == [{"type": "function", "function": function}]
        assert sent["tool_choice"] == "auto"
        assert self.sent(ASK.messages, tools=[theirs], tool_choice="auto").keys() == {"model", "messages"}

    @pytest.mark.parametrize("protocol", ["anthropic_messages", ""])
    def test_parts_of_other_protocols_stay_behind(self, protocol: str) -> None:
        call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        parts = [{"type": "thinking", "thinking": "hm", "signature": "s"}, FOUR, {"type": "tool_use", "id": "c1"}]
        messages = [
            Message("assistant", parts, tool_calls=[call]),
            Message("assistant", parts[:1], tool_calls=[call]),
            Message("assistant", parts[:1]),
            Message("user", [FOUR, self.IMAGE, {"type": "document", "source": {}}]),
        ]
        assert self.sent(messages, protocol)["messages"] == [
            {"role": "assistant", "content": "4", "tool_calls": [call]},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "assistant", "content": ""},
            {"role": "user", "content": [FOUR, self.IMAGE]},
        ]

    def test_parts_keep_their_extras_within_the_protocol_only(self) -> None:
        marked = {**FOUR, "cache_control": {"type": "ephemeral"}}
        messages = [Message("user", [marked, self.IMAGE])]
        assert self.sent(messages)["messages"][0]["content"] == [FOUR, self.IMAGE]
        assert self.sent(messages, "")["messages"][0]["content"] == [marked, self.IMAGE]

    def test_images_of_tool_results_follow_them(self) -> None:
        messages = [
            Message("tool", [FOUR, self.IMAGE], tool_call_id="c1"),
            Message("tool", [self.IMAGE], tool_call_id="c2"),
            Message("user", "go on"),
            Message("tool", [self.IMAGE], tool_call_id="c3"),
        ]
        assert self.sent(messages)["messages"] == [
            {"role": "tool", "content": "4", "tool_call_id": "c1"},
            {"role": "tool", "content": "", "tool_call_id": "c2"},
            {"role": "user", "content": [self.IMAGE, self.IMAGE]},
            {"role": "user", "content": "go on"},
            {"role": "tool", "content": "", "tool_call_id": "c3"},
            {"role": "user", "content": [self.IMAGE]},
        ]
