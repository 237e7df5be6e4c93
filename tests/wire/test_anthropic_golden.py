"""Golden files of the translation between Anthropic's Messages and everything else, both ways.

Each file in golden/anthropic/ is a worked example:

- request_*: a body, the messages and parameters it is read as, the Chat Completions body made of them for another
  provider, and the Messages body made of them anew.
- answer_*: a completion, and the message and the events it is told with.
- chat_*: chunks of a Chat Completions stream, and the events they become.
- upstream_*: a reply of Anthropic's and the events that say the same, and the completion and pieces they are read as.
- errors: errors, and the bodies they become.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from beastmode.core import errors
from beastmode.core.deltas import Delta, pieces_of
from beastmode.core.types import Completion, Request
from beastmode.wire import openai_chat
from beastmode.wire.anthropic import MessageStream, decode
from beastmode.wire.anthropic_door import AnthropicMessages
from beastmode.wire.anthropic_request import body_of
from beastmode.wire.dialect import Told

GOLDEN = Path(__file__).parent / "golden" / "anthropic"
DOOR = AnthropicMessages()
ASK = {
    "thinking": {"type": "adaptive"},
    "model": "m",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "How is the weather in Bern?"}],
}
Case = dict[str, Any]


def files(kind: str) -> pytest.MarkDecorator:
    """Every golden file of a kind."""
    found = sorted(GOLDEN.glob(f"{kind}_*.json"))
    assert found
    return pytest.mark.parametrize("case", [json.loads(f.read_bytes()) for f in found], ids=[f.stem for f in found])


def read(body: Case) -> Request:
    return DOOR.read(json.dumps(body).encode(), {"anthropic-version": "2023-06-01"})


def canonical_of(request: Request) -> Case:
    return msgspec.to_builtins({"messages": request.messages, "params": request.params, "stream": request.stream})


def told(request: Request) -> Told:
    return Told(request_id="req1", model="m", created_s=0.0, request=request)


def events_in(raw: bytes) -> list[Case]:
    """The events of a stream, whose names must be their types."""
    found = []
    for event in raw.decode().split("\n\n")[:-1]:
        name, data = event.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def written(completion: Completion, deltas: list[Delta]) -> list[Case]:
    writer = DOOR.writer(told(read(ASK)), read(ASK))
    pieces = [writer.piece(delta) for delta in deltas]
    return events_in(b"".join([writer.begin(), *pieces, writer.finish(completion)]))


def of_request(body: Case) -> Case:
    request = read(body)
    return {
        "canonical": canonical_of(request),
        "chat": json.loads(openai_chat.encode(request, "theirs", request.stream)),
        "again": body_of(msgspec.structs.replace(request, native=None), body["model"]),
    }


def of_completion(given: Case) -> Case:
    completion = msgspec.convert(given, Completion)
    message = json.loads(DOOR.plain(told(read(ASK)), completion))
    return {"message": message, "events": written(completion, list(pieces_of(completion)))}


def of_chunks(chunks: list[Case]) -> list[Case]:
    deltas: list[Delta] = []
    stream = openai_chat.ChatStream(deltas.append)
    for chunk in chunks:
        stream.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    stream.feed(b"data: [DONE]\n\n")
    return written(stream.finish(), deltas)


def of_reply(reply: Case) -> Case:
    completion = decode(json.dumps(reply).encode())
    return {
        "completion": msgspec.to_builtins(completion),
        "pieces": [piece if isinstance(piece, str) else msgspec.to_builtins(piece) for piece in pieces_of(completion)],
    }


def of_events(events: list[Case]) -> tuple[Completion, list[Delta]]:
    deltas: list[Delta] = []
    stream = MessageStream(deltas.append)
    for event in events:
        stream.feed(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
    return stream.finish(), deltas


@files("request")
def test_a_request_is_read_and_asked_of_others_and_of_anthropic(case: Case) -> None:
    assert of_request(case["anthropic"]) == {name: case[name] for name in ("canonical", "chat", "again")}


@files("request")
def test_a_request_that_was_translated_back_is_the_same_question(case: Case) -> None:
    first = canonical_of(read(case["again"]))
    assert body_of(read(case["again"]), case["again"]["model"]) == case["again"]
    assert canonical_of(read(body_of(read(case["again"]), "m"))) == first


@files("answer")
def test_an_answer_is_told_whole_and_as_events(case: Case) -> None:
    assert of_completion(case["completion"]) == {"message": case["message"], "events": case["events"]}


@files("answer")
def test_both_ways_tell_the_same(case: Case) -> None:
    streamed, _ = of_events(case["events"])
    plain = decode(json.dumps(case["message"]).encode())
    assert (streamed.text, streamed.reasoning, streamed.blocks) == (plain.text, plain.reasoning, plain.blocks)
    assert [json.loads(call["function"]["arguments"]) for call in streamed.tool_calls] == [
        json.loads(call["function"]["arguments"]) for call in plain.tool_calls
    ]
    assert streamed.usage == plain.usage or case["completion"].get("usage", {}).get("prompt_tokens") is None
    assert (streamed.finish_reason, streamed.stop_sequence) == (plain.finish_reason, plain.stop_sequence)


@files("chat")
def test_a_chat_stream_becomes_events(case: Case) -> None:
    assert of_chunks(case["chunks"]) == case["events"]


@files("upstream")
def test_a_reply_is_read(case: Case) -> None:
    assert of_reply(case["reply"]) == {"completion": case["completion"], "pieces": case["pieces"]}


@files("upstream")
def test_a_stream_is_read_as_the_reply_that_says_the_same(case: Case) -> None:
    completion, _ = of_events(case["events"])
    assert msgspec.to_builtins(completion) == case["completion"]


@files("upstream")
def test_what_anthropic_said_is_told_as_it_said_it(case: Case) -> None:
    completion, deltas = of_events(case["events"])
    message = json.loads(DOOR.plain(told(read(ASK)), completion))
    assert message["content"] == case["reply"]["content"]
    assert message["stop_reason"] == case["reply"]["stop_reason"]
    if completion.whole:
        again, _ = of_events(written(completion, deltas))
        kept = {"model": completion.model, "usage": completion.usage, "billing": completion.billing}
        assert msgspec.structs.replace(again, **kept) == completion


@pytest.mark.parametrize("case", json.loads((GOLDEN / "errors.json").read_bytes()), ids=lambda case: case["kind"])
def test_an_error_is_told_in_anthropics_words(case: Case) -> None:
    error = errors.KINDS[case["kind"]](case["message"], tips=case["tips"], request_id="req1", details=case["details"])
    assert json.loads(DOOR.error(error, case["status"])) == case["body"]
    assert events_in(DOOR.broken(error, case["status"])) == [case["body"]]
