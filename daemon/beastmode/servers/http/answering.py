"""From a request in some protocol to the gateway and back: plain or as a stream, in the caller's own protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from beastmode.accounts import Ticket
from beastmode.cache.key import make_key
from beastmode.core.deltas import Begun, Delta, Relayed, pieces_of
from beastmode.core.errors import BeastError, CancelledError
from beastmode.core.types import Answer, Completion, Request
from beastmode.servers.http import headers
from beastmode.servers.http.exchange import EVENTS, Exchange, Handler
from beastmode.servers.http.pings import Pings
from beastmode.servers.services import Services
from beastmode.wire.dialect import Dialect, StreamWriter, Told
from beastmode.wire.relay import OFF_LOOP_BYTES


class Answering:
    """Answers requests of every protocol.

    Args:
        services: The daemon's parts.
        pings: Keeps silent streams open.
    """

    def __init__(self, services: Services, pings: Pings) -> None:
        self._services = services
        self._gateway = services.gateway
        self._pings = pings

    def handler(self, dialect: Dialect) -> Handler:
        """Makes the handler of a protocol's requests.

        Args:
            dialect: The protocol.
        """

        def handle(exchange: Exchange) -> Coroutine[Any, Any, None] | None:
            if len(exchange.body) >= OFF_LOOP_BYTES:
                return self._large(exchange, dialect)
            try:
                request = headers.apply(dialect.read(exchange.body, exchange.headers), exchange.headers)
                name = dialect.name_to_bear(request)
                ticket = self._gateway.admit(request)
                answer = self._gateway.recall(ticket)
            except BeastError as error:
                refuse(exchange, dialect, error)
                return None
            if self._services.hearing is not None:
                self._services.hearing.chat(request)
            if answer is None:
                return self._ask(exchange, dialect, ticket, name)
            self._replay(exchange, dialect, ticket, answer, name)
            return None

        return handle

    async def _large(self, exchange: Exchange, dialect: Dialect) -> None:
        """As a small one, with the reading of its JSON in a thread."""

        def read() -> tuple[str, Request, Any]:
            request = headers.apply(dialect.read(exchange.body, exchange.headers), exchange.headers)
            return dialect.name_to_bear(request), request, make_key(self._gateway.named(request))

        try:
            name, *asked = await asyncio.to_thread(read)
            ticket = self._gateway.admit(*asked)
            answer = self._gateway.recall(ticket)
        except BeastError as error:
            refuse(exchange, dialect, error)
            return
        if answer is None:
            await self._ask(exchange, dialect, ticket, name)
        else:
            self._replay(exchange, dialect, ticket, answer, name)

    def _replay(self, exchange: Exchange, dialect: Dialect, ticket: Ticket, answer: Answer, name: str) -> None:
        """Sends a stored answer in one go; as the events of a stream where one was asked for."""
        completion = ticket.completion
        assert completion is not None
        told = _told(ticket, answer.model, name)
        pairs = headers.of_answer(answer, None)
        if not ticket.request.stream:
            exchange.reply(200, dialect.plain(told, completion), pairs)
            return
        writer = dialect.writer(told, ticket.request)
        parts = [writer.begin(), *map(writer.piece, pieces_of(completion)), writer.finish(completion)]
        exchange.reply(200, b"".join(parts), pairs, EVENTS)

    async def _ask(self, exchange: Exchange, dialect: Dialect, ticket: Ticket, name: str) -> None:
        stream = Stream(exchange, dialect, ticket, name) if ticket.request.stream else None
        if stream is not None:
            self._pings.watch(stream)
        try:
            answer = await self._gateway.ask(ticket, stream.take if stream is not None else None)
            assert ticket.completion is not None
            if stream is not None:
                stream.finish(ticket.completion)
            else:
                self._tell(exchange, dialect, ticket, answer, name)
        except BeastError as error:
            if stream is not None and exchange.started:
                stream.fail(error)
            else:
                refuse(exchange, dialect, error, ticket)
        finally:
            if stream is not None:
                self._pings.forget(stream)

    @staticmethod
    def _tell(exchange: Exchange, dialect: Dialect, ticket: Ticket, answer: Answer, name: str) -> None:
        """Sends a whole answer: the provider's own bytes to a caller of its protocol."""
        completion = ticket.completion
        assert completion is not None
        pairs = headers.of_answer(answer, ticket.overhead_ms)
        reply = completion.reply
        if reply is not None:
            pairs.extend(reply.headers.items())
        if reply is not None and reply.protocol == dialect.name:
            body = dialect.renamed(reply.body, name) if name and answer.model == ticket.request.model else None
            exchange.reply(200, body or reply.body, pairs)
        else:
            exchange.reply(200, dialect.plain(_told(ticket, answer.model, name), completion), pairs)


class Stream:
    """One answer on its way out as events.

    Args:
        exchange: Where to.
        dialect: The caller's protocol.
        ticket: The request.
        name: The name that the answer must bear; empty: any.
    """

    def __init__(self, exchange: Exchange, dialect: Dialect, ticket: Ticket, name: str = "") -> None:
        self._exchange = exchange
        self._dialect = dialect
        self._ticket = ticket
        self._begun = Begun()
        self._writer: StreamWriter | None = None
        self._relays = False
        self._wants_usage = _wants_usage(ticket.request)
        self._sent = b""
        self._name = self._unnamed = name
        self.silent_turns = 0

    def take(self, delta: Delta) -> None:
        """Sends on what came; to a caller of the provider's protocol its very bytes, to any other what they say."""
        kind = type(delta)
        if kind is Begun:
            self._begun = delta  # type: ignore[assignment]  # its type was looked at
            self._relays = delta.protocol == self._dialect.name  # type: ignore[union-attr]
            return
        self.silent_turns = 0
        if self._relays:
            if kind is Relayed and (self._wants_usage or not delta.usage_only):  # type: ignore[union-attr]
                self._open()
                self._sent = self._named(delta.data) if self._unnamed else delta.data  # type: ignore[union-attr]
                self._exchange.write(self._sent)
        elif kind is not Relayed:
            data = self._written().piece(delta)  # type: ignore[arg-type]
            if data:
                self._sent = data
                self._exchange.write(data)

    def ping(self) -> None:
        """Says that the stream is alive."""
        self._open()
        self._exchange.write(self._dialect.ping)

    def finish(self, completion: Completion) -> None:
        """Ends the stream; a relayed one has said all that there is."""
        if not self._relays:
            self._exchange.write(self._written().finish(completion))
        self._open()
        self._exchange.end()

    def fail(self, error: BeastError) -> None:
        """Ends the stream with an error that the caller's program understands."""
        self._exchange.write(self._dialect.broken(error, headers.status_of(error), self._sent))
        self._exchange.end()

    def _open(self) -> None:
        if not self._exchange.started:
            pairs = [*headers.of_stream(self._ticket), *self._begun.headers.items(), ("cache-control", "no-cache")]
            self._exchange.begin(200, pairs)

    def _named(self, data: bytes) -> bytes:
        """The provider's bytes, which bear the caller's name for the model from where they first name it."""
        renamed = self._dialect.renamed(data, self._name) if self._model() == self._ticket.request.model else data
        if renamed is None:
            return data
        self._unnamed = ""
        return renamed

    def _model(self) -> str:
        """The id of the model that answers."""
        flight, answer = self._ticket.flight, self._ticket.answer
        if answer is not None:
            return answer.model
        if flight is not None and flight.deployment is not None:
            return flight.deployment.model
        return self._ticket.request.model

    def _written(self) -> StreamWriter:
        """The writer, and what opens its stream, once."""
        self._open()
        if self._writer is None:
            told = _told(self._ticket, self._model(), self._name)
            self._writer = self._dialect.writer(told, self._ticket.request)
            self._sent = self._writer.begin()
            self._exchange.write(self._sent)
        return self._writer


def refuse(exchange: Exchange, dialect: Dialect, error: BeastError, ticket: Ticket | None = None) -> None:
    """Answers with an error in the caller's own shape.

    Args:
        exchange: Whose request.
        dialect: The caller's protocol.
        error: What went wrong.
        ticket: Its papers, where it was taken in.
    """
    if isinstance(error, CancelledError) and exchange.started:
        exchange.cut()
        return
    status = headers.status_of(error)
    pairs = headers.of_error(error)
    if ticket is not None:
        pairs += headers.of_failure(ticket, error)
    exchange.reply(status, dialect.error(error, status), pairs)


def _told(ticket: Ticket, model: str, name: str) -> Told:
    """What an answer is told with; under the name that it must bear where the model that was asked for gives it."""
    request = ticket.request
    return Told(request.request_id, name if name and model == request.model else model, ticket.at_s, request)


def _wants_usage(request: Request) -> bool:
    """Whether the caller asked for the event with the usage; who was not asked for one gets all events."""
    options = request.params.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True
