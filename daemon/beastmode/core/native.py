"""Requests and replies in the very bytes of the protocol they came in, for relaying between two that speak the same."""

from __future__ import annotations

import msgspec


class Native(msgspec.Struct, frozen=True):
    """A request in the protocol it came in, so that its very bytes can go on to a provider that speaks the same.

    Attributes:
        protocol: `openai_chat`, `openai_completions`, `openai_embeddings`, `openai_responses` or `anthropic_messages`.
        body: The JSON as it came.
        headers: Headers that go on with it, such as `anthropic-beta`, by lower-case name.
    """

    protocol: str
    body: bytes
    headers: dict[str, str] = {}


class Reply(msgspec.Struct, frozen=True):
    """A provider's plain reply as it came, for callers who speak its protocol.

    Attributes:
        protocol: As `Native.protocol`; empty where only the headers are known to anyone.
        body: The JSON.
        headers: Headers that a caller may want, by lower-case name.
    """

    protocol: str
    body: bytes
    headers: dict[str, str] = {}
