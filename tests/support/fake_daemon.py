"""A daemon of the tests' own: JSON-RPC on a real Unix socket, with answers that a test chooses."""

from __future__ import annotations

import contextlib
import json
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from beastmode.core.errors import CODES, BeastError

Handler = Callable[[dict[str, Any], "Call"], Any]


class Call:
    """One request as a handler sees it."""

    def __init__(self, link: Link, request_id: Any) -> None:
        self._link = link
        self.id = request_id
        self.cancelled = threading.Event()

    def progress(self, value: Any) -> None:
        """Sends a `$/progress` of this call."""
        self._link.write({"jsonrpc": "2.0", "method": "$/progress", "params": {"token": self.id, "value": value}})

    def raw(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self._link.write_bytes(data)

    def hang_up(self) -> None:
        """Closes the connection without an answer."""
        self._link.close()


class Link:
    """One connection."""

    def __init__(self, daemon: FakeDaemon, connection: socket.socket) -> None:
        self._daemon = daemon
        self._connection = connection
        self._writing = threading.Lock()
        self.calls: dict[Any, Call] = {}

    def write(self, message: Any) -> None:
        self.write_bytes(json.dumps(message).encode() + b"\n")

    def write_bytes(self, data: bytes) -> None:
        with self._writing, contextlib.suppress(OSError):  # the client may have gone
            self._connection.sendall(data)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # closed already
            self._connection.shutdown(socket.SHUT_RDWR)

    def serve(self) -> None:
        with self._connection, self._connection.makefile("rb") as lines:
            try:
                for line in lines:
                    self._receive(json.loads(line))
            except OSError:
                pass  # reset by the client
        for call in list(self.calls.values()):
            call.cancelled.set()

    def _receive(self, message: Any) -> None:
        batch = message if isinstance(message, list) else [message]
        for one in batch:
            self._daemon.received.append(one)
        if isinstance(message, list):
            self.write([reply for one in batch if (reply := self._reply(one)) is not None])
        elif message["method"] == "$/cancelRequest":
            self._daemon.cancelled.append(message["params"]["id"])
            if call := self.calls.get(message["params"]["id"]):
                call.cancelled.set()
        elif "id" in message:
            threading.Thread(target=lambda: self.write(self._reply(message)), daemon=True).start()

    def _reply(self, message: dict[str, Any]) -> dict[str, Any] | None:
        if "id" not in message:
            return None
        call = self.calls[message["id"]] = Call(self, message["id"])
        reply = {"jsonrpc": "2.0", "id": message["id"]}
        handler = self._daemon.handlers.get(message["method"])
        if handler is None:
            return {**reply, "error": {"code": -32601, "message": f"no method {message['method']}"}}
        try:
            return {**reply, "result": handler(message.get("params") or {}, call)}
        except BeastError as error:
            fault = {"code": CODES[error.kind].rpc, "message": error.message, "data": error.data()}
            return {**reply, "error": fault}
        finally:
            del self.calls[message["id"]]


class FakeDaemon:
    """Listens on `home/run/rpc.sock`; use as a context manager.

    Args:
        handlers: What each method answers: a value, or a function of the parameters and the call.
        home: The home; by default a new short one.
    """

    def __init__(self, handlers: dict[str, Any] | None = None, home: Path | None = None) -> None:
        self._own_home = tempfile.TemporaryDirectory(prefix="bm-") if home is None else None
        self.home = home or Path(self._own_home.name if self._own_home else "")
        self.socket_path = self.home / "run" / "rpc.sock"
        self.handlers: dict[str, Handler] = {}
        self.received: list[dict[str, Any]] = []
        self.cancelled: list[Any] = []
        self.links: list[Link] = []
        for method, answer in {"ping": {"pid": 4711}, **(handlers or {})}.items():
            self.on(method, answer)

    def on(self, method: str, answer: Any) -> None:
        """Sets what a method answers."""
        self.handlers[method] = answer if callable(answer) else lambda params, call: answer

    def requests(self, method: str) -> list[Any]:
        """The parameters of every call of a method, oldest first."""
        return [one.get("params") for one in self.received if one.get("method") == method]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        if self._own_home:
            self._own_home.cleanup()

    def start(self) -> None:
        self.socket_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.socket_path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.socket_path))
        self._listener.listen(64)
        self._thread = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        with contextlib.suppress(OSError):  # macOS: a listening socket has no connection to shut down
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for link in self.links:
            link.close()
        self._thread.join(5)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            link = Link(self, connection)
            self.links.append(link)
            threading.Thread(target=link.serve, daemon=True).start()
