"""What watches over the daemon: wires health to every part that can be asked; a wing of `app`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import aiohttp

from beastmode import __version__
from beastmode.background.alerts import LOOK_S, Alerts
from beastmode.background.loop_lag import LoopLag
from beastmode.background.periodic import Periodic
from beastmode.cache.disk import DiskTier
from beastmode.cache.lookup import Lookup
from beastmode.cache.shared import SharedTier
from beastmode.core.breaker import Breakers
from beastmode.core.clock import Clock
from beastmode.core.paths import Paths
from beastmode.core.plugin_loader import Plugins
from beastmode.core.settings import Settings
from beastmode.metrics.disk_space import DiskSpace
from beastmode.metrics.health import Health, Issue
from beastmode.metrics.ledger import Ledger
from beastmode.metrics.telemetry import PAUSE_S, Telemetry
from beastmode.routing.models import Registry
from beastmode.routing.vault import Vault


class Watching:
    """Watches over the daemon.

    Args:
        paths: Where things live.
        clock: Time.
        settings: Gives the settings in force.
        ledger: One row for every request.
        lookup: Stored answers.
        registry: Registered models.
        vault: Keys.
        breakers: Breakers of the deployments.
        plugins: What was loaded.
        semantic: Says what is wrong with finding answers by meaning.
        http: Says what is wrong with the HTTP door.
        lsp: Says what is wrong with the door for editors.
        session: A session that connects to no refused address.

    Attributes:
        health: What is wrong, and what to do.
        loop_lag: How late the event loop is.
    """

    def __init__(
        self,
        *,
        paths: Paths,
        clock: Clock,
        settings: Callable[[], Settings],
        ledger: Ledger,
        lookup: Lookup,
        registry: Registry,
        vault: Vault,
        breakers: Breakers,
        plugins: Plugins,
        semantic: Callable[[], str | None],
        http: Callable[[], Issue | None],
        lsp: Callable[[], Issue | None],
        session: aiohttp.ClientSession,
    ) -> None:
        self._lookup = lookup
        self._registry = registry
        self._breakers = breakers
        self._plugins = plugins
        self.loop_lag = LoopLag(clock, lambda: settings().health)
        self._disks = DiskSpace({"state": paths.state, "cache": paths.cache}, lambda: settings().health)
        self.health = Health(ledger, clock, lambda: settings().health, self._models_amiss)
        self._ask_stores(ledger)
        self.health.add("semantic index", semantic, "it heals by itself; exact hits go on meanwhile")
        self.health.add("event loop", self.loop_lag.issue)
        self.health.add("models", lambda: registry.problem, "register them again: beast models add")
        self.health.add("keys", lambda: vault.problem, "enter them again: beast models add ID --key-stdin")
        self.health.add("plugins", self._plugin_problems, "beast plugins")
        self.health.add("http", http)
        self.health.add("lsp", lsp)
        alerts = Alerts(
            self.health.check, lambda: settings().health.on_change, session, clock, paths.state / "health.json"
        )
        self.health.add("alerts", alerts.problem, "mend health.on_change in config.toml, then beast config reload")
        self._work = [Periodic(alerts.look, LOOK_S, clock)]
        self._telemetry: Telemetry | None = None
        if settings().otel.endpoint:
            telemetry = self._telemetry = Telemetry(settings().otel, __version__, ledger)
            self.health.add("telemetry", lambda: _telemetry_problem(telemetry))
            self._work.append(Periodic(telemetry.turn, PAUSE_S, clock))
        self.health.figures.update(disks=self._disks.figures, loop_lag_ms=self.loop_lag.figures)

    async def start(self, stack: contextlib.AsyncExitStack) -> None:
        """Begins to watch.

        Args:
            stack: Ends it.
        """
        self.loop_lag.start()
        stack.callback(self.loop_lag.close)
        if self._telemetry is not None:
            await self._telemetry.start()
            stack.push_async_callback(self._telemetry.close)
        for one in self._work:
            one.start()
            stack.push_async_callback(one.close)

    def _ask_stores(self, ledger: Ledger) -> None:
        add = self.health.add
        add("disk", self._disks.issues, refresh=self._disks.refresh)
        add("ledger", lambda: ledger.problem, "free disk space, or move what is named aside")
        if isinstance(self._lookup.disk, DiskTier):
            disk = self._lookup.disk
            add("cache on disk", lambda: disk.problem, "answers are stored anew; what is named may be deleted")
        if isinstance(self._lookup.shared, SharedTier):
            shared = self._lookup.shared
            add("cache l3", lambda: _shared_problem(shared))

    def _plugin_problems(self) -> str | None:
        failed = [f"{one.name}: {one.error}" for one in self._plugins.infos if one.state == "failed"]
        return "; ".join(failed) or None

    def _models_amiss(self) -> dict[str, str | None]:
        """Every registered model, with a sentence where it rests."""
        found: dict[str, str | None] = {}
        for model in self._registry.list():
            resting = [one for one in model.deployments if not self._breakers.get(one.id).allows()]
            if not resting:
                found[model.id] = None
                continue
            error = self._breakers.get(resting[0].id).last_error
            why = f": {error.message}" if error is not None else "."
            found[model.id] = f"{len(resting)} of its {len(model.deployments)} endpoints rest{why}"
        return found


def _shared_problem(shared: SharedTier) -> Issue | None:
    return None if shared.problem is None else Issue("cache l3", "degraded", shared.problem, shared.tip)


def _telemetry_problem(telemetry: Telemetry) -> Issue | None:
    problem = telemetry.problem()
    return None if problem is None else Issue("telemetry", "degraded", problem, telemetry.tip)
