"""`dashboard.open` and `metrics.subscribe`: the way into the dashboard, and its figures for programs."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import msgspec

from beastmode.core.errors import ConflictError
from beastmode.core.types import Origin
from beastmode.metrics.figures import Filters
from beastmode.servers.access import TICKET_S
from beastmode.servers.live import Frame, Viewer
from beastmode.servers.methods.table import Nothing, method
from beastmode.servers.services import Caller, OnProgress, Services
from beastmode.servers.view import View


class SubscribeParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which figures to follow.

    Attributes:
        window: How far back.
        origin: Whose requests; absent: those of persons, but the costs of every origin.
        model: Those that asked for this model, or that it answered.
        project: Those about this workspace.
        client: Those of this door.
        user: Those of this caller.
    """

    window: Literal["1h", "24h", "7d", "30d"] = "24h"
    origin: Origin | None = None
    model: str | None = None
    project: str | None = None
    client: str | None = None
    user: str | None = None


@method("dashboard.open")
def dashboard_open(services: Services, caller: Caller, params: Nothing) -> dict[str, Any]:
    """Gives an address that opens the dashboard in a browser: once, and within `expires_s` seconds."""
    url = services.http.url if services.http is not None else None
    if url is None or services.dashboard is None:
        problem = services.http.problem if services.http is not None else None
        raise ConflictError(
            problem.cause if problem is not None else "The HTTP door is switched off, and the dashboard with it.",
            tips=[problem.tip if problem is not None else "http.enabled = true in config.toml, then beast restart"],
        )
    host = url.replace("://0.0.0.0:", "://127.0.0.1:").replace("://[::]:", "://[::1]:")
    return {"url": f"{host}/dashboard?ticket={services.dashboard.access.ticket()}", "expires_s": TICKET_S}


@method("metrics.subscribe")
async def metrics_subscribe(services: Services, caller: Caller, params: SubscribeParams) -> dict[str, Any]:
    """Tells as progress what `metrics.get` would answer, at once and on every change, at most every 250 ms.

    It goes on until it is cancelled or the daemon drains.
    """
    assert services.dashboard is not None
    live = services.dashboard.live
    filters = Filters(model=params.model, project=params.project, client=params.client, user=params.user)
    view = View(window=params.window, origin=params.origin, filters=filters, page=False)
    follower = Follower(caller.progress)
    live.watch(view, follower)
    try:
        await follower.left.wait()
    finally:
        live.forget(view, follower)
    return {"ended": True}


class Follower(Viewer):
    """A program that follows the figures.

    Args:
        tell: Takes progress; None where the program wants none.
    """

    def __init__(self, tell: OnProgress | None) -> None:
        self._tell = tell
        self._known: dict[str, Any] = {}
        self.left = asyncio.Event()

    def show(self, frame: Frame) -> None:
        """Tells the figures, once they and the health are known."""
        news = {part.name: part.value for part in frame.parts if part.name in ("figures", "health")}
        self._known |= news
        if self._tell is not None and news and len(self._known) == 2:
            figures = self._known["figures"] or {}
            self._tell({**figures, "health": self._known["health"], "seq": frame.seq, "at_s": frame.at_s})

    def leave(self) -> None:
        """Ends the call."""
        self.left.set()
