"""Ranking: which deployments could answer a request, in which order, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from beastmode.core.breaker import Breaker, Breakers
from beastmode.core.deployments import Deployment, Model
from beastmode.core.errors import AuthenticationError, BeastError, ContextTooLongError, NoHealthyModelError
from beastmode.core.plugins import Provider
from beastmode.core.settings import Settings
from beastmode.core.types import Candidate, Request
from beastmode.routing.models import Registry
from beastmode.routing.vault import Vault

BYTES_PER_TOKEN = 3  # of source code; prose has about 4.5
BYTES_PER_TOKEN_AT_MOST = 8  # above this a prompt surely is too long: only long runs of blanks pack denser

_ASKED_FOR = "was asked for"
_NOTHING_REGISTERED = (
    "find servers that run on this machine: beast models discover",
    "register any OpenAI-compatible endpoint: beast models add custom:NAME --base-url http://HOST:PORT/v1",
    "fetch a small model that runs here: beast models fetch smollm2",
)


class Ranked(msgspec.Struct):
    """The order in which deployments are called.

    Attributes:
        deployments: Those that can be called, best first; never empty.
        candidates: All that were considered, those that can be called first.
        reason: Why the first one is first, in one sentence.
        model: The model whose error counts when all fail: the one asked for, or the first that `auto` chose.
    """

    deployments: list[Deployment]
    candidates: list[Candidate]
    reason: str
    model: str


class _Unfit(msgspec.Struct):
    """Why a deployment can not be called."""

    kind: Literal["provider", "key", "context", "breaker", "unregistered"]
    model: str
    deployment: str
    why: str
    error: BeastError | None = None
    retry_after_s: float | None = None


class _House(msgspec.Struct):
    """What a ranking looks at."""

    request: Request
    registry: Registry
    breakers: Breakers
    vault: Vault
    providers: Mapping[str, Provider]
    settings: Settings


def rank(
    request: Request,
    model_id: str,
    registry: Registry,
    breakers: Breakers,
    vault: Vault,
    providers: Mapping[str, Provider],
    settings: Settings,
) -> Ranked:
    """Puts the deployments that could answer a request in order.

    A named model is served by its own deployments, then by the models that its `fallback` lists, and by nothing else.
    `auto` takes the models of `routing.auto` in that order, then all others in the order they were added: those with
    an endpoint first, those in a child process of this machine last. Models of the provider `echo` take part only
    where `routing.auto` names them.

    Args:
        request: The request.
        model_id: `auto` or a model's id.
        registry: The models.
        breakers: Health of the deployments.
        vault: The keys.
        providers: Loaded providers by name.
        settings: For `routing.auto`.

    Raises:
        UnknownModelError: The named model is not registered.
        AuthenticationError: Nothing but a key is missing.
        ContextTooLongError: The prompt surely fits nowhere.
        NoHealthyModelError: Whatever else keeps every candidate away, with the last cause.
    """
    house = _House(request, registry, breakers, vault, providers, settings)
    ranked = None if model_id == "auto" else _alone(registry.get(model_id), house)
    if ranked is not None:
        return ranked
    order = _auto(house) if model_id == "auto" else _named(model_id, house)
    fit: list[_Fit] = []
    unfit: list[_Unfit] = []
    for step in order:
        _weigh(step, house, fit, unfit)
    if not fit:
        raise _nothing_fits(model_id, unfit)
    fit.sort(key=_by_group)
    candidates = [Candidate(model=one.model, deployment=one.id, why=why) for _, _, one, why in fit]
    reason = _reason(model_id, candidates[0], unfit)
    candidates += [Candidate(model=one.model, deployment=one.deployment, why=one.why, fit=False) for one in unfit]
    return Ranked(
        deployments=[one for _, _, one, _ in fit],
        candidates=candidates,
        reason=reason,
        model=candidates[0].model if model_id == "auto" else model_id,
    )


def _alone(model: Model, house: _House) -> Ranked | None:
    """The ranking of a model with one deployment that is fit and nothing that may stand in: what most requests have."""
    if len(model.deployments) != 1 or model.fallback:
        return None
    one = model.deployments[0]
    if _is_tight(one, house.request) or _problem(one, house) is not None:
        return None
    candidate = Candidate(model=one.model, deployment=one.id, why=_ASKED_FOR)
    return Ranked([one], [candidate], _reason(model.id, candidate, []), model.id)


_Fit = tuple[int, bool, Deployment, str]
_Step = tuple[int, Model | str, str]


def _by_group(one: _Fit) -> tuple[int, bool]:
    """What may be too small comes last in its group, but not behind another group."""
    return one[0], one[1]


def _weigh(step: _Step, house: _House, fit: list[_Fit], unfit: list[_Unfit]) -> None:
    group, model, why = step
    if isinstance(model, str):
        unfit.append(_Unfit("unregistered", model, "", "is not registered"))
        return
    for one in model.deployments:
        problem = _problem(one, house)
        if problem is not None:
            unfit.append(problem)
        elif _is_tight(one, house.request):
            fit.append((group, True, one, f"{why}; the prompt may be too long for it"))
        else:
            fit.append((group, False, one, why))


def _named(model_id: str, house: _House) -> Iterator[_Step]:
    """The model that was asked for, then what may stand in for it, each with its reason."""
    model = house.registry.get(model_id)
    yield 0, model, _ASKED_FOR
    seen = {model_id}
    for number, name in enumerate(model.fallback, 1):
        steps = _auto(house) if name == "auto" else iter([(0, house.registry.find(name) or name, "")])
        for _, other, _ in steps:
            other_id = other if isinstance(other, str) else other.id
            if other_id not in seen:
                seen.add(other_id)
                yield number, other, f"is a fallback of {model_id}"


def _auto(house: _House) -> Iterator[_Step]:
    """The models of `auto`, each with its reason."""
    wanted = house.settings.routing.auto
    for place, name in enumerate(wanted, 1):
        yield 0, house.registry.find(name) or name, f"is number {place} of routing.auto"
    last = []
    for model in house.registry.list():
        if model.id in wanted or all(one.provider == "echo" for one in model.deployments):
            continue
        if any(one.base_url for one in model.deployments):
            yield 0, model, "is registered"
        else:
            last.append(model)
    for model in last:
        yield 1, model, "runs on this machine and is there for when nothing else is"


def _problem(deployment: Deployment, house: _House) -> _Unfit | None:
    """Why a deployment can not be called now; None when it can."""
    provider = house.providers.get(deployment.provider)
    if provider is None:
        return _Unfit(
            "provider", deployment.model, deployment.id, f"its provider plugin {deployment.provider} is not loaded"
        )
    if provider.needs_key or deployment.has_key:
        try:
            if house.vault.key_for(deployment) is None and provider.needs_key:
                return _Unfit("key", deployment.model, deployment.id, "has no key", _no_key(deployment))
        except AuthenticationError as error:
            return _Unfit("key", deployment.model, deployment.id, "its key can not be used", error)
    breaker = house.breakers.get(deployment.id)
    if not breaker.allows():
        return _resting(deployment, breaker)
    limit = deployment.limits.context_tokens
    if limit is not None:
        least = _prompt_bytes(house.request) // BYTES_PER_TOKEN_AT_MOST
        if least > limit:
            return _Unfit(
                "context", deployment.model, deployment.id, f"takes {limit} tokens; the prompt has at least {least}"
            )
    return None


def _resting(deployment: Deployment, breaker: Breaker) -> _Unfit:
    rest_s, cause = breaker.remaining_s() or 0.0, breaker.last_error
    state = f"is cooling down for {rest_s:.1f} s" if rest_s else "is being tried by another request"
    why = f"{state} after: {cause.message}" if cause else state
    return _Unfit("breaker", deployment.model, deployment.id, why, cause, rest_s)


def _is_tight(deployment: Deployment, request: Request) -> bool:
    limit = deployment.limits.context_tokens
    if limit is None:
        return False
    wanted = request.params.get("max_completion_tokens") or request.params.get("max_tokens") or 0
    answer = wanted if isinstance(wanted, int) else 0
    return _prompt_bytes(request) // BYTES_PER_TOKEN + answer > limit


def _prompt_bytes(request: Request) -> int:
    """Bytes of text in a request's messages (UTF-8)."""
    total = 0
    for message in request.messages:
        content = message.content
        parts = [content] if isinstance(content, str) else [part.get("text") for part in content or ()]
        for text in parts:
            if isinstance(text, str):
                total += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return total


def _reason(model_id: str, first: Candidate, unfit: list[_Unfit]) -> str:
    if model_id == "auto":
        return f"{first.model} {first.why}."
    if first.model == model_id:
        return f"{model_id} was asked for."
    why = next((one.why for one in unfit if one.model == model_id), "can not be called")
    return f"{model_id} was asked for but {why}; {first.model} {first.why}."


def _no_key(deployment: Deployment) -> AuthenticationError:
    return AuthenticationError(
        f"{deployment.model} has no key, and {deployment.base_url or deployment.provider} asks for one.",
        tips=[f"enter it: beast models add {deployment.model} (it asks), or with --key-stdin in a script"],
        model=deployment.model,
        endpoint=deployment.base_url or None,
    )


def _nothing_fits(model_id: str, unfit: list[_Unfit]) -> BeastError:
    """The error for a request that nobody can answer."""
    kinds = {one.kind for one in unfit}
    if not unfit:
        return NoHealthyModelError(
            "No model is registered that auto could choose.",
            tips=_NOTHING_REGISTERED,
            model=model_id,
            details={"cause": "nothing_registered"},
        )
    if kinds == {"key"} and unfit[0].error is not None:
        return unfit[0].error
    if kinds == {"context"}:
        return ContextTooLongError(
            f"The prompt is too long: {unfit[0].model} {unfit[0].why}.",
            tips=["shorten the conversation or attach fewer files", "or register a model with a longer context"],
            model=model_id,
        )
    return cooling_down(model_id, [(one.model, one.why, one.error, one.retry_after_s) for one in unfit])


def cooling_down(model_id: str, causes: list[tuple[str, str, BeastError | None, float | None]]) -> NoHealthyModelError:
    """Makes the error that says every candidate is away, and why.

    Args:
        model_id: The model that was asked for.
        causes: For each candidate its model, why it is away, the error that caused it, and seconds until it is tried.
    """
    waits = [wait for *_, wait in causes if wait is not None]
    tips = [f"{model} {why}" for model, why, _, _ in causes[1:4]]
    tips += [tip for *_, error, _ in causes[:1] if error is not None for tip in error.tips]
    tips += [
        f"see what is wrong with it: beast models test {model}" for model in dict.fromkeys(c[0] for c in causes[:2])
    ]
    if waits:
        tips.append(f"it is tried again in {min(waits):.1f} s, with the next request")
    first = next((cause for cause in causes if cause[2] is not None), causes[0])
    return NoHealthyModelError(
        f"No model can answer now: {first[0]} {first[1].rstrip('.')}.",
        tips=tips,
        model=model_id,
        endpoint=first[2].endpoint if first[2] else None,
        status=first[2].status if first[2] else None,
        retry_after_s=min(waits) if waits else None,
        details=_told_of(first[2]) if first[2] else None,
    )


def _told_of(cause: BeastError) -> dict[str, Any]:
    """What a caller is told of the error that began a rest: its kind, and the rate limits that the upstream told."""
    headers = cause.details.get("upstream_headers")
    told = headers.items() if isinstance(headers, dict) else ()
    # The ids and times of that reply are true no longer.
    limits = {name: value for name, value in told if "ratelimit" in name.replace("-", "")}
    return {"cause": cause.kind, **({"upstream_headers": limits} if limits else {})}
