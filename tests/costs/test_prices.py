"""What a call costs: each token once, the right model's price, and unknown is never zero."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beastmode.core.deployments import Deployment, Limits, Price
from beastmode.core.types import Message, Request, Usage
from beastmode.costs.arithmetic import against, from_words, in_words, token_parts
from beastmode.costs.prices import Prices, cost_usd
from support.ledger import StillClock

tokens = st.integers(0, 10_000_000)
rate = st.floats(0, 100, allow_nan=False)


def deployment(model: str, **fields: object) -> Deployment:
    prefix = model.partition(":")[0]
    return Deployment(**{"id": model, "model": model, "provider": prefix, **fields})  # type: ignore[arg-type]


def custom(**fields: object) -> Deployment:
    return deployment("custom:qwen", base_url="http://127.0.0.1:8000/v1", upstream_model="qwen2.5", **fields)


@pytest.fixture
def prices() -> Prices:
    return Prices(StillClock())


class TestClassicErrors:
    """USD per million tokens: prompt 3, completion 15, cached 0.3, cache write 3.75."""

    price = Price(prompt=3.0, completion=15.0, cached=0.3, cache_write=3.75)

    def test_cached_tokens_are_counted_once(self) -> None:
        usage = Usage(prompt_tokens=1_000_000, completion_tokens=0, cached_tokens=900_000)
        assert cost_usd(self.price, usage) == pytest.approx(0.1 * 3 + 0.9 * 0.3)

    def test_written_tokens_are_counted_once(self) -> None:
        usage = Usage(1_000_000, 0, 500_000, 300_000)
        assert cost_usd(self.price, usage) == pytest.approx(0.2 * 3 + 0.5 * 0.3 + 0.3 * 3.75)

    def test_reasoning_tokens_are_part_of_the_completion_and_do_not_replace_it(self) -> None:
        assert cost_usd(self.price, Usage(0, 1_000_000, reasoning_tokens=900_000)) == 15.0

    def test_cache_reads_without_a_price_of_their_own_cost_as_much_as_the_prompt(self) -> None:
        usage = Usage(1_000_000, 0, 900_000, 100_000)
        assert cost_usd(Price(prompt=3.0, completion=15.0), usage) == 3.0

    def test_a_cache_read_that_is_free_is_free(self) -> None:
        assert cost_usd(Price(prompt=3.0, completion=15.0, cached=0.0), Usage(1_000_000, 0, 1_000_000)) == 0.0

    @pytest.mark.parametrize("usage", [Usage(), Usage(prompt_tokens=5), Usage(completion_tokens=5)])
    def test_a_stream_without_usage_has_an_unknown_cost(self, usage: Usage) -> None:
        assert cost_usd(self.price, usage) is None

    def test_a_price_of_which_a_part_is_missing_gives_an_unknown_cost_where_that_part_is_needed(self) -> None:
        assert cost_usd(Price(prompt=3.0), Usage(10, 10)) is None
        assert cost_usd(Price(prompt=3.0), Usage(1_000_000, 0)) == 3.0

    def test_more_cached_tokens_than_prompt_tokens_make_no_negative_cost(self) -> None:
        assert cost_usd(self.price, Usage(1_000_000, 0, 2_000_000, 2_000_000)) == pytest.approx(0.3)

    def test_a_name_that_begins_like_another_model_is_not_priced_as_it(self, prices: Prices) -> None:
        usage = Usage(1_000_000, 1_000_000)
        assert prices.cost(deployment("openai:gpt-4o"), usage) == 12.5
        assert prices.cost(deployment("openai:gpt-4o-mini"), usage) == 0.75
        assert prices.cost(deployment("openai:gpt-4o-mini-2024-07-18"), usage) == 0.75
        assert prices.cost(deployment("openai:gpt-4"), usage) == 90.0

    def test_the_name_at_the_endpoint_counts_and_not_the_one_the_user_gave(self, prices: Prices) -> None:
        named = deployment("openai:cheap", upstream_model="gpt-4o")
        assert prices.cost(named, Usage(1_000_000, 1_000_000)) == 12.5


@given(tokens, tokens, tokens, tokens, rate)
def test_with_one_price_for_all_the_cost_is_tokens_times_price(
    prompt: int, completion: int, cached: int, written: int, price: float
) -> None:
    flat = Price(prompt=price, completion=price, cached=price, cache_write=price)
    found = cost_usd(flat, Usage(prompt, completion, cached, written))
    assert found == pytest.approx((prompt + completion) * price / 1e6, abs=2e-9)


@given(tokens, tokens, tokens, rate, rate)
def test_caching_never_makes_a_call_dearer_than_without_where_reads_are_cheaper(
    prompt: int, completion: int, cached: int, price: float, cached_price: float
) -> None:
    known = Price(prompt=price, completion=1.0, cached=min(price, cached_price))
    with_cache = cost_usd(known, Usage(prompt, completion, cached))
    without = cost_usd(known, Usage(prompt, completion))
    assert with_cache is not None
    assert without is not None
    assert 0 <= with_cache <= without + 2e-9


rates = st.none() | rate


@given(
    st.builds(Price, rates, rates, rates, rates, rates, rates),
    st.builds(Usage, tokens, tokens, st.none() | tokens, st.none() | tokens, st.none() | tokens),
    st.none() | tokens,
)
def test_the_sum_is_that_of_its_lines(price: Price, usage: Usage, hour: int | None) -> None:
    parts = [part for part in token_parts(price, usage, hour) if part.amount]
    assert sum(part.amount for part in parts) == (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
    found = cost_usd(price, usage, written_1h_tokens=hour)
    known = [part.rate_usd for part in parts if part.rate_usd is not None]
    if len(known) < len(parts):
        assert found is None
    else:
        want = sum(part.amount * each for part, each in zip(parts, known, strict=True)) / 1e6
        assert found == pytest.approx(want, rel=1e-12, abs=1e-9)


@given(st.builds(Price, rates, rates, rates, rates, rates, rates, rates), st.sampled_from(["", "batch", "over 5 x"]))
def test_a_price_in_words_is_read_back(price: Price, term: str) -> None:
    quoted = from_words(against(in_words("a table, 2026-11-20", price, term), "openai:gpt-4o"))
    assert (quoted.source, quoted.terms, quoted.baseline) == (
        "a table, 2026-11-20",
        (term,) if term else (),
        "openai:gpt-4o",
    )
    for name in Price.__struct_fields__:
        assert getattr(quoted.price, name) == pytest.approx(getattr(price, name), abs=1e-11)


class TestWhosePrice:
    def test_the_price_that_was_set_wins_over_that_of_the_registration_and_that_over_the_table(self) -> None:
        own = deployment("openai:gpt-4o", price=Price(prompt=1.0, completion=1.0))
        usage = Usage(1_000_000, 1_000_000)
        assert Prices(StillClock()).cost(own, usage) == 2.0
        prices = Prices(StillClock(), {"openai:gpt-4o": Price(prompt=2.0, completion=2.0)})
        assert prices.cost(own, usage) == 4.0
        assert prices.cost(deployment("openai:gpt-4o"), usage) == 4.0
        assert prices.source(own) == "user"

    def test_a_price_that_says_nothing_is_no_price(self, prices: Prices) -> None:
        assert prices.cost(deployment("openai:gpt-4o", price=Price()), Usage(1_000_000, 0)) == 2.5

    def test_the_table_says_where_it_is_from_and_when(self, prices: Prices) -> None:
        source = prices.source(deployment("openai:gpt-4o"))
        assert source is not None
        assert source.startswith("genai-prices ")
        assert ", 20" in source

    def test_a_model_of_a_provider_that_the_table_does_not_know_has_an_unknown_cost(self, prices: Prices) -> None:
        assert prices.cost(deployment("openai:no-such-model"), Usage(1, 1)) is None
        assert prices.source(deployment("openai:no-such-model")) is None
        assert prices.cost(deployment("nobody:model"), Usage(1, 1)) is None

    @pytest.mark.parametrize("provider", ["local", "echo"])
    def test_a_model_on_this_machine_costs_nothing_even_if_it_counts_nothing(
        self, prices: Prices, provider: str
    ) -> None:
        assert prices.cost(deployment(f"{provider}:x"), Usage()) == 0.0
        assert prices.source(deployment(f"{provider}:x")) == "free"

    def test_a_custom_model_costs_nothing_until_the_user_says_what(self, prices: Prices) -> None:
        assert prices.cost(custom(), Usage(10, 10)) == 0.0
        assert prices.source(custom()) == "free"
        assert prices.cost(custom(price=Price(prompt=1.0, completion=2.0)), Usage(1_000_000, 1_000_000)) == 3.0

    def test_a_custom_model_that_counts_nothing_has_an_unknown_cost(self, prices: Prices) -> None:
        assert prices.cost(custom(), Usage()) is None

    def test_a_custom_model_at_a_known_provider_takes_that_providers_price(self, prices: Prices) -> None:
        there = deployment("custom:mine", base_url="https://api.openai.com/v1", upstream_model="gpt-4o")
        assert prices.cost(there, Usage(1_000_000, 0)) == 2.5
        unknown = deployment("custom:mine", base_url="https://api.openai.com/v1", upstream_model="no-such-model")
        assert prices.cost(unknown, Usage(1_000_000, 0)) is None

    def test_a_long_prompt_takes_the_price_of_its_tier_for_all_tokens(self, prices: Prices) -> None:
        sonnet = deployment("anthropic:claude-sonnet-4-5")
        assert prices.cost(sonnet, Usage(200_000, 0)) == pytest.approx(0.6)
        assert prices.cost(sonnet, Usage(200_001, 0)) == pytest.approx(0.2 * 6, rel=1e-4)


class TestUpperBound:
    def request(self, text: str = "hello", **params: object) -> Request:
        return Request(model="auto", messages=[Message(role="user", content=text)], params=params)

    def test_it_is_above_what_the_call_costs(self, prices: Prices) -> None:
        asked = self.request("words " * 100, max_tokens=50)
        bound = prices.upper_bound(asked, deployment("openai:gpt-4o"))
        real = prices.cost(deployment("openai:gpt-4o"), Usage(100, 50))
        assert bound is not None
        assert real is not None
        assert real < bound < 0.01

    def test_it_grows_with_answers_and_images(self, prices: Prices) -> None:
        model = deployment("openai:gpt-4o")
        one = prices.upper_bound(self.request(max_tokens=1_000), model)
        four = prices.upper_bound(self.request(max_completion_tokens=1_000, n=4), model)
        parts = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
        image = Request(model="auto", messages=[Message(role="user", content=parts)], params={"max_tokens": 1_000})
        assert one is not None
        assert four is not None
        assert four > 3 * one
        assert (prices.upper_bound(image, model) or 0) > one + 0.02

    def test_a_tier_that_the_prompt_reaches_is_counted(self, prices: Prices) -> None:
        sonnet = deployment("anthropic:claude-sonnet-4-5")
        bound = prices.upper_bound(self.request("x" * 200_001, max_tokens=1), sonnet)
        assert bound is not None
        assert bound > 0.2 * 6

    def test_without_a_limit_of_the_answer_it_is_unknown(self, prices: Prices) -> None:
        assert prices.upper_bound(self.request(), deployment("openai:gpt-4o")) is None
        limited = deployment("openai:gpt-4o", limits=Limits(context_tokens=1_000))
        assert prices.upper_bound(self.request(), limited) == pytest.approx(0.01, rel=0.1)

    def test_without_a_price_it_is_unknown(self, prices: Prices) -> None:
        assert prices.upper_bound(self.request(max_tokens=5), deployment("openai:no-such-model")) is None

    def test_what_costs_nothing_is_bounded_by_nothing(self, prices: Prices) -> None:
        assert prices.upper_bound(self.request(), deployment("local:smollm2")) == 0.0
        assert prices.upper_bound(self.request(), custom()) == 0.0
        assert prices.upper_bound(self.request(max_tokens=9), custom()) == 0.0
