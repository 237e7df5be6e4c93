"""Responses from an upstream: plain replies, streams cut anywhere, errors, and what is not whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode.core.deltas import Delta, Relayed, Thought, ToolPiece, pieces_of
from beastmode.core.errors import MalformedReplyError
from beastmode.core.types import Completion, Request, Usage
from beastmode.wire.dialect import Told
from beastmode.wire.faults import ErrorInReplyError
from beastmode.wire.responses import ResponsesStream, decode
from beastmode.wire.responses_door import OpenAIResponses

DOOR = OpenAIResponses()
USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 14,
}


def message(text: str, **fields: Any) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": f"msg_{text}", "role": "assistant", "content": [part], **fields}


def calling(call_id: str = "c1", **fields: Any) -> dict[str, Any]:
    return {"type": "function_call", "id": "fc", "call_id": call_id, "name": "f", "arguments": "{}", **fields}


def thinking(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "reasoning", "id": f"rs_{text}", "summary": [{"type": "summary_text", "text": text}], **fields}


def reply(*output: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps(
        {"object": "response", "status": "completed", "model": "m-1", "output": output, **fields}
    ).encode()


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def done(index: int | None, item: dict[str, Any]) -> bytes:
    place = {} if index is None else {"output_index": index}
    return event("response.output_item.done", item=item, **place)


def streamed(*events: bytes) -> tuple[Completion, list[Delta]]:
    deltas: list[Delta] = []
    stream = ResponsesStream(deltas.append)
    for one in events:
        stream.feed(one)
    return stream.finish(), deltas


CREATED = event("response.created", response={"id": "resp_1", "model": "m-1"})
COMPLETED = event("response.completed", response={"id": "resp_1", "usage": USAGE})


class TestPlainReplies:
    def test_text_reasoning_calls_and_usage(self) -> None:
        got = decode(reply(thinking("hm"), message("ok"), calling(arguments='{"a":1}'), usage=USAGE))
        assert got == Completion(
            text="ok",
            reasoning="hm",
            tool_calls=[{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
            finish_reason="tool_calls",
            usage=Usage(9, 5, 4, None, 2),
            model="m-1",
        )

    @pytest.mark.parametrize(
        ("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "content_filter"), (None, "length")]
    )
    def test_an_incomplete_one_says_why(self, reason: str | None, finish: str) -> None:
        got = decode(reply(message("o"), status="incomplete", incomplete_details={"reason": reason}))
        assert got.finish_reason == finish

    def test_a_refusal_is_its_text(self) -> None:
        got = decode(reply(message("", content=[{"type": "refusal", "refusal": "I will not."}])))
        assert (got.text, got.finish_reason, got.whole) == ("I will not.", "content_filter", False)

    @pytest.mark.parametrize(
        "output",
        [
            [message("a"), message("b")],
            [message("a", phase="commentary")],
            [message("a", content=[{"type": "output_text", "text": "a", "annotations": [{"type": "url_citation"}]}])],
            [thinking("a", encrypted_content="x")],
            [thinking("a"), thinking("b")],
            [message("a"), thinking("b")],
            [calling(), message("a")],
            [calling(namespace="n")],
            [{"type": "web_search_call", "id": "ws"}, message("a")],
            [{"type": "of_tomorrow"}],
            [{}],
        ],
        ids=str,
    )
    def test_what_no_completion_can_say_is_not_whole(self, output: list[dict[str, Any]]) -> None:
        assert not decode(reply(*output)).whole
        events = [done(index, item) for index, item in enumerate(output)]
        assert not streamed(CREATED, *events, COMPLETED)[0].whole

    def test_what_it_can_say_is_whole(self) -> None:
        output = [thinking("a", encrypted_content=None), message("a", phase="final_answer"), calling(), calling("c2")]
        assert decode(reply(*output)).whole

    @pytest.mark.parametrize("usage", [None, 3, {"input_tokens": "x"}, {}, {"input_tokens": -1}])
    def test_odd_usage_is_unknown(self, usage: Any) -> None:
        assert decode(reply(message("a"), usage=usage)).usage == Usage()

    @pytest.mark.parametrize(
        "body", [b"", b"{}", b"[]", b'{"output": 3}', b'{"output": [3]}', b"[" * 100_000, reply(status="in_progress")]
    )
    def test_what_is_no_response(self, body: bytes) -> None:
        with pytest.raises(MalformedReplyError):
            decode(body)

    @pytest.mark.parametrize(
        ("error", "status"),
        [
            ({"code": "server_error", "message": "x"}, 500),
            ({"code": "rate_limit_exceeded", "message": "x"}, 429),
            ({"code": "invalid_prompt", "message": "x"}, 400),
            ({"code": "context_length_exceeded", "message": "x"}, 400),
            ({"type": "invalid_request_error", "message": "x"}, 400),
            ({"message": "x"}, 502),
            ("x", 502),
        ],
    )
    def test_errors_have_their_status(self, error: Any, status: int) -> None:
        failed = {"status": "failed", "error": error}
        for raw in (reply(**failed), json.dumps({"error": error}).encode()):
            with pytest.raises(ErrorInReplyError) as caught:
                decode(raw)
            assert caught.value.status == status
        fields = error if isinstance(error, dict) else {"message": error}
        events = [event("response.failed", response=failed), event("error", error=error)]
        if "type" not in fields:  # an older form has the error's fields in the event itself
            events.append(event("error", **fields))
        for one in events:
            with pytest.raises(ErrorInReplyError) as caught:
                streamed(CREATED, one)
            assert caught.value.status == status
            assert b"x" in caught.value.body


class TestStreams:
    def test_pieces_come_as_they_are(self) -> None:
        got, deltas = streamed(
            CREATED,
            event("response.output_item.added", output_index=0, item=thinking("", summary=[])),
            event("response.reasoning_summary_part.added", output_index=0, summary_index=0),
            event("response.reasoning_summary_text.delta", output_index=0, delta="h"),
            event("response.reasoning_summary_text.delta", output_index=0, delta="m"),
            done(0, thinking("hm")),
            event("response.output_item.added", output_index=1, item=message("", content=[])),
            event("response.output_text.delta", output_index=1, delta="o"),
            event("response.output_text.delta", output_index=1, delta="k"),
            done(1, message("ok")),
            event("response.output_item.added", output_index=2, item=calling(arguments="")),
            event("response.function_call_arguments.delta", output_index=2, delta='{"a"'),
            event("response.function_call_arguments.delta", output_index=2, delta=":1}"),
            done(2, calling(arguments='{"a":1}')),
            COMPLETED,
        )
        assert deltas == [
            Thought("h"), Thought("m"), "o", "k",
            ToolPiece(0, "c1", "f"), ToolPiece(0, arguments='{"a"'), ToolPiece(0, arguments=":1}"),
        ]  # fmt: skip
        assert got == decode(reply(thinking("hm"), message("ok"), calling(arguments='{"a":1}'), usage=USAGE))

    @pytest.mark.parametrize("indexed", [True, False])
    def test_items_that_only_end_are_told_whole(self, indexed: bool) -> None:
        items = [thinking("hm"), message("ok"), calling(), calling("c2", id="fc2")]
        got, deltas = streamed(
            CREATED, *(done(at if indexed else None, one) for at, one in enumerate(items)), COMPLETED
        )
        assert got == decode(reply(*items, usage=USAGE))
        assert "ok" in deltas
        assert [one.id for one in deltas if isinstance(one, ToolPiece) and one.id] == ["c1", "c2"]

    def test_items_that_all_have_the_same_index_stay_apart(self) -> None:
        items = [message("ok"), calling(), calling("c2", id="fc2")]
        got, _ = streamed(CREATED, *(done(0, one) for one in items), COMPLETED)
        assert got == decode(reply(*items, usage=USAGE))

    def test_an_answer_that_comes_with_the_last_event_only(self) -> None:
        output = [message("ok"), calling()]
        last = event("response.completed", response={"output": output, "usage": USAGE, "model": "m-1"})
        assert streamed(CREATED, last)[0] == decode(reply(*output, usage=USAGE))

    def test_a_custom_tool_is_a_function_with_one_argument(self) -> None:
        patch = '*** Begin\n+"ü" 🦁\n'
        item = {"type": "custom_tool_call", "id": "ct", "call_id": "c1", "name": "apply_patch", "input": patch}
        deltas = [event("response.custom_tool_call_input.delta", output_index=0, delta=letter) for letter in patch]
        added = event("response.output_item.added", output_index=0, item={**item, "input": ""})
        for events in ([added, *deltas, done(0, item)], [done(0, item)], [added, *deltas[:4], done(0, item)]):
            got, pieces = streamed(CREATED, *events, COMPLETED)
            arguments = "".join(piece.arguments for piece in pieces if isinstance(piece, ToolPiece))
            assert json.loads(arguments) == {"input": patch}
            assert got.tool_calls[0]["function"] == {"name": "apply_patch", "arguments": arguments}

    def test_what_is_unknown_is_passed_over(self) -> None:
        odd = [event("response.web_search_call.searching", output_index=0), event("of.tomorrow", delta={"a": 1})]
        assert streamed(CREATED, *odd, done(0, message("ok")), COMPLETED, b"data: [DONE]\n\n")[0].text == "ok"

    @pytest.mark.parametrize("events", [[], [CREATED], [CREATED, done(0, message("ok"))]])
    def test_a_cut_off_one_is_no_answer(self, events: list[bytes]) -> None:
        with pytest.raises(MalformedReplyError):
            streamed(*events)

    @pytest.mark.parametrize("data", [b"{", b"3", b'{"type": 3}', b'{"output_index": "x"}', b"[" * 100_000])
    def test_what_is_no_event(self, data: bytes) -> None:
        with pytest.raises(MalformedReplyError):
            streamed(CREATED, b"data: " + data + b"\n\n")

    def test_a_plain_answer_to_a_stream_is_told_in_pieces(self) -> None:
        deltas: list[Delta] = []
        completion = decode(reply(thinking("hm"), message("ok"), calling()))
        ResponsesStream(deltas.append).whole(completion)
        assert deltas == list(pieces_of(completion))

    def test_its_bytes_are_handed_on_beside_the_pieces_but_for_an_error(self) -> None:
        deltas: list[Delta] = []
        stream = ResponsesStream(deltas.append, relay=True)
        begun = CREATED + done(0, message("ok"))
        stream.feed(begun)
        with pytest.raises(ErrorInReplyError):
            stream.feed(event("response.failed", response={"error": {"message": "x"}}))
        assert b"".join(one.data for one in deltas if isinstance(one, Relayed)) == begun
        assert "ok" in deltas


PATCH = {"type": "custom", "name": "apply_patch"}
SPACE = {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f"}]}
ASKED = DOOR.read(json.dumps({"input": "hi", "tools": [PATCH, SPACE, {"type": "local_shell"}]}).encode(), {})
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
counts = st.none() | st.integers(0, 99)


@st.composite
def completions(draw: st.DrawFn) -> Completion:
    calls = []
    for index in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(["f", "apply_patch", "local_shell"]))
        given_ = {"input": draw(texts)} if name == "apply_patch" else draw(st.dictionaries(texts, texts, max_size=2))
        if name == "local_shell":
            given_ = {"command": ["ls"], **({"x": "y"} if given_ else {})}
        arguments = json.dumps(given_, ensure_ascii=False, separators=(",", ":"))
        calls.append({"id": f"c{index}", "type": "function", "function": {"name": name, "arguments": arguments}})
    prompt, completion = draw(counts), draw(counts)
    known = prompt is not None and completion is not None
    usage = Usage(prompt, completion, draw(counts), None, draw(counts)) if known else Usage()
    cut = draw(st.sampled_from([None, "length", "content_filter"]))
    return Completion(
        text=draw(texts),
        reasoning=draw(texts),
        tool_calls=calls,
        finish_reason=cut or ("tool_calls" if calls else "stop"),
        usage=usage,
        model="custom:m",
    )


def written(completion: Completion, request: Request = ASKED) -> bytes:
    writer = DOOR.writer(Told("r1", "custom:m", 1.0), request)
    return b"".join([writer.begin(), *map(writer.piece, pieces_of(completion)), writer.finish(completion)])


def in_values(completion: Completion) -> dict[str, Any]:
    """An answer in built-in types; arguments of calls as values, since their spelling is nobody's business."""
    calls = [
        (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in completion.tool_calls
    ]
    return {
        "calls": calls, "text": completion.text, "reasoning": completion.reasoning,
        "finish": completion.finish_reason, "usage": completion.usage, "model": completion.model,
    }  # fmt: skip


@given(completions())
def test_what_we_write_we_read_as_it_was(completion: Completion) -> None:
    expected = in_values(completion)
    assert in_values(streamed(written(completion))[0]) == expected
    assert in_values(decode(DOOR.plain(Told("r1", "custom:m", 1.0, ASKED), completion))) == expected


def events_of(stream: bytes) -> list[dict[str, Any]]:
    return [json.loads(one.partition(b"data: ")[2]) for one in stream.split(b"\n\n") if one]


@given(completions())
def test_events_are_numbered_and_end_with_the_plain_answer(completion: Completion) -> None:
    events = events_of(written(completion))
    assert [one["sequence_number"] for one in events] == list(range(len(events)))
    assert events[-1]["response"] == json.loads(DOOR.plain(Told("r1", "custom:m", 1.0, ASKED), completion))
    added = [one["output_index"] for one in events if one["type"] == "response.output_item.added"]
    ended = {one["output_index"]: one["item"] for one in events if one["type"] == "response.output_item.done"}
    assert added == list(range(len(events[-1]["response"]["output"])))
    assert [ended[index] for index in added] == events[-1]["response"]["output"]


def test_pieces_that_a_provider_kept_to_itself_are_told_at_the_end() -> None:
    completion = decode(reply(message("ok"), calling()))
    for told in ([], ["ok"]):
        writer = DOOR.writer(Told("r1", "custom:m", 1.0), ASKED)
        sent = b"".join([writer.begin(), *map(writer.piece, told), writer.finish(completion)])
        assert streamed(sent)[0].tool_calls == completion.tool_calls
        assert streamed(sent)[0].text == "ok"


@pytest.mark.parametrize("line_end", [b"\n", b"\r", b"\r\n"])
@pytest.mark.parametrize("relay", [False, True])
def test_a_stream_may_be_cut_at_every_byte(line_end: bytes, relay: bool) -> None:
    completion = Completion(
        text="grüße 🦁",
        reasoning="hm 漢字",
        tool_calls=[
            {"id": "c1", "type": "function", "function": {"name": "apply_patch", "arguments": '{"input":"ü"}'}}
        ],
        finish_reason="tool_calls",
        usage=Usage(9, 5),
        model="custom:m",
    )
    sent = written(completion).replace(b"\n", line_end)
    for cut in range(1, len(sent)):
        deltas: list[Delta] = []
        stream = ResponsesStream(deltas.append, relay)
        assert not (stream.feed(sent[:cut]) and len(sent) - cut > len(line_end))
        stream.feed(sent[cut:])
        assert stream.finish() == completion
        if relay:
            assert b"".join(one.data for one in deltas if isinstance(one, Relayed)).rstrip() == sent.rstrip()


@given(st.data(), completions(), st.sampled_from([b"\n", b"\r", b"\r\n"]))
def test_or_in_many_places(data: st.DataObject, completion: Completion, line_end: bytes) -> None:
    sent = written(completion).replace(b"\n", line_end)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=20)))
    pieces = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    assert in_values(streamed(*pieces)[0]) == in_values(completion)
