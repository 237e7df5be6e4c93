"""Answers told as Anthropic's events, and streams of Anthropic's that are cut anywhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.core.deltas import Delta, Piece, Relayed, Thought, ToolPiece, pieces_of
from beastmode.core.errors import MalformedReplyError, RateLimitedError
from beastmode.core.types import Completion, Message, Request, Usage
from beastmode.wire.anthropic import MessageStream
from beastmode.wire.anthropic_door import AnthropicMessages
from beastmode.wire.dialect import Told

DOOR = AnthropicMessages()
TOLD = Told(request_id="r1", model="m", created_s=0.0)
ASK = Request(model="m", messages=[Message("user", "hi")])
USAGE = Usage(prompt_tokens=9, completion_tokens=4)


def written(pieces: list[Piece], completion: Completion) -> bytes:
    writer = DOOR.writer(TOLD, ASK)
    return b"".join([writer.begin(), *[writer.piece(piece) for piece in pieces], writer.finish(completion)])


def events_in(raw: bytes) -> list[dict[str, Any]]:
    return [json.loads(event.split(b"\ndata: ")[1]) for event in raw.split(b"\n\n")[:-1]]


def blocks_in(raw: bytes) -> list[dict[str, Any]]:
    """The blocks of a stream; fails where one begins before the one before it has ended."""
    blocks: list[dict[str, Any]] = []
    opened = False
    for event in events_in(raw):
        if event["type"] == "content_block_start":
            assert not opened
            assert event["index"] == len(blocks)
            blocks.append({**event["content_block"], "said": ""})
            opened = True
        elif event["type"] == "content_block_delta":
            assert opened
            assert event["index"] == len(blocks) - 1
            delta = event["delta"]
            blocks[-1]["said"] += delta.get("text") or delta.get("thinking") or delta.get("partial_json") or ""
        elif event["type"] == "content_block_stop":
            assert opened
            assert event["index"] == len(blocks) - 1
            opened = False
    assert not opened
    return blocks


def call(name: str, arguments: str, call_id: str = "c") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


class TestWriting:
    def test_a_stream_begins_and_ends_as_the_protocol_says_and_has_no_done(self) -> None:
        raw = written(["a"], Completion(text="a", finish_reason="stop", usage=USAGE))
        assert [event["type"] for event in events_in(raw)] == [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
        assert b"[DONE]" not in raw
        assert raw.startswith(b"event: message_start\ndata: {")

    def test_the_first_usage_is_never_nothing_and_the_last_one_is_true(self) -> None:
        events = events_in(written(["a"], Completion(text="a", usage=USAGE)))
        first = events[0]["message"]["usage"]
        assert first["input_tokens"] > 0
        assert first["output_tokens"] > 0
        assert events[-2]["usage"]["input_tokens"] == 9
        assert events[-2]["usage"]["output_tokens"] == 4

    def test_what_came_in_no_piece_is_said_at_the_end(self) -> None:
        whole = Completion(text="It rains.", reasoning="hm", tool_calls=[call("f", "{}"), call("g", "{}", "d")])
        kinds = [block["type"] for block in blocks_in(written([], whole))]
        assert kinds == ["thinking", "text", "tool_use", "tool_use"]
        kinds = [block["type"] for block in blocks_in(written(["It rains.", ToolPiece(0, "c", "f", "{}")], whole))]
        assert kinds == ["text", "tool_use", "tool_use"]

    def test_blank_space_after_whole_arguments_is_no_new_call(self) -> None:
        pieces: list[Piece] = [ToolPiece(0, "c", "f", "{}"), "and", ToolPiece(0, arguments="\n")]
        completion = Completion(text="and", tool_calls=[call("f", "{}\n")])
        assert [block["type"] for block in blocks_in(written(pieces, completion))] == ["tool_use", "text"]

    def test_the_next_call_begins_as_soon_as_the_one_before_it_is_whole(self) -> None:
        writer = DOOR.writer(TOLD, ASK)
        writer.begin()
        assert b'"name":"f"' in writer.piece(ToolPiece(0, "c", "f"))
        assert writer.piece(ToolPiece(1, "d", "g")) == b""
        assert writer.piece(ToolPiece(1, arguments="{}")) == b""
        last = writer.piece(ToolPiece(0, arguments="{}"))
        assert b'"name":"g"' in last
        assert b'"name":"h"' in writer.piece(ToolPiece(2, "e", "h"))

    def test_a_call_that_was_cut_off_is_told_as_far_as_it_came(self) -> None:
        pieces: list[Piece] = [ToolPiece(0, "c", "f", '{"a'), ToolPiece(1, "d", "g", "{"), "x"]
        completion = Completion(text="x", finish_reason="length", tool_calls=[call("f", '{"a'), call("g", "{")])
        assert [block["said"] for block in blocks_in(written(pieces, completion))] == ['{"a', "{", "x"]

    @settings(deadline=None)
    @given(st.data())
    def test_calls_that_are_written_at_once_are_told_one_after_the_other(self, data: st.DataObject) -> None:
        inputs = data.draw(st.lists(st.dictionaries(st.text("a}{\"'", max_size=3), st.integers()), max_size=4))
        queues: list[list[Piece]] = []
        for index, given_input in enumerate(inputs):
            arguments = json.dumps(given_input)
            size = data.draw(st.integers(1, 9))
            cut = [arguments[i : i + size] for i in range(0, len(arguments), size)]
            first = ToolPiece(index, f"id{index}", f"f{index}")
            queues.append([first, *[ToolPiece(index, arguments=piece) for piece in cut]])
        texts: list[Piece] = list(data.draw(st.lists(st.text("xy", min_size=1, max_size=2), max_size=3)))
        queues.append(list(texts))
        pieces: list[Piece] = []
        begun = 0
        while any(queues):
            ready = [i for i, q in enumerate(queues) if q and (i <= begun or i == len(inputs))]
            chosen = data.draw(st.sampled_from(ready))
            begun = max(begun, chosen + 1) if chosen < len(inputs) else begun
            pieces.append(queues[chosen].pop(0))
        calls = [call(f"f{i}", json.dumps(one), f"id{i}") for i, one in enumerate(inputs)]
        blocks = blocks_in(written(pieces, Completion(text="".join(map(str, texts)), tool_calls=calls)))
        assert "".join(block["said"] for block in blocks if block["type"] == "text") == "".join(map(str, texts))
        uses = [block for block in blocks if block["type"] == "tool_use"]
        assert [use["id"] for use in uses] == [f"id{i}" for i in range(len(inputs))]
        assert [json.loads(use["said"]) for use in uses] == inputs

    @settings(deadline=None)
    @given(
        st.lists(
            st.text(min_size=1, max_size=5)
            | st.builds(Thought, st.text(max_size=5))
            | st.builds(lambda s: Thought(signature=s), st.text("s", max_size=2))
            | st.builds(lambda s: Thought(redacted=s), st.text("r", max_size=2)),
            max_size=8,
        )
    )
    def test_thoughts_and_texts_are_told_in_their_order(self, pieces: list[Piece]) -> None:
        said = "".join(piece for piece in pieces if isinstance(piece, str))
        thought = "".join(piece.text for piece in pieces if isinstance(piece, Thought))
        blocks = blocks_in(written(pieces, Completion(text=said, reasoning=thought)))
        assert "".join(block["said"] for block in blocks if block["type"] == "text") == said
        assert "".join(block["said"] for block in blocks if block["type"] == "thinking") == thought
        assert [block["data"] for block in blocks if block["type"] == "redacted_thinking"] == [
            piece.redacted for piece in pieces if isinstance(piece, Thought) and piece.redacted
        ]

    def test_a_ping_is_an_event_of_the_protocol(self) -> None:
        assert DOOR.ping.startswith(b"event: ping\ndata: ")
        assert events_in(DOOR.ping) == [{"type": "ping"}]


GOLDEN = [
    json.loads(path.read_bytes())["events"]
    for path in sorted((Path(__file__).parent / "golden" / "anthropic").glob("upstream_*.json"))
]


def in_bytes(events: list[dict[str, Any]], line_end: bytes) -> bytes:
    lines = [f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode() for event in events]
    return b": a comment\n\n".join(lines).replace(b"\n", line_end)


def streamed(pieces: list[bytes]) -> tuple[Completion, list[Delta], bytes]:
    deltas: list[Delta] = []
    stream = MessageStream(deltas.append, relay=True)
    for piece in pieces:
        if stream.feed(piece):
            break
    completion = stream.finish()
    raw = b"".join(delta.data for delta in deltas if isinstance(delta, Relayed))
    return completion, [delta for delta in deltas if not isinstance(delta, Relayed)], raw


class TestRelaying:
    @pytest.mark.parametrize("line_end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
    @pytest.mark.parametrize("events", GOLDEN, ids=range(len(GOLDEN)))
    def test_every_cut_reads_the_same_and_relays_the_same_bytes(
        self, events: list[dict[str, Any]], line_end: bytes
    ) -> None:
        raw = in_bytes(events, line_end)
        whole = streamed([raw])
        assert whole[2] == raw
        for cut in range(1, len(raw)):
            assert streamed([raw[:cut], raw[cut:]]) == whole

    @pytest.mark.parametrize("line_end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
    def test_byte_by_byte_is_the_same_too(self, line_end: bytes) -> None:
        for events in GOLDEN:
            raw = in_bytes(events, line_end)
            assert streamed([raw[i : i + 1] for i in range(len(raw))]) == streamed([raw])

    def test_an_error_in_the_middle_is_not_handed_on(self) -> None:
        deltas: list[Delta] = []
        stream = MessageStream(deltas.append, relay=True)
        with pytest.raises(MalformedReplyError):
            stream.feed(in_bytes(GOLDEN[0][:4], b"\n") + b"event: x\ndata: {rubbish\n\n")
        assert b"rubbish" not in b"".join(delta.data for delta in deltas if isinstance(delta, Relayed))

    def test_a_reader_that_does_not_relay_hands_on_no_bytes(self) -> None:
        deltas: list[Delta] = []
        MessageStream(deltas.append).feed(in_bytes(GOLDEN[0], b"\n"))
        assert deltas
        assert not [delta for delta in deltas if isinstance(delta, Relayed)]


SIGNED = Completion(
    text="Let me look.",
    reasoning="hm",
    finish_reason="tool_calls",
    usage=Usage(prompt_tokens=100, completion_tokens=8, cached_tokens=80, cache_write_tokens=5),
    tool_calls=[call("f", '{"a":"é"}', "t1"), call("g", "{}", "t2")],
    blocks=[
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "Let me look."},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": "é"}},
        {"type": "tool_use", "id": "t2", "name": "g", "input": {}},
    ],
)
UNSIGNED = Completion(text="Grüße", reasoning="hm", tool_calls=[call("f", '{"a": 1}'), call("g", "", "")])
ANSWERS = {
    "text": Completion(text="Grüße, 🦁", finish_reason="stop", usage=USAGE),
    "stop": Completion(text="x", finish_reason="stop", stop_sequence="END", usage=USAGE),
    "length": Completion(text="x", finish_reason="length", usage=USAGE),
    "refusal": Completion(text="no", finish_reason="content_filter", usage=USAGE),
    "signed": SIGNED,
    "unsigned": UNSIGNED,
}


@pytest.fixture
def client() -> Iterator[Callable[[bytes, int, str], anthropic.Anthropic]]:
    """The SDK, with a reply that it gets to every request."""
    made: list[anthropic.Anthropic] = []

    def make(reply: bytes, status: int, kind: str) -> anthropic.Anthropic:
        def answer(request: httpx2.Request) -> httpx2.Response:
            return httpx2.Response(status, content=reply, headers={"content-type": kind, "request-id": "r1"})

        transport = httpx2.Client(transport=httpx2.MockTransport(answer))
        made.append(anthropic.Anthropic(api_key="k", base_url="http://127.0.0.1", http_client=transport, max_retries=0))
        return made[-1]

    yield make
    for one in made:
        one.close()


ASKED: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


class TestTheirSDK:
    @pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
    def test_it_reads_a_message_and_its_stream_as_the_same(self, client: Any, answer: Completion) -> None:
        plain = client(DOOR.plain(TOLD, answer), 200, "application/json").messages.create(**ASKED)
        raw = written(list(pieces_of(answer)), answer)
        with client(raw, 200, "text/event-stream").messages.stream(**ASKED) as stream:
            said = "".join(stream.text_stream)
            final = stream.get_final_message()
        assert said == answer.text
        assert [block.model_dump(exclude_none=True) for block in final.content] == [
            block.model_dump(exclude_none=True) for block in plain.content
        ]
        assert (final.id, final.stop_reason, final.stop_sequence) == (plain.id, plain.stop_reason, plain.stop_sequence)
        assert (final.usage.output_tokens, final.usage.cache_read_input_tokens) == (
            plain.usage.output_tokens,
            plain.usage.cache_read_input_tokens,
        )

    def test_it_raises_our_errors_as_its_own(self, client: Any) -> None:
        error = RateLimitedError("Too many requests.", tips=["wait a second"], request_id="r1")
        with pytest.raises(anthropic.RateLimitError) as caught:
            client(DOOR.error(error, 429), 429, "application/json").messages.create(**ASKED)
        assert "Too many requests. Tip: wait a second" in caught.value.message
        writer = DOOR.writer(TOLD, ASK)
        raw = writer.begin() + writer.piece("x") + DOOR.ping + DOOR.broken(error, 429)
        with pytest.raises(anthropic.APIStatusError, match="Too many requests"):
            list(client(raw, 200, "text/event-stream").messages.create(**ASKED, stream=True))
