"""A small client of the Language Server Protocol, over a socket or the standard streams of a program."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

LIMIT_S = 20.0
Answer = Callable[[Any], Any]


class LspError(Exception):
    """An error that came as a reply.

    Args:
        code: Its code.
        message: Its sentence.
        data: More.
    """

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.data = data


class Pending:
    """A request whose reply may not be there yet.

    Args:
        id: Its id.
    """

    def __init__(self, id: int) -> None:
        self.id = id
        self.arrived = threading.Event()
        self.at_s = 0.0
        self.reply: dict[str, Any] = {}

    def result(self, timeout_s: float = LIMIT_S) -> Any:
        """Waits for the reply; an error in it is raised."""
        assert self.arrived.wait(timeout_s), f"no reply to request {self.id} within {timeout_s} s"
        if "error" in self.reply:
            error = self.reply["error"]
            raise LspError(error["code"], error["message"], error.get("data"))
        return self.reply.get("result")


class LspClient:
    """An editor, as far as a test needs one.

    `answers` says how requests of the server are answered: a function of the parameters, by method; an LspError that it
    raises is the answer. `received` holds
    every request and notification of the server, in order.

    Args:
        read: Where messages come from.
        write: Where they go.
        close: Ends the connection.
    """

    def __init__(self, read: BinaryIO, write: BinaryIO, close: Callable[[], None]) -> None:
        self._read, self._write, self._close = read, write, close
        self._ids = itertools.count(1)
        self._pending: dict[Any, Pending] = {}
        self._sending = threading.Lock()
        self._changed = threading.Condition()
        self.process: subprocess.Popen[bytes] | None = None
        self.received: list[tuple[str, Any]] = []
        self.errors: list[dict[str, Any]] = []
        self.strays: list[dict[str, Any]] = []
        self.ended = threading.Event()
        self.answers: dict[str, Answer] = {
            "workspace/configuration": lambda params: [{} for _ in params["items"]],
            "workspace/applyEdit": lambda params: {"applied": True},
            "window/showDocument": lambda params: {"success": True},
        }
        self._reader = threading.Thread(target=self._read_all, daemon=True)
        self._reader.start()

    @classmethod
    def connect(cls, path: Path | str) -> LspClient:
        """Over a Unix socket."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(str(path))

        def close() -> None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

        return cls(connection.makefile("rb"), connection.makefile("wb", buffering=0), close)  # type: ignore[arg-type]

    @classmethod
    def run(cls, command: Sequence[str], environ: Mapping[str, str] | None = None) -> LspClient:
        """Over the standard streams of a program, such as `beast lsp`."""
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ, bufsize=0
        )
        assert process.stdin and process.stdout

        def close() -> None:
            with contextlib.suppress(OSError):
                process.stdin.close()  # type: ignore[union-attr]
            try:
                process.wait(LIMIT_S)
            finally:
                process.kill()
                process.wait()
                process.stderr.close()  # type: ignore[union-attr]

        reader = open(process.stdout.fileno(), "rb", closefd=False)  # noqa: SIM115  # buffered
        client = cls(reader, cast(BinaryIO, process.stdin), close)
        client.process = process
        return client

    def __enter__(self) -> LspClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hangs up, as an editor that is killed does."""
        self._close()
        self._reader.join(LIMIT_S)
        for stream in (self._read, self._write, self.process.stdout if self.process else None):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    # -- what goes out

    def send(self, message: Any) -> None:
        """Sends any JSON as one message."""
        body = json.dumps(message).encode()
        self.send_raw(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    def send_raw(self, data: bytes) -> None:
        """Sends bytes as they are."""
        with self._sending:
            view = memoryview(data)
            while view:
                view = view[self._write.write(view) :]

    def begin(self, method: str, params: Any = None) -> Pending:
        """Sends a request and does not wait."""
        pending = Pending(next(self._ids))
        self._pending[pending.id] = pending
        message = {"jsonrpc": "2.0", "id": pending.id, "method": method}
        self.send(message if params is None else {**message, "params": params})
        return pending

    def request(self, method: str, params: Any = None, timeout_s: float = LIMIT_S) -> Any:
        """Sends a request and waits for its result; an error is raised as LspError."""
        return self.begin(method, params).result(timeout_s)

    def notify(self, method: str, params: Any = None) -> None:
        """Sends a notification."""
        message = {"jsonrpc": "2.0", "method": method}
        self.send(message if params is None else {**message, "params": params})

    def cancel(self, pending: Pending) -> None:
        """Takes a request back."""
        self.notify("$/cancelRequest", {"id": pending.id})

    # -- what an editor does

    def initialize(self, capabilities: dict[str, Any] | None = None, **more: Any) -> Any:
        """The handshake; returns the server's result."""
        params = {"processId": None, "rootUri": None, "capabilities": capabilities or {}, **more}
        result = self.request("initialize", params)
        self.notify("initialized", {})
        return result

    def open(self, uri: str, text: str, version: int = 1, language: str = "python") -> None:
        """Opens a document."""
        document = {"uri": uri, "languageId": language, "version": version, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})

    def change(self, uri: str, version: int, *changes: dict[str, Any]) -> None:
        """Changes it: `{range, text}` or `{text}`."""
        params = {"textDocument": {"uri": uri, "version": version}, "contentChanges": list(changes)}
        self.notify("textDocument/didChange", params)

    def close_document(self, uri: str) -> None:
        """Closes a document."""
        self.notify("textDocument/didClose", {"textDocument": {"uri": uri}})

    def command(self, name: str, *arguments: Any, timeout_s: float = LIMIT_S) -> Any:
        """Runs a command of the server."""
        params = {"command": name, "arguments": list(arguments)}
        return self.request("workspace/executeCommand", params, timeout_s)

    def shutdown(self) -> None:
        """Takes its leave, as an editor does that is closed."""
        self.request("shutdown")
        self.notify("exit")

    # -- what comes in

    def of(self, method: str) -> list[Any]:
        """The parameters of every message of that method, in order."""
        with self._changed:
            return [params for name, params in self.received if name == method]

    def wait_for(
        self, method: str, accept: Callable[[Any], bool] = lambda params: True, timeout_s: float = LIMIT_S
    ) -> Any:
        """The parameters of the first message of that method that is accepted; waits until there is one."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while True:
                for name, params in self.received:
                    if name == method and accept(params):
                        return params
                left_s = deadline_s - time.monotonic()
                assert left_s > 0, f"no {method} within {timeout_s} s; there was {[name for name, _ in self.received]}"
                self._changed.wait(min(left_s, 0.5))

    def _read_all(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while (message := self._read_one()) is not None:
                self._take(message)
        self.ended.set()
        for pending in list(self._pending.values()):
            if not pending.arrived.is_set():
                pending.reply = {"error": {"code": 0, "message": "the connection ended"}}
                pending.arrived.set()

    def _read_one(self) -> dict[str, Any] | None:
        length = None
        while (line := self._read.readline().strip()) or length is None:
            if not line:
                return None
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        body = self._read.read(length)
        return json.loads(body) if len(body) == length else None

    def _take(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            pending = self._pending.pop(message.get("id"), None)
            if pending is None:
                self.strays.append(message)
                return
            pending.reply, pending.at_s = message, time.perf_counter()
            pending.arrived.set()
            return
        with self._changed:
            self.received.append((message["method"], message.get("params")))
            self._changed.notify_all()
        if "id" in message:
            answer = self.answers.get(message["method"], lambda params: None)
            reply: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
            try:
                reply["result"] = answer(message.get("params"))
            except LspError as error:
                reply["error"] = {"code": error.code, "message": error.message}
            with contextlib.suppress(OSError, ValueError):
                self.send(reply)


__all__ = ["LspClient", "LspError", "Pending"]
