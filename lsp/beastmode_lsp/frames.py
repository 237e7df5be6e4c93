"""Messages as the base protocol frames them: headers, an empty line, as many bytes of JSON as the headers say."""

from __future__ import annotations

import json
from typing import Any

import msgspec

MAX_HEADER_BYTES = 8 * 1024
MAX_BODY_BYTES = 64 * 1024 * 1024
_END = b"\r\n\r\n"


class BadFrameError(Exception):
    """What came is no message, and what follows it can not be told apart.

    Args:
        sentence: What is wrong, without anything of the message.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Frames:
    """Cuts what comes in into the bodies of messages, looking at every byte once."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._seen = 0
        self._body_bytes = -1

    def feed(self, chunk: bytes) -> None:
        """Takes what the socket gave."""
        self._bytes += chunk

    def take(self) -> bytes | None:
        """The body of the next whole message, or None.

        Raises:
            BadFrameError: The headers can not be read, or announce too much.
        """
        if self._body_bytes < 0 and not self._take_headers():
            return None
        if len(self._bytes) < self._body_bytes:
            return None
        with memoryview(self._bytes) as view:
            body = bytes(view[: self._body_bytes])
        del self._bytes[: self._body_bytes]
        self._seen, self._body_bytes = 0, -1
        return body

    def _take_headers(self) -> bool:
        end = self._bytes.find(_END, max(0, self._seen - len(_END)))
        if end > MAX_HEADER_BYTES or (end < 0 and len(self._bytes) > MAX_HEADER_BYTES):
            raise BadFrameError(f"The headers of a message are longer than {MAX_HEADER_BYTES} bytes.")
        if end < 0:
            self._seen = len(self._bytes)
            return False
        self._body_bytes = _content_length(bytes(self._bytes[:end]))
        del self._bytes[: end + len(_END)]
        return True


def _content_length(headers: bytes) -> int:
    found = None
    for line in headers.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if not colon:
            raise BadFrameError("A header of a message has no colon.")
        if name.strip().lower() == b"content-length":
            if found is not None or not value.strip().isdigit() or len(value) > 20:
                raise BadFrameError("Content-Length is not a number, or is there twice.")
            found = int(value)
    if found is None:
        raise BadFrameError("A message has no Content-Length.")
    if found > MAX_BODY_BYTES:
        raise BadFrameError(f"A message of {found} bytes is longer than the {MAX_BODY_BYTES} that are taken.")
    return found


def frame(body: bytes) -> bytes:
    """A body with its headers."""
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def encode(message: dict[str, Any]) -> bytes:
    """A message as JSON. Half of a surrogate pair, which UTF-8 has no form for, goes out escaped."""
    try:
        return msgspec.json.encode(message)
    except UnicodeEncodeError:
        return json.dumps(message, separators=(",", ":")).encode()


def decode(body: bytes) -> Any:
    """What a body says.

    Half of a surrogate pair, which an editor may send in the middle of a change, becomes U+FFFD: one UTF-16 unit, as
    long as it was.

    Raises:
        BadFrameError: It is no JSON, or nested too deep.
    """
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        raise BadFrameError("A message is nested too deep.") from None
    except ValueError:
        return _decode_slowly(body)


def _decode_slowly(body: bytes) -> Any:
    try:
        text = json.dumps(json.loads(body), ensure_ascii=False)
        return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    except RecursionError:
        raise BadFrameError("A message is nested too deep.") from None
    except ValueError:
        raise BadFrameError("A message is not JSON.") from None
