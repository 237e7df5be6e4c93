"""JSON-RPC 2.0 as bytes: envelopes in, results, errors and progress out. No sockets here."""

from __future__ import annotations

from typing import Any

import msgspec

from beastmode.core.errors import CODES, BeastError

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603

MALFORMED = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
NO_ID = msgspec.Raw(b"")
NULL_ID = msgspec.Raw(b"null")


class Envelope(msgspec.Struct):
    """A request or notification whose parameters are still bytes."""

    jsonrpc: str
    method: str
    params: msgspec.Raw = NO_ID
    id: msgspec.Raw = NO_ID


class _IdOnly(msgspec.Struct):
    id: msgspec.Raw = NULL_ID


class InvalidRequestError(Exception):
    """The object is no request; `id` is its id where one could be read, `code` the standard error code."""

    def __init__(self, code: int, message: str, id: msgspec.Raw = NULL_ID) -> None:
        super().__init__(message)
        self.code = code
        self.id = id


_ENVELOPE = msgspec.json.Decoder(Envelope)
_ID_ONLY = msgspec.json.Decoder(_IdOnly)
_BATCH = msgspec.json.Decoder(list[msgspec.Raw])
_ENCODER = msgspec.json.Encoder()


def decode_envelope(raw: bytes | msgspec.Raw) -> Envelope:
    """Reads one request object.

    Args:
        raw: One JSON value.

    Raises:
        InvalidRequestError: It is not JSON, or not a request.
    """
    try:
        envelope = _ENVELOPE.decode(raw)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(INVALID_REQUEST, f"Not a JSON-RPC request: {error}.", _read_id(raw)) from None
    except MALFORMED as error:
        raise InvalidRequestError(PARSE_ERROR, f"Not JSON: {error}.") from None
    if not _is_id(envelope.id):
        raise InvalidRequestError(INVALID_REQUEST, "An id is a string, a number or null.")
    if envelope.jsonrpc != "2.0":
        raise InvalidRequestError(INVALID_REQUEST, '`jsonrpc` must be "2.0".', envelope.id or NULL_ID)
    if envelope.params and bytes(envelope.params)[:1] not in b"{[":
        raise InvalidRequestError(INVALID_REQUEST, "`params` must be an object.", envelope.id or NULL_ID)
    return envelope


def decode_batch(raw: bytes) -> list[msgspec.Raw]:
    """Cuts a batch into its objects, none of them read yet.

    Raises:
        InvalidRequestError: It is not JSON, or empty.
    """
    try:
        batch = _BATCH.decode(raw)
    except MALFORMED as error:
        raise InvalidRequestError(PARSE_ERROR, f"Not JSON: {error}.") from None
    if not batch:
        raise InvalidRequestError(INVALID_REQUEST, "An empty batch asks for nothing.")
    return batch


def _is_id(raw: msgspec.Raw) -> bool:
    head = bytes(raw)[:1]
    return not head or head in b'"-0123456789' or bytes(raw) == b"null"


def _read_id(raw: bytes | msgspec.Raw) -> msgspec.Raw:
    """The id of an invalid request, as it came, where one can be read."""
    try:
        found = _ID_ONLY.decode(raw).id
    except msgspec.ValidationError:
        return NULL_ID
    except MALFORMED as error:
        raise InvalidRequestError(PARSE_ERROR, f"Not JSON: {error}.") from None
    return found.copy() if _is_id(found) else NULL_ID


def encode_result(id: msgspec.Raw, result: Any) -> bytes:
    """One response line, without its newline."""
    return b'{"jsonrpc":"2.0","id":' + bytes(id) + b',"result":' + _ENCODER.encode(result) + b"}"


def encode_error(id: msgspec.Raw, code: int, message: str, data: dict[str, Any] | None = None) -> bytes:
    """One error line, without its newline; every error carries `data` with at least a kind and tips."""
    shown = {"kind": _kind(code), "tip": [], **(data or {})}
    body = {"code": code, "message": message, "data": shown}
    return b'{"jsonrpc":"2.0","id":' + bytes(id) + b',"error":' + _ENCODER.encode(body) + b"}"


def _kind(code: int) -> str:
    return {METHOD_NOT_FOUND: "not_found", INTERNAL_ERROR: "internal"}.get(code, "bad_input")


def encode_beast_error(id: msgspec.Raw, error: BeastError) -> bytes:
    """An error of our tree as a line, without its newline."""
    return encode_error(id, CODES[error.kind].rpc, error.message, error.data())


def encode_progress(id: msgspec.Raw, value: dict[str, Any]) -> bytes:
    """One progress line, without its newline; its token is the id of the request."""
    head = b'{"jsonrpc":"2.0","method":"$/progress","params":{"token":'
    return head + bytes(id) + b',"value":' + _ENCODER.encode(value) + b"}}"
