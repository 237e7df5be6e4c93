"""The SSE parser: the same events wherever the network cuts the stream."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.core.errors import MalformedReplyError
from beastmode.wire.sse import Event, SSEParser

SAMPLE = (
    "\ufeffevent: first\ndata: grüße 🦁\n\n: a comment\r\nid: 7\r\ndata: one\r\ndata: two\r\n\r\n"
    "data:no space\rdata:  two spaces\r\rretry: 10\ndata\n\nevent: dropped\n\nunknown: x\ndata: [DONE]\n\n"
).encode()
EVENTS = [
    Event("first", "grüße 🦁".encode()),
    Event("", b"one\ntwo"),
    Event("", b"no space\n two spaces"),
    Event("", b""),
    Event("", b"[DONE]"),
]


def parsed(pieces: list[bytes]) -> list[Event]:
    parser = SSEParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return [event._replace(raw=b"") for event in events + parser.finish()]


def raw_bytes(pieces: list[bytes]) -> bytes:
    """All raw bytes of the events, and what belongs to none."""
    parser = SSEParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return b"".join(event.raw for event in events + parser.finish()) + parser.rest()


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({min(place, len(raw)) for place in places})
    return [raw[start:end] for start, end in zip([0, *ends], [*ends, len(raw)], strict=True)]


def test_the_fields_line_ends_comments_and_the_byte_order_mark_of_the_specification() -> None:
    assert parsed([SAMPLE]) == EVENTS


def test_a_cut_at_every_single_byte_changes_nothing() -> None:
    for place in range(len(SAMPLE) + 1):
        assert parsed([SAMPLE[:place], SAMPLE[place:]]) == EVENTS


def test_one_byte_at_a_time_changes_nothing() -> None:
    assert parsed([bytes([byte]) for byte in SAMPLE]) == EVENTS


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.sampled_from([b"data: a", b"data:", b"event: e", b":", b"\n", b"\r", b"\r\n", "é".encode(), b"\xff"])),
    st.lists(st.integers(0, 200), max_size=8),
)
def test_any_bytes_cut_anywhere_give_the_events_of_the_uncut_stream(parts: list[bytes], places: list[int]) -> None:
    raw = b"".join(parts)
    assert parsed(cut(raw, places)) == parsed([raw])
    assert raw_bytes(cut(raw, places)) == raw


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), min_size=1))
def test_what_was_written_is_read_back(texts: list[str]) -> None:
    raw = "".join(f"data: {text}\n\n" for text in texts).encode()
    assert [event.data.decode() for event in parsed([raw])] == texts


def test_an_event_comes_out_with_the_piece_that_completes_it_and_all_its_bytes() -> None:
    parser = SSEParser()
    assert parser.feed(b"data: a\n") == []
    assert parser.feed(b"\ndata: b") == [Event("", b"a", b"data: a\n\n")]
    assert parser.feed(b"\n\n") == [Event("", b"b", b"data: b\n\n")]
    assert parser.finish() == []


def test_bytes_between_two_events_belong_to_the_second() -> None:
    parser = SSEParser()
    assert parser.feed(b"data: a\r\n\r") == [Event("", b"a", b"data: a\r\n\r")]
    assert parser.feed(b"\n: wait\r\n\r\n") == []
    assert parser.feed(b"event: e\r\ndata: b\r\n\r\n") == [
        Event("e", b"b", b"\n: wait\r\n\r\nevent: e\r\ndata: b\r\n\r\n")
    ]


def test_a_piece_that_is_one_event_is_its_raw_bytes_itself() -> None:
    piece = b'data: {"a": 1}\n\n'
    (event,) = SSEParser().feed(piece)
    assert event == Event("", b'{"a": 1}', piece)
    assert event.raw is piece


def test_a_last_event_without_its_blank_line_is_given_at_the_end() -> None:
    parser = SSEParser()
    assert parser.feed(b"data: [DONE]") == []
    assert parser.finish() == [Event("", b"[DONE]", b"data: [DONE]")]


@pytest.mark.parametrize("endless", [b"data: xxxxxxxx", b"data: xxxxxxx\n", b": no line end "])
def test_an_endless_line_or_event_is_refused_in_bounded_memory(endless: bytes) -> None:
    parser = SSEParser(max_event_bytes=1000)
    with pytest.raises(MalformedReplyError, match="1,000 bytes"):
        for _ in range(1000):
            parser.feed(endless)


def test_many_events_may_be_larger_than_the_bound_together() -> None:
    parser = SSEParser(max_event_bytes=100)
    assert sum(len(parser.feed(b"data: " + b"x" * 80 + b"\n\n")) for _ in range(50)) == 50
