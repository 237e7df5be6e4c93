"""`prices.*`: what models cost, where that is known from, and the user's own prices over it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from beastmode.core.deployments import Deployment, Price
from beastmode.core.errors import BadInputError
from beastmode.costs.offers import Offer, of_tariffs
from beastmode.costs.prices import FREE_PROVIDERS
from beastmode.costs.tariffs import Tariffs
from beastmode.routing.models import check_model_id
from beastmode.routing.names import resolve
from beastmode.servers.methods.table import method
from beastmode.servers.services import Caller, Services

Usd = Annotated[float, Meta(ge=0)]
UNKNOWN_TIP = "beast prices set {model} --prompt USD --completion USD"


class PricesParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which prices to list.

    Attributes:
        model: Only models whose id holds this; an id that is not registered is looked up in the table.
        all: The models of the table, too.
    """

    model: str | None = None
    all: bool = False


class SetParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A price of the user's own, in place of any other: what is left out here is left out of it.

    Attributes:
        model: A model's id, registered or not.
        prompt: USD per million prompt tokens.
        completion: USD per million completion tokens.
        cached: USD per million prompt tokens read from the provider's prompt cache; absent: as `prompt`.
        cache_write: USD per million prompt tokens written to it; absent: as `prompt`.
        cache_write_1h: USD per million prompt tokens written to it for an hour; absent: as `cache_write`.
        reasoning: USD per million completion tokens of reasoning; absent: as `completion`.
        per_second: USD for each second of the call.
        batch: Share of all this that a request in a batch or flex tier costs, such as 0.5.
        remove: Take the user's own price back, so that the table counts again.
    """

    model: str
    prompt: Usd | None = None
    completion: Usd | None = None
    cached: Usd | None = None
    cache_write: Usd | None = None
    cache_write_1h: Usd | None = None
    reasoning: Usd | None = None
    per_second: Usd | None = None
    batch: Annotated[float, Meta(ge=0, le=1)] | None = None
    remove: bool = False


class UpdateParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which table to use.

    Attributes:
        file: Absolute path of a file made by `python -m beastmode.costs.build_prices`; absent: only say what is in use.
        shipped: Go back to the table that came with this version.
    """

    file: str | None = None
    shipped: bool = False


@method("prices.list")
async def prices_list(services: Services, caller: Caller, params: PricesParams) -> dict[str, Any]:
    """Lists what models cost in USD per million tokens, with the source and date of each; unknown prices are null."""
    listed = [*_registered(services, params.model)]
    if params.model and not listed:
        listed = [*_looked_up(services, params.model)]
    if params.all:
        known = {one["model"] for one in listed}
        found = await asyncio.to_thread(_of_table, services.prices.tariffs, params.model or "", services.clock.wall_s())
        listed += [one for one in found if one["model"] not in known]
    return {"table": _table(services.prices.tariffs), "prices": listed}


@method("prices.set")
async def prices_set(services: Services, caller: Caller, params: SetParams) -> dict[str, Any]:
    """Sets the user's own price of a model, which wins over the table from the next request on, or takes it back."""
    model = resolve(params.model, services.registry, services.settings.routing) if params.model else ""
    check_model_id(model)
    before = services.book.own.get(model)
    given = Price(**{name: getattr(params, name) for name in Price.__struct_fields__})
    if params.remove:
        _require(given == Price(), "`remove` takes no price beside it.", "leave either out")
        await services.book.remove(model)
    else:
        said = (given.prompt, given.completion, given.per_second)
        _require(
            any(rate is not None for rate in said),
            f"No price of {model} was given.",
            UNKNOWN_TIP.format(model=model),
            f"by the second: beast prices set {model} --per-second USD",
        )
        await services.book.set(model, given)
    shown = [*_registered(services, model, exactly=True)] or [*_looked_up(services, model)]
    return {**shown[0], "replaced": before, "deployments": len(shown), "note": _note(services, model, given)}


@method("prices.update")
async def prices_update(services: Services, caller: Caller, params: UpdateParams) -> dict[str, Any]:
    """Takes a newer price table that the user hands in; nothing is fetched from anywhere."""
    before = services.prices.tariffs
    _require(not (params.file and params.shipped), "`file` and `shipped` are given.", "leave either out")
    if params.shipped:
        await services.book.use_shipped()
    elif params.file is not None:
        file = Path(params.file)
        _require(file.is_absolute(), f"{params.file[:200]!r} is no absolute path.", "beast prices update FILE")
        await services.book.update(file)
    after = services.prices.tariffs
    return {**_table(after), "updated": after is not before, "before": _table(before)}


def _require(holds: bool, message: str, *tips: str) -> None:
    if not holds:
        raise BadInputError(message, tips=[*tips])


def _table(tariffs: Tariffs) -> dict[str, Any]:
    return {"source": tariffs.source, "date": tariffs.date, "shipped": tariffs.is_shipped}


def _registered(services: Services, part: str | None, *, exactly: bool = False) -> Iterable[dict[str, Any]]:
    wanted = (part or "").lower()
    for model in services.registry.list():
        if model.id == part or (not exactly and wanted in model.id.lower()):
            yield from (_priced(services, one, model.added_at) for one in model.deployments)


def _looked_up(services: Services, name: str) -> Iterable[dict[str, Any]]:
    """What a model would cost that is not registered."""
    prefix, colon, rest = name.partition(":")
    own = name in services.book.own
    if own or (colon and rest and prefix not in ("custom", *FREE_PROVIDERS)):
        yield _priced(services, Deployment(id=name, model=name, provider=prefix, upstream_model=rest), None)


def _priced(services: Services, deployment: Deployment, added_at: str | None) -> dict[str, Any]:
    prices, model = services.prices, deployment.model
    offer = prices.offer(deployment) if added_at is not None else prices.find(deployment)
    source = None if offer is None else offer.source
    date = prices.tariffs.date if offer is not None and source not in ("user", "free") else None
    if source == "user":
        own = services.book.own.get(model)
        date = own.set_at if own is not None else added_at
    return {
        "model": model,
        "deployment": deployment.id if added_at is not None else None,
        "registered": added_at is not None,
        **_rates(offer, services.clock.wall_s()),
        "source": prices.tariffs.source if date == prices.tariffs.date and source != "user" else source,
        "date": date,
        "tip": UNKNOWN_TIP.format(model=model) if offer is None else None,
    }


def _of_table(tariffs: Tariffs, part: str, at_s: float) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for provider, name, several in tariffs.names():
        model = f"{provider}:{name}"
        if part.lower() in model.lower() and model not in found:
            found[model] = {
                "model": model,
                "deployment": None,
                "registered": False,
                **_rates(of_tariffs(several, ""), at_s),
                "source": tariffs.source,
                "date": tariffs.date,
                "tip": None,
            }
    return sorted(found.values(), key=lambda one: str(one["model"]))


def _rates(offer: Offer | None, at_s: float) -> dict[str, Any]:
    if offer is None:
        return {"price": None, "tiers": [], "modes": {}}
    modes = {
        mode: {
            "price": msgspec.structs.asdict(steps[0][1]),
            "tiers": [{"over_prompt_tokens": start, "price": msgspec.structs.asdict(one)} for start, one in steps[1:]],
        }
        for mode, steps in offer.in_force(at_s).items()
    }
    return {**modes.pop(""), "modes": modes}


def _note(services: Services, model: str, given: Price) -> str:
    said = []
    if services.registry.find(model) is None:
        said.append(f"No model {model} is registered; the price waits for it.")
    if given.prompt is None and given.completion is not None and given.per_second is None:
        said.append("Without a price of the prompt the cost stays unknown.")
    if given.completion is None and given.prompt is not None and given.per_second is None:
        said.append("Without a price of the completion only embeddings have a known cost.")
    return " ".join(said)
