"""From a line to a method and back: requests, batches, notifications, cancellation, progress. Knows no socket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from difflib import get_close_matches
from typing import Any, Protocol

import msgspec

from beastmode.core.errors import CODES, BeastError, InternalError
from beastmode.servers import jsonrpc
from beastmode.servers.jsonrpc import InvalidRequestError
from beastmode.servers.methods import METHODS, Method
from beastmode.servers.services import Caller, Services

log = logging.getLogger(__name__)

BATCH_MAX = 1000
PENDING_MAX = 1024

Emit = Callable[[bytes], None]


class Outlet(Protocol):
    """Where answers go."""

    behind: bool

    def send(self, line: bytes) -> None:
        """Sends one line, without its newline."""

    def when_caught_up(self, callback: Callable[[], None]) -> None:
        """Calls back once a client that is behind has caught up."""


class Dispatch:
    """The requests of one client.

    Args:
        services: What the methods work with.
        user: The client's user.
        outlet: Where answers go.
    """

    def __init__(self, services: Services, user: str, outlet: Outlet) -> None:
        self._services = services
        self._user = user
        self._outlet = outlet
        self._pending: dict[Any, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Something is still being answered."""
        return bool(self._tasks)

    def hang_up(self) -> None:
        """Ends everything the client had asked for."""
        for task in self._tasks:
            _cancel_soon(task, "client_gone")

    def line(self, raw: bytes) -> None:
        """Serves one line: a request, a notification or a batch; blank lines are nothing."""
        if raw[:1] == b"{":
            self._request(raw, self._answer)
            return
        raw = raw.strip()
        if raw[:1] == b"[":
            self._batch(raw)
        elif raw:
            self._request(raw, self._answer)

    def _answer(self, line: bytes) -> None:
        if line:
            self._outlet.send(line)

    def _batch(self, raw: bytes) -> None:
        try:
            batch = jsonrpc.decode_batch(raw)
            if len(batch) > BATCH_MAX:
                raise InvalidRequestError(jsonrpc.INVALID_REQUEST, f"A batch may hold {BATCH_MAX} requests.")
        except InvalidRequestError as error:
            self._outlet.send(jsonrpc.encode_error(error.id, error.code, str(error)))
            return
        answers = _Batch(self._outlet.send)
        for one in batch:
            self._request(one, answers.expect())
        answers.close()

    def _request(self, raw: bytes | msgspec.Raw, emit: Emit) -> None:
        """Serves one request object; `emit` is called exactly once, with nothing for a notification."""
        try:
            envelope = jsonrpc.decode_envelope(raw)
        except InvalidRequestError as error:
            emit(jsonrpc.encode_error(error.id, error.code, str(error)))
            return
        if not envelope.id:
            emit(b"")
            emit = _nowhere
        if envelope.method == "$/cancelRequest":
            self._cancel(envelope.params)
            emit(jsonrpc.encode_result(envelope.id, None))
            return
        self._call(envelope, emit)

    def _call(self, envelope: jsonrpc.Envelope, emit: Emit) -> None:
        own_id = envelope.id or jsonrpc.NULL_ID
        method = METHODS.get(envelope.method)
        if method is None:
            emit(_unknown_method(own_id, envelope.method))
            return
        progress = _Progress(self._outlet, own_id) if envelope.id else None
        try:
            params = method.decode(envelope.params)
            caller = Caller(self._user, progress.send if progress is not None else None)
            result = method.run(self._services, caller, params)
        except InvalidRequestError as error:
            emit(jsonrpc.encode_error(own_id, error.code, str(error)))
        except BeastError as error:
            emit(jsonrpc.encode_beast_error(own_id, error))
        except Exception:
            emit(_internal_error(own_id, method))
        else:
            if asyncio.iscoroutine(result):
                self._later(method, result, progress, emit)
            else:
                emit(jsonrpc.encode_result(own_id, result))

    def _later(self, method: Method, work: Coroutine[Any, Any, Any], progress: _Progress | None, emit: Emit) -> None:
        """Answers in a task of its own; an id can be cancelled, so it is answered once at a time."""
        key = progress.cut_loose() if progress is not None else None
        if len(self._tasks) >= PENDING_MAX or (progress is not None and key in self._pending):
            work.close()
            why = "is still being answered" if key in self._pending else f"is one too many: {PENDING_MAX} at once"
            own_id = progress.id if progress is not None else jsonrpc.NULL_ID
            emit(jsonrpc.encode_error(own_id, jsonrpc.INVALID_REQUEST, f"Request {bytes(own_id).decode()} {why}."))
            return

        def answer(line: bytes) -> None:
            # The id is free before its answer is out: a client may use it again the moment it reads the line.
            if progress is not None:
                del self._pending[key]
            emit(line)

        task = asyncio.get_running_loop().create_task(_finish(method, work, progress, answer))
        self._tasks.add(task)
        if progress is not None:
            self._pending[key] = task
        task.add_done_callback(self._tasks.discard)

    def _cancel(self, params: msgspec.Raw) -> None:
        try:
            task = self._pending.get(msgspec.json.decode(params)["id"])
        except (*jsonrpc.MALFORMED, KeyError, TypeError):
            return
        if task is not None:
            _cancel_soon(task, "cancelled")


async def _finish(method: Method, work: Coroutine[Any, Any, Any], progress: _Progress | None, emit: Emit) -> None:
    own_id = progress.id if progress is not None else jsonrpc.NULL_ID
    try:
        result = await work
    except asyncio.CancelledError:
        if progress is not None:
            progress.drop()
        emit(jsonrpc.encode_error(own_id, CODES["cancelled"].rpc, "Cancelled.", {"kind": "cancelled"}))
    except BeastError as error:
        emit(jsonrpc.encode_beast_error(own_id, error))
    except Exception:
        emit(_internal_error(own_id, method))
    else:
        if progress is not None:
            progress.finish()
        emit(jsonrpc.encode_result(own_id, result))


class _Progress:
    """Progress of one request; text for a slow client is kept as one piece instead of as a queue."""

    __slots__ = ("_held", "_outlet", "id")

    def __init__(self, outlet: Outlet, id: msgspec.Raw) -> None:
        self._outlet = outlet
        self._held: list[str] = []
        self.id = id

    def cut_loose(self) -> Any:
        """Copies the id out of its line, which can go then; gives its value."""
        self.id = msgspec.Raw(bytes(self.id))
        return msgspec.json.decode(self.id)

    def send(self, value: dict[str, Any]) -> None:
        """Sends it, or keeps its text until the client has caught up."""
        if not self._held and not self._outlet.behind:
            self._outlet.send(jsonrpc.encode_progress(self.id, value))
            return
        if not self._held:
            self._outlet.when_caught_up(self.finish)
        self._held.append(value.get("delta", ""))

    def drop(self) -> None:
        """Forgets what was held: nothing comes after a cancellation."""
        self._held.clear()

    def finish(self) -> None:
        """Sends what was held."""
        text, self._held = "".join(self._held), []
        if text:
            self._outlet.send(jsonrpc.encode_progress(self.id, {"delta": text}))


class _Batch:
    """Collects the answers of a batch and sends them as one array."""

    def __init__(self, send: Emit) -> None:
        self._send = send
        self._answers: list[bytes] = []
        self._open = 1

    def expect(self) -> Emit:
        self._open += 1
        return self._take

    def _take(self, line: bytes) -> None:
        if line:
            self._answers.append(line)
        self.close()

    def close(self) -> None:
        self._open -= 1
        if not self._open and self._answers:
            self._send(b"[" + b",".join(self._answers) + b"]")


def _nowhere(line: bytes) -> None:
    """Where the answers to notifications go."""


def _cancel_soon(task: asyncio.Task[None], kind: str) -> None:
    # One turn of the loop later: a task that is cancelled before its first step leaves no ledger row.
    task.get_loop().call_soon(task.cancel, kind)


def _internal_error(id: msgspec.Raw, method: Method) -> bytes:
    log.exception("method failed", extra={"fields": {"method": method.name}})
    error = InternalError(f"`{method.name}` failed inside the daemon.", tips=["see the log: beast config path"])
    return jsonrpc.encode_beast_error(id, error)


def _unknown_method(id: msgspec.Raw, name: str) -> bytes:
    near = get_close_matches(name, METHODS, 1)
    tip = f"did you mean `{near[0]}`?" if near else "`rpc.discover` lists all methods"
    return jsonrpc.encode_error(id, jsonrpc.METHOD_NOT_FOUND, f"There is no method `{name[:100]}`.", {"tip": [tip]})
