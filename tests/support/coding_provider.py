"""A provider whose model writes code: it does to the part of a file that it is shown what an action asks for."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

from support.scripted_provider import ScriptedChat, ScriptedProvider
from support.scripts import Say

SELECTED = re.compile(r"^The selected part\b.*?:\n\n(`{3,})\w*\n(.*?)\n\1$", re.MULTILINE | re.DOTALL)
SLOWLY = "slowly"
UNHURRIED, UNHURRIED_S = "take your time", 0.15
WORDS_OF_SLOW = 2000


class CodingProvider(ScriptedProvider):
    """Documents, mends, refactors, tests and writes Python; says back what it was asked in words.

    Words of the person that hold `slowly` are answered with a word every 20 ms, for longer than anyone listens; with
    `take your time` in them the answer is the usual one, and takes a second or two.
    """

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        call = await self._note(request)
        system, asked = told(call.body)
        step = Say(f"You said: {asked}")
        if SLOWLY in asked:
            step = Say(" ".join(f"word{i}" for i in range(WORDS_OF_SLOW)), pause_s=0.02)
        elif code := code_for(system, asked):
            step = Say(f"```python\n{code}\n```")
        step.pause_s = UNHURRIED_S if UNHURRIED in asked else step.pause_s
        try:
            reply = await self._send(request, call, step, ScriptedChat(call.body))
        except BaseException:
            call.end("left")
            raise
        call.end("whole")
        return reply

    def prompts(self) -> list[str]:
        """All that each chat said to the model, oldest first."""
        talks = [call.body["messages"] for call in self.calls if "messages" in call.body]
        return ["\n\n".join(message["content"] for message in messages) for messages in talks]


def told(body: dict[str, Any]) -> tuple[str, str]:
    """What the model is told about its task, and what the person asks last."""
    messages = body["messages"]
    system = "\n\n".join(one["content"] for one in messages if one["role"] == "system")
    return system, next(one["content"] for one in reversed(messages) if one["role"] == "user")


def code_for(system: str, asked: str) -> str | None:
    """The code that an action without words of the person's own asks for; None where it asks for words."""
    found = SELECTED.search(system)
    part = found[2] if found else ""
    if asked.startswith("Document"):
        head, _, body = part.partition("\n")
        return f'{head}\n    """Written by a model."""\n{body}'
    if asked.startswith("Fix"):
        return part.replace(" c", " b")
    if asked.startswith("Refactor"):
        return part.replace("result", "total")
    if asked.startswith("Write tests"):
        return "def test_it() -> None:\n    assert True"
    return "GENERATED = 42" if asked.startswith("Write the code") else None
