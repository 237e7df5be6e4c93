"""Golden files of Chat Completions: what a caller asks, what a provider answers, and what becomes of both on the way.

Each file in `golden/openai_chat` is one exchange: `request` as a caller sends it, `canonical` what is made of it,
`sent` what a provider of the same protocol gets where it is not relayed; `reply` and `stream` as the provider sends
them, `completion` and `pieces` what is made of them, `rendered` and `rendered_stream` what a caller gets of a stored
answer.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from beastmode.core.deltas import Delta, Relayed, Thought, ToolPiece, pieces_of
from beastmode.core.types import Completion, Request, Usage
from beastmode.wire import faults
from beastmode.wire.dialect import Told
from beastmode.wire.openai_chat import PROTOCOL, ChatStream, decode, encode
from beastmode.wire.openai_chat_door import OpenAIChat
from beastmode.wire.target import Errand, target

FOLDER = Path(__file__).parent / "golden" / "openai_chat"
EXCHANGES = {file.stem: json.loads(file.read_text("utf-8")) for file in sorted(FOLDER.glob("*.json"))}
ERRORS = [json.loads(line) for line in (FOLDER / "errors.jsonl").read_text("utf-8").splitlines()]
CHAT = OpenAIChat()
TOLD = Told("r1", "custom:m", 1700000000.0)

exchanges = pytest.mark.parametrize("golden", EXCHANGES.values(), ids=EXCHANGES)


def request_of(golden: dict[str, Any]) -> Request:
    return CHAT.read(json.dumps(golden["request"]).encode(), {})


def events_of(golden: dict[str, Any], end: str = "\n") -> bytes:
    """The provider's stream, with its comment and its unknown fields."""
    data = [chunk if isinstance(chunk, str) else json.dumps(chunk, ensure_ascii=False) for chunk in golden["stream"]]
    return (f": begin{end}{end}" + "".join(f"data: {one}{end}{end}" for one in data)).encode()


def read_stream(pieces: list[bytes], relay: bool = True) -> tuple[Completion, list[Delta]]:
    deltas: list[Delta] = []
    reader = ChatStream(deltas.append, relay)
    for piece in pieces:
        if reader.feed(piece):
            break
    return reader.finish(), deltas


def plainly(completion: Completion) -> dict[str, Any]:
    told = msgspec.to_builtins(completion)
    told.pop("billing", None)  # what a price depends on: tests/costs
    told["usage"] = {name: count for name, count in msgspec.to_builtins(completion.usage).items() if count is not None}
    return told


def canonical(deltas: list[Delta]) -> list[Any]:
    """Pieces of one kind in a row joined: where the network cut them says nothing."""
    return [one if isinstance(one, str) else [type(one).__name__, msgspec.to_builtins(one)] for one in deltas]


@exchanges
class TestExchanges:
    def test_the_request_is_read(self, golden: dict[str, Any]) -> None:
        request = request_of(golden)
        got = {
            "model": request.model,
            "messages": msgspec.to_builtins(request.messages),
            "params": request.params,
            "user": request.user,
            "stream": request.stream,
        }
        assert got == golden["canonical"]

    def test_the_request_is_written(self, golden: dict[str, Any]) -> None:
        assert json.loads(encode(request_of(golden), "up", False)) == golden["sent"]

    def test_the_reply_is_read(self, golden: dict[str, Any]) -> None:
        assert plainly(decode(json.dumps(golden["reply"]).encode())) == golden["completion"]

    def test_the_stream_is_read(self, golden: dict[str, Any]) -> None:
        completion, deltas = read_stream([events_of(golden)], relay=False)
        assert plainly(completion) == golden["completion"]
        assert canonical(deltas) == golden["pieces"]

    def test_the_answer_is_written(self, golden: dict[str, Any]) -> None:
        completion = msgspec.convert(golden["completion"], Completion)
        assert json.loads(CHAT.plain(TOLD, completion)) == golden["rendered"]

    def test_the_answer_is_written_as_a_stream(self, golden: dict[str, Any]) -> None:
        completion = msgspec.convert(golden["completion"], Completion)
        assert self.streamed(golden, completion).decode().split("\n\n")[:-1] == golden["rendered_stream"]

    def test_what_is_written_is_read_back_as_it_was(self, golden: dict[str, Any]) -> None:
        completion = msgspec.convert(golden["completion"], Completion)
        completion.model = "custom:m"
        assert decode(CHAT.plain(TOLD, completion)) == completion
        again, deltas = read_stream([self.streamed(golden, completion, usage=True)], relay=False)
        assert again == completion
        assert deltas == list(pieces_of(completion))

    @pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
    def test_a_cut_at_every_byte_changes_nothing(self, golden: dict[str, Any], end: str) -> None:
        raw = events_of(golden, end)
        want = [delta for delta in read_stream([raw])[1] if not isinstance(delta, Relayed)]
        for place in range(len(raw) + 1):
            completion, deltas = read_stream([raw[:place], raw[place:]])
            assert plainly(completion) == golden["completion"]
            assert [delta for delta in deltas if not isinstance(delta, Relayed)] == want
            assert b"".join(delta.data for delta in deltas if isinstance(delta, Relayed)) == raw

    @settings(deadline=None, max_examples=25)
    @given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=12), end=st.sampled_from(["\n", "\r", "\r\n"]))
    def test_many_cuts_change_nothing(self, golden: dict[str, Any], sizes: list[int], end: str) -> None:
        raw = events_of(golden, end)
        pieces, start = [], 0
        while start < len(raw):
            size = sizes[len(pieces) % len(sizes)]
            pieces.append(raw[start : start + size])
            start += size
        completion, deltas = read_stream(pieces)
        assert plainly(completion) == golden["completion"]
        assert canonical([one for one in deltas if not isinstance(one, Relayed)]) == golden["pieces"]
        assert b"".join(one.data for one in deltas if isinstance(one, Relayed)) == raw

    def test_the_usage_that_we_asked_for_can_be_kept_from_the_caller(self, golden: dict[str, Any]) -> None:
        deltas = read_stream([events_of(golden)])[1]
        marked = [delta.data for delta in deltas if isinstance(delta, Relayed) and delta.usage_only]
        assert len(marked) == sum(isinstance(one, dict) and not one["choices"] for one in golden["stream"])
        assert all(b'"usage"' in data for data in marked)

    def streamed(self, golden: dict[str, Any], completion: Completion, usage: bool = False) -> bytes:
        request = request_of(golden)
        if usage:
            request.params["stream_options"] = {"include_usage": True}
        writer = CHAT.writer(TOLD, request)
        pieces = map(writer.piece, pieces_of(completion))
        return b"".join([writer.begin(), *pieces, writer.finish(completion)])


@pytest.mark.parametrize("golden", ERRORS, ids=[golden["name"] for golden in ERRORS])
def test_an_upstreams_error_in_the_callers_shape(golden: dict[str, Any]) -> None:
    errand = Errand(target("http://10.0.0.1:8000/v1", "/chat/completions"), "custom:m", "sk-k", 5.0, PROTOCOL)
    body = json.dumps(golden["body"]).encode()
    error = faults.from_status(errand, golden["status"], CIMultiDict(golden["headers"]), body, 1700000000.0)
    assert error.kind == golden["kind"]
    assert error.retry_after_s == golden["retry_after_s"]
    assert error.details.get("upstream_headers", {}) == golden["kept_headers"]
    assert json.loads(CHAT.error(error, golden["status"])) == golden["rendered"]


def test_every_subject_has_its_file() -> None:
    subjects = {"text", "tools", "parallel_tools", "images", "json_schema", "logprobs", "several_choices", "usage"}
    assert subjects <= EXCHANGES.keys()
    assert Thought in {type(p) for p in pieces_of(Completion(text="", reasoning="r", usage=Usage()))}
    assert any(piece[0] == ToolPiece.__name__ for piece in EXCHANGES["tools"]["pieces"])
