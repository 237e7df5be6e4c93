"""The public contract of plugins: what providers, weights, embedders and tiers are, and their hooks.

A plugin is an installed package with an entry point in the group `beastmode.plugins`; the entry point names a module
(or object) that implements the hooks of `BeastSpec` with `@hookimpl`. The built-in providers come the same way.
docs/plugins.md is a template for one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pluggy

from beastmode.core.clock import Clock
from beastmode.core.deltas import OnDelta as OnDelta  # part of the contract
from beastmode.core.deployments import Deployment
from beastmode.core.settings import CacheSettings
from beastmode.core.types import Completion, Request

if TYPE_CHECKING:
    from numpy import float16, float32
    from numpy.typing import NDArray

ENTRY_POINT_GROUP = "beastmode.plugins"

hookspec = pluggy.HookspecMarker("beastmode")
hookimpl = pluggy.HookimplMarker("beastmode")


class Context(msgspec.Struct, kw_only=True, frozen=True):
    """What the daemon lends a plugin.

    Attributes:
        http: Shared HTTP session; it follows no redirect and connects to no refused address.
        data: Folder for model weights and the like; shared by all plugins.
        run: Folder for sockets, private to this user.
        clock: Time and randomness.
        options: The plugin's table of the user's settings (`[plugins.options.NAME]`).
        cache: The user's settings of the cache.
    """

    http: aiohttp.ClientSession
    data: Path
    run: Path
    clock: Clock
    options: Mapping[str, Any] = {}
    cache: CacheSettings = CacheSettings()


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
            on_delta: Gets each piece as it comes, on the event loop, and never blocks; None: no streaming. Text is a
                plain `str`; `core.deltas` has what else there is, for those who have it.

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

    async def close(self) -> None:  # noqa: B027 - many have nothing to end
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


class Embedding(msgspec.Struct, frozen=True, eq=False):
    """What an embedder makes of a text.

    Attributes:
        vector: float32[dim] of length 1: two texts are as similar as the product of their vectors, their cosine.
        pieces: The pieces the text was cut into, in order, without the marks that a model adds.
        token_vectors: float16[len(pieces), dim], each row of length 1: the pieces in their context, from the same
            pass; None where the embedder has none.
    """

    vector: NDArray[float32]
    pieces: list[str]
    token_vectors: NDArray[float16] | None = None


class Embedder(ABC):
    """Turns a text into a vector, so that texts that mean the same lie close together.

    The same text gives the same bytes, whatever was embedded before it. `ready` and `embed` block, and are called in
    one thread of the daemon, one after another; the event loop never waits for them. An embedder keeps no text.
    """

    id: str = ""
    """Names the model and how it computes, such as `minilm-l6-v2-int8`; vectors of two ids are never compared."""

    dim: int = 0
    """Numbers in a vector."""

    max_pieces: int = 0
    """Longest text it embeds, in pieces."""

    async def start(self, context: Context) -> None:
        """Is awaited once, before anything else; it loads nothing and takes milliseconds.

        Args:
            context: What the daemon lends.
        """
        self.context = context

    @abstractmethod
    def ready(self) -> str | None:
        """Says why it can not be used now, and what to do about it; None where it can.

        It is asked again now and then: weights may be fetched, and a model made ready, while the daemon runs.
        """

    @abstractmethod
    def embed(self, text: str) -> Embedding | None:
        """Embeds one text.

        Args:
            text: Any text, the empty one and one with lone surrogates among them.

        Returns:
            None where the text has more than `max_pieces` pieces.

        Raises:
            BeastError: It is not ready, or the model fails; with tips.
        """

    async def close(self) -> None:  # noqa: B027 - many have nothing to end
        """Ends what the embedder started (child processes and the like)."""


class Tier(ABC):
    """Keeps stored answers where several daemons find them; exact keys, opaque values.

    The daemon gives every `get` 20 ms, keeps a tier that fails off for a while, checks what comes back, and calls
    nothing after `close`. So a tier need not be clever: it raises what went wrong, at once, and holds no state of its
    own but its connections. Calls run side by side, and may be cancelled. Several daemons share one server: a tier
    writes under a name of its own and touches nothing else there.

    Errors are those of `beastmode.core.errors`: `EndpointUnreachableError`, `UpstreamTimeoutError`,
    `AuthenticationError`, `UpstreamError` where the server refuses, `MalformedReplyError` where it holds no bytes under
    the key. Of any other exception people see the type alone.
    """

    name: str = ""
    """How people see it named, such as `redis`."""

    ttl_s: float = 7200.0
    """Age at which an answer is no longer served from it; `start` may change it."""

    async def start(self, context: Context) -> None:
        """Is awaited once, before anything else; it reads the settings and waits for no server.

        Args:
            context: What the daemon lends; `options` and `cache` are the user's settings.

        Raises:
            BeastError: The settings are wrong; without what is secret in them.
        """
        self.context = context

    @abstractmethod
    def configured(self) -> bool:
        """Says whether the user has set it up; asked once, after `start`. One that is not is never called again."""

    @abstractmethod
    async def get(self, key: bytes) -> bytes | None:
        """Looks a value up.

        Args:
            key: Printable ASCII, at most 100 bytes.

        Returns:
            The very bytes that `put` took, or None.

        Raises:
            BeastError: With tips.
        """

    @abstractmethod
    async def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        """Keeps a value in place of an older one.

        Args:
            key: As for `get`.
            value: Any bytes, at most 1 MiB.
            ttl_s: Seconds after which it is gone; above 0.

        Raises:
            BeastError: With tips.
        """

    @abstractmethod
    async def remove(self, keys: Sequence[bytes]) -> None:
        """Forgets values; keys that are not there do not matter.

        Args:
            keys: At most 1,000.

        Raises:
            BeastError: With tips; some may be gone.
        """

    @abstractmethod
    async def clear(self) -> None:
        """Forgets every value that any daemon has put, and nothing else; it may take a minute.

        Raises:
            BeastError: With tips; some may be gone.
        """

    async def close(self) -> None:  # noqa: B027 - many have nothing to end
        """Closes what the tier has open."""


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

    @hookspec
    def beast_embedders(self) -> list[Embedder]:
        """Returns the embedders that this plugin brings."""
        raise NotImplementedError  # a specification is never called

    @hookspec
    def beast_tiers(self) -> list[Tier]:
        """Returns the shared cache tiers that this plugin brings."""
        raise NotImplementedError  # a specification is never called
