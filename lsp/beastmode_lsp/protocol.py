"""The protocol of one editor's connection: pygls', with what its version 2.1 gets wrong put right."""

from __future__ import annotations

import asyncio
import contextvars
import difflib
import inspect
import itertools
import logging
import os
from collections.abc import Callable, Generator
from concurrent.futures import Future
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from cattrs import Converter
from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams, JsonRpcInvalidRequest
from pygls.protocol import LanguageServerProtocol, default_converter, lsp_method

from beastmode_lsp.answers import answer_error
from beastmode_lsp.frames import BadFrameError, decode, encode

if TYPE_CHECKING:
    from beastmode_lsp.server import EditorServer

MsgId = int | str
Handler = Callable[..., Any]
log = logging.getLogger(__name__)

MAX_UNANSWERED = 1000
REQUEST_FAILED = types.LSPErrorCodes.RequestFailed.value
_progress_token: contextvars.ContextVar[types.ProgressToken | None] = contextvars.ContextVar("token", default=None)


def make_converter() -> Converter:
    """The converter between JSON and types, which all connections share: one of their own takes 50 ms and 5 MB each."""
    converter: Converter = default_converter()  # type: ignore[no-untyped-call]  # pygls has no types there
    for kind in types.ALL_TYPES_MAP.values():
        if isinstance(kind, type) and issubclass(kind, Enum):
            converter.register_structure_hook(kind, _lenient)
    return converter


def _lenient(value: Any, kind: type[Enum]) -> Any:
    """A value that a later version of the protocol knows stays as it is: it is no reason to refuse a whole message."""
    try:
        return kind(value)
    except ValueError:
        return value


def progress_token() -> types.ProgressToken | None:
    """The `workDoneToken` that came with the command that runs now."""
    return _progress_token.get()


class EditorProtocol(LanguageServerProtocol):
    """One editor's connection.

    Args:
        server: The server object of this connection.
        converter: Between JSON and types.
    """

    _server: EditorServer

    def __init__(self, server: EditorServer, converter: Converter) -> None:
        self._ready = False
        self._ids = (f"beast-{os.getpid():x}-{number}" for number in itertools.count(1))
        self._unanswered: set[MsgId] = set()
        self._mute = False
        self._asked: dict[MsgId, tuple[Future[Any], type[Any] | None]] = {}
        super().__init__(server, converter)

    # -- what comes in

    def receive(self, body: bytes) -> None:
        """Takes one message.

        Raises:
            BadFrameError: It is no message of this protocol.
        """
        message = decode(body)
        if not isinstance(message, dict) or message.get("jsonrpc") != self.VERSION:
            raise BadFrameError("A message is no object of JSON-RPC 2.0.")
        msg_id, method = message.get("id"), message.get("method")
        if isinstance(method, str):
            if "id" not in message:
                self._take_notification(method, message.get("params"))
            elif isinstance(msg_id, int | str):
                self._take_request(msg_id, method, message.get("params"))
            else:
                self._send_error(None, JsonRpcInvalidRequest("The id of a request is a number or a string."))
        elif isinstance(msg_id, int | str) and ("result" in message or "error" in message):
            self._take_reply(msg_id, message)

    def _take_request(self, msg_id: MsgId, method: str, raw: Any) -> None:
        try:
            self._turn_away(msg_id, method)
            params = self._structure(method, raw)
        except JsonRpcException as error:
            self._put({"jsonrpc": self.VERSION, "id": msg_id, "error": answer_error(error)})
            return
        self._unanswered.add(msg_id)
        contextvars.copy_context().run(self._handle_request, msg_id, method, params)

    def _turn_away(self, msg_id: MsgId, method: str) -> None:
        if self._shutdown:
            raise JsonRpcInvalidRequest("This connection was shut down; only exit may follow.")
        if not self._ready and method != types.INITIALIZE:
            raise JsonRpcException("Send initialize first.", code=types.ErrorCodes.ServerNotInitialized)
        if self._ready and method == types.INITIALIZE:
            raise JsonRpcInvalidRequest("This connection is initialized already.")
        if len(self._unanswered) >= MAX_UNANSWERED:
            raise JsonRpcException(f"Over {MAX_UNANSWERED} requests are unanswered.", code=REQUEST_FAILED)
        if msg_id in self._unanswered:
            raise JsonRpcInvalidRequest(f"A request with the id {msg_id!r} is running already.")

    def _take_notification(self, method: str, raw: Any) -> None:
        if method != types.EXIT and (self._shutdown or not self._ready):
            return
        try:
            params = self._structure(method, raw)
        except JsonRpcException as error:
            log.warning("a notification could not be read", extra={"fields": {"method": method, "why": error.message}})
            return
        contextvars.copy_context().run(self._handle_notification, method, params)

    def _structure(self, method: str, raw: Any) -> Any:
        """Makes the types of the protocol of the parameters; those of unknown methods stay as they are."""
        _, _, kind, _ = types.METHOD_TO_TYPES.get(method, (None, None, None, None))
        if kind is None:
            return raw
        try:
            return self._converter.structure({} if raw is None else raw, cast(type[Any], kind))
        except Exception as error:
            raise JsonRpcInvalidParams(f"The parameters of {method} are not as the protocol says.") from error

    def _handle_cancel_notification(self, msg_id: MsgId) -> None:
        future = self._request_futures.get(msg_id)
        if future is not None:
            future.cancel()

    def _execute_handler(
        self,
        msg_id: MsgId,
        handler: Handler,
        callback: Callable[[Future[Any]], None],
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> None:
        """As pygls does it, but what has ended is forgotten: pygls keeps every notification."""
        super()._execute_handler(msg_id, handler, callback, args, kwargs)
        future = self._request_futures.get(msg_id)
        if future is not None:
            future.add_done_callback(partial(self._forget, msg_id))

    def _forget(self, msg_id: MsgId, future: Future[Any]) -> None:
        if self._request_futures.get(msg_id) is future:
            del self._request_futures[msg_id]

    # -- what goes out

    def _send_handler_result(self, future: Future[Any], *, msg_id: MsgId) -> None:
        self._forget(msg_id, future)
        if future.cancelled():
            self._send_error(msg_id, asyncio.CancelledError())
        elif (error := future.exception()) is not None:
            self._send_error(msg_id, error)
        else:
            self._send_response(msg_id, future.result())

    def _check_handler_result(self, future: Future[Any]) -> None:
        if not future.cancelled() and (error := future.exception()) is not None:
            log.error("a notification failed", exc_info=error)

    def _send_error(self, msg_id: MsgId | None, error: BaseException) -> None:
        if msg_id is not None:
            self._unanswered.discard(msg_id)
        self._put({"jsonrpc": self.VERSION, "id": msg_id, "error": answer_error(error)})

    def _send_response(self, msg_id: MsgId, result: Any = None, error: types.ResponseError | None = None) -> None:
        if error is not None:
            self._send_error(msg_id, JsonRpcException(error.message, code=error.code, data=error.data))
            return
        try:
            self._put({"jsonrpc": self.VERSION, "id": msg_id, "result": self._converter.unstructure(result)})
            self._unanswered.discard(msg_id)
        except Exception as fault:
            self._send_error(msg_id, fault)

    def _send_data(self, data: Any) -> None:
        self._put(self._converter.unstructure(data))

    def _put(self, message: dict[str, Any]) -> None:
        if self.writer is not None and not self._mute:
            self.writer.write(encode(message))

    def notify(self, method: str, params: Any | None = None) -> None:
        """Sends a notification."""
        message = {"jsonrpc": self.VERSION, "method": method}
        if params is not None:
            message["params"] = self._converter.unstructure(params)
        self._put(message)

    # -- what the editor is asked

    def send_request(
        self,
        method: str,
        params: Any | None = None,
        callback: Callable[[Any], None] | None = None,
        msg_id: MsgId | None = None,
    ) -> Future[Any]:
        """Asks the editor; a future that is cancelled takes the question back, and its late answer is dropped."""
        own_id = msg_id if msg_id is not None else next(self._ids)
        future: Future[Any] = Future()
        self._asked[own_id] = (future, types.METHOD_TO_TYPES.get(method, (None, None))[1])
        future.add_done_callback(partial(self._stop_asking, own_id))
        if callback is not None:
            future.add_done_callback(lambda done: None if _failed(done) else callback(done.result()))
        message = {"jsonrpc": self.VERSION, "id": own_id, "method": method}
        if params is not None:
            message["params"] = self._converter.unstructure(params)
        self._put(message)
        return future

    def _stop_asking(self, own_id: MsgId, future: Future[Any]) -> None:
        if self._asked.pop(own_id, None) is not None and future.cancelled():
            self._put({"jsonrpc": self.VERSION, "method": types.CANCEL_REQUEST, "params": {"id": own_id}})

    def _take_reply(self, msg_id: MsgId, message: dict[str, Any]) -> None:
        future, kind = self._asked.pop(msg_id, (None, None))
        if future is None or not future.set_running_or_notify_cancel():
            return
        error = message.get("error")
        if isinstance(error, dict):
            code = error.get("code") if isinstance(error.get("code"), int) else types.ErrorCodes.UnknownErrorCode
            future.set_exception(JsonRpcException(str(error.get("message", "")), code=code, data=error.get("data")))
            return
        try:
            result = message.get("result")
            if kind is not None:
                result = self._converter.structure({"id": 0, "jsonrpc": "2.0", "result": result}, kind).result
        except Exception:
            future.set_exception(JsonRpcInvalidParams("The editor's answer is not as the protocol says."))
            return
        future.set_result(result)

    # -- methods that pygls has of its own

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(self, params: types.InitializeParams) -> Generator[Any, Any, types.InitializeResult]:
        """Takes note of the editor."""
        self._server.client_name = params.client_info.name if params.client_info else ""
        result = yield from super().lsp_initialize(params)
        self._ready = True
        return result

    @lsp_method(types.SHUTDOWN)
    def lsp_shutdown(self, *_: Any) -> None:  # type: ignore[override]  # a plain function does
        """Ends all work; only `exit` may follow."""
        self._shutdown = True
        self._server.end_work(self.msg_id)

    @lsp_method(types.EXIT)
    def lsp_exit(self, *_: Any) -> None:  # type: ignore[override]
        """Ends this connection, and never the process."""
        self._server.hang_up()

    @lsp_method(types.WORKSPACE_EXECUTE_COMMAND)
    async def lsp_workspace__execute_command(  # type: ignore[override]  # pygls' generator loses its task
        self, params: types.ExecuteCommandParams
    ) -> Any:
        """Runs a command in the very task that a cancellation ends; its arguments are plain JSON."""
        handler = self.fm.commands.get(params.command)
        if handler is None:
            near = difflib.get_close_matches(params.command, self.fm.commands, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise JsonRpcInvalidParams(f"There is no command {params.command!r}.{hint}")
        arguments = list(params.arguments or ())
        original = getattr(handler, "func", handler)
        try:
            inspect.signature(original).bind(*([self._server] if original is not handler else []), *arguments)
        except TypeError:
            raise JsonRpcInvalidParams(f"{params.command} takes one object, or nothing.") from None
        _progress_token.set(params.work_done_token)
        result = handler(*arguments)
        return await result if inspect.isawaitable(result) else result

    def tasks(self) -> list[asyncio.Task[Any]]:
        """What runs for the editor now."""
        running: list[object] = list(self._request_futures.values())
        return [one for one in running if isinstance(one, asyncio.Task)]

    def give_up(self, error: BaseException) -> None:
        """Answers everything that still runs with an error, and says nothing more.

        Args:
            error: Why.
        """
        for msg_id in list(self._unanswered):
            self._send_error(msg_id, error)
        self._mute = True

    def cancel_all(self, but: MsgId | None = None) -> None:
        """Cancels what the editor asked for, and takes back what it is asked."""
        for msg_id, future in list(self._request_futures.items()):
            if msg_id != but:
                future.cancel()
        for future, _ in list(self._asked.values()):
            future.cancel()


def _failed(future: Future[Any]) -> bool:
    return future.cancelled() or future.exception() is not None
