"""The provider `echo`, beyond the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beastmode.core.clock import Clock
from beastmode.core.deployments import Deployment
from beastmode.core.plugins import Call, Context
from beastmode.core.types import Completion, Message, Request, Usage
from beastmode_plugins.echo import Echo


async def ask(*messages: Message, deltas: list[str] | None = None) -> Completion:
    deployment = Deployment(id="d", model="custom:echo", provider="echo", upstream_model="echo")
    call = Call(request=Request(model="m", messages=list(messages)), deployment=deployment, key=None, timeout_s=1)
    return await Echo().call(call, deltas.append if deltas is not None else None)


async def test_it_says_the_last_user_text_and_counts_words() -> None:
    completion = await ask(
        Message(role="system", content="Be kind."),
        Message(role="user", content="first"),
        Message(role="assistant", content=None),
        Message(role="user", content="how are you?"),
    )
    assert completion == Completion(
        text="how are you?", finish_reason="stop", model="echo", usage=Usage(prompt_tokens=6, completion_tokens=3)
    )


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "text", "text": "a "}, {"type": "image_url"}, {"type": "text", "text": "b"}], "a b"),
        (None, ""),
        ("", ""),
    ],
)
async def test_parts_and_nothing_are_said_too(content: Any, text: str) -> None:
    assert (await ask(Message(role="user", content=content))).text == text
    assert (await ask()).text == ""


@settings(deadline=None, max_examples=60)
@given(st.text())
async def test_its_words_are_the_text(text: str) -> None:
    deltas: list[str] = []
    completion = await ask(Message(role="user", content=text), deltas=deltas)
    assert "".join(deltas) == completion.text == text


class Watched(Clock):
    """Counts how long it was asked to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.slept_s = 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept_s += seconds


async def test_a_slow_one_pauses_before_each_word(tmp_path: Path) -> None:
    deployment = Deployment(id="d", model="custom:echo", provider="echo", upstream_model="slow")
    request = Request(model="m", messages=[Message(role="user", content="one two three")])
    clock = Watched()
    async with aiohttp.ClientSession() as http:
        echo = Echo()
        await echo.start(Context(http=http, data=tmp_path, run=tmp_path, clock=clock))
        await echo.call(Call(request=request, deployment=deployment, key=None, timeout_s=1), None)
    assert clock.slept_s == pytest.approx(0.06)
