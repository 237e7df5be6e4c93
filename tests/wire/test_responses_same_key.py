"""One question has one cache key, whether it comes as a chat or as a response."""

from __future__ import annotations

import json
from typing import Any

import pytest

from beastmode.cache.key import make_key
from beastmode.wire.openai_chat_door import OpenAIChat
from beastmode.wire.responses_door import OpenAIResponses

HI = [{"role": "user", "content": "hi"}]
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}
FUNCTION = {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SAME: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a system prompt and a bound": (
        {"input": "hi", "instructions": "Be brief.", "max_output_tokens": 5},
        {"messages": [{"role": "system", "content": "Be brief."}, *HI], "max_tokens": 5},
    ),
    "several parts": (
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": one} for one in "ab"]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": one} for one in "ab"]}]},
    ),
    "an image": (
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://example.com/a.png"}]}]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}
            ]
        },
    ),
    "a schema": (
        {"input": "hi", "text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA, "strict": True}}},
        {
            "messages": HI,
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}},
        },
    ),
    "any JSON": (
        {"input": "hi", "text": {"format": {"type": "json_object"}}},
        {"messages": HI, "response_format": {"type": "json_object"}},
    ),
    "tools": (
        {
            "input": "hi",
            "tools": [{"type": "function", **FUNCTION}],
            "tool_choice": {"type": "function", "name": "f"},
            "parallel_tool_calls": False,
        },
        {
            "messages": HI,
            "tools": [{"type": "function", "function": FUNCTION}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "parallel_tool_calls": False,
        },
    ),
    "calls and their results": (
        {
            "input": [
                *HI,
                {"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "x"},
            ]
        },
        {
            "messages": [
                *HI,
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c", "content": "x"},
            ]
        },
    ),
    "parameters": (
        {
            "input": "hi",
            "reasoning": {"effort": "low"},
            "text": {"verbosity": "low"},
            "top_p": 1,
            "service_tier": "flex",
        },
        {"messages": HI, "reasoning_effort": "low", "verbosity": "low", "top_p": 1.0, "service_tier": "flex"},
    ),
    "logprobs": (
        {"input": "hi", "include": ["message.output_text.logprobs"], "top_logprobs": 2},
        {"messages": HI, "logprobs": True, "top_logprobs": 2},
    ),
    "how it travels": (
        {"input": "hi", "store": True, "prompt_cache_key": "k", "stream": True},
        {"messages": HI, "store": False, "stream": True, "stream_options": {"include_usage": True}},
    ),
    "who asks": ({"input": "hi", "user": "ann"}, {"messages": HI, "user": "ann"}),
}


@pytest.mark.parametrize("name", SAME)
def test_both_doors_give_one_key(name: str) -> None:
    response, chat = SAME[name]
    read = OpenAIResponses().read(json.dumps({"model": "m", **response}).encode(), {})
    assert make_key(read) == make_key(OpenAIChat().read(json.dumps({"model": "m", **chat}).encode(), {}))
