"""OpenAI's Python SDK, unmodified, with a provider of its protocol behind the daemon and with one of another."""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from support.door import Door
from support.scripts import CONTINUED, PLAIN, THOUGHT
from support.waiting import until

PIXEL = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER: Any = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS, "strict": True}}
WEATHER_OF_RESPONSES: Any = {"type": "function", "name": "get_weather", "parameters": PARAMETERS, "strict": True}
BERN: Any = [{"role": "user", "content": "How is the weather in Bern?"}]


class Town(BaseModel):
    name: str
    inhabitants: int
    rivers: list[str]


@pytest.fixture
def client(door: Door) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{door.url}/v1", api_key=door.token, max_retries=0, timeout=20) as client:
        yield client


# -- chat ---------------------------------------------------------------------------------------------------------


def test_a_chat_is_answered(door: Door, client: openai.OpenAI, kind: str) -> None:
    model = door.model(kind, "plain")
    answer = client.chat.completions.create(model=model, messages=BERN)
    assert answer.choices[0].message.content == PLAIN
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert [row["outcome"] for row in door.rows(model)] == ["success"]


def test_a_stream_comes_in_pieces_and_without_a_usage_that_nobody_asked_for(
    door: Door, client: openai.OpenAI, kind: str
) -> None:
    chunks = list(client.chat.completions.create(model=door.model(kind, "plain"), messages=BERN, stream=True))
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(texts) == PLAIN
    assert len([text for text in texts if text]) > 3
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_ends_with_its_usage_when_asked(door: Door, client: openai.OpenAI, kind: str) -> None:
    model = door.model(kind, "plain")
    stream = client.chat.completions.create(
        model=model, messages=BERN, stream=True, stream_options={"include_usage": True}
    )
    *_, last = stream
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.prompt_tokens > 0
    assert door.rows(model)[0]["usage"]["completion_tokens"] == last.usage.completion_tokens


def test_the_helper_for_streams_puts_a_message_together(door: Door, client: openai.OpenAI, kind: str) -> None:
    with client.chat.completions.stream(model=door.model(kind, "plain"), messages=BERN) as stream:
        texts = [event.delta for event in stream if event.type == "content.delta"]
        assert "".join(texts) == PLAIN
        assert stream.get_final_completion().choices[0].message.content == PLAIN


def test_a_hit_is_a_stream_like_any_other(door: Door, client: openai.OpenAI, kind: str) -> None:
    model = door.model(kind, "plain")
    for _ in range(2):
        stream = client.chat.completions.create(model=model, messages=BERN, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == PLAIN
    assert len(door.calls(model)) == 1


def test_an_image_goes_to_the_model_as_it_is(door: Door, client: openai.OpenAI, kind: str) -> None:
    model = door.model(kind, "plain")
    content: Any = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    client.chat.completions.create(model=model, messages=[{"role": "user", "content": content}])
    sent = json.dumps(door.calls(model)[0].body["messages"])
    assert PIXEL.partition(",")[2] in sent


def test_a_stream_that_is_closed_stops_the_provider(door: Door, client: openai.OpenAI, kind: str) -> None:
    model = door.model(kind, "slow")
    with client.chat.completions.create(model=model, messages=BERN, stream=True) as stream:
        assert next(iter(stream)).choices
    until(lambda: door.calls(model)[0].ended == "left")
    until(lambda: bool(door.rows(model)))
    assert [row["outcome"] for row in door.rows(model)] == ["cancelled"]


def test_a_stream_that_breaks_off_is_an_error_and_nothing_is_stored(
    door: Door, client: openai.OpenAI, kind: str
) -> None:
    model = door.model(kind, "cut")
    for _ in range(2):
        chunks: list[Any] = []
        with pytest.raises(openai.APIError):
            chunks.extend(client.chat.completions.create(model=model, messages=BERN, stream=True))
        assert PLAIN.startswith("".join(chunk.choices[0].delta.content or "" for chunk in chunks))
    assert [row["outcome"] for row in door.rows(model)] == ["failure", "failure"]
    assert len(door.calls(model)) >= 2


# -- tools --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("script", "towns"), [("weather", ["Bern"]), ("parallel", ["Bern", "Genève"])])
def test_tools_are_called_and_their_results_come_back(
    door: Door, client: openai.OpenAI, kind: str, script: str, towns: list[str]
) -> None:
    model = door.model(kind, script)
    first = client.chat.completions.create(model=model, messages=BERN, tools=[WEATHER])
    calls: Any = first.choices[0].message.tool_calls
    assert first.choices[0].finish_reason == "tool_calls"
    assert [json.loads(call.function.arguments) for call in calls] == [{"city": town} for town in towns]
    results = [{"role": "tool", "tool_call_id": call.id, "content": f"{i} degrees"} for i, call in enumerate(calls)]
    messages: Any = [*BERN, first.choices[0].message, *results]
    second = client.chat.completions.create(model=model, messages=messages, tools=[WEATHER])
    said = "; ".join(f"{i} degrees" for i in range(len(towns)))
    assert second.choices[0].message.content == f"The tools said: {said}"


@pytest.mark.parametrize(("script", "towns"), [("weather", ["Bern"]), ("parallel", ["Bern", "Genève"])])
def test_calls_of_tools_are_streamed(
    door: Door, client: openai.OpenAI, kind: str, script: str, towns: list[str]
) -> None:
    with client.chat.completions.stream(
        model=door.model(kind, script), messages=BERN, tools=[openai.pydantic_function_tool(City, name="get_weather")]
    ) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        choice = stream.get_final_completion().choices[0]
    assert [event.parsed_arguments for event in done] == [City(city=town) for town in towns]
    assert choice.finish_reason == "tool_calls"
    assert len({call.id for call in choice.message.tool_calls or []}) == len(towns)


class City(BaseModel):
    city: str


def test_a_tool_can_be_forced(door: Door, client: openai.OpenAI, kind: str) -> None:
    choice: Any = {"type": "function", "function": {"name": "get_weather"}}
    answer = client.chat.completions.create(
        model=door.model(kind, "plain"), messages=BERN, tools=[WEATHER], tool_choice=choice
    )
    calls: Any = answer.choices[0].message.tool_calls
    assert [call.function.name for call in calls] == ["get_weather"]


def test_an_answer_takes_the_shape_of_a_class(door: Door, client: openai.OpenAI, kind: str) -> None:
    answer = client.chat.completions.parse(model=door.model(kind, "plain"), messages=BERN, response_format=Town)
    assert answer.choices[0].message.parsed == Town(name="Bern", inhabitants=7, rivers=["Bern"])


# -- responses ----------------------------------------------------------------------------------------------------


def test_a_response(door: Door, client: openai.OpenAI, kind: str) -> None:
    model = door.model(kind, "plain")
    answer = client.responses.create(model=model, instructions="Be brief.", input="What is Bern?")
    assert answer.output_text == PLAIN
    assert answer.status == "completed"
    assert answer.usage is not None
    assert answer.usage.input_tokens > 0
    assert "Be brief." in json.dumps(door.calls(model)[0].body)


def test_a_response_is_streamed_as_typed_events_up_to_its_usage(door: Door, client: openai.OpenAI, kind: str) -> None:
    events: Any = list(
        client.responses.create(model=door.model(kind, "plain"), input="What is Bern?", stream=True, store=True)
    )
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == PLAIN
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == PLAIN
    assert events[-1].response.usage.output_tokens > 0
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_the_helper_for_streams_puts_a_response_together(door: Door, client: openai.OpenAI, kind: str) -> None:
    with client.responses.stream(model=door.model(kind, "plain"), input="A town, please", text_format=Town) as stream:
        stream.until_done()
        assert stream.get_final_response().output_parsed == Town(name="Bern", inhabitants=7, rivers=["Bern"])


def test_a_response_takes_the_shape_of_a_class(door: Door, client: openai.OpenAI, kind: str) -> None:
    answer = client.responses.parse(model=door.model(kind, "plain"), input="A town, please", text_format=Town)
    assert answer.output_parsed == Town(name="Bern", inhabitants=7, rivers=["Bern"])


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(("script", "towns"), [("weather", ["Bern"]), ("parallel", ["Bern", "Genève"])])
def test_tools_of_a_response(
    door: Door, client: openai.OpenAI, kind: str, script: str, towns: list[str], stream: bool
) -> None:
    model = door.model(kind, script)
    asked: Any = {"model": model, "tools": [WEATHER_OF_RESPONSES], "store": False}
    first = response_to(client, stream, input=BERN, **asked)
    calls = [item for item in first.output if item.type == "function_call"]
    assert [json.loads(call.arguments) for call in calls] == [{"city": town} for town in towns]
    results = [
        {"type": "function_call_output", "call_id": call.call_id, "output": f"{i} degrees"}
        for i, call in enumerate(calls)
    ]
    second = response_to(client, stream, input=[*BERN, *first.output, *results], **asked)
    assert second.output_text.startswith("The tools said: 0 degrees")


def response_to(client: openai.OpenAI, stream: bool, **asked: Any) -> Any:
    if not stream:
        return client.responses.create(**asked)
    *_, last = client.responses.create(stream=True, **asked)
    return last.response


def test_thoughts_are_an_item_of_a_response(door: Door, client: openai.OpenAI, kind: str) -> None:
    for stream in (False, True):
        answer = response_to(client, stream, model=door.model(kind, "think"), input="What is Bern?")
        assert [item.type for item in answer.output] == ["reasoning", "message"]
        assert THOUGHT in json.dumps(answer.output[0].model_dump(mode="json"))
        assert answer.output_text == PLAIN


def test_earlier_responses_are_not_kept_and_that_is_said(door: Door, client: openai.OpenAI, kind: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=door.model(kind, "plain"), input="And then?", previous_response_id="resp_1")
    assert "previous_response_id" in caught.value.message
    assert "input" in caught.value.message


def test_a_response_that_breaks_off_is_an_error(door: Door, client: openai.OpenAI, kind: str) -> None:
    model = door.model(kind, "cut")
    events: list[Any] = []
    try:
        events.extend(client.responses.create(model=model, input="What is Bern?", stream=True))
    except openai.APIError:
        pass
    else:
        assert events[-1].type in ("response.failed", "error")
    assert [row["outcome"] for row in door.rows(model)] == ["failure"]


# -- the rest -----------------------------------------------------------------------------------------------------


def test_a_gap_in_a_text_is_filled(door: Door, client: openai.OpenAI, kind: str) -> None:
    model = door.model(kind, "plain")
    answer = client.completions.create(model=model, prompt="def add(a, b):\n", suffix="\n\nadd(1, 2)\n", max_tokens=50)
    assert answer.choices[0].text == (CONTINUED if kind == "chat" else PLAIN)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 0


@pytest.mark.parametrize("form", [None, "base64", "float"])
def test_embeddings(door: Door, client: openai.OpenAI, form: Any) -> None:
    asked = {"encoding_format": form} if form else {}  # by itself, the SDK asks for base64 and decodes it
    made = client.embeddings.create(model=door.model("chat", "plain"), input=["Bern", "Genève"], **asked)
    vectors: Any = [item.embedding for item in made.data]
    if form == "base64":
        vectors = [list(struct.unpack("<4f", base64.b64decode(vector))) for vector in vectors]
    assert vectors == [[4.0, 0.0, 0.5, -1.0], [6.0, 0.0, 0.5, -1.0]]
    assert made.usage.prompt_tokens == 6


def test_a_provider_without_embeddings_says_so(door: Door, client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.embeddings.create(model=door.model("messages", "plain"), input="Bern")
    assert 400 <= caught.value.status_code < 500
    assert "embed" in caught.value.message.lower()


def test_models_are_listed_and_found(door: Door, client: openai.OpenAI, kind: str) -> None:
    model = door.model(kind, "plain")
    assert {"auto", model} <= {one.id for one in client.models.list()}
    assert client.models.retrieve(model).id == model
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("custom:nobody")


def test_what_the_daemon_did_is_in_the_headers(door: Door, client: openai.OpenAI, kind: str) -> None:
    model = door.model(kind, "plain")
    ask = client.chat.completions.with_raw_response.create
    miss, hit = (ask(model=model, messages=BERN, extra_headers={"x-beast-tags": "a,b"}) for _ in range(2))
    assert miss.parse().choices[0].message.content == hit.parse().choices[0].message.content == PLAIN
    assert [reply.headers["x-beast-cache"] for reply in (miss, hit)] == ["miss", "hit_exact"]
    assert miss.headers["x-beast-model"] == model
    assert miss.headers["x-beast-provider"] == ("custom" if kind == "chat" else "anthropic")
    assert float(miss.headers["x-beast-overhead-ms"]) > 0
    assert miss.headers["x-beast-route"]
    assert miss.headers["x-request-id" if kind == "chat" else "request-id"] == "req_upstream"
    ids = [reply.headers["x-beast-request-id"] for reply in (hit, miss)]
    assert [row["request_id"] for row in door.rows(model)] == ids


# -- errors -------------------------------------------------------------------------------------------------------


def test_an_unknown_model(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="custom:nobody", messages=BERN)
    assert "custom:nobody" in caught.value.message
    assert re.search(r"did you mean custom:|beast models", caught.value.message)  # whichever name is near, if one is


def test_a_wrong_token(door: Door) -> None:
    with openai.OpenAI(base_url=f"{door.url}/v1", api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            client.models.list()
        assert "beast token" in caught.value.message


@pytest.mark.parametrize("wrong", [{"messages": "hello"}, {"messages": []}, {"temperature": "hot"}, {"stream": "yes"}])
def test_a_request_that_makes_no_sense(door: Door, client: openai.OpenAI, kind: str, wrong: dict[str, Any]) -> None:
    model = door.model(kind, "plain")
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=model, messages=BERN, extra_body=wrong)
    assert next(iter(wrong)) in caught.value.message
    assert door.calls(model) == []


def test_a_request_can_not_choose_where_it_goes(door: Door, client: openai.OpenAI, kind: str) -> None:
    model = door.model(kind, "plain")
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=model, messages=BERN, extra_body={"api_base": door.provider.url})
    assert "api_base" in caught.value.message


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("script", "expected"),
    [("e429", openai.RateLimitError), ("e500", openai.InternalServerError), ("e400", openai.BadRequestError)],
)
def test_an_error_of_the_provider(
    door: Door, client: openai.OpenAI, kind: str, script: str, expected: Any, stream: bool
) -> None:
    model = door.model(kind, script)
    with pytest.raises(expected) as caught:
        client.chat.completions.create(model=model, messages=BERN, stream=stream)
    error = caught.value
    assert f"the script says {script[1:]}" in error.message
    assert error.status_code == int(script[1:])
    assert isinstance(error.body, dict)
    assert {"message", "type", "code"} <= set(error.body)
    assert [row["outcome"] for row in door.rows(model)] == ["failure"]
    if script == "e429":
        assert float(error.response.headers["retry-after"]) >= 1
        kept = "x-ratelimit-remaining-requests" if kind == "chat" else "anthropic-ratelimit-requests-remaining"
        assert error.response.headers[kept] == "41"


@pytest.mark.parametrize("script", ["flaky-4", "busy-4"])
def test_the_sdk_tries_again_until_it_works(door: Door, kind: str, script: str) -> None:
    model = door.model(kind, script)
    with openai.OpenAI(base_url=f"{door.url}/v1", api_key=door.token, max_retries=6, timeout=20) as client:
        answer = client.chat.completions.create(model=model, messages=BERN)
    assert answer.choices[0].message.content == PLAIN
    assert len(door.calls(model)) == 5
