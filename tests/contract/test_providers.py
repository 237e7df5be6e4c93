"""Every built-in provider keeps the contract."""

from __future__ import annotations

from beastmode.core.deployments import Deployment
from beastmode.core.plugins import Provider
from beastmode_plugins.anthropic import Anthropic
from beastmode_plugins.echo import Echo
from beastmode_plugins.openai_compatible import OpenAI, OpenAICompatible
from contract.provider_suite import HttpProviderContract, ProviderContract

HTTP_BEHAVIOURS = {"slow": "latency-150"}


class TestCustom(HttpProviderContract):
    def provider(self) -> Provider:
        return OpenAICompatible()

    def deployment(self, base_url: str, behaviour: str) -> Deployment:
        upstream_model = HTTP_BEHAVIOURS.get(behaviour, behaviour)
        return Deployment(
            id="d", model="custom:test", provider="custom", base_url=f"{base_url}/v1", upstream_model=upstream_model
        )


class TestOpenAI(HttpProviderContract):
    def provider(self) -> Provider:
        return OpenAI()

    def deployment(self, base_url: str, behaviour: str) -> Deployment:
        upstream_model = HTTP_BEHAVIOURS.get(behaviour, behaviour)
        return Deployment(
            id="d", model="openai:gpt", provider="openai", base_url=f"{base_url}/v1", upstream_model=upstream_model
        )


class TestAnthropic(HttpProviderContract):
    def provider(self) -> Provider:
        return Anthropic()

    def deployment(self, base_url: str, behaviour: str) -> Deployment:
        upstream_model = HTTP_BEHAVIOURS.get(behaviour, behaviour)
        return Deployment(
            id="d", model="anthropic:claude", provider="anthropic", base_url=base_url, upstream_model=upstream_model
        )


class TestEcho(ProviderContract):
    key = None

    def provider(self) -> Provider:
        return Echo()

    def deployment(self, base_url: str, behaviour: str) -> Deployment:
        return Deployment(id="d", model="custom:echo", provider="echo", upstream_model=behaviour)
