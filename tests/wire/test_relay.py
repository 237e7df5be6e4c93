"""Bytes handed on as they came: bodies with a few fields changed, events of streams, headers."""

from __future__ import annotations

import gc
import json
import weakref

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.core.deltas import Delta, Relayed
from beastmode.core.errors import BadInputError, MalformedReplyError
from beastmode.wire.anthropic import MessageStream
from beastmode.wire.openai_chat import ChatStream
from beastmode.wire.relay import OFF_LOOP_BYTES, EventRelay, Took, kept_headers, relay_body, relayed_body
from beastmode.wire.responses import ResponsesStream
from beastmode.wire.sse import Event

Stream = ChatStream | MessageStream | ResponsesStream


class TestBodies:
    def test_only_the_named_fields_change_and_everything_else_stays_byte_for_byte(self) -> None:
        body = b'{ "z":1.50, "model" : "mine",\n "messages": [ {"role":"user", "content":"\\u00e9"} ], "x": 1e2 }'
        assert relay_body(body, {"model": "theirs"}) == (
            b'{ "z":1.50, "model" : "theirs",\n "messages": [ {"role":"user", "content":"\\u00e9"} ], "x": 1e2 }'
        )

    def test_new_fields_are_appended_and_fields_can_be_removed(self) -> None:
        changes = {"c": {"d": True}, "a": msgspec.UNSET, "never": msgspec.UNSET}
        assert relay_body(b'{"a":1,"b":2}', changes) == b'{"b":2,"c":{"d":true}}'

    @pytest.mark.parametrize(
        ("body", "sent"),
        [
            (b'{"model": "a", "x": 1 }\n', b'{"model": "m", "x": 1,"new":{"on":true} }\n'),
            (b'{"mo\\u0064el":"a"}', b'{"mo\\u0064el":"m","new":{"on":true}}'),
            (b'{"x":"\\"},\\\\"}', b'{"x":"\\"},\\\\","model":"m","new":{"on":true}}'),
            (b"{ }", b'{"model":"m","new":{"on":true}}'),
            (b'{"model":"a", "x":1, "model":"b"}', b'{"model":"m","x":1,"new":{"on":true}}'),
            (
                b'{"model":1,"x":",\\"x\\":2","model":"1,\\"x\\":2"}',
                b'{"model":"m","x":",\\"x\\":2","new":{"on":true}}',
            ),
        ],
    )
    def test_no_field_is_there_twice_and_no_other_byte_changes(self, body: bytes, sent: bytes) -> None:
        assert relay_body(body, {"model": "m", "new": {"on": True}}) == sent

    @pytest.mark.parametrize(
        ("body", "sent"),
        [
            (b'{"messages":[],"model": "a","x":1}', b'{"messages":[],"model": "m","x":1}'),
            (b'{"messages":[{"model":"a"}]}', b'{"messages":[{"model":"a"}],"model":"m"}'),
            (b'{"messages":["model"],"model":"a"}', b'{"messages":["model"],"model":"m"}'),
            (b'{"x":"\\"model\\":1","model":"a"}', b'{"x":"\\"model\\":1","model":"m"}'),
            (b'{"model":"a","\\u006dodel":"b"}', b'{"model":"m"}'),
            (b'{"model":{"a":1}}', b'{"model":"m"}'),
        ],
    )
    def test_the_model_that_is_named_is_the_one_that_changes(self, body: bytes, sent: bytes) -> None:
        assert relay_body(body, {"model": "m"}) == sent

    @pytest.mark.parametrize("body", [b"", b"[]", b"null", b'"x"', b"{", b'{"a":}', b"\xff", b'{"a":' * 100_000])
    def test_what_is_no_object_is_bad_input(self, body: bytes) -> None:
        with pytest.raises(BadInputError):
            relay_body(body, {})

    @settings(deadline=None)
    @given(st.dictionaries(st.text(max_size=5), st.integers() | st.text() | st.lists(st.booleans()), max_size=5))
    def test_any_object_says_the_same_afterwards(self, fields: dict[str, object]) -> None:
        body = json.dumps(fields, indent=1).encode()
        assert json.loads(relay_body(body, {"model": "m"})) == {**fields, "model": "m"}
        assert relay_body(body, {}) == body

    async def test_a_large_body_is_the_same_off_the_loop(self) -> None:
        body = b'{"a":"%s"}' % (b"x" * OFF_LOOP_BYTES)
        assert await relayed_body(body, {"b": 1}) == relay_body(body, {"b": 1})
        assert await relayed_body(b"{}", {"b": 1}) == b'{"b":1}'


def relayed(pieces: list[bytes], relay: bool = True) -> list[Delta]:
    """What comes out for a reader that knows `usage`, `bad` and `[DONE]`."""
    deltas: list[Delta] = []

    def take(event: Event) -> Took:
        if event.data == b"bad":
            raise MalformedReplyError("It is bad.")
        deltas.append(event.data.decode())
        return "last" if event.data == b"[DONE]" else "usage" if event.data == b"usage" else "more"

    events = EventRelay(deltas.append, relay)
    try:
        if not any(events.feed(piece, take) for piece in pieces):
            events.finish(take)
    except MalformedReplyError:
        deltas.append("malformed")
    return deltas


class TestEvents:
    def test_all_events_of_a_piece_leave_together_after_their_pieces(self) -> None:
        assert relayed([b"data: a\n\ndata: b\n\nda", b"ta: c\n\n"]) == [
            "a",
            "b",
            Relayed(b"data: a\n\ndata: b\n\n"),
            "c",
            Relayed(b"data: c\n\n"),
        ]

    def test_an_event_that_holds_nothing_but_usage_leaves_alone(self) -> None:
        assert relayed([b"data: a\n\ndata: usage\n\ndata: [DONE]\n\n"]) == [
            "a",
            "usage",
            Relayed(b"data: a\n\n"),
            Relayed(b"data: usage\n\n", usage_only=True),
            "[DONE]",
            Relayed(b"data: [DONE]\n\n"),
        ]

    def test_nothing_follows_the_last_event(self) -> None:
        assert relayed([b"data: [DONE]\n\ndata: x\n\n"]) == ["[DONE]", Relayed(b"data: [DONE]\n\n")]

    def test_bytes_of_an_event_that_was_refused_leave_with_nobody(self) -> None:
        assert relayed([b"data: a\n\ndata: bad\n\n"]) == ["a", Relayed(b"data: a\n\n"), "malformed"]

    @pytest.mark.parametrize("kind", [ChatStream, MessageStream, ResponsesStream])
    def test_a_stream_that_is_over_leaves_nothing_for_the_garbage_collector(self, kind: type[Stream]) -> None:
        gc.disable()
        try:
            reader = kind([].append, True)
            reader.feed(b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\nda')
            gone = weakref.ref(reader)
            del reader
            assert gone() is None
        finally:
            gc.enable()

    def test_without_a_relay_only_the_pieces_come(self) -> None:
        assert relayed([b"data: a\n\ndata: usage\n\n"], relay=False) == ["a", "usage"]

    @pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
    @pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
    def test_joined_the_bytes_are_those_of_the_stream(self, end: str, size: int) -> None:
        lines = [
            ": hello",
            "",
            "event: e",
            "data: grüße 🦁",
            "",
            "data: usage",
            "",
            ": ping",
            "",
            "data: [DONE]",
            "",
            "",
        ]
        raw = end.join(lines).encode()
        deltas = relayed([raw[i : i + size] for i in range(0, len(raw), size)])
        assert b"".join(delta.data for delta in deltas if isinstance(delta, Relayed)) == raw
        assert [delta for delta in deltas if isinstance(delta, str)] == ["grüße 🦁", "usage", "[DONE]"]

    def test_a_stream_without_a_last_event_leaves_whole_too(self) -> None:
        deltas = relayed([b"data: a\r\n\r", b"\n", b": bye"])
        assert b"".join(delta.data for delta in deltas if isinstance(delta, Relayed)) == b"data: a\r\n\r\n: bye"


class TestHeaders:
    def test_those_a_caller_may_want_are_kept_by_lower_case_name(self) -> None:
        kept = {
            "Retry-After": "3",
            "X-RateLimit-Remaining-Tokens": "10",
            "anthropic-ratelimit-requests-limit": "50",
            "x-request-id": "req_1",
            "Request-Id": "req_2",
            "OpenAI-Processing-Ms": "12",
            "x-should-retry": "false",
            "retry-after-ms": "250",
            "RateLimit-Policy": "10;w=1",
        }
        others = {"Set-Cookie": "a=b", "Server": "x", "Content-Type": "application/json", "openai-organization": "me"}
        assert kept_headers({**kept, **others}) == {name.lower(): value for name, value in kept.items()}

    @pytest.mark.parametrize("value", ["a\r\nb: c", "é", "\x00", "x" * 300])
    def test_a_value_that_can_not_be_written_is_dropped(self, value: str) -> None:
        assert kept_headers({"x-request-id": value}) == {}

    def test_their_number_is_bounded(self) -> None:
        assert len(kept_headers({f"x-ratelimit-{i}": "1" for i in range(1000)})) == 40
