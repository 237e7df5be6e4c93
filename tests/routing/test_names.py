"""What a model may be called: its id, an alias, the bare name behind its provider, or nothing at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from beastmode.core.clock import Clock
from beastmode.core.deployments import Deployment
from beastmode.core.settings import RoutingSettings
from beastmode.routing.models import Registry
from beastmode.routing.names import resolve

REGISTERED = ("openai:gpt-4o", "custom:qwen", "custom:twice", "local:twice")


@pytest.fixture
async def registry(tmp_path: Path) -> Registry:
    models = Registry(tmp_path / "models.json", Clock())
    await models.load()
    for name in REGISTERED:
        await models.add(Deployment(id="", model=name, provider="custom", base_url="http://127.0.0.1:1/v1"))
    return models


ROUTING = RoutingSettings(
    default_model="custom:qwen",
    aliases={"claude-haiku-4-5": "local:twice", "claude-*": "custom:qwen", "claude-opus-*": "openai:gpt-4o"},
)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("openai:gpt-4o", "openai:gpt-4o"),
        ("auto", "auto"),
        ("", "custom:qwen"),
        ("gpt-4o", "openai:gpt-4o"),
        ("qwen", "custom:qwen"),
        ("twice", "twice"),  # two models have it: nobody guesses
        ("absent", "absent"),
        ("custom:absent", "custom:absent"),
        ("claude-haiku-4-5", "local:twice"),
        ("claude-sonnet-4-5", "custom:qwen"),
        ("claude-opus-4-5", "openai:gpt-4o"),
    ],
)
async def test_a_name_stands_for_a_model(registry: Registry, name: str, found: str) -> None:
    assert resolve(name, registry, ROUTING) == found


async def test_an_id_that_is_registered_wins_over_an_alias(registry: Registry) -> None:
    routing = RoutingSettings(aliases={"custom:qwen": "openai:gpt-4o"})
    assert resolve("custom:qwen", registry, routing) == "custom:qwen"
