"""The client for plain programs: one call at a time, and a call that is interrupted is cancelled in the daemon."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from beastmode.client import framing
from beastmode.core.errors import BeastError, InternalError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self, Unpack

    from beastmode.client.framing import OnDelta, OnProgress, Params
    from beastmode.client.shapes import ChatOptions, ChatResult


class Client:
    """A connection to the daemon, made at the first call; for one thread at a time.

    A call that is interrupted (Ctrl-C, a timeout, an exception out of a callback) is cancelled in the daemon too.

    Args:
        socket_path: The daemon's socket; by default that of `BEAST_HOME` or of the platform's folders.
    """

    def __init__(self, socket_path: str | os.PathLike[str] | None = None) -> None:
        self.socket_path = framing.where(socket_path)
        self._ids = itertools.count(1)
        self._socket: socket.socket | None = None
        self._lines = framing.Lines()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def connect(self) -> None:
        """Connects now instead of at the first call.

        Raises:
            DaemonNotRunningError: Nobody listens on the socket.
            AccessError: The socket belongs to someone else.
        """
        if self._socket is not None:
            return
        link = socket.socket(socket.AF_UNIX)
        try:
            link.connect(self.socket_path)
        except OSError as error:
            link.close()
            raise framing.unreachable(self.socket_path, error) from None
        self._socket = link

    def close(self) -> None:
        """Closes the connection; the next call makes a new one."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._lines = None, framing.Lines()

    def call(
        self,
        method: str,
        params: Params = None,
        on_progress: OnProgress | None = None,
        timeout_s: float | None = None,
    ) -> Any:
        """Calls a method and waits for its result.

        Args:
            method: Name of the method; `rpc.discover` lists all.
            params: Its parameters.
            on_progress: Called with the value of every `$/progress` that comes before the result.
            timeout_s: Longest wait for the result, in seconds; None waits as long as it takes.

        Raises:
            BeastError: What the daemon answered, as the error it was there.
            DaemonNotRunningError: Nobody listens on the socket, or the connection broke.
            UpstreamTimeoutError: No result within `timeout_s`; the call was cancelled.
        """
        request = framing.request(method, params, next(self._ids))
        (outcome,) = self._exchange([request], False, method, on_progress, timeout_s)
        if isinstance(outcome, BeastError):
            raise outcome
        return outcome

    def chat(
        self,
        message: str | list[dict[str, Any]],
        *,
        model: str | None = None,
        on_delta: OnDelta | None = None,
        timeout_s: float | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatResult:
        """Asks a model.

        Args:
            message: The question, or a whole conversation as a list of `{role, content}`.
            model: The id of a model, or `auto`; None leaves it to the setting `routing.default_model`.
            on_delta: Called with each piece of the answer as it comes.
            timeout_s: Longest wait for the whole answer, in seconds.
            options: See `ChatOptions`.

        Raises:
            BeastError: As `call`.
        """
        params = framing.chat_params(message, model, on_delta is not None, options)
        result: ChatResult = self.call("chat", params, framing.deltas(on_delta), timeout_s)
        return result

    def notify(self, method: str, params: Params = None) -> None:
        """Sends a notification: a call that nobody answers."""
        self._send(framing.encode(framing.request(method, params)))

    def batch(self, calls: Iterable[tuple[str, Params]], timeout_s: float | None = None) -> list[Any]:
        """Sends several calls in one message.

        Args:
            calls: Pairs of method and parameters.
            timeout_s: Longest wait for all the results, in seconds.

        Returns:
            The results in the order of the calls; in the place of a failed one stands its BeastError.
        """
        requests = [framing.request(method, params, next(self._ids)) for method, params in calls]
        return self._exchange(requests, True, "the batch", None, timeout_s) if requests else []

    def _exchange(
        self,
        requests: list[dict[str, Any]],
        batch: bool,
        name: str,
        on_progress: OnProgress | None,
        timeout_s: float | None,
    ) -> list[Any]:
        line = framing.encode(requests if batch else requests[0])
        ids = [request["id"] for request in requests]
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            self._send(line)
            return self._outcomes(ids, on_progress, deadline_s)
        except TimeoutError:
            self._abandon(ids)
            raise framing.too_slow(name, timeout_s) from None
        except BeastError:
            raise
        except BaseException:
            self._abandon(ids)
            raise

    def _send(self, line: bytes) -> None:
        fresh = self._socket is None
        self.connect()
        assert self._socket is not None
        try:
            self._socket.settimeout(None)
            self._socket.sendall(line)
        except ConnectionError:  # closed since the last call: the daemon has not seen this line
            self.close()
            if fresh:
                raise framing.lost(self.socket_path) from None
            self._send(line)

    def _outcomes(self, ids: list[int], on_progress: OnProgress | None, deadline_s: float | None) -> list[Any]:
        found: dict[int, Any] = {}
        while len(found) < len(ids):
            for message in self._next(deadline_s):
                if "method" in message:
                    value = framing.progress(message, ids[0])
                    if on_progress is not None and value is not None:
                        on_progress(value)
                elif message.get("id") in ids:
                    found[message["id"]] = framing.outcome(message)
                elif message.get("id") is None:
                    raise self._refusal(message)
        return [found[one] for one in ids]

    def _refusal(self, message: dict[str, Any]) -> BeastError:
        """An error that names no call: the daemon could not read the line, or refuses the connection."""
        error = framing.outcome(message)
        return error if isinstance(error, BeastError) else InternalError(f"A reply without an id: {message}.")

    def _next(self, deadline_s: float | None) -> list[dict[str, Any]]:
        while (line := self._lines.take()) is None:
            assert self._socket is not None
            if deadline_s is not None:
                self._socket.settimeout(max(1e-3, deadline_s - time.monotonic()))
            try:
                chunk = self._socket.recv(framing.CHUNK_BYTES)
            except ConnectionError:
                chunk = b""
            if not chunk:
                self.close()
                raise framing.lost(self.socket_path)
            self._lines.feed(chunk)
        return framing.decode(line, self.socket_path)

    def _abandon(self, ids: list[int]) -> None:
        """Cancels calls that nobody waits for; closes the connection, which may have stopped in mid-line."""
        if self._socket is not None:
            with contextlib.suppress(OSError):  # whoever cannot be told sees the connection close
                self._socket.settimeout(0.2)
                self._socket.sendall(b"".join(framing.encode(framing.cancel(one)) for one in ids))
        self.close()
