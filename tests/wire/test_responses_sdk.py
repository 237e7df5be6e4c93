"""OpenAI's own SDK reads what the Responses door writes: answers, typed streams, tools, parsed objects, errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import openai
import pytest
from openai.types.responses import ResponseCustomToolCall, ResponseFunctionToolCall, ResponseReasoningItem
from pydantic import BaseModel

from beastmode.core.deltas import pieces_of
from beastmode.core.errors import BeastError, UpstreamError
from beastmode.core.types import Completion, Request, Usage
from beastmode.wire.dialect import Told
from beastmode.wire.responses_door import OpenAIResponses

DOOR = OpenAIResponses()
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}
PATCH: Any = {"type": "custom", "name": "apply_patch"}
CALLS = [
    {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bern"}'}},
    {"id": "c2", "type": "function", "function": {"name": "apply_patch", "arguments": '{"input":"*** Begin"}'}},
]
FULL = Completion(
    text="Grüße 🦁",
    reasoning="Hm.",
    tool_calls=CALLS,
    finish_reason="tool_calls",
    usage=Usage(9, 5, 4, None, 2),
)


class Number(BaseModel):
    """What the SDK is to make of an answer."""

    n: int


def sent(request: Request, completion: Completion, broken: BeastError | None) -> bytes:
    told = Told("r1", "custom:m", 1_700_000_000.0, request)
    if not request.stream:
        return DOOR.plain(told, completion)
    writer = DOOR.writer(told, request)
    begun = b"".join([writer.begin(), *map(writer.piece, pieces_of(completion))])
    if broken is None:
        return begun + writer.finish(completion)
    broken.request_id = "r1"
    return begun + DOOR.broken(broken, 502)


@contextmanager
def client(
    completion: Completion = FULL, broken: BeastError | None = None, seen: Callable[[Request], None] | None = None
) -> Iterator[openai.OpenAI]:
    """An SDK's client whose server answers as the door does."""

    def answer(asked: httpx2.Request) -> httpx2.Response:
        try:
            request = DOOR.read(asked.read(), dict(asked.headers))
        except BeastError as error:
            return httpx2.Response(400, content=DOOR.error(error, 400), headers={"content-type": "application/json"})
        if seen is not None:
            seen(request)
        kind = "text/event-stream" if request.stream else "application/json"
        return httpx2.Response(200, content=sent(request, completion, broken), headers={"content-type": kind})

    with (
        httpx2.Client(transport=httpx2.MockTransport(answer)) as http,
        openai.OpenAI(base_url="http://localhost/v1", api_key="t", http_client=http, max_retries=0) as found,
    ):
        yield found


def test_a_plain_answer() -> None:
    with client() as sdk:
        got = sdk.responses.create(model="m", input="hi", tools=[WEATHER, PATCH], instructions="Be brief.")
    assert (got.output_text, got.status, got.id) == ("Grüße 🦁", "completed", "resp_r1")
    assert got.usage is not None
    assert got.usage.total_tokens == 14
    assert got.usage.input_tokens_details.cached_tokens == 4
    thought, _, function, custom = got.output
    assert isinstance(thought, ResponseReasoningItem)
    assert thought.summary[0].text == "Hm."
    assert isinstance(function, ResponseFunctionToolCall)
    assert (function.name, json.loads(function.arguments)) == ("weather", {"city": "Bern"})
    assert isinstance(custom, ResponseCustomToolCall)
    assert (custom.name, custom.input) == ("apply_patch", "*** Begin")
    assert [tool.type for tool in got.tools] == ["function", "custom"]
    assert got.instructions == "Be brief."


def test_every_field_that_the_sdk_asks_of_a_response_is_there() -> None:
    with client() as sdk:
        raw = json.loads(sdk.responses.with_raw_response.create(model="m", input="hi").text)
    needed = [name for name, field in openai.types.responses.Response.model_fields.items() if field.is_required()]
    assert set(needed) <= raw.keys()


def test_events_come_typed_and_numbered() -> None:
    with client() as sdk, sdk.responses.create(model="m", input="hi", tools=[PATCH], stream=True) as stream:
        events = list(stream)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "Grüße 🦁"
    assert [event.delta for event in events if event.type == "response.custom_tool_call_input.delta"] == ["*** Begin"]
    known = {type(event).__name__ for event in events}
    assert {"ResponseCreatedEvent", "ResponseReasoningSummaryTextDeltaEvent", "ResponseCompletedEvent"} <= known
    assert events[-1].type == "response.completed"


def test_a_stream_is_gathered_into_the_plain_answer() -> None:
    with client() as sdk:
        plain = sdk.responses.create(model="m", input="hi", tools=[WEATHER, PATCH])
        with sdk.responses.stream(model="m", input="hi", tools=[WEATHER, PATCH]) as stream:
            for _ in stream:
                pass
            gathered = stream.get_final_response()
    assert gathered.output_text == plain.output_text
    assert [item.type for item in gathered.output] == [item.type for item in plain.output]
    assert gathered.usage == plain.usage


def test_an_object_is_parsed_plain_and_streamed() -> None:
    asked: list[Request] = []
    with client(Completion(text='{"n": 3}', finish_reason="stop"), seen=asked.append) as sdk:
        assert sdk.responses.parse(model="m", input="A number.", text_format=Number).output_parsed == Number(n=3)
        with sdk.responses.stream(model="m", input="A number.", text_format=Number) as stream:
            assert stream.get_final_response().output_parsed == Number(n=3)
    for request in asked:
        form = request.params["response_format"]
        named = (form["type"], form["json_schema"]["name"], form["json_schema"]["strict"])
        assert named == ("json_schema", "Number", True)
        assert form["json_schema"]["schema"]["properties"].keys() == {"n"}


def test_a_conversation_goes_on_with_what_the_sdk_was_given() -> None:
    asked: list[Request] = []
    with client(seen=asked.append) as sdk:
        items: list[Any] = [{"role": "user", "content": "hi"}]
        items += sdk.responses.create(model="m", input=items, tools=[WEATHER, PATCH]).output
        items += [{"type": "function_call_output", "call_id": "c1", "output": "rain"}]
        items += [{"type": "custom_tool_call_output", "call_id": "c2", "output": "done"}]
        sdk.responses.create(model="m", input=items, tools=[WEATHER, PATCH])
    user, assistant, first, second = asked[1].messages
    assert (user.content, assistant.content, assistant.tool_calls) == ("hi", "Grüße 🦁", CALLS)
    assert [(one.tool_call_id, one.content) for one in (first, second)] == [("c1", "rain"), ("c2", "done")]


def test_unknown_usage_and_a_cut_answer() -> None:
    with client(Completion(text="cut", finish_reason="length")) as sdk:
        got = sdk.responses.create(model="m", input="hi")
        with sdk.responses.create(model="m", input="hi", stream=True) as stream:
            *_, last = stream
    assert (got.status, got.usage) == ("incomplete", None)
    assert got.incomplete_details is not None
    assert got.incomplete_details.reason == "max_output_tokens"
    assert last.type == "response.incomplete"


def test_a_refused_request_is_an_error_with_our_tip() -> None:
    with (
        client() as sdk,
        pytest.raises(openai.BadRequestError, match=r"previous_response_id.*whole conversation") as caught,
    ):
        sdk.responses.create(model="m", input="hi", previous_response_id="resp_0")
    assert (caught.value.code, caught.value.type) == ("bad_input", "invalid_request_error")


@pytest.mark.parametrize("gathered", [False, True])
def test_a_stream_that_breaks_raises(gathered: bool) -> None:
    error = UpstreamError("It broke off.", tips=["Try again."])
    with client(Completion(text="half"), error) as sdk:
        stream: Any = (
            sdk.responses.stream(model="m", input="hi")
            if gathered
            else sdk.responses.create(model="m", input="hi", stream=True)
        )
        with stream as events, pytest.raises(openai.APIError, match=r"It broke off\. Tip: Try again\."):
            list(events)
