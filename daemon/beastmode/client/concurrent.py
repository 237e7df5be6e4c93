"""The client for asyncio programs: any number of calls at once over one connection."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from beastmode.client import framing
from beastmode.core.errors import BeastError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self, Unpack

    from beastmode.client.framing import OnDelta, OnProgress, Params
    from beastmode.client.shapes import ChatOptions, ChatResult


class AsyncClient:
    """A connection to the daemon, made at the first call; calls may overlap.

    A cancelled task, a timeout or an exception out of a callback cancels its own call in the daemon and no other.

    Args:
        socket_path: The daemon's socket; by default that of `BEAST_HOME` or of the platform's folders.
    """

    def __init__(self, socket_path: str | os.PathLike[str] | None = None) -> None:
        self.socket_path = framing.where(socket_path)
        self._ids = itertools.count(1)
        self._link: _Link | None = None
        self._connecting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection; calls still waiting fail with DaemonNotRunningError. The next call makes a new one."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def call(
        self,
        method: str,
        params: Params = None,
        on_progress: OnProgress | None = None,
        timeout_s: float | None = None,
    ) -> Any:
        """Calls a method and waits for its result; arguments and errors as `Client.call`."""
        request = framing.request(method, params, next(self._ids))
        (outcome,) = await self._exchange([request], False, method, on_progress, timeout_s)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def chat(
        self,
        message: str | list[dict[str, Any]],
        *,
        model: str | None = None,
        on_delta: OnDelta | None = None,
        timeout_s: float | None = None,
        **options: Unpack[ChatOptions],
    ) -> ChatResult:
        """Asks a model; arguments and errors as `Client.chat`."""
        params = framing.chat_params(message, model, on_delta is not None, options)
        result: ChatResult = await self.call("chat", params, framing.deltas(on_delta), timeout_s)
        return result

    async def notify(self, method: str, params: Params = None) -> None:
        """Sends a notification: a call that nobody answers."""
        line = framing.encode(framing.request(method, params))
        (await self._connected()).writer.write(line)

    async def batch(self, calls: Iterable[tuple[str, Params]], timeout_s: float | None = None) -> list[Any]:
        """Sends several calls in one message; arguments and result as `Client.batch`."""
        requests = [framing.request(method, params, next(self._ids)) for method, params in calls]
        return await self._exchange(requests, True, "the batch", None, timeout_s) if requests else []

    async def _exchange(
        self,
        requests: list[dict[str, Any]],
        batch: bool,
        name: str,
        on_progress: OnProgress | None,
        timeout_s: float | None,
    ) -> list[Any]:
        line = framing.encode(requests if batch else requests[0])
        ids = [request["id"] for request in requests]
        link = await self._connected()
        replies = link.expect(ids, on_progress)
        try:
            link.writer.write(line)
            async with asyncio.timeout(timeout_s):
                return await asyncio.gather(*replies, return_exceptions=True)
        except TimeoutError:
            raise framing.too_slow(name, timeout_s) from None
        finally:
            link.forget(ids)

    async def _connected(self) -> _Link:
        async with self._connecting:
            if self._link is None or self._link.ended:
                self._link = await _Link.open(self.socket_path)
            return self._link


class _Link:
    """One connection and the calls that wait on it.

    Args:
        socket_path: For what the errors say.
        reader: Where replies come from.
        writer: Where calls go.
    """

    def __init__(self, socket_path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.ended = False
        self._end: BaseException = framing.lost(socket_path)
        self._socket_path = socket_path
        self._waiting: dict[Any, tuple[asyncio.Future[Any], OnProgress | None]] = {}
        self._reading = asyncio.ensure_future(self._read(reader))

    @classmethod
    async def open(cls, socket_path: str) -> _Link:
        try:
            reader, writer = await asyncio.open_unix_connection(socket_path)
        except OSError as error:
            raise framing.unreachable(socket_path, error) from None
        return cls(socket_path, reader, writer)

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])
        with contextlib.suppress(OSError):  # closed by the other side first
            await self.writer.wait_closed()

    def expect(self, ids: list[int], on_progress: OnProgress | None) -> list[asyncio.Future[Any]]:
        futures: list[asyncio.Future[Any]] = [asyncio.get_running_loop().create_future() for _ in ids]
        self._waiting.update({one: (future, on_progress) for one, future in zip(ids, futures, strict=True)})
        return futures

    def forget(self, ids: list[int]) -> None:
        """Stops waiting; what has not been answered is cancelled in the daemon."""
        for one in ids:
            if self._waiting.pop(one, None) is not None and not self.ended:
                self.writer.write(framing.encode(framing.cancel(one)))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        lines = framing.Lines()
        try:
            while chunk := await reader.read(framing.CHUNK_BYTES):
                lines.feed(chunk)
                while (line := lines.take()) is not None:
                    for message in framing.decode(line, self._socket_path):
                        self._dispatch(message)
        except ConnectionError:
            pass  # the same as its end
        except BeastError as error:
            self._end = error
        finally:
            self.ended = True
            self.writer.close()
            self._settle(list(self._waiting), self._end)

    def _dispatch(self, message: dict[str, Any]) -> None:
        if "method" in message:
            self._report(message)
        elif message.get("id") is not None:
            self._settle([message["id"]], framing.outcome(message))
        elif isinstance(error := framing.outcome(message), BeastError):
            self._end = error  # it names no call: the daemon could not read a line, and closes the connection

    def _report(self, message: dict[str, Any]) -> None:
        params = message.get("params")
        token = params.get("token") if isinstance(params, dict) else None
        future, on_progress = self._waiting.get(token, (None, None)) if isinstance(token, int) else (None, None)
        if future is None or on_progress is None or future.done():
            return
        try:
            on_progress(framing.progress(message, token or 0))
        except Exception as error:  # the caller's own: it ends this call, the others go on
            future.set_exception(error)

    def _settle(self, ids: list[Any], outcome: Any) -> None:
        for one in ids:
            future, _ = self._waiting.pop(one, (None, None))
            if future is None or future.done():
                continue
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
