"""Golden files of Responses: a request in the shared words and as a chat; a chat's reply and stream as a response."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from beastmode.core.deltas import Begun, Delta, Relayed
from beastmode.core.types import Completion
from beastmode.wire.dialect import Told
from beastmode.wire.openai_chat import ChatStream, decode, encode
from beastmode.wire.responses import ResponsesStream
from beastmode.wire.responses import decode as decode_response
from beastmode.wire.responses_door import OpenAIResponses

GOLDEN = Path(__file__).parent / "golden" / "responses"
CASES = sorted(path.stem for path in GOLDEN.glob("*.json"))
DOOR = OpenAIResponses()


def walked(case: dict[str, Any]) -> dict[str, Any]:
    """Translates the request of a case and its two replies."""
    request = DOOR.read(json.dumps(case["request"]).encode(), {})
    told = Told("r1", "custom:qwen", 1_700_000_000.5, request)
    reply = decode(json.dumps(case["chat_reply"]).encode())
    deltas: list[Delta] = []
    stream = ChatStream(deltas.append)
    for chunk in [*map(json.dumps, case["chat_stream"]), "[DONE]"]:
        stream.feed(f"data: {chunk}\n\n".encode())
    completion = stream.finish()
    writer = DOOR.writer(told, request)
    pieces = [delta for delta in deltas if not isinstance(delta, Begun | Relayed)]
    sent = b"".join([writer.begin(), *map(writer.piece, pieces), writer.finish(completion)])
    return {
        "request": case["request"],
        "messages": msgspec.to_builtins(request.messages),
        "params": request.params,
        "chat_body": json.loads(encode(request, "qwen3", request.stream)),
        "chat_reply": case["chat_reply"],
        "response": json.loads(DOOR.plain(told, reply)),
        "chat_stream": case["chat_stream"],
        "events": [json.loads(event.partition(b"data: ")[2]) for event in sent.split(b"\n\n") if event],
    }


def case_of(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text())
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_case_is_translated_as_its_file_says(name: str) -> None:
    case = case_of(name)
    got = walked(case)
    for part, expected in case.items():
        assert got[part] == expected, part


@pytest.mark.parametrize("name", CASES)
def test_what_we_write_is_read_back_as_it_was(name: str) -> None:
    case = case_of(name)
    sent = b"".join(f"data: {json.dumps(event)}\n\n".encode() for event in case["events"])
    deltas: list[Delta] = []
    stream = ResponsesStream(deltas.append)
    assert stream.feed(sent)
    streamed = stream.finish()
    plain = decode_response(json.dumps(case["response"]).encode())
    upstream = decode(json.dumps(case["chat_reply"]).encode())
    for got in (streamed, plain):
        assert told_of(got) == told_of(upstream)


def told_of(completion: Completion) -> dict[str, Any]:
    """What an answer says, however its JSON is spaced."""
    calls = [
        {**call, "function": {**call["function"], "arguments": json.loads(call["function"]["arguments"])}}
        for call in completion.tool_calls
    ]
    usage = msgspec.structs.asdict(completion.usage)
    return {"text": completion.text, "reasoning": completion.reasoning, "calls": calls} | {
        "finish_reason": completion.finish_reason,
        "usage": usage,
    }


def test_there_are_cases() -> None:
    assert len(CASES) >= 12
