"""From the bytes of a provider's reply to the nano-dollar: the errors that gateways make, and that are not made here.

The expected sums are worked out by hand: a price of $1 per million tokens is 1,000 nano-dollars a token.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from beastmode.core.types import Completion, Deployment, Price
from beastmode.costs.lines import cost_lines
from beastmode.costs.prices import Charge, Prices
from beastmode.costs.table_check import checked
from beastmode.costs.tariffs import Tariffs
from beastmode.wire import anthropic, openai_chat_reply, openai_completions, openai_embeddings, responses
from beastmode.wire.openai_chat_stream import ChatStream
from support.ledger import StillClock

Usage = dict[str, Any]

GPT_4O = {"usd": [2.5, 10, 1.25], "modes": {"flex": [{"usd": [1.25, 5, 0.625]}]}}
SONNET = {
    "usd": [3, 15, 0.3, 3.75, 6],
    "over": [[200_000, [6, 22.5, 0.6, 7.5, 12]]],
    "modes": {"batch": [{"usd": [1.5, 7.5, 0.15, 1.875, 3]}]},
}
TABLE = {
    "schema": 1,
    "source": "a test",
    "date": "2026-11-20",
    "urls": {"openai": "https://api\\.openai\\.com", "x-ai": "https://api\\.x\\.ai"},
    "providers": {
        "openai": {
            "exact": {"gpt-4o": 0, "gpt-4o-2024-08-06": 0, "text-embedding-3-small": 2, "gpt-3.5-turbo-instruct": 3},
            "rules": [["^gpt-4o-mini", 1], ["^gpt-5", 4]],
            "tariffs": [
                [GPT_4O],
                [{"usd": [0.15, 0.6, 0.075]}],
                [{"usd": [0.02]}],
                [{"usd": [1.5, 2]}],
                [{"usd": [1.25, 10, 0.125]}],
            ],
        },
        "anthropic": {"exact": {}, "rules": [["^claude-sonnet-4-5", 0]], "tariffs": [[SONNET]]},
        "x-ai": {"exact": {"grok-3-mini": 0}, "rules": [], "tariffs": [[{"usd": [0.3, 0.5, 0.075]}]]},
        "deepseek": {"exact": {"deepseek-chat": 0}, "rules": [], "tariffs": [[{"usd": [0.27, 1.1, 0.07]}]]},
        "perplexity": {"exact": {"sonar": 0}, "rules": [], "tariffs": [[{"usd": [2, 8, None, None, None, 3]}]]},
    },
}


@pytest.fixture
def prices() -> Prices:
    return Prices(StillClock(), tariffs=Tariffs(table=checked(json.dumps(TABLE).encode(), "the table")))


def deployment(model: str, **fields: Any) -> Deployment:
    return Deployment(**{"id": model, "model": model, "provider": model.partition(":")[0], **fields})


def chat(usage: Usage | None, **fields: Any) -> Completion:
    """A plain reply of Chat Completions."""
    answer = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    reply = {"object": "chat.completion", "model": "m", "choices": [answer], **fields}
    return openai_chat_reply.decode(json.dumps(reply | ({} if usage is None else {"usage": usage})).encode())


def chat_stream(usage: Usage | None, **fields: Any) -> Completion:
    """A stream of Chat Completions, the usage in a last chunk without choices."""
    chunks = [
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}}], **fields},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], **fields},
        *([{"choices": [], "usage": usage}] if usage is not None else []),
    ]
    stream = ChatStream(lambda delta: None)
    for chunk in chunks:
        stream.feed(f"data: {json.dumps({'object': 'chat.completion.chunk', **chunk})}\n\n".encode())
    stream.feed(b"data: [DONE]\n\n")
    return stream.finish()


def message(usage: Usage | None, **fields: Any) -> Completion:
    """A plain reply of Anthropic's."""
    content = [{"type": "text", "text": "Hi"}]
    reply = {"type": "message", "role": "assistant", "model": "m", "content": content, "stop_reason": "end_turn"}
    return anthropic.decode(json.dumps(reply | ({} if usage is None else {"usage": usage}) | fields).encode())


def message_stream(usage: Usage | None, at_start: Usage | None = None) -> Completion:
    """A stream of Anthropic's: counts of the prompt come first, that of the answer with the end."""
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"model": "m", "content": [], "usage": at_start}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, **({} if usage is None else {"usage": usage})},
        {"type": "message_stop"},
    ]
    stream = anthropic.MessageStream(lambda delta: None)
    for event in events:
        stream.feed(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
    return stream.finish()


def response(usage: Usage | None, **fields: Any) -> Completion:
    """A plain reply of Responses."""
    return responses.decode(json.dumps(_response(usage, fields)).encode())


def response_stream(usage: Usage | None, **fields: Any) -> Completion:
    """A stream of Responses, the usage in `response.completed`."""
    stream = responses.ResponsesStream(lambda delta: None)
    event = {"type": "response.completed", "response": _response(usage, fields)}
    stream.feed(f"event: response.completed\ndata: {json.dumps(event)}\n\n".encode())
    return stream.finish()


def _response(usage: Usage | None, fields: dict[str, Any]) -> dict[str, Any]:
    said = {"type": "message", "id": "m1", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}
    reply = {"object": "response", "status": "completed", "model": "m", "output": [said], **fields}
    return reply if usage is None else reply | {"usage": usage}


def text_completion(usage: Usage | None) -> Completion:
    """A plain reply of Completions."""
    reply = {
        "object": "text_completion",
        "model": "m",
        "choices": [{"text": "Hi", "index": 0, "finish_reason": "stop"}],
    }
    return openai_completions.decode(json.dumps(reply | {"usage": usage}).encode())


def embeddings(usage: Usage | None) -> Completion:
    """A plain reply of Embeddings."""
    reply = {"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [0.1]}]}
    return openai_embeddings.decode(json.dumps(reply | {"usage": usage}).encode())


def charged(prices: Prices, to: Deployment, brought: Completion, **fields: Any) -> Charge:
    return prices.charge(to, brought.usage, brought.billing, **fields)


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
