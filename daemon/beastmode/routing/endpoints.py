"""From what a person says about a model (id, base URL, price, limits) to the deployment that is called."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from urllib.parse import urlsplit

from beastmode.core.addresses import check_base_url
from beastmode.core.deployments import Deployment, Limits, Price
from beastmode.core.errors import BadInputError
from beastmode.core.plugins import Provider
from beastmode.routing.models import check_model_id

_OPERATIONS = ("/chat/completions", "/completions", "/messages", "/responses", "/embeddings", "/models")


def describe(
    id: str,
    providers: Mapping[str, Provider],
    *,
    base_url: str | None = None,
    upstream_model: str | None = None,
    provider: str | None = None,
    price: Price | None = None,
    limits: Limits | None = None,
    has_key: bool = False,
) -> Deployment:
    """Makes a deployment out of what the user said.

    Args:
        id: `PROVIDER:NAME`.
        providers: The loaded providers by name.
        base_url: Where it is; None takes the provider's own place.
        upstream_model: Its name there; None takes NAME.
        provider: The plugin that speaks its protocol, where that is not the first half of the id.
        price: The user's own price.
        limits: What it can take.
        has_key: A key for it is, or is about to be, in the vault.

    Returns:
        A deployment whose id is `MODEL@HOST:PORT`, or the model's id where there is no host.

    Raises:
        BadInputError: The id, the provider, the price or a limit is not right, or a base URL is missing.
        RefusedEndpointError: The base URL is never called.
    """
    name = provider or check_model_id(id)
    check_model_id(id)
    plugin = find_provider(name, providers)
    url = _operation_cut(check_base_url(base_url)) if base_url else plugin.default_base_url
    if not url and name == "custom":
        raise BadInputError(
            f"{id} needs a base URL.",
            tips=[
                f"beast models add {id} --base-url http://127.0.0.1:11434/v1",
                "find servers that run on this machine: beast models discover",
            ],
        )
    _check_numbers(id, price, limits)
    return Deployment(
        id=f"{id}@{_host_and_port(url)}" if url else id,
        model=id,
        provider=name,
        base_url=url,
        upstream_model=upstream_model or id.partition(":")[2],
        has_key=has_key,
        price=price,
        limits=limits or Limits(),
    )


def find_provider(name: str, providers: Mapping[str, Provider]) -> Provider:
    """The loaded provider of that name.

    Args:
        name: Its name.
        providers: The loaded providers by name.

    Raises:
        BadInputError: No such provider is loaded; names those that are.
    """
    found = providers.get(name)
    if found is not None:
        return found
    near = difflib.get_close_matches(name, providers, n=1)
    loaded = ", ".join(sorted(providers)) or "none"
    raise BadInputError(
        f"No provider {name!r} is loaded.",
        tips=[
            *(f"did you mean {one}?" for one in near),
            f"loaded providers: {loaded}; see beast rpc plugins.list",
            "any OpenAI-compatible endpoint is custom:NAME",
        ],
    )


def _operation_cut(url: str) -> str:
    """Cuts off what people paste along with a base URL: the path of an operation."""
    return next((url[: -len(tail)] for tail in _OPERATIONS if url.endswith(tail)), url)


def _host_and_port(url: str) -> str:
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _check_numbers(id: str, price: Price | None, limits: Limits | None) -> None:
    for field in Price.__struct_fields__:
        usd = getattr(price, field, None)
        if usd is not None and not (math.isfinite(usd) and usd >= 0):
            raise BadInputError(
                f"The price {field} of {id} is {usd}.",
                tips=["give USD per million tokens, such as 0.15, or leave it out"],
            )
    for field in ("context_tokens", "max_concurrent"):
        count = getattr(limits, field, None)
        if count is not None and count < 1:
            raise BadInputError(
                f"The limit {field} of {id} is {count}.", tips=["give a number from 1 on, or leave it out"]
            )
