"""Every method of the daemon, for every door; one file a group."""

from beastmode.servers.methods import (
    actions,
    answers,
    comparing,
    daemon,
    dashboard,
    embedding,
    explaining,
    health,
    insight,
    models,
    prices,
    reports,
    sessions,
    stored,
    stored_control,
    workspaces,
)
from beastmode.servers.methods.table import METHODS, Method, Nothing, method

__all__ = [
    "METHODS",
    "Method",
    "Nothing",
    "actions",
    "answers",
    "comparing",
    "daemon",
    "dashboard",
    "embedding",
    "explaining",
    "health",
    "insight",
    "method",
    "models",
    "prices",
    "reports",
    "sessions",
    "stored",
    "stored_control",
    "workspaces",
]
