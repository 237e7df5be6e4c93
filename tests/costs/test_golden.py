"""From the bytes of a provider's reply to the nano-dollar: the errors that gateways make, and that are not made here.

The expected sums are worked out by hand: a price of $1 per million tokens is 1,000 nano-dollars a token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from beastmode.core.deployments import Deployment, Price
from beastmode.core.types import Completion
from beastmode.costs.prices import Charge, Prices
from support.price_replies import (
    Usage,
    charged,
    chat,
    chat_stream,
    deployment,
    embeddings,
    message,
    message_stream,
    response,
    response_stream,
    small_prices,
    text_completion,
)


@pytest.fixture
def prices() -> Prices:
    return small_prices()


def nano(charge: Charge) -> int | None:
    return None if charge.cost_usd is None else round(charge.cost_usd * 1e9)


def of_chat(prompt: int, completion: int, **more: Any) -> Usage:
    return {"prompt_tokens": prompt, "completion_tokens": completion, **more}


CACHED = of_chat(2006, 300, total_tokens=2306, prompt_tokens_details={"cached_tokens": 1920})
REASONED = of_chat(75, 1186, total_tokens=1261, completion_tokens_details={"reasoning_tokens": 1024})
BESIDE = of_chat(32, 9, total_tokens=317, completion_tokens_details={"reasoning_tokens": 276})
RESPONDED = {
    "input_tokens": 1000,
    "input_tokens_details": {"cached_tokens": 800},
    "output_tokens": 200,
    "output_tokens_details": {"reasoning_tokens": 150},
    "total_tokens": 1200,
}
WRITTEN = {
    "input_tokens": 21,
    "cache_creation_input_tokens": 188_086,
    "cache_read_input_tokens": 0,
    "output_tokens": 393,
}
READ = {"input_tokens": 21, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 188_086, "output_tokens": 393}
HOUR = {
    "input_tokens": 50,
    "cache_creation_input_tokens": 1000,
    "cache_creation": {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 600},
    "cache_read_input_tokens": 2000,
    "output_tokens": 10,
}
SEARCHED = of_chat(100, 1000, total_tokens=1100, completion_tokens_details={"reasoning_tokens": 900})


@pytest.mark.parametrize(
    ("read", "usage", "model", "nano_usd"),
    [
        # 86 * 2,500 + 1,920 * 1,250 + 300 * 10,000: the prompt's tokens have the cached ones in them
        pytest.param(chat, CACHED, "openai:gpt-4o", 5_615_000, id="cached tokens once"),
        pytest.param(chat_stream, CACHED, "openai:gpt-4o", 5_615_000, id="cached tokens once, streamed"),
        # 100 * 270 + 900 * 70 + 50 * 1,100: DeepSeek counts hits beside the details
        pytest.param(
            chat,
            of_chat(1000, 50, prompt_cache_hit_tokens=900, prompt_cache_miss_tokens=100),
            "deepseek:deepseek-chat",
            145_000,
            id="cached tokens of DeepSeek",
        ),
        # 75 * 1,250 + 1,186 * 10,000: the answer's tokens have the reasoning in them
        pytest.param(chat, REASONED, "openai:gpt-5", 11_953_750, id="reasoning among the answer"),
        pytest.param(chat_stream, REASONED, "openai:gpt-5", 11_953_750, id="reasoning among the answer, streamed"),
        # 32 * 300 + (9 + 276) * 500: here the total tells that it is not
        pytest.param(chat, BESIDE, "x-ai:grok-3-mini", 152_100, id="reasoning beside the answer"),
        # 100 * 2,000 + 100 * 8,000 + 900 * 3,000
        pytest.param(chat, SEARCHED, "perplexity:sonar", 3_700_000, id="reasoning at a price of its own"),
        # 200 * 1,250 + 800 * 125 + 200 * 10,000
        pytest.param(response, RESPONDED, "openai:gpt-5", 2_350_000, id="responses"),
        pytest.param(response_stream, RESPONDED, "openai:gpt-5", 2_350_000, id="responses, streamed"),
        # 21 * 3,000 + 188,086 * 3,750 + 393 * 15,000: Anthropic's input leaves the cache out
        pytest.param(message, WRITTEN, "anthropic:claude-sonnet-4-5", 711_280_500, id="cache writes"),
        # 21 * 3,000 + 188,086 * 300 + 393 * 15,000
        pytest.param(message, READ, "anthropic:claude-sonnet-4-5", 62_383_800, id="cache reads"),
        # 50 * 3,000 + 400 * 3,750 + 600 * 6,000 + 2,000 * 300 + 10 * 15,000
        pytest.param(message, HOUR, "anthropic:claude-sonnet-4-5", 6_000_000, id="cache writes for an hour"),
        # 1,000 * 3,000 + 199,000 * 300 + 100 * 15,000: 200,000 tokens are not over 200,000
        pytest.param(
            message,
            {"input_tokens": 1000, "cache_read_input_tokens": 199_000, "output_tokens": 100},
            "anthropic:claude-sonnet-4-5",
            64_200_000,
            id="just below a tier, cache reads counted",
        ),
        # 1,000 * 6,000 + 199,001 * 600 + 100 * 22,500
        pytest.param(
            message,
            {"input_tokens": 1000, "cache_read_input_tokens": 199_001, "output_tokens": 100},
            "anthropic:claude-sonnet-4-5",
            127_650_600,
            id="just above a tier, cache reads counted",
        ),
        # 5 * 1,500 + 7 * 2,000
        pytest.param(text_completion, of_chat(5, 7), "openai:gpt-3.5-turbo-instruct", 21_500, id="completions"),
        # 8 * 20, though there is no price and no count of an answer
        pytest.param(
            embeddings, {"prompt_tokens": 8, "total_tokens": 8}, "openai:text-embedding-3-small", 160, id="embeddings"
        ),
        pytest.param(chat, of_chat(0, 0), "openai:gpt-4o", 0, id="nothing costs nothing"),
    ],
)
def test_a_reply_costs_what_the_sum_by_hand_says(
    prices: Prices, read: Callable[[Usage], Completion], usage: Usage, model: str, nano_usd: int
) -> None:
    assert nano(charged(prices, deployment(model), read(usage))) == nano_usd


class TestStreamsOfAnthropic:
    START = {
        "input_tokens": 50,
        "cache_creation_input_tokens": 1000,
        "cache_read_input_tokens": 2000,
        "output_tokens": 1,
    }
    SONNET = deployment("anthropic:claude-sonnet-4-5")

    def test_the_count_of_the_end_replaces_that_of_the_start(self, prices: Prices) -> None:
        brought = message_stream({"output_tokens": 10}, {"input_tokens": 25, "output_tokens": 8})
        assert nano(charged(prices, self.SONNET, brought)) == 25 * 3_000 + 10 * 15_000

    def test_the_cache_is_counted_from_the_start(self, prices: Prices) -> None:
        start = self.START | {"cache_creation": HOUR["cache_creation"]}
        assert nano(charged(prices, self.SONNET, message_stream({"output_tokens": 10}, start))) == 6_000_000

    def test_without_a_count_at_the_end_the_cost_is_unknown_and_not_that_of_one_token(self, prices: Prices) -> None:
        assert nano(charged(prices, self.SONNET, message_stream(None, self.START))) is None


@pytest.mark.parametrize("read", [chat, chat_stream, message, message_stream, response, response_stream])
def test_without_usage_the_cost_is_unknown_and_its_price_is_told(
    prices: Prices, read: Callable[[Usage | None], Completion]
) -> None:
    charge = charged(prices, deployment("openai:gpt-4o"), read(None))
    assert charge.cost_usd is None
    assert charge.words == "a test, 2026-11-20: prompt 2.5, completion 10, cached 1.25"


class TestNames:
    """A model is priced by its name at its endpoint, and by no other."""

    USAGE = of_chat(1000, 100)

    @pytest.mark.parametrize(
        ("to", "nano_usd"),
        [
            (deployment("openai:gpt-4o"), 3_500_000),
            (deployment("openai:gpt-4o-2024-08-06"), 3_500_000),
            (deployment("openai:gpt-4o-20240806"), 3_500_000),
            (deployment("openai:gpt-4o-mini"), 210_000),
            (deployment("openai:gpt-4o-mini-2024-07-18"), 210_000),
            (deployment("openai:cheap", upstream_model="gpt-4o"), 3_500_000),
            (deployment("openai:gpt-4o", upstream_model="gpt-4o-mini"), 210_000),
            (
                deployment("custom:gpt-4o", base_url="https://api.openai.com/v1", upstream_model="gpt-4o-mini"),
                210_000,
            ),
            (deployment("custom:gpt-4o", base_url="https://api.openai.com/v1", upstream_model="mine"), None),
            (deployment("custom:gpt-4o", base_url="http://127.0.0.1:11434/v1", upstream_model="gpt-4o"), 0),
            (deployment("openai:gpt-4o-audio"), None),
            (deployment("x-ai:gpt-4o"), None),
        ],
        ids=lambda value: f"{value.model} as {value.upstream_model}" if isinstance(value, Deployment) else None,
    )
    def test_it_is_the_one_at_the_endpoint(self, prices: Prices, to: Deployment, nano_usd: int | None) -> None:
        assert nano(charged(prices, to, chat(self.USAGE))) == nano_usd

    def test_what_the_reply_calls_itself_changes_nothing(self, prices: Prices) -> None:
        assert nano(charged(prices, deployment("openai:gpt-4o-mini"), chat(self.USAGE, model="gpt-4o"))) == 210_000


class TestModesOfService:
    """A request may be served at another price; what the provider says it did counts before what was asked."""

    GPT = deployment("openai:gpt-4o")
    USAGE = of_chat(100, 10)

    @pytest.mark.parametrize("read", [chat, chat_stream])
    def test_flex_as_it_was_told(self, prices: Prices, read: Callable[..., Completion]) -> None:
        charge = charged(prices, self.GPT, read(self.USAGE, service_tier="flex"))
        assert nano(charge) == 100 * 1_250 + 10 * 5_000
        assert charge.words is not None
        assert charge.words.endswith("; flex")

    def test_flex_of_responses(self, prices: Prices) -> None:
        brought = response({"input_tokens": 100, "output_tokens": 10}, service_tier="flex")
        assert nano(charged(prices, self.GPT, brought)) == 175_000

    def test_asked_for_and_not_given(self, prices: Prices) -> None:
        brought = chat(self.USAGE, service_tier="default")
        assert nano(charged(prices, self.GPT, brought, asked="flex")) == 350_000

    def test_asked_for_of_a_provider_that_does_not_say(self, prices: Prices) -> None:
        assert nano(charged(prices, self.GPT, chat(self.USAGE), asked="flex")) == 175_000
        assert nano(charged(prices, self.GPT, chat(self.USAGE), asked=["odd"])) == 350_000
        assert nano(charged(prices, self.GPT, chat(self.USAGE), asked="auto")) == 350_000

    def test_one_that_has_no_known_price_has_an_unknown_cost(self, prices: Prices) -> None:
        charge = charged(prices, self.GPT, chat(self.USAGE, service_tier="priority"))
        assert (charge.cost_usd, charge.words) == (None, None)

    def test_a_batch_of_anthropic(self, prices: Prices) -> None:
        brought = message({"input_tokens": 100, "output_tokens": 10, "service_tier": "batch"})
        assert nano(charged(prices, deployment("anthropic:claude-sonnet-4-5"), brought)) == 225_000

    def test_the_users_own_price_names_its_share(self, prices: Prices) -> None:
        own = deployment("custom:q", price=Price(prompt=1.0, completion=2.0, cached=0.5, batch=0.5))
        usage = of_chat(100, 10, prompt_tokens_details={"cached_tokens": 50})
        for tier in ("batch", "flex"):
            charge = charged(prices, own, chat(usage, service_tier=tier))
            assert nano(charge) == (50 * 1_000 + 50 * 500 + 10 * 2_000) // 2
        assert nano(charged(prices, own, chat(usage, service_tier="priority"))) == 95_000


class TestSeconds:
    """A price by the second is that of the call; tokens cost beside it what they have a price for."""

    USAGE = of_chat(100, 10)

    def test_a_model_of_this_machine_costs_what_the_user_says(self, prices: Prices) -> None:
        local = deployment("local:m", price=Price(per_second=0.0002))
        charge = charged(prices, local, chat(self.USAGE), seconds=2.5)
        assert nano(charge) == 500_000
        assert nano(charged(prices, local, chat(None), seconds=2.5)) == 500_000
        assert nano(charged(prices, deployment("local:m"), chat(self.USAGE), seconds=2.5)) == 0

    def test_tokens_and_seconds_add_up(self, prices: Prices) -> None:
        both = deployment("custom:m", price=Price(prompt=1.0, per_second=0.001))
        assert nano(charged(prices, both, chat(self.USAGE), seconds=1.5)) == 100 * 1_000 + 1_500_000

    def test_without_the_time_it_is_unknown(self, prices: Prices) -> None:
        assert nano(charged(prices, deployment("custom:m", price=Price(per_second=0.001)), chat(self.USAGE))) is None
