"""The cache key: what makes two requests the same request, and what keeps one scope's answers from another."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from hashlib import blake2b
from typing import Any
from unicodedata import combining, normalize

import msgspec

from beastmode.core.errors import BadInputError
from beastmode.core.types import Message, Request

FORMAT = 1
"""Part of every key: a later canonical form makes all older entries unreachable instead of wrong."""

DIGEST_BYTES = 16

TRANSPORT_FIELDS = frozenset(
    {
        "stream",
        "stream_options",
        "store",
        "metadata",
        "client_metadata",
        "prompt_cache_key",
        "safety_identifier",
        "tags",
        "session_id",
        "cache",
    }
)
"""Parameters that say how an answer travels, not what it says."""

MARKS_MAX = 64
_EXACT_FLOAT = 2.0**53
_encode = msgspec.json.Encoder(order="deterministic").encode


class Key(msgspec.Struct, frozen=True, gc=False):
    """Where the answer to a request is stored.

    Attributes:
        exact: Digest of scope and text, 16 bytes.
        scope: Digest of everything that counts but the last user text, 16 bytes.
        text: The last user text as it counts; empty where a request does not end with one.
    """

    exact: bytes
    scope: bytes
    text: str


def make_key(request: Request, model: str | None = None) -> Key:
    """Computes the key of a request.

    Numbers below 2**53 are compared by value (1 and 1.0 are equal), `true` is no number, a parameter that is None is
    absent, the order of an object's fields says nothing and that of a list does.

    Args:
        request: The request.
        model: The model under which the answer is stored; None: the one asked for.

    Raises:
        BadInputError: Parameters, tool calls or content parts are nested too deeply.
    """
    text, tail = _split(request.messages, _as_it_is if request.kind == "completion" else _normal)
    name = request.model if model is None else model
    try:
        try:
            body = _encode(_shape(request, name, tail, _canonical))
        except UnicodeEncodeError:  # a lone surrogate, which UTF-8 does not have
            body = _encode_surrogates(_shape(request, name, tail, _plain))
    except RecursionError:
        raise BadInputError(
            "The request is nested too deeply to be compared with others.",
            tips=["send parameters, tools and content parts with fewer levels of lists and objects"],
        ) from None
    scope = blake2b(body, digest_size=DIGEST_BYTES).digest()
    return Key(_exact(scope, text), scope, text)


def _exact(scope: bytes, text: str) -> bytes:
    try:
        data = text.encode()
    except UnicodeEncodeError:
        data = text.encode("utf-8", "surrogatepass")
    return blake2b(scope + data, digest_size=DIGEST_BYTES).digest()


def _split(messages: list[Message], normal: Callable[[str], str]) -> tuple[str, Any]:
    """Takes the last user text out of a conversation, in the form in which it counts.

    Returns:
        The text, and what is left of the last message: 0 where it was nothing but text, None where it has no user
        text and counts as a whole.
    """
    last = messages[-1] if messages else None
    if last is None or last.role != "user":
        return "", None
    content = last.content
    if isinstance(content, str):
        if last.name is None and last.tool_calls is None and last.tool_call_id is None:
            return normal(content), 0
        return normal(content), _rest(last, None)
    parts = content or []
    for index in range(len(parts) - 1, -1, -1):
        part = parts[index]
        if part.get("type") == "text" and type(part.get("text")) is str:
            rest = {name: value for name, value in part.items() if name != "text"}
            return normal(part["text"]), _rest(last, [index, parts[:index], rest, parts[index + 1 :]])
    return "", None


def _rest(last: Message, parts: list[Any] | None) -> Any:
    if parts is not None and parts == [0, [], {"type": "text"}, []]:
        parts = None  # one part of text says the same as the text alone
    rest = [last.name, last.tool_calls, last.tool_call_id, parts]
    return 0 if rest == [None, None, None, None] else rest


def _as_it_is(text: str) -> str:
    """A text that is to be continued: it matters whether it ends with a blank."""
    return text


def _normal(text: str) -> str:
    """NFC, LF and no outer blank space; nothing else is touched."""
    if not text.isascii() and not _has_endless_marks(text):
        text = normalize("NFC", text)
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    return text.strip()


def _has_endless_marks(text: str) -> bool:
    """Whether normalising would take quadratic time, as it does for combining marks in a row.

    Such a text is no writing of anyone's; it is compared as it is.
    """
    if len(text) < 32 * MARKS_MAX or not any(map(combining, text[::MARKS_MAX])):
        return False
    return max(map(len, bytes(map(combining, text)).split(b"\0"))) > MARKS_MAX


def _shape(request: Request, model: str, tail: Any, canonical: Callable[[Any], Any]) -> Any:
    """Everything that counts but the last user text, as one list: a framing that no two requests share."""
    messages = request.messages if tail is None else request.messages[:-1]
    for message in messages:
        if type(message.content) is not str or message.tool_calls:
            messages = [canonical(one) for one in messages]
            break
    params = {}
    for name, value in request.params.items():
        if value is not None and name not in TRANSPORT_FIELDS:
            kind = type(value)
            params[name] = value if kind is str or kind is int or kind is bool else canonical(value)
    if tail:
        tail = canonical(tail)
    shape = (FORMAT, model, request.user, request.workspace, request.digests, messages, tail, params)
    if request.gather is not None:
        return (*shape, request.kind, "gather")
    return shape if request.kind == "chat" else (*shape, request.kind)


def _canonical(value: Any) -> Any:
    """Canonical numbers at the speed of the encoder: most values have none that could be written in two ways."""
    if type(value) is float:
        return _number(value)
    encoded = _encode(value)
    if b".0" in encoded or b"null" in encoded:
        return _plain(value)
    return msgspec.Raw(encoded)


def _plain(value: Any) -> Any:
    """Canonical numbers, one by one."""
    kind = type(value)
    if kind is float:
        return _number(value)
    if kind is dict:
        return {name: _plain(one) for name, one in value.items()}
    if kind is list:
        return [_plain(one) for one in value]
    if kind is Message:
        return msgspec.structs.replace(value, content=_plain(value.content), tool_calls=_plain(value.tool_calls))
    return value


def _number(value: float) -> Any:
    if value.is_integer() and -_EXACT_FLOAT < value < _EXACT_FLOAT:
        return int(value)
    return value if math.isfinite(value) else msgspec.Raw(repr(value).encode())


def _encode_surrogates(shape: Any) -> bytes:
    """Encodes what UTF-8 can not: every character beyond ASCII is escaped. Begins unlike the usual form."""
    body = json.dumps(msgspec.to_builtins(shape, enc_hook=lambda raw: [bytes(raw).decode()]), sort_keys=True)
    return b"\\" + body.encode("ascii")
