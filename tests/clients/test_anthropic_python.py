"""Anthropic's Python SDK, unmodified, with a provider of its protocol behind the daemon and with one of another."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel

from support.door import Door
from support.scripted_provider import SIGNATURE
from support.scripts import PLAIN, THOUGHT
from support.waiting import until

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: Any = {"name": "get_weather", "description": "The weather of a town.", "input_schema": PARAMETERS}
BERN: Any = [{"role": "user", "content": "How is the weather in Bern?"}]
BOTH_TOWNS = pytest.mark.parametrize(("script", "towns"), [("weather", ["Bern"]), ("parallel", ["Bern", "Genève"])])


class Town(BaseModel):
    name: str
    inhabitants: int
    rivers: list[str]


@pytest.fixture
def client(door: Door) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=door.url, api_key=door.token, max_retries=0, timeout=20) as client:
        yield client


# -- messages -----------------------------------------------------------------------------------------------------


def test_a_message_is_answered(door: Door, client: anthropic.Anthropic, kind: str) -> None:
    model = door.model(kind, "plain")
    answer = client.messages.create(model=model, max_tokens=100, system="Be brief.", messages=BERN)
    assert [(block.type, getattr(block, "text", None)) for block in answer.content] == [("text", PLAIN)]
    assert (answer.role, answer.stop_reason) == ("assistant", "end_turn")
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0
    assert "Be brief." in json.dumps(door.calls(model)[0].body)
    assert [row["outcome"] for row in door.rows(model)] == ["success"]


def test_the_token_may_come_as_a_bearer_too(door: Door, kind: str) -> None:
    with anthropic.Anthropic(base_url=door.url, auth_token=door.token, max_retries=0) as client:
        answer = client.messages.create(model=door.model(kind, "plain"), max_tokens=100, messages=BERN)
    assert answer.stop_reason == "end_turn"


def test_a_message_is_streamed(door: Door, client: anthropic.Anthropic, kind: str) -> None:
    with client.messages.stream(model=door.model(kind, "plain"), max_tokens=100, messages=BERN) as stream:
        texts = list(stream.text_stream)
        final = stream.get_final_message()
    assert "".join(texts) == PLAIN
    assert len(texts) > 3
    assert (final.stop_reason, final.content[0].type) == ("end_turn", "text")
    assert final.usage.input_tokens > 0
    assert final.usage.output_tokens > 0


def test_the_events_of_a_stream_come_in_their_order(door: Door, client: anthropic.Anthropic, kind: str) -> None:
    events: Any = list(
        client.messages.create(model=door.model(kind, "plain"), max_tokens=100, messages=BERN, stream=True)
    )
    kinds = [event.type for event in events if event.type not in ("ping", "content_block_delta")]
    assert kinds == ["message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"]
    assert events[0].message.usage.input_tokens + events[0].message.usage.output_tokens > 0


def test_a_hit_is_a_stream_like_any_other(door: Door, client: anthropic.Anthropic, kind: str) -> None:
    model = door.model(kind, "plain")
    for _ in range(2):
        with client.messages.stream(model=model, max_tokens=100, messages=BERN) as stream:
            assert "".join(stream.text_stream) == PLAIN
            assert stream.get_final_message().usage.input_tokens > 0
    assert len(door.calls(model)) == 1


def test_an_image_goes_to_the_model_as_it_is(door: Door, client: anthropic.Anthropic, kind: str) -> None:
    model = door.model(kind, "plain")
    source: Any = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    content: Any = [{"type": "image", "source": source}, {"type": "text", "text": "What is this?"}]
    client.messages.create(model=model, max_tokens=100, messages=[{"role": "user", "content": content}])
    assert PIXEL in json.dumps(door.calls(model)[0].body["messages"])


def test_a_stream_that_is_closed_stops_the_provider(door: Door, client: anthropic.Anthropic, kind: str) -> None:
    model = door.model(kind, "slow")
    with client.messages.stream(model=model, max_tokens=100, messages=BERN) as stream:
        assert next(stream.text_stream)
    until(lambda: door.calls(model)[0].ended == "left")
    until(lambda: bool(door.rows(model)))
    assert [row["outcome"] for row in door.rows(model)] == ["cancelled"]


def test_a_stream_that_breaks_off_is_an_error_and_nothing_is_stored(
    door: Door, client: anthropic.Anthropic, kind: str
) -> None:
    model = door.model(kind, "cut")
    for _ in range(2):
        texts = []
        with (
            pytest.raises(anthropic.APIStatusError) as caught,
            client.messages.stream(model=model, max_tokens=100, messages=BERN) as stream,
        ):
            texts.extend(stream.text_stream)
        assert PLAIN.startswith("".join(texts))
        assert shape_of(caught.value) in ("api_error", "overloaded_error")
    assert [row["outcome"] for row in door.rows(model)] == ["failure", "failure"]


# -- tools --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@BOTH_TOWNS
def test_tools_are_called_and_their_results_come_back(
    door: Door, client: anthropic.Anthropic, kind: str, script: str, towns: list[str], stream: bool
) -> None:
    model = door.model(kind, script)
    first = message_to(client, stream, model=model, messages=BERN, tools=[WEATHER])
    uses = [block for block in first.content if block.type == "tool_use"]
    assert first.stop_reason == "tool_use"
    assert [use.input for use in uses] == [{"city": town} for town in towns]
    results = [{"type": "tool_result", "tool_use_id": use.id, "content": f"{i} degrees"} for i, use in enumerate(uses)]
    messages = [*BERN, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    second = message_to(client, stream, model=model, messages=messages, tools=[WEATHER])
    assert second.content[0].text == "The tools said: " + "; ".join(f"{i} degrees" for i in range(len(towns)))


def message_to(client: anthropic.Anthropic, stream: bool, **asked: Any) -> Any:
    asked = {"max_tokens": 100, **asked}
    if not stream:
        return client.messages.create(**asked)
    with client.messages.stream(**asked) as events:
        return events.get_final_message()


def test_a_tool_can_be_forced(door: Door, client: anthropic.Anthropic, kind: str) -> None:
    choice: Any = {"type": "tool", "name": "get_weather"}
    answer = client.messages.create(
        model=door.model(kind, "plain"), max_tokens=100, messages=BERN, tools=[WEATHER], tool_choice=choice
    )
    assert [getattr(block, "name", block.type) for block in answer.content] == ["get_weather"]


def test_an_answer_takes_the_shape_of_a_class(door: Door, client: anthropic.Anthropic, kind: str) -> None:
    answer = client.messages.parse(model=door.model(kind, "plain"), max_tokens=100, messages=BERN, output_format=Town)
    assert answer.parsed_output == Town(name="Bern", inhabitants=7, rivers=["Bern"])


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_thoughts_come_before_the_answer_where_they_are_wanted(
    door: Door, client: anthropic.Anthropic, kind: str, stream: bool
) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    model = door.model(kind, "think")
    answer = message_to(client, stream, model=model, messages=BERN, thinking=thinking, max_tokens=2000)
    thought, text = answer.content
    assert (thought.type, thought.thinking) == ("thinking", THOUGHT)
    assert thought.signature == (SIGNATURE if kind == "messages" else "")
    assert text.text == PLAIN


def test_a_signed_thought_goes_back_to_the_provider_as_it_came(door: Door, client: anthropic.Anthropic) -> None:
    model = door.model("messages", "think")
    asked: Any = {"model": model, "max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    first = message_to(client, True, messages=BERN, **asked)
    again: Any = [*BERN, {"role": "assistant", "content": first.content}, {"role": "user", "content": "And Basel?"}]
    client.messages.create(messages=again, **asked)
    block = door.calls(model)[1].body["messages"][1]["content"][0]
    assert block == {"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE}


# -- the rest -----------------------------------------------------------------------------------------------------


def test_tokens_are_counted(door: Door, client: anthropic.Anthropic, kind: str) -> None:
    model = door.model(kind, "plain")
    few = client.messages.count_tokens(model=model, messages=BERN).input_tokens
    many = client.messages.count_tokens(model=model, messages=[{"role": "user", "content": "word " * 500}]).input_tokens
    if kind == "messages":
        assert (few, many) == (4242, 4242)
    else:
        assert 0 < few < many


def test_models_are_listed_and_found(door: Door, client: anthropic.Anthropic, kind: str) -> None:
    model = door.model(kind, "plain")
    listed = {one.id: one for one in client.models.list()}
    assert {"auto", model} <= set(listed)
    assert listed[model].display_name
    assert client.models.retrieve(model).id == model
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("custom:nobody")


def test_long_lists_come_in_pages(door: Door, client: anthropic.Anthropic) -> None:
    ids = {door.model("chat", "plain") for _ in range(5)}
    assert ids <= {one.id for one in client.models.list(limit=2)}


def test_what_the_daemon_did_is_in_the_headers(door: Door, client: anthropic.Anthropic, kind: str) -> None:
    model = door.model(kind, "plain")
    ask = client.messages.with_raw_response.create
    miss, hit = (ask(model=model, max_tokens=100, messages=BERN) for _ in range(2))
    assert [reply.headers["x-beast-cache"] for reply in (miss, hit)] == ["miss", "hit_exact"]
    assert miss.headers["x-beast-model"] == model
    assert miss.headers["x-request-id" if kind == "chat" else "request-id"] == "req_upstream"
    ids = [reply.headers["x-beast-request-id"] for reply in (hit, miss)]
    assert [row["request_id"] for row in door.rows(model)] == ids


def test_one_answer_serves_both_protocols(door: Door, client: anthropic.Anthropic, kind: str) -> None:
    model = door.model(kind, "plain")
    with openai.OpenAI(base_url=f"{door.url}/v1", api_key=door.token, max_retries=0) as other:
        other.chat.completions.create(model=model, max_tokens=100, messages=BERN)
    answer = client.messages.with_raw_response.create(model=model, max_tokens=100, messages=BERN)
    assert answer.headers["x-beast-cache"] == "hit_exact"
    assert answer.parse().usage.input_tokens > 0
    assert len(door.calls(model)) == 1


def test_betas_reach_the_provider_that_knows_them(door: Door, client: anthropic.Anthropic) -> None:
    model = door.model("messages", "plain")
    client.beta.messages.create(model=model, max_tokens=100, messages=BERN, betas=["interleaved-thinking-2025-05-14"])
    assert door.calls(model)[0].headers["anthropic-beta"] == "interleaved-thinking-2025-05-14"
    assert door.calls(model)[0].headers["anthropic-version"] >= "2023-06-01"
    assert door.calls(model)[0].headers["x-api-key"] == "sk-anthropic"
    assert door.token not in json.dumps(door.calls(model)[0].headers)


# -- errors -------------------------------------------------------------------------------------------------------


def test_an_unknown_model(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.messages.create(model="anthropic:nobody", max_tokens=100, messages=BERN)
    assert "anthropic:nobody" in caught.value.message
    assert shape_of(caught.value) == "not_found_error"


def test_a_wrong_token(door: Door) -> None:
    with anthropic.Anthropic(base_url=door.url, api_key="wrong", max_retries=0) as client:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            client.messages.create(model="auto", max_tokens=100, messages=BERN)
        assert "beast token" in caught.value.message
        assert shape_of(caught.value) == "authentication_error"


@pytest.mark.parametrize("wrong", [{"messages": "hello"}, {"messages": []}, {"max_tokens": "many"}, {"tools": 1}])
def test_a_request_that_makes_no_sense(
    door: Door, client: anthropic.Anthropic, kind: str, wrong: dict[str, Any]
) -> None:
    model = door.model(kind, "plain")
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(model=model, max_tokens=100, messages=BERN, extra_body=wrong)
    assert next(iter(wrong)) in caught.value.message
    assert shape_of(caught.value) == "invalid_request_error"
    assert door.calls(model) == []


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("script", "expected", "name"),
    [
        ("e429", anthropic.RateLimitError, "rate_limit_error"),
        ("e500", anthropic.InternalServerError, "api_error"),
        ("e529", anthropic.OverloadedError, "overloaded_error"),
        ("e400", anthropic.BadRequestError, "invalid_request_error"),
    ],
)
def test_an_error_of_the_provider(
    door: Door, client: anthropic.Anthropic, kind: str, script: str, expected: Any, name: str, stream: bool
) -> None:
    model = door.model(kind, script)
    with pytest.raises(expected) as caught:
        client.messages.create(model=model, max_tokens=100, messages=BERN, stream=stream)
    error = caught.value
    assert f"the script says {script[1:]}" in error.message
    assert (error.status_code, shape_of(error)) == (int(script[1:]), name)
    assert [row["outcome"] for row in door.rows(model)] == ["failure"]
    if script == "e429":
        assert float(error.response.headers["retry-after"]) >= 1


def shape_of(error: anthropic.APIStatusError) -> str:
    body: Any = error.body
    assert body["type"] == "error"
    return str(body["error"]["type"])


@pytest.mark.parametrize("script", ["flaky-4", "busy-4"])
def test_the_sdk_tries_again_until_it_works(door: Door, kind: str, script: str) -> None:
    model = door.model(kind, script)
    with anthropic.Anthropic(base_url=door.url, api_key=door.token, max_retries=6, timeout=20) as client:
        answer = client.messages.create(model=model, max_tokens=100, messages=BERN)
    assert answer.stop_reason == "end_turn"
    assert len(door.calls(model)) == 5
