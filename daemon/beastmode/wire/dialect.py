"""What a protocol does at the daemon's HTTP door: reads a caller's request, writes answers, streams and errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import msgspec

from beastmode.core.deltas import Piece
from beastmode.core.errors import BeastError
from beastmode.core.types import Completion, Request


class Told(msgspec.Struct, frozen=True):
    """What an answer is told with, beside its content.

    Attributes:
        request_id: The ledger's name for the request; ids of answers are made of it.
        model: The id of the model that answers.
        created_s: Wall clock.
        request: What is answered, for protocols that repeat it in their answers.
    """

    request_id: str
    model: str
    created_s: float
    request: Request | None = None


class StreamWriter(ABC):
    """Writes one answer as the events of a protocol, for callers who do not get the provider's own bytes.

    The daemon calls `begin` once, `piece` for every piece, and `finish`, or instead of that the dialect's `broken`.
    Each gives whole events, or nothing.
    """

    @abstractmethod
    def begin(self) -> bytes:
        """Opens the stream."""

    @abstractmethod
    def piece(self, piece: Piece) -> bytes:
        """Writes a piece; text, a thought, or a part of a tool call, in the order of the answer."""

    @abstractmethod
    def finish(self, completion: Completion) -> bytes:
        """Writes how the answer ended, and its usage.

        Args:
            completion: The whole answer. What the pieces held already is not written again; further `choices`, which
                have no pieces, are written here.
        """


class Dialect(ABC):
    """A protocol at the HTTP door. One object serves all requests and keeps nothing."""

    name: str = ""
    """As in `Native.protocol`."""

    ping: bytes = b": ping\n\n"
    """Is sent when a stream is silent for long."""

    @abstractmethod
    def read(self, body: bytes, headers: Mapping[str, str]) -> Request:
        """Reads a request.

        The same question asked over any door gives the same messages and parameters: texts are plain strings where
        nothing else is said of them, the system prompt is a message, tools and parameters have their names in OpenAI's
        chat format where that has one. What no field of that format says stays under its own name, so that nothing that
        shapes the answer is lost from the cache key.

        Args:
            body: JSON, as it came.
            headers: The request's headers by lower-case name.

        Returns:
            The request with `native` and `stream` set; `user` only where the body names one.

        Raises:
            BadInputError: It is no request of this protocol; names the field.
        """

    def name_to_bear(self, request: Request) -> str:
        """The name that an answer must bear where the model that was asked for gives it: the caller's own for it.

        Args:
            request: As `read` gave it, with the name as the caller wrote it.

        Returns:
            The name; empty where a caller takes whichever name the answer comes with.
        """
        return ""

    def renamed(self, sent: bytes, name: str) -> bytes | None:
        """Writes a name into what a provider sent, and leaves every other byte as it is.

        Args:
            sent: A plain reply, or whole events.
            name: The name.

        Returns:
            The bytes to send instead; None where they name no model.
        """
        return None

    @abstractmethod
    def plain(self, told: Told, completion: Completion) -> bytes:
        """Writes a whole answer as JSON."""

    @abstractmethod
    def writer(self, told: Told, request: Request) -> StreamWriter:
        """Begins to write an answer as a stream."""

    @abstractmethod
    def error(self, error: BeastError, status: int) -> bytes:
        """Writes an error as JSON; the message ends with the first tip.

        Args:
            error: What went wrong.
            status: The HTTP status it is sent with.
        """

    @abstractmethod
    def broken(self, error: BeastError, status: int, sent: bytes = b"") -> bytes:
        """Writes an error as the last event of a stream that has begun.

        Args:
            error: What went wrong.
            status: The HTTP status it would have been sent with.
            sent: The whole events that left last, for protocols that number theirs; empty: none did.
        """


def explained(error: BeastError) -> str:
    """The message of an error with its first tip, in one line; the tip stays as it is, and says that it is one."""
    if not error.tips:
        return error.message
    message = error.message.rstrip()
    end = "" if message.endswith((".", "!", "?", ":", "…")) else "."
    return f"{message}{end} Tip: {error.tips[0]}"
