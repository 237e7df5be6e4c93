"""The comparison of models that runs or ran last, as the dashboard shows it while its answers come. Kept in memory."""

from __future__ import annotations

from typing import Any

import msgspec

TEXT_MAX_CHARS = 4_000


class _Column(msgspec.Struct, kw_only=True):
    """What one model has to say: of the prompt that all are asked now, and in all so far."""

    model: str
    state: str = "waiting"
    text: str = ""
    error: str | None = None
    latency_ms: float | None = None
    ttft_ms: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: float | None = None
    answered: int = 0
    failed: int = 0
    total_usd: float = 0.0
    unknown: int = 0


class ComparisonBoard:
    """Told by `models.compare` what happens; of several at once it shows the one that began last."""

    def __init__(self) -> None:
        self._number = 0
        self._prompts: list[str] = []
        self._at = 0
        self._running = False
        self._columns: dict[str, _Column] = {}

    def begin(self, models: list[str], prompts: list[str]) -> int:
        """A comparison begins.

        Args:
            models: Their ids.
            prompts: What each is asked.

        Returns:
            Its number, by which the rest is told.
        """
        self._number += 1
        self._prompts, self._at, self._running = prompts, 0, True
        self._columns = {model: _Column(model=model) for model in models}
        return self._number

    def ask(self, number: int, prompt: int) -> None:
        """All models are asked the next prompt.

        Args:
            number: The comparison.
            prompt: Counted from 0.
        """
        if number != self._number:
            return
        self._at = prompt
        for column in self._columns.values():
            kept = {name: getattr(column, name) for name in ("answered", "failed", "total_usd", "unknown")}
            self._columns[column.model] = _Column(model=column.model, **kept)

    def hear(self, number: int, model: str, delta: str) -> None:
        """A piece of an answer came."""
        column = self._columns.get(model)
        if number == self._number and column is not None:
            column.state = "answering"
            column.text = (column.text + delta)[:TEXT_MAX_CHARS]

    def answered(self, number: int, model: str, answer: dict[str, Any]) -> None:
        """An answer is whole, or failed.

        Args:
            number: The comparison.
            model: Whose.
            answer: As `models.compare` tells it.
        """
        column = self._columns.get(model)
        if number != self._number or column is None:
            return
        if not answer["ok"]:
            column.state, column.error = "failed", answer["error"]["message"]
            column.failed += 1
            return
        column.state, column.text = "done", answer["text"][:TEXT_MAX_CHARS]
        column.latency_ms, column.ttft_ms, column.cost_usd = (
            answer[name] for name in ("latency_ms", "ttft_ms", "cost_usd")
        )
        column.prompt_tokens = answer["usage"].prompt_tokens
        column.completion_tokens = answer["usage"].completion_tokens
        column.answered += 1
        column.unknown += column.cost_usd is None
        column.total_usd = round(column.total_usd + (column.cost_usd or 0.0), 9)

    def end(self, number: int) -> None:
        """It is over, whether all prompts were asked or not."""
        if number == self._number:
            self._running = False
            for column in self._columns.values():
                if column.state in ("waiting", "answering"):
                    column.state = "stopped"

    def forget(self) -> None:
        """Shows nothing any more; what still runs is not shown either."""
        self._number += 1
        self._columns, self._prompts, self._running = {}, [], False

    def shown(self) -> dict[str, Any] | None:
        """`{number, running, prompt, place, prompts, models: [...]}`; None where there was no comparison."""
        if not self._columns:
            return None
        return {
            "number": self._number,
            "running": self._running,
            "prompt": self._prompts[self._at][:TEXT_MAX_CHARS],
            "place": self._at + 1,
            "prompts": len(self._prompts),
            "models": [msgspec.structs.asdict(column) for column in self._columns.values()],
        }
