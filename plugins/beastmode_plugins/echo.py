"""A model for tests: it says what the user said, word by word, costs nothing and needs no network."""

from __future__ import annotations

import re
from typing import Any

from beastmode.core.deployments import Deployment
from beastmode.core.plugins import Call, OnDelta, Provider, hookimpl
from beastmode.core.types import Completion, Usage

SLOW_WORD_S = 0.02
_WORDS = re.compile(r"\s*\S+\s*?|\s+")


class Echo(Provider):
    """Answers with the last user text; a deployment whose upstream model is `slow` pauses before each word."""

    name = "echo"
    costs_money = False

    async def call(self, call: Call, on_delta: OnDelta | None) -> Completion:
        """Says the last user text again; its tokens are its words."""
        messages = call.request.messages
        text = next((_text(message.content) for message in reversed(messages) if message.role == "user"), "")
        for word in _WORDS.findall(text):
            if call.deployment.upstream_model == "slow":
                await self.context.clock.sleep(SLOW_WORD_S)
            if on_delta is not None:
                on_delta(word)
        asked = sum(len(_text(message.content).split()) for message in messages)
        usage = Usage(prompt_tokens=asked, completion_tokens=len(text.split()))
        return Completion(text=text, finish_reason="stop", usage=usage, model=call.deployment.upstream_model)

    async def models(self, deployment: Deployment, key: str | None, timeout_s: float) -> list[str]:
        """Names its two ways of speaking."""
        return ["echo", "slow"]


def _text(content: str | list[dict[str, Any]] | None) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content)
    return content or ""


@hookimpl
def beast_providers() -> list[Provider]:
    """Brings `echo`."""
    return [Echo()]
