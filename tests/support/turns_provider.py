"""A provider whose model says one thing after another, as a test wrote them, and notes what it was asked."""

from __future__ import annotations

from aiohttp import web

from support.told_provider import ToldProvider


class TurnsProvider(ToldProvider):
    """Answers each question with the next of `turns`; when they are used up, with `says`.

    Attributes:
        turns: What it answers, in order.
    """

    turns: list[str]

    def __init__(self) -> None:
        super().__init__()
        self.turns = []

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        if self.turns:
            self.says = self.turns.pop(0)
        return await super()._chat(request)

    @property
    def prompts(self) -> list[str]:
        """All that each call said to the model, oldest first."""
        return ["\n\n".join(one["content"] for one in call.body["messages"]) for call in self.calls]
