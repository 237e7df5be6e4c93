"""One HTTP exchange with an upstream: bounded, timed by its silences, closed when cancelled, never redirected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import aiohttp

from beastmode.core.clock import Clock
from beastmode.core.deltas import Begun, Delta, OnDelta
from beastmode.core.deployments import Deployment
from beastmode.core.errors import BadRequestError, BeastError, EndpointNotFoundError, MalformedReplyError
from beastmode.core.native import Reply
from beastmode.core.types import Completion, Request
from beastmode.wire import faults
from beastmode.wire.client import Client
from beastmode.wire.client_session import Calls, Incoming, SessionCalls
from beastmode.wire.openai_chat import model_names
from beastmode.wire.relay import OFF_LOOP_BYTES as OFF_LOOP_BYTES
from beastmode.wire.relay import kept_headers
from beastmode.wire.target import Errand, Target, target

MAX_REPLY_BYTES = 32 << 20
MAX_ERROR_BYTES = 64 << 10
_MAX_TARGETS = 1024
_AFTER_THE_END_S = 0.05
_ERROR_BODY_S = 2.0
_EVENTS = (b"data:", b"event:", b": ")

T = TypeVar("T")


async def encoded(encode: Callable[[Request, str, bool], bytes], request: Request, model: str, stream: bool) -> bytes:
    """Encodes a request; a large one in a thread, so that the event loop goes on.

    Args:
        encode: The format's encoder.
        request: What to ask.
        model: The model's name at the endpoint.
        stream: Ask for events.
    """
    if _is_large(request):
        return await asyncio.to_thread(encode, request, model, stream)
    return encode(request, model, stream)


def _is_large(request: Request) -> bool:
    """Its JSON would hold the event loop."""
    if request.native is not None:
        return len(request.native.body) >= OFF_LOOP_BYTES
    return sum(_size(message.content) for message in request.messages) >= OFF_LOOP_BYTES


def _size(value: Any) -> int:
    """About how many characters a content holds."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    return sum(map(_size, value)) if isinstance(value, list) else 0


def unheard(_: Delta) -> None:
    """Takes the pieces of a stream that nobody listens to: what counts is the whole answer."""


class Reader(Protocol):
    """Reads a stream of one wire format and hands its pieces to the `on_delta` it was made with.

    One that relays hands on `Relayed` beside the pieces, with the bytes of whole events; `wire.relay.EventRelay` does
    that for it. `Begun` comes from `Upstream.complete`, before the first piece is fed.
    """

    def feed(self, piece: bytes) -> bool:
        """Takes the next piece; True when the protocol says that the answer is whole, and nothing more is fed.

        Raises MalformedReplyError for what is none of the protocol, and ErrorInReplyError for an error object.
        """

    def finish(self) -> Completion:
        """Gives the whole answer; raises MalformedReplyError for one that was cut off."""

    def whole(self, completion: Completion) -> None:
        """Takes an answer that came in one piece, though a stream was asked for: hands on its pieces."""


class Upstream:
    """Calls endpoints as one shared HTTP session would; whatever goes wrong is an error of `core.errors`, with tips.

    Args:
        http: The session. Beside the daemon's own runs a client that costs less, under the same guards.
        clock: The wall clock, to read dates in headers by.
        max_reply_bytes: Largest reply that is taken.
    """

    def __init__(self, http: aiohttp.ClientSession, clock: Clock, max_reply_bytes: int = MAX_REPLY_BYTES) -> None:
        self._calls: Calls = Client.beside(http) or SessionCalls(http)
        self._clock = clock
        self._max_bytes = max_reply_bytes
        self._targets: dict[tuple[str, str, str], Target] = {}

    def errand(
        self,
        deployment: Deployment,
        path: str,
        key: str | None,
        timeout_s: float,
        protocol: str,
        *,
        request: Request | None = None,
        query: str = "",
    ) -> Errand:
        """Prepares a call of a deployment.

        Args:
            deployment: What is called.
            path: What is appended to its base URL.
            key: The key that will be sent.
            timeout_s: Longest silence.
            protocol: Name of the wire format, for errors.
            request: What is asked; an error shows nothing of its messages.
            query: Sent along where the base URL has none of its own.

        Raises:
            RefusedEndpointError: The base URL is none.
        """
        place = self._targets.get((deployment.base_url, path, query))
        if place is None:
            if len(self._targets) >= _MAX_TARGETS:
                self._targets.clear()
            place = self._targets[deployment.base_url, path, query] = target(deployment.base_url, path, query)
        return Errand(place, deployment.model, key, timeout_s, protocol, request)

    async def complete(
        self,
        errand: Errand,
        headers: Mapping[str, str],
        body: bytes,
        decode: Callable[[bytes], Completion],
        reader: Reader | None,
        *,
        relay: str = "",
        on_delta: OnDelta | None = None,
        assemble: Callable[[], Reader] | None = None,
    ) -> Completion:
        """Posts a request and reads its answer, in one piece or as events, whichever of the two was asked for.

        Args:
            errand: Where it goes and for whom.
            headers: All headers of the protocol, the key among them.
            body: The request, encoded.
            decode: Reads an answer in one piece.
            reader: Reads a stream; None where none was asked for.
            relay: The protocol whose caller gets the very bytes: `Begun` names it, and an answer in one piece carries
                them as its `reply`. The reader hands on those of a stream. Empty: nobody does, and a `reply` holds
                nothing but headers.
            on_delta: Gets `Begun`, with the headers a caller may want, as soon as a reply begins well. For one that
                comes in one piece, though a stream was asked for, it names no protocol: nobody can relay it.
            assemble: Makes a reader for events that come though none were asked for.

        Raises:
            ProviderError: Whatever went wrong.
        """
        got: dict[str, str] = {}

        def begun(reply: Incoming, streams: bool) -> None:
            got.update(kept_headers(reply.headers))
            if on_delta is not None:
                on_delta(Begun(relay if streams else "", got))

        try:
            came = await self._exchange("POST", errand, headers, body, reader, begun, assemble)
            if not isinstance(came, bytes):
                completion = came.finish()
                if reader is None and got:
                    completion.reply = Reply("", b"", got)
                return completion
            completion = await self._decoded(came, decode)
        except (faults.ErrorInReplyError, MalformedReplyError) as error:
            raise await self._named(errand, error) from None
        if relay or got:
            completion.reply = Reply(relay, came if relay else b"", got)
        if reader is not None:
            reader.whole(completion)
        return completion

    async def models(self, errand: Errand, headers: Mapping[str, str]) -> list[str]:
        """Gets a list of models; OpenAI's and Anthropic's have the same shape.

        Args:
            errand: Where from, and for whom.
            headers: All headers of the protocol, the key among them.

        Returns:
            The models' names; empty where the endpoint has no list (404, 405).

        Raises:
            ProviderError: Whatever went wrong.
        """
        try:
            raw = await self._exchange("GET", errand, headers, None, None)
            assert isinstance(raw, bytes)
            return await self._decoded(raw, model_names)
        except MalformedReplyError as error:
            raise await self._named(errand, error) from None
        except (EndpointNotFoundError, BadRequestError) as error:
            if error.status in (404, 405):
                return []
            raise

    @staticmethod
    async def _decoded(raw: bytes, decode: Callable[[bytes], T]) -> T:
        return decode(raw) if len(raw) < OFF_LOOP_BYTES else await asyncio.to_thread(decode, raw)

    async def _named(self, errand: Errand, error: faults.ErrorInReplyError | MalformedReplyError) -> BeastError:
        """Gives an error that was found in a reply its place and its tips."""
        if isinstance(error, MalformedReplyError):
            return error if error.endpoint else faults.malformed(errand, error.message)
        return await self._explained(errand, error.status, {}, error.body)

    async def _explained(self, errand: Errand, status: int, headers: Mapping[str, str], body: bytes) -> BeastError:
        """Makes the error of a status; beside a large prompt, which its words may not repeat, in a thread."""
        told = (errand, status, headers, body, self._clock.wall_s())
        if errand.request is not None and _is_large(errand.request):
            return await asyncio.to_thread(faults.from_status, *told)
        return faults.from_status(*told)

    async def _exchange(
        self,
        method: str,
        errand: Errand,
        headers: Mapping[str, str],
        body: bytes | None,
        reader: Reader | None,
        begun: Callable[[Incoming, bool], None] | None = None,
        assemble: Callable[[], Reader] | None = None,
    ) -> bytes | Reader:
        """Sends and receives; returns the body, or the reader that has read it."""
        reply: Incoming | None = None
        whole = False
        try:
            reply = await self._calls.request(method, errand.target.url, headers, body, errand.timeout_s)
            if not 200 <= reply.status < 300:
                raise await self._refusal(errand, reply)
            told = _told_by_type(reply, reader is not None)
            if begun is not None:
                begun(reply, told)
            first = await reply.read()
            streams = _told_by_start(first, told)
            if begun is not None and streams != told:
                begun(reply, streams)
            if streams and reader is None and assemble is not None:
                reader = assemble()
            if reader is None or not streams:
                pieces: list[bytes] = []
                await self._read(reply, first, pieces.append)
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
            await self._read(reply, first, reader.feed)
            whole = True
            await reply.leave(_AFTER_THE_END_S)
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            raise faults.from_exception(errand, error, reply is not None) from None
        except BeastError as error:  # before the reply: a guard of the session refused the address
            raise error if reply is not None else faults.from_exception(errand, error, False) from None
        finally:
            if reply is not None and not whole:
                reply.close()
        return reader

    async def _read(self, reply: Incoming, piece: bytes, take: Callable[[bytes], bool | None]) -> None:
        """Hands every piece, the first one among them, to `take`, until the body ends or `take` has enough."""
        size_bytes = 0
        while piece:
            size_bytes += len(piece)
            if size_bytes > self._max_bytes:
                raise MalformedReplyError(f"The reply is larger than {self._max_bytes:,} bytes.")
            if take(piece):
                return
            piece = await reply.read()

    async def _refusal(self, errand: Errand, reply: Incoming) -> BeastError:
        """Reads as much of an error body as is shown, and makes the error of it."""
        body = bytearray()
        try:
            async with asyncio.timeout(min(errand.timeout_s, _ERROR_BODY_S)):
                while len(body) < MAX_ERROR_BYTES and (piece := await reply.read()):
                    body += piece
        except (aiohttp.ClientError, OSError):
            pass  # the status says enough
        return await self._explained(errand, reply.status, reply.headers, bytes(body[:MAX_ERROR_BYTES]))


def _told_by_type(reply: Incoming, asked_for_events: bool) -> bool:
    """Whether a reply says that it is events, or, where it does not say, was asked to be."""
    sort = reply.headers.get("Content-Type", "")
    return "event-stream" in sort or (asked_for_events and "json" not in sort)


def _told_by_start(first: bytes, told: bool) -> bool:
    """Whether a reply is events, as its first bytes show; where they show nothing, as it was told."""
    begun = first.lstrip()
    if begun.startswith((b"{", b"[")):
        return False
    return told or begun.startswith(_EVENTS)
