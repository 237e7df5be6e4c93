"""The sum of a request, line by line, as `requests.get` and `beast requests show` tell it from a row of the ledger."""

from __future__ import annotations

from typing import Any

import pytest

from beastmode.core.deployments import Deployment, Price
from beastmode.core.types import Completion
from beastmode.costs.lines import cost_lines
from beastmode.costs.prices import Prices
from support.price_replies import charged, chat, deployment, message, small_prices

CACHED = {"prompt_tokens": 2006, "completion_tokens": 300, "prompt_tokens_details": {"cached_tokens": 1920}}
HOUR = {
    "input_tokens": 50,
    "cache_creation_input_tokens": 1000,
    "cache_creation": {"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 600},
    "cache_read_input_tokens": 2000,
    "output_tokens": 10,
}


@pytest.fixture
def prices() -> Prices:
    return small_prices()


class TestLines:
    """The sum of a request, as `requests.get` and `beast requests show` tell it from a row of the ledger."""

    def row(self, prices: Prices, to: Deployment, brought: Completion, **fields: Any) -> dict[str, Any]:
        charge = charged(prices, to, brought, **fields)
        usage = {name: getattr(brought.usage, name) for name in brought.usage.__struct_fields__}
        return {
            "outcome": "success",
            "cache": {"result": "miss", "tier": None},
            "model": to.model,
            "usage": usage,
            "cost_usd": charge.cost_usd,
            "price": charge.words,
            "saved_usd": 0.0,
        }

    def test_each_product_and_the_sum_and_whose_price_it_was(self, prices: Prices) -> None:
        lines = cost_lines(self.row(prices, deployment("openai:gpt-4o"), chat(CACHED)))
        assert [line["text"] for line in lines] == [
            "86 prompt tokens x $2.5/M = $0.000215",
            "1,920 tokens read from the prompt cache x $1.25/M = $0.0024",
            "300 completion tokens x $10/M = $0.003",
            "cost: $0.005615",
            "price: a test, 2026-11-20",
        ]
        assert sum(line["usd"] for line in lines[:3]) == pytest.approx(lines[3]["usd"], abs=1e-12)

    def test_what_a_row_does_not_hold_is_found_again(self, prices: Prices) -> None:
        lines = cost_lines(self.row(prices, deployment("anthropic:claude-sonnet-4-5"), message(HOUR)))
        found = {line["what"]: line["amount"] for line in lines if line["what"]}
        assert found["tokens written to the prompt cache"] == 400
        assert found["tokens written to the prompt cache for an hour"] == 600
        timed = self.row(
            prices, deployment("custom:m", price=Price(1.0, 2.0, per_second=0.001)), chat(CACHED), seconds=1.5
        )
        assert "1.5 seconds x $0.001/s = $0.0015" in [line["text"] for line in cost_lines(timed)]

    def test_the_terms_that_held_are_named(self, prices: Prices) -> None:
        over = {"input_tokens": 200_001, "output_tokens": 1}
        lines = cost_lines(self.row(prices, deployment("anthropic:claude-sonnet-4-5"), message(over)))
        assert lines[-1]["text"] == "price: a test, 2026-11-20, over 200000 prompt tokens"
        flex = cost_lines(self.row(prices, deployment("openai:gpt-4o"), chat(CACHED, service_tier="flex")))
        assert flex[-1]["text"] == "price: a test, 2026-11-20, flex"

    def test_an_unknown_cost_says_what_is_missing(self, prices: Prices) -> None:
        silent = cost_lines(self.row(prices, deployment("openai:gpt-4o"), chat(None)))
        assert silent[0]["text"] == "cost unknown: the provider did not say how many tokens it counted"
        assert silent[0]["usd"] is None
        unpriced = cost_lines(self.row(prices, deployment("openai:nobody"), chat(CACHED)))
        assert "beast prices set openai:nobody" in unpriced[0]["text"]
        half = deployment("custom:m", price=Price(prompt=1.0))
        assert "no rate for the completion" in cost_lines(self.row(prices, half, chat(CACHED)))[0]["text"]

    def test_a_stored_answer_costs_nothing_and_saves_what_it_had_cost(self) -> None:
        hit = {"cache": {"result": "hit_exact", "tier": "L1"}, "cost_usd": 0.0, "saved_usd": 0.00123}
        assert cost_lines(hit)[0]["text"] == "a stored answer: $0; saved what it had cost: $0.00123"
        assert cost_lines(hit | {"saved_usd": None})[0]["text"].endswith("unknown")

    def test_rows_without_a_price(self) -> None:
        refused = {"outcome": "refused", "cache": {"result": None}, "cost_usd": 0.0, "price": None}
        assert cost_lines(refused)[0]["text"] == "nothing was charged: $0"
        killed = {"outcome": "failure", "cache": {"result": "miss"}, "cost_usd": None, "price": None}
        assert cost_lines(killed)[0]["text"].startswith("cost unknown: the call ended without an answer")
        free = {"outcome": "success", "cache": {"result": "miss"}, "cost_usd": 0.0, "price": "free"}
        assert cost_lines(free)[0]["usd"] == 0.0
