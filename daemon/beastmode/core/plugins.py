"""The public contract of plugins: what a provider is, what weights are, and the hooks through which plugins enter.

A plugin is an installed package with an entry point in the group `beastmode.plugins`; the entry point names a module
(or object) that implements the hooks of `BeastSpec` with `@hookimpl`. The built-in providers come the same way.
docs/plugins.md is a template for one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pluggy

from beastmode.core.clock import Clock
from beastmode.core.types import Completion, Deployment, Request

ENTRY_POINT_GROUP = "beastmode.plugins"

hookspec = pluggy.HookspecMarker("beastmode")
hookimpl = pluggy.HookimplMarker("beastmode")

OnDelta = Callable[[str], None]


class Context(msgspec.Struct, kw_only=True, frozen=True):
    """What the daemon lends a plugin.

    Attributes:
        http: Shared HTTP session; it follows no redirect and connects to no refused address.
        data: Folder for model weights and the like; shared by all plugins.
        run: Folder for sockets, private to this user.
        clock: Time and randomness.
        options: The plugin's table of the user's settings (`[plugins.NAME]`).
    """

    http: aiohttp.ClientSession
    data: Path
    run: Path
    clock: Clock
    options: Mapping[str, Any] = {}


class Call(msgspec.Struct, kw_only=True, frozen=True):
    """One call of one deployment.

    Attributes:
        request: What to answer.
        deployment: Where to ask.
        key: The API key, or None; a provider puts it nowhere but in the request's own header.
        timeout_s: Longest silence: until the first byte, and between two pieces.
    """

    request: Request
    deployment: Deployment
    key: str | None
    timeout_s: float


class Provider(ABC):
    """Speaks one wire format. One object serves all deployments that name it; calls run side by side.

    Errors are those of `beastmode.core.errors`, made with `beastmode.wire.upstream` where HTTP is spoken. A cancelled
    call closes its connection at once. A provider keeps no answer and no key.
    """

    name: str = ""
    """How a deployment names it, such as `openai`."""

    needs_key: bool = False
    """A deployment without a key is of no use."""

    costs_money: bool = True
    """A call may be charged for; False for models that run on this machine."""

    default_base_url: str = ""
    """Where its models are when the user names no base URL."""

    async def start(self, context: Context) -> None:
        """Is awaited once, before the first call; it must not take longer than a second.

        Args:
            context: What the daemon lends.
        """
        self.context = context

    @abstractmethod
    async def call(self, call: Call, on_delta: OnDelta | None) -> Completion:
        """Answers one request.

        Args:
            call: What to ask, where, with which key.
            on_delta: Gets each piece of text as it comes, on the event loop, and never blocks; None: no streaming.

        Returns:
            The whole answer. Usage that the upstream did not send stays None.

        Raises:
            ProviderError: Whatever went wrong upstream, with tips.
        """

    @abstractmethod
    async def models(self, deployment: Deployment, key: str | None, timeout_s: float) -> list[str]:
        """Lists the models an endpoint offers, without spending a token; also the test of an endpoint.

        Args:
            deployment: The endpoint; `upstream_model` may be empty.
            key: The API key.
            timeout_s: Longest silence.

        Returns:
            Names as `upstream_model` takes them; empty where the endpoint has no such list.

        Raises:
            ProviderError: The endpoint can not be reached, or refuses.
        """

    async def close(self) -> None:
        """Ends what the provider started (child processes and the like)."""


class Progress(msgspec.Struct, frozen=True):
    """How far a fetch has come.

    Attributes:
        phase: waiting, resolve, download, unpack, verify or done.
        done_bytes: Bytes of the download that are on this machine; never falls.
        total_bytes: Bytes of the whole download.
    """

    phase: str
    done_bytes: int
    total_bytes: int


OnProgress = Callable[[Progress], None]


class WeightsInfo(msgspec.Struct, kw_only=True, frozen=True):
    """Weights of a model that can be fetched.

    Attributes:
        name: How `beast models fetch` names them.
        size_bytes: Size of the download.
        licence: SPDX name of the model's licence.
        about: One sentence: what they are good for.
        serves: The provider whose model they become, such as `local`; empty where they are no chat model.
        installed: They are here, whole.
        path: The main file, where they are installed.
    """

    name: str
    size_bytes: int
    licence: str
    about: str
    serves: str = ""
    installed: bool = False
    path: str | None = None


class Weights(ABC):
    """A catalogue of model weights that can be fetched to this machine."""

    async def start(self, context: Context) -> None:
        """Is awaited once, before anything else.

        Args:
            context: What the daemon lends; `options` are those of the plugin that brought the catalogue.
        """
        self.context = context

    @abstractmethod
    def names(self) -> list[WeightsInfo]:
        """Lists the catalogue. Looks at the disk: the daemon calls it in a thread."""

    @abstractmethod
    async def fetch(self, name: str, on_progress: OnProgress) -> WeightsInfo:
        """Brings weights to this machine, whole and checked, or not at all. Cancelling keeps what can be resumed.

        Args:
            name: A name of the catalogue.
            on_progress: Gets the progress, on the event loop, and never blocks.

        Returns:
            The installed weights.

        Raises:
            BeastError: With tips: unknown name, no network, wrong hash, full disk.
        """


class BeastSpec:
    """Every hook that a plugin can implement."""

    @hookspec
    def beast_providers(self) -> list[Provider]:
        """Returns the providers that this plugin brings."""
        raise NotImplementedError  # a specification is never called

    @hookspec
    def beast_weights(self) -> list[Weights]:
        """Returns the catalogues of weights that this plugin brings."""
        raise NotImplementedError  # a specification is never called
