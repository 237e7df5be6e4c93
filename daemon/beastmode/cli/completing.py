"""What the shell's completion key offers beyond commands and options; silent where the daemon does not run."""

from __future__ import annotations

import contextlib
from typing import Any

import click

from beastmode.client import Client
from beastmode.core.errors import BeastError

_LIMIT_S = 0.5


def model_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Registered models."""
    return _matching(["auto", *(one["id"] for one in _listed("models.list", "models"))], incomplete)


def weights_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Weights that can be fetched."""
    return _matching([one["name"] for one in _listed("models.list", "available")], incomplete)


def session_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Chat sessions."""
    return _matching([one["id"] for one in _listed("sessions.list", "sessions")], incomplete)


def method_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Methods of the socket."""
    return _matching([one["name"] for one in _listed("rpc.discover", "methods")], incomplete)


def _matching(names: list[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _listed(method: str, field: str) -> list[dict[str, Any]]:
    with contextlib.suppress(BeastError), Client() as client:
        found: list[dict[str, Any]] = client.call(method, timeout_s=_LIMIT_S)[field]
        return found
    return []
