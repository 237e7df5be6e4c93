"""Server-sent events, parsed as the bytes come (by hand: it runs for every piece of every stream)."""

from __future__ import annotations

from typing import NamedTuple

from beastmode.core.errors import MalformedReplyError

MAX_EVENT_BYTES = 8 << 20
_BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One event.

    Attributes:
        name: Its `event` field; empty where there was none, which means `message`.
        data: Its `data` lines, joined by line feeds; raw bytes, since most of them are JSON.
    """

    name: str
    data: bytes


class SSEParser:
    """Turns pieces of a stream, cut anywhere, into events.

    Lines end with LF, CR or CRLF; a byte order mark, comments and the fields `id` and `retry` are skipped.
    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream

    Args:
        max_event_bytes: Longest line, and largest event, that is taken.
    """

    __slots__ = ("_data", "_data_bytes", "_first", "_max_bytes", "_name", "_partial", "_partial_bytes", "_skip_lf")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_event_bytes
        self._partial: list[bytes] = []  # pieces of a line whose end has not come
        self._partial_bytes = 0
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._name = b""
        self._first = True
        self._skip_lf = False

    def feed(self, piece: bytes) -> list[Event]:
        """Takes the next piece.

        Args:
            piece: Bytes as they came from the network; may be empty.

        Returns:
            The events that are complete with it, in order.

        Raises:
            MalformedReplyError: A line or an event is larger than `max_event_bytes`.
        """
        if self._skip_lf and piece:
            self._skip_lf = False
            piece = piece.removeprefix(b"\n")
        if b"\r" in piece:
            self._skip_lf = piece.endswith(b"\r")
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = piece.split(b"\n")
        rest = lines.pop()
        events: list[Event] = []
        if lines and self._partial:
            lines[0] = self._whole_line(lines[0])
        for line in lines:
            self._take(line, events)
        if rest:
            self._partial.append(rest)
            self._partial_bytes += len(rest)
            self._bound()
        return events

    def finish(self) -> list[Event]:
        """Ends the stream.

        The specification drops an event without its closing blank line; servers exist that send their last one so,
        and a cut-off one shows in its data.

        Returns:
            The event that was still open, if there was one.
        """
        events: list[Event] = []
        if self._partial:
            self._take(self._whole_line(b""), events)
        self._take(b"", events)
        return events

    def _whole_line(self, end: bytes) -> bytes:
        line = b"".join(self._partial) + end
        self._partial.clear()
        self._partial_bytes = 0
        return line

    def _take(self, line: bytes, events: list[Event]) -> None:
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        if not line:
            if self._data:
                data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                events.append(Event(self._name.decode("utf-8", "replace"), data))
                self._data.clear()
                self._data_bytes = 0
            self._name = b""
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._data_bytes += len(value) + 1
            self._bound()
        elif field == b"event":
            self._name = value

    def _bound(self) -> None:
        if self._partial_bytes + self._data_bytes > self._max_bytes:
            raise MalformedReplyError(f"An event of the stream is larger than {self._max_bytes:,} bytes.")
