"""Which model a caller means: tools ask for bare or fixed names, and the user may have given them others."""

from __future__ import annotations

from beastmode.core.settings import RoutingSettings
from beastmode.routing.models import Registry


def resolve(name: str, registry: Registry, routing: RoutingSettings) -> str:
    """Finds the id of the model that a name stands for.

    Args:
        name: As the caller wrote it: an id, `auto`, an alias of the user, or the part of an id behind its provider
            where just one registered model has that; empty: the default model.
        registry: The models.
        routing: For the default model and the aliases.

    Returns:
        A model's id, or the name as it came where it stands for nothing.
    """
    name = name or routing.default_model
    if name == "auto" or registry.find(name) is not None:
        return name
    alias = _alias(name, routing.aliases)
    if alias is not None:
        return alias
    if ":" in name:
        return name
    named = [model.id for model in registry.list() if model.id.partition(":")[2] == name]
    return named[0] if len(named) == 1 else name


def _alias(name: str, aliases: dict[str, str]) -> str | None:
    """The alias that fits: the very name first, then the longest beginning that ends in `*`."""
    if name in aliases:
        return aliases[name]
    fitting = [one for one in aliases if one.endswith("*") and name.startswith(one[:-1])]
    return aliases[max(fitting, key=len)] if fitting else None
