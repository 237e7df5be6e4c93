"""What the methods work with: the daemon's parts, handed in by `app`, and who is calling."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from beastmode.background.activity import Activities
from beastmode.background.hearing import Hearing
from beastmode.background.patterns import Patterns
from beastmode.background.refreshing import Refreshing
from beastmode.background.warming import Warming
from beastmode.cache.lookup import Lookup
from beastmode.core.breaker import Breakers
from beastmode.core.clock import Clock
from beastmode.core.config import Loaded
from beastmode.core.paths import Paths
from beastmode.core.plugin_loader import PluginInfo
from beastmode.core.plugins import Provider, Weights
from beastmode.core.settings import Settings
from beastmode.costs.book import PriceBook
from beastmode.costs.prices import Prices
from beastmode.gateway import Gateway
from beastmode.metrics.health import Health
from beastmode.metrics.ledger import Ledger
from beastmode.metrics.stats import Stats
from beastmode.routing.models import Registry
from beastmode.routing.vault import Vault
from beastmode.servers.comparison_board import ComparisonBoard
from beastmode.servers.token import Token
from beastmode.sessions import Sessions
from beastmode.workspace.index.workspaces import Workspaces
from beastmode.workspace.library import Library

if TYPE_CHECKING:  # it needs numpy, which is there only where an embedder is
    from beastmode.cache.semantic import Semantic
    from beastmode.servers.http.door import HttpDoor
    from beastmode.servers.inside import Inside
    from beastmode.servers.lsp_host import LspHost
    from beastmode.workspace.index.truth import Truth

OnProgress = Callable[[dict[str, Any]], None]


class Caller:
    """Who calls, through which door.

    Args:
        user: The scope that the caller's answers live in.
        progress: Takes progress of this call; None where the caller wants none.
        client: The door.
    """

    __slots__ = ("client", "progress", "user")

    def __init__(self, user: str, progress: OnProgress | None = None, client: str = "socket") -> None:
        self.user = user
        self.progress = progress
        self.client = client


class Services(msgspec.Struct, kw_only=True):
    """The daemon's parts.

    Attributes:
        version: Of this program.
        paths: Where things live.
        loaded: The settings in force, and what was odd about them.
        reload: Reads the settings anew; raises and changes nothing when they are wrong.
        stop: Asks the daemon to drain and end, or with True to start again.
        clock: Time and ids.
        started_s: Monotonic clock at the start.
        gateway: Answers requests.
        lookup: Stored answers.
        semantic: Finds them by meaning; None where no embedder is installed.
        registry: Registered models.
        vault: Keys.
        prices: What models cost.
        book: The user's own prices, and the price table in use.
        breakers: Breakers of the deployments.
        providers: Provider plugins by name.
        weights: Catalogues of model weights.
        plugins: What became of each plugin.
        discover: Finds model servers that run on this machine.
        ledger: One row for every request.
        stats: Figures over a window of time.
        health: What is wrong, and what to do.
        sessions: Chat histories.
        token: What callers of the HTTP door must show.
        workspaces: Open workspaces.
        truth: What their files are now.
        activity: What people asked and worked on.
        hearing: Is told of it by the doors.
        patterns: Guesses what they ask next.
        refreshing: Remembers popular answers that may hold no more.
        warming: Asks ahead.
        http: The HTTP door; None where the user wants none.
        lsp: The door for editors; None where the user wants none.
        dashboard: What the dashboard works with.
        comparison: The comparison of models that was begun last.
    """

    version: str
    paths: Paths
    loaded: Loaded
    reload: Callable[[], Awaitable[Loaded]]
    stop: Callable[[bool], None]
    clock: Clock
    started_s: float
    gateway: Gateway
    lookup: Lookup
    semantic: Semantic | None
    registry: Registry
    vault: Vault
    prices: Prices
    book: PriceBook
    breakers: Breakers
    providers: Mapping[str, Provider]
    weights: Sequence[Weights]
    plugins: Sequence[PluginInfo]
    discover: Callable[[], Awaitable[Any]]
    ledger: Ledger
    stats: Stats
    health: Health
    sessions: Sessions
    token: Token
    workspaces: Workspaces
    truth: Truth | None = None
    activity: Activities | None = None
    hearing: Hearing | None = None
    patterns: Patterns | None = None
    refreshing: Refreshing | None = None
    warming: Warming | None = None
    http: HttpDoor | None = None
    lsp: LspHost | None = None
    dashboard: Inside | None = None
    comparison: ComparisonBoard = msgspec.field(default_factory=ComparisonBoard)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.loaded.settings

    @property
    def library(self) -> Library:
        """What requests may look into."""
        return Library(self.workspaces, self.truth, lambda: self.settings, self.registry)

    async def forget_entries(self, keys: list[bytes]) -> None:
        """Takes stored answers out of every tier and out of the index.

        Args:
            keys: Their exact keys.
        """
        self.lookup.remove(keys)
        if self.semantic is not None:
            await self.semantic.remove(keys)
