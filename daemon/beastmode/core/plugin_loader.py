"""Finds, loads, starts and closes plugins; one that fails, lies or blocks is named and left out, the rest works."""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import threading
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, TypeVar

import msgspec
import pluggy

from beastmode.core.plugins import ENTRY_POINT_GROUP, BeastSpec, Context, Embedder, Provider, Tier, Weights

LIMIT_S = 5.0
_BUILT_IN = "beastmode"
_PROVIDER_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_BRINGS: dict[str, type] = {
    "beast_providers": Provider,
    "beast_weights": Weights,
    "beast_embedders": Embedder,
    "beast_tiers": Tier,
}

log = logging.getLogger(__name__)
T = TypeVar("T")
Part = Provider | Weights | Embedder | Tier


class PluginInfo(msgspec.Struct, kw_only=True):
    """What became of a plugin.

    Attributes:
        name: Name of its entry point.
        version: Version of its package; empty where that is not known.
        package: The package that brings it; empty where that is not known.
        hooks: Hooks that it implements.
        state: loaded, disabled or failed.
        error: Why it failed.
        providers: Names of the providers it brings.
    """

    name: str
    version: str = ""
    package: str = ""
    hooks: list[str] = []
    state: Literal["loaded", "disabled", "failed"] = "loaded"
    error: str | None = None
    providers: list[str] = []


class Plugins:
    """The plugins of this daemon.

    Attributes:
        providers: Provider plugins by name.
        weights: Catalogues of model weights.
        embedders: Embedder plugins by id.
        tiers: Shared cache tiers, in the order of their plugins.
        infos: What became of every plugin that was found.
    """

    def __init__(self) -> None:
        self.providers: dict[str, Provider] = {}
        self.weights: list[Weights] = []
        self.embedders: dict[str, Embedder] = {}
        self.tiers: list[Tier] = []
        self.infos: list[PluginInfo] = []
        self._loaded: list[tuple[PluginInfo, list[Part]]] = []

    def add(self, info: PluginInfo, parts: list[Part]) -> None:
        """Takes a plugin in, as a whole or not at all.

        Args:
            info: Who it is; marked as failed when one of its provider names or embedder ids is taken.
            parts: What it brings.
        """
        self.infos.append(info)
        names = [part.name for part in parts if isinstance(part, Provider)]
        taken = next((name for i, name in enumerate(names) if name in self.providers or name in names[:i]), None)
        if taken is not None:
            _fail(info, f"the provider name `{taken}` is taken by the plugin `{self.owner(taken) or info.name}`")
            return
        ids = [part.id for part in parts if isinstance(part, Embedder)]
        taken = next((id_ for i, id_ in enumerate(ids) if id_ in self.embedders or id_ in ids[:i]), None)
        if taken is not None:
            _fail(info, f"the embedder id `{taken}` is taken by another plugin, or twice by this one")
            return
        info.providers = names
        self._loaded.append((info, parts))
        self.providers.update((part.name, part) for part in parts if isinstance(part, Provider))
        self.weights.extend(part for part in parts if isinstance(part, Weights))
        self.embedders.update((part.id, part) for part in parts if isinstance(part, Embedder))
        self.tiers.extend(part for part in parts if isinstance(part, Tier))

    def owner(self, provider: str) -> str | None:
        """Names the plugin that brought a provider."""
        return next((info.name for info in self.infos if provider in info.providers), None)

    async def start(
        self, context: Context, options: Mapping[str, Mapping[str, Any]] | None = None, limit_s: float = LIMIT_S
    ) -> None:
        """Starts everything side by side; a plugin that fails or takes too long is left out.

        Args:
            context: What the daemon lends; each plugin gets its own `options`.
            options: The user's tables of options, by plugin.
            limit_s: How long a plugin may take.
        """

        async def start(info: PluginInfo, parts: list[Part]) -> None:
            own = msgspec.structs.replace(context, options=(options or {}).get(info.name, {}))
            error = await _all_within([_start(part, own) for part in parts], limit_s)
            if error is not None:
                await self._leave_out(info, parts, f"start() {error}", limit_s)

        await asyncio.gather(*(start(info, parts) for info, parts in self._loaded))

    async def _leave_out(self, info: PluginInfo, parts: list[Part], why: str, limit_s: float) -> None:
        _fail(info, why)
        self._loaded = [one for one in self._loaded if one[0] is not info]
        self.providers = {name: part for name, part in self.providers.items() if part not in parts}
        self.weights = [part for part in self.weights if part not in parts]
        self.embedders = {id_: part for id_, part in self.embedders.items() if part not in parts}
        self.tiers = [part for part in self.tiers if part not in parts]
        await _all_within([_close(part) for part in parts], limit_s)

    async def close(self, limit_s: float = LIMIT_S) -> None:
        """Closes every provider, embedder and tier; what goes wrong is logged, what blocks is left behind.

        Args:
            limit_s: How long each may take.
        """
        errors = await asyncio.gather(
            *(_all_within([_close(part) for part in parts], limit_s) for _, parts in self._loaded)
        )
        for (info, _), error in zip(self._loaded, errors, strict=True):
            if error is not None:
                log.warning("closing a plugin %s", error, extra={"fields": {"plugin": info.name}})


async def _start(part: Part, context: Context) -> None:
    await part.start(context)


async def _close(part: Part) -> None:
    if not isinstance(part, Weights):
        await part.close()


async def load_plugins(
    disabled: Collection[str], entry_points: Iterable[EntryPoint] | None = None, limit_s: float = LIMIT_S
) -> Plugins:
    """Loads every plugin that is installed and not disabled, the built-in ones first.

    Args:
        disabled: Names of plugins that are not loaded.
        entry_points: What to load; None: the entry points of the group `beastmode.plugins`.
        limit_s: How long the import and the hooks of one plugin may take.
    """
    found = await asyncio.to_thread(_scan) if entry_points is None else list(entry_points)
    plugins = Plugins()
    for point in found:
        info = PluginInfo(name=point.name, state="disabled" if point.name in disabled else "loaded")
        if point.dist is not None:
            info.package, info.version = point.dist.name, point.dist.version
        parts: list[Part] = []
        if info.state == "loaded":
            try:
                info.hooks, parts = await _in_thread(functools.partial(_load, point), limit_s)
            except TimeoutError:
                _fail(info, f"loading it took longer than {limit_s:g} s")
            except Exception as error:
                _fail(info, _described(error))
        plugins.add(info, parts)
    return plugins


def _scan() -> list[EntryPoint]:
    found = entry_points(group=ENTRY_POINT_GROUP)
    return sorted(found, key=lambda point: (_package(point) != _BUILT_IN, _package(point), point.name))


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else ""


def _load(point: EntryPoint) -> tuple[list[str], list[Part]]:
    """Imports a plugin and calls its hooks; runs in a thread of its own.

    Returns:
        The hooks it implements, and what they brought.
    """
    manager = pluggy.PluginManager("beastmode")  # one for each plugin: no failure touches another
    manager.add_hookspecs(BeastSpec)
    plugin = point.load()
    manager.register(plugin, point.name)
    manager.check_pending()
    hooks = [caller.name for caller in manager.get_hookcallers(plugin) or ()]
    parts: list[Part] = []
    for hook in hooks:
        for brought in getattr(manager.hook, hook)():
            parts += _checked(hook, brought)
    return hooks, parts


def _checked(hook: str, brought: Any) -> list[Part]:
    kind = _BRINGS[hook]
    if not isinstance(brought, list | tuple):
        raise TypeError(f"{hook}() returned a {type(brought).__name__}, not a list")
    for part in brought:
        if not isinstance(part, kind):
            raise TypeError(f"{hook}() returned a {type(part).__name__} in its list, not a {kind.__name__}")
        if isinstance(part, Provider) and not (isinstance(part.name, str) and _PROVIDER_NAME.fullmatch(part.name)):
            raise ValueError(f"a provider's name is {part.name!r}: use small letters, digits, - and _")
        if isinstance(part, Embedder) and not (isinstance(part.id, str) and _PROVIDER_NAME.fullmatch(part.id)):
            raise ValueError(f"an embedder's id is {part.id!r}: use small letters, digits, - and _")
        if isinstance(part, Tier) and not (isinstance(part.name, str) and _PROVIDER_NAME.fullmatch(part.name)):
            raise ValueError(f"a tier's name is {part.name!r}: use small letters, digits, - and _")
    return list(brought)


async def _in_thread(work: Callable[[], T], limit_s: float) -> T:
    """Runs foreign code in a thread that nobody waits for at the end, should it never come back.

    Raises:
        TimeoutError: It took too long; what it still does has no effect.
        Exception: What it raised; SystemExit and its like as RuntimeError.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)  # type: ignore[arg-type]  # no error, so it is a T
        else:
            done.set_exception(error if isinstance(error, Exception) else RuntimeError(_described(error)))

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:  # a plugin may even call sys.exit() while it is imported
            error = raised
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:
            log.debug("a plugin came back after the daemon had ended")

    threading.Thread(target=run, daemon=True, name="beast-plugin").start()
    return await asyncio.wait_for(done, limit_s)


async def _all_within(work: list[Coroutine[Any, Any, None]], limit_s: float) -> str | None:
    """Awaits foreign coroutines for so long; one that swallows its cancellation is left behind.

    Returns:
        What went wrong with one of them, or None.
    """
    tasks = [asyncio.create_task(one) for one in work]
    if not tasks:
        return None
    _, late = await asyncio.wait(tasks, timeout=limit_s)
    for task in late:
        task.cancel()
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    errors = [task.exception() for task in tasks if task not in late and not task.cancelled()]
    failed = next((f"failed: {_described(error)}" for error in errors if error is not None), None)
    return failed or (f"took longer than {limit_s:g} s" if late else None)


def _fail(info: PluginInfo, error: str) -> None:
    info.state, info.error = "failed", error
    log.warning("plugin left out", extra={"fields": {"plugin": info.name, "package": info.package, "error": error}})


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]
