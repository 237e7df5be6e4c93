"""The provider `local` keeps the contract with a real model, which says what it likes and one thing at a time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from beastmode.core.deployments import Deployment
from beastmode.core.plugins import Call, Provider
from beastmode_plugins.local_model import LocalProvider
from beastmode_plugins.weights import installed
from contract.provider_suite import PATIENCE_S, ProviderContract
from support.weights import weights_dir

__all__ = ["weights_dir"]  # a fixture


class TestLocal(ProviderContract):
    key = None

    @pytest.fixture(autouse=True)
    def model(self, weights_dir: Path) -> None:
        self.file = installed(weights_dir)["smollm2"]

    def provider(self) -> Provider:
        return LocalProvider()

    def deployment(self, base_url: str, behaviour: str) -> Deployment:
        return Deployment(id="d", model="local:smollm2", provider="local", upstream_model=str(self.file))

    def call(self, deployment: Deployment, text: str = "how are you today?", timeout_s: float = PATIENCE_S) -> Call:
        call = super().call(deployment, text, timeout_s)
        call.request.params.update(max_tokens=8, temperature=0)
        return call

    async def test_it_answers(self, started: Provider, base_url: str) -> None:
        completion, _ = await self.ask(started, self.call(self.deployment("", "ok"), "Grüße, 🦁!\nTwo lines."), False)
        assert completion.text
        assert completion.finish_reason in ("stop", "length")

    async def test_a_stream_gives_the_answer_of_a_plain_call(self, started: Provider, base_url: str) -> None:
        call = self.call(self.deployment("", "ok"))
        streamed, plain = [(await self.ask(started, call, way))[0] for way in (True, False)]
        # The second call finds the prompt read already, and says so.
        assert msgspec.structs.replace(streamed, usage=plain.usage) == plain
        assert streamed.usage.prompt_tokens == plain.usage.prompt_tokens

    async def test_calls_run_side_by_side(self, started: Provider, base_url: str) -> None:
        deployment = self.deployment("", "ok")
        answers = await asyncio.gather(*(self.ask(started, self.call(deployment, f"Say {n}."), True) for n in range(4)))
        assert all(completion.text == "".join(deltas) for completion, deltas in answers)
