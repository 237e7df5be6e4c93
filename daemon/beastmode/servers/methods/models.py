"""`models.*`: register, list, test, find and fetch models."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import msgspec

from beastmode.accounts import UNCHARGED_KINDS
from beastmode.core.deployments import Deployment, Limits, Model, Price
from beastmode.core.errors import BadInputError, NotFoundError
from beastmode.core.plugins import Progress, Weights, WeightsInfo
from beastmode.core.rows import Row, RowCache
from beastmode.routing.endpoints import describe
from beastmode.routing.probes import Asked, ProbeResult, probe
from beastmode.servers.methods.table import Nothing, method
from beastmode.servers.services import Caller, Services

PROBE_TIMEOUT_S = 4.0
PROBE_LIMIT_S = 4.5  # whatever the endpoint does, its test is over in less than five seconds
LOCAL_PROBE_TIMEOUT_S = 60.0  # a model of this machine is loaded first


class AddParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A model to register.

    Attributes:
        id: `custom:NAME`, `openai:NAME`, `anthropic:NAME` or `local:NAME`.
        base_url: Where it is served; providers with a place of their own need none.
        key: Its API key; goes to the vault and nowhere else.
        upstream_model: Its name there; absent: NAME.
        price: What it costs, in USD per million tokens.
        limits: What it can take.
        fallback: Models that may stand in for it.
        test: Test the endpoint first, and register nothing when that fails.
        another: Keep the deployments that the model has, and add this one.
    """

    id: str
    base_url: str | None = None
    key: str | None = None
    upstream_model: str | None = None
    price: Price | None = None
    limits: Limits | None = None
    fallback: list[str] | None = None
    test: bool = True
    another: bool = False


class ModelParams(msgspec.Struct, forbid_unknown_fields=True):
    """Names a model.

    Attributes:
        id: Its id.
    """

    id: str


class FetchParams(msgspec.Struct, forbid_unknown_fields=True):
    """Names weights.

    Attributes:
        name: As `models.list` has it under `available`.
    """

    name: str


@method("models.list")
async def models_list(services: Services, caller: Caller, params: Nothing) -> dict[str, Any]:
    """Lists registered models with their state, and the weights that can be fetched."""
    found = await asyncio.gather(*(asyncio.to_thread(catalogue.names) for catalogue in services.weights))
    return {
        "models": [_shown(services, model) for model in services.registry.list()],
        "available": [one for names in found for one in names],
    }


@method("models.add")
async def models_add(services: Services, caller: Caller, params: AddParams) -> dict[str, Any]:
    """Registers a model; unless `test` is false its endpoint is tested first, and what failed is said exactly."""
    wanted = describe(
        params.id,
        services.providers,
        base_url=params.base_url,
        upstream_model=params.upstream_model,
        price=params.price,
        limits=params.limits,
        has_key=params.key is not None,
    )
    tested = await _test(services, wanted, params.key) if params.test else None
    deployment = services.registry.place(wanted, another=params.another)
    if params.key is not None:
        await services.vault.put(deployment, params.key)
    added = await services.registry.add(deployment, another=params.another, fallback=params.fallback)
    for gone in added.replaced:
        services.breakers.forget(gone.id)
        if gone.id != added.deployment.id or params.key is None:
            await services.vault.remove(gone)
    services.breakers.forget(added.deployment.id)
    return {"model": _shown(services, added.model), "test": tested, "note": added.note}


@method("models.remove")
async def models_remove(services: Services, caller: Caller, params: ModelParams) -> dict[str, Any]:
    """Takes a model and its keys out."""
    removed = await services.registry.remove(params.id)
    for deployment in removed.model.deployments:
        services.breakers.forget(deployment.id)
        await services.vault.remove(deployment)
    return {"removed": True, "id": params.id, "note": removed.note}


@method("models.test")
async def models_test(services: Services, caller: Caller, params: ModelParams) -> dict[str, Any]:
    """Tests every deployment of a model: reachable, key valid, model known, reply well-formed."""
    model = services.registry.get(params.id)
    found = await asyncio.gather(*(_keyed_probe(services, one) for one in model.deployments))
    verdicts = [{"deployment": one.id, **verdict(result)} for one, result in zip(model.deployments, found, strict=True)]
    first = next((one for one in verdicts if not one["ok"]), verdicts[0])
    return {**first, "deployments": verdicts}


@method("models.discover")
async def models_discover(services: Services, caller: Caller, params: Nothing) -> dict[str, Any]:
    """Finds model servers that already run on this machine."""
    return {"servers": await services.discover()}


@method("models.fetch")
async def models_fetch(services: Services, caller: Caller, params: FetchParams) -> dict[str, Any]:
    """Fetches weights to this machine, with progress, and registers the model that they are."""
    catalogue = _catalogue(services, params.name, await _names(services))

    def tell(progress: Progress) -> None:
        if caller.progress is not None:
            caller.progress(msgspec.to_builtins(progress))

    info = await catalogue.fetch(params.name, tell)
    if not info.serves and services.semantic is not None:
        await services.semantic.prepare()
    model = None
    if info.serves and info.serves in services.providers:
        wanted = describe(f"{info.serves}:{info.name}", services.providers)
        model = (await services.registry.add(wanted)).model.id
        services.breakers.forget(wanted.id)
    return {"name": info.name, "path": info.path, "size_bytes": info.size_bytes, "model": model}


async def _names(services: Services) -> list[tuple[Weights, WeightsInfo]]:
    return [(one, info) for one in services.weights for info in await asyncio.to_thread(one.names)]


def _catalogue(services: Services, name: str, found: list[tuple[Weights, WeightsInfo]]) -> Weights:
    for catalogue, info in found:
        if info.name == name:
            return catalogue
    known = ", ".join(info.name for _, info in found) or "none: the plugin local_model is not loaded"
    raise NotFoundError(f"There are no weights `{name}`.", tips=[f"known: {known}", "beast models list"])


async def _test(services: Services, deployment: Deployment, key: str | None) -> dict[str, Any]:
    """Tests an endpoint before it is registered.

    Raises:
        BeastError: What failed; its details hold the steps.
    """
    result = await try_out(services, deployment, key)
    if result.error is not None:
        error = copy.copy(result.error)
        error.details = {**error.details, "test": verdict(result)}
        raise error
    return verdict(result)


def verdict(result: ProbeResult) -> dict[str, Any]:
    """What a test found, as it is shown.

    Args:
        result: Of the test.
    """
    return {
        "ok": result.ok,
        "steps": [msgspec.to_builtins(step) for step in result.steps],
        "latency_ms": result.latency_ms,
        "models": result.models,
        "kind": result.kind,
        "message": result.error.message if result.error is not None else None,
        "tips": result.tips,
    }


async def _keyed_probe(services: Services, deployment: Deployment) -> ProbeResult:
    return await try_out(services, deployment, services.vault.key_for(deployment))


async def try_out(services: Services, deployment: Deployment, key: str | None, *, thorough: bool = True) -> ProbeResult:
    """Tests an endpoint, in less than five seconds unless a model of this machine has to be loaded.

    Args:
        services: The daemon's parts.
        deployment: What to test; it needs not be registered.
        key: The key that goes with it.
        thorough: False: as little as tells that it answers; that is always over in five seconds.

    Raises:
        BadInputError: Its plugin is not loaded.
    """
    provider = services.providers.get(deployment.provider)
    if provider is None:
        raise BadInputError(
            f"{deployment.model} needs the provider plugin `{deployment.provider}`, which is not loaded.",
            tips=["beast plugins"],
        )
    quick = provider.costs_money or not thorough
    timeout_s = PROBE_TIMEOUT_S if quick else LOCAL_PROBE_TIMEOUT_S
    limit_s = PROBE_LIMIT_S if quick else None
    at_s = services.clock.wall_s()
    result = await probe(deployment, key, provider, timeout_s, clock=services.clock, limit_s=limit_s, thorough=thorough)
    if result.asked is not None:
        services.ledger.record(_row(services, deployment, result.asked, at_s))
    return result


def _row(services: Services, deployment: Deployment, asked: Asked, at_s: float) -> Row:
    """The row of a token that was asked for: it is paid for as any other."""
    error = asked.error
    row = Row(
        request_id=services.clock.new_id(),
        at_s=at_s,
        origin="probe",
        outcome="success" if error is None else "failure",
        cache=RowCache("bypass"),
        model=deployment.model,
        model_served=deployment.model if error is None else None,
        deployment=deployment.id,
        provider=deployment.provider,
        usage=asked.usage,
        latency_ms=asked.latency_ms,
        attempts=1,
        client="daemon",
    )
    if error is not None:
        row.error_kind, row.error_tip = error.kind, " ".join([error.message, *error.tips[:1]])
        row.cost_usd = 0.0 if error.kind in UNCHARGED_KINDS else None
    elif asked.usage is not None:
        charge = services.prices.charge(deployment, asked.usage, seconds=asked.latency_ms / 1e3)
        row.cost_usd, row.price_source = charge.cost_usd, charge.words
    return row


def _shown(services: Services, model: Model) -> dict[str, Any]:
    provider = model.deployments[0].provider if model.deployments else ""
    kind = provider if provider in ("custom", "local") else "provider"
    return {
        "id": model.id,
        "kind": kind,
        "provider": provider,
        "deployments": [_deployment(services, one) for one in model.deployments],
        "fallback": model.fallback,
        "added_at": model.added_at,
    }


def _deployment(services: Services, one: Deployment) -> dict[str, Any]:
    provider = services.providers.get(one.provider)
    breaker = services.breakers.get(one.id)
    state, cause = "ready", None
    if provider is None:
        state, cause = "no_plugin", f"the provider plugin `{one.provider}` is not loaded"
    elif provider.needs_key and not one.has_key:
        state, cause = "no_key", f"no key: beast models add {one.model} --key-stdin"
    elif one.id in services.vault.troubles:
        state, cause = "no_key", services.vault.troubles[one.id].message
    elif not breaker.allows():
        state, cause = "cooling", breaker.last_error.message if breaker.last_error is not None else None
    return {
        "id": one.id,
        "base_url": one.base_url,
        "upstream_model": one.upstream_model,
        "has_key": one.has_key,
        "price": one.price,
        "limits": one.limits,
        "state": state,
        "cause": cause,
    }
