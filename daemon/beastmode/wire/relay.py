"""Handing on bytes as they came: bodies with a few fields changed, events of a stream, headers a caller may want."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Literal

import msgspec

from beastmode.core.deltas import OnDelta, Relayed
from beastmode.core.errors import BadInputError
from beastmode.wire.sse import Event, SSEParser

OFF_LOOP_BYTES = 256 << 10
"""JSON from this size on is read and written in a thread; it takes about half a millisecond."""

Took = Literal["more", "last", "usage"]
"""What an event was: one of many, the last one, or one that holds nothing but the usage."""

Take = Callable[[Event], Took]
"""A reader: takes an event, hands on what it holds, and says what it was; raises for one that is an error, or none of
its protocol."""

_KEPT = frozenset(
    {
        "retry-after",
        "retry-after-ms",
        "x-should-retry",
        "x-request-id",
        "request-id",
        "openai-processing-ms",
        "ratelimit",
    }
)
_KEPT_PREFIXES = ("x-ratelimit-", "anthropic-ratelimit-", "ratelimit-", "x-rate-limit-")
_MAX_KEPT = 40
_MAX_VALUE_CHARACTERS = 256

_NAME = rb'[ \t\n\r]*"[^"\\]*(?:\\.[^"\\]*)*"[ \t\n\r]*:[ \t\n\r]*'
_FIRST = re.compile(rb"[ \t\n\r]*\{" + _NAME)
_NEXT = re.compile(rb"[ \t\n\r]*," + _NAME)
_MODEL = b'"model"'
_NAMED = re.compile(_MODEL + rb"[ \t\n\r]*:[ \t\n\r]*")
_END = re.compile(rb"[ \t\n\r]*\}[ \t\n\r]*\Z")
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encoder = msgspec.json.Encoder()


class _Model(msgspec.Struct):
    """What a request says of its model."""

    model: msgspec.Raw = msgspec.Raw()


_model = msgspec.json.Decoder(_Model)


class EventRelay:
    """The events of one stream, for its reader, and their bytes for those who speak its protocol.

    All events of one piece leave as one `Relayed`, after the reader has taken them: bytes of an event that it refused
    leave with nobody. The reader is told with each piece and not kept: it holds this object, and a stream that ended
    leaves nothing behind that waits for the garbage collector.

    Args:
        on_delta: Gets the bytes.
        relay: Hand on the bytes at all.
    """

    __slots__ = ("_on_delta", "_parser", "_relay")

    def __init__(self, on_delta: OnDelta, relay: bool) -> None:
        self._on_delta = on_delta
        self._relay = relay
        self._parser = SSEParser()

    def feed(self, piece: bytes, take: Take) -> bool:
        """Takes the next piece of the stream.

        Args:
            piece: Bytes as they came, cut anywhere.
            take: The reader.

        Returns:
            True after the last event: what follows it is not read.

        Raises:
            MalformedReplyError: An event is too large; and whatever the reader raises.
        """
        return self._hand_on(self._parser.feed(piece), take)

    def finish(self, take: Take) -> None:
        """Ends the stream, with an event that lacks its blank line, where there is one.

        Args:
            take: The reader.
        """
        if not self._hand_on(self._parser.finish(), take) and self._relay and (rest := self._parser.rest()):
            self._on_delta(Relayed(rest))

    def _hand_on(self, events: list[Event], take: Take) -> bool:
        ready: list[bytes] = []
        last = False
        try:
            for event in events:
                took = take(event)
                if took == "usage" and self._relay:
                    self._send(ready)
                    self._on_delta(Relayed(event.raw, usage_only=True))
                    continue
                ready.append(event.raw)
                if took == "last":
                    last = True
                    if event.raw.endswith(b"\r\n\r"):
                        ready.append(b"\n")  # the rest of its CRLF, which nobody will wait for
                    break
        finally:
            if self._relay:
                self._send(ready)
        return last

    def _send(self, ready: list[bytes]) -> None:
        if ready:
            self._on_delta(Relayed(ready[0] if len(ready) == 1 else b"".join(ready)))
            ready.clear()


def relay_body(native_body: bytes, changes: Mapping[str, Any]) -> bytes:
    """Changes fields of a JSON object and leaves every other byte as it came; new fields stand at its end.

    One that has a field twice, or loses one, is written anew: its values stay byte for byte, and in their order.

    Args:
        native_body: The object, as it came.
        changes: New values by field of the object; `msgspec.UNSET` removes a field.

    Raises:
        BadInputError: It is no JSON object.
    """
    named = _renamed(native_body, changes)
    if named is not None:
        return named
    try:
        body: dict[str, Any] = dict(_fields.decode(native_body))
    except (ValueError, RecursionError):
        raise BadInputError("The request is not a JSON object.", tips=["Send a JSON object."]) from None
    patched = _patched(native_body, body, changes)
    if patched is not None:
        return patched
    for name, value in changes.items():
        if value is msgspec.UNSET:
            body.pop(name, None)
        else:
            body[name] = value
    return _encoder.encode(body)


def _renamed(body: bytes, changes: Mapping[str, Any]) -> bytes | None:
    """Puts another model in place of the one that is named, where nothing else changes; None where that is not sure.

    JSON has no bare quotation mark inside a text, so `"model"` that stands there once, unless letters are escaped, is
    the one field of that name, and it is the object's own where the object has it.
    """
    if len(changes) != 1 or "model" not in changes or body.count(_MODEL) != 1 or b"\\u00" in body:
        return None
    try:
        value = bytes(_model.decode(body).model)
    except (ValueError, RecursionError):
        return None
    begun = _NAMED.match(body, body.index(_MODEL))
    if not value or begun is None or not body.startswith(value, begun.end()):
        return None
    return b"%b%b%b" % (body[: begun.end()], _encoder.encode(changes["model"]), body[begun.end() + len(value) :])


def _patched(body: bytes, fields: Mapping[str, msgspec.Raw], changes: Mapping[str, Any]) -> bytes | None:
    """Puts new values in place of the old; None where the fields do not stand there one after the other, each once."""
    parts: list[bytes] = []
    done = at = 0
    for name, raw in fields.items():
        begun = (_NEXT if at else _FIRST).match(body, at)
        value = bytes(raw)
        if begun is None or not body.startswith(value, begun.end()):
            return None
        start, at = begun.end(), begun.end() + len(value)
        if name in changes:
            if changes[name] is msgspec.UNSET:
                return None
            parts += (body[done:start], _encoder.encode(changes[name]))
            done = at
    if not at or _END.match(body, at) is None:
        return None
    parts.append(body[done:at])
    for name, value in changes.items():
        if name not in fields and value is not msgspec.UNSET:
            parts.append(b",%b:%b" % (_encoder.encode(name), _encoder.encode(value)))
    parts.append(body[at:])
    return b"".join(parts)


async def relayed_body(native_body: bytes, changes: Mapping[str, Any]) -> bytes:
    """As `relay_body`; a large body in a thread, so that the event loop goes on.

    Args:
        native_body: The object, as it came.
        changes: New values by field of the object; `msgspec.UNSET` removes a field.

    Raises:
        BadInputError: It is no JSON object.
    """
    if len(native_body) < OFF_LOOP_BYTES:
        return relay_body(native_body, changes)
    return await asyncio.to_thread(relay_body, native_body, changes)


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of a reply that a caller may want: rate limits, when to retry, and the provider's name for it.

    Args:
        headers: All headers of the reply.

    Returns:
        By lower-case name; without values that are no printable ASCII of a sane length.
    """
    kept: dict[str, str] = {}
    for given, value in headers.items():
        name = _kept_name(given)
        if name and len(kept) < _MAX_KEPT and _sane(name, value):
            kept[name] = value
    return kept


@lru_cache(1024)
def _kept_name(given: str) -> str:
    """A header's name in lower case, where it is one that is kept."""
    name = given.lower()
    return name if name in _KEPT or name.startswith(_KEPT_PREFIXES) else ""


def _sane(name: str, value: str) -> bool:
    """It can be written into another reply as it is."""
    return len(name) + len(value) <= _MAX_VALUE_CHARACTERS and (name + value).isascii() and value.isprintable()
