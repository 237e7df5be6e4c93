"""What is learned from what people ask, and asked ahead: wires activity, patterns and warming; a wing of `app`."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from beastmode.background.activity import Activities
from beastmode.background.hearing import Hearing
from beastmode.background.patterns import Patterns
from beastmode.background.refreshing import Refreshing
from beastmode.background.warm_asking import Asking
from beastmode.background.warm_budget import Budget
from beastmode.background.warm_parts import Parts
from beastmode.background.warm_plan import Planner
from beastmode.background.warm_record import Record
from beastmode.background.warm_sources import Sources
from beastmode.background.warming import Warming
from beastmode.core.errors import BeastError
from beastmode.servers.services import Services
from beastmode.workspace.attachments import read_inside
from beastmode.workspace.subject import BOM


async def foresee(stack: contextlib.AsyncExitStack, services: Services) -> None:
    """Builds the parts that look ahead, and starts them.

    Args:
        stack: Ends them.
        services: The other parts; gets these.
    """
    activity = Activities(services.paths.state / "activity", services.clock, lambda: services.settings.warming.enabled)
    await activity.load()
    stack.push_async_callback(activity.close)
    patterns = Patterns(activity, services.clock, services.paths.state / "activity" / "learned.msgpack")
    await patterns.start()
    stack.push_async_callback(patterns.close)
    services.activity, services.patterns = activity, patterns
    services.health.add("activity", lambda: activity.problem, "look at free space and permissions of the state folder")
    _listen(stack, services, activity, patterns)
    await _warm(stack, services, activity, patterns)


def _listen(stack: contextlib.AsyncExitStack, services: Services, activity: Activities, patterns: Patterns) -> None:
    hearing = services.hearing = Hearing(
        activity, services.clock, lambda: services.settings.warming.enabled, _read, patterns.file
    )
    services.workspaces.on_change.append(hearing.changed)
    services.workspaces.on_active.append(hearing.active)
    stack.push_async_callback(hearing.close)


def _read(workspace: str, path: str) -> str | None:
    """The text of a file, off the loop; None where it can not, or must not, be read."""
    try:
        return read_inside(Path(workspace), path).decode().removeprefix(BOM)
    except (BeastError, OSError, UnicodeDecodeError):
        return None


async def _warm(stack: contextlib.AsyncExitStack, services: Services, activity: Activities, patterns: Patterns) -> None:
    clock = services.clock
    refreshing = services.refreshing = Refreshing(clock, lambda: services.settings.warming.enabled)
    services.gateway.variants.used = refreshing.note
    services.workspaces.on_change.append(refreshing.changed)
    record = Record(services.paths.state / "warming.json", clock)
    await record.load()
    budget = Budget(
        lambda: services.settings.warming, services.ledger, record, clock, services.workspaces.warming_bound_usd
    )
    planner = Planner(
        gateway=services.gateway,
        library=lambda: services.library,
        activities=activity,
        budget=budget,
        registry=services.registry,
        breakers=services.breakers,
        vault=services.vault,
        providers=services.providers,
        prices=services.prices,
        clock=clock,
    )
    sources = Sources(
        settings=lambda: services.settings.warming,
        activities=activity,
        patterns=patterns,
        stale=refreshing.stale,
        retrieves=lambda workspace: services.workspaces.find(workspace) is not None,
        lookup=services.lookup,
        registry=services.registry,
        record=record,
        clock=clock,
        user=f"uid:{os.getuid()}",
    )
    warming = services.warming = Warming(
        Parts(
            settings=lambda: services.settings.warming,
            gateway=services.gateway,
            sources=sources,
            planner=planner,
            asking=Asking(services.gateway, planner, budget, record),
            budget=budget,
            record=record,
            clock=clock,
        )
    )
    activity.listeners.append(lambda one: warming.look_again())
    services.workspaces.on_change.append(lambda *change: warming.look_again())
    tip = "see warming.templates in config.toml (beast config), and the state folder's permissions and free space"
    services.health.add("warming", lambda: sources.problem() or record.problem, tip)
    stack.push_async_callback(warming.close)
    warming.start()
