"""What a person says about a model becomes a deployment, or an error that says what to say instead."""

from __future__ import annotations

import math

import pytest

from beastmode.core.deployments import Limits, Price
from beastmode.core.errors import BadInputError, RefusedEndpointError
from beastmode.routing.endpoints import describe
from support.routing_parts import ToldProvider

PROVIDERS = {
    "custom": ToldProvider("custom"),
    "openai": ToldProvider("openai", needs_key=True, base_url="https://api.openai.com/v1"),
    "local": ToldProvider("local"),
}


def test_a_custom_model_is_named_after_its_place() -> None:
    found = describe("custom:qwen", PROVIDERS, base_url="HTTP://LocalHost:11434/v1/", has_key=True)
    assert (found.id, found.model, found.provider) == ("custom:qwen@localhost:11434", "custom:qwen", "custom")
    assert (found.base_url, found.upstream_model, found.has_key) == ("http://localhost:11434/v1", "qwen", True)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://gateway.example", "gateway.example:443"),
        ("http://gateway.example", "gateway.example:80"),
        ("http://[::1]:8080", "[::1]:8080"),
    ],
)
def test_the_place_has_a_port_even_where_the_url_has_none(url: str, place: str) -> None:
    assert describe("custom:a", PROVIDERS, base_url=url).id == f"custom:a@{place}"


def test_a_known_provider_brings_its_own_place() -> None:
    found = describe("openai:gpt-4o", PROVIDERS)
    assert found.base_url == "https://api.openai.com/v1"
    assert found.id == "openai:gpt-4o@api.openai.com:443"


def test_a_model_in_a_child_process_has_no_place() -> None:
    found = describe("local:smollm2", PROVIDERS)
    assert (found.id, found.base_url) == ("local:smollm2", "")


def test_name_price_and_limits_are_taken_as_said() -> None:
    price, limits = Price(prompt=1.0, completion=2), Limits(context_tokens=8192, max_concurrent=2)
    found = describe("openai:fast", PROVIDERS, upstream_model="gpt-4o-mini", price=price, limits=limits)
    assert (found.upstream_model, found.price, found.limits) == ("gpt-4o-mini", price, limits)


def test_another_provider_can_be_named() -> None:
    assert describe("custom:claude", PROVIDERS, base_url="http://h/", provider="openai").provider == "openai"


@pytest.mark.parametrize("tail", ["/chat/completions", "/completions", "/messages", "/responses", "/models"])
def test_the_path_of_an_operation_that_was_pasted_along_is_cut_off(tail: str) -> None:
    assert describe("custom:a", PROVIDERS, base_url=f"https://h/v1{tail}").base_url == "https://h/v1"


def test_a_custom_model_without_a_place_is_asked_for_one() -> None:
    with pytest.raises(BadInputError, match="needs a base URL") as caught:
        describe("custom:a", PROVIDERS)
    assert "beast models add custom:a --base-url" in caught.value.tips[0]


def test_an_unknown_provider_gets_the_nearest_one() -> None:
    with pytest.raises(BadInputError, match="No provider 'opnai'") as caught:
        describe("opnai:gpt-4o", PROVIDERS)
    assert caught.value.tips[0] == "did you mean openai?"
    with pytest.raises(BadInputError) as caught:
        describe("zzz:x", {})
    assert "none" in caught.value.tips[0]


def test_a_refused_place_and_a_bad_name_are_refused_here_too() -> None:
    with pytest.raises(RefusedEndpointError):
        describe("custom:a", PROVIDERS, base_url="http://169.254.169.254/")
    for name in ("auto", "a"):
        with pytest.raises(BadInputError):
            describe(name, PROVIDERS, base_url="http://h", provider="custom")


@pytest.mark.parametrize(
    "price", [Price(prompt=-1.0), Price(completion=math.nan), Price(cached=math.inf), Price(cache_write=-0.1)]
)
def test_a_price_that_is_none_is_refused(price: Price) -> None:
    with pytest.raises(BadInputError, match="price"):
        describe("local:a", PROVIDERS, price=price)


@pytest.mark.parametrize("limits", [Limits(context_tokens=0), Limits(max_concurrent=-1)])
def test_a_limit_that_lets_nothing_through_is_refused(limits: Limits) -> None:
    with pytest.raises(BadInputError, match="limit"):
        describe("local:a", PROVIDERS, limits=limits)
