"""A provider whose model says what a test tells it to, and notes what it was asked."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from support.scripted_provider import ScriptedChat, ScriptedProvider
from support.scripts import Say


class ToldProvider(ScriptedProvider):
    """Answers every chat, and every completion where it offers them, with the same words.

    Attributes:
        says: What it answers.
        pause_s: Between two words of a stream.
        completes: It offers completions, and not only chats.
    """

    says = ""
    pause_s = 0.0
    completes = False

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        call = await self._note(request)
        try:
            reply = await self._send(request, call, Say(self.says, pause_s=self.pause_s), ScriptedChat(call.body))
        except BaseException:
            call.end("left")
            raise
        call.end("whole")
        return reply

    async def _complete(self, request: web.Request) -> web.Response:
        if not self.completes:
            raise web.HTTPNotFound
        call = await self._note(request)
        call.end("whole")
        choice = {"index": 0, "text": self.says, "finish_reason": "stop", "logprobs": None}
        reply: dict[str, Any] = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": call.body["model"]}
        return web.json_response(reply | {"choices": [choice]})

    @property
    def prompt(self) -> str:
        """All that the last call said to the model."""
        return "\n\n".join(message["content"] for message in self.calls[-1].body["messages"])
