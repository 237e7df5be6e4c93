"""Loading plugins: what is installed is found; what fails, lies or blocks is named and leaves the rest working."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import aiohttp
import pytest

from beastmode.core.clock import Clock
from beastmode.core.deployments import Deployment
from beastmode.core.plugin_loader import Plugins, load_plugins
from beastmode.core.plugins import Call, Context, OnDelta, Provider, hookimpl
from beastmode.core.types import Completion
from support.embedders import HashEmbedder

HOOK = "from beastmode.core.plugins import hookimpl\n@hookimpl\n"


class Silent(Provider):
    """A provider that says nothing; `start` and `close` can be made to misbehave."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.closed = False

    async def call(self, call: Call, on_delta: OnDelta | None) -> Completion:
        return Completion(text="")

    async def models(self, deployment: Deployment, key: str | None, timeout_s: float) -> list[str]:
        return []

    async def close(self) -> None:
        self.closed = True


class Modules:
    """Makes modules that entry points can name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: list[str] = []

    def point(self, name: str, **members: object) -> EntryPoint:
        """An entry point of a module with these members."""
        module = ModuleType(f"plugin_of_a_test_{name}")
        module.__dict__.update(members)
        sys.modules[module.__name__] = module
        self.names.append(module.__name__)
        return EntryPoint(name, module.__name__, "beastmode.plugins")

    def source(self, name: str, source: str) -> EntryPoint:
        """An entry point of a module that is imported from a file."""
        (self.folder / f"plugin_of_a_test_{name}.py").write_text(source)
        self.names.append(f"plugin_of_a_test_{name}")
        return EntryPoint(name, f"plugin_of_a_test_{name}", "beastmode.plugins")

    def provider(self, name: str, *provider: Provider) -> EntryPoint:
        """An entry point of a plugin that brings these providers."""
        brought = list(provider or [Silent(name)])
        return self.point(name, beast_providers=hookimpl(lambda: brought, specname="beast_providers"))

    def returning(self, name: str, value: object) -> EntryPoint:
        return self.point(name, beast_providers=hookimpl(lambda: value, specname="beast_providers"))


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Modules]:
    monkeypatch.syspath_prepend(tmp_path)
    made = Modules(tmp_path)
    yield made
    for name in made.names:
        sys.modules.pop(name, None)


async def load(*points: EntryPoint, disabled: tuple[str, ...] = (), limit_s: float = 5.0) -> Plugins:
    return await load_plugins(disabled, points, limit_s)


async def test_the_built_in_providers_come_through_the_entry_points() -> None:
    plugins = await load_plugins(())
    assert {"openai", "custom", "anthropic", "echo", "local"} <= plugins.providers.keys()
    infos = {info.name: info for info in plugins.infos}
    assert infos["openai_compatible"].providers == ["openai", "custom"]
    assert infos["openai_compatible"].package == "beastmode"
    assert infos["openai_compatible"].version
    assert infos["echo"].hooks == ["beast_providers"]
    assert all(info.state == "loaded" and info.error is None for info in plugins.infos if info.package == "beastmode")
    assert plugins.weights
    assert plugins.owner("custom") == "openai_compatible"
    assert plugins.owner("nobody") is None


async def test_a_disabled_plugin_is_listed_and_not_imported(modules: Modules) -> None:
    plugins = await load(modules.source("off", "raise SystemExit"), modules.provider("on"), disabled=("off",))
    assert [(info.name, info.state, info.error) for info in plugins.infos] == [
        ("off", "disabled", None),
        ("on", "loaded", None),
    ]
    assert list(plugins.providers) == ["on"]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import no_such_module_anywhere", "no_such_module_anywhere"),
        ("raise ValueError('broken at import')", "broken at import"),
        ("import sys\nsys.exit(3)", "SystemExit"),
        ("def (", "SyntaxError"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        (
            HOOK + "def beast_provders():\n    return []",
            "beast_provders",
        ),
        (
            HOOK + "def beast_providers():\n    raise OSError('in a hook')",
            "in a hook",
        ),
        (
            HOOK + "def beast_providers(wanted):\n    return []",
            "wanted",
        ),
    ],
)
async def test_a_plugin_that_can_not_be_loaded_is_named_and_the_rest_works(
    modules: Modules, source: str, why: str
) -> None:
    plugins = await load(modules.source("bad", source), modules.provider("good"))
    bad, good = plugins.infos
    assert (bad.name, bad.state) == ("bad", "failed")
    assert why in (bad.error or "")
    assert good.state == "loaded"
    assert list(plugins.providers) == ["good"]


@pytest.mark.parametrize(
    ("brought", "why"),
    [
        ("openai", "str, not a list"),
        ({"a": 1}, "dict, not a list"),
        ([Silent], "in its list, not a Provider"),
        ([None], "NoneType"),
        ([Silent("Upper Case")], "'Upper Case'"),
        ([Silent("")], "''"),
        ([Silent("twin"), Silent("twin")], "`twin` is taken"),
        ([Silent("fine"), object()], "object"),
    ],
)
async def test_a_plugin_that_brings_rubbish_is_left_out_as_a_whole(modules: Modules, brought: object, why: str) -> None:
    plugins = await load(modules.returning("bad", brought))
    assert plugins.infos[0].state == "failed"
    assert why in (plugins.infos[0].error or "")
    assert plugins.providers == {}


async def test_a_provider_name_belongs_to_the_plugin_that_came_first(modules: Modules) -> None:
    plugins = await load(
        modules.provider("first", Silent("acme")), modules.provider("second", Silent("other"), Silent("acme"))
    )
    assert [info.state for info in plugins.infos] == ["loaded", "failed"]
    assert "`acme` is taken by the plugin `first`" in (plugins.infos[1].error or "")
    assert list(plugins.providers) == ["acme"]


@pytest.mark.parametrize("where", ["import", "hook"])
async def test_a_plugin_that_blocks_is_given_up(modules: Modules, where: str) -> None:
    release = threading.Event()
    sys.modules["plugin_of_a_test_release"] = ModuleType("plugin_of_a_test_release")
    modules.names.append("plugin_of_a_test_release")
    sys.modules["plugin_of_a_test_release"].__dict__["release"] = release
    if where == "import":
        bad = modules.source("bad", "from plugin_of_a_test_release import release\nrelease.wait(30)")
    else:
        bad = modules.point("bad", beast_providers=hookimpl(lambda: release.wait(30), specname="beast_providers"))
    try:
        plugins = await load(bad, modules.provider("good"), limit_s=0.2)
        assert plugins.infos[0].state == "failed"
        assert "longer than 0.2 s" in (plugins.infos[0].error or "")
        assert list(plugins.providers) == ["good"]
    finally:
        release.set()
    while any(thread.name == "beast-plugin" for thread in threading.enumerate()):
        await asyncio.sleep(0.01)
    assert list(plugins.providers) == ["good"], "what comes back too late has no effect"


class Started:
    """Starts plugins with a real context."""

    def __init__(self, context: Context) -> None:
        self.context = context

    async def __call__(self, plugins: Plugins, limit_s: float = 5.0, **options: dict[str, object]) -> Plugins:
        await plugins.start(self.context, options, limit_s)
        return plugins


@pytest.fixture
async def started(tmp_path: Path):
    async with aiohttp.ClientSession() as http:
        yield Started(Context(http=http, data=tmp_path, run=tmp_path, clock=Clock()))


async def test_every_plugin_gets_its_own_options(modules: Modules, started: Started) -> None:
    plugins = await load(modules.provider("one"), modules.provider("two"))
    await started(plugins, one={"region": "eu"})
    assert plugins.providers["one"].context.options == {"region": "eu"}
    assert plugins.providers["two"].context.options == {}
    assert plugins.providers["one"].context.http is started.context.http


class Failing(Silent):
    async def start(self, context: Context) -> None:
        raise ValueError("no licence file")


class Endless(Silent):
    async def start(self, context: Context) -> None:
        await asyncio.sleep(60)


class Stubborn(Silent):
    """Swallows its cancellation, for a while."""

    async def start(self, context: Context) -> None:
        end_s = time.monotonic() + 0.5
        while time.monotonic() < end_s:
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue
        raise ValueError("too late to matter")


class NotAsync(Silent):
    def start(self, context: Context) -> None:  # type: ignore[override]
        return None


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Failing, "no licence file"),
        (Endless, "longer than 0.2 s"),
        (Stubborn, "longer than 0.2 s"),
        (NotAsync, "TypeError"),
    ],
)
async def test_a_plugin_that_does_not_start_is_left_out_and_closed(
    modules: Modules, started: Started, kind: type[Silent], why: str
) -> None:
    bad, sibling = kind("bad"), Silent("sibling")
    plugins = await load(modules.provider("bad", bad, sibling), modules.provider("good"))
    await started(plugins, limit_s=0.2)
    assert plugins.infos[0].state == "failed"
    assert why in (plugins.infos[0].error or "")
    assert list(plugins.providers) == ["good"], "a plugin works as a whole or not at all"
    assert sibling.closed
    await asyncio.sleep(0.6 if kind is Stubborn else 0)  # its late end must disturb nobody


class BadEnd(Silent):
    async def close(self) -> None:
        raise ValueError("can not close")


async def test_closing_goes_on_past_a_plugin_that_fails_to(modules: Modules, started: Started) -> None:
    good = Silent("good")
    plugins = await started(await load(modules.provider("bad", BadEnd("bad")), modules.provider("good", good)))
    await plugins.close()
    assert good.closed


class Restless(HashEmbedder):
    """Notes what happens to it."""

    closed = False

    async def close(self) -> None:
        self.closed = True


def embedders(modules: Modules, name: str, *brought: object) -> EntryPoint:
    """An entry point of a plugin that brings these embedders."""
    return modules.point(name, beast_embedders=hookimpl(lambda: list(brought), specname="beast_embedders"))


async def test_embedders_are_found_by_their_id_started_and_closed(modules: Modules, started: Started) -> None:
    good = Restless("acme-1")
    plugins = await started(await load(embedders(modules, "acme", good)), acme={"folder": "here"})
    assert plugins.embedders == {"acme-1": good}
    assert plugins.infos[0].hooks == ["beast_embedders"]
    assert good.context.options == {"folder": "here"}
    await plugins.close()
    assert good.closed


async def test_the_built_in_embedder_comes_through_its_entry_point() -> None:
    plugins = await load_plugins(())
    assert "minilm-l6-v2-int8" in plugins.embedders


@pytest.mark.parametrize(
    ("brought", "why"),
    [
        ([HashEmbedder("one"), HashEmbedder("one")], "`one` is taken"),
        ([HashEmbedder("first")], "`first` is taken"),
        ([HashEmbedder("No Id")], "'No Id'"),
        ([Silent("silent")], "not a Embedder"),
    ],
)
async def test_an_embedder_that_is_none_or_has_no_id_of_its_own_is_left_out(
    modules: Modules, brought: list[object], why: str
) -> None:
    first = embedders(modules, "good", HashEmbedder("first"))
    plugins = await load(first, embedders(modules, "bad", *brought))
    assert plugins.infos[1].state == "failed"
    assert why in (plugins.infos[1].error or "")
    assert list(plugins.embedders) == ["first"]


class Unstartable(Restless):
    async def start(self, context: Context) -> None:
        raise ValueError("no folder")


async def test_an_embedder_that_does_not_start_is_left_out(modules: Modules, started: Started) -> None:
    bad = Unstartable("bad")
    plugins = await started(await load(embedders(modules, "bad", bad)))
    assert plugins.embedders == {}
    assert bad.closed


async def test_plugins_without_parts_start_and_close(modules: Modules, started: Started) -> None:
    plugins = await started(await load(modules.returning("empty", [])))
    await plugins.close()
    assert plugins.infos[0].state == "loaded"
