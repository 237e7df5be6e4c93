"""Ledger rows and a clock for tests."""

from __future__ import annotations

from typing import Any

from beastmode.core.clock import Clock
from beastmode.core.rows import Row, RowCache
from beastmode.core.types import Usage

NOON_S = 1_795_000_000.0


class StillClock(Clock):
    """A clock that a test moves."""

    def __init__(self, now_s: float = NOON_S) -> None:
        super().__init__()
        self.now_s = now_s

    def wall_s(self) -> float:
        return self.now_s


def row(request_id: str, **fields: Any) -> Row:
    """A success without anything unusual, but for what the test says."""
    usual: dict[str, Any] = {
        "at_s": NOON_S,
        "origin": "person",
        "outcome": "success",
        "cache": RowCache(result="miss"),
        "model": "custom:qwen",
        "model_served": "custom:qwen",
        "deployment": "custom:qwen@127.0.0.1:8000",
        "provider": "custom",
        "usage": Usage(prompt_tokens=100, completion_tokens=20),
        "cost_usd": 0.002,
        "saved_usd": 0.0,
        "latency_ms": 12.5,
        "attempts": 1,
        "client": "socket",
        "user": "uid:1000",
    }
    return Row(request_id=request_id, **{**usual, **fields})
