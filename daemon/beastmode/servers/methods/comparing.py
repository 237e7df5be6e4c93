"""`models.compare`: the same prompts for several models, side by side, told as the answers come."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from beastmode.core.deltas import Delta
from beastmode.core.errors import BadInputError, BeastError
from beastmode.core.types import Answer, CacheMode, Message, Request
from beastmode.servers.methods.table import method
from beastmode.servers.services import Caller, Services

MODELS_MAX, PROMPTS_MAX = 8, 1_000


class CompareParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What to compare.

    Attributes:
        models: Ids of models, two or more.
        prompts: What each of them is asked, one after another.
        max_tokens: Longest answer.
        temperature: As the models understand it.
        system: What each of them is told before every prompt.
        cache: What the cache may do: `off`, so that every model answers, unless said otherwise.
        stream: Tell the text as it comes, as progress `{prompt, model, delta}`.
    """

    models: Annotated[list[str], Meta(min_length=2, max_length=MODELS_MAX)]
    prompts: Annotated[list[str], Meta(min_length=1, max_length=PROMPTS_MAX)]
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: float | None = None
    system: str | None = None
    cache: CacheMode = "off"
    stream: bool = False


@method("models.compare")
async def models_compare(services: Services, caller: Caller, params: CompareParams) -> dict[str, Any]:
    """Asks several models the same prompts: the models side by side, the prompts one after another.

    Each answer is told when it is there, as progress `{prompt, model, answer, done, total}`; `prompt` counts from 0. A
    request that fails is an answer with its `error`, and the rest goes on. Their rows have the origin `test`. Open
    dashboards show the answers side by side as they come.
    """
    if len(set(params.models)) < len(params.models):
        raise BadInputError("A model is named twice.", tips=["name each model once"])
    if not all(prompt.strip() for prompt in params.prompts):
        raise BadInputError("A prompt is empty.", tips=["leave empty prompts out"])
    for model in params.models:
        if model != "auto":
            services.registry.get(model)  # an unknown one is said before anything is spent
    comparison = _Comparison(services, caller, params)
    try:
        answers = [await comparison.round(number) for number in range(len(params.prompts))]
    finally:
        comparison.end()
    pairs = zip(params.prompts, answers, strict=True)
    return {
        "models": [_summary(model, [one[column] for one in answers]) for column, model in enumerate(params.models)],
        "prompts": [{"prompt": prompt, "answers": found} for prompt, found in pairs],
    }


class _Comparison:
    """One comparison under way.

    Args:
        services: The daemon's parts.
        caller: Who asks, and where progress goes.
        params: What is compared.
    """

    def __init__(self, services: Services, caller: Caller, params: CompareParams) -> None:
        self._services = services
        self._caller = caller
        self._params = params
        self._done = 0
        self._board = services.comparison
        self._number = self._board.begin(params.models, params.prompts)

    def end(self) -> None:
        """It is over, also where it was cut off."""
        self._board.end(self._number)

    async def round(self, number: int) -> list[dict[str, Any]]:
        """Asks all models one prompt, at once; whoever cancels this cancels them all."""
        self._board.ask(self._number, number)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._one(number, model)) for model in self._params.models]
        return [task.result() for task in tasks]

    async def _one(self, number: int, model: str) -> dict[str, Any]:
        gateway = self._services.gateway
        try:
            ticket = gateway.admit(self._request(number, model))
            answer = gateway.recall(ticket)
            if answer is None:
                answer = await gateway.ask(ticket, self._on_delta(number, model))
            found = _shown(model, answer)
        except BeastError as error:
            found = {"model": model, "ok": False, "error": {"message": error.message, **error.data()}}
        self._board.answered(self._number, model, found)
        self._done += 1
        total = len(self._params.models) * len(self._params.prompts)
        self._tell({"prompt": number, "model": model, "answer": found, "done": self._done, "total": total})
        return found

    def _request(self, number: int, model: str) -> Request:
        params = self._params
        shaping = {"max_tokens": params.max_tokens, "temperature": params.temperature}
        messages = [Message("system", params.system)] if params.system is not None else []
        return Request(
            model=model,
            messages=[*messages, Message("user", params.prompts[number])],
            params={name: value for name, value in shaping.items() if value is not None},
            user=self._caller.user,
            stream=True,  # else nobody knows when the first text came
            cache=params.cache,
            origin="test",
            client=self._caller.client,
        )

    def _on_delta(self, number: int, model: str) -> Callable[[Delta], None]:
        def tell(delta: Delta) -> None:
            if type(delta) is not str:
                return
            self._board.hear(self._number, model, delta)
            if self._params.stream:
                self._tell({"prompt": number, "model": model, "delta": delta})

        return tell

    def _tell(self, value: dict[str, Any]) -> None:
        if self._caller.progress is not None:
            self._caller.progress(value)


def _shown(model: str, answer: Answer) -> dict[str, Any]:
    return {
        "model": model,
        "ok": True,
        "request_id": answer.request_id,
        "text": answer.text,
        "model_served": answer.model,
        "finish_reason": answer.finish_reason,
        "latency_ms": answer.latency_ms,
        "ttft_ms": answer.ttft_ms,
        "usage": answer.usage,
        "cost_usd": answer.cost_usd,
        "saved_usd": answer.saved_usd,
        "cache": answer.cache.result,
    }


def _summary(model: str, answers: list[dict[str, Any]]) -> dict[str, Any]:
    """What the answers of a model add up to; what nobody told is None or counted as unknown."""
    good = [one for one in answers if one["ok"]]
    costs = [one["cost_usd"] for one in good]
    known = [cost for cost in costs if cost is not None]
    return {
        "model": model,
        "answered": len(good),
        "failed": len(answers) - len(good),
        "latency_ms": _median([one["latency_ms"] for one in good]),
        "ttft_ms": _median([one["ttft_ms"] for one in good]),
        "prompt_tokens": _sum([one["usage"].prompt_tokens for one in good]),
        "completion_tokens": _sum([one["usage"].completion_tokens for one in good]),
        "cost_usd": round(sum(known), 9) if known or not costs else None,
        "unknown": len(costs) - len(known),
    }


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _sum(values: list[int | None]) -> int | None:
    """None where one is unknown."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) and known else None
