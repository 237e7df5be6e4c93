"""One JSON object a line: how both clients write and read it, and what they say when there is nothing to read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from beastmode.core.errors import (
    AccessError,
    BadInputError,
    BeastError,
    DaemonNotRunningError,
    InternalError,
    UpstreamTimeoutError,
    from_rpc,
)
from beastmode.core.paths import Paths

if TYPE_CHECKING:
    from beastmode.client.shapes import ChatOptions

OnProgress = Callable[[Any], object]
OnDelta = Callable[[str], object]
Params = dict[str, Any] | list[Any] | None
CHUNK_BYTES = 1 << 16


class Lines:
    """Cuts what comes in into lines, looking at every byte once."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._seen = 0

    def feed(self, chunk: bytes) -> None:
        """Takes what the socket gave."""
        self._bytes += chunk

    def take(self) -> bytes | None:
        """The next whole line without its end, or None."""
        end = self._bytes.find(b"\n", self._seen)
        if end < 0:
            self._seen = len(self._bytes)
            return None
        line = bytes(self._bytes[:end])
        del self._bytes[: end + 1]
        self._seen = 0
        return line


def where(socket_path: str | os.PathLike[str] | None) -> str:
    """The socket to talk to: the given one, else that of `BEAST_HOME` or of the platform's folders."""
    return os.fspath(socket_path or Paths.from_environment(os.environ).rpc_socket)


def request(method: str, params: Params, request_id: int | None = None) -> dict[str, Any]:
    """A JSON-RPC request; without an id it is a notification."""
    made: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    if request_id is not None:
        made["id"] = request_id
    if params is not None:
        made["params"] = params
    return made


def cancel(request_id: int) -> dict[str, Any]:
    """The notification that ends a call of this connection."""
    return request("$/cancelRequest", {"id": request_id})


def chat_params(
    message: str | list[dict[str, Any]], model: str | None, stream: bool, options: ChatOptions
) -> dict[str, Any]:
    """The parameters of `chat`; an option that is None is left to the daemon."""
    question = {"message": message} if isinstance(message, str) else {"messages": message}
    given = {name: value for name, value in {"model": model, **options}.items() if value is not None}
    return {**question, "stream": stream, **given}


def deltas(on_delta: OnDelta | None) -> OnProgress | None:
    """A progress callback that hands on the text of every delta."""
    if on_delta is None:
        return None

    def on_progress(value: Any) -> None:
        if isinstance(value, dict) and isinstance(value.get("delta"), str):
            on_delta(value["delta"])

    return on_progress


def progress(message: object, request_id: int) -> Any:
    """The value of a `$/progress` of this call; None for every other message."""
    if not isinstance(message, dict) or message.get("method") != "$/progress":
        return None
    params = message.get("params")
    return params.get("value") if isinstance(params, dict) and params.get("token") == request_id else None


def encode(message: dict[str, Any] | list[dict[str, Any]]) -> bytes:
    """A message, or a batch of them, as one line.

    Raises:
        BadInputError: It holds something that JSON has no word for.
    """
    try:
        return json.dumps(message, allow_nan=False, separators=(",", ":")).encode() + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInputError(
            f"The parameters cannot be written as JSON: {error}.",
            tips=["use only strings, finite numbers, booleans, None, lists and dicts with string keys"],
        ) from None


def decode(line: bytes, socket_path: str) -> list[dict[str, Any]]:
    """The messages of one line: one, or those of a batch.

    Raises:
        InternalError: Whoever listens there is not the daemon.
    """
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    messages = found if isinstance(found, list) else [found]
    if not all(isinstance(message, dict) for message in messages):
        raise InternalError(
            f"What answers on {socket_path} does not speak JSON-RPC.",
            tips=["beast restart", "or set BEAST_HOME to the home of the daemon that you mean"],
        )
    return messages


def outcome(reply: dict[str, Any]) -> Any:
    """The result of a reply, or the error in it as a BeastError (returned, not raised)."""
    error = reply.get("error")
    if isinstance(error, dict):
        return from_rpc(error.get("code", 0), str(error.get("message", "")), error.get("data"))
    return reply.get("result")


def unreachable(socket_path: str, error: OSError) -> BeastError:
    """What a failed connect means."""
    if isinstance(error, PermissionError):
        return AccessError(
            f"You may not use the socket {socket_path}: it belongs to another user.",
            tips=["set BEAST_HOME to a folder of your own, then: beast start"],
        )
    return DaemonNotRunningError(f"The daemon is not running: nobody answers on {socket_path}.", tips=["beast start"])


def lost(socket_path: str) -> BeastError:
    """The connection broke while somebody waited."""
    return DaemonNotRunningError(
        f"The daemon closed the connection on {socket_path} before it answered.",
        tips=["beast status", "beast start"],
    )


def too_slow(method: str, timeout_s: float | None) -> BeastError:
    """The caller's own time limit passed."""
    return UpstreamTimeoutError(
        f"No result of {method} within {timeout_s:g} s; it was cancelled.",
        tips=["allow more time with timeout_s", "beast status"],
    )
