"""`health.get`: whether the daemon and its models are well, and, if asked, whether every endpoint answers."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from beastmode.core.deployments import Deployment, Model
from beastmode.core.errors import BeastError
from beastmode.metrics.health import Issue, PartState
from beastmode.routing.probes import ProbeResult
from beastmode.servers.methods.models import try_out, verdict
from beastmode.servers.methods.table import method
from beastmode.servers.services import Caller, Services


class HealthParams(msgspec.Struct, forbid_unknown_fields=True):
    """How closely to look.

    Attributes:
        probe: Ask every endpoint whether it answers, side by side, within five seconds. Where an endpoint lists its
            models that costs nothing, else one token.
    """

    probe: bool = False


@method("health.get")
async def health_get(services: Services, caller: Caller, params: HealthParams) -> dict[str, Any]:
    """Says whether the daemon is healthy: status, why, issues with cause and tip, requests, models, parts, probes."""
    if not params.probe:
        return await services.health.check()
    models = services.registry.list()
    asked = [(model, one) for model in models for one in model.deployments]
    found = await asyncio.gather(*(_ask(services, one) for _, one in asked))
    probes = [
        {"model": model.id, "deployment": one.id, **verdict(result)}
        for (model, one), result in zip(asked, found, strict=True)
    ]
    health = await services.health.check(_issues(models, dict(zip((one.id for _, one in asked), found, strict=True))))
    return {**health, "probes": probes}


async def _ask(services: Services, deployment: Deployment) -> ProbeResult:
    try:
        return await try_out(services, deployment, services.vault.key_for(deployment), thorough=False)
    except BeastError as error:  # its plugin or its key is not there
        return ProbeResult(ok=False, steps=[], error=error)


def _issues(models: list[Model], found: dict[str, ProbeResult]) -> list[Issue]:
    """A model that answers at no endpoint degrades the daemon; where none of them answers at all, it is of no use."""
    failed = {one for one, result in found.items() if not result.ok}
    state: PartState = "failed" if failed and len(failed) == len(found) else "degraded"
    issues = []
    for model in models:
        for one in model.deployments:
            error = found[one.id].error
            if error is None:
                continue
            where = "" if len(model.deployments) == 1 else f"{one.base_url}: "
            tip = error.tips[0] if error.tips else f"beast models test {model.id}"
            issues.append(Issue(f"model {model.id}", state, f"{where}{error.message}", tip))
    return issues
