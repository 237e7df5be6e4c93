"""A request goes to the model that was named, or to the best for `auto`, and every candidate has its reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from beastmode.core.breaker import Breakers
from beastmode.core.deployments import Limits
from beastmode.core.errors import (
    AuthenticationError,
    BadInputError,
    ContextTooLongError,
    NoHealthyModelError,
    UnknownModelError,
    UpstreamError,
)
from beastmode.core.settings import RoutingSettings, Settings
from beastmode.core.types import Message, Request
from beastmode.routing.models import Registry
from beastmode.routing.selector import Ranked, rank
from beastmode.routing.vault import Vault
from support.routing_parts import StillClock, ToldProvider, deployment

PROVIDERS = {name: ToldProvider(name, needs_key=name == "openai") for name in ("custom", "openai", "local", "echo")}
Rank = Callable[..., Ranked]


def ask(text: str = "hi", **params: Any) -> Request:
    return Request(model="auto", messages=[Message(role="user", content=text)], params=params)


@pytest.fixture
def ranked(registry: Registry, breakers: Breakers, vault: Vault) -> Rank:
    def go(model: str = "auto", request: Request | None = None, auto: list[str] | None = None) -> Ranked:
        settings = Settings(routing=RoutingSettings(auto=auto or []))
        return rank(request or ask(), model, registry, breakers, vault, PROVIDERS, settings)

    return go


def break_down(breakers: Breakers, name: str, message: str = "it is down") -> None:
    for _ in range(3):
        ticket = breakers.get(name).enter()
        assert ticket is not None
        breakers.get(name).fail(
            ticket, UpstreamError(message, status=503, endpoint="http://a/", tips=["look at its log"])
        )


def models(found: Ranked) -> list[str]:
    return [one.model for one in found.deployments]


# --- a named model


async def test_a_named_model_is_served_by_its_own_deployments_in_their_order(registry: Registry, ranked: Rank) -> None:
    await registry.add(deployment("custom:b"))
    await registry.add(deployment("custom:a", "http://127.0.0.1:2"))
    await registry.add(deployment("custom:a", "http://127.0.0.1:1"), another=True)
    found = ranked("custom:a")
    assert [one.id for one in found.deployments] == ["custom:a@127.0.0.1:2", "custom:a@127.0.0.1:1"]
    assert found.reason == "custom:a was asked for."
    assert found.model == "custom:a"
    assert [one.fit for one in found.candidates] == [True, True]


async def test_another_model_stands_in_only_where_the_user_listed_it(
    registry: Registry, breakers: Breakers, ranked: Rank
) -> None:
    await registry.add(deployment("custom:c"))
    await registry.add(deployment("custom:b"), fallback=["custom:c"])
    await registry.add(deployment("custom:a"), fallback=["custom:b"])
    found = ranked("custom:a")
    assert models(found) == ["custom:a", "custom:b"]
    assert found.candidates[1].why == "is a fallback of custom:a"
    break_down(breakers, "custom:a@127.0.0.1:1")
    found = ranked("custom:a")
    assert models(found) == ["custom:b"]
    assert found.model == "custom:a"
    assert "it is down" in found.reason
    assert found.reason.endswith("custom:b is a fallback of custom:a.")
    break_down(breakers, "custom:b@127.0.0.1:1")
    with pytest.raises(NoHealthyModelError):
        ranked("custom:a")


async def test_auto_as_a_fallback_means_whatever_auto_would_choose(registry: Registry, ranked: Rank) -> None:
    await registry.add(deployment("local:tiny", ""))
    await registry.add(deployment("custom:b"))
    await registry.add(deployment("custom:a"), fallback=["custom:b", "auto"])
    found = ranked("custom:a", auto=["local:tiny"])
    assert models(found) == ["custom:a", "custom:b", "local:tiny"]


async def test_an_unknown_model_is_an_error_with_the_nearest_name(registry: Registry, ranked: Rank) -> None:
    await registry.add(deployment("custom:qwen"))
    with pytest.raises(UnknownModelError) as caught:
        ranked("custom:qwem")
    assert "custom:qwen" in caught.value.tips[0]


# --- auto


async def test_auto_takes_the_users_order_then_endpoints_then_what_runs_here(registry: Registry, ranked: Rank) -> None:
    await registry.add(deployment("local:tiny", ""))
    for name in ("custom:a", "custom:b", "custom:c"):
        await registry.add(deployment(name))
    assert models(ranked()) == ["custom:a", "custom:b", "custom:c", "local:tiny"]
    assert models(ranked(auto=["local:tiny", "custom:c"])) == ["local:tiny", "custom:c", "custom:a", "custom:b"]
    assert ranked().reason == "custom:a is registered."
    assert ranked(auto=["custom:b"]).reason == "custom:b is number 1 of routing.auto."
    assert ranked().model == "custom:a"


async def test_echo_takes_part_in_auto_only_where_it_is_listed(registry: Registry, ranked: Rank) -> None:
    await registry.add(deployment("echo:x", ""))
    with pytest.raises(NoHealthyModelError, match="No model is registered"):
        ranked()
    assert models(ranked("echo:x")) == ["echo:x"]
    assert models(ranked(auto=["echo:x"])) == ["echo:x"]


async def test_auto_without_any_model_says_how_to_get_one(ranked: Rank) -> None:
    with pytest.raises(NoHealthyModelError) as caught:
        ranked()
    tips = " ".join(caught.value.tips)
    for command in ("beast models discover", "beast models add", "beast models fetch smollm2"):
        assert command in tips


async def test_a_name_in_routing_auto_that_is_gone_is_passed_over_and_shown(registry: Registry, ranked: Rank) -> None:
    await registry.add(deployment("custom:a"))
    found = ranked(auto=["custom:gone"])
    assert models(found) == ["custom:a"]
    assert [(one.model, one.fit) for one in found.candidates] == [("custom:a", True), ("custom:gone", False)]
    await registry.remove("custom:a")
    with pytest.raises(NoHealthyModelError, match=r"custom:gone is not registered"):
        ranked(auto=["custom:gone"])


# --- what keeps a candidate away


async def test_a_deployment_that_cools_down_is_left_out_with_its_cause(
    registry: Registry, breakers: Breakers, ranked: Rank, clock: StillClock
) -> None:
    await registry.add(deployment("custom:a"))
    await registry.add(deployment("custom:b"))
    break_down(breakers, "custom:a@127.0.0.1:1")
    found = ranked()
    assert models(found) == ["custom:b"]
    assert found.candidates[-1].deployment == "custom:a@127.0.0.1:1"
    assert "cooling down for 10.0 s after: it is down" in found.candidates[-1].why
    clock.now_s += 10
    assert models(ranked()) == ["custom:a", "custom:b"]


async def test_when_all_cool_down_the_error_has_the_cause_its_tips_and_the_time(
    registry: Registry, breakers: Breakers, ranked: Rank, clock: StillClock
) -> None:
    await registry.add(deployment("custom:a"))
    await registry.add(deployment("custom:b"))
    break_down(breakers, "custom:a@127.0.0.1:1")
    clock.now_s += 4
    break_down(breakers, "custom:b@127.0.0.1:1", "it is away")
    with pytest.raises(NoHealthyModelError, match="it is down") as caught:
        ranked()
    error = caught.value
    assert error.retry_after_s == 6.0
    assert (error.status, error.endpoint, error.details) == (503, "http://a/", {"cause": "upstream"})
    assert "look at its log" in error.tips
    assert any("it is away" in tip for tip in error.tips)
    assert any("beast models test custom:a" in tip for tip in error.tips)


async def test_while_one_request_tries_the_others_are_told_so(
    registry: Registry, breakers: Breakers, ranked: Rank, clock: StillClock
) -> None:
    await registry.add(deployment("custom:a"))
    break_down(breakers, "custom:a@127.0.0.1:1")
    clock.now_s += 10
    assert breakers.get("custom:a@127.0.0.1:1").enter() is not None
    with pytest.raises(NoHealthyModelError, match="is being tried by another request"):
        ranked("custom:a")


async def test_a_model_without_the_key_it_needs_is_left_out(registry: Registry, vault: Vault, ranked: Rank) -> None:
    await registry.add(deployment("openai:x", "https://api.openai.com/v1"))
    with pytest.raises(AuthenticationError) as caught:
        ranked("openai:x")
    assert "beast models add openai:x" in caught.value.tips[0]
    with pytest.raises(AuthenticationError):
        ranked()
    await registry.add(deployment("custom:a"))
    assert models(ranked()) == ["custom:a"]
    await vault.put(registry.get("openai:x").deployments[0], "sk-key")
    assert models(ranked()) == ["openai:x", "custom:a"]


async def test_a_key_that_was_entered_for_another_url_is_an_error_that_says_so(
    registry: Registry, vault: Vault, ranked: Rank
) -> None:
    one = deployment("custom:a", "https://a.example", has_key=True)
    await registry.add(one)
    await vault.put(msgspec.structs.replace(one, base_url="https://b.example"), "sk-key")
    with pytest.raises(AuthenticationError, match=r"not sent to https://a\.example"):
        ranked("custom:a")


async def test_a_model_whose_plugin_is_not_loaded_is_left_out(registry: Registry, ranked: Rank) -> None:
    await registry.add(deployment("gone:x"))
    with pytest.raises(NoHealthyModelError, match="provider plugin gone is not loaded"):
        ranked("gone:x")


async def test_a_prompt_that_surely_is_too_long_is_no_case_for_a_small_model(registry: Registry, ranked: Rank) -> None:
    await registry.add(deployment("custom:small", limits=Limits(context_tokens=100)))
    with pytest.raises(ContextTooLongError, match="100 tokens"):
        ranked("custom:small", ask("x" * 2000))
    await registry.add(deployment("custom:big", limits=Limits(context_tokens=10_000)))
    assert models(ranked(request=ask("x" * 2000))) == ["custom:big"]
    assert models(ranked(request=ask("x" * 50))) == ["custom:small", "custom:big"]


async def test_a_prompt_that_may_be_too_long_goes_to_the_bigger_model_first(registry: Registry, ranked: Rank) -> None:
    await registry.add(deployment("custom:small", limits=Limits(context_tokens=100)))
    await registry.add(deployment("custom:big"))
    await registry.add(deployment("local:tiny", ""))
    assert models(ranked(request=ask("x" * 400))) == ["custom:big", "custom:small", "local:tiny"]
    assert models(ranked("custom:small", ask("x" * 400))) == ["custom:small"]
    assert models(ranked(request=ask("hi", max_tokens=500))) == ["custom:big", "custom:small", "local:tiny"]
    assert models(ranked(request=ask("hi", max_tokens="many"))) == ["custom:small", "custom:big", "local:tiny"]
    parts: list[dict[str, Any]] = [
        {"type": "text", "text": "ü" * 200},
        {"type": "image_url", "image_url": {"url": "x" * 9000}},
        {"text": 3},
    ]
    request = Request(
        model="auto", messages=[Message(role="user", content=parts), Message(role="assistant", content=None)]
    )
    assert models(ranked(request=request)) == ["custom:big", "custom:small", "local:tiny"]


async def test_different_reasons_are_all_named(registry: Registry, breakers: Breakers, ranked: Rank) -> None:
    await registry.add(deployment("openai:x", "https://api.openai.com/v1"))
    await registry.add(deployment("custom:a"))
    break_down(breakers, "custom:a@127.0.0.1:1")
    with pytest.raises(NoHealthyModelError) as caught:
        ranked()
    shown = caught.value.message + " ".join(caught.value.tips)
    assert "openai:x has no key" in shown
    assert "it is down" in shown
    assert not isinstance(caught.value, BadInputError)
