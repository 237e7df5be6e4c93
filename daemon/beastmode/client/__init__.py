"""Talks to a running daemon over its socket, for scripts and the command line (standard library and core only)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from beastmode.client.blocking import Client
from beastmode.client.shapes import CacheInfo, ChatOptions, ChatResult, Document, Route, Usage
from beastmode.core.errors import BeastError

if TYPE_CHECKING:
    from beastmode.client.concurrent import AsyncClient

__all__ = [
    "AsyncClient",
    "BeastError",
    "CacheInfo",
    "ChatOptions",
    "ChatResult",
    "Client",
    "Document",
    "Route",
    "Usage",
]


def __getattr__(name: str) -> Any:
    """Loads AsyncClient when it is asked for: asyncio would cost every start of `beast` 30 ms."""
    if name == "AsyncClient":
        from beastmode.client.concurrent import AsyncClient

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
