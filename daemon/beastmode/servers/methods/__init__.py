"""Every method of the daemon, for every door; one file a group."""

from beastmode.servers.methods import answers, daemon, dashboard, insight, models, sessions, stored, stored_control
from beastmode.servers.methods.table import METHODS, Method, Nothing, method

__all__ = [
    "METHODS",
    "Method",
    "Nothing",
    "answers",
    "daemon",
    "dashboard",
    "insight",
    "method",
    "models",
    "sessions",
    "stored",
    "stored_control",
]
