"""`ping`, `status`, `config.*`, `plugins.list`, `shutdown`, `restart`, `rpc.discover`: the daemon about itself."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from beastmode.core.config import shown
from beastmode.servers.methods.table import METHODS, Nothing, method
from beastmode.servers.services import Caller, Services


class Pong(msgspec.Struct):
    """What `ping` answers.

    Attributes:
        version: Of the daemon.
        pid: Its process.
        uptime_s: Seconds since its start.
    """

    version: str
    pid: int
    uptime_s: float


@method("ping")
def ping(services: Services, caller: Caller, params: Nothing) -> Pong:
    """Answers at once: is anyone there, and which version?"""
    return Pong(services.version, os.getpid(), services.clock.mono_s() - services.started_s)


@method("status")
async def status(services: Services, caller: Caller, params: Nothing) -> dict[str, Any]:
    """Says how the daemon is: version, uptime_s, pid, health, sockets, models, cache, workspaces, warnings."""
    models = services.registry.list()
    ready = [model for model in models if any(services.breakers.get(one.id).allows() for one in model.deployments)]
    return {
        "version": services.version,
        "uptime_s": services.clock.mono_s() - services.started_s,
        "pid": os.getpid(),
        "health": await services.health.check(),
        "sockets": _sockets(services),
        "models": {"total": len(models), "ready": len(ready)},
        "cache": services.lookup.stats(),
        "workspaces": services.workspaces.rows(),
        "warming": await services.warming.status() if services.warming is not None else None,
        "warnings": services.loaded.warnings,
        "in_flight": len(services.gateway.flights),
    }


def _sockets(services: Services) -> dict[str, str | None]:
    lsp = services.lsp.path if services.lsp else None
    return {
        "rpc": str(services.paths.rpc_socket),
        "lsp": str(lsp) if lsp else None,
        "http": services.http.url if services.http else None,
    }


@method("config.get")
def config_get(services: Services, caller: Caller, params: Nothing) -> dict[str, Any]:
    """Shows the settings in force (no password), where each comes from, the file, and what was odd."""
    return {
        "settings": shown(services.settings),
        "sources": services.loaded.sources,
        "warnings": services.loaded.warnings,
        "file": str(services.paths.config_file),
    }


@method("config.reload")
async def config_reload(services: Services, caller: Caller, params: Nothing) -> dict[str, Any]:
    """Reads the settings anew; wrong ones are an error and the old stay in force. `restart` names those that wait."""
    before = services.loaded.settings
    loaded = await services.reload()
    after = loaded.settings
    changed = [name for name in before.__struct_fields__ if getattr(before, name) != getattr(after, name)]
    waiting = [name for name in changed if name in ("plugins", "keys", "log", "http", "lsp", "otel")]
    tiers = ("l1", "l2", "redis")
    if any(getattr(before.cache, tier) != getattr(after.cache, tier) for tier in tiers):
        waiting.append("cache")
    return {"changed": changed, "restart": waiting, "warnings": loaded.warnings}


@method("plugins.list")
def plugins_list(services: Services, caller: Caller, params: Nothing) -> dict[str, Any]:
    """Lists plugins: name, version, package, hooks, state and what went wrong."""
    return {"plugins": services.plugins}


@method("token.rotate")
async def token_rotate(services: Services, caller: Caller, params: Nothing) -> dict[str, Any]:
    """Makes a new token for the HTTP door; the old one is refused from now on."""
    await services.token.rotate()
    return {"token": services.token.value}


@method("shutdown")
def shutdown(services: Services, caller: Caller, params: Nothing) -> dict[str, Any]:
    """Drains and ends the daemon: what runs finishes within 10 s or is told why it ends."""
    services.stop(False)
    return {"stopping": True, "pid": os.getpid()}


@method("restart")
def restart(services: Services, caller: Caller, params: Nothing) -> dict[str, Any]:
    """Drains the daemon and starts it again."""
    services.stop(True)
    return {"restarting": True, "pid": os.getpid()}


@method("rpc.discover")
def discover(services: Services, caller: Caller, params: Nothing) -> dict[str, Any]:
    """Describes every method as an OpenRPC document, made from the types."""
    return openrpc(services.version)


def openrpc(version: str) -> dict[str, Any]:
    """Makes the OpenRPC document of the table of methods.

    Args:
        version: Of this program.
    """
    typed: list[Any] = [kind for one in METHODS.values() for kind in (one.params, one.result)]
    schemas, components = msgspec.json.schema_components(typed, ref_template="#/components/schemas/{name}")
    methods = []
    for index, one in enumerate(METHODS.values()):
        params = _object(schemas[2 * index], components)
        required = set(params.get("required", ()))
        methods.append(
            {
                "name": one.name,
                "summary": one.doc.split("\n")[0],
                "description": one.doc,
                "paramStructure": "by-name",
                "params": [
                    {"name": name, "required": name in required, "schema": schema}
                    for name, schema in params.get("properties", {}).items()
                ],
                "result": {"name": "result", "schema": schemas[2 * index + 1]},
            }
        )
    return {
        "openrpc": "1.3.2",
        "info": {"title": "BEAST MODE", "version": version},
        "methods": methods,
        "components": {"schemas": components},
    }


def _object(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    return dict(components.get(schema.get("$ref", "").rsplit("/", 1)[-1], schema))
