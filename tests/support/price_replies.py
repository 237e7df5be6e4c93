"""Replies of providers as bytes, read by the readers of the wire, and a small price table to price them by."""

from __future__ import annotations

import json
from typing import Any

from beastmode.core.deployments import Deployment
from beastmode.core.types import Completion
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


def small_prices() -> Prices:
    """Prices by that table."""
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
