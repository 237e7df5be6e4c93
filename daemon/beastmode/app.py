"""The house: builds every part from the settings, starts it, lives, drains and ends. Nothing else wires parts."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import logging
import resource
import signal
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from beastmode import __version__
from beastmode.background.judging import PAUSE_S as JUDGING_PAUSE_S
from beastmode.background.judging import Judging
from beastmode.background.periodic import Periodic
from beastmode.background.retention import PAUSE_S as RETENTION_PAUSE_S
from beastmode.background.retention import Retention
from beastmode.cache.disk import DiskTier
from beastmode.cache.lookup import Lookup
from beastmode.cache.memory import MemoryTier
from beastmode.cache.pairs import Pairs
from beastmode.cache.shared import SharedTier, chosen
from beastmode.cache.verifier import Verifier
from beastmode.core import log as logs
from beastmode.core.addresses import make_http_session
from beastmode.core.breaker import Breakers
from beastmode.core.clock import Clock
from beastmode.core.config import Loaded, load
from beastmode.core.errors import BeastError
from beastmode.core.paths import Paths
from beastmode.core.plugin_loader import load_plugins
from beastmode.core.plugins import Context
from beastmode.costs.book import PriceBook
from beastmode.costs.prices import Prices
from beastmode.foresight import foresee
from beastmode.gateway import Gateway
from beastmode.metrics.ledger import Ledger
from beastmode.metrics.stats import Stats
from beastmode.routing.models import Registry
from beastmode.routing.probes import discover
from beastmode.routing.vault import Vault
from beastmode.servers.access import Access
from beastmode.servers.board_parts import BoardParts
from beastmode.servers.http.door import HttpDoor
from beastmode.servers.inside import Inside
from beastmode.servers.live import Live
from beastmode.servers.lsp_host import LspHost
from beastmode.servers.rpc import RpcServer
from beastmode.servers.services import Services
from beastmode.servers.static_files import StaticFiles
from beastmode.servers.token import Token
from beastmode.sessions import Sessions
from beastmode.watching import Watching
from beastmode.workshop import Workshop

if TYPE_CHECKING:  # it needs numpy, which is there only where an embedder is
    from beastmode.cache.semantic import Semantic

log = logging.getLogger(__name__)

DRAIN_LIMIT_S = 8.0
GC_THRESHOLDS = (100_000, 20, 50)
"""As Python has them, collecting costs a fifth of the time of a request that goes upstream."""


def run(paths: Paths, environ: Mapping[str, str]) -> bool:
    """Lives as the daemon of a home, whose lock the caller holds.

    Args:
        paths: The home.
        environ: For settings.

    Returns:
        True when a restart was asked for.

    Raises:
        BeastError: The settings are wrong, or what is on disk can not be used.
    """
    loaded = load(paths, environ)
    stop_log = logs.setup(paths, loaded.settings.log.level, loaded.settings.log.max_bytes)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(House(paths, environ, loaded).live())
    finally:
        stop_log()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


class House:
    """All parts of one daemon.

    Args:
        paths: The home.
        environ: For reloading settings.
        loaded: The settings.
    """

    def __init__(self, paths: Paths, environ: Mapping[str, str], loaded: Loaded) -> None:
        self.paths = paths
        self.environ = environ
        self.loaded = loaded
        self.clock = Clock()
        self.started_s = self.clock.mono_s()
        self._end = asyncio.Event()
        self._again = False
        self._exact_only: str | None = None

    async def live(self) -> bool:
        """Starts, serves until it is told to end, drains.

        Returns:
            True when a restart was asked for.
        """
        _raise_descriptor_limit()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop, False)
        async with contextlib.AsyncExitStack() as stack:
            server = await self._start(stack)
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLDS)
            log.info("daemon ready", extra={"fields": {"socket": str(self.paths.rpc_socket), "version": __version__}})
            if self._services.lsp is not None:
                self._services.lsp.start()
            await self._end.wait()
            log.info("daemon drains", extra={"fields": {"restart": self._again}})
            if self._services.warming is not None:
                await self._services.warming.close()
            await self.gateway.drain(DRAIN_LIMIT_S)
            if self._services.dashboard is not None:
                await self._services.dashboard.live.close()
            if self._services.http is not None:
                await self._services.http.close()
            if self._services.lsp is not None:
                await self._services.lsp.close()
            await server.stop()
        log.info("daemon ended")
        return self._again

    def stop(self, again: bool) -> None:
        """Asks for the end; what runs is drained."""
        self._again = again
        self._end.set()

    async def _start(self, stack: contextlib.AsyncExitStack) -> RpcServer:
        settings = self.loaded.settings
        loading = asyncio.create_task(load_plugins(settings.plugins.disabled))
        self.ledger = Ledger(self.paths.state / "ledger", self.clock)
        await asyncio.to_thread(self.ledger.start)
        stack.push_async_callback(asyncio.to_thread, self.ledger.close)
        self.sessions = Sessions(self.paths.state / "sessions", self.clock)
        self.lookup = await self._open_cache(stack)
        self.registry = Registry(self.paths.state / "models.json", self.clock)
        await self.registry.load()
        self.vault = Vault(self.paths.state, settings.keys.store, clock=self.clock)
        await self.vault.load(one for model in self.registry.list() for one in model.deployments)
        self.prices = Prices(self.clock)
        self.book = PriceBook(self.paths.state, self.prices, self.clock)
        await self.book.load()
        self.breakers = Breakers(self.clock, settings.upstream.breaker_failures, settings.upstream.cooldown_s)
        self.http = await stack.enter_async_context(make_http_session())
        self.plugins = await loading
        await self._start_plugins(stack)
        self.shared = await self._join_shared_tier(stack)
        self.semantic = await self._open_semantic(stack)
        self.workshop = Workshop(
            paths=self.paths,
            clock=self.clock,
            settings=lambda: self.loaded.settings,
            sources=lambda: self.loaded.sources,
            environ=self.environ,
        )
        self.gateway = self._make_gateway()
        self.gateway.adapt = self.workshop.adapt
        if self.semantic is not None:
            self.workshop.find_by_meaning(stack, self.semantic, self.gateway)
        await self._start_background(stack)
        self.token = Token(self.paths.token_file, self.clock)
        await self.token.load()
        server = RpcServer(self._make_services(), self.paths.rpc_socket)
        await self.watching.start(stack)
        await self.workshop.start(stack, self.watching.health)
        await foresee(stack, self._services)
        await self._open_http_door()
        self._open_lsp_door()
        await server.start()
        return server

    async def _open_http_door(self) -> None:
        settings = self.loaded.settings.http
        if settings.enabled:
            self._services.http = HttpDoor(self._services, settings, self.token)
            await self._services.http.open()

    def _open_lsp_door(self) -> None:
        settings = self.loaded.settings
        if settings.lsp.enabled:
            level = settings.log.level
            self._services.lsp = LspHost(self.paths, settings.lsp, __version__, level, self.clock, self.environ)
            self._services.lsp.open()

    async def _open_cache(self, stack: contextlib.AsyncExitStack) -> Lookup:
        settings = self.loaded.settings.cache
        memory = MemoryTier(settings.l1.max_bytes, settings.l1.ttl_s) if settings.l1.max_bytes else None
        disk = None
        if settings.l2.max_bytes:
            disk = DiskTier(self.paths.cache / "answers", settings.l2.max_bytes, settings.l2.ttl_s, self.clock)
            await disk.start()
            stack.push_async_callback(disk.close)
        return Lookup(memory, disk, self.clock)

    async def _start_plugins(self, stack: contextlib.AsyncExitStack) -> None:
        settings = self.loaded.settings
        context = Context(
            http=self.http, data=self.paths.data, run=self.paths.run, clock=self.clock, cache=settings.cache
        )
        stack.push_async_callback(self.plugins.close)
        await self.plugins.start(context, settings.plugins.options)

    async def _join_shared_tier(self, stack: contextlib.AsyncExitStack) -> SharedTier | None:
        tier = chosen(self.plugins.tiers)
        if tier is None:
            return None
        shared = self.lookup.shared = SharedTier(tier, self.clock)
        stack.push_async_callback(shared.close)
        await shared.start()
        return shared

    async def _open_semantic(self, stack: contextlib.AsyncExitStack) -> Semantic | None:
        """Builds the semantic step, where an embedder is installed and the packages that it computes with."""
        try:
            verifier = await asyncio.to_thread(Verifier.load)
        except BeastError as error:
            log.warning("answers are matched exactly only", extra={"fields": {"why": error.message}})
            self._exact_only = error.message
            return None
        # What the verifier says holds for the vectors that it was trained with, and for no others.
        embedder = self.plugins.embedders.get(verifier.embedder)
        if embedder is None or importlib.util.find_spec("numpy") is None:
            return None
        from beastmode.cache.semantic import Semantic
        from beastmode.cache.vectors import VectorIndex

        settings, disk = self.loaded.settings.cache, self.lookup.disk
        pairs = Pairs(self.paths.state / "pairs.jsonl", settings.wrong_target)
        await pairs.load()
        source = None if disk is None else disk.vectors_at
        index = VectorIndex(self.paths.cache / "index", embedder.dim, embedder.id, self.clock, source)
        semantic = Semantic(
            embedder=embedder,
            index=index,
            verifier=verifier,
            pairs=pairs,
            fetch=self.lookup.fetch,
            settings=settings,
            clock=self.clock,
        )
        stack.push_async_callback(semantic.close)
        index.start()
        return semantic

    async def _start_background(self, stack: contextlib.AsyncExitStack) -> None:
        retention = Retention(lambda: self.loaded.settings.retention, self.ledger, self.sessions, self.clock)
        work = [Periodic(retention.sweep, RETENTION_PAUSE_S, self.clock)]
        if self.semantic is not None:
            work.append(Periodic(Judging(self.gateway, self.semantic).turn, JUDGING_PAUSE_S, self.clock))
        for one in work:
            one.start()
            stack.push_async_callback(one.close)

    def _make_gateway(self) -> Gateway:
        return Gateway(
            settings=self.loaded.settings,
            clock=self.clock,
            lookup=self.lookup,
            semantic=self.semantic,
            registry=self.registry,
            breakers=self.breakers,
            vault=self.vault,
            providers=self.plugins.providers,
            prices=self.prices,
            ledger=self.ledger,
            truth=self.workshop.truth,
        )

    def _make_services(self) -> Services:
        stats = Stats(self.ledger, self.clock)
        self.watching = self._make_watching()
        self.watching.health.add("token", lambda: self.token.problem, "programs need the new one: beast token")
        self.watching.health.add("prices", lambda: self.book.problem, "set them again: beast prices set")
        self._services = Services(
            version=__version__,
            paths=self.paths,
            loaded=self.loaded,
            reload=self._reload,
            stop=self.stop,
            clock=self.clock,
            started_s=self.started_s,
            gateway=self.gateway,
            lookup=self.lookup,
            semantic=self.semantic,
            registry=self.registry,
            vault=self.vault,
            prices=self.prices,
            book=self.book,
            breakers=self.breakers,
            providers=self.plugins.providers,
            weights=self.plugins.weights,
            plugins=self.plugins.infos,
            discover=lambda: discover(self.http),
            ledger=self.ledger,
            stats=stats,
            health=self.watching.health,
            sessions=self.sessions,
            token=self.token,
            workspaces=self.workshop.workspaces,
            truth=self.workshop.truth,
        )
        self._services.dashboard = self._make_dashboard()
        return self._services

    def _make_dashboard(self) -> Inside:
        access, files = Access(lambda: self.token.value, self.clock), StaticFiles()
        parts = BoardParts(self._services, lambda: files.build)
        live = Live(
            clock=self.clock,
            revision=lambda: self.ledger.revision,
            spent_s=lambda: self.ledger.read_cpu_s,
            epoch=lambda: access.epoch,
            parts_of=parts.of,
            shared=parts.shared(),
        )
        return Inside(access, live, files)

    def _make_watching(self) -> Watching:
        semantic = self.semantic
        return Watching(
            paths=self.paths,
            clock=self.clock,
            settings=lambda: self.loaded.settings,
            ledger=self.ledger,
            lookup=self.lookup,
            registry=self.registry,
            vault=self.vault,
            breakers=self.breakers,
            plugins=self.plugins,
            semantic=lambda: semantic.problem if semantic is not None else self._exact_only,
            http=lambda: self._services.http.problem if self._services.http is not None else None,
            lsp=lambda: self._services.lsp.problem if self._services.lsp is not None else None,
            session=self.http,
        )

    async def _reload(self) -> Loaded:
        """Reads the settings anew and hands them to the parts that can change while they run."""
        loaded = await asyncio.to_thread(load, self.paths, self.environ)
        settings = loaded.settings
        self.loaded = self._services.loaded = loaded
        self.gateway.settings = settings
        if self.semantic is not None:
            self.semantic.configure(settings.cache)
        self.breakers.configure(settings.upstream.breaker_failures, settings.upstream.cooldown_s)
        self.workshop.configure()
        return loaded


def _raise_descriptor_limit() -> None:
    """Takes as many descriptors as the system allows; each client and each upstream call has one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1 << 16 if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
