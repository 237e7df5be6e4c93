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
        raw: Its bytes as they came, with the blank line at its end and with whatever stood between it and the event
            before: comments, and the line feed of a CRLF that was cut in two. All raw bytes joined are the stream.
    """

    name: str
    data: bytes
    raw: bytes = b""


class SSEParser:
    """Turns pieces of a stream, cut anywhere, into events.

    Lines end with LF, CR or CRLF; a byte order mark, comments and the fields `id` and `retry` are skipped.
    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream

    Args:
        max_event_bytes: Longest line, and largest event, that is taken.
    """

    __slots__ = (
        "_data",
        "_data_bytes",
        "_first",
        "_max_bytes",
        "_name",
        "_partial",
        "_pending",
        "_pending_bytes",
        "_skip_lf",
    )

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_event_bytes
        self._pending: list[bytes] = []  # all bytes since the last event, as they came
        self._pending_bytes = 0
        self._partial: list[bytes] = []  # pieces of a line whose end has not come
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
        if not self._pending and not self._skip_lf and _is_one_event(piece) and len(piece) <= self._max_bytes:
            self._first = False
            return [Event("", piece[6:-2], piece)]
        return self._feed_lines(piece)

    def _feed_lines(self, piece: bytes) -> list[Event]:
        events: list[Event] = []
        start = end = 0
        if self._skip_lf and piece:
            self._skip_lf = False
            end = int(piece.startswith(b"\n"))
        lines = piece[end:].splitlines(keepends=True)  # of bytes: at LF, CR and CRLF, nothing else
        if lines and not lines[-1].endswith((b"\n", b"\r")):
            rest = lines.pop()
        else:
            rest = b""
            self._skip_lf = self._skip_lf or piece.endswith(b"\r")
        for ended in lines:
            end += len(ended)
            line = ended.rstrip(b"\r\n")
            if self._partial:
                line = self._whole_line(line)
            if self._take(line):
                events.append(self._event(piece[start:end]))
                start = end
        if rest:
            self._partial.append(rest)
        if start < len(piece):
            self._wait(piece[start:] if start else piece)
        return events

    def finish(self) -> list[Event]:
        """Ends the stream.

        The specification drops an event without its closing blank line; servers exist that send their last one so,
        and a cut-off one shows in its data.

        Returns:
            The event that was still open, if there was one.
        """
        if self._partial:
            self._take(self._whole_line(b""))
        return [self._event(b"")] if self._take(b"") else []

    def rest(self) -> bytes:
        """Takes out the bytes that came since the last event and belong to none."""
        raw = b"".join(self._pending)
        self._pending.clear()
        self._pending_bytes = 0
        return raw

    def _whole_line(self, end: bytes) -> bytes:
        line = b"".join(self._partial) + end
        self._partial.clear()
        return line

    def _event(self, raw: bytes) -> Event:
        """Makes the event whose blank line has come; `raw` are its last bytes."""
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        event = Event(self._name.decode("utf-8", "replace"), data, self.rest() + raw if self._pending else raw)
        self._data.clear()
        self._data_bytes = 0
        self._name = b""
        return event

    def _take(self, line: bytes) -> bool:
        """Takes a line; True where it ends an event."""
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        if not line:
            if self._data:
                return True
            self._name = b""
            return False
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._data_bytes += len(value) + 1
            self._bound(self._data_bytes)
        elif field == b"event":
            self._name = value
        return False

    def _wait(self, raw: bytes) -> None:
        self._pending.append(raw)
        self._pending_bytes += len(raw)
        self._bound(self._pending_bytes)

    def _bound(self, size_bytes: int) -> None:
        if size_bytes > self._max_bytes:
            raise MalformedReplyError(f"An event of the stream is larger than {self._max_bytes:,} bytes.")


def _is_one_event(piece: bytes) -> bool:
    """It is exactly one `data` line and its blank line: what most pieces of most streams are."""
    return piece.startswith(b"data: ") and piece.endswith(b"\n\n") and piece.count(b"\n") == 2 and b"\r" not in piece
